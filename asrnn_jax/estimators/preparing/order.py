"""The rows of each stream in the order of time, each time once, and how regular those times are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from asrnn_jax.estimators.findings import Finding, counted
from asrnn_jax.estimators.reading.tables import Table

GAP = 5.0
"""An interval of so many usual ones is a gap."""
UNEVEN = 0.25
"""An interval that is off by more than this share is uneven."""


def streams(table: Table) -> tuple[list[tuple[int, np.ndarray]], list[Finding]]:
    """The code of each stream with the numbers of its rows in order, and what was left out or moved.

    Rows go by time; of rows of one time in one stream the last is kept. Rows without a stream or a time are left out.
    """
    codes = table.stream.codes
    kept = codes >= 0
    found = [_left_out("stream", table.roles["stream"], int((~kept).sum()))]
    if table.times is not None:
        timed = ~np.isnan(table.times)
        found.append(_left_out("time", table.roles["time"], int((kept & ~timed).sum())))
        kept = kept & timed
    rows = np.flatnonzero(kept)
    if (np.diff(codes[rows]) < 0).any():
        rows = rows[np.argsort(codes[rows], kind="stable")]
    ends = np.flatnonzero(np.diff(codes[rows])) + 1
    parts = [(int(codes[part[0]]), part) for part in np.split(rows, ends) if len(part)]
    if table.times is not None:
        moved = same = conflicts = 0
        for i, (code, part) in enumerate(parts):
            part, late, equal, different = _by_time(table, part)
            parts[i] = code, part
            moved, same, conflicts = moved + late, same + equal, conflicts + different
        found += _said(table, moved, same, conflicts)
    return parts, [finding for finding in found if finding.count]


def _by_time(table: Table, rows: np.ndarray) -> tuple[np.ndarray, int, int, int]:
    assert table.times is not None
    times = table.times[rows]
    steps = np.diff(times)
    if (steps > 0).all():
        return rows, 0, 0, 0
    late = int((times < np.maximum.accumulate(times)).sum())
    if late:
        rows = rows[np.argsort(times, kind="stable")]
        steps = np.diff(table.times[rows])
    again = np.flatnonzero(steps == 0)
    same = _equal(table, rows[again], rows[again + 1])
    return np.delete(rows, again), late, int(same.sum()), int((~same).sum())


def _equal(table: Table, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    equal = np.ones(len(a), bool)
    for values in (*table.channels.values(), *table.targets.values()):
        equal &= (values[a] == values[b]) | (np.isnan(values[a]) & np.isnan(values[b]))
    return equal if table.labels is None else equal & (table.labels.codes[a] == table.labels.codes[b])


def _left_out(role: str, column: str | None, count: int) -> Finding:
    text = f"{counted(count, 'row')} without a {role} (column {column!r}) left out."
    return Finding(f"no_{role}", "repair", column, count, text)


def _said(table: Table, moved: int, same: int, conflicts: int) -> list[Finding]:
    column = table.roles["time"]
    were = "was" if moved == 1 else "were"
    return [
        Finding("order", "repair", column, moved, f"{counted(moved, 'row')} {were} not in the order of time: sorted."),
        Finding("duplicates", "repair", column, same, f"{counted(same, 'row')} stood twice: kept once."),
        Finding(
            "conflicts",
            "serious" if conflicts > table.rows // 100 else "repair",
            column,
            conflicts,
            f"{counted(conflicts, 'row')} had the time of another row of the same stream with other values: the last "
            "of them is kept. If there are several streams in the table, name the column that tells them apart.",
        ),
    ]


class Rhythm(NamedTuple):
    """The time from one row to the next."""

    step: float
    """The usual interval in seconds; 0: there are no times."""
    uneven: int
    """Intervals that differ from it."""
    gaps: int
    """Those that are much longer."""
    longest: float
    """The longest interval in seconds."""
    count: int
    """Of intervals."""

    @property
    def irregular(self) -> bool:
        """Whether more than a hundredth of the intervals that are no gaps differ from the usual one."""
        return (self.uneven - self.gaps) > 0.01 * max(self.count - self.gaps, 1)


def rhythm(times: np.ndarray | None, parts: list[tuple[int, np.ndarray]]) -> Rhythm:
    """The rhythm of ordered rows.

    The usual step is the median where nearly all intervals are that; else, as of times rounded to 15 and 16 ms, the
    mean of the intervals close to it.
    """
    if times is None or not any(len(rows) > 1 for _, rows in parts):
        return Rhythm(0.0, 0, 0, 0.0, 0)
    intervals = np.concatenate([np.diff(times[rows]) for _, rows in parts])
    median = float(np.median(intervals))
    near = intervals[np.abs(intervals - median) <= UNEVEN * median]
    equal = near[np.abs(near - median) <= 1e-3 * median]
    step = float((equal if len(equal) > 0.95 * len(near) else near).mean())
    if abs(float(f"{step:.6g}") - step) <= 1e-6 * step:  # 0.1, not what rounded times add up to
        step = float(f"{step:.6g}")
    ratio = intervals / step
    uneven, gaps = int((np.abs(ratio - 1) > UNEVEN).sum()), int((ratio > GAP).sum())
    return Rhythm(step, uneven, gaps, float(intervals.max()), len(intervals))


def said(found: Rhythm, column: str | None, irregular: str, longest_gap: int) -> list[Finding]:
    """What is to be said about the times of a table."""
    if column is None:
        text = "No column of times is named: rows are taken in the order in which they stand, evenly spaced."
        return [Finding("no_times", "info", None, 0, text)]
    if not found.count:
        return []
    findings = []
    interval = f"the usual interval is {found.step:g} s"
    if found.irregular:
        what = {
            "ignore": "irregular='resample' or 'channel' would take it into account; now each row is one step",
            "resample": "resampled to a regular grid by holding the last values",
            "channel": "the interval's logarithm is an input more",
        }[irregular]
        count = found.uneven - found.gaps
        text = (
            f"Rows are not evenly spaced: {interval}, {counted(count, 'other')} differ by more than a quarter; {what}."
        )
        findings.append(Finding("irregular", "serious" if irregular == "ignore" else "repair", column, count, text))
    else:
        findings.append(Finding("regular", "info", column, found.count, f"Rows are evenly spaced: {interval}."))
    if found.gaps:
        filled = f"filled with missing steps, {longest_gap} at most" if irregular == "resample" else "not filled"
        text = (
            f"{counted(found.gaps, 'gap')} longer than {GAP:g} intervals, the longest of {found.longest:g} s: {filled}."
        )
        findings.append(Finding("gaps", "info", column, found.gaps, text))
    return findings
