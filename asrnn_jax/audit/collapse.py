"""What a model says to samples after so many steps of silence, of noise, of other samples: from which on is it lost?

States are explicit, so one walk through a gap serves for all its lengths: at each a copy goes on with a sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.audit.measures import Measure, Sums, interval, measured
from asrnn_jax.audit.models import Model
from asrnn_jax.audit.sources import Source
from asrnn_jax.streaming.scores import Interval, events

Past = Callable[[int, int], np.ndarray]  # (start, steps) -> xs (P, steps, I)
BLOCK = 128  # steps that are drawn together, so that any piece of a past has the same numbers


class Probes(NamedTuple):
    """Samples to ask a model with, P of them, padded to T steps."""

    xs: np.ndarray
    """``(P, T, I)``"""
    labels: np.ndarray
    """``(P, T)``, -1 behind the end."""
    lengths: np.ndarray
    """``(P,)``"""


class AfterGap(NamedTuple):
    """The score of samples after a past of one kind, by its length."""

    kind: str
    """"silence", "noise" or "samples" (with gaps as the shortest of the streams, no longer than a sample)."""
    lengths: np.ndarray
    """``(L,)`` steps."""
    score: np.ndarray
    """``(L,)``"""
    loss: list[Interval]
    """The score of fresh states less that of carried ones, for each length."""
    collapses: int | None
    """The shortest past of this kind after which the score is worse, by more than chance; None: it is for none."""
    breaks: bool = False
    """Whether it loses a fifth of the fresh score or more, or an error at least doubles: a collapse rather than a
    decline."""


def shortest_gap(source: Source) -> int:
    """Steps of the shortest gap between two samples at the beginning of the streams; 0 where there is none."""
    piece = source.piece(0, min(2_000, source.steps))
    there = events(piece.labels, piece.starts)
    gaps = (there.start[1:] - there.stop[:-1])[there.stream[1:] == there.stream[:-1]]
    return int(gaps.min()) if len(gaps) else 0


def probes(source: Source, *, most: int = 48, longest: int = 300) -> Probes | None:
    """Whole samples from the beginnings of the streams; None where there are fewer than 4."""
    found, enough = [], -(-most // source.streams)
    for at in range(0, min(source.steps, 10_000), 2_000):
        piece = source.piece(at, min(2_000, source.steps - at))
        there = events(piece.labels, piece.starts)
        for b, start, stop, label in zip(*there):
            whole = piece.starts[b, start] and piece.ends[b, stop - 1] and stop - start <= longest
            if whole and sum(1 for each in found if each[0] == b) < enough:
                found.append((b, piece.xs[b, start:stop], label))
        if len(found) >= most:
            break
    if len(found) < 4:
        return None
    lengths = np.array([len(xs) for _, xs, _ in found])
    xs = np.zeros((len(found), lengths.max(), found[0][1].shape[1]), np.float32)
    labels = np.full(xs.shape[:2], -1, np.int32)
    for i, (_, sample, label) in enumerate(found):
        xs[i, : len(sample)], labels[i, : len(sample)] = sample, label
    return Probes(xs, labels, lengths)


def after_gaps(
    model: Model,
    asked: Probes,
    score: Measure,
    *,
    lengths: tuple[int, ...],
    level: float,
    quiet: float = 0.0,
    between: int = 0,
    margin: float = 0.02,
    better: int = 1,
    seed: int = 0,
    advanced: Callable[[int], Any] = lambda steps: None,
) -> list[AfterGap]:
    """Samples after silence, noise and other samples of several lengths.

    Args:
      lengths: of the pasts, ascending.
      level: root mean square of the noise.
      quiet: value of the inputs in silence.
      between: steps of silence behind each sample of a past of samples.
      margin: loss that matters.
      better: 1 where a higher score is better, -1 where a lower one is.

    Raises:
      ValueError: outputs that are not finite: in which past, since when.
    """
    fresh = asked_fresh(model, asked, score)
    warm = _warm(model, asked)
    walks = {
        "silence": _Walk(model, "silence", warm, lambda length: _quiet(asked, quiet), True),
        "noise": _Walk(model, "noise", warm, lambda length: _noise(asked, level, seed), True),
        "samples": _Walk(model, "samples", model.start(len(asked.xs)), _samples(asked, quiet, between, seed), False),
    }
    confidence = 1 - 0.05 / (len(walks) * len(lengths))  # so that all intervals together err in one of 20 audits

    def lost_after(walk: _Walk, length: int) -> tuple[Sums, Interval]:
        sums = _asked(model, walk.to(length), asked, score, f"after {length} steps of {walk.kind}")
        return sums, interval(fresh.signed(better), sums.signed(better), level=confidence, seed=seed)

    found = []
    for kind, walk in walks.items():
        scores, loss = [], []
        for length in lengths:
            sums, lost = lost_after(walk, length)
            scores.append(float(sums.mean()[0]))
            loss.append(lost)
            advanced(length)
        onset = _onset([each.value >= margin and each.low > 0 for each in loss])
        collapses = None if onset is None else lengths[onset]
        if onset:
            low, high = lengths[onset - 1], lengths[onset]
            while high - low > 1:
                middle = (low + high) // 2
                _, worse = lost_after(walk, middle)
                low, high = (low, middle) if worse.value >= loss[onset].value / 2 else (middle, high)
            collapses = high
        much = (0.2 if better > 0 else 1.0) * abs(float(fresh.mean()[0]))
        breaks = collapses is not None and loss[-1].value >= much
        found.append(AfterGap(kind, np.array(lengths), np.array(scores), loss, collapses, breaks))
    return found


class _Walk:
    """States after pasts of one kind. Where a longer past begins as a shorter one does, it goes on from there."""

    def __init__(self, model: Model, kind: str, start: Any, past: Callable[[int], Past], goes_on: bool):
        self.kind = kind
        self._model, self._past, self._goes_on, self._states = model, past, goes_on, {0: start}

    def to(self, length: int) -> Any:
        """The state after so many steps."""
        at = max(known for known in self._states if known <= length) if self._goes_on else 0
        state = _on(self._model, self._states[at], self._past(length), at, length - at, self.kind)
        if self._goes_on:
            self._states[length] = state
        return state


def asked_fresh(model: Model, asked: Probes, score: Measure) -> Sums:
    """The score of single samples, each from a fresh state."""
    return _asked(model, model.start(len(asked.xs)), asked, score, "from a fresh state")


def _onset(lost: list[bool]) -> int | None:
    """The first length from which all longer ones are lost too."""
    if not lost or not lost[-1]:
        return None
    return len(lost) - next((i for i, each in enumerate(reversed(lost)) if not each), len(lost))


def _asked(model: Model, state: Any, asked: Probes, score: Measure, when: str) -> Sums:
    ends = np.arange(asked.xs.shape[1]) == asked.lengths[:, None] - 1
    there = np.arange(asked.xs.shape[1]) < asked.lengths[:, None]
    _, ys = model.advance(state, asked.xs, np.zeros(there.shape, bool))
    if not np.isfinite(ys[there]).all():
        raise ValueError(f"model {model.name!r}: outputs are not finite in samples {when}.")
    part, whole = measured(score, asked.labels, ys, ends, there)
    return Sums(part.sum(1, keepdims=True), whole.sum(1, keepdims=True))


def _warm(model: Model, asked: Probes) -> Any:
    """States in which each stream has just heard another sample; of shorter ones the first step is repeated, so that
    all end together."""
    other = np.roll(np.arange(len(asked.xs)), 1)
    xs, lengths, state = asked.xs[other], asked.lengths[other], model.start(len(asked.xs))
    pad = xs.shape[1] - lengths
    index = np.where(np.arange(xs.shape[1]) < pad[:, None], 0, np.arange(xs.shape[1]) - pad[:, None])
    return model.advance(state, np.take_along_axis(xs, index[..., None], 1), np.zeros(xs.shape[:2], bool))[0]


def _on(model: Model, state: Any, past: Past, at: int, steps: int, kind: str) -> Any:
    while steps > 0:
        number = 1 << (min(steps, BLOCK - at % BLOCK).bit_length() - 1)  # powers of 2: few programs to compile
        xs = past(at, number)
        state, ys = model.advance(state, xs, np.zeros(xs.shape[:2], bool))
        bad = ~np.isfinite(ys).all((0, 2))
        if bad.any():
            raise ValueError(f"model {model.name!r}: outputs are not finite since step {at + bad.argmax()} of {kind}.")
        at, steps = at + number, steps - number
    return state


def _quiet(asked: Probes, quiet: float) -> Past:
    p, _, inputs = asked.xs.shape
    return lambda at, steps: np.full((p, steps, inputs), quiet, np.float32)


def _noise(asked: Probes, level: float, seed: int) -> Past:
    p, _, inputs = asked.xs.shape

    def past(at: int, steps: int) -> np.ndarray:
        drawn = np.random.default_rng([seed, at // BLOCK]).normal(scale=level, size=(p, BLOCK, inputs))
        return drawn[:, at % BLOCK : at % BLOCK + steps].astype(np.float32)

    return past


def _samples(asked: Probes, quiet: float, between: int, seed: int) -> Callable[[int], Past]:
    """Other samples with short silences behind each; the past ends with the end of one, however long it is."""
    silence = np.full((1, asked.xs.shape[2]), quiet, np.float32)
    steps = np.concatenate([*(xs[:n] for xs, n in zip(asked.xs, asked.lengths)), silence])
    firsts = np.concatenate([[0], np.cumsum(asked.lengths)])

    def ending(p: int, length: int) -> np.ndarray:
        rng, pieces, number = np.random.default_rng([seed, p]), [np.zeros(0, int)], 0
        while number < length:  # backwards, so that a longer past ends as a shorter one does
            other = (p + int(rng.integers(1, len(asked.lengths)))) % len(asked.lengths)
            pieces.append(np.r_[firsts[other] : firsts[other + 1], np.full(between, len(steps) - 1)])
            number += len(pieces[-1])
        return np.concatenate(pieces[::-1])[number - length :]

    def past(length: int) -> Past:
        index = np.stack([ending(p, length) for p in range(len(asked.lengths))])
        return lambda at, number: steps[index[:, at : at + number]]

    return past
