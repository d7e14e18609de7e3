"""CSV through pyarrow, block by block into NumPy arrays: little more memory than the arrays themselves."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from asrnn_jax.estimators.findings import Finding, counted
from asrnn_jax.estimators.reading.arrow_text import of_strings
from asrnn_jax.estimators.reading.columns import NO_NUMBER, Column
from asrnn_jax.estimators.reading.dialect import Dialect


def read(source: Any, how: Dialect) -> tuple[dict[str, Column], list[Finding], int]:
    """The columns of a path or of bytes in UTF-8, and how many lines have another known of fields: left out.

    The first block says which columns are numbers; where a later one disagrees, that column is read again as text.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    ragged = []
    lines, has_quotes = _counted(source)
    types: dict[str, Any] = {name: pa.string() for name in how.texts}

    def opened(types: dict[str, Any]) -> Any:
        spellings = {s for text in NO_NUMBER for s in (text, text.upper(), text.title())} | {"NaN", "#N/A", "<NA>"}
        return pc.open_csv(
            io.BytesIO(source) if isinstance(source, bytes) else source,
            pc.ReadOptions(column_names=list(how.names), skip_rows=how.skip + how.header),
            pc.ParseOptions(
                delimiter=how.delimiter,
                newlines_in_values=has_quotes,
                invalid_row_handler=lambda row: ragged.append(1) or "skip",
            ),
            pc.ConvertOptions(
                decimal_point=how.decimal,
                null_values=sorted(spellings),
                strings_can_be_null=False,
                timestamp_parsers=["%not a time%"],  # times stay text here, so that their format is known
                column_types=types,
            ),
        )

    def attempt() -> tuple[dict[str, Column], list[Finding], int]:
        with opened(types) as first:
            schema = first.schema
        known = {f.name: pa.float64() for f in schema if pa.types.is_integer(f.type) or pa.types.is_null(f.type)}
        known |= {f.name: pa.string() for f in schema if pa.types.is_boolean(f.type)}
        ragged.clear()
        with opened({**known, **types}) as blocks:
            found, findings = _joined(schema.names, blocks, lines)
        rows = len(next(iter(found.values()), ()))
        empty = 0 if has_quotes else lines - how.skip - how.header - rows - len(ragged)
        return found, findings + empty_lines(empty), len(ragged)

    for _ in range(len(how.names) + 1):
        try:
            return attempt()
        except pa.ArrowInvalid as e:
            said = str(e).splitlines()[0]
            column = re.search(r"CSV column #(\d+)", said)
            if not column:
                raise ValueError(f"it cannot be read as CSV: {said}") from e
            types[how.names[int(column[1])]] = pa.string()
    raise ValueError("it cannot be read as CSV.")


def empty_lines(count: int) -> list[Finding]:
    """What is to be said about lines that were skipped."""
    text = f"{counted(count, 'empty line')} skipped."
    return [Finding("empty_lines", "info", None, count, text)] if count > 0 else []


def _counted(source: Any) -> tuple[int, bool]:
    """How many lines there are, and whether there are quotes, in which a line may end without ending its row."""
    new, old, quotes, last = 0, 0, False, b""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        while block := file.read(1 << 20):
            new, old, last = new + block.count(b"\n"), old + block.count(b"\r"), block[-1:]
            quotes = quotes or b'"' in block
    return (new or old) + (last not in b"\r\n"), quotes


def _joined(names: list[str], blocks: Iterable[Any], most: int) -> tuple[dict[str, Column], list[Finding]]:
    """The columns of blocks with `most` rows or fewer, written into arrays that are made once."""
    import pyarrow as pa

    arrays: dict[str, np.ndarray] = {}
    texts: dict[str, list[Any]] = {}
    rows = 0
    for block in blocks:
        for name, values in zip(names, block.columns):
            if pa.types.is_string(values.type):
                texts.setdefault(name, []).append(values)
                continue
            if name not in arrays:
                arrays[name] = np.empty(most)  # what is not written takes no memory
            arrays[name][rows : rows + len(values)] = values.to_numpy(zero_copy_only=False)
        rows += block.num_rows
    found: dict[str, Column] = {}
    findings: list[Finding] = []
    for name in names:
        if name in texts:
            found[name], more = of_strings(name, pa.chunked_array(texts.pop(name)))
            findings += more
        else:
            found[name] = arrays[name][:rows] if name in arrays else np.zeros(0)
    return found, findings
