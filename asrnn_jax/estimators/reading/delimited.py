"""CSV files as people write them, read by pyarrow: any usual encoding, delimiter and decimal mark."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from asrnn_jax.estimators.findings import Finding, counted, some
from asrnn_jax.estimators.reading import arrow, csv_blocks, dialect, encodings
from asrnn_jax.estimators.reading.columns import Column
from asrnn_jax.estimators.reading.dialect import Dialect

HEAD = 1 << 16


def read(
    path: Path, *, encoding: str | None = None, delimiter: str | None = None, decimal: str | None = None
) -> tuple[dict[str, Column], list[Finding]]:
    """The columns of a text file, and what was found.

    Raises:
      ValueError: an empty file, one that is no text, an encoding that does not fit; ImportError: no pyarrow.
    """
    arrow.needed()
    with path.open("rb") as file:
        known = encoding or encodings.find(file)
        file.seek(0)
        source: Any = path
        if known not in ("utf-8", "utf-8-sig"):
            source = _decoded(path, file.read(), known)
        head = _head(source, file)
    if not head.strip():
        raise ValueError(f"{path} is empty: give a file with a line of names and one line a row.")
    if "\0" in head:
        raise ValueError(f"{path} is no text: give CSV, or name the file .parquet, .npz or .ts for what it is.")
    how = dialect.find(head, delimiter, decimal)
    findings = [Finding("format", "info", None, 1, f"{path.name}: {encodings.said(known)}, {how.said()}.")]
    findings += _about(how, path)
    found, more, ragged = csv_blocks.read(source, how)
    if ragged:
        source, repairs = _repaired(source, how)
        found, more, _ = csv_blocks.read(source, how._replace(skip=0))
        findings += repairs
    return found, findings + more


def _decoded(path: Path, data: bytes, encoding: str) -> bytes:
    try:
        return data.decode(encoding).lstrip("\ufeff").encode()
    except (UnicodeDecodeError, LookupError) as e:
        raise ValueError(f"{path} is not in the encoding {encoding!r} ({e}): leave encoding out to find it.") from e


def _head(source: Any, file: io.BufferedReader) -> str:
    if isinstance(source, bytes):
        data, whole = source[:HEAD], len(source) <= HEAD
    else:
        file.seek(0)
        data = file.read(HEAD)
        whole = len(data) < HEAD
    text = data.decode("utf-8", errors="ignore").lstrip("\ufeff")
    return text if whole or "\n" not in text else text[: text.rindex("\n")]


def _about(how: Dialect, path: Path) -> list[Finding]:
    found = []
    if not how.header:
        text = f"{path.name} has no line of names: columns are called {some(how.names)}."
        found.append(Finding("no_header", "info", None, len(how.names), text))
    if how.skip:
        text = f"{path.name}: {counted(how.skip, 'line')} before the table left out."
        found.append(Finding("preamble", "info", None, how.skip, text))
    if renamed := [name for name in how.names if name.endswith(")") and name[:-4] in how.names and name[-4:-2] == " ("]:
        text = f"{path.name}: names that stand twice have got a number: {some(renamed)}."
        found.append(Finding("names", "repair", None, len(renamed), text))
    return found


def _repaired(source: Any, how: Dialect) -> tuple[bytes, list[Finding]]:
    """The file with as many fields in each row as it has columns; slower, and only for files that need it."""
    text = (source if isinstance(source, bytes) else Path(source).read_bytes()).decode("utf-8-sig")
    width = len(how.names)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=how.delimiter, lineterminator="\n")
    short, long, cut, empty = [], [], 0, 0
    lines = text.splitlines(keepends=True)[how.skip :]
    reader = csv.reader(lines, delimiter=how.delimiter)
    for row in reader:
        at = reader.line_num + how.skip
        if len(row) > width and not any(field.strip() for field in row[width:]):
            cut, row = cut + 1, row[:width]
        if len(row) > width:
            long.append(at)
        elif any(field.strip() for field in row):
            if len(row) < width and not (how.header and reader.line_num == 1):
                short.append(at)
            writer.writerow(row + [""] * (width - len(row)))
        else:
            empty += 1
    findings = csv_blocks.empty_lines(empty)
    if long:
        text = f"{counted(len(long), 'row')} with more fields than there are columns left out: lines {some(long)}."
        severity = "serious" if len(long) > len(lines) // 100 else "repair"
        findings.append(Finding("long_rows", severity, None, len(long), text))
    if short:
        text = f"{counted(len(short), 'row')} with fewer fields than there are columns: what lacks at the end is taken "
        text += f"as missing (lines {some(short)})."
        findings.append(Finding("short_rows", "repair", None, len(short), text))
    if cut:
        findings.append(
            Finding("empty_ends", "info", None, cut, f"{counted(cut, 'row')} ended in empty fields too many.")
        )
    return out.getvalue().encode(), findings
