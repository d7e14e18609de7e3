"""What is held out of training: whole streams, so that what is measured holds for new ones; or the end of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from asrnn_jax.estimators.preparing.series import Series

FEWEST = 4
"""Streams below which the end of each is held out instead."""


def split(series: Sequence[Series], share: float, seed: int) -> tuple[list[Series], list[Series], str]:
    """Streams to learn from, those that are held out, and how that was done, for people.

    Streams are drawn at random until the share of the steps is reached, but none without which a class would be missing
    from what is learned from.
    """
    if share <= 0:
        return list(series), [], "Nothing was held out."
    if len(series) >= FEWEST:
        chosen = _chosen(series, share, seed)
        if chosen:
            held = [one for i, one in enumerate(series) if i in chosen]
            rest = [one for i, one in enumerate(series) if i not in chosen]
            return rest, held, f"Held out to measure on: {len(held)} of {len(series)} streams."
    pairs = [_by_time(one, share) for one in series]
    learned, held = ([pair[i] for pair in pairs if len(pair[i].xs)] for i in (0, 1))
    if not learned or not held:
        return list(series), [], "Too little data to hold out any."
    return learned, held, f"Held out to measure on: the last {share:.0%} of each stream."


def _chosen(series: Sequence[Series], share: float, seed: int) -> set[int]:
    present = [set(np.unique(one.labels[one.labels >= 0]).tolist()) for one in series]
    left = {c: sum(c in there for there in present) for there in present for c in there}
    wanted, chosen, steps = share * sum(len(one.xs) for one in series), set(), 0
    for i in np.random.default_rng([seed, 7]).permutation(len(series)).tolist():
        if steps >= wanted or len(chosen) >= len(series) // 2:
            break
        if all(left[c] > 1 for c in present[i]):
            chosen.add(i)
            steps += len(series[i].xs)
            for c in present[i]:
                left[c] -= 1
    return chosen


def _by_time(one: Series, share: float) -> tuple[Series, Series]:
    at = round(len(one.xs) * (1 - share))
    return _part(one, slice(0, at)), _part(one, slice(at, None))


def _part(one: Series, which: slice) -> Series:
    each = {field.name: getattr(one, field.name) for field in fields(one)}
    return replace(one, **{name: values[which] for name, values in each.items() if isinstance(values, np.ndarray)})
