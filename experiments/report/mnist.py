"""The section of sequential and permuted MNIST: a table beside the paper, and the figure of test errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.catalogue import EPOCHS
from experiments.packed import Run
from experiments.report.drawing import pyplot, save
from experiments.report.readings import command_of, curve_of, header, percent, time_of
from experiments.report.recommended import RUNS
from experiments.report.tables import table

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


def mnist(runs: dict[str, Run], folder: Path) -> list[str]:
    """Sequential and permuted MNIST by pixels, beside the paper, with the figure of test errors. No runs, no parts."""
    rows = header(f"run|n|params|seed|paper|best test|test at the best validation|epochs|time|by epoch {EPOCHS}")
    for name, run in runs.items():
        if not re.match(r"[sp]mnist-", name) or re.match(RUNS, name):
            continue
        of_paper = name.removesuffix("-1")  # another seed
        paper = f"{PAPER[of_paper]:.2f}" if of_paper in PAPER else "-"
        result, seed = run["result"], str(run["config"]["training"]["seed"])
        if result is None:
            scores = [value for _, value in curve_of(run, "test_accuracy")]
            before = f"{percent(max(scores))}, then diverged" if scores else "diverged"
            size = str(run["config"]["model"]["hidden"])
            rows.append((name, size, "-", seed, paper, before, "-", str(len(scores)), time_of(run), "-"))
            continue
        epoch = result["steps"] // result["epochs"]
        scores = curve_of(run, "test_accuracy")
        early = dict(scores).get(EPOCHS * epoch)
        selected = result.get("selected")
        chosen = f"{percent(selected['test_accuracy'])} ({selected['step'] // epoch})" if selected else "-"
        rows.append(
            (
                name,
                str(result["hidden"]),
                f"{result['parameters']:,}",
                seed,
                paper,
                f"{percent(result['best']['test_accuracy'])} ({result['best']['step'] // epoch})",
                chosen,
                str(result["epochs"]),
                time_of(run),
                "-" if early is None else percent(max(v for s, v in scores if s <= EPOCHS * epoch)),
            )
        )
    if len(rows) == 1:
        return []
    return [
        "## Sequential and permuted MNIST, pixel by pixel",
        "Accuracy in %, with its epoch in brackets. The paper trains on all 60,000 images for 70 epochs and takes the "
        'epoch that is best on the test set. We train on 55,000. The other 5,000 choose the epoch of the column "test '
        'at the best validation"; "best test" is the paper\'s way to choose. The last column is the best test accuracy '
        f"up to epoch {EPOCHS}, for a comparison at equal epochs. asrnn and asrnn-1 are two seeds of the paper's "
        "recipe; expm and expm-1: by the authors' map and angles. bounded: the same, with a D_f whose condition "
        "number is bounded. cosine: bounded, with a rate that falls to 0. lstm is the paper's, with four times the "
        "params; lstm-16k has a recipe of today (Adam, a falling rate). " + command_of("[sp]mnist-*"),
        table(rows),
        *_errors(runs, folder),
    ]


def _errors(runs: dict[str, Run], folder: Path) -> list[str]:
    tasks, paper = {}, {}
    for task, about in (("smnist", "sequential MNIST"), ("pmnist", "permuted MNIST")):
        chosen = {
            name.removeprefix(f"{task}-"): run
            for name, run in runs.items()
            if name.startswith(f"{task}-") and (name.endswith(("-stable-0", "-69k-0")) or not re.match(RUNS, name))
        }
        found = {name: curve_of(run, "test_accuracy") for name, run in chosen.items()}
        curves = {name: [100 - 100 * score for _, score in curve] for name, curve in found.items() if curve}
        if curves:
            tasks[about], paper[about] = curves, 100 - PAPER[f"{task}-asrnn"]
    if not tasks:  # nothing got as far as a test
        return []
    error_curves(tasks, paper, folder / "mnist.png")
    return ["![test error after each epoch](mnist.png)"]


def error_curves(tasks: Mapping[str, Mapping[str, Sequence[float]]], paper: dict[str, float], out: Path) -> None:
    """Draws the test error in % after each epoch: a panel for each task, a line for each run, in the same colour in all
    panels. `paper` is the best error of the paper's asRNN."""
    from matplotlib.ticker import LogLocator, NullFormatter

    from asrnn_jax.plot.style import line, tidy

    figure, axes = pyplot().subplots(1, len(tasks), figsize=(5 * len(tasks), 4.8), layout="constrained", squeeze=False)
    names = sorted({name for runs in tasks.values() for name in runs})
    handles: dict[str, Any] = {}
    for ax, (task, runs) in zip(axes[0], tasks.items()):
        for name, errors in runs.items():
            style = line(names.index(name), len(names))
            (handles[name],) = ax.plot(np.arange(1, len(errors) + 1), errors, **style, label=name)
        best = ax.axhline(paper[task], color="0.45", linewidth=1.0, linestyle=(0, (6, 3)))
        ax.set(yscale="log", title=f"{task} (the paper's asRNN: {paper[task]:.2f})")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        tidy(ax, "epoch", "test error, %", legend=False)
    labels = [*(name for name in names), "the paper's asRNN"]
    figure.legend(
        [*(handles[name] for name in names), best], labels, frameon=False, loc="outside lower center", ncols=4
    )
    save(figure, out)
