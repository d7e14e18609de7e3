"""What comes in and what goes out: tables with labels beside them, and answers as a table of the kind that came in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from asrnn_jax.estimators.findings import counted
from asrnn_jax.estimators.preparing.preparation import Preparation
from asrnn_jax.estimators.preparing.series import Series
from asrnn_jax.estimators.reading import files
from asrnn_jax.estimators.reading.columns import Columns, column, is_array
from asrnn_jax.estimators.reading.tables import Table, as_table

Kind = Literal["table", "rows", "series"]
"""Columns with names; one array (T, C); several series, as an array (n, T, C) or a list."""


def kind_of(data: Any) -> Kind:
    """What kind of data this is."""
    if isinstance(data, (list, tuple)) and not (data and isinstance(data[0], (str, os.PathLike))):
        return "rows" if data and np.ndim(data[0]) <= 1 else "series"
    if is_array(data):
        return "rows" if getattr(data, "ndim", 0) <= 2 else "series"
    return "table"


def read(data: Any, label: Any = None, **roles: Any) -> Table:
    """A `Table`, as `asrnn_jax.estimators.as_table`, where the labels may also be an array beside it."""
    kind = kind_of(data)
    if kind == "rows":
        data = _two_axes(data)
        label = None if label is None else [_one_each(label, len(data))]
        time = roles.get("time")
        return as_table([data], label=label, **{**roles, "time": None if time is None else [np.asarray(time)]})
    if kind == "table" and label is not None and not isinstance(label, str):
        raw, found = files.raw_columns(files.read_table(data) if isinstance(data, (str, os.PathLike)) else data)
        length = len(next(iter(raw.values()), ()))
        name = next(name for name in ("label", "the label", "label given") if name not in raw)
        made, more = column(name, list(_one_each(label, length)))
        return as_table(Columns({**raw, name: made}, (*found, *more)), label=name, **roles)
    return as_table(data, label=label, **roles)


def known(preparation: Preparation, columns: Sequence[str], data: Any, label: Any = None) -> Table:
    """A `Table` with the roles of the training data; labels only where there are some."""
    roles = preparation.fitted.roles
    if isinstance(data, Table):
        return data
    if kind_of(data) == "table":
        if label is None or isinstance(label, str):
            return as_table(data, **{**roles, "label": label or roles["label"]}, partial=True)
        return read(data, label, **{key: roles[key] for key in ("stream", "time", "channels", "targets")})
    width = _width(data)
    if width != len(columns):
        raise ValueError(f"X has {width} features, but the model was fitted with {len(columns)}: {list(columns)}.")
    return read(data, label, channels=list(columns), targets=roles["targets"])


def as_came(data: Any, columns: Mapping[str, np.ndarray]) -> Any:
    """Columns as a table of the library that `data` is of; a mapping of arrays for mappings and files."""
    if isinstance(data, (Mapping, Table, str, os.PathLike, list, tuple)):
        return dict(columns)
    import narwhals as nw

    like = nw.from_native(data, eager_only=True)
    made = {name: values.tolist() if values.dtype == object else values for name, values in columns.items()}
    return nw.from_dict(made, backend=like.implementation).to_native()


def with_targets(table: Table, targets: Sequence[str]) -> Table:
    """The table with channels that are also to be forecast."""
    names = list(targets)
    roles = {**table.roles, "targets": names}
    return replace(table, targets={name: table.channels[name] for name in names}, roles=roles)


def roles_of(table: Table) -> dict[str, np.ndarray]:
    """The columns of streams and times, as far as they have names."""
    roles, found = table.roles, {}
    if roles["stream"] is not None:
        found[roles["stream"]] = table.stream.decoded()
    if roles["time"] is not None and table.times is not None:
        found[roles["time"]] = table.how.write(table.times)
    return found


def scattered(table: Table, series: Sequence[Series], values: Sequence[Any], *shape: int) -> np.ndarray:
    """Values of steps, (T, *shape) of each stream, by the rows of the table; NaN where a row has no step of its own."""
    found = np.full((table.rows, *shape), np.nan, np.float32)
    for one, own in zip(series, values):
        there = one.rows >= 0
        found[one.rows[there]] = own[there]
    return found


def as_series(data: Any, values: np.ndarray) -> Any:
    """Values of rows as those of the series that came in: an array where they are one, else a list."""
    if kind_of(data) != "series":
        return values
    parts = np.split(values, np.cumsum([len(one) for one in data])[:-1])
    return parts if isinstance(data, (list, tuple)) else np.stack(parts)


def names_of(classes: Sequence[Any], taken: Sequence[str | None]) -> list[str]:
    """Names of columns for classes that clash with no other column."""
    return [f"class {one}" if str(one) in taken else str(one) for one in classes]


def _two_axes(data: Any) -> np.ndarray:
    array = np.asarray(data)
    if array.ndim != 2:
        raise ValueError(
            f"data has shape {array.shape}. Expected 2D array, rows (T, C), or (n, T, C). Reshape your data."
        )
    return array


def _width(data: Any) -> int:
    first = _two_axes(data) if kind_of(data) == "rows" else np.asarray(data[0])
    return first.shape[1] if first.ndim == 2 else 0


def _one_each(label: Any, rows: int) -> np.ndarray:
    array = np.asarray(label, object if not hasattr(label, "dtype") else None)
    if array.shape == (rows, 1):
        array = array[:, 0]
    if array.shape != (rows,):
        raise ValueError(f"label has shape {array.shape} for {counted(rows, 'row')}: give one for each.")
    return array
