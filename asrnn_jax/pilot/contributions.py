"""What each channel contributes: how much less sure a network is of the truth when it does not see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from asrnn_jax import run
from asrnn_jax.cell import Cell
from asrnn_jax.pilot.concatenated import Joined, resets

LOOKED_AT = 20_000
"""Steps from the first on."""
STRETCH = 300
"""Steps of the picture."""


class Contributions(NamedTuple):
    """What `contributions` returns of C channels."""

    names: list[str]
    mean: np.ndarray
    """(C,): mean over all steps that were looked at."""
    stretch: np.ndarray
    """(C, S): along a stretch."""
    start: int
    """The step at which the stretch begins."""
    steps: int
    """How many were looked at."""


def contributions(
    cell: Cell,
    params: Any,
    joined: Joined,
    inputs: Sequence[str],
    channels: int,
    likelihood: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    changes: np.ndarray | None = None,
) -> Contributions:
    """Occlusion: each channel in turn is held at its median from the first step on.

    Args:
      cell, params: the network.
      joined: test streams; the state starts afresh with each of them.
      inputs: names of the I inputs, of which the first `channels` are channels; a flag goes with its channel.
      likelihood: outputs ``(..., T, O)`` and inputs ``(..., T, I)`` to log-likelihoods of the truth (or minus errors),
        ``(..., T)``, NaN where there is no truth.
      changes: bool (T,): where something new begins: the stretch is taken where there is most of it.
    """
    steps = min(len(joined.xs), LOOKED_AT)
    xs = joined.xs[:steps]
    hidden = np.stack([xs] * (channels + 1))
    for i, name in enumerate(inputs[:channels]):
        hidden[i, :, i] = 0
        if f"{name} missing" in inputs[channels:]:
            hidden[i, :, channels + inputs[channels:].index(f"{name} missing")] = 0
    flags = (joined.valid[:steps], resets(joined, "streams")[:steps])
    mask, reset = (np.broadcast_to(flag, (channels + 1, steps)) for flag in flags)
    _, ys = run(cell, params, jnp.asarray(hidden), mask=mask, reset=reset)
    known = likelihood(np.asarray(ys), hidden)
    drop = known[-1] - known[:-1]
    start = _liveliest(joined.begins[:steps] if changes is None else changes[:steps])
    there = np.isfinite(drop).all(0)
    mean = drop[:, there].mean(1) if there.any() else np.full(channels, np.nan)
    return Contributions(list(inputs[:channels]), mean, drop[:, start : start + STRETCH], start, steps)


def _liveliest(changes: np.ndarray) -> int:
    """Where the stretch with the most changes begins."""
    if len(changes) <= STRETCH:
        return 0
    total = np.concatenate([[0], np.cumsum(changes)])
    return int(np.argmax(total[STRETCH:] - total[:-STRETCH]))
