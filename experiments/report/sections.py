"""The sections of the page of results: a table and a figure each, from the finished runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from experiments.packed import Run
from experiments.papers import ABLATION, EPOCHS, OWN, RATES, STARTS, TEXT_RATES
from experiments.report import figures
from experiments.report.tables import minutes, shown, spread, table

PAPER = {  # best test accuracy over 70 epochs, in %
    "smnist-asrnn": 98.89,
    "smnist-exprnn": 98.0,
    "smnist-scornn": 97.2,
    "smnist-lstm": 81.9,
    "pmnist-asrnn": 95.41,
    "pmnist-exprnn": 94.9,
    "pmnist-scornn": 94.8,
    "pmnist-lstm": 79.5,
}
TEXT = (
    "Bits per character of Shakespeare's plays, one seed. Short runs choose the rate of the long ones by validation; "
    "cosine: it falls to 0."
)


def copying(runs: dict[str, Run], folder: Path) -> list[str]:
    """Copying memory at both delays, with the figure of each. No runs, no parts."""
    parts = []
    for delay in (1000, 2000):
        chosen = {n: r for n, r in runs.items() if n.startswith(f"copy-{delay}-")}
        if not chosen:
            continue
        rows = _table("run|n|params|2 % below the baseline at|at 1,500|at the end|best test|time")
        baseline = None
        for name, run in chosen.items():
            curve = _curve(run, "train_loss")
            if run["result"] is None:
                rows.append((name, str(run["config"]["model"]["hidden"]), *("-",) * 4, "diverged", _time(run)))
                continue
            baseline = run["result"]["baseline"][1]
            below = _crossing(run)
            at = dict(curve)
            rows.append(
                (
                    name,
                    str(run["result"]["hidden"]),
                    f"{run['result']['parameters']:,}",
                    "never" if below is None else f"{below:,}",
                    f"{at[1500]:.2g}" if 1500 in at else "-",
                    f"{curve[-1][1]:.2g}",
                    f"{run['result']['best']['test_loss']:.2g}",
                    _time(run),
                )
            )
        figure = f"copy-{delay}.png"
        finished = [run for run in chosen.values() if run["result"] is not None]
        if finished:
            figures.learning_curves(finished, folder / figure)
        parts += [
            f"## Copying memory, L = {delay}",
            f"Cross-entropy in nats over all steps of the sequence; having no memory gives {baseline or 0:.4f}. The "
            "paper's asRNN is below that by about iteration 300 and near 0 by 1,500, its expRNN (dtriv) a little "
            f"sooner; LSTM stays at it. One seed. {_command(f'copy-{delay}-*')}",
            table(rows),
            f"![cross-entropy against iteration]({figure})",
        ]
    return parts


def mnist(runs: dict[str, Run], folder: Path) -> list[str]:
    """Sequential and permuted MNIST by pixels, beside the paper, with the figure of test errors. No runs, no parts."""
    rows = _table(f"run|n|params|seed|paper|best test|test at the best validation|epochs|time|by epoch {EPOCHS}")
    for name, run in runs.items():
        if not re.match(r"[sp]mnist-", name):
            continue
        of_paper = name.removesuffix("-1")  # another seed
        paper = f"{PAPER[of_paper]:.2f}" if of_paper in PAPER else "-"
        result, seed = run["result"], str(run["config"]["training"]["seed"])
        if result is None:
            scores = [value for _, value in _curve(run, "test_accuracy")]
            before = f"{_percent(max(scores))}, then diverged" if scores else "diverged"
            size = str(run["config"]["model"]["hidden"])
            rows.append((name, size, "-", seed, paper, before, "-", str(len(scores)), _time(run), "-"))
            continue
        epoch = result["steps"] // result["epochs"]
        scores = _curve(run, "test_accuracy")
        early = dict(scores).get(EPOCHS * epoch)
        selected = result.get("selected")
        chosen = f"{_percent(selected['test_accuracy'])} ({selected['step'] // epoch})" if selected else "-"
        rows.append(
            (
                name,
                str(result["hidden"]),
                f"{result['parameters']:,}",
                seed,
                paper,
                f"{_percent(result['best']['test_accuracy'])} ({result['best']['step'] // epoch})",
                chosen,
                str(result["epochs"]),
                _time(run),
                "-" if early is None else _percent(max(v for s, v in scores if s <= EPOCHS * epoch)),
            )
        )
    if len(rows) == 1:
        return []
    return [
        "## Sequential and permuted MNIST, pixel by pixel",
        "Accuracy in %; epochs in brackets. The paper's protocol is the best epoch on the test set of 70, "
        "trained on all 60,000 images. Ours trains on 55,000: the other 5,000 choose the epoch for the honest column, "
        "and the best on the test set stands beside it. The last column is the best test accuracy up to epoch "
        f"{EPOCHS}, to compare at equal epochs. asrnn and asrnn-1 are two seeds of the paper's recipe; bounded: the "
        "same with a D_f whose condition number is bounded; cosine: that at a rate that falls to 0 over its epochs. "
        "lstm is the paper's, with four times the params; lstm-16k is trained as is usual now (Adam, a falling rate). "
        + _command("[sp]mnist-*"),
        table(rows),
        *_errors(runs, folder),
    ]


def _errors(runs: dict[str, Run], folder: Path) -> list[str]:
    tasks, paper = {}, {}
    for task, about in (("smnist", "sequential MNIST"), ("pmnist", "permuted MNIST")):
        chosen = {name.removeprefix(f"{task}-"): run for name, run in runs.items() if name.startswith(f"{task}-")}
        found = {name: _curve(run, "test_accuracy") for name, run in chosen.items()}
        curves = {name: [100 - 100 * score for _, score in curve] for name, curve in found.items() if curve}
        if curves:
            tasks[about], paper[about] = curves, 100 - PAPER[f"{task}-asrnn"]
    if not tasks:  # nothing got as far as a test
        return []
    figures.error_curves(tasks, paper, folder / "mnist.png")
    return ["![test error after each epoch](mnist.png)"]


def ablation(runs: dict[str, Run]) -> list[str]:
    """What D_f and the map of W_hh are worth, over seeds. No runs, no parts."""
    rows = _table("variant|copying, L = 500: loss at the end|2 % below the baseline at|seeds|MNIST by rows: test|seeds")
    for about in ABLATION:
        kinds = {task: _seeds(runs, _ablated(task, about)) for task in OWN}
        if not any(kinds.values()):
            continue
        ends, crossings = [], []
        for run in kinds["copy"]:
            if run["result"] is None:
                continue
            ends.append(_curve(run, "train_loss")[-1][1])
            crossings.append(_crossing(run))
        accuracies = [100 * _honest(run) for run in kinds["rows"] if run["result"] is not None]
        crossed = ", ".join("never" if c is None else str(c) for c in crossings) or "-"
        loss = f"{np.mean(ends):.2g}" if ends else "-"
        loss += f" ({min(ends):.2g} to {max(ends):.2g})" if len(ends) > 1 else ""
        rows.append((about, loss, crossed, str(len(ends)), spread(accuracies, ".2f"), str(len(accuracies))))
    if len(rows) == 1:
        return []
    return [
        "## What adaptivity and the map are worth",
        "asRNN with the settings of the tables above and one thing changed; copying memory for 1,500 iterations, "
        "sequential MNIST by rows for 10 epochs (test accuracy in % at the best validation epoch, mean ± standard "
        "deviation of the seeds). U_f has the map of W_hh, expm for dtriv. As in the paper: by dtriv on copying; on "
        "MNIST by Cayley, where the authors' code has expm. On copying, bounded kappa starts at D_f = 0.03, not 1e-5. "
        + _command("ablation-*"),
        table(rows),
    ]


def _ablated(task: str, about: str) -> str:
    """How the names of a variant's runs begin."""
    about = "as in the paper" if about == OWN[task] else about
    return f"ablation-{task}-{about.replace(' ', '-')}-"


def sensitivity(runs: dict[str, Run], folder: Path) -> list[str]:
    """The heat map of learning rate and initial D_f. No runs, no parts."""
    names = [*(f"asrnn-{start:g}" for start in STARTS), "tanh_rnn", "lstm"]
    values = np.full((len(names), len(RATES)), np.nan)
    diverged = np.zeros(values.shape, bool)
    for i, name in enumerate(names):
        for j, rate in enumerate(RATES):
            run = runs.get(f"sensitivity-{name}-{rate:g}")
            if run is not None and run["result"] is not None:
                values[i, j] = 100 * run["result"]["best"]["test_accuracy"]
            diverged[i, j] = run is not None and run["result"] is None
    if np.isnan(values).all() and not diverged.any():
        return []
    labels = [f"asRNN, D_f = {start:g}" for start in STARTS] + ["tanh RNN", "LSTM"]
    figures.heat(values, diverged, labels, [f"{rate:g}" for rate in RATES], folder / "sensitivity.png")
    return [
        "## Learning rate and initial D_f",
        "Test accuracy in % of the best epoch, digits by pixels, 30 epochs, 64 units, RMSprop, one seed. "
        + _command("sensitivity-*"),
        "![accuracy for each rate and start](sensitivity.png)",
    ]


def text(runs: dict[str, Run]) -> list[str]:
    """Bits per character, and the short runs that chose the rates. No runs, no parts."""
    rows = _table("run|n|params|rate|validation|test at the best validation|epochs|time")
    short: dict[str, dict[float, str]] = {}
    for name, run in runs.items():
        if not name.startswith("text-"):
            continue
        result, rate = run["result"], run["config"]["optim"]["lr"]
        bits = result and f"{result['selected']['valid_bpc']:.3f}"
        if name.startswith("text-rate-"):
            short.setdefault(run["config"]["model"]["cell"], {})[rate] = bits or "diverged"
        elif bits:
            size = (str(result["hidden"]), f"{result['parameters']:,}", f"{rate:g}")
            test = f"{result['selected']['test_bpc']:.3f}"
            rows.append((name, *size, bits, test, str(result["epochs"]), _time(run)))
    parts = [table(rows)] if len(rows) > 1 else []
    if short:
        grid = [("validation after 2 epochs", *(f"rate {rate:g}" for rate in TEXT_RATES))]
        grid += [(cell, *(bits.get(rate, "-") for rate in TEXT_RATES)) for cell, bits in short.items()]
        parts.append(table(grid))
    return ["## Character text", f"{TEXT} {_command('text-*')}", *parts] if parts else []


def distillation(runs: dict[str, Run]) -> list[str]:
    """A small network alone and taught, beside its teacher. No runs, no parts."""
    rows = _table("network|n|params|test|seeds")
    for about, prefix in (("teacher", "distill-0-teacher"), ("alone", "distill-alone-"), ("taught", "distill-taught-")):
        chosen = [run for run in _seeds(runs, prefix) if run["result"] is not None]
        if chosen:
            result = chosen[0]["result"]
            accuracies = [100 * _honest(run) for run in chosen]
            size = (str(result["hidden"]), f"{result['parameters']:,}")
            rows.append((f"{result['cell']}, {about}", *size, spread(accuracies, ".2f"), str(len(chosen))))
    if len(rows) == 1:
        return []
    return [
        "## Distillation",
        f"MNIST by rows, {EPOCHS} epochs: a large GRU teaches a small asRNN. Test accuracy in % at the best validation "
        f"epoch, mean ± standard deviation of the seeds. {_command('distill-*')}",
        table(rows),
    ]


def _table(header: str) -> list[tuple[str, ...]]:
    return [tuple(header.split("|"))]


def _command(runs: str) -> str:
    return f"Command: `python -m experiments papers --data-dir FOLDER --only '{runs}'`."


def _curve(run: Run, key: str) -> list[tuple[int, float]]:
    return [(line["step"], line[key]) for line in run["metrics"] if key in line]


def _crossing(run: Run) -> int | None:
    """When the loss was below that of having no memory, by more than a batch's chance."""
    baseline = run["result"]["baseline"][1]
    return next((step for step, loss in _curve(run, "train_loss") if loss < 0.98 * baseline), None)


def _seeds(runs: dict[str, Run], prefix: str) -> list[Run]:
    return [run for name, run in runs.items() if name.startswith(prefix)]


def _honest(run: Run) -> float:
    return (run["result"].get("selected") or run["result"]["best"])["test_accuracy"]


def _percent(share: float) -> str:
    return shown(100 * share, ".2f")


def _time(run: Run) -> str:
    return minutes(float(run["timing"]["seconds"]) if run["timing"] else None)
