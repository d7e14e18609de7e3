"""The outputs of a network for whole prepared streams, each from a fresh start, in memory that does not grow with T."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.cell import Cell, Params
from asrnn_jax.estimators.learning.endless import Recording
from asrnn_jax.estimators.preparing.series import Series
from asrnn_jax.run import run
from asrnn_jax.streaming.advance import prepare

CHUNK = 512
"""Steps that are computed at a time, for so many streams beside each other:"""
BESIDE = 32


def outputs_of(cell: Cell, params: Params, series: Sequence[Series | Recording]) -> list[np.ndarray]:
    """float32 (T, O) of each stream; a missing step holds the state, and with it the answer."""
    if not series:
        return []
    order = sorted(range(len(series)), key=lambda i: -len(series[i].xs))
    found: list[np.ndarray] = [np.zeros(0)] * len(series)
    longest = len(series[order[0]].xs)
    chunk = min(CHUNK, 1 << max(longest - 1, 1).bit_length())
    weights = prepare(cell, params)
    for at in range(0, len(order), BESIDE):
        group = order[at : at + BESIDE]
        beside = min(BESIDE, 1 << (len(series) - 1).bit_length())
        carry = cell.start(weights, (beside,), jnp.float32)
        parts = []
        for start in range(0, max(len(series[group[0]].xs), 1), chunk):
            xs = np.zeros((beside, chunk, cell.inputs), np.float32)
            valid = np.zeros((beside, chunk), bool)
            for row, i in enumerate(group):
                piece = slice(start, start + chunk)
                there = len(series[i].xs[piece])
                xs[row, :there], valid[row, :there] = series[i].xs[piece], series[i].valid[piece]
            carry, ys = _chunk(cell, weights, carry, xs, valid)
            parts.append(np.asarray(ys))
        whole = np.concatenate(parts, axis=1)
        for row, i in enumerate(group):
            found[i] = whole[row, : len(series[i].xs)]
    return found


@partial(jax.jit, static_argnums=0)
def _chunk(cell: Cell, weights, carry, xs, valid):
    return run(cell, weights, xs, carry=carry, mask=valid)
