"""Test streams one after the other, and what a network says along them, with resets and without."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from asrnn_jax import run
from asrnn_jax.cell import Cell
from asrnn_jax.estimators import Series

MODES = ("oracle", "streams", "never")
"""The state starts afresh where each event begins, which nobody knows in operation; where each stream begins; never."""


class Joined(NamedTuple):
    """Streams one after the other, T steps in all."""

    xs: np.ndarray
    """float32 (T, I)"""
    valid: np.ndarray
    """bool (T,)"""
    labels: np.ndarray
    """int32 (T,), -1: none."""
    starts: np.ndarray
    """bool (T,): a stream begins."""
    begins: np.ndarray
    """bool (T,): an event begins: a run of one label in one stream."""

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Values (T, ...) as a list with an array a stream."""
        return np.split(values, np.flatnonzero(self.starts)[1:])


def join(series: Sequence[Series]) -> Joined:
    """Prepared streams one after the other; those without a step are left out.

    Raises:
      ValueError: not one step.
    """
    series = [one for one in series if len(one.xs)]
    if not series:
        raise ValueError("there is no row to test on.")
    lengths = [len(one.xs) for one in series]
    starts = np.zeros(sum(lengths), bool)
    starts[np.cumsum([0, *lengths[:-1]])] = True
    labels = np.concatenate([one.labels for one in series])
    changes = np.concatenate([[True], labels[1:] != labels[:-1]])
    return Joined(
        xs=np.concatenate([one.xs for one in series]),
        valid=np.concatenate([one.valid for one in series]),
        labels=labels,
        starts=starts,
        begins=(labels >= 0) & (changes | starts),
    )


def resets(joined: Joined, mode: str) -> np.ndarray:
    """bool (T,): where the state starts afresh in one of the `MODES`."""
    if mode == "oracle":
        return joined.starts | joined.begins
    return joined.starts if mode == "streams" else np.zeros(len(joined.starts), bool)


def outputs(cell: Cell, params: Any, joined: Joined, modes: Sequence[str] = MODES) -> dict[str, np.ndarray]:
    """What a network says at each step, ``{mode: (T, O)}``, in one run for all modes."""
    reset = np.stack([resets(joined, mode) for mode in modes])
    several = np.broadcast_to(joined.xs, (len(modes), *joined.xs.shape))
    valid = np.broadcast_to(joined.valid, reset.shape)
    _, ys = run(cell, params, jnp.asarray(several), mask=valid, reset=reset)
    return dict(zip(modes, np.asarray(ys)))


def pieces(joined: Joined, least: int = 8, wanted: int = 24) -> list[tuple[int, int]]:
    """What intervals are drawn from: whole streams if there are enough, else pieces of them, cut between events."""
    ends = [*np.flatnonzero(joined.starts).tolist(), len(joined.starts)]
    if len(ends) - 1 >= least:
        return list(pairwise(ends))
    may = joined.starts | joined.begins
    if may.sum() <= len(ends):  # no events: anywhere
        may = np.ones(len(may), bool)
    cuts, size = {0, len(may)}, max(1, len(may) // wanted)
    for at in np.flatnonzero(may):
        if at - max(cut for cut in cuts if cut <= at) >= size:
            cuts.add(int(at))
    cuts |= {int(at) for at in ends}
    return list(pairwise(sorted(cuts)))
