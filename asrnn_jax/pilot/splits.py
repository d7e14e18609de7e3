"""What a pilot learns from and what it tests on: whole streams where there are enough, else the end of each."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from asrnn_jax.estimators import Table
from asrnn_jax.estimators.findings import counted
from asrnn_jax.estimators.preparing import order
from asrnn_jax.estimators.reading.columns import Words

SHARE = 0.25
"""Of the data that is kept for the test."""
ENOUGH = 4
"""Streams from which on whole ones are kept."""
TRIES = 200


class Split(NamedTuple):
    """What is learned from and what is tested on."""

    train: Table
    test: Table
    how: str
    """"files", "streams" or "time"."""
    text: str
    """The same in a sentence."""


def split(table: Table, *, seed: int = 0) -> Split:
    """Splits a table by streams if it has at least four, else by time.

    By streams, the draw is taken in which the classes are shared out most evenly and none is in the test only. By time,
    the last quarter of each stream is kept. The cut is moved to the nearest change of label, so that no event is in
    both, if there is one within a tenth of the stream.

    Raises:
      ValueError: no row to split.
    """
    parts, _ = order.streams(table)
    if not parts:
        raise ValueError("the table has no usable row.")
    if len(parts) >= ENOUGH:
        chosen = _streams(table, parts, seed)
        rows = [np.concatenate([part for (_, part), t in zip(parts, chosen) if t == kind]) for kind in (False, True)]
        kept = [str(table.stream.values[code]) for (code, _), t in zip(parts, chosen) if t]
        named = f" ({', '.join(kept)})" if len(kept) <= 5 else ""
        text = f"By streams: {counted(len(kept), 'stream')} of {len(parts)}{named} kept for the test, the others train."
        return Split(take(table, rows[0]), take(table, rows[1]), "streams", text)
    cuts = [_cut(table, part) for _, part in parts]
    train = np.concatenate([part[:cut] for (_, part), cut in zip(parts, cuts)])
    test = np.concatenate([part[cut:] for (_, part), cut in zip(parts, cuts)])
    share, are = len(test) / (len(train) + len(test)), "is" if len(parts) == 1 else "are"
    text = f"By time: the last {share:.0%} of each stream is kept for the test, for there {are} only "
    text += f"{counted(len(parts), 'stream')}. New streams may be harder: test on some when you can."
    return Split(take(table, train), take(table, test), "time", text)


def take(table: Table, rows: np.ndarray) -> Table:
    """A table of some rows of another."""
    words = table.labels
    return replace(
        table,
        channels={name: values[rows] for name, values in table.channels.items()},
        stream=Words(table.stream.codes[rows], table.stream.values),
        times=None if table.times is None else table.times[rows],
        labels=None if words is None else Words(words.codes[rows], words.values),
        targets={name: values[rows] for name, values in table.targets.items()},
    )


def _streams(table: Table, parts: list[tuple[int, np.ndarray]], seed: int) -> np.ndarray:
    """bool, one a stream: whether it is kept for the test."""
    counts = _counts(table, parts)
    total, rng = counts.sum(0), np.random.default_rng(seed)
    number = max(1, round(SHARE * len(parts)))
    best, least = np.zeros(len(parts), bool), np.inf
    for _ in range(TRIES):
        test = np.zeros(len(parts), bool)
        test[rng.choice(len(parts), number, replace=False)] = True
        shares = counts[test].sum(0) / np.maximum(total, 1)
        lost = int(((shares == 1) & (total > 0)).sum())  # classes that nobody could learn
        cost = np.abs(shares - SHARE)[total > 0].sum() + 10 * lost
        if cost < least:
            best, least = test, cost
    return best


def _counts(table: Table, parts: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """(streams, classes): labelled rows; without labels, rows."""
    if table.labels is None:
        return np.array([[len(part)] for _, part in parts])
    codes, kinds = table.labels.codes, len(table.labels.values)
    return np.stack([np.bincount(codes[part][codes[part] >= 0], minlength=kinds) for _, part in parts])


def _cut(table: Table, part: np.ndarray) -> int:
    wanted = len(part) - max(1, round(SHARE * len(part)))
    if table.labels is None:
        return wanted
    codes = table.labels.codes[part]
    changes = 1 + np.flatnonzero(codes[1:] != codes[:-1])
    near = changes[np.abs(changes - wanted) <= len(part) / 10]
    return int(near[np.argmin(np.abs(near - wanted))]) if len(near) else wanted
