"""Chunks of a stream: as arrays, in lengths that are compiled, with what is not finite filled."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from asrnn_jax.cell import as_numbers
from asrnn_jax.typing import Bool, Float

EXACT = 16  # so many lengths are compiled as they come


class Lengths:
    """Which lengths of chunks are compiled as they are; the rest is put together from powers of two.

    A program is kept as long as the process, so that not every length may have one: the first `EXACT` of a session
    have, later ones once they have come as often in a row.
    """

    def __init__(self):
        self.compiled: set[int] = set()
        self._same = (0, 0)  # a length that is not, and how many times in a row it came

    def pieces(self, steps: int) -> list[int]:
        """Lengths that add up to this one and are compiled, or may be."""
        if steps == 0:
            return []
        self._same = (steps, self._same[1] + 1 if self._same[0] == steps else 1)
        settled = self._same[1] > EXACT and len(self.compiled) < 4 * EXACT
        if len(self.compiled) < EXACT or settled:
            self.compiled.add(steps)
            return [steps]
        return [1 << bit for bit in reversed(range(steps.bit_length())) if steps >> bit & 1]


def filled(
    xs: Float[np.ndarray, "*B T I"], good: Bool[np.ndarray, "*B T I"], held: Float[np.ndarray, "*B I"]
) -> Float[np.ndarray, "*B T I"]:
    """``xs (*B, T, I)`` with the last good value where it is not `good`; `held`, ``(*B, I)``, is what came before."""
    everything = np.concatenate([held[..., None, :], xs], axis=-2)
    good = np.concatenate([np.ones_like(good[..., :1, :]), good], axis=-2)
    order = np.arange(good.shape[-2]).reshape(-1, 1)
    last_good = np.maximum.accumulate(np.where(good, order, 0), axis=-2)
    return np.take_along_axis(everything, last_good, axis=-2)[..., 1:, :]


def as_samples(chunk: Any, dtype: Any) -> Any:
    """A chunk as an array of this dtype, in the byte order of this machine; as it is, where that is what it is."""
    if (type(chunk) is np.ndarray or isinstance(chunk, jax.Array)) and chunk.dtype == dtype:
        return chunk
    masked = "pass {0}.filled(numpy.nan) to a session made with non_finite='missing' or 'hold'"
    ragged = "all streams of a session go on together, pad what is missing with NaN and non_finite='missing'"
    return np.asarray(as_numbers("chunk", chunk, "pass (*B, T, I)", masked, ragged)).astype(dtype)


def check(xs: Any, flags: np.ndarray | None, batch: tuple[int, ...], inputs: int) -> None:
    """Raises unless xs are ``(*batch, T, inputs)`` and flags ``(*batch, T)``."""
    shape = xs.shape
    if len(shape) < 2 or shape[:-2] != batch or shape[-1] != inputs:
        raise ValueError(f"chunk has shape {shape}: this session takes {(*batch, 'T', inputs)}, with any T.")
    if flags is not None and flags.shape != shape[:-1]:
        raise ValueError(f"boundary has shape {flags.shape}: pass one bool a step, {shape[:-1]}.")


def cut(flags: np.ndarray | None, at: int, steps: int) -> np.ndarray | None:
    return None if flags is None else flags[..., at : at + steps]
