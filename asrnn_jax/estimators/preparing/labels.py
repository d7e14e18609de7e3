"""The labels of a table: how often each class happens, and which channels give it away."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.estimators.findings import Finding, counted, some
from asrnn_jax.estimators.reading.tables import Table

FEW = 5
"""Events of a class below which it is said to be rare."""
LOOKED_AT = 100_000
"""Rows that are looked at for leaks, evenly over the table."""


class Classes(NamedTuple):
    """What is to be told apart."""

    names: tuple[Any, ...]
    """Sorted: the order of a classifier's outputs."""
    rows: tuple[int, ...]
    """Labelled rows of each."""
    events: tuple[int, ...]
    """How often each happens: runs of rows with that label in one stream."""
    column: str | None


def classes(table: Table, parts: list[tuple[int, np.ndarray]]) -> tuple[Classes, list[Finding]]:
    """The classes of ordered rows, and what is wrong with them."""
    column = table.roles["label"]
    if table.labels is None:
        return Classes((), (), (), None), []
    codes, names = table.labels.codes, table.labels.values
    rows, events = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    for _, part in parts:
        here = codes[part]
        begins = (here >= 0) & (here != np.concatenate([[-1], here[:-1]]))
        rows += np.bincount(here[here >= 0], minlength=len(names))
        events += np.bincount(here[begins], minlength=len(names))
    seen = np.flatnonzero(rows)
    found = Classes(
        tuple(names[i] for i in seen), tuple(rows[seen].tolist()), tuple(events[seen].tolist()), str(column)
    )
    return found, _said(found, sum(len(part) for _, part in parts))


def _said(found: Classes, total: int) -> list[Finding]:
    labelled = sum(found.rows)
    if len(found.names) < 2:
        what = f"is {some(found.names)} on all {labelled} labelled rows" if labelled else "has no label on any row"
        return [Finding("one_class", "serious", found.column, labelled, f"Column {found.column!r} {what}.")]
    text = f"Column {found.column!r}: {counted(len(found.names), 'class', 'classes')} ({some(found.names, 12)}) on "
    text += f"{labelled} of {total} rows; {total - labelled} have no label."
    said = [Finding("classes", "info", found.column, len(found.names), text)]
    for name, rows, events in zip(*found[:3]):
        if events == 1 or (events < FEW and rows < labelled / 2):
            text = f"Class {name!r} is in the data {_times(events)} only ({counted(rows, 'row')}): "
            text += "too rare to learn." if events == 1 else "what is said about it is hardly more than a guess."
            said.append(Finding("rare_class", "serious", found.column, events, text))
    most = max(found.rows, default=0)
    if len(found.names) > 1 and most > 0.95 * labelled:
        name = found.names[found.rows.index(most)]
        text = f"Class {name!r} has {most / labelled:.1%} of the labelled rows: accuracy says little here."
        said.append(Finding("imbalance", "info", found.column, most, text))
    return said


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def check(found: Classes) -> None:
    """Raises ValueError unless there are two classes that happen at least twice each.

    Example:
      >>> check(Classes((0, 1), (900, 20), (2, 1), "alarm"))
      Traceback (most recent call last):
      ValueError: label='alarm': class 1 is in the data once only (20 rows), and one event cannot be learned from:
      record more of them, or leave the label out and look for what is unusual, with a StreamForecaster.
    """
    if found.column is None:
        raise ValueError("label=None: name the column with the classes; without one, use a StreamForecaster.")
    if not found.names:
        raise ValueError(f"label={found.column!r}: no row has a label; without any, use a StreamForecaster.")
    if len(found.names) == 1:
        raise ValueError(
            f"label={found.column!r}: all {found.rows[0]} labelled rows are of one class, {found.names[0]!r}: there is "
            "nothing to tell apart. Look for what is unusual with a StreamForecaster."
        )
    once = [(name, rows) for name, rows, events in zip(*found[:3]) if events < 2]
    if len(found.names) - len(once) < 2:
        few = ", ".join(f"class {name!r} is in the data once only ({counted(rows, 'row')})" for name, rows in once[:3])
        raise ValueError(
            f"label={found.column!r}: {few}, and one event cannot be learned from: record more of them, or leave the "
            "label out and look for what is unusual, with a StreamForecaster."
        )


def leaks(table: Table, parts: list[tuple[int, np.ndarray]]) -> list[Finding]:
    """Channels that alone tell the class of every labelled row: perhaps they were made from it."""
    if table.labels is None:
        return []
    rows = np.concatenate([part for _, part in parts] or [np.zeros(0, np.int64)])
    rows = rows[table.labels.codes[rows] >= 0]
    rows = rows[:: max(1, len(rows) // LOOKED_AT)]
    codes = table.labels.codes[rows]
    found = []
    for name, values in table.channels.items():
        if _tells(values[rows], codes):
            text = f"Channel {name!r} alone tells the label of every row: if it is made from the label or known only "
            text += "afterwards, leave it out of the channels, or results will be too good to be true."
            found.append(Finding("leak", "serious", name, len(rows), text))
    return found


def _tells(values: np.ndarray, codes: np.ndarray) -> bool:
    """Whether few values, or as many intervals as there are classes, have one class each in 999 of 1000 rows."""
    there = np.isfinite(values)
    values, codes = values[there], codes[there]
    kinds = len(np.unique(codes))
    if len(values) < 20 or kinds < 2 or there.mean() < 0.9:
        return False
    order = np.lexsort((codes, values))
    values, codes = values[order], codes[order]
    changes = codes[1:] != codes[:-1]
    within = changes & (values[1:] == values[:-1])
    if changes.sum() < kinds and not within.any():
        return True
    distinct, place = np.unique(values, return_inverse=True)
    if len(distinct) > 3 * kinds:
        return False
    table = np.zeros((len(distinct), int(codes.max()) + 1), np.int64)
    np.add.at(table, (place, codes), 1)
    told = int(table.max(axis=1).sum()) >= 0.999 * len(values)
    return told and len(np.unique(table.argmax(axis=1))) == kinds
