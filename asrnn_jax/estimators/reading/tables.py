"""The one form in which the estimators see data, whatever it came as: rows in long form, with roles for columns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asrnn_jax.estimators.findings import Finding, counted, perhaps
from asrnn_jax.estimators.reading import files
from asrnn_jax.estimators.reading.columns import Column, Columns, Moments, Words, as_numbers, as_words, column, is_array
from asrnn_jax.estimators.reading.times import TimeFormat, past_midnight


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of measurements of one or more streams, in the order in which they came."""

    channels: dict[str, np.ndarray]
    """float64, one array a channel, NaN where a value is missing."""
    stream: Words
    """The name of the stream of each row."""
    times: np.ndarray | None
    """float64 seconds, NaN where missing; None: no column of times."""
    how: TimeFormat
    """How the times were written."""
    labels: Words | None
    """The class of each row, -1 where it has none."""
    targets: dict[str, np.ndarray]
    """float64: what is to be forecast; may also be channels."""
    roles: dict[str, Any]
    """The names that label, stream, time, channels and targets were given by."""
    findings: tuple[Finding, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.stream)


def as_table(
    data: Any,
    *,
    label: Any = None,
    stream: Any = None,
    time: Any = None,
    channels: Sequence[str] | None = None,
    targets: str | Sequence[str] = (),
    partial: bool = False,
) -> Table:
    """A `Table` of any data: the same bits whatever they came as.

    Args:
      data: rows in long form, as a table of pandas, polars or pyarrow, a mapping from names to arrays, or the path of a
        file (or several) for `read_table`; or series, as an array (n, T, C) or a list of n arrays (T_i, C). One array
        (T, C) is a single series.
      label: the name of the column of labels; a row without one is not labelled. With series: one label for each, or
        for each an array of one label a step.
      stream: the name of the column that says which stream a row belongs to; without it, all are of one. With series: a
        name for each.
      time: the name of the column of times: numbers are seconds. With series: an array of times for each.
      channels: the names of the columns that are measured; by default all other columns of numbers. With series: what
        to call them.
      targets: names of columns to be forecast; by default they are channels too, for their past is known.
      partial: the columns of labels and targets need not be there: such rows have none.

    Raises:
      ValueError: a column that is not there (with what may have been meant) or cannot have the role it is given.
      TypeError: data of a type that is no table.

    Example:
      >>> table = as_table({"t": [0, 1, 2], "x": [0.5, "NA", 1], "state": ["on", None, "off"]}, label="state", time="t")
      >>> table.channels, table.labels.values, table.labels.codes
      ({'x': array([0.5, nan, 1. ])}, ('off', 'on'), array([ 1, -1,  0], dtype=int32))
    """
    if isinstance(data, Table):
        return data
    if isinstance(data, (str, os.PathLike)) or (
        isinstance(data, (list, tuple)) and data and all(isinstance(one, (str, os.PathLike)) for one in data)
    ):
        data = files.read_table(data)
    if _is_series(data):
        data, roles = _of_series(data, label, stream, time, channels)
        label, stream, time = roles["label"], roles["stream"], roles["time"]
        channels = None
    roles = data.roles if isinstance(data, Columns) else {}
    raw, findings = files.raw_columns(data)
    label, stream = label or roles.get("label"), stream or roles.get("stream")
    return _table(raw, findings, label, stream, time, channels, _names(targets), partial)


def _table(
    raw: Mapping[str, Column],
    findings: list[Finding],
    label: str | None,
    stream: str | None,
    time: str | None,
    channels: Sequence[str] | None,
    targets: tuple[str, ...],
    partial: bool,
) -> Table:
    lengths = {name: len(made) for name, made in raw.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns have different lengths: {lengths}.")
    rows = next(iter(lengths.values()), 0)
    if label is not None and partial and label not in raw:
        label = None
    for role, name in (("label", label), ("stream", stream), ("time", time)):
        if name is not None and name not in raw:
            raise ValueError(f"{role}={name!r}: no such column; {perhaps(name, raw)}")
    measured, more = _channels(raw, channels, {label, stream, time})
    seconds, how = _times(raw, time)
    names = as_words(raw[stream]) if stream is not None else Words(np.zeros(rows, np.int32), ("",))
    if seconds is not None and how.order == "clock":
        seconds = seconds.copy()
        for code in range(len(names.values)):
            here = names.codes == code
            seconds[here] = past_midnight(seconds[here])
    none = np.full(rows, np.nan)
    wanted = {name: none if partial and name not in raw else _number(raw, name, "targets") for name in targets}
    given = {"label": label, "stream": stream, "time": time, "channels": list(measured), "targets": list(targets)}
    return Table(
        channels=measured,
        stream=names,
        times=seconds,
        how=how,
        labels=as_words(raw[label]) if label is not None else None,
        targets=wanted,
        roles=given,
        findings=(*findings, *more),
    )


def _channels(
    raw: Mapping[str, Column], channels: Sequence[str] | None, taken: set[str | None]
) -> tuple[dict[str, np.ndarray], list[Finding]]:
    if channels is not None:
        found = {name: _number(raw, name, "channels") for name in _names(channels)}
        return found, []
    found, findings = {}, []
    for name, made in raw.items():
        if name in taken:
            continue
        numbers = as_numbers(made)
        if numbers is None:
            what = "times" if isinstance(made, Moments) else "text"
            text = f"Column {name!r} is of {what}, not of numbers: left out of the channels."
            findings.append(Finding("left_out", "info", name, len(made), text))
        elif _is_row_number(name, numbers):
            text = f"Column {name!r} counts the rows: left out of the channels."
            findings.append(Finding("row_number", "repair", name, len(made), text))
        else:
            found[name] = numbers
    if not found:
        raise ValueError(
            f"no column of numbers is left for channels; there are: {', '.join(map(repr, raw)) or 'none'}."
        )
    return found, findings


def _is_row_number(name: str, numbers: np.ndarray) -> bool:
    """Whether it counts from 0 or 1 and is called like what does so."""
    said = name.casefold().strip()
    if not (said in ("index", "row", "id", "nr", "no", "#") or said.startswith(("unnamed", "column ", "level_"))):
        return False
    return len(numbers) > 1 and numbers[0] in (0, 1) and bool((np.diff(numbers) == 1).all())


def _number(raw: Mapping[str, Column], name: str, role: str) -> np.ndarray:
    if name not in raw:
        raise ValueError(f"{role}: no column {name!r}; {perhaps(name, raw)}")
    numbers = as_numbers(raw[name])
    if numbers is None:
        raise ValueError(f"{role}: column {name!r} is not of numbers; leave it out, or turn it into numbers first.")
    return numbers


def _times(raw: Mapping[str, Column], name: str | None) -> tuple[np.ndarray | None, TimeFormat]:
    if name is None:
        return None, TimeFormat()
    made = raw[name]
    if isinstance(made, Moments):
        seconds, how = made.seconds, made.how
    else:
        numbers = as_numbers(made)
        if numbers is None:
            raise ValueError(
                f"time={name!r}: its values are no times, such as {Columns({name: made})[name][0]!r}: write "
                "2026-12-31 23:59:59.5, or numbers of seconds."
            )
        seconds, how = numbers, TimeFormat()
    seconds = np.where(np.isinf(seconds), np.nan, seconds) if np.isinf(seconds).any() else seconds
    if len(seconds) and np.isnan(seconds).all():
        raise ValueError(f"time={name!r}: no row has a time; leave time out if the rows are in order.")
    return seconds, how


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _is_series(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return True
    return not isinstance(data, Mapping) and is_array(data) and getattr(data, "ndim", 0) in (2, 3)


def _of_series(
    data: Any, label: Any, stream: Any, time: Any, channels: Sequence[str] | None
) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Series one below the other, in long form."""
    series = [np.asarray(data)] if getattr(data, "ndim", 0) == 2 else [np.asarray(one) for one in data]
    shapes = [one.shape for one in series]
    if any(len(shape) != 2 or shape[1] != shapes[0][1] for shape in shapes) or not shapes:
        raise ValueError(f"data: series of shapes {shapes[:3]}...: give each as (T, C), with one C for all.")
    lengths = [shape[0] for shape in shapes]
    names = _names(channels) if channels is not None else tuple(f"x{i}" for i in range(shapes[0][1]))
    if len(names) != shapes[0][1]:
        raise ValueError(f"channels={list(names)}: the series have {shapes[0][1]} channels.")
    whole = np.concatenate(series)
    columns = {name: np.ascontiguousarray(whole[:, i], np.float64) for i, name in enumerate(names)}
    roles: dict[str, str | None] = {"label": None, "stream": "stream", "time": None}
    columns["stream"] = _each("stream", np.arange(len(series)) if stream is None else stream, lengths)
    for role, values in (("label", label), ("time", time)):
        if values is not None:
            columns[role], roles[role] = _each(role, values, lengths), role
    return columns, roles


def _each(role: str, values: Any, lengths: list[int]) -> Any:
    """One value a row, of one a series or of an array for each series."""
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise ValueError(f"{role}={values!r}: of series, give {role} as a list with one for each of them.")
    if len(values) != len(lengths):
        raise ValueError(f"{role}: {counted(len(values), 'entry', 'entries')} for {len(lengths)} series.")
    if all(np.ndim(value) == 0 for value in values):
        made = as_words(column(role, values if isinstance(values, np.ndarray) else list(values))[0])
        if role == "time":
            raise ValueError("time: of series, give an array of times for each of them.")
        return Words(np.repeat(made.codes, lengths), made.values)
    wrong = [i for i, (value, length) in enumerate(zip(values, lengths)) if np.shape(value) != (length,)]
    if wrong:
        raise ValueError(
            f"{role} of series {wrong[0]}: shape {np.shape(values[wrong[0]])} for {lengths[wrong[0]]} steps."
        )
    return [value for one in values for value in np.asarray(one).tolist()]
