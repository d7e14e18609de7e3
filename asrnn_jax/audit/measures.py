"""What counts as good, a step at a time, and sums of it by stream, place and time, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, stdtrit  # jax brings scipy

from asrnn_jax.streaming.scores import Interval

Values = np.ndarray | tuple[np.ndarray, np.ndarray]
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], Values]
"""``(labels (B, T), outputs (B, T, O), ends (B, T)) -> values (B, T)``, NaN where a step does not count; or a pair
(part, whole) of arrays, of which the score is ``sum(part) / sum(whole)``."""


def measures(threshold: float = 0.5) -> dict[str, Measure]:
    """The scores that have names; a detector says something where its one output is above the threshold.

    "accuracy" of all labelled steps, "accuracy at end" of the last step of each sample; of detectors "recall", the
    share of labelled steps where it says something, "precision", "f1" and "false alarms", the share of other steps.
    """

    def found(outputs: np.ndarray) -> np.ndarray:
        return outputs[..., 0] > threshold if outputs.shape[-1] == 1 else outputs.argmax(-1) > 0

    def right(labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        return outputs.argmax(-1) == labels if outputs.shape[-1] > 1 else found(outputs) == (labels > 0)

    def where(values: np.ndarray, counted: np.ndarray) -> Values:
        return values & counted, counted

    return {
        "accuracy": lambda y, o, ends: where(right(y, o), y >= 0),
        "accuracy at end": lambda y, o, ends: where(right(y, o), (y >= 0) & ends),
        "recall": lambda y, o, ends: where(found(o), y >= 0),
        "precision": lambda y, o, ends: where(y >= 0, found(o)),
        "f1": lambda y, o, ends: (2 * (found(o) & (y >= 0)), found(o).astype(int) + (y >= 0)),
        "false alarms": lambda y, o, ends: where(found(o), y < 0),
    }


def measured(measure: Measure, labels: np.ndarray, outputs: np.ndarray, ends: np.ndarray, there: np.ndarray):
    """``(part, whole)``, each ``(B, T)``, 0 where no step is.

    Raises:
      ValueError: a score of another shape.
    """
    found = measure(labels, outputs, ends)
    part, whole = found if isinstance(found, tuple) else (np.nan_to_num(found, nan=0.0), ~np.isnan(found))
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    if part.shape != labels.shape or whole.shape != labels.shape:
        raise ValueError(f"score gave shape {part.shape} for {labels.shape} labels: return one value a step.")
    return np.where(there, part, 0.0), np.where(there, whole, 0.0)


class Sums(NamedTuple):
    """``(B, K)`` each: of K places, such as tenths of the stream."""

    part: np.ndarray
    whole: np.ndarray

    @staticmethod
    def zeros(streams: int, places: int) -> Sums:
        """Nothing yet."""
        return Sums(np.zeros((streams, places)), np.zeros((streams, places)))

    def add(self, places: np.ndarray, part: np.ndarray, whole: np.ndarray) -> None:
        """Adds ``(B, T)`` values to the places ``(B, T)`` that they are of."""
        row = np.broadcast_to(np.arange(len(places))[:, None], places.shape)
        np.add.at(self.part, (row, places), part)
        np.add.at(self.whole, (row, places), whole)

    def signed(self, better: int) -> Sums:
        """Those of a score that is the better the higher it is; `better` is 1 or -1."""
        return Sums(better * self.part, self.whole)

    def mean(self, least: int = 1) -> np.ndarray:
        """``(K,)`` over all streams; NaN where fewer than so many steps counted."""
        whole = self.whole.sum(0)
        return np.where(whole >= least, self.part.sum(0) / np.maximum(whole, 1), np.nan)


def interval(
    first: Sums, second: Sums | None = None, *, level: float = 0.95, number: int = 4000, seed: int = 0
) -> Interval:
    """The score of all places together, or its difference ``first - second``, by bootstrap over streams.

    As `asrnn_jax.streaming.scores.bootstrap`, but of sums, all sets at once.

    Percentiles of few streams are too narrow; their level is widened as Hesterberg (2015, The American Statistician 69)
    does, by the quantile of Student's t and by sqrt(n / (n - 1)). Of fewer than 2 streams: no interval, NaN.
    """
    pairs = [each for each in (first, second) if each is not None]
    columns = np.stack([column.sum(1) for each in pairs for column in each])  # (2 or 4, B)
    n = columns.shape[1]

    def score(sums: np.ndarray) -> Any:
        with np.errstate(invalid="ignore", divide="ignore"):
            values = sums[::2] / sums[1::2]
        return values[0] if len(values) == 1 else values[0] - values[1]

    value = float(score(columns.sum(1)))
    if n < 2:
        return Interval(value, np.nan, np.nan)
    drawn = np.random.default_rng(seed).integers(n, size=(number, n))
    found = score(columns[:, drawn].sum(-1))
    found = found[np.isfinite(found)]
    tail = float(ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2)))
    low, high = np.quantile(found, (tail, 1 - tail)) if found.size else (np.nan, np.nan)
    return Interval(value, float(low), float(high))
