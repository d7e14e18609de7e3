"""Prepared streams, and the fitted numbers that make them of a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.estimators.preparing import steps
from asrnn_jax.estimators.preparing.labels import Classes
from asrnn_jax.estimators.reading.tables import Table

CHUNK = 1 << 15
"""Rows that are prepared at a time, to save memory."""


@dataclass(frozen=True, eq=False)
class Series:
    """One prepared stream."""

    name: Any
    xs: np.ndarray
    """float32 (T, I), finite: scaled channels, flags of missing values, perhaps the step's length."""
    labels: np.ndarray
    """int32 (T,): the index of the class, -1 where there is none."""
    valid: np.ndarray
    """bool (T,): False where the whole step is missing and the state is held; what is missing for longer is silence."""
    targets: np.ndarray | None
    """float32 (T, K): what is to be forecast, scaled, NaN where missing; None: no targets."""
    rows: np.ndarray
    """int64 (T,): the row of the table that a step came from, -1 where it was put in between."""
    times: np.ndarray | None
    """float64 (T,) seconds; None: no column of times."""


class Targets(NamedTuple):
    """How the K columns that are to be forecast are scaled."""

    names: tuple[str, ...]
    median: np.ndarray
    scale: np.ndarray

    def of(self, table: Table, rows: np.ndarray) -> np.ndarray | None:
        """float32 (T, K) of rows, NaN for those below 0, for missing and for infinite values."""
        if not self.names:
            return None
        none = np.full(table.rows, np.nan)
        raw = np.stack([table.targets.get(name, none)[rows] for name in self.names], axis=1)
        return np.where((rows >= 0)[:, None], self.scaled(raw), np.float32(np.nan))

    def scaled(self, raw: np.ndarray) -> np.ndarray:
        """float32 (..., K) of values as they came, NaN for missing and for infinite ones."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (raw - self.median) / self.scale
            return np.where(np.abs(scaled) < np.finfo(np.float32).max, scaled, np.nan).astype(np.float32)


def prepared(
    rule: steps.Rule,
    names: list[str],
    classes: Classes,
    targets: Targets,
    table: Table,
    parts: list[tuple[int, np.ndarray]],
) -> tuple[list[Series], Counter[str]]:
    """The prepared streams of a table whose rows are in order, and how many values were far and steps inserted."""
    counts: Counter[str] = Counter()
    made = []
    for code, part in parts:
        xs, valid, rows, times, far, missing = _steps(rule, [table.channels[name] for name in names], table.times, part)
        counts["far"] += far
        counts["missing_steps"] += missing
        counts["inserted"] += int((rows < 0).sum())
        counts["merged"] += len(part) - int((rows >= 0).sum())
        series = Series(
            name=table.stream.values[code],
            xs=xs,
            labels=_labels(classes, table, rows),
            valid=valid,
            targets=targets.of(table, rows),
            rows=rows,
            times=times,
        )
        made.append(series)
    return made, counts


def _steps(
    rule: steps.Rule, columns: list[np.ndarray], times: np.ndarray | None, part: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, int, int]:
    state, pieces, far, missing = steps.start(rule), [], 0, 0
    whole = np.empty((len(part), rule.inputs), np.float32) if rule.irregular != "resample" else None
    for at in range(0, len(part), CHUNK):
        chunk = part[at : at + CHUNK]
        raw = np.stack([column[chunk] for column in columns], axis=1)
        state, found = steps.advance(rule, state, raw, None if times is None else times[chunk])
        far, missing = far + found.far, missing + found.missing
        if whole is not None:
            whole[at : at + CHUNK] = found.xs
            found = found._replace(xs=whole[:0])
        rows = np.where(found.rows >= 0, chunk[found.rows], -1)
        pieces.append((found.xs, found.valid, rows, found.times))
    xs, valid, rows, at = ([piece[i] for piece in pieces] for i in range(4))
    joined = None if times is None else np.concatenate(at)
    xs = np.concatenate(xs) if whole is None else whole
    return xs, np.concatenate(valid), np.concatenate(rows), joined, far, missing


def _labels(classes: Classes, table: Table, rows: np.ndarray) -> np.ndarray:
    if table.labels is None or not classes.names:
        return np.full(len(rows), -1, np.int32)
    place = {name: i for i, name in enumerate(classes.names)}
    index = np.array([*(place.get(value, -1) for value in table.labels.values), -1], np.int32)
    return index[np.where(rows >= 0, table.labels.codes[rows], -1)]
