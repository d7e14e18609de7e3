"""Endless streams made of samples: joined with gaps, without marked boundaries, the same for the same seed.

A stream is a function of its seed and of time: any window of it can be asked for, in any order, on any machine.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.streaming.gaps import BACKGROUND, DISTRACTOR, NOISES, Gaps
from asrnn_jax.typing import Bool, Float, Given, Int


class Window(NamedTuple):
    """A stretch of B streams."""

    xs: Float[np.ndarray, "B T I"]
    """float32 ``(B, T, I)``; NaN where a step is missing."""
    labels: Int[np.ndarray, "B T"]
    """int32 ``(B, T)``: the class of the sample that a step belongs to, -1 in gaps."""
    informative: Float[np.ndarray, "B T"]
    """float32 ``(B, T)``: 1 in samples, 0 in gaps."""
    starts: Bool[np.ndarray, "B T"]
    """bool ``(B, T)``: the first step of a sample; what no network is told."""
    ends: Bool[np.ndarray, "B T"]
    """bool ``(B, T)``: the last step of a sample."""
    valid: Bool[np.ndarray, "B T"]
    """bool ``(B, T)``: False where a step is missing."""


class Stream:
    """An endless stream of samples and gaps.

    Args:
      samples: ``(N, T, I)``, finite.
      labels: ``(N,)``, at least 0.
      lengths: ``(N,)`` steps of each sample, in 1 .. T; by default T.
      gaps: what lies between them.
      background: ``(N, I)``, a recording that gaps of the kind "background" are pieces of, taken as a circle.
      noise: standard deviation of white noise on every step of the stream.
      drift: standard deviation of a slow wander of the whole stream, over thousands of steps.
      missing: share of steps that are missing (NaN), in [0, 1).
      seed: all of it follows from the seed.

    Raises:
      ValueError: shapes that do not fit, no samples, samples that are not finite, negative labels, levels below 0.

    Example:
      >>> import numpy as np
      >>> from asrnn_jax.streaming import Stream
      >>> stream = Stream(np.ones((3, 20, 2)), np.arange(3), seed=1)
      >>> window = stream.window(1000, 50)
      >>> window.xs.shape, window.labels.shape
      ((50, 2), (50,))
    """

    def __init__(
        self,
        samples: Given[np.ndarray, "N T I"],
        labels: Given[np.ndarray, " N"],
        *,
        lengths: Given[np.ndarray, " N"] | None = None,
        gaps: Gaps = Gaps(),
        background: np.ndarray | None = None,
        noise: float = 0.0,
        drift: float = 0.0,
        missing: float = 0.0,
        seed: int = 0,
    ):
        samples, labels = np.asarray(samples), np.asarray(labels)
        if samples.ndim != 3 or 0 in samples.shape:
            raise ValueError(f"samples has shape {samples.shape}: pass at least one, (N, T, I).")
        if labels.shape != samples.shape[:1] or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
            raise ValueError(f"labels has shape {labels.shape}, dtype {labels.dtype}: pass one integer >= 0 a sample.")
        if not np.isfinite(samples).all():
            raise ValueError("samples has values that are not finite: leave these samples out.")
        lengths = np.full(len(samples), samples.shape[1]) if lengths is None else np.asarray(lengths)
        whole = np.issubdtype(lengths.dtype, np.integer)
        if not whole or lengths.shape != labels.shape or lengths.min() < 1 or lengths.max() > samples.shape[1]:
            raise ValueError(
                f"lengths has shape {lengths.shape}, dtype {lengths.dtype}: pass one integer a sample, in 1 .. "
                f"{samples.shape[1]}."
            )
        recorded: Any = np.zeros(0) if background is None else np.asarray(background)
        if BACKGROUND in gaps.kinds:
            if recorded.ndim != 2 or not len(recorded) or recorded.shape[1] != samples.shape[2]:
                raise ValueError(
                    f"background has shape {recorded.shape}: gaps of this kind need a recording, "
                    f"(N, {samples.shape[2]})."
                )
            if not np.isfinite(recorded).all():
                raise ValueError("background has values that are not finite: leave these steps out.")
        if not (0 <= noise < np.inf and 0 <= drift < np.inf and 0 <= missing < 1):
            raise ValueError(f"noise={noise}, drift={drift}, missing={missing}: levels >= 0, a share in [0, 1).")
        self._samples, self._labels, self._lengths = samples, labels, lengths
        self._gaps, self._background = gaps, recorded
        self._noise, self._drift, self._missing, self._seed = noise, drift, missing, seed
        self._ends = [0]  # where each segment (gap, then sample) ends; grows as it is asked for
        self._shuffled = (-1, np.zeros(0, int))  # the order of one pass over the samples, and which pass it is
        self._last = (-1, (np.zeros((0, 0), np.float32), 0, 0))  # the segment made last: the next window begins in it
        self._wander = self._rng(2).uniform(size=(2, 4, samples.shape[2]))

    def _rng(self, *what: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *what])

    def _sample_of(self, segment: int) -> int:
        """Every sample comes once before any comes twice."""
        epoch, index = divmod(segment, len(self._samples))
        if epoch != self._shuffled[0]:
            self._shuffled = (epoch, self._rng(1, epoch).permutation(len(self._samples)))
        return int(self._shuffled[1][index])

    def _segment(self, segment: int) -> tuple[np.ndarray, int, int]:
        """``(xs (gap + sample, I), gap, sample)``"""
        if segment == self._last[0]:
            return self._last[1]
        rng, inputs = self._rng(0, segment), self._samples.shape[2]
        gap = int(rng.integers(self._gaps.shortest, self._gaps.longest + 1))
        chosen = self._sample_of(segment)
        kind = self._gaps.kinds[rng.integers(len(self._gaps.kinds))]
        level = float(np.exp(rng.uniform(np.log(self._gaps.quietest), np.log(self._gaps.loudest))))
        if kind == DISTRACTOR:
            other = int(rng.integers(len(self._samples)))
            steps = rng.integers(self._lengths[other], size=gap)
            between = self._samples[other, steps]
        elif kind == BACKGROUND:
            between = self._background[(rng.integers(len(self._background)) + np.arange(gap)) % len(self._background)]
        else:
            between = NOISES[kind](rng, gap, inputs, level)
        xs = np.concatenate([between, self._samples[chosen, : self._lengths[chosen]]]).astype(np.float32)
        self._last = (segment, (xs, gap, chosen))
        return xs, gap, chosen

    def _reach(self, end: int) -> None:
        while self._ends[-1] < end:
            segment = len(self._ends) - 1
            gap = int(self._rng(0, segment).integers(self._gaps.shortest, self._gaps.longest + 1))
            self._ends.append(self._ends[-1] + gap + int(self._lengths[self._sample_of(segment)]))

    def window(self, start: int, steps: int) -> Window:
        """The steps ``start .. start + steps - 1``, without a batch axis.

        Raises:
          ValueError: a negative start, fewer than 1 step.
        """
        if start < 0 or steps < 1:
            raise ValueError(f"start={start}, steps={steps}: give a start >= 0 and at least 1 step.")
        self._reach(start + steps)
        xs = np.zeros((steps, self._samples.shape[2]), np.float32)
        labels = np.full(steps, -1, np.int32)
        starts, ends = np.zeros(steps, bool), np.zeros(steps, bool)
        segment = bisect.bisect_right(self._ends, start) - 1
        while (at := self._ends[segment] - start) < steps:
            piece, gap, chosen = self._segment(segment)
            low, high = max(0, -at), min(len(piece), steps - at)
            xs[at + low : at + high] = piece[low:high]
            labels[at + max(low, gap) : at + high] = self._labels[chosen]
            for flags, position in ((starts, at + gap), (ends, at + len(piece) - 1)):
                if 0 <= position < steps:
                    flags[position] = True
            segment += 1
        valid = self._disturb(xs, start)
        return Window(xs, labels, (labels >= 0).astype(np.float32), starts, ends, valid)

    def _disturb(self, xs: np.ndarray, start: int) -> np.ndarray:
        """Adds noise and drift in place and takes out the missing steps; returns which steps are there."""
        time = np.arange(start, start + len(xs))
        if self._drift:
            period, phase = 1000 * 8 ** self._wander[0], self._wander[1]  # four sines of 1,000 to 8,000 steps a channel
            sines = np.sin(2 * np.pi * (time[:, None, None] / period + phase))
            xs += (self._drift * np.sqrt(0.5) * sines.sum(1)).astype(np.float32)
        valid = np.ones(len(xs), bool)
        if self._noise or self._missing:
            block = 256  # steps that are drawn together, so that any window gets the same numbers
            for index in range(start // block, (start + len(xs) - 1) // block + 1):
                rng = self._rng(3, index)
                noise = rng.normal(scale=self._noise or 1.0, size=(block, xs.shape[1]))
                gone = rng.uniform(size=block) < self._missing
                low, high = max(start, index * block), min(start + len(xs), (index + 1) * block)
                here, there = slice(low - start, high - start), slice(low - index * block, high - index * block)
                if self._noise:
                    xs[here] += noise[there].astype(np.float32)
                valid[here] = ~gone[there]
        xs[~valid] = np.nan
        return valid


def windows(streams: Sequence[Stream], start: int, steps: int) -> Window:
    """The same window of several streams, ``(B, T, ...)``.

    Raises:
      ValueError: no streams; as `Stream.window`.
    """
    if not streams:
        raise ValueError("streams is empty: pass at least one.")
    return Window(*(np.stack(leaves) for leaves in zip(*(stream.window(start, steps) for stream in streams))))
