"""Tables of pyarrow, and through narwhals those of pandas, polars and others, as columns of NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from asrnn_jax.estimators.findings import Finding
from asrnn_jax.estimators.reading import times
from asrnn_jax.estimators.reading.arrow_text import of_strings
from asrnn_jax.estimators.reading.columns import Column, Moments, as_words, column, words

INSTALL = "needs the extra: pip install asrnn_jax[data]."


def needed(what: str = "reading this file") -> None:
    """Raises ImportError with what to install where pyarrow or narwhals is not."""
    try:
        import narwhals  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError as e:
        raise ImportError(f"{what} {INSTALL}") from e


def of_frame(frame: Any) -> tuple[dict[str, Column], list[Finding]]:
    """The columns of a table of pandas, polars, pyarrow or another library that narwhals knows.

    Raises:
      TypeError: no such table, or a lazy one; ImportError: no narwhals.
    """
    needed(f"a table of type {type(frame).__module__}.{type(frame).__name__}")
    import narwhals as nw

    try:
        known = nw.from_native(frame, eager_only=True)
    except TypeError as e:
        remedy = "call .collect() first" if hasattr(frame, "collect") else "give a table, a dict of arrays or arrays"
        raise TypeError(f"data of type {type(frame).__name__}: {remedy}.") from e
    found: dict[str, Column] = {}
    findings: list[Finding] = []
    for name in known.columns:
        series = known.get_column(name)
        try:
            made, more = of_arrow(str(name), series.to_arrow())
        except (TypeError, ValueError, OverflowError):  # pyarrow refuses columns of mixed objects
            made, more = _of_list(str(name), series.to_list())
        found |= {} if made is None else {str(name): made}
        findings += more
    return found, findings


def columns(held: list[Any]) -> tuple[dict[str, Column], list[Finding]]:
    """The columns of a pyarrow table, taken out of the list that holds it, so that it can be freed column by column."""
    table = held.pop()
    found: dict[str, Column] = {}
    findings: list[Finding] = []
    for name in table.column_names:
        try:
            made, more = of_arrow(name, table.column(name))
        except ValueError:
            made, more = _of_list(name, table.column(name).to_pylist())
        found |= {} if made is None else {name: made}
        table = table.drop_columns([name])
        findings += more
    return found, findings


def of_arrow(name: str, values: Any) -> tuple[Column, list[Finding]]:
    """The column of a pyarrow Array or ChunkedArray.

    Raises:
      ValueError: a type that is no number, text, bool or time, such as lists.
    """
    import pyarrow as pa
    from pyarrow import types

    values = pa.chunked_array([values]) if isinstance(values, pa.Array) else values
    kind = values.type
    if types.is_null(kind):
        return np.full(len(values), np.nan), []
    if types.is_boolean(kind):
        if values.null_count:
            codes = values.cast(pa.int8()).fill_null(-1).to_numpy()
            return words(codes, [False, True]), []
        return _plain(values.cast(pa.uint8())).astype(bool), []
    if types.is_integer(kind) or types.is_floating(kind):
        return _plain(values), []
    if types.is_decimal(kind):
        return _plain(values.cast(pa.float64(), safe=False)), []
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return of_strings(name, values.cast(pa.string()))
    if types.is_dictionary(kind):
        return _of_dictionary(name, values)
    if types.is_date(kind):
        values, kind = values.cast(pa.timestamp("us")), pa.timestamp("us")
    if types.is_timestamp(kind):
        counts = values.cast(pa.int64()).fill_null(0).to_numpy()
        seconds = times.of_integers(counts, kind.unit)
        missing = values.is_null().to_numpy()
        return Moments(np.where(missing, np.nan, seconds), times.TimeFormat("datetime", kind.tz)), []
    if types.is_duration(kind) or types.is_time(kind):
        counts = values.cast(pa.int64() if kind.bit_width == 64 else pa.int32()).cast(pa.int64())
        seconds = times.of_integers(counts.fill_null(0).to_numpy(), kind.unit)
        return np.where(values.is_null().to_numpy(), np.nan, seconds), []
    raise ValueError(f"column {name!r} is of type {kind}: give numbers, text, bools or times, or leave it out.")


def _of_list(name: str, values: list[Any]) -> tuple[Column | None, list[Finding]]:
    try:
        return column(name, values)
    except (ValueError, TypeError):
        text = f"Column {name!r} has values that are no numbers, texts or times: left out."
        return None, [Finding("left_out", "serious", name, len(values), text)]


def to_arrow(name: str, values: Any) -> Any:
    """A column as a pyarrow array, for writing."""
    import pyarrow as pa

    made = column(name, values)[0] if not isinstance(values, Moments) else values
    if isinstance(made, Moments):
        written = made.decoded()
        if made.how.kind == "datetime":
            return pa.array(written, pa.timestamp("us", tz=made.how.zone))
        return pa.array([text or None for text in written.tolist()])
    return pa.array(made if isinstance(made, np.ndarray) else as_words(made).decoded(), from_pandas=True)


def _plain(values: Any) -> np.ndarray:
    """Numbers as NumPy; with missing ones, as float64 with NaN."""
    import pyarrow as pa

    if values.null_count and not pa.types.is_float64(values.type):
        values = values.cast(pa.float64(), safe=False)
    return values.to_numpy()


def _of_dictionary(name: str, values: Any) -> tuple[Column, list[Finding]]:
    import pyarrow as pa

    distinct = values.type.value_type
    if pa.types.is_string(distinct) or pa.types.is_large_string(distinct) or pa.types.is_string_view(distinct):
        return of_strings(name, values.cast(pa.string()))
    return column(name, values.to_pylist())
