"""Recordings as endless streams to train on: shuffled, cut into pieces, joined with gaps of every kind.

A network that is to run for ever has to see in training what it will meet: that one recording follows another without a
reset, and silence, noise, stuck and missing sensors in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.estimators.preparing.steps import HELD
from asrnn_jax.streaming import NOISES

KINDS = (*NOISES, "stuck", "missing")
"""Kinds of gaps: those of `asrnn_jax.streaming.Gaps`; "stuck": the last values stay; "missing": no value at all."""
QUIETEST, LOUDEST = 0.02, 0.5
"""Root mean square of noise in gaps, in scaled units."""
DROPPED = 0.2
"""Share of the pieces in which one channel fails for a while."""


class Recording(NamedTuple):
    """Steps to learn from, T of them in a recording, (B, T) in a batch."""

    xs: Any
    """float32 (T, I)"""
    valid: Any
    """bool (T,): False where a step is missing: the state is held."""
    wanted: Any
    """(T,) or (T, K): labels or targets."""
    informative: Any
    """float32 (T,): 1 where there is something to say, 0 where "nothing" is to be learned."""
    counted: Any
    """float32 (T,): 0 where nothing is learned at all."""
    reset: Any
    """bool (T,): the state starts afresh before this step."""


class Mixing(NamedTuple):
    """How recordings become streams."""

    channels: int
    """So many of the I inputs are channels, from the first on."""
    flags: tuple[int, ...]
    """Which channels have a flag for missing values, in the order of the inputs that follow the channels."""
    gaps: tuple[int, int]
    """Fewest and most steps between recordings; (0, 0): none."""
    piece: int
    """Longer recordings are cut: each time a random piece of at least so many steps."""
    fresh: float
    """Share of the recordings at whose beginning the state starts afresh, as it will when a stream is switched on."""
    noise: float
    """Standard deviation of white noise on the channels, of a random part of it on each piece."""
    gain: float
    """Standard deviation of the logarithm of a factor on all channels, drawn for each piece."""
    settle: int = 0
    """So many steps at the beginning of a gap say nothing about how gaps are answered: it has to be noticed first."""


def streams(
    recordings: Sequence[Recording], mixing: Mixing, *, batch: int, window: int, seed: int
) -> Iterator[Recording]:
    """Windows (B, T, ...) of so many endless streams, for ever; the next window goes on where the last ended."""
    rows = [_Row(recordings, mixing, np.random.default_rng([seed, row])) for row in range(batch)]
    while True:
        cut = [row.take(window) for row in rows]
        yield Recording(*(np.stack(leaves) for leaves in zip(*cut)))


class _Row:
    """One endless stream."""

    def __init__(self, recordings: Sequence[Recording], mixing: Mixing, rng: np.random.Generator):
        self._recordings, self._mixing, self._rng = recordings, mixing, rng
        self._order: list[int] = []
        self._parts: list[Recording] = []
        self._there = 0
        first = self._next()
        self._push(_cut(first, int(rng.integers(len(first.xs))), len(first.xs)))  # streams are not in step

    def take(self, steps: int) -> Recording:
        while self._there < steps:
            self._push(self._next())
            if self._mixing.gaps[1]:
                self._push(self._gap(self._parts[-1]))
        whole = Recording(*(np.concatenate(leaves) for leaves in zip(*self._parts)))
        self._parts, self._there = [_cut(whole, steps, self._there)], self._there - steps
        return _cut(whole, 0, steps)

    def _push(self, part: Recording) -> None:
        self._parts.append(part)
        self._there += len(part.xs)

    def _next(self) -> Recording:
        """A piece of the next recording; every recording comes once before any comes twice."""
        if not self._order:
            self._order = self._rng.permutation(len(self._recordings)).tolist()
        one = self._recordings[self._order.pop()]
        length = len(one.xs)
        if length > self._mixing.piece:
            length = int(self._rng.integers(self._mixing.piece, length + 1))
            start = int(self._rng.integers(len(one.xs) - length + 1))
            one = _cut(one, start, start + length)
        reset = one.reset.copy()
        reset[0] = self._rng.uniform() < self._mixing.fresh
        return one._replace(xs=self._disturbed(one.xs), reset=reset)

    def _disturbed(self, xs: np.ndarray) -> np.ndarray:
        rng, mixing = self._rng, self._mixing
        xs = xs.copy()
        values = xs[:, : mixing.channels]  # a view
        values *= np.float32(np.exp(mixing.gain * rng.normal()))
        values += (mixing.noise * rng.uniform() * rng.normal(size=values.shape)).astype(np.float32)
        if mixing.channels > 1 and rng.uniform() < DROPPED:
            channel, start = int(rng.integers(mixing.channels)), int(rng.integers(len(xs)))
            end = start + int(rng.integers(1, max(2, len(xs) // 2)))
            xs[start:end, channel] = xs[start, channel]
            if channel in mixing.flags:
                xs[start:end, mixing.channels + mixing.flags.index(channel)] = 1
        return xs

    def _gap(self, before: Recording) -> Recording:
        rng, mixing = self._rng, self._mixing
        steps = int(rng.integers(max(mixing.gaps[0], 1), mixing.gaps[1] + 1))
        kind = KINDS[rng.integers(len(KINDS))]
        level = float(np.exp(rng.uniform(np.log(QUIETEST), np.log(LOUDEST))))
        xs = np.zeros((steps, before.xs.shape[1]), np.float32)
        there = (np.arange(steps) >= HELD) | (kind != "missing")
        if kind == "stuck":
            xs[:] = before.xs[-1]
        if kind in ("stuck", "missing"):
            xs[:, mixing.channels : mixing.channels + len(mixing.flags)] = 1
        else:
            xs[:, : mixing.channels] = NOISES[kind](rng, steps, mixing.channels, level)
        none: Any = -1 if np.issubdtype(before.wanted.dtype, np.integer) else np.nan
        return Recording(
            xs=xs,
            valid=there,
            wanted=np.full((steps, *before.wanted.shape[1:]), none, before.wanted.dtype),
            informative=np.zeros(steps, np.float32),
            counted=there.astype(np.float32),
            reset=np.zeros(steps, bool),
        )


def _cut(one: Recording, start: int, end: int) -> Recording:
    return Recording(*(leaf[start:end] for leaf in one))
