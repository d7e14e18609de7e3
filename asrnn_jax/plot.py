"""Figures: arrays in, matplotlib Axes out. Needs matplotlib (the extra "experiments")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

# Okabe-Ito: told apart by colour-blind readers; line styles keep them apart in grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")


def learning_curves(
    curves: Mapping[str, tuple[Any, Any]],
    *,
    x_label: str = "step",
    y_label: str = "loss",
    baseline: tuple[str, float] | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draws one line a run.

    Args:
      curves: ``{name: (x (N,), y (N,))}``.
      x_label: of the axis.
      y_label: of the axis.
      baseline: ``(name, value)`` of a horizontal line.
      log: logarithmic y axis.
      ax: where to draw; a new figure by default.
    """
    ax = ax or plt.subplots(figsize=(7, 4.2), layout="constrained")[1]
    for i, (name, (x, y)) in enumerate(curves.items()):
        marker = "o" if len(np.atleast_1d(x)) < 30 else None
        ax.plot(
            x,
            y,
            STYLES[i // len(COLOURS) % 4 if len(curves) > 7 else i % 4],
            color=COLOURS[i % len(COLOURS)],
            label=name,
            linewidth=1.6,
            marker=marker,
            markersize=4,
        )
    if baseline is not None:
        ax.axhline(
            baseline[1], color="0.45", linewidth=1.0, linestyle=(0, (6, 3)), label=f"{baseline[0]} ({baseline[1]:.3g})"
        )
    if log:
        ax.set_yscale("log")
    ax.set(xlabel=x_label, ylabel=y_label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return ax
