"""The test streams with things that happen to sensors: silence, noise, missing values, drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from asrnn_jax.estimators import Preparation, Table
from asrnn_jax.estimators.preparing import order
from asrnn_jax.estimators.reading.columns import Words
from asrnn_jax.pilot.splits import take

STRETCHES = {
    "silence": "all channels at their median",
    "noise": "white noise as strong as the data",
    "missing": "no value at all",
    "stuck": "the last values stay",
}
"""What is put in between the events."""
DRIFTS = (0.5, 1.0, 2.0)
"""Standard deviations that all channels are moved by."""
MOST_STREAMS = 20


class Disturbed(NamedTuple):
    """A table with stretches put in between."""

    table: Table
    inside: np.ndarray
    """bool, one a row: put in."""
    original: np.ndarray
    """int, one a row: the row of the table before; -1 inside."""


def insert(table: Table, preparation: Preparation, kind: str, length: int, *, seed: int = 0) -> Disturbed:
    """A table with a stretch of so many rows in each of the first streams, in the middle of it, between two events.

    Args:
      kind: one of `STRETCHES`.
      length: rows of a stretch.
    """
    rng = np.random.default_rng(seed)
    parts, _ = order.streams(table)
    step = preparation.fitted.rule.step
    pieces, inside, shifts = [], [], []
    for i, (_, part) in enumerate(parts):
        at, added = _between(table, part), length if i < MOST_STREAMS else 0
        pieces += [part[:at], np.full(added, part[max(at - 1, 0)]), part[at:]]
        inside += [np.zeros(at, bool), np.ones(added, bool), np.zeros(len(part) - at, bool)]
        first = step * (np.arange(added) + 1) if at else step * (np.arange(added) - added)
        later = step * added if at else 0.0  # before a stream begins, time runs up to its beginning
        shifts += [np.zeros(at), first, np.full(len(part) - at, later)]
    rows, new, shift = np.concatenate(pieces), np.concatenate(inside), np.concatenate(shifts)
    fill, longer = _fills(kind, preparation, rng), take(table, rows)
    if kind != "stuck":
        for name, values in longer.channels.items():
            values[new] = fill(name, int(new.sum()))
    words = longer.labels
    changed = replace(
        longer,
        times=None if longer.times is None else longer.times + shift,
        labels=None if words is None else Words(np.where(new, -1, words.codes).astype(np.int32), words.values),
        targets={name: np.where(new, np.nan, values) for name, values in longer.targets.items()},
    )
    return Disturbed(changed, new, np.where(new, -1, rows))


def after(inside: np.ndarray, steps: int) -> np.ndarray:
    """bool: within so many steps after a stretch."""
    found = np.zeros(len(inside), bool)
    for end in np.flatnonzero(inside[:-1] & ~inside[1:]) + 1:
        found[end : end + steps] = True
    return found & ~inside


def throughout(table: Table, preparation: Preparation, *, seed: int = 0) -> dict[str, Table]:
    """Tables with channels that drift or fail from the first row to the last, by what happens to them."""
    tables = {f"drift {d:g}": moved(table, preparation, d) for d in DRIFTS}
    tables["a tenth of all values missing"] = holed(table, 0.1, seed=seed)
    names = preparation.fitted.roles["channels"]
    return tables | ({f"without {name}": without(table, name) for name in names[:20]} if len(names) > 1 else {})


def moved(table: Table, preparation: Preparation, deviations: float) -> Table:
    """A table whose channels are all so many standard deviations higher."""
    spread = _spread(preparation)
    channels = {
        name: values + deviations * spread[name][1] if name in spread else values
        for name, values in table.channels.items()
    }
    return replace(table, channels=channels)


def without(table: Table, channel: str) -> Table:
    """A table in which one channel has no value."""
    return replace(table, channels={**table.channels, channel: np.full(table.rows, np.nan)})


def holed(table: Table, share: float, *, seed: int = 0) -> Table:
    """A table in which a share of all values is missing, at random."""
    rng = np.random.default_rng(seed)
    channels = {
        name: np.where(rng.uniform(size=len(values)) < share, np.nan, values) for name, values in table.channels.items()
    }
    return replace(table, channels=channels)


def _spread(preparation: Preparation) -> dict[str, tuple[float, float]]:
    """Median and scale of each channel that is used."""
    fitted = preparation.fitted
    return dict(zip(fitted.roles["channels"], zip(fitted.rule.median.tolist(), fitted.rule.scale.tolist())))


def _fills(kind: str, preparation: Preparation, rng: np.random.Generator) -> Callable[[str, int], np.ndarray]:
    spread = _spread(preparation)

    def fill(name: str, count: int) -> np.ndarray:
        if kind == "missing" or name not in spread:
            return np.full(count, np.nan)
        median, scale = spread[name]
        return median + scale * (rng.normal(size=count) if kind == "noise" else np.zeros(count))

    return fill


def _between(table: Table, part: np.ndarray) -> int:
    """Where a label begins or ends, nearest to the middle."""
    middle = len(part) // 2
    if table.labels is None:
        return middle
    codes = table.labels.codes[part]
    may = np.concatenate([[0], 1 + np.flatnonzero(codes[1:] != codes[:-1])])
    return int(may[np.argmin(np.abs(may - middle))])
