"""A stream and what a model says to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from asrnn_jax.plot.style import COLOURS, array, heat_map, tidy


def stream(
    xs: Any,
    probabilities: Any,
    *,
    labels: Any = None,
    informative: Any = None,
    norm: Any = None,
    classes: Sequence[str] | None = None,
) -> np.ndarray:
    """A stretch of a stream: input, informativeness, probabilities of the classes, norm of the state.

    Args:
      xs: ``(T, I)``.
      probabilities: ``(T, C)``.
      labels: ints ``(T,)``; where a sample is, its class is drawn over the probabilities. Where nothing is, give -1.
      informative: ``(T,)`` in [0, 1].
      norm: ``(T,)``.
      classes: names of the classes.

    Returns:
      The Axes, top down, one a panel.

    Raises:
      ValueError: arrays of other ranks or lengths.
    """
    xs = array("xs", xs, (2,), "(T, I)")
    probabilities = array("probabilities", probabilities, (2,), "(T, C)")
    beside = {"probabilities": probabilities, "labels": labels, "informative": informative, "norm": norm}
    for name, values in beside.items():
        if values is not None and len(values) != len(xs):
            raise ValueError(f"{name} has {len(values)} steps, xs {len(xs)}: pass the same stretch of the stream.")
    heights = [1.6, *([0.6] if informative is not None else []), 1.6, *([0.9] if norm is not None else [])]
    _, axes = plt.subplots(
        len(heights),
        figsize=(9, 1.6 * sum(heights) ** 0.9),
        sharex=True,
        layout="constrained",
        height_ratios=heights,
    )
    panels = iter(axes)
    time = np.arange(len(xs))
    ax = next(panels)
    if xs.shape[1] == 1:
        ax.plot(time, xs[:, 0], color=COLOURS[0], linewidth=0.8)
        tidy(ax, "", "input", legend=False)
    else:
        ax.pcolormesh(time, np.arange(xs.shape[1]), xs.T, cmap="cividis", shading="nearest").set_rasterized(True)
        ax.set_ylabel("input")
    if informative is not None:
        ax = next(panels)
        ax.fill_between(time, informative, step="mid", color=COLOURS[2], alpha=0.5, linewidth=0)
        ax.set_ylim(0, 1.05)
        tidy(ax, "", "m", legend=False)
    ax = next(panels)
    index = np.arange(probabilities.shape[1])
    heat_map(ax, time, index, probabilities.T, "probability", pad=0.01, cmap="Greys", vmin=0, vmax=1)
    if labels is not None:
        labels = np.asarray(labels)
        ax.plot(time, np.where(labels < 0, np.nan, labels), color=COLOURS[1], linewidth=2, label="label")
        ax.legend(frameon=False, loc="upper right", fontsize=8)
    ax.set_ylabel("class")
    if classes is not None:
        ax.set_yticks(index, classes, fontsize=7)
    if norm is not None:
        ax = next(panels)
        ax.plot(time, norm, color=COLOURS[3], linewidth=1)
        tidy(ax, "", "|h|", legend=False)
    axes[-1].set_xlabel("step")
    return axes
