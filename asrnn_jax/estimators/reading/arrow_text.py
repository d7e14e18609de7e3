"""Columns of text in pyarrow as numbers or times, without a Python object for each row.

What this gives is what `columns.of_text` gives, which takes any text but time and memory for each distinct one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from asrnn_jax.estimators.findings import Finding
from asrnn_jax.estimators.reading import times
from asrnn_jax.estimators.reading.columns import (
    ENOUGH,
    MISSING,
    Column,
    Moments,
    missing_texts,
    not_understood,
    of_text,
)

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DAY_FIRST = r"^(\d\d)\.(\d\d)\.(\d{4})"
SAMPLE, MANY = 1000, 250
"""Of so many rows at the start so many have to differ for the way without Python objects."""
ROWS = 1 << 15
"""Rows that are worked on at a time, to save memory."""


def _compute() -> Any:
    import pyarrow.compute

    return pyarrow.compute  # its functions are made when it is imported: no type checker knows them


def of_strings(name: str, values: Any) -> tuple[Column, list[Finding]]:
    """The column of a ChunkedArray of strings."""
    quick = _quick(name, values) if len(values.slice(0, SAMPLE).unique()) > MANY else None
    if quick is not None:
        return quick
    made = values.dictionary_encode().unify_dictionaries()
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in made.chunks]
    distinct = made.chunk(0).dictionary.to_pylist() if made.num_chunks else []
    return of_text(name, np.concatenate([np.zeros(0, np.int32), *codes]).astype(np.int32), [v or "" for v in distinct])


def _quick(name: str, values: Any) -> tuple[Column, list[Finding]] | None:
    """Numbers in plain notation or times in ISO or German notation; None: something else."""
    pieces = [chunk.slice(at, ROWS) for chunk in values.chunks for at in range(0, len(chunk), ROWS)]
    return _times(name, pieces) or _numbers(name, pieces)


def _trimmed(piece: Any, written: Counter[str]) -> Any:
    """Texts without spaces around them, and null where they stand for a missing value, which is counted."""
    import pyarrow as pa

    pc = _compute()
    texts = pc.utf8_trim_whitespace(piece)
    none = pc.is_in(pc.utf8_lower(texts), pa.array(sorted(MISSING)))
    if not pc.any(none).as_py():
        return texts
    written.update(text for text in texts.filter(none).to_pylist() if text)
    return pc.if_else(none, None, texts)


def _times(name: str, pieces: list[Any]) -> tuple[Column, list[Finding]] | None:
    import pyarrow as pa

    pc = _compute()
    written: Counter[str] = Counter()
    how = _format(pieces)
    if how is None:
        return None
    zone, seconds = "UTC" if how.zone else None, []
    for piece in pieces:
        texts = _trimmed(piece, written)
        ends = pc.ends_with(texts, how.zone) if how.zone else None
        if ends is not None and not pc.all(ends, min_count=0).as_py():
            return None  # several zones
        try:
            plain = pc.replace_substring(pc.replace_substring_regex(texts, _DAY_FIRST, r"\3-\2-\1"), ",", ".")
            counts = plain.cast(pa.timestamp("us", zone)).cast(pa.int64())
        except pa.ArrowInvalid:
            return None
        moments = times.of_integers(counts.fill_null(0).to_numpy(zero_copy_only=False), "us")
        seconds.append(np.where(counts.is_null().to_numpy(zero_copy_only=False), np.nan, moments))
    return Moments(np.concatenate(seconds), how), missing_texts(name, written)


def _format(pieces: list[Any]) -> times.TimeFormat | None:
    """The format of times that pyarrow reads as this library does: from the first texts and the longest of all."""
    pc = _compute()
    first = [text for text in _trimmed(pieces[0], Counter()).to_pylist() if text] if pieces else []
    if not first or not times.looks_like_time(first[0]):
        return None
    longest = []
    for piece in pieces:
        texts = _trimmed(piece, Counter())
        length = pc.utf8_length(texts)
        longest += texts.filter(pc.equal(length, pc.max(length))).slice(0, 1).to_pylist()
    _, how, doubts = times.parse([*first[:ROWS], *longest])
    plain = (how.order, how.separator) in (("YMD", "-"), ("DMY", ".")) and not how.whole_days
    return how if plain and not doubts else None


def _numbers(name: str, pieces: list[Any]) -> tuple[Column, list[Finding]] | None:
    import pyarrow as pa

    pc = _compute()

    def found(pattern: str) -> bool:
        return any(pc.any(pc.match_substring_regex(piece, pattern)).as_py() for piece in pieces)

    commas = found(",")
    if found(r"^\s*0\d+\s*$") or (commas and found(r"\.")):
        return None
    written, bad, made, rows = Counter[str](), Counter[str](), [], 0
    for piece in pieces:
        texts = _trimmed(piece, written)
        plain = pc.replace_substring(texts, ",", ".") if commas else texts
        fine = pc.match_substring_regex(plain, _NUMBER)
        rows += len(texts) - texts.null_count
        bad.update(texts.filter(pc.invert(fine)).to_pylist())
        numbers = pc.utf8_ltrim(pc.if_else(fine, plain, None), "+").cast(pa.float64())
        made.append(numbers.to_numpy(zero_copy_only=False))
        if any(text.lstrip("+-").casefold() in ("inf", "infinity", "∞") for text in bad):
            return None
    if not rows or sum(bad.values()) > (1 - ENOUGH) * rows:
        return None
    return np.concatenate(made), missing_texts(name, written) + not_understood(name, bad, "number")
