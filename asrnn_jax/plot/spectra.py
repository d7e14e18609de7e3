"""Singular values of Jacobians, and maps of units over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from asrnn_jax.plot.style import COLOURS, array, axes, heat_map, line, tidy

JACOBIAN = {"state": r"$\partial h_t / \partial h_{t-1}$", "carry": r"$\partial g_t / \partial g_{t-1}$ (the carry)"}


def spectrum(
    values: Any,
    *,
    x: Any = None,
    x_label: str = "time t",
    bounds: tuple[Any, Any] | None = None,
    coordinates: str = "state",
    label: str | None = None,
    colour: str = COLOURS[0],
    ax: Axes | None = None,
) -> Axes:
    """Singular values over time (or over training): median, the middle half, and all from smallest to largest.

    Args:
      values: ``(*B, N, D)``, for example of `asrnn_jax.analysis.jacobian_spectrum`.
      x: ``(N,)``, for example training steps; by default 1 .. N.
      x_label: of the axis.
      bounds: lower and upper bound ``(*B, N)`` each, for example of `asrnn_jax.analysis.asrnn_bounds`; drawn as lines.
      coordinates: which Jacobian it is, "state" or "carry", for the axis' label.
      label: name of the line, where several are drawn into one Axes.
      colour: of the ribbons.
      ax: where to draw; a new figure by default.

    Raises:
      ValueError: values with fewer than two axes, coordinates that are not "state" or "carry".
    """
    values = np.asarray(values)
    if values.ndim < 2 or coordinates not in JACOBIAN:
        raise ValueError(
            f"values has shape {values.shape}, coordinates={coordinates!r}: pass (*B, N, D) and 'state' or 'carry'."
        )
    ax = axes(ax)
    flat = np.moveaxis(values, -2, 0).reshape(values.shape[-2], -1)
    x = np.arange(1, len(flat) + 1) if x is None else np.asarray(x)
    least, low, middle, high, most = np.quantile(flat, [0, 0.25, 0.5, 0.75, 1], axis=1)
    what = f"{label}: " if label else ""
    ax.fill_between(x, least, most, color=colour, alpha=0.15, linewidth=0, label=f"{what}all")
    ax.fill_between(x, low, high, color=colour, alpha=0.35, linewidth=0, label=f"{what}middle half")
    ax.plot(x, middle, color=colour, linewidth=1.6, label=f"{what}median")
    if bounds is not None:
        for i, (bound, reduce) in enumerate(zip(bounds, (np.min, np.max))):
            bound = np.asarray(bound).reshape(-1, len(x))
            ax.plot(x, reduce(bound, axis=0), color="0.3", linestyle="--", linewidth=1, label=None if i else "bounds")
    ax.axhline(1, color="0.45", linewidth=0.8)
    if least.min() > 0 and most.max() > 10 * least.min():
        ax.set_yscale("log")
    return tidy(ax, x_label, f"singular values of {JACOBIAN[coordinates]}")


def spectrum_map(values: Any, *, x: Any = None, x_label: str = "time t", ax: Axes | None = None) -> Axes:
    """All singular values over time as a heat map: blue below 1 (forgotten), red above 1 (amplified), white at 1.

    Args:
      values: ``(N, D)``, of one batch element.
      x: ``(N,)``; by default 1 .. N.
      x_label: of the axis.
      ax: where to draw; a new figure by default.

    Raises:
      ValueError: values that are not (N, D).
    """
    values = array("values", values, (2,), "(N, D), of one batch element")
    ax = axes(ax)
    with np.errstate(divide="ignore"):
        log = np.log10(values.T)
    most = np.clip(np.abs(log[np.isfinite(log)]).max(initial=1e-3), 0.05, 6)
    x = np.arange(1, len(values) + 1) if x is None else np.asarray(x)
    index = np.arange(1, values.shape[1] + 1)
    heat_map(ax, x, index, np.maximum(log, -most), r"$\log_{10} \sigma$", cmap="RdBu_r", vmin=-most, vmax=most)
    ax.set(xlabel=x_label, ylabel="index, largest first")
    ax.invert_yaxis()
    return ax


def temporal_spectrum(spans: Any, spectra: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Singular values of ``dh_t / dh_s`` against the span t - s, a line (median) and a band (all) for each cell.

    Args:
      spans: ``(K,)`` steps.
      spectra: ``{name: natural logarithms (K, D)}`` of `asrnn_jax.analysis.temporal_spectrum`.
      ax: where to draw; a new figure by default.

    Raises:
      ValueError: logarithms that are not (K, D).
    """
    ax = axes(ax)
    lowest = 0.0
    for i, (name, logs) in enumerate(spectra.items()):
        logs = array(name, logs, (2,), "logarithms (K, D), of one batch element") / np.log(10)
        logs = np.where(logs < -1e20, np.nan, logs)  # exact zeros
        look = line(i, len(spectra))
        top, middle, low = np.nanmax(logs, axis=1), np.nanmedian(logs, axis=1), np.nanmin(logs, axis=1)
        ax.fill_between(spans, low, top, color=look["color"], alpha=0.12, linewidth=0)
        ax.plot(spans, top, **{**look, "linewidth": 0.8})
        ax.plot(spans, middle, **look, label=name)
        lowest = min(lowest, float(np.nanmin(middle)))
    ax.axhline(0, color="0.45", linewidth=0.8)
    ax.set_ylim(bottom=1.5 * lowest - 1)
    return tidy(ax, "span t - s", r"$\log_{10}$ singular values of $\partial h_t / \partial h_s$")


def saturation_map(slope: Any, *, label: str = "effective slope", ax: Axes | None = None) -> Axes:
    """Units over time: dark is saturated (slope 0), light is linear (slope 1).

    Args:
      slope: ``(T, H)`` in [0, 1]: `asrnn_jax.analysis.Saturation.slope` of one batch element; of gates its ``value``.
      label: of the colours.
      ax: where to draw; a new figure by default.

    Raises:
      ValueError: a slope that is not (T, H).
    """
    slope = array("slope", slope, (2,), "(T, H), of one batch element")
    ax = axes(ax)
    order = np.argsort(slope.mean(axis=0))
    time, units = (np.arange(1, size + 1) for size in slope.shape)
    heat_map(ax, time, units, slope.T[order], label, cmap="cividis", vmin=0, vmax=1)
    ax.set(xlabel="time t", ylabel="units, most saturated first")
    return ax
