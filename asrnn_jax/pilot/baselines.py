"""What needs no recurrence: the most frequent class, and boosted trees on statistics of the last steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.estimators import Series
from asrnn_jax.pilot.rolling import features
from asrnn_jax.streaming import scores

MOST_ROWS = 60_000
"""Rows that trees are grown on; of more, so many are drawn."""
MOST_TREES = 150
LEAST = 1e-9
"""Of a probability, before its logarithm is taken."""


class Said(NamedTuple):
    """What a classifier says at each of T steps."""

    best: np.ndarray
    """int (T,): the most probable class."""
    answers: np.ndarray
    """int (T,): the same, or -1 for "nothing"."""
    log_p: np.ndarray
    """(T, C): logarithms of the classes' probabilities, up to a constant in each step."""


def windows(series: Sequence[Series]) -> tuple[int, ...]:
    """How far to look back: an eighth, half and twice of the usual event, or without events 4, 16 and 64 steps."""
    found = scores.events([one.labels for one in series]) if series else None
    if found is None or not len(found.start):
        return (4, 16, 64)
    usual = float(np.median(found.stop - found.start))
    return tuple(sorted({max(2, round(usual * share)) for share in (1 / 8, 1 / 2, 2)}))


def majority(train: Sequence[Series], steps: int, classes: int) -> Said:
    """The most frequent class, always; it never says "nothing"."""
    labels = np.concatenate([one.labels for one in train])
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    always = np.full(steps, int(counts.argmax()))
    return Said(always, always, np.broadcast_to(np.log(np.maximum(counts, LEAST)), (steps, classes)))


class Boosting:
    """Gradient boosting of scikit-learn on `features`, which is strong where the last steps say all.

    Args:
      nothing: steps without a label are a class of their own, "nothing"; else they are left out.
      seed: of the draw of rows, and of the trees.
    """

    def __init__(self, *, nothing: bool = True, seed: int = 0):
        self.nothing, self.seed = nothing, seed
        self.windows: tuple[int, ...] = ()
        self.rows = 0
        """How many it was grown on."""

    def fit(self, train: Sequence[Series]) -> Boosting:
        """Grows the trees.

        Raises:
          ImportError: scikit-learn is not installed.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        rng = np.random.default_rng(self.seed)
        self.windows = windows(train)
        usable = [one.valid & ((one.labels >= 0) | self.nothing) for one in train]
        share = min(1.0, MOST_ROWS / max(1, sum(int(u.sum()) for u in usable)))
        xs, ys = [], []
        for one, use in zip(train, usable):
            drawn = use & (rng.uniform(size=len(use)) < share)
            xs.append(features(one.xs, self.windows)[drawn])
            ys.append(one.labels[drawn])
        x, y = np.concatenate(xs), np.concatenate(ys)
        self.rows = len(y)
        rare = [kind for kind, count in zip(*np.unique(y, return_counts=True)) if count < 2]
        x, y = x[~np.isin(y, rare)], y[~np.isin(y, rare)]  # early stopping holds out rows of each class
        early: Any = len(y) > 1000  # as scikit-learn's annotation has it, a text
        trees = HistGradientBoostingClassifier(
            max_iter=MOST_TREES, early_stopping=early, n_iter_no_change=5, random_state=self.seed
        )
        with threadpool_limits(1, user_api="openmp"):  # several wait for each other for minutes where cores are busy
            self._trees = trees.fit(x, y)
        return self

    def predict(self, series: Sequence[Series], classes: int) -> Said:
        """What it says along streams, one after the other."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="openmp"):
            found = [self._trees.predict_proba(features(one.xs, self.windows)) for one in series if len(one.xs)]
        given, kinds = np.concatenate(found), np.asarray(self._trees.classes_)
        p = np.zeros((len(given), classes + 1))  # the last is "nothing", as index -1
        p[:, kinds] = given
        answers = p.argmax(1)
        best = p[:, :-1].argmax(1)
        return Said(best, np.where(answers == classes, -1, answers), np.log(np.maximum(p[:, :-1], LEAST)))
