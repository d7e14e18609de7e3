"""Trained networks on disturbed inputs and with weights of fewer bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import asrnn_jax
from asrnn_jax.cell import Cell, as_weights
from asrnn_jax.export import narrow, widen
from experiments.config import Pixels, Stream
from experiments.data.samples import Samples, load_samples
from experiments.errors import UsageError
from experiments.folder import made, write_json
from experiments.report.drawing import pyplot, save
from experiments.report.tables import shown, table, typed
from experiments.tasks import make_task
from experiments.tools.evaluate import config_of, file_names, loaded

ROWS = 250  # sequences that are run at a time


@dataclass(frozen=True)
class Robustness:
    """Test trained networks on disturbed inputs and with narrow weights, in one table."""

    pretrained: tuple[str, ...]
    """Names of networks that come with the package, or paths of files. All are of one task."""
    data_dir: str | None = None
    """Folder with the data of their task."""
    samples: int = 2000
    """Number of test samples."""
    out: str = "robustness"
    """Folder of the table, the figure and the numbers."""
    seed: int = 0
    """Seed of the disturbances, which are the same for every network."""

    def __post_init__(self):
        if self.samples < 1:
            raise UsageError(f"--samples {self.samples}: give at least 1.")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: give at least 0.")
        if not self.pretrained:
            raise UsageError("--pretrained: name at least one network.")


def noise(rng: np.random.Generator, xs: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray | None]:
    return xs + level * rng.normal(size=xs.shape).astype(xs.dtype), None


def blank(rng: np.random.Generator, xs: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray | None]:
    return np.where(rng.uniform(size=xs.shape[:2])[..., None] < level, 0, xs).astype(xs.dtype), None


def skipped(rng: np.random.Generator, xs: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray | None]:
    return xs, rng.uniform(size=xs.shape[:2]) >= level


def warp(rng: np.random.Generator, xs: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Faster in one half, slower in the other: t + level T sin(2 pi t / T) u / (2 pi), u in [-1, 1], nearest step."""
    T = xs.shape[1]
    t = np.arange(T) / T
    moved = t + level * rng.uniform(-1, 1, (len(xs), 1)) * np.sin(2 * np.pi * t) / (2 * np.pi)
    return np.take_along_axis(xs, np.clip(np.rint(moved * T), 0, T - 1).astype(int)[..., None], axis=1), None


def drift(rng: np.random.Generator, xs: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray | None]:
    """A ramp from 0 to +-level over the sequence, in all channels."""
    ramp = np.linspace(0, 1, xs.shape[1])[None, :, None] * rng.choice([-1, 1], (len(xs), 1, 1))
    return (xs + level * ramp).astype(xs.dtype), None


Disturbance = Callable[[np.random.Generator, np.ndarray, float], tuple[np.ndarray, np.ndarray | None]]
DISTURBANCES: dict[str, tuple[Disturbance, tuple[float, ...]]] = {
    "noise, standard deviation": (noise, (0.05, 0.1, 0.2, 0.4)),
    "steps blank, share": (blank, (0.02, 0.05, 0.1, 0.2)),
    "steps skipped, share": (skipped, (0.02, 0.05, 0.1, 0.2)),
    "time warp, rate": (warp, (0.05, 0.1, 0.2, 0.4)),
    "drift, to": (drift, (0.05, 0.1, 0.2, 0.4)),
}


WEIGHTS: dict[str, Any] = {"bfloat16": "bfloat16", "int16": 16, "int8": 8, "int6": 6, "int4": 4}
PARAMS = {"int8": 8, "int6": 6, "int4": 4}  # rounded before the map: what is orthogonal stays orthogonal


def robustness(settings: Robustness) -> str:
    """Measures every network under every disturbance; writes the table, a figure and the numbers.

    Raises:
      UsageError: unknown networks, networks of several tasks, data that are missing.
    """
    out = made(settings.out)
    networks = [loaded(name) for name in settings.pretrained]
    samples = _samples(networks, settings)
    names = file_names(settings.pretrained)
    found: dict[str, dict[str, list[float]]] = {"clean": {"": []}}
    for cell, params, _ in networks:
        accuracy = partial(_accuracy, cell, samples=samples)
        found["clean"][""].append(accuracy(params))
        for about, (disturb, levels) in DISTURBANCES.items():
            for level in levels:
                rng = np.random.default_rng(settings.seed)  # anew, so that steps blank are the steps skipped
                xs, mask = disturb(rng, samples.xs, level)
                value = accuracy(params, xs=xs, mask=mask)
                found.setdefault(about, {}).setdefault(f"{level:g}", []).append(value)
        for about, to in WEIGHTS.items():
            narrowed = widen(narrow(as_weights(cell, params), to))
            found.setdefault("weights", {}).setdefault(about, []).append(accuracy(narrowed))
        for about, to in PARAMS.items():
            found.setdefault("params", {}).setdefault(about, []).append(accuracy(widen(narrow(params, to))))
        halves = accuracy(params, dtype=jnp.bfloat16)
        found.setdefault("computed in", {}).setdefault("bfloat16", []).append(halves)
    measured = {"networks": names, "samples": len(samples.labels), "accuracy": found}
    write_json(out / "robustness.json", measured)
    text = page(settings, measured)
    (out / "robustness.md").write_text(f"# Robustness\n\n{text}\n")
    draw(names, found, out / "robustness.png")
    return text


def page(settings: Robustness, measured: dict[str, Any]) -> str:
    """The table, from what is in robustness.json."""
    rows = [("what", "level", *measured["networks"])]
    for about, levels in measured["accuracy"].items():
        rows += [(about, level, *(shown(100 * value) for value in values)) for level, values in levels.items()]
    return (
        f"Accuracy in %, {measured['samples']:,} test samples, each by itself from the start.\n\n"
        f"    {typed('robustness', settings)}\n\n{table(rows)}"
    )


def _samples(networks: list[tuple[Cell, Any, dict[str, Any]]], settings: Robustness) -> Samples:
    configs = [config_of(card, settings.data_dir) for _, _, card in networks]
    first = configs[0]
    if isinstance(first, Stream):
        same = all(isinstance(c, Stream) and (c.dataset, c.by) == (first.dataset, first.by) for c in configs)
        _, test, _ = load_samples(first)
    elif isinstance(first, Pixels):
        same = all(
            isinstance(c, Pixels) and (c.dataset, c.rows, c.permute) == (first.dataset, first.rows, first.permute)
            for c in configs
        )
        test = _sequences(first)
    else:
        raise UsageError("--pretrained: only networks that classify images or speech have an accuracy to lose.")
    if not same:
        raise UsageError("--pretrained: these networks are of several tasks; give those of one.")
    # Files are often in the order of their classes, so the first would be of one.
    chosen = np.sort(np.random.default_rng(0).permutation(len(test.labels))[: settings.samples])
    return Samples(test.xs[chosen], test.labels[chosen], test.lengths[chosen])


def _sequences(config: Pixels) -> Samples:
    task = make_task(config)
    xs, labels = [], []
    for batch, weights in task.tests():
        xs.append(np.asarray(task.xs(batch))[weights > 0])
        labels.append(batch[1][weights > 0])
    every = np.concatenate(xs)
    return Samples(every, np.concatenate(labels), np.full(len(every), every.shape[1]))


def _accuracy(
    cell: Cell, params: Any, *, samples: Samples, xs: Any = None, mask: Any = None, dtype: Any = None
) -> float:
    xs = samples.xs if xs is None else xs
    right = 0
    for start in range(0, len(xs), ROWS):
        rows = slice(start, start + ROWS)
        there = np.arange(xs.shape[1]) < samples.lengths[rows, None]
        there = there if mask is None else there & mask[rows]
        logits = _logits(cell, dtype, params, xs[rows], there)
        right += int((np.asarray(logits).argmax(-1) == samples.labels[rows]).sum())
    return right / len(xs)


@partial(jax.jit, static_argnums=(0, 1))
def _logits(cell: Cell, dtype: Any, params: Any, xs: jax.Array, mask: jax.Array) -> jax.Array:
    return asrnn_jax.run(cell, params, xs, mask=mask, outputs="last", dtype=dtype)[1]


def draw(names: Sequence[str], found: dict[str, dict[str, list[float]]], out: Path) -> None:
    """Draws accuracy against the level of each disturbance, a line a network."""
    from asrnn_jax.plot.style import COLOURS, tidy

    clean = found["clean"][""]
    panels = [about for about in found if about not in ("clean", "computed in")]
    figure, axes = pyplot().subplots(
        2, -(-len(panels) // 2), figsize=(3.4 * -(-len(panels) // 2), 6), layout="constrained", sharey=True
    )
    for ax, about in zip(axes.flat, panels):
        levels = found[about]
        ticks = ["float32" if about in ("weights", "params") else "0", *levels]
        for i, name in enumerate(names):
            values = [clean[i], *(level[i] for level in levels.values())]
            style = {"color": COLOURS[i % len(COLOURS)], "marker": "os^Dvx"[i % 6], "markersize": 4}
            ax.plot(range(len(ticks)), [100 * value for value in values], label=name, **style)
        ax.set_xticks(range(len(ticks)), ticks)
        tidy(ax, about, "accuracy, %" if ax in axes[:, 0] else "", legend=ax is axes.flat[0])
    for ax in list(axes.flat)[len(panels) :]:
        ax.set_visible(False)
    save(figure, out)
