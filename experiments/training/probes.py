"""Records quantities from inside the network while it trains, into probes.jsonl of the run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import analysis
from asrnn_jax.cell import Cell
from experiments.folder import Metrics, read_metrics
from experiments.report.drawing import pyplot, save
from experiments.tasks.task import Task
from experiments.training.watch import condition_numbers

NAMES = {"sigma": "largest singular value", "kappa": "condition number of D_f"}
SEQUENCES = 2  # of the first test batch, that all quantities are taken of
STEPS = 16  # Jacobians of each sequence


def _spectrum(cell: Cell, params: Any, xs: jax.Array) -> dict[str, Any]:
    """Quantiles (least, quarter, median, three quarters, largest) of the singular values of dh_t / dh_{t-1}."""
    every = max(1, xs.shape[1] // STEPS)
    sigma = analysis.jacobian_spectrum(cell, params, xs, surrogate=True, every=every)
    return {"spectrum": np.quantile(np.asarray(sigma, float), [0, 0.25, 0.5, 0.75, 1]).tolist()}


def _saturation(cell: Cell, params: Any, xs: jax.Array) -> dict[str, Any]:
    """Share of units and steps that are saturated, by kind of unit."""
    return {
        f"saturated {name}": float(group.saturated.mean())
        for name, group in analysis.saturation(cell, params, xs).items()
    }


def _answer(ys: jax.Array) -> jax.Array:
    return ys[-1].max()


def _gradient(cell: Cell, params: Any, xs: jax.Array) -> dict[str, Any]:
    """log10 of |dL/dh_t| / |dL/dh_T|, L the largest output at the end, at t = 0, T/2 and the step before the last."""
    norms = np.asarray(analysis.gradient_norms(cell, params, xs, _answer), float)
    steps = xs.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(norms[:, [0, steps // 2, steps - 1]] / norms[:, -1:]).mean(axis=0)
    return {"gradient": [value if np.isfinite(value) else None for value in logs.tolist()]}


def _norm(cell: Cell, params: Any, xs: jax.Array) -> dict[str, Any]:
    """Mean norm of the state, and its growth from the first tenth to the last."""
    if xs.shape[1] < 20:
        return {"norm": float(analysis.norm_drift(cell, params, xs, warm_up=0).norm.mean())}
    drift = analysis.norm_drift(cell, params, xs)
    return {"norm": float(drift.norm.mean()), "norm growth": float(drift.growth.mean())}


def _stability(cell: Cell, params: Any, xs: jax.Array) -> dict[str, Any]:
    """The largest Lyapunov exponent, the largest singular value of dh_t / dh_{t-1}, and the condition number of D_f."""
    steps, every = xs.shape[1], max(1, xs.shape[1] // STEPS)
    found = {"sigma": float(analysis.jacobian_spectrum(cell, params, xs, surrogate=True, every=every).max())}
    if steps >= 12:  # without a tenth, at least 10
        exponents = analysis.lyapunov_spectrum(cell, params, xs, k=1, surrogate=True).exponents
        found["lyapunov"] = float(exponents.mean())
    conditions = condition_numbers(cell)
    return found if conditions is None else found | {"kappa": float(conditions(params).max())}


PROBES: dict[str, Callable[[Cell, Any, jax.Array], dict[str, Any]]] = {
    "spectrum": _spectrum,
    "saturation": _saturation,
    "gradient": _gradient,
    "norm": _norm,
    "stability": _stability,
}


class Probes:
    """Records the probes of a run; the same bytes for a resumed run as for one never stopped."""

    def __init__(self, names: tuple[str, ...], every: int, task: Task, cell: Cell, path: Path, step: int):
        self._every, self._probes = every, [PROBES[name] for name in names]
        if names:
            batch, _ = next(iter(task.tests()))
            first = jax.tree.map(lambda leaf: leaf[:SEQUENCES], batch)
            self._record = partial(self._all, cell, jnp.asarray(task.xs(first)))
            self._file = Metrics(path, step)

    def _all(self, cell: Cell, xs: jax.Array, params: Any) -> dict[str, Any]:
        params = jax.device_get(params)  # one device is enough, and other processes need not take part
        return {name: value for probe in self._probes for name, value in probe(cell, params, xs).items()}

    def at(self, step: int, params: Any) -> None:
        """Records this step if it is its turn and it is not recorded yet."""
        if self._probes and step % self._every == 0 and step > self._file.last:
            self._file.write(step, **self._record(params))

    def sync(self) -> None:
        if self._probes:
            self._file.sync()

    def close(self) -> None:
        if self._probes:
            self._file.close()


def draw(folder: Path, out: Path) -> None:
    """Draws what a run recorded against the step, a panel for each quantity."""
    from asrnn_jax import plot

    lines = read_metrics(folder / "probes.jsonl")
    steps = [line["step"] for line in lines]
    keys = list(dict.fromkeys(key for line in lines for key in line if key != "step"))
    panels = [
        [key for key in keys if key == "spectrum"],
        [key for key in keys if key.startswith("saturated")],
        [key for key in keys if key == "gradient"],
        [key for key in keys if key.startswith("norm")],
        [key for key in keys if key == "lyapunov"],
        [key for key in keys if key in ("sigma", "kappa")],
    ]
    panels = [panel for panel in panels if panel]
    if not panels:
        return  # a linear cell whose saturation was asked for has nothing to show
    figure, axes = pyplot().subplots(
        len(panels), 1, figsize=(7, 3 * len(panels)), layout="constrained", squeeze=False, sharex=True
    )
    for ax, panel in zip(axes[:, 0], panels):
        if panel == ["spectrum"]:
            plot.spectrum(np.array([line["spectrum"] for line in lines]), x=steps, x_label="", ax=ax)
            continue
        curves = {key: (steps, [line[key] for line in lines]) for key in panel}
        label = "share of units and steps" if panel[0].startswith("saturated") else "|h|, and its growth"
        label = "largest Lyapunov exponent" if panel == ["lyapunov"] else label
        if "sigma" in panel:
            curves = {NAMES[key]: (steps, np.log10([line[key] for line in lines])) for key in panel}
            label = r"$\log_{10}$"
        if panel == ["gradient"]:
            values = np.array([line["gradient"] for line in lines], float).T
            curves = {name: (steps, value) for name, value in zip(("t = 0", "t = T / 2", "t = T - 1"), values)}
            label = r"$\log_{10}(\|dL/dh_t\| / \|dL/dh_T\|)$"
        plot.learning_curves(curves, x_label="", y_label=label, ax=ax)
        if panel[0].startswith("saturated"):
            ax.set_ylim(-0.02, 1.02)
    axes[-1, 0].set_xlabel("step")
    save(figure, out)
