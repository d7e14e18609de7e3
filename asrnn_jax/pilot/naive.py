"""Forecasts without recurrence: the last value, the value one period before, boosted trees on rolling windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asrnn_jax.estimators import Series
from asrnn_jax.estimators.answering.number_answers import ahead
from asrnn_jax.pilot.rolling import features

LOOKED_AT = 20_000
"""Steps in which a period is looked for."""
LONGEST = 2000
CLEAR = 0.3
"""Autocorrelation from which on a period counts as one."""
MOST_ROWS, MOST_TREES, MOST_TARGETS = 30_000, 100, 5
WINDOWS = (4, 16, 64)


class Forecast(NamedTuple):
    """What a method says at each of T steps, scaled; NaN where it says nothing."""

    mean: np.ndarray
    """(T, K)"""
    low: np.ndarray
    high: np.ndarray


def held(targets: np.ndarray) -> np.ndarray:
    """Targets of one stream with the last known value where one is missing; 0, the median, before there was any.

    Example:
      >>> held(np.array([[np.nan], [2.0], [np.nan]])).ravel().tolist()
      [0.0, 2.0, 2.0]
    """
    found = np.empty_like(targets)
    for k, column in enumerate(targets.T):
        known = np.where(np.isfinite(column), np.arange(len(column)), -1)
        last = np.maximum.accumulate(known) if len(column) else known
        found[:, k] = np.where(last >= 0, column[last], 0)
    return found


def period(series: Sequence[Series]) -> int | None:
    """The lag of the first clear peak of the autocorrelation of the targets; None: there is none."""
    longest = max(series, key=lambda one: len(one.xs))
    if longest.targets is None or len(longest.xs) < 20:
        return None
    values = held(longest.targets)[:LOOKED_AT]
    lags = min(LONGEST, len(values) // 3)
    total = np.zeros(lags + 1)
    for column in values.T:
        centred = column - column.mean()
        power = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
        correlation = np.fft.irfft(power)[: lags + 1]
        if correlation[0] > 0:
            total += correlation / correlation[0] / values.shape[1] * len(values) / (len(values) - np.arange(lags + 1))
    low = np.flatnonzero(total < CLEAR / 2)  # the peak at 0 has to end first
    if not len(low):
        return None
    after = total.copy()
    after[: low[0]] = -1
    best = int(after.argmax())
    if after[best] < CLEAR:
        return None
    near = np.flatnonzero(after >= 0.9 * after[best])  # of multiples of the period the first
    first = near[: 1 + int(np.argmax(np.append(np.diff(near) > 1, True)))]
    return int(first[np.argmax(after[first])])


def persistence(one: Series, horizon: int, every: int | None = None) -> np.ndarray:
    """The last known value, or the one that was a whole number of periods before what is forecast, ``(T, K)``."""
    assert one.targets is not None
    known = held(one.targets)
    if every is None:
        return known
    back = -(-horizon // every) * every - horizon
    at = np.arange(len(known)) - back
    return np.where((at >= 0)[:, None], known[np.maximum(at, 0)], known)


class Trees:
    """Gradient boosting of scikit-learn on rolling windows, one forest a target; what it forecasts is the change."""

    def __init__(self, horizon: int, seed: int = 0):
        self.horizon, self.seed = horizon, seed

    def fit(self, train: Sequence[Series]) -> Trees:
        """Grows the trees.

        Raises:
          ImportError: scikit-learn is not installed.
        """
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        rng = np.random.default_rng(self.seed)
        share = min(1.0, MOST_ROWS / max(1, sum(len(one.xs) for one in train)))
        xs, ys = [], []
        for one in train:
            assert one.targets is not None
            drawn = rng.uniform(size=len(one.xs)) < share
            xs.append(features(one.xs, WINDOWS)[drawn])
            ys.append((ahead(one.targets, self.horizon) - held(one.targets))[drawn])
        x, y = np.concatenate(xs), np.concatenate(ys)
        self._forests = []
        with threadpool_limits(1, user_api="openmp"):
            for column in y.T:
                there = np.isfinite(column)
                trees = HistGradientBoostingRegressor(
                    loss="absolute_error",
                    max_iter=MOST_TREES,
                    random_state=self.seed,
                    early_stopping=there.sum() > 1000,
                )
                self._forests.append(trees.fit(x[there], column[there]))
        return self

    def predict(self, one: Series) -> np.ndarray:
        """Forecasts ``(T, K)``."""
        from threadpoolctl import threadpool_limits

        assert one.targets is not None
        seen = features(one.xs, WINDOWS)
        with threadpool_limits(1, user_api="openmp"):
            change = np.stack([trees.predict(seen) for trees in self._forests], axis=1)
        return held(one.targets) + change


def with_interval(means: Sequence[np.ndarray], residuals: np.ndarray, level: float) -> Forecast:
    """Forecasts of streams one after the other, with the interval that residuals ``(N, K)`` of training lie in."""
    mean = np.concatenate(means)
    ends = [np.nanquantile(residuals, q, axis=0) for q in ((1 - level) / 2, (1 + level) / 2)]
    return Forecast(mean, mean + ends[0], mean + ends[1])
