"""Tables from files and to files: CSV, Parquet, NPZ and .ts.

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp()) / "messung.csv"
>>> _ = path.write_bytes("Zeit;Wert;Zustand\\n0;1,5;läuft\\n1;-;\\n2;2,5;läuft\\n".encode("latin-1"))
>>> table = read_table(path)
>>> table["Wert"], table["Zustand"]
(array([1.5, nan, 2.5]), array(['läuft', None, 'läuft'], dtype=object))
>>> print(table.findings[0].text)
messung.csv: Latin-1 (cp1252), fields between semicolons, decimal comma.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asrnn_jax.estimators.findings import Finding, some
from asrnn_jax.estimators.reading import arrow, delimited, ts_files
from asrnn_jax.estimators.reading.columns import Column, Columns, Moments, Words, as_words, column
from asrnn_jax.saved import replacing

PathLike = str | os.PathLike


def read_table(
    path: PathLike | Sequence[PathLike],
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
) -> Columns:
    """Reads a table from a file, or from several with the same columns, one below the other.

    The name's end says what it is: .parquet, .npz (arrays of one length by name), .ts (series of the UEA archive: a
    column "stream", "dim_0", ..., "label"); all else is taken for CSV, whose encoding (UTF-8, UTF-16, Latin-1, cp932),
    delimiter and decimal mark are found.

    Args:
      path: of the file, or a list of paths.
      encoding, delimiter, decimal: of CSV, where what is found is wrong; see `Columns.findings`.

    Returns:
      A mapping from names to arrays: numbers with NaN, text with None where a value is missing.

    Raises:
      ValueError: a file that cannot be read as what its name says; several with different columns.
      OSError: one that is not there. ImportError: the extra [data] is not installed.
    """
    if not isinstance(path, (str, os.PathLike)):
        if not path:
            raise ValueError("path=[]: give at least one file.")
        tables = [read_table(one, encoding=encoding, delimiter=delimiter, decimal=decimal) for one in path]
        return tables[0] if len(tables) == 1 else _below(tables, [str(one) for one in path])
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".ts":
        return _made(*ts_files.read(path, encoding))
    if kind == ".npz":
        return _made(*_read_npz(path))
    if kind in (".parquet", ".pq"):
        return _made(*_read_parquet(path))
    return _made(*delimited.read(path, encoding=encoding, delimiter=delimiter, decimal=decimal))


def write_table(path: PathLike, data: Any) -> None:
    """Writes a table as CSV (in UTF-8), Parquet or NPZ, by the end of the file's name, in the place of any file before.

    Args:
      path: of the file.
      data: what `read_table` returns, a mapping from names to arrays, or a table of pandas, polars or pyarrow.

    Raises:
      ValueError: another kind of file, columns of different lengths; ImportError: the extra [data] is not installed.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet", ".pq", ".npz"):
        raise ValueError(f"path={str(path)!r}: tables are written as .csv, .parquet or .npz.")
    raw, _ = raw_columns(data)
    if len({len(made) for made in raw.values()}) > 1:
        raise ValueError(f"columns have different lengths: { ({name: len(made) for name, made in raw.items()}) }.")
    if kind == ".npz":
        arrays: Any = {name: _plain(made) for name, made in raw.items()}
        with replacing(path) as file:
            np.savez(file, **arrays)
        return
    arrow.needed(f"writing {path.name}")
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    table = pa.table({name: arrow.to_arrow(name, made) for name, made in raw.items()})
    with replacing(path) as file:
        if kind == ".csv":
            pc.write_csv(table, file, pc.WriteOptions(quoting_style="needed"))
        else:
            pq.write_table(table, file)


def raw_columns(data: Any) -> tuple[dict[str, Column], list[Finding]]:
    """The columns of a mapping or of a table of another library, as this library keeps them."""
    if isinstance(data, Columns):
        return data.raw, list(data.findings)
    if not isinstance(data, Mapping):
        return arrow.of_frame(data)
    made: dict[str, Column] = {}
    findings: list[Finding] = []
    for name, values in data.items():
        made[str(name)], more = column(str(name), values)
        findings += more
    return made, findings


def _made(raw: dict[str, Column], findings: list[Finding], roles: dict[str, str] | None = None) -> Columns:
    return Columns(raw, tuple(findings), roles or {})


def _read_npz(path: Path) -> tuple[dict[str, Column], list[Finding]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, zipfile.BadZipFile, EOFError) as e:
        raise ValueError(f"{path} is no .npz file of plain arrays ({str(e)[:100]}).") from e
    lengths = {name: array.shape for name, array in arrays.items()}
    if not arrays or len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        raise ValueError(f"{path} has arrays of shapes {lengths}: a table needs arrays of one axis and one length.")
    made, findings = raw_columns(arrays)
    text = f"{path.name}: NPZ with {len(arrays)} columns."
    return made, [Finding("format", "info", None, len(arrays), text), *findings]


def _read_parquet(path: Path) -> tuple[dict[str, Column], list[Finding]]:
    arrow.needed(f"reading {path.name}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        held = [pq.read_table(path)]
    except pa.ArrowInvalid as e:
        raise ValueError(f"{path} is no Parquet file, or damaged ({str(e).splitlines()[0][:100]}).") from e
    made, findings = arrow.columns(held)
    text = f"{path.name}: Parquet with {len(made)} columns."
    return made, [Finding("format", "info", None, len(made), text), *findings]


def _plain(made: Column) -> np.ndarray:
    """For NPZ, which has no objects: text with "" where there is none."""
    values = made if isinstance(made, np.ndarray) else made.decoded()
    if values.dtype != object:
        return values
    return np.array(["" if value is None else str(value) for value in values.tolist()], np.str_)


def _below(tables: list[Columns], paths: list[str]) -> Columns:
    names = list(tables[0])
    for table, path in zip(tables, paths):
        if set(table) != set(names):
            only = some(sorted(set(table) ^ set(names)))
            raise ValueError(f"{path} and {paths[0]} have not the same columns: {only} in one of them only.")
    raw = {name: _joined([table.raw[name] for table in tables]) for name in names}
    if "stream" in tables[0].roles.values():  # files of series number them each from 0
        before = np.cumsum([0] + [int(np.max(table["stream"], initial=-1)) + 1 for table in tables[:-1]])
        raw["stream"] = np.concatenate([table["stream"] + first for table, first in zip(tables, before)])
    return Columns(raw, tuple(f for table in tables for f in table.findings), tables[0].roles)


def _joined(parts: list[Column]) -> Column:
    empty = [isinstance(part, np.ndarray) and part.dtype.kind == "f" and bool(np.isnan(part).all()) for part in parts]
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate([part for part in parts if isinstance(part, np.ndarray)])
    moments = [part for part in parts if isinstance(part, Moments)]
    if len(moments) + sum(empty) == len(parts):
        seconds = [part.seconds if isinstance(part, Moments) else np.asarray(part) for part in parts]
        return Moments(np.concatenate(seconds), moments[0].how)
    named = [as_words(part) for part in parts]
    values = sorted({value for part in named for value in part.values}, key=lambda v: (str(type(v)), v))
    place = {value: i for i, value in enumerate(values)}
    tables = [np.array([*(place[value] for value in part.values), -1], np.int32) for part in named]
    return Words(np.concatenate([table[part.codes] for table, part in zip(tables, named)]), tuple(values))
