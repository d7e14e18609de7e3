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

    def __init__(self, name: str, value: float, step: int):
        super().__init__(f"{name} is {value} at step {step}")
        self.step = step


def check(values: dict[str, Any], step: int) -> None:
    """Raises `NotFiniteError` for the first value that is not finite."""
    for name, value in values.items():
        if not math.isfinite(float(value)):
            raise NotFiniteError(name, float(value), step)


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


def replay(step: int, state: Any, until: int, train_step: Callable, batch_of: Callable, folder: Path) -> str | None:
    """Takes the steps from a checkpoint on once more, up to the first with a number that is not finite.

    Its batch is written to diverged.npz. Returns what it was, for a message; None if all went well this time.
    """
    while step < until:
        batch = batch_of(step)
        state, metrics = jax.block_until_ready(train_step(state, batch))
        step += 1
        bad = {name: float(value) for name, value in metrics.items() if not np.isfinite(float(value))}
        bad = bad or {f"the update of {name}": value for name, value in broken(state.params).items()}
        bad = bad or {f"the optimiser's {name}": value for name, value in broken(state.opt_state).items()}
        if bad:
            leaves = {name or "batch": np.asarray(leaf) for name, leaf in named(batch)}
            np.savez(folder / FILE, allow_pickle=False, step=np.asarray(step), **leaves)
            name, value = next(iter(bad.items()))
            return f"{name} is {value} at step {step}"
    return None
