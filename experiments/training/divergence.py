"""Finds the quantity that is not finite, its step and its batch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from asrnn_jax.names import named

FILE = "diverged.npz"


class NotFiniteError(Exception):
    """A number of a run is not finite; `replay` finds the first step where that is so."""

    def __init__(self, what: str, step: int):
        super().__init__(f"{what} at step {step}")
        self.what, self.step = what, step


def check(values: dict[str, Any], step: int) -> None:
    """Raises `NotFiniteError` for the first value that is not finite."""
    for name, value in values.items():
        if not math.isfinite(float(value)):
            raise NotFiniteError(f"{name} is {float(value)}", step)


def check_gradient(norm: float, step: int) -> None:
    """Raises `NotFiniteError` for an infinite norm, warns of a gradient of zero: both would train nothing in silence.

    A norm overflows long before a loss does, and clipping by it then makes every update zero.
    """
    check({"gradient_norm": norm}, step)
    if norm == 0:
        warnings.warn(f"the gradient of step {step} is exactly zero: nothing is learned from it", stacklevel=2)


def broken(tree: Any) -> dict[str, float]:
    """The leaves with a value that is not finite, by name, with that value."""
    found = {}
    for name, leaf in named(tree):
        values = np.asarray(leaf)
        if jax.numpy.issubdtype(values.dtype, jax.numpy.inexact) and not np.isfinite(values).all():
            found[name] = float(np.abs(values[~np.isfinite(values)][0]))
    return found


def replay(
    step: int, state: Any, until: int, train_step: Callable, batch_of: Callable, folder: Path
) -> NotFiniteError | None:
    """Takes the steps from a checkpoint on once more, up to the first with a number that is not finite.

    Its batch is written to diverged.npz. Returns what it was. None if all went well this time, as it does where only
    the evaluation is not finite; then the file has the last batch.
    """
    batch = None
    while step < until:
        batch = batch_of(step)
        state, metrics = jax.block_until_ready(train_step(state, batch))
        step += 1
        left_out = bool(metrics.get("skipped", False))
        bad = {} if left_out else {name: float(value) for name, value in metrics.items() if not np.isfinite(value)}
        bad = bad or {f"the update of {name}": value for name, value in broken(state.params).items()}
        bad = bad or {f"the optimiser's {name}": value for name, value in broken(state.opt_state).items()}
        if bad:
            _save(folder, step, batch)
            name, value = next(iter(bad.items()))
            return NotFiniteError(f"{name} is {value}", step)
    _save(folder, step, batch)
    return None


def _save(folder: Path, step: int, batch: Any) -> None:
    leaves = {name or "batch": np.asarray(leaf) for name, leaf in named(batch)}
    np.savez(folder / FILE, allow_pickle=False, step=np.asarray(step), **leaves)
