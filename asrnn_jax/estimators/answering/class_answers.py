"""From the logits of a classifier to classes: what is learned, how answers are read, how they are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.special import log_softmax  # jax brings scipy

from asrnn_jax import losses
from asrnn_jax.estimators.findings import perhaps
from asrnn_jax.estimators.learning.endless import Recording
from asrnn_jax.estimators.learning.training import Objective
from asrnn_jax.estimators.preparing.labels import Classes
from asrnn_jax.estimators.preparing.series import Series
from asrnn_jax.estimators.reading.tables import Table
from asrnn_jax.losses.objective import share_of

Per = Literal["step", "stream"]
NEVER = 2.0
"""A bound of the entropy share that no answer reaches."""


class Answers(NamedTuple):
    """What a classifier says about T steps of a session, or of a batch of them, (*B, T)."""

    labels: np.ndarray
    """The most likely class, None where the answer is "nothing"."""
    probabilities: np.ndarray
    """(T, C)"""
    entropy: np.ndarray
    """As a share of its most: 1 is "don't know"."""
    nothing: np.ndarray
    """bool"""


def objective(classes: int, weights: ArrayLike | None) -> Objective:
    """The objective of Never Reset Again, with weights of the classes."""

    def loss(outputs, window: Recording, weight):
        m = window.informative
        return losses.reset_free(outputs, window.wanted, m, weight=weight, class_weights=weights)

    return Objective(classes, loss, lambda outputs, window: losses.entropy_share(outputs))


def record(one: Series, unlabelled: str, per: Per) -> Recording:
    """What is learned from a stream; from its steps without label "nothing", or nothing at all.

    Where a stream has one answer, its steps count in training as they count in the answer.
    """
    informative = one.labels >= 0
    learned = one.valid if unlabelled == "nothing" else one.valid & informative
    counted = learned * (counts(len(one.xs)) if per == "stream" else 1.0)
    fresh = np.zeros(len(one.xs), bool)
    return Recording(one.xs, one.valid, one.labels, informative.astype(np.float32), counted.astype(np.float32), fresh)


def counts(steps: int) -> np.ndarray:
    """How much each of T steps counts in the one answer for all of them, (T,): as the steps that it has seen."""
    return 2 * (np.arange(steps) + 1.0) / (steps + 1)


def per_of(series: Sequence[Series]) -> Per:
    """A stream, where each of many has one label, and on all of its steps."""
    whole = all(len(np.unique(one.labels)) == 1 and one.labels[0] >= 0 for one in series if len(one.xs))
    return "stream" if whole and len(series) > 3 else "step"


def whole(logits: np.ndarray) -> np.ndarray:
    """One answer (C,) for all steps (T, C): the mean of their log-probabilities, weighed by `counts`."""
    return np.average(log_softmax(logits, axis=-1), axis=0, weights=counts(len(logits)))


def balanced_accuracy(series: Sequence[Series], outputs: Sequence[np.ndarray], per: Per) -> float:
    """Mean share of right answers of each class, over labelled steps or streams."""
    if per == "stream":
        labels = np.array([next(iter(one.labels[one.labels >= 0]), -1) for one in series])
        logits = np.stack([whole(ys) for ys in outputs])
    else:
        labels, logits = np.concatenate([one.labels for one in series]), np.concatenate(outputs)
    right = logits.argmax(-1) == labels
    there = np.unique(labels[labels >= 0])
    return float(np.mean([right[labels == c].mean() for c in there])) if len(there) else float("nan")


def sure_below(series: Sequence[Series], outputs: Sequence[np.ndarray]) -> float:
    """The entropy share below which an answer counts, else it is "nothing".

    It makes the sum of the share of right answers at labelled steps and of "nothing" at the others largest.
    """
    labels, logits = np.concatenate([one.labels for one in series]), np.concatenate(outputs)
    if not (labels < 0).any() or not (labels >= 0).any():
        return 0.5
    shares, right = share_of(np, logits), logits.argmax(-1) == labels
    grid = np.linspace(0.05, 0.95, 19)
    good = [((shares < s) & right)[labels >= 0].mean() + (shares >= s)[labels < 0].mean() for s in grid]
    return float(np.median(grid[np.array(good) >= max(good) - 1e-9]))


def named(classes: Sequence[Any], chosen: np.ndarray, nothing: np.ndarray) -> np.ndarray:
    """The names of classes, None where nothing is said."""
    if not nothing.any():
        return as_array(classes)[chosen]
    return np.array([*classes, None], object)[np.where(nothing, len(classes), chosen)]


def as_array(values: Sequence[Any]) -> np.ndarray:
    """Names as an array of their own type, if they have one."""
    return np.array(list(values), None if len({type(value) for value in values}) == 1 else object)


def wanted(classes: Sequence[Any], table: Table, per: Per) -> np.ndarray:
    """The class of each row, or stream, as an index; -1: no label; C: one that was not in the training data."""
    if table.labels is None:
        raise ValueError("label: these data have none; name their column, or give them beside the data.")
    place = {name: i for i, name in enumerate(classes)}
    index = np.array([*(place.get(value, len(place)) for value in table.labels.values), -1])[table.labels.codes]
    if per == "step":
        return index
    found = np.full(len(table.stream.values), -1)
    there = (index >= 0) & (table.stream.codes >= 0)
    found[table.stream.codes[there][::-1]] = index[there][::-1]  # the first of each
    return found


def measured(logits: np.ndarray, labels: np.ndarray, sure: float) -> Mapping[str, float]:
    """Shares of right answers, and of "nothing" where there is no label: see `StreamClassifier.evaluate`."""
    there, step = labels >= 0, np.isfinite(logits).all(-1)
    if not there.any():
        raise ValueError("label: no row of these data has one.")
    right, nothing = step & (logits.argmax(-1) == labels), is_nothing(logits, sure)
    return {
        "accuracy": float(right[there].mean()),
        "answered": float((right & ~nothing)[there].mean()),
        "nothing": float(nothing[~there].mean()) if not there.all() else float("nan"),
    }


def is_nothing(logits: np.ndarray, sure: float) -> np.ndarray:
    """Where the answer is "nothing": too near to "don't know", or no answer at all (NaN)."""
    return ~(share_of(np, logits) < sure)


def weights_of(classes: Classes, kind: str | Mapping[Any, float] | None) -> ArrayLike | None:
    """What a step of each class counts.

    Raises:
      ValueError: neither "balanced" nor None nor finite weights of at least 0 by the names of classes.
    """
    if kind is None:
        return None
    if isinstance(kind, str) and kind == "balanced":
        return losses.balanced_weights(jnp.asarray(classes.rows))
    if not isinstance(kind, Mapping):
        raise ValueError(f"class_weight={kind!r}: choose 'balanced' or None, or give a factor by the name of a class.")
    place = {str(name): i for i, name in enumerate(classes.names)}  # a saved model's names are text
    weights = np.ones(len(place), np.float32)
    for name, weight in kind.items():
        if str(name) not in place:
            raise ValueError(f"class_weight: {name!r} is no class; {perhaps(str(name), place)}")
        if not 0 <= weight < np.inf:
            raise ValueError(f"class_weight of {name!r} is {weight}: give a finite number of at least 0.")
        weights[place[str(name)]] = weight
    return weights
