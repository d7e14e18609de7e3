"""One line a run or a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from asrnn_jax.plot.style import array, axes, line, tidy


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
    ax = axes(ax)
    for i, (name, (x, y)) in enumerate(curves.items()):
        marker = "o" if len(np.atleast_1d(x)) < 30 else None
        ax.plot(x, y, **line(i, len(curves)), label=name, marker=marker, markersize=4)
    if baseline is not None:
        name, level = baseline
        ax.axhline(level, color="0.45", linewidth=1.0, linestyle=(0, (6, 3)), label=f"{name} ({level:.3g})")
    if log:
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return tidy(ax, x_label, y_label)


def gradient_reach(curves: Mapping[str, Any], *, relative: bool = True, ax: Axes | None = None) -> Axes:
    """How far gradients reach back, one line a cell.

    Args:
      curves: ``{name: norms (T + 1,) or (*B, T + 1)}`` of `asrnn_jax.analysis.gradient_norms`; geometric means over
        the batch are drawn. A gradient of exactly 0 is left out.
      relative: over the norm at the last step.
      ax: where to draw; a new figure by default.
    """
    ax = axes(ax)
    for i, (name, norms) in enumerate(curves.items()):
        norms = np.asarray(norms, float).reshape(-1, np.shape(norms)[-1])
        with np.errstate(divide="ignore"):
            log = np.log10(norms).mean(axis=0)
        log = np.where(np.isfinite(log), log - (log[-1] if relative else 0), np.nan)
        ax.plot(np.arange(len(log))[::-1], 10.0**log, **line(i, len(curves)), label=name)
    ax.set_yscale("log")
    share = r"$\|\partial L / \partial h_t\|$" + (r" / $\|\partial L / \partial h_T\|$" if relative else "")
    return tidy(ax, "steps back in time, T - t", share)


def lyapunov(spectra: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Lyapunov exponents with their standard errors, one line a cell.

    Args:
      spectra: ``{name: asrnn_jax.analysis.Lyapunov or exponents (k,)}`` of one input.
      ax: where to draw; a new figure by default.
    """
    ax = axes(ax)
    for i, (name, spectrum) in enumerate(spectra.items()):
        exponents = array(name, getattr(spectrum, "exponents", spectrum), (1,), "the exponents (k,) of one input")
        error = getattr(spectrum, "standard_error", None)
        index = np.arange(1, len(exponents) + 1)
        ax.errorbar(index, exponents, yerr=error, **line(i, len(spectra)), label=name, capsize=2, marker=".")
    ax.axhline(0, color="0.45", linewidth=1.0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return tidy(ax, "index", "Lyapunov exponent, nats a step")
