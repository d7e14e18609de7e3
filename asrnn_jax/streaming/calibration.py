"""Does a network know how sure it may be? Reliability, entropy in gaps, coverage of intervals. NumPy only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from asrnn_jax.losses.objective import share_of
from asrnn_jax.streaming.events import Streams, mean, rows


class Reliability(NamedTuple):
    """What `reliability` returns, arrays ``(bins,)``; NaN in bins without a step."""

    confidence: np.ndarray
    """Mean probability of the answer."""
    accuracy: np.ndarray
    """Share of right answers."""
    count: np.ndarray


def reliability(probabilities: Streams, labels: Streams, *, bins: int = 10) -> Reliability:
    """Does it know how sure it may be? Accuracy by the probability of the answer, over steps with a label.

    Args:
      probabilities: ``(B, T, C)``, or a list of ``(T, C)``.
      labels: ``(B, T)``; steps of -1 are left out.
      bins: of equal width; each holds its upper end, as in Guo et al. 2017, arXiv:1706.04599.

    Raises:
      ValueError: shapes that differ, fewer than 1 bin.
    """
    if bins < 1:
        raise ValueError(f"bins={bins}: give at least 1.")
    p, y = _steps(probabilities, labels)
    p, y = p[y >= 0], y[y >= 0]
    top, right = p.max(-1), p.argmax(-1) == y
    index = np.clip(np.ceil(top * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    sums = (np.bincount(index, weights=values, minlength=bins) for values in (top, right))
    confidence, accuracy = (np.where(count > 0, total / np.maximum(count, 1), np.nan) for total in sums)
    return Reliability(confidence, accuracy, count)


def calibration_error(found: Reliability) -> float:
    """Expected calibration error: mean distance of confidence and accuracy of the bins, by their counts."""
    there = found.count > 0
    if not there.any():
        return float("nan")
    return float(np.average(np.abs(found.confidence - found.accuracy)[there], weights=found.count[there]))


def gap_entropy(probabilities: Streams, labels: Streams) -> float:
    """Mean entropy share of the answers where nothing is to be said (labels of -1); 1 is "don't know" throughout."""
    p, y = _steps(probabilities, labels)
    with np.errstate(divide="ignore"):
        return mean(share_of(np, np.log(p[y < 0])))


def coverage(low: ArrayLike, high: ArrayLike, targets: ArrayLike) -> np.ndarray:
    """Share of the targets within their intervals, ``(..., K) -> (K,)``; targets that are not finite are left out."""
    low, high, targets = np.broadcast_arrays(low, high, targets)
    with np.errstate(invalid="ignore"):
        inside = np.where(np.isfinite(targets), (low <= targets) & (targets <= high), np.nan)
    flat = inside.reshape(-1, inside.shape[-1])
    return np.array([mean(column[~np.isnan(column)]) for column in flat.T])


def _steps(probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """``(N, C), (N,)`` of all steps."""
    whole = isinstance(probabilities, np.ndarray) and np.ndim(labels) == 1
    p, y = rows(probabilities=[probabilities] if whole else probabilities, labels=labels)
    return np.concatenate(p), np.concatenate(y)
