"""What all figures share."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

# Okabe-Ito: told apart by colour-blind readers; line styles keep them apart in grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The colours of lines, in their order; they can be told apart by colour-blind readers."""
STYLES = ("-", "--", "-.", ":")
"""The dashes of lines, in their order."""


def line(i: int, of: int) -> dict:
    """Colour and style of the i-th line of so many."""
    style = STYLES[i // len(COLOURS) % 4 if of > 7 else i % 4]
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": style, "linewidth": 1.6}


def axes(ax: Axes | None, size: tuple[float, float] = (7, 4.2)) -> Axes:
    """The Axes asked for, or those of a new figure."""
    return ax if ax is not None else plt.subplots(figsize=size, layout="constrained")[1]


def tidy(ax: Axes, x_label: str, y_label: str, legend: bool = True) -> Axes:
    ax.set(xlabel=x_label, ylabel=y_label)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    if legend:
        ax.legend(frameon=False, fontsize=9)
    return ax


def heat_map(ax: Axes, x, y, values, label: str, *, pad: float | None = None, **style) -> None:
    """Values ``(len(y), len(x))`` as colours, with a bar that says what they are."""
    mesh = ax.pcolormesh(x, y, values, shading="nearest", rasterized=True, **style)
    place: Any = {} if pad is None else {"pad": pad}
    ax.figure.colorbar(mesh, ax=ax, label=label, **place)


def array(name: str, values, ranks: tuple[int, ...], shape: str) -> np.ndarray:
    """Values as a NumPy array.

    Raises:
      ValueError: another number of axes.
    """
    values = np.asarray(values)
    if values.ndim not in ranks:
        raise ValueError(f"{name} has shape {values.shape}: pass {shape}.")
    return values
