"""The audit of a model's resets as one figure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from asrnn_jax.plot.style import COLOURS, line, tidy

if TYPE_CHECKING:
    from asrnn_jax.audit import Found


def audit(found: Found) -> np.ndarray:
    """Six panels of what `asrnn_jax.audit.resets` found, under its verdict.

    The score by policy with its interval; along the streams; by time since the last reset; of samples after gaps, by
    their length; the state, never reset; how far outputs depend on the past.

    Args:
      found: what `asrnn_jax.audit.resets` returned.

    Returns:
      The Axes, ``(2, 3)``.
    """
    figure, axes = plt.subplots(2, 3, figsize=(14, 7.4), layout="constrained")
    figure.suptitle(textwrap.fill(f"{found.model}: {found.verdict}", 130), fontsize=10.5)
    panels = {
        "by reset policy": _policies,
        "along the streams": _along,
        "by time since the last reset": _since,
        "samples after a past": _gaps,
        "the state, never reset": _state,
        "effective remembrance": _memory,
    }
    for ax, (title, panel) in zip(axes.flat, panels.items()):
        panel(ax, found)
        ax.set_title(title, fontsize=10)
    return axes


def _unit(found: Found) -> tuple[float, str]:
    return (100.0, f"{found.scale.name}, %") if found.scale.share else (1.0, found.scale.name)


def _shown(found: Found) -> list[int]:
    """Never, oracle, the best and the worst of the others: more lines cannot be told apart."""
    others = [i for i, row in enumerate(found.rows) if row.policy not in ("never", "oracle")]
    by_gain = sorted(
        (i for i in others if np.isfinite(found.rows[i].gain.value)), key=lambda i: found.rows[i].gain.value
    )
    fixed = [i for i, row in enumerate(found.rows) if row.policy in ("never", "oracle")]
    return [*fixed, *dict.fromkeys([*by_gain[-1:], *by_gain[:1]])]


def _lines(found: Found) -> Iterator[tuple[int, dict]]:
    """Which policies are shown, and how: never and oracle look the same in all panels."""
    chosen = _shown(found)
    for i, p in enumerate(chosen):
        policy = found.rows[p].policy
        yield p, {"label": policy, "marker": ".", **line({"never": 1, "oracle": 0}.get(policy, i), len(chosen))}


def _policies(ax: Axes, found: Found) -> None:
    factor, label = _unit(found)
    at = np.arange(len(found.rows))[::-1]
    for y, row in zip(at, found.rows):
        colour = COLOURS[1] if row.policy == "never" else COLOURS[0]
        ax.plot([factor * row.score.low, factor * row.score.high], [y, y], color=colour, linewidth=2)
        ax.plot(factor * row.score.value, y, "o", color=colour, markersize=5)
    ax.axvline(factor * found.rows[0].score.value, color=COLOURS[1], linewidth=0.8, linestyle=":")
    ax.set_yticks(at, [row.policy for row in found.rows], fontsize=8)
    tidy(ax, f"{label} (95 % interval)", "", legend=False)


def _along(ax: Axes, found: Found) -> None:
    factor, label = _unit(found)
    parts = found.by_part.shape[1]
    at = (np.arange(parts) + 0.5) * found.steps / parts
    for p, style in _lines(found):
        ax.plot(at, factor * found.by_part[p], **style)
    tidy(ax, "step", label)


def _since(ax: Axes, found: Found) -> None:
    factor, label = _unit(found)
    for p, style in _lines(found):
        known = np.isfinite(found.by_since[p])
        ax.plot(np.maximum(found.times[known], 0.5), factor * found.by_since[p][known], **style)
    ax.set_xscale("log")
    tidy(ax, "steps since the last reset, at least", label)


def _gaps(ax: Axes, found: Found) -> None:
    factor, label = _unit(found)
    if not found.gaps:
        ax.text(0.5, 0.5, "too few whole samples", ha="center", va="center", transform=ax.transAxes)
        return
    ax.axhline(factor * found.fresh, color="0.5", linewidth=1, linestyle=":", label="from a fresh state")
    for i, gap in enumerate(found.gaps):
        style = line(i, len(found.gaps))
        ax.plot(gap.lengths, factor * gap.score, marker=".", label=f"after {gap.kind}", **style)
        if gap.collapses is not None:
            ax.axvline(gap.collapses, color=style["color"], linewidth=0.8, linestyle=":")
            ax.plot(gap.collapses, ax.get_ylim()[0], marker="^", color=style["color"], clip_on=False)
    ax.set_xscale("symlog", linthresh=10)
    ax.set_xlim(left=0)
    tidy(ax, "steps of it (triangle: worse from there)", label)


def _state(ax: Axes, found: Found) -> None:
    report = found.state
    parts = len(report.norm)
    at = (np.arange(parts) + 0.5) * found.steps / parts
    curves = [("units outside of their first range", report.outside), ("units that no longer move", report.still)]
    if report.saturated is not None:
        curves.append(("saturated, more than at first", report.saturated))
    for i, (name, values) in enumerate(curves):
        ax.plot(at, 100 * values, label=name, marker=".", **line(i + 1, 4))
    tidy(ax, "step", "% of the units", legend=False)
    most = max(float(np.nanmax(np.nan_to_num(values))) for _, values in curves)
    ax.set_ylim(top=max(5, 130 * most))
    other = ax.twinx()
    other.plot(at, report.norm, label="norm, over that at first (right)", **line(0, 4))
    other.set_ylim(0, max(1.2, 1.1 * np.nanmax(report.norm, initial=1.0)))
    other.spines[["top"]].set_visible(False)
    handles = [handle for each in (ax, other) for handle in each.get_legend_handles_labels()[0]]
    other.legend(handles=handles, frameon=False, fontsize=8)


def _memory(ax: Axes, found: Found) -> None:
    at = np.arange(1, len(found.memory.fresh) + 1)
    for i, (name, values) in enumerate((("fresh", found.memory.fresh), ("of another past", found.memory.other))):
        ax.plot(at, np.maximum(values, 1e-8), label=f"carried and {name}", **line(i, 2))
    if found.memory.agrees is not None:
        ax.axvline(max(1, found.memory.agrees), color="0.5", linewidth=0.8, linestyle=":")
    least = np.nanmin(np.r_[1e-2, found.memory.fresh, found.memory.other])
    ax.set(xscale="log", yscale="log", ylim=(max(1e-6, least / 2), 1.5))
    tidy(ax, "steps since the pasts ended", "distance of the outputs")
