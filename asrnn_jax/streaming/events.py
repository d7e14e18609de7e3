"""Events in streams of labels and answers: found or not, how late, false alarms, segment F1. NumPy only.

Labels and answers are integers, one a step: the class, or -1 for "nothing". A stream is ``(T,)``; several are
``(B, T)`` or a list of ``(T,)`` of different lengths. For a detector that only says "something", make both 0 or -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Streams = ArrayLike | Sequence[ArrayLike]


class Events(NamedTuple):
    """Runs of one label, in the order of streams and time; N of them."""

    stream: np.ndarray
    """``(N,)``"""
    start: np.ndarray
    """``(N,)``: the first step."""
    stop: np.ndarray
    """``(N,)``: one after the last step."""
    label: np.ndarray
    """``(N,)``, at least 0."""


class EventScores(NamedTuple):
    """What `event_scores` returns."""

    events: int
    found: float
    """Share of the events with a right answer at one of their steps at least; NaN without an event."""
    delay: float
    """Mean seconds from the beginning of an event to the end of the step with the first right answer, over those that
    were found; NaN without any."""
    false_alarms_per_hour: float
    """Of gaps; NaN without a gap."""


class SegmentF1(NamedTuple):
    """What `segment_f1` returns."""

    precision: float
    """Matched over answered segments; NaN without any."""
    recall: float
    """Matched over true segments; NaN without any."""
    f1: float
    """``2 matched / (answered + true)``; NaN without any of both."""
    matched: int
    answered: int
    true: int


def rows(**streams: Any) -> list[list[np.ndarray]]:
    """Each argument as a list with an array ``(T, ...)`` a stream, all of the same lengths.

    Raises:
      ValueError: lengths that differ.
    """
    found = []
    for name, values in streams.items():
        several = isinstance(values, list | tuple) and len(values) and all(np.ndim(v) for v in values)
        arrays = [np.asarray(v) for v in values] if several else np.asarray(values)
        if isinstance(arrays, np.ndarray):
            if arrays.ndim < 1:
                raise ValueError(f"{name} has shape (): pass (T,), (B, T) or a list of (T,).")
            arrays = [arrays] if arrays.ndim == 1 else list(arrays)
        found.append(arrays)
        if found and [len(a) for a in arrays] != [len(a) for a in found[0]]:
            lengths = " and ".join(str([len(a) for a in each][:5]) for each in (found[0], arrays))
            raise ValueError(f"{name} has streams of other lengths than {next(iter(streams))}: {lengths}.")
    return found


def events(labels: Streams, starts: Streams | None = None) -> Events:
    """The events that labels say: longest runs of one label that is at least 0.

    Args:
      labels: ``(B, T)`` or as said above.
      starts: bool, the same shape: where an event begins, which tells two apart that follow each other at once and are
        of one class.

    Raises:
      ValueError: shapes that differ.
    """
    labels, begins = rows(labels=labels, starts=labels if starts is None else starts)
    found = [(np.zeros(0, int),) * 4]
    for b, (y, new) in enumerate(zip(labels, begins)):
        cut = np.ones(len(y) + 1, bool)
        cut[1:-1] = y[1:] != y[:-1]
        if starts is not None:
            cut[:-1] |= new.astype(bool)
        edges = np.flatnonzero(cut)
        kept = y[edges[:-1]] >= 0
        start, stop = edges[:-1][kept], edges[1:][kept]
        found.append((np.full(len(start), b), start, stop, y[start]))
    return Events(*(np.concatenate(columns).astype(int) for columns in zip(*found)))


def delays(found: Events, answers: Streams) -> np.ndarray:
    """Steps from the beginning of each event to the first right answer within it, ``(N,)``; NaN where there is none."""
    (streams,) = rows(answers=answers)
    late = np.full(len(found.start), np.nan)
    for i, (b, start, stop, label) in enumerate(zip(*found)):
        right = streams[b][start:stop] == label
        if right.any():
            late[i] = np.argmax(right)
    return late


def false_alarms(labels: Streams, answers: Streams, *, grace: int = 0, apart: int | None = 1) -> int:
    """How many alarms there were in gaps: runs of answers other than "nothing" where nothing is.

    Args:
      labels, answers: as for `event_scores`.
      grace: so many first steps of a gap do not count: an answer there may still be about the event before.
      apart: alarms of one gap with fewer quiet steps than this between them are one, as a person would take a flicker;
        None: one a gap at most.
    """
    number = 0
    for y, answer in zip(*rows(labels=labels, answers=answers)):
        gap, at = y < 0, np.arange(len(y))
        begins = gap & ~np.r_[False, gap[:-1]]
        since = at - np.maximum.accumulate(np.where(begins, at, 0))
        steps = np.flatnonzero((answer >= 0) & gap & (since >= grace))
        new_gap = np.diff(np.cumsum(begins)[steps]) > 0
        number += int(len(steps) > 0) + int((new_gap | (apart is not None and np.diff(steps) - 1 >= apart)).sum())
    return number


def event_scores(
    labels: Streams,
    answers: Streams,
    *,
    step_seconds: float,
    starts: Streams | None = None,
    grace: int = 0,
    apart: int | None = 1,
) -> EventScores:
    """Share of events found, delay, and false alarms per hour of gaps.

    An event is found if at one of its steps at least the answer is its label. Answers of a wrong class within an event
    are no false alarms: see `asrnn_jax.streaming.scores.by_class` for them.

    Args:
      labels: the truth.
      answers: of the network, in the shape of `labels`; see `asrnn_jax.streaming.scores.answers`.
      step_seconds: how long a step is.
      starts: as for `events`.
      grace, apart: as for `false_alarms`.

    Raises:
      ValueError: shapes that differ, a step that is not longer than 0 seconds.

    Example:
      >>> from asrnn_jax.streaming import scores
      >>> labels  = [-1, -1, 4, 4, 4, -1, -1, -1, -1, 2, 2]
      >>> answers = [-1, -1, -1, 4, 4, 4, -1, 0, -1, -1, -1]  # one event of two, a step late; an alarm at step 7
      >>> found = scores.event_scores(labels, answers, step_seconds=1.0, grace=1)
      >>> found.found, found.delay, found.false_alarms_per_hour
      (0.5, 2.0, 600.0)
    """
    if not step_seconds > 0:
        raise ValueError(f"step_seconds={step_seconds}: give the seconds of a step, above 0.")
    there = events(labels, starts)
    late = delays(there, answers)
    found = np.isfinite(late)
    hours = sum(int((y < 0).sum()) for y in rows(labels=labels)[0]) * step_seconds / 3600
    alarms = false_alarms(labels, answers, grace=grace, apart=apart)
    delay = step_seconds * (late[found].mean() + 1) if found.any() else np.nan
    share = float(found.mean()) if len(found) else np.nan
    return EventScores(len(found), share, float(delay), alarms / hours if hours else np.nan)


def segment_f1(labels: Streams, answers: Streams, *, overlap: float = 0.5, starts: Streams | None = None) -> SegmentF1:
    """F1 of whole segments: does each event come as one answer of about its extent?

    Segments are longest runs of one label (of one answer). An answered segment matches a true one of its stream and
    label if their intersection is at least `overlap` of their union. Each is matched once at most, the largest overlaps
    first. An event that is answered in three pieces thus costs precision and recall, though all its steps are right.
    From an overlap of 0.5 on it is the F1@k of action segmentation (Lea et al. 2017, arXiv:1611.05267).

    Args:
      labels, answers, starts: as for `event_scores`.
      overlap: least intersection over union, in (0, 1].

    Raises:
      ValueError: shapes that differ, an overlap outside (0, 1].
    """
    if not 0 < overlap <= 1:
        raise ValueError(f"overlap={overlap}: give a share in (0, 1].")
    rows(labels=labels, answers=answers)
    true, said = events(labels, starts), events(answers)
    pairs = []
    for b in np.unique(true.stream):
        own, others = (np.flatnonzero(each.stream == b) for each in (true, said))
        first = np.searchsorted(said.stop[others], true.start[own], side="right")
        last = np.searchsorted(said.start[others], true.stop[own], side="left")
        for i, low, high in zip(own, first, last):
            for j in others[low:high]:
                if true.label[i] == said.label[j]:
                    shared = min(true.stop[i], said.stop[j]) - max(true.start[i], said.start[j])
                    union = max(true.stop[i], said.stop[j]) - min(true.start[i], said.start[j])
                    pairs.append((-shared / union, i, j))
    taken_true, taken_said = set(), set()
    for negative, i, j in sorted(pairs):
        if -negative >= overlap and i not in taken_true and j not in taken_said:
            taken_true.add(i)
            taken_said.add(j)
    matched, n_said, n_true = len(taken_true), len(said.start), len(true.start)
    return SegmentF1(
        _over(matched, n_said), _over(matched, n_true), _over(2 * matched, n_said + n_true), matched, n_said, n_true
    )


def mean(values: Any) -> float:
    """NaN of nothing."""
    return float(np.mean(values)) if len(values) else float("nan")


def _over(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
