"""One column of a table, whatever it came from: numbers, words or moments in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asrnn_jax.estimators.findings import Finding, counted, some
from asrnn_jax.estimators.reading import times

MISSING = frozenset(["", "na", "n/a", "#n/a", "nan", "null", "-", "--", "?", "#nv", "<na>", "nat"])
"""Texts that stand for a missing value, in lower case."""
NO_NUMBER = MISSING | {"none", "nil", ".", "..."}
"""The same in a column of numbers, where they can mean nothing else."""
ENOUGH = 0.9
"""The share of rows that have to be numbers (or times) for a column of text to be one of numbers (or times)."""


@dataclass(frozen=True, eq=False)
class Words:
    """A column of names: `values` are sorted, `codes` say which of them each row has, -1: none."""

    codes: np.ndarray
    values: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def decoded(self) -> np.ndarray:
        """One object a row, None where there is none."""
        return np.array([*self.values, None], object)[self.codes]


@dataclass(frozen=True, eq=False)
class Moments:
    """A column of dates and times, as seconds, NaN where there is none."""

    seconds: np.ndarray
    how: times.TimeFormat

    def __len__(self) -> int:
        return len(self.seconds)

    def decoded(self) -> np.ndarray:
        """As they were written."""
        return self.how.write(self.seconds)


Column = np.ndarray | Words | Moments


@dataclass(frozen=True, eq=False)
class Columns(Mapping[str, np.ndarray]):
    """What was read: a mapping from names of columns to arrays, with what was found on the way.

    Missing values are NaN, None or "" in these arrays; `raw` has the columns as the library keeps them.
    """

    raw: dict[str, Column]
    findings: tuple[Finding, ...] = ()
    roles: dict[str, str] = field(default_factory=dict)
    """What the file itself says about columns: {"label": ..., "stream": ...}; for most files nothing."""

    def __getitem__(self, name: str) -> np.ndarray:
        column = self.raw[name]
        return column if isinstance(column, np.ndarray) else column.decoded()

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.raw.values()), ()))


def is_array(data: Any) -> bool:
    """Whether these are an array, of whatever library, and no table."""
    return hasattr(data, "__array__") and not hasattr(data, "columns") and not hasattr(data, "column_names")


def column(name: str, values: Any) -> tuple[Column, list[Finding]]:
    """The column of an array or a list; what is no number, text, bool or time raises ValueError.

    Example:
      >>> column("x", ["1,5", "NA", "2"])[0]
      array([1.5, nan, 2. ])
      >>> column("y", ["walk", None, "run"])[0].decoded()
      array(['walk', None, 'run'], dtype=object)
    """
    if isinstance(values, (Words, Moments)):
        return values, []
    array: Any = values if isinstance(values, np.ndarray) else _array(values)
    if array.ndim != 1:
        raise ValueError(f"column {name!r} has shape {array.shape}: give one value a row.")
    if np.ma.isMaskedArray(array):
        array = np.ma.filled(array.astype(np.float64), np.nan)
    if array.dtype.kind in "biuf":
        return array, []
    if array.dtype.kind == "M":
        fine = array.astype("datetime64[ns]" if np.datetime_data(array.dtype)[0] == "ns" else "datetime64[us]")
        unit = np.datetime_data(fine.dtype)[0]
        seconds = times.of_integers(fine.astype(np.int64), unit)
        return Moments(np.where(np.isnat(array), np.nan, seconds), times.TimeFormat("datetime")), []
    if array.dtype.kind == "m":
        fine = array.astype("timedelta64[us]")
        return np.where(np.isnat(array), np.nan, times.of_integers(fine.astype(np.int64), "us")), []
    if array.dtype.kind in "UTO":
        return _of_objects(name, array.tolist())
    raise ValueError(f"column {name!r} is of type {array.dtype}: give numbers, text, bools or times.")


def of_text(name: str, codes: np.ndarray, values: Sequence[str]) -> tuple[Column, list[Finding]]:
    """The column of texts given as distinct values and a code for each row: numbers if nearly all are, times likewise.

    Args:
      name: of the column, for findings.
      codes: int, one a row: an index into `values`, or -1: missing.
      values: the distinct texts.
    """
    stripped = [value.strip() for value in values]
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    none = np.array([text.casefold() in MISSING for text in stripped], bool)
    findings = missing_texts(name, _counts(stripped, counts, none))
    total = int(counts[~none].sum())
    if not total:
        return np.full(len(codes), np.nan), findings
    if {text.casefold() for text, n in zip(stripped, none) if not n} <= {"true", "false"}:
        truth = np.array([-1 if n else int(t.casefold() == "true") for t, n in zip(stripped, none)] + [-1], np.int32)
        return _bools(truth[codes]), findings
    if (made := _numbers(stripped)) is not None and _share(counts, none, np.isnan(made)) >= ENOUGH:
        findings += not_understood(name, _counts(stripped, counts, ~none & np.isnan(made)), "number")
        return np.append(made, np.nan)[codes], findings
    if sum(map(times.looks_like_time, (t for t, n in zip(stripped[:1000], none) if not n))):
        seconds, how, doubts = times.parse(stripped)
        if _share(counts, none, np.isnan(seconds)) >= ENOUGH:
            findings += not_understood(name, _counts(stripped, counts, ~none & np.isnan(seconds)), "time")
            findings += [doubt._replace(column=name, text=f"Column {name!r}: {doubt.text}") for doubt in doubts]
            return Moments(np.append(seconds, np.nan)[codes], how), findings
    return words(codes, [None if n else text for text, n in zip(stripped, none)]), findings


def words(codes: np.ndarray, values: Sequence[Any]) -> Words:
    """Words with sorted distinct values that occur, of any codes and values; None among the values is missing."""
    used = set(np.unique(codes[codes >= 0]).tolist())
    distinct = sorted({values[i] for i in used if values[i] is not None}, key=lambda v: (str(type(v)), v))
    place = {value: i for i, value in enumerate(distinct)} | {None: -1}
    table = np.array([*(place.get(value, -1) for value in values), -1], np.int32)
    return Words(table[codes], tuple(distinct))


def as_words(column: Column) -> Words:
    """Any column as names: of labels and streams. Numbers that are whole become int."""
    if isinstance(column, Words):
        return column
    if isinstance(column, Moments):
        distinct, codes = np.unique(column.seconds, return_inverse=True)
        texts = [None if s != s else str(t) for s, t in zip(distinct, column.how.write(distinct).tolist())]
        return words(codes, texts)
    distinct, codes = np.unique(column, return_inverse=True)
    values = [None if v != v else int(v) if isinstance(v, float) and v.is_integer() else v for v in distinct.tolist()]
    return words(codes, values)


def as_numbers(column: Column) -> np.ndarray | None:
    """A column as float64, or None where it is none of numbers."""
    if isinstance(column, np.ndarray):
        return column if column.dtype == np.float64 else column.astype(np.float64)
    if isinstance(column, Words) and column.values and all(isinstance(v, bool) for v in column.values):
        return np.array([*map(float, column.values), np.nan])[column.codes]
    return None


def each_number(name: str, values: Any) -> tuple[np.ndarray, int]:
    """A few values of a channel as float64, each for itself; how many are text that is no number: NaN.

    Example:
      >>> each_number("x", ["1,5", "error", "NA", 2])
      (array([1.5, nan, nan, 2. ]), 1)
    """
    numbers = as_numbers(column(name, values)[0])
    if numbers is not None:
        return numbers, 0
    texts = ["" if value is None else str(value).strip() for value in values]
    found = [(_numbers([text]) if text.casefold() not in NO_NUMBER else None, text) for text in texts]
    bad = sum(number is None and text.casefold() not in NO_NUMBER for number, text in found)
    return np.array([np.nan if number is None else number[0] for number, _ in found], np.float64), bad


def _array(values: Any) -> np.ndarray:
    if isinstance(values, (list, tuple)) and any(isinstance(v, (str, bool)) or v is None for v in values):
        return np.array(values, object)
    return np.asarray(values)


def _of_objects(name: str, values: list[Any]) -> tuple[Column, list[Finding]]:
    """Of Python objects: by what those are that are not missing."""
    values = [None if v is None or (v != v) is not False else v for v in values]
    kinds = {type(v) for v in values} - {type(None)}
    if kinds and all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return _bools(np.array([-1 if v is None else int(v) for v in values], np.int32)), []
    if all(issubclass(kind, (int, float, np.number)) for kind in kinds):
        return np.array([np.nan if v is None else float(v) for v in values], np.float64), []
    if all(hasattr(kind, "isoformat") for kind in kinds):
        moments = np.array([np.datetime64("NaT") if v is None else np.datetime64(_utc(v)) for v in values])
        return column(name, moments.astype("datetime64[us]"))
    place: dict[str, int] = {}
    codes = np.array([-1 if v is None else place.setdefault(str(v), len(place)) for v in values], np.int32)
    return of_text(name, codes, list(place))


def _bools(codes: np.ndarray) -> Column:
    return codes.astype(bool) if codes.min(initial=0) >= 0 else words(codes, [False, True])


def _utc(value: Any) -> Any:
    offset = value.utcoffset() if hasattr(value, "utcoffset") else None
    return value if offset is None else value.replace(tzinfo=None) - offset


def _numbers(texts: list[str]) -> np.ndarray | None:
    """Each text as a number or NaN; None if the first hundred have none. Decimal commas where all have them."""
    if not any(_number(text) is not None or _number(text.replace(",", ".")) is not None for text in texts[:100]):
        return None
    comma = any("," in text for text in texts) and not any("." in text and _number(text) is not None for text in texts)
    found = [_number(text.replace(".", "").replace(",", ".") if comma and "," in text else text) for text in texts]
    return np.array([np.nan if value is None else value for value in found], np.float64)


def _number(text: str) -> float | None:
    if "_" in text or (len(text) > 1 and text[0] == "0" and text.isdigit()):  # 007 is a name
        return None
    try:
        return float(text.replace("∞", "inf"))
    except ValueError:
        return None


def _share(counts: np.ndarray, none: np.ndarray, bad: np.ndarray) -> float:
    return float(counts[~none & ~bad].sum() / counts[~none].sum())


def missing_texts(name: str, written: dict[str, int]) -> list[Finding]:
    """What is to be said about texts that stand for missing values, each with its count."""
    if not written:
        return []
    said = ", ".join(f"{text!r} ({n})" for text, n in sorted(written.items()))
    return [Finding("missing_text", "info", name, sum(written.values()), f"Column {name!r}: {said} taken as missing.")]


def not_understood(name: str, bad: dict[str, int], what: str) -> list[Finding]:
    """What is to be said about texts that are no number, or no time, among many that are."""
    if not bad:
        return []
    count = sum(bad.values())
    severity = "info" if all(text.casefold() in NO_NUMBER for text in bad) else "serious"
    text = f"Column {name!r}: {counted(count, 'value')} no {what} ({some(sorted(bad))}), taken as missing."
    return [Finding("not_understood", severity, name, count, text)]


def _counts(texts: list[str], counts: np.ndarray, which: np.ndarray) -> dict[str, int]:
    found: dict[str, int] = {}
    for text, n, chosen in zip(texts, counts.tolist(), which):
        if chosen and text and n:
            found[text] = found.get(text, 0) + n
    return found
