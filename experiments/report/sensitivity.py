"""The section of learning rates and initial D_f: a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.catalogue import RATES, STARTS
from experiments.packed import Run
from experiments.report.drawing import pyplot, save
from experiments.report.readings import command_of


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
    heat(values, diverged, labels, [f"{rate:g}" for rate in RATES], folder / "sensitivity.png")
    return [
        "## Learning rate and initial D_f",
        "Test accuracy in % of the best epoch: digits by pixels, 30 epochs, 64 units, RMSprop, one seed. "
        + command_of("sensitivity-*"),
        "![accuracy for each rate and start](sensitivity.png)",
    ]


def heat(values: np.ndarray, diverged: np.ndarray, rows: Sequence[str], columns: Sequence[str], out: Path) -> None:
    """Draws accuracies in % as a heat map, a column for each learning rate. NaN: the run diverged, or there is none."""
    figure, ax = pyplot().subplots(figsize=(1.6 + 0.95 * len(columns), 1.2 + 0.42 * len(rows)), layout="constrained")
    ax.set_facecolor("0.9")
    lowest = min(90, 10 * np.floor(np.nanmin(values, initial=100) / 10))
    mesh = ax.imshow(values, cmap="cividis", aspect="auto", vmin=lowest, vmax=100)
    for (i, j), value in np.ndenumerate(values):
        text = f"{value:.1f}" if np.isfinite(value) else "diverged" if diverged[i, j] else ""
        dark = value < (lowest + 100) / 2
        ax.text(j, i, text, ha="center", va="center", color="white" if dark else "black", fontsize=8)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xlabel("learning rate")
    figure.colorbar(mesh, ax=ax, label="accuracy, %")
    save(figure, out)
