"""Scores that an operator pays for, from arrays or tables of steps. NumPy only.

Labels and answers are integers, one a step: the class, or -1 for "nothing". One stream is ``(T,)``, several are
``(B, T)`` or a list of ``(T,)`` of different lengths.

    >>> import numpy as np
    >>> from asrnn_jax.streaming import scores
    >>> labels = np.array([[-1, 0, 0, 0, -1, -1, 1, 1], [1, 1, -1, -1, -1, 0, 0, -1]])
    >>> logits = 4.0 * (labels[..., None] == np.arange(2))  # of a network that knows all
    >>> said = scores.answers(logits)
    >>> scores.event_scores(labels, said, step_seconds=0.1).found, scores.segment_f1(labels, said).f1
    (1.0, 1.0)
    >>> scores.by_class(labels, said, classes=2).macro_f1
    1.0
    >>> found = scores.bootstrap(lambda y, a: float(np.mean(a == y)), (labels, said), number=100)
    >>> found.value, found.low, found.high
    (1.0, 1.0, 1.0)

Whatever is a mean or a share of nothing is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from asrnn_jax.losses.objective import share_of
from asrnn_jax.streaming.calibration import Reliability, calibration_error, coverage, gap_entropy, reliability
from asrnn_jax.streaming.events import (
    Events,
    EventScores,
    SegmentF1,
    Streams,
    delays,
    event_scores,
    events,
    false_alarms,
    mean,
    rows,
    segment_f1,
)

__all__ = ["ByClass", "Interval", "answers", "by_class", "cost_per_step"]
__all__ += ["EventScores", "Events", "SegmentF1", "delays", "event_scores", "events", "false_alarms", "segment_f1"]
__all__ += ["Reliability", "calibration_error", "coverage", "gap_entropy", "reliability"]
__all__ += ["along", "bootstrap", "per_stream"]


class ByClass(NamedTuple):
    """What `by_class` returns, arrays ``(C,)``."""

    precision: np.ndarray
    """Of the steps answered so, the share that is right; 0 where the class came but was never answered."""
    recall: np.ndarray
    """Of the steps labelled so, the share that is answered so; 0 where the class was answered but never came."""
    f1: np.ndarray
    support: np.ndarray
    """Steps labelled so."""

    @property
    def macro_f1(self) -> float:
        """Mean over the classes that came or were answered."""
        return mean(self.f1[~np.isnan(self.f1)])


class Interval(NamedTuple):
    """What `bootstrap` returns; numbers, or what the score returns of numbers."""

    value: Any
    """Of all streams."""
    low: Any
    high: Any


def answers(logits: ArrayLike, *, sure: float = 0.5) -> np.ndarray:
    """The class with the largest logit, or -1 ("nothing") where the entropy share is `sure` or more.

    Args:
      logits: ``(..., C)``; logarithms of probabilities are logits too.
      sure: entropy share below which a network claims to know something, see `asrnn_jax.losses.entropy_share`.
    """
    logits = np.asarray(logits)
    return np.where(share_of(np, logits) < sure, logits.argmax(-1), -1)


def by_class(labels: Streams, answers: Streams, *, classes: int) -> ByClass:
    """Precision, recall and F1 of each class over all steps; answers in gaps cost precision.

    As scikit-learn's ``precision_recall_fscore_support(labels, answers, labels=range(classes), zero_division=0)``, but
    NaN for a class that neither came nor was answered.

    Raises:
      ValueError: shapes that differ, labels or answers of `classes` or more.
    """
    y, a = (np.concatenate(each).astype(int) for each in rows(labels=labels, answers=answers))
    for name, values in (("labels", y), ("answers", a)):
        if len(values) and values.max() >= classes:
            raise ValueError(f"{name} has {values.max()}: with {classes} classes give -1 to {classes - 1}.")
    support, said = (np.bincount(v[v >= 0], minlength=classes) for v in (y, a))
    right = np.bincount(y[(y == a) & (y >= 0)], minlength=classes)
    nothing = support + said == 0
    precision, recall = (np.where(nothing, np.nan, right / np.maximum(n, 1)) for n in (said, support))
    return ByClass(precision, recall, np.where(nothing, np.nan, 2 * right / np.maximum(support + said, 1)), support)


def along(steps: ArrayLike, values: ArrayLike, *, parts: int = 10) -> np.ndarray:
    """Does it wear off? Means of `parts` pieces of a stream, ``(parts,)``, from the first to the last.

    Each piece is ``N // parts`` values that follow each other (at least 1). The pieces are spread evenly: the first
    begins with the first value, the last ends with the last.

    Args:
      steps: ``(N,)``: where in its stream each value came, for example ``events.start``; of all streams together.
      values: ``(N,)``, for example right or wrong, or an error; NaN is left out beforehand.

    Raises:
      ValueError: shapes that differ, fewer than 1 part.
    """
    steps, values = np.ravel(steps), np.ravel(np.asarray(values, float))
    if steps.shape != values.shape or parts < 1:
        raise ValueError(
            f"steps has {steps.size} numbers, values {values.size}, parts={parts}: one each, 1 part or more."
        )
    steps, values = steps[~np.isnan(values)], values[~np.isnan(values)]
    ordered = values[np.lexsort((values, steps))]  # the same whatever the order of the streams is
    size = max(1, len(ordered) // parts)
    firsts = np.linspace(0, max(0, len(ordered) - size), parts).round().astype(int)
    return np.array([mean(ordered[first : first + size]) for first in firsts])


def cost_per_step(labels: Streams, answers: Streams, costs: ArrayLike) -> float:
    """Mean cost of a step, where errors differ in what they cost.

    Args:
      labels, answers: as above.
      costs: ``(C + 1, C + 1)``: of the truth (row) and the answer (column); the last of both is "nothing". So
        ``costs[-1, c]`` is a step of false alarm of class c, ``costs[c, -1]`` one of a missed event. What depends on
        the number of alarms rather than their length: `event_scores`.

    Raises:
      ValueError: shapes that differ, costs that do not cover the labels or answers.
    """
    y, a = (np.concatenate(each).astype(int) for each in rows(labels=labels, answers=answers))
    costs, most = np.asarray(costs, float), max([-1, *y, *a])
    if costs.ndim != 2 or costs.shape[0] != costs.shape[1] or most >= len(costs) - 1:
        raise ValueError(f"costs has shape {costs.shape}: pass ({most + 2}, {most + 2}), the last is nothing.")
    return mean(costs[y, a])


def bootstrap(
    score: Callable[..., Any], streams: Sequence[Any], *, number: int = 1000, level: float = 0.9, seed: int = 0
) -> Interval:
    """A score with its interval: how much would it be another with other streams of the same kind?

    Whole streams are drawn with replacement, since steps and events of one stream are not independent, and the score is
    taken again of each such set: the percentile interval (Efron 1979). With fewer than about 10 streams it is too
    narrow. Sets for which the score is NaN are left out.

    Args:
      score: ``score(*arrays)`` returns a number, or an array or NamedTuple of numbers.
      streams: the arguments of `score`, each with one element a stream: arrays ``(B, ...)`` or lists of B.
      number: of sets.
      level: probability that the interval aims at.
      seed: the same seed gives the same interval.

    Raises:
      ValueError: no streams, different numbers of them, a level outside (0, 1), fewer than 1 set.
    """
    sizes = {len(each) for each in streams}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(f"streams has {sorted(sizes)} streams: each argument of the score needs one element a stream.")
    if not 0 < level < 1 or number < 1:
        raise ValueError(f"level={level}, number={number}: give a probability in (0, 1), and at least 1.")
    rng, (size,) = np.random.default_rng(seed), sizes
    value = score(*streams)
    drawn = []
    for _ in range(number):
        index = rng.integers(size, size=size)
        drawn.append(np.asarray(score(*(_taken(each, index) for each in streams)), float))
    with np.errstate(invalid="ignore"):
        ends = [_quantile(np.stack(drawn), q) for q in ((1 - level) / 2, (1 + level) / 2)]
    if hasattr(value, "_fields"):
        return Interval(value, *(type(value)(*map(float, end)) for end in ends))
    return Interval(value, *(float(end) if end.ndim == 0 else end for end in ends))


def per_stream(
    table: Mapping[str, Any] | Any, *columns: str, stream: str = "stream", time: str = "time"
) -> tuple[list[np.ndarray], ...]:
    """Columns of a table with one row a step, as the scores take them: lists with an array a stream, in order of time.

    Args:
      table: anything that gives columns by name: a dict of arrays, a table of pandas, polars or pyarrow.
      columns: names, for example "label" and "answer".
      stream, time: names of the columns that say which stream a row is of and when it was.

    Raises:
      ValueError: a column that there is not.

    Example:
      >>> from asrnn_jax.streaming import scores
      >>> table = {"stream": ["b", "a", "b"], "time": [2, 1, 1], "label": [0, 1, -1]}
      >>> scores.per_stream(table, "label")
      ([array([1]), array([-1,  0])],)
    """
    values = []
    for name in (stream, time, *columns):
        try:
            values.append(np.asarray(table[name]))
        except (KeyError, ValueError, IndexError):
            raise ValueError(f"table has no column {name!r}: name one that it has.") from None
    names, which = np.unique(values[0], return_inverse=True)
    order = np.lexsort((values[1], which))
    cuts = np.searchsorted(which[order], np.arange(1, len(names)))
    return tuple(np.split(column[order], cuts) for column in values[2:])


def _taken(streams: Any, index: np.ndarray) -> Any:
    return [streams[i] for i in index] if isinstance(streams, list | tuple) else np.asarray(streams)[index]


def _quantile(drawn: np.ndarray, q: float) -> np.ndarray:
    """Over the first axis, of what is finite; NaN where nothing is."""
    flat = drawn.reshape(len(drawn), -1)
    ends = [np.quantile(v, q) if (v := column[np.isfinite(column)]).size else np.nan for column in flat.T]
    return np.array(ends).reshape(drawn.shape[1:])
