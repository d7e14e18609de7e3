"""What the state does when it is never reset, and how far outputs still depend on what was before."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from asrnn_jax.audit.models import Model
from asrnn_jax.audit.sources import Source
from asrnn_jax.audit.walk import Chunk

Range = tuple[np.ndarray, np.ndarray]
"""The lowest and the highest value of each unit, of all streams ``(N,)`` or of each ``(B, N)``."""
STILL = 0.01  # share of its first range below which a unit counts as one that no longer moves


class StateReport(NamedTuple):
    """The state along the stream, K stretches of it, without any reset. "At first" is the first N steps."""

    first: int
    """N."""
    norm: np.ndarray
    """``(K,)``: the largest norm of a state over the largest at first."""
    outside: np.ndarray
    """``(K,)``: share of units outside of the range that they had at first, a tenth of it on both sides allowed."""
    still: np.ndarray
    """``(K,)``: share of units that no longer move: their range is less than a hundredth of that at first."""
    saturated: np.ndarray | None
    """``(K,)``: share of saturated units, where the model is a cell, less that at first."""


class Remembrance(NamedTuple):
    """How far outputs depend on what was before, M steps after it ended (arXiv 2507.02782)."""

    fresh: np.ndarray
    """``(M,)``: mean distance between the outputs of a carried and of a fresh state, on the same inputs."""
    other: np.ndarray
    """``(M,)``: between those of two carried states with other pasts."""
    agrees: int | None
    """The step from which carried and fresh outputs differ by less than a hundredth; None: they never do within M."""


class Watch:
    """Looks at the states of a run that is never reset, and keeps some of them.

    Args:
      model: the model that runs.
      source: what it runs on.
      first: steps that later ones are compared with.
      parts: stretches K.
      points: steps whose states are kept.
    """

    def __init__(self, model: Model, source: Source, first: int, parts: int, points: tuple[int, ...]):
        self.kept: dict[int, Any] = {}
        self._model, self._first, self._points, self._parts = model, min(first, source.steps), list(points), parts
        self._size = -(-source.steps // parts)
        self._at_first: Range | None = None
        self._ranges: dict[int, Range] = {}
        self._norm, self._norm_first = np.full(parts, np.nan), 0.0
        self._outside = np.zeros((parts, 2))
        self._saturated, self._saturated_first = np.zeros((parts, 2)), [0.0, 0.0]

    def __call__(self, chunk: Chunk) -> None:
        """One more chunk."""
        end = chunk.at + chunk.ys.shape[1]
        while self._points and self._points[0] <= end:
            self._points.pop(0)
            self.kept[end] = chunk.state
        there = chunk.piece.there[:, -1]
        if not there.any():
            return
        units = self._model.vector(chunk.state)[there]
        self._check(units, end, there)
        norm = float(np.linalg.norm(units, axis=-1).max())
        share = np.nan
        if self._model.saturated is not None:
            share = float(self._model.saturated(chunk.state, chunk.piece.xs[:, -1])[there].mean())
        place = (end - 1) // self._size
        if end <= self._first or self._at_first is None:
            self._norm_first = max(self._norm_first, norm)
            self._at_first = _wider(self._at_first, units.min(0), units.max(0))
            self._saturated_first = [self._saturated_first[0] + share, self._saturated_first[1] + 1]
        low, high = self._at_first
        slack = 0.1 * (high - low) + 1e-6
        self._norm[place] = np.fmax(self._norm[place], norm)
        self._outside[place] += [float(((units < low - slack) | (units > high + slack)).mean()), 1]
        self._saturated[place] += [share, 1]
        every = self._model.vector(chunk.state).copy()
        self._ranges[place] = _wider(self._ranges.get(place), every, every)

    def _check(self, units: np.ndarray, end: int, there: np.ndarray) -> None:
        bad = ~np.isfinite(units).all(-1)
        if bad.any():
            which = np.flatnonzero(there)[bad]
            raise ValueError(
                f"model {self._model.name!r}, never reset: the state is not finite in stream "
                f"{', '.join(map(str, which[:5]))} before step {end}."
            )

    def report(self) -> StateReport:
        """What was seen."""
        with np.errstate(invalid="ignore", divide="ignore"):
            outside, saturated = (sums[:, 0] / sums[:, 1] for sums in (self._outside, self._saturated))
            norm = self._norm / self._norm_first if self._norm_first else np.full(self._parts, np.nan)
            before = self._saturated_first[0] / self._saturated_first[1]
        still = np.full(self._parts, np.nan)
        whole = self._ranges.get(0)
        reference = None if whole is None else np.median(whole[1] - whole[0], axis=0)
        for place, (low, high) in self._ranges.items():
            if reference is not None and (reference > 0).any():
                moved = high - low > STILL * reference
                still[place] = 1 - float(moved[:, reference > 0].mean())
        known = self._model.saturated is not None
        return StateReport(self._first, norm, outside, still, saturated - before if known else None)


def _wider(known: Range | None, least: np.ndarray, most: np.ndarray) -> Range:
    return (least, most) if known is None else (np.minimum(known[0], least), np.maximum(known[1], most))


def remembrance(model: Model, source: Source, kept: dict[int, Any], steps: int) -> Remembrance:
    """Runs on from states that were kept, from fresh ones and from those of other streams, on the same inputs.

    Distances are total variations of probabilities: of a softmax of several outputs, of one output in [0, 1] its
    difference; of other outputs the norm of the difference over that of the outputs.
    """
    sums, number = np.zeros((2, steps)), np.zeros(steps)
    batch = source.streams
    for at, state in kept.items():
        if at + 1 >= source.steps:
            continue
        piece = source.piece(at, min(steps, source.steps - at))
        no, t = np.zeros(piece.labels.shape, bool), piece.labels.shape[1]
        own = model.advance(state, piece.xs, no)[1]
        anew = model.advance(model.start(batch), piece.xs, no)[1]
        others = model.advance(model.take(state, np.roll(np.arange(batch), 1)), piece.xs, no)[1]
        for i, ys in enumerate((anew, others)):
            sums[i, :t] += (distance(own, ys) * piece.there).sum(0)
        number[:t] += piece.there.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        fresh, other = sums / number
    if batch < 2:
        other = np.full(steps, np.nan)
    apart = np.flatnonzero(~(fresh < 0.01))
    agrees = 0 if not len(apart) else int(apart[-1]) + 1
    return Remembrance(fresh, other, agrees if agrees < steps else None)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between outputs ``(..., O)``, in [0, 1] for probabilities; see `remembrance`."""
    if a.shape[-1] == 1:
        if min(a.min(), b.min()) >= 0 and max(a.max(), b.max()) <= 1:
            return np.abs(a - b)[..., 0]
        return np.abs(a - b)[..., 0] / (np.std(a) + np.std(b) + 1e-12)
    return 0.5 * np.abs(probabilities(a) - probabilities(b)).sum(-1)


def probabilities(ys: np.ndarray) -> np.ndarray:
    """Outputs ``(..., O)`` as probabilities: as they are if they are some, else their softmax."""
    if ys.min() >= 0 and np.allclose(ys.sum(-1), 1, atol=1e-3):
        return ys
    return softmax(ys, axis=-1)
