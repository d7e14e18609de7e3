"""The sections of the page of results: a table and a figure each, from the finished runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.catalogue import ABLATION, EPOCHS, OWN, STABLE, TEXT_RATES, stable_name
from experiments.packed import Run
from experiments.report.curves import learning_curves
from experiments.report.readings import command_of, crossing, curve_of, header, honest_accuracy, of_seeds, time_of
from experiments.report.tables import spread, table

TEXT = (
    "Bits per character of Shakespeare's plays, one seed. The rate of the long runs is the best of short runs by "
    "validation; cosine: it falls to 0."
)


def copying(runs: dict[str, Run], folder: Path) -> list[str]:
    """Copying memory at both delays, with the figure of each. No runs, no parts."""
    parts = []
    for delay in (1000, 2000):
        chosen = {n: r for n, r in runs.items() if n.startswith(f"copy-{delay}-")}
        if not chosen:
            continue
        rows = header("run|n|params|2 % below the baseline at|at 1,500|at the end|best test|time")
        baseline = None
        for name, run in chosen.items():
            curve = curve_of(run, "train_loss")
            if run["result"] is None:
                rows.append((name, str(run["config"]["model"]["hidden"]), *("-",) * 4, "diverged", time_of(run)))
                continue
            baseline = run["result"]["baseline"][1]
            below = crossing(run)
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
                    time_of(run),
                )
            )
        figure = f"copy-{delay}.png"
        finished = [run for run in chosen.values() if run["result"] is not None]
        if finished:
            learning_curves(finished, folder / figure)
        parts += [
            f"## Copying memory, L = {delay}",
            f"Cross-entropy in nats over all steps of the sequence; a network without memory has {baseline or 0:.4f}. "
            "The paper's asRNN is below that by about iteration 300 and near 0 by 1,500. Its expRNN (dtriv) is a "
            f"little sooner, and its LSTM stays at that value. One seed. {command_of(f'copy-{delay}-*')}",
            table(rows),
            f"![cross-entropy against iteration]({figure})",
        ]
    return parts


def ablation(runs: dict[str, Run]) -> list[str]:
    """The table of the ablation of D_f and of the map of W_hh, over seeds. No runs, no parts."""
    rows = header("variant|copying, L = 500: loss at the end|2 % below the baseline at|seeds|MNIST by rows: test|seeds")
    for about in ABLATION:
        kinds = {task: of_seeds(runs, _ablated(task, about)) for task in OWN}
        if not any(kinds.values()):
            continue
        ends, crossings = [], []
        for run in kinds["copy"]:
            if run["result"] is None:
                continue
            ends.append(curve_of(run, "train_loss")[-1][1])
            crossings.append(crossing(run))
        accuracies = [100 * honest_accuracy(run) for run in kinds["rows"] if run["result"] is not None]
        crossed = ", ".join("never" if c is None else str(c) for c in crossings) or "-"
        loss = f"{np.mean(ends):.2g}" if ends else "-"
        loss += f" ({min(ends):.2g} to {max(ends):.2g})" if len(ends) > 1 else ""
        rows.append((about, loss, crossed, str(len(ends)), spread(accuracies, ".2f"), str(len(accuracies))))
    if len(rows) == 1:
        return []
    return [
        "## What adaptivity and the map are worth",
        "asRNN with the settings of the tables above and one thing changed. Copying memory: 1,500 iterations. "
        "Sequential MNIST by rows: 10 epochs, test accuracy in % at the best validation epoch, mean ± standard "
        'deviation of the seeds. U_f has the map of W_hh, and expm for dtriv. "As in the paper" is dtriv on copying '
        "and Cayley on MNIST, where the authors' code has expm. On copying, bounded kappa starts at D_f = 0.03, not "
        "1e-5. " + command_of("ablation-*"),
        table(rows),
    ]


def _ablated(task: str, about: str) -> str:
    """The beginning of the names of a variant's runs."""
    about = "as in the paper" if about == OWN[task] else about
    return f"ablation-{task}-{about.replace(' ', '-')}-"


def stability(runs: dict[str, Run]) -> list[str]:
    """What penalties on Lyapunov exponents and singular values do to three cells. No runs, no parts."""
    rows = header("cell, penalty|copying, L = 30: loss at the end|recalled|MNIST by rows: loss at the end|test")
    for cell in ("tanh_rnn", "gru", "asrnn"):
        for about in STABLE:
            found = [runs.get(stable_name(about, task, cell)) for task in ("copy", "rows")]
            if not any(found):
                continue
            row = [f"{cell}, {about}"]
            for run, form in zip(found, (".1f", ".2f")):
                final = run and run["result"] and run["result"]["final"]
                ended = "diverged" if run else "-"
                row += [f"{final['test_loss']:.3f}", f"{100 * final['test_accuracy']:{form}}"] if final else [ended] * 2
            rows.append(tuple(row))
    if len(rows) == 1:
        return []
    return [
        "## Penalties on Lyapunov exponents and singular values",
        "Networks of 48 units, one seed. Copying memory, 3 symbols: 800 steps; cross-entropy, where a network without "
        "memory has 0.173, and the share of symbols recalled in %. Sequential MNIST by rows: one epoch; cross-entropy "
        f"and accuracy in %. All of the test. The penalties have weight 1. {command_of('stability-*')}",
        table(rows),
    ]


def text(runs: dict[str, Run]) -> list[str]:
    """Bits per character, and the short runs that chose the rates. No runs, no parts."""
    rows = header("run|n|params|rate|validation|test at the best validation|epochs|time")
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
            rows.append((name, *size, bits, test, str(result["epochs"]), time_of(run)))
    parts = [table(rows)] if len(rows) > 1 else []
    if short:
        grid = [("validation after 2 epochs", *(f"rate {rate:g}" for rate in TEXT_RATES))]
        grid += [(cell, *(bits.get(rate, "-") for rate in TEXT_RATES)) for cell, bits in short.items()]
        parts.append(table(grid))
    return ["## Character text", f"{TEXT} {command_of('text-*')}", *parts] if parts else []


def distillation(runs: dict[str, Run]) -> list[str]:
    """A small network alone and taught, beside its teacher. No runs, no parts."""
    rows = header("network|n|params|test|seeds")
    for about, prefix in (("teacher", "distill-0-teacher"), ("alone", "distill-alone-"), ("taught", "distill-taught-")):
        chosen = [run for run in of_seeds(runs, prefix) if run["result"] is not None]
        if chosen:
            result = chosen[0]["result"]
            accuracies = [100 * honest_accuracy(run) for run in chosen]
            size = (str(result["hidden"]), f"{result['parameters']:,}")
            rows.append((f"{result['cell']}, {about}", *size, spread(accuracies, ".2f"), str(len(chosen))))
    if len(rows) == 1:
        return []
    return [
        "## Distillation",
        f"A large GRU teaches a small asRNN: MNIST by rows, {EPOCHS} epochs. Test accuracy in % at the best validation "
        f"epoch, mean ± standard deviation of the seeds. {command_of('distill-*')}",
        table(rows),
    ]
