"""The figures of the page, as SVG, from the numbers of the result alone."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asrnn_jax.plot.style import COLOURS, line, tidy

WIDTH = 5.6
"""Inches: at 400 pixels text is then still readable."""


def uri(figure: Figure) -> str:
    """A figure as a data URI of SVG, the same for the same figure."""
    file = io.BytesIO()
    # Text stays text, which the browser sets: it has letters of every script, the fonts of matplotlib have not.
    with matplotlib.rc_context({"svg.hashsalt": "asrnn_jax", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        metadata: Any = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(file, format="svg", metadata=metadata)
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def figures(result: dict[str, Any]) -> dict[str, str]:
    """All figures that a result has numbers for, by name, as data URIs."""
    made: dict[str, Callable[[dict[str, Any]], Figure | None]] = {
        "along": along,
        "stretch": stretch,
        "disturbed": disturbances,
        "training": training,
        "reach": reach,
        "contributions": contributions,
    }
    drawn = {name: draw(result) for name, draw in made.items()}
    return {name: uri(figure) for name, figure in drawn.items() if figure is not None}


def along(result: dict[str, Any]) -> Figure | None:
    """Accuracy (or error) in tenths of the stream: the network with resets and without, and the baseline."""
    answer, methods = result["answer"], result["methods"]
    best, plain = methods[answer["best"]], methods[answer["baseline"]]
    ideal = "reset at streams and gaps" if result["kind"] == "forecast" else "reset at each event"
    names = {"oracle": ideal, "streams": "reset at each stream", "never": "never reset"}
    lines = {
        f"{answer['best']}, {names[mode]}": best["modes"][mode]["along"] for mode in names if mode in best["modes"]
    }
    lines[answer["baseline"]] = plain["along"]
    ax = _axes(2.9)
    for i, (name, values) in enumerate(lines.items()):
        ax.plot(np.arange(1, len(values) + 1), _floats(values), label=name, **line(i, len(lines)))
    y = "error" if result["kind"] == "forecast" else "accuracy"
    if y == "accuracy":
        ax.set_ylim(0, 1.03)
    else:
        ax.set_ylim(bottom=0)
    return tidy(ax, "tenth of the test streams", y).figure  # pyright: ignore[reportReturnType]


def stretch(result: dict[str, Any]) -> Figure | None:
    """Truth and answers along a stretch of the test streams."""
    found = result.get("stretch")
    if found is None:
        return None
    return _forecast_stretch(result, found) if result["kind"] == "forecast" else _class_stretch(result, found)


def _class_stretch(result: dict[str, Any], found: dict[str, Any]) -> Figure:
    names = result["data"]["classes"]
    p, labels = _floats(found["probabilities"]), np.array(found["labels"])
    ax = _axes(3.0)
    at = found["start"] + np.arange(p.shape[1])
    for i, row in enumerate(p[: len(COLOURS)]):
        ax.plot(at, row, label=names[i], color=COLOURS[i], linewidth=1.3)
        ax.fill_between(at, 1.02, 1.1, where=labels == i, color=COLOURS[i], linewidth=0, step="mid")
    ax.set_ylim(0, 1.12)
    return _below(tidy(ax, "step", "probability (bar on top: truth)", legend=False))


def _forecast_stretch(result: dict[str, Any], found: dict[str, Any]) -> Figure:
    ax = _axes(3.0)
    at = found["start"] + np.arange(len(found["truth"]))
    ax.fill_between(
        at, _floats(found["low"]), _floats(found["high"]), color=COLOURS[5], alpha=0.4, label="90 % interval"
    )
    ax.plot(at, _floats(found["truth"]), color=COLOURS[6], linewidth=1.0, label=found["target"])
    ax.plot(at, _floats(found["mean"]), color=COLOURS[1], linewidth=1.2, label="forecast")
    return tidy(ax, "step", found["target"]).figure  # pyright: ignore[reportReturnType]


def disturbances(result: dict[str, Any]) -> Figure | None:
    """What is left of the accuracy under drift and failures (or how the error grows)."""
    changed = result["disturbed"]["changed"]
    score = "error" if result["kind"] == "forecast" else "accuracy"
    kinds = ["undisturbed", *changed]
    before = result["methods"][result["answer"]["best"]][score]["value"]
    values = _floats([before, *(one[score] for one in changed.values())])
    ax = _axes(0.8 + 0.24 * len(kinds))
    ax.barh(kinds[::-1], values[::-1], color=[*[COLOURS[0]] * (len(kinds) - 1), COLOURS[6]], height=0.65)
    if score == "accuracy":
        ax.set_xlim(0, 1)
    return tidy(ax, score, "", legend=False).figure  # pyright: ignore[reportReturnType]


def training(result: dict[str, Any]) -> Figure | None:
    """Norm of the gradient along the training of each network."""
    ax = _axes(2.6)
    networks = {name: one["history"] for name, one in result["methods"].items() if one["kind"] == "network"}
    for i, (name, history) in enumerate(networks.items()):
        norms = np.maximum(_floats(history["gradient_norm"]), 1e-12)
        ax.plot(np.arange(1, len(norms) + 1) / max(len(norms), 1), norms, label=name, **line(i, len(networks)))
    ax.set_yscale("log")
    return _below(tidy(ax, "share of the training", "norm of the gradient", legend=False))


def reach(result: dict[str, Any]) -> Figure | None:
    """How much of the gradient arrives so many steps back, and the spectrum of the Jacobian."""
    found = result["stability"]
    figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    norms = _floats(found["gradient_reach"])
    left.plot(np.arange(len(norms))[::-1], np.maximum(norms, 1e-12), color=COLOURS[0])
    left.set_yscale("log")
    tidy(left, "steps back", "gradient, share", legend=False)
    sigma = _floats(found["spectrum"])
    right.plot(np.arange(1, len(sigma) + 1), sigma, color=COLOURS[1])
    right.axhline(1, color="0.6", linewidth=0.8)
    right.set_ylim(bottom=0)
    tidy(right, "index", "singular value", legend=False)
    return figure


def contributions(result: dict[str, Any]) -> Figure | None:
    """What each channel contributes along a stretch, in nats."""
    found = result["contributions"]
    values = _floats(found["stretch"])
    if values.size == 0 or not np.isfinite(values).any():
        return None
    most = float(np.nanquantile(np.abs(values), 0.98)) or 1.0
    ax = _axes(1.2 + 0.22 * len(values))
    end = found["start"] + values.shape[1]
    image = ax.imshow(
        values, aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest",
        extent=(found["start"], end, len(values) - 0.5, -0.5),
    )  # fmt: skip
    ax.set_yticks(range(len(found["names"])), [_short(name) for name in found["names"]])
    ax.figure.colorbar(image, ax=ax, label="deviations" if result["kind"] == "forecast" else "nats")
    ax.set_xlabel("step")
    return ax.figure  # pyright: ignore[reportReturnType]


def _below(ax: Axes) -> Figure:
    """The figure with its legend below, where it hides nothing."""
    ax.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.25))
    return ax.figure  # pyright: ignore[reportReturnType]


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def _axes(height: float) -> Axes:
    return Figure(figsize=(WIDTH, height), layout="constrained").subplots()


def _floats(values: Any) -> np.ndarray:
    """NaN for None."""
    return np.array(values, float)
