"""CSV through pyarrow, block by block into NumPy arrays: little more memory than the arrays themselves."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np

from asrnn_jax.estimators import arrow
from asrnn_jax.estimators.columns import NO_NUMBER, Column, of_text
from asrnn_jax.estimators.dialect import Dialect
from asrnn_jax.estimators.findings import Finding


def read(source: Any, how: Dialect) -> tuple[dict[str, Column], list[Finding], int]:
    """The columns of a path or of bytes in UTF-8, and how many lines have another known of fields: left out.

    The first block says which columns are numbers. Where a later one disagrees, all are read at once, as text.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    ragged = []
    lines, has_quotes = _counted(source)
    types: dict[str, Any] = {name: pa.string() for name in how.texts}

    def opened(function: Any, types: dict[str, Any]) -> Any:
        spellings = {s for text in NO_NUMBER for s in (text, text.upper(), text.title())} | {"NaN", "#N/A", "<NA>"}
        return function(
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

    try:
        with opened(pc.open_csv, types) as first:
            schema = first.schema
        known = {f.name: pa.float64() for f in schema if pa.types.is_integer(f.type) or pa.types.is_null(f.type)}
        known |= {f.name: pa.string() for f in schema if pa.types.is_boolean(f.type)}
        ragged.clear()
        with opened(pc.open_csv, {**known, **types}) as blocks:
            return *_joined(schema.names, blocks, lines), len(ragged)
    except pa.ArrowInvalid:
        ragged.clear()
        table = opened(pc.read_csv, types)
        return *_joined(table.column_names, table.to_batches(), lines), len(ragged)


def _counted(source: Any) -> tuple[int, bool]:
    """How many lines there are, and whether there are quotes, in which a line may end without ending its row."""
    lines, quotes = 1, False
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        while block := file.read(1 << 20):
            lines += max(block.count(b"\n"), block.count(b"\r"))
            quotes = quotes or b'"' in block
    return lines, quotes


def _joined(names: list[str], blocks: Iterable[Any], most: int) -> tuple[dict[str, Column], list[Finding]]:
    """The columns of blocks with `most` rows or fewer, written into arrays that are made once."""
    import pyarrow as pa

    arrays: dict[str, np.ndarray] = {}
    places: dict[str, dict[str, int]] = {}
    rows = 0
    for block in blocks:
        for name, values in zip(names, block.columns):
            if pa.types.is_boolean(values.type):
                values = values.cast(pa.string())
            if pa.types.is_string(values.type):
                piece = _codes(values, places.setdefault(name, {}))
            else:
                piece = np.asarray(arrow.of_arrow(name, values)[0])
            if name not in arrays:
                arrays[name] = np.empty(most, piece.dtype)  # what is not written takes no memory
            elif not np.can_cast(piece.dtype, arrays[name].dtype):
                arrays[name] = arrays[name].astype(np.float64)  # whole knowns, and now some are missing
            arrays[name][rows : rows + len(piece)] = piece
        rows += block.num_rows
    found: dict[str, Column] = {}
    findings: list[Finding] = []
    for name in names:
        whole = arrays.pop(name, np.zeros(0))[:rows]
        if name in places:
            found[name], more = of_text(name, whole, list(places.pop(name)))
            findings += more
        else:
            found[name] = whole
    return found, findings


def _codes(values: Any, place: dict[str, int]) -> np.ndarray:
    """The codes of one block's texts, in a knowning of all blocks."""
    made = values.dictionary_encode()
    table = [place.setdefault(text, len(place)) for text in made.dictionary.to_pylist()]
    return np.array(table, np.int32)[made.indices.to_numpy(zero_copy_only=False)]
