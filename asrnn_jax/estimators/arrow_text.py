"""Columns of text in pyarrow as numbers or times, without a Python object for each row.

What this gives is what `columns.of_text` gives, which takes any text but time and memory for each distinct one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from asrnn_jax.estimators import times
from asrnn_jax.estimators.columns import ENOUGH, MISSING, Column, Moments, missing_texts, not_understood, of_text
from asrnn_jax.estimators.findings import Finding

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DAY_FIRST = r"^(\d\d)\.(\d\d)\.(\d{4})"
SAMPLE = 1000


def of_strings(name: str, values: Any) -> tuple[Column, list[Finding]]:
    """The column of a ChunkedArray of strings."""
    quick = _quick(name, values) if len(values.slice(0, SAMPLE).unique()) > SAMPLE // 4 else None
    if quick is not None:
        return quick
    made = values.dictionary_encode().unify_dictionaries()
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in made.chunks]
    distinct = made.chunk(0).dictionary.to_pylist() if made.num_chunks else []
    return of_text(name, np.concatenate([np.zeros(0, np.int32), *codes]).astype(np.int32), [v or "" for v in distinct])


def _quick(name: str, values: Any) -> tuple[Column, list[Finding]] | None:
    """Numbers in plain notation or times in ISO or German notation; None: something else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.utf8_trim_whitespace(values.cast(pa.string()))
    none = pc.is_in(pc.utf8_lower(values), pa.array(sorted(MISSING)))
    texts = pc.if_else(none, None, values)
    made = _times(texts) or _numbers(name, texts)
    if made is None:
        return None
    written = pc.filter(values, none).value_counts().to_pylist()
    return made[0], missing_texts(name, {v["values"]: v["counts"] for v in written if v["values"]}) + made[1]


def _times(texts: Any) -> tuple[Column, list[Finding]] | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    first = [text for text in texts.slice(0, SAMPLE).to_pylist() if text]
    if not first or not times.looks_like_time(first[0]):
        return None
    length = pc.utf8_length(texts)
    longest = texts.filter(pc.equal(length, pc.max(length))).slice(0, 1).to_pylist()
    _, how, doubts = times.parse([*first, *longest])
    if doubts or (how.order, how.separator) not in (("YMD", "-"), ("DMY", ".")) or how.whole_days:
        return None
    plain = pc.replace_substring(pc.replace_substring_regex(texts, _DAY_FIRST, r"\3-\2-\1"), ",", ".")
    zone = "UTC" if how.zone else None
    if zone and pc.count_distinct(pc.utf8_slice_codeunits(texts, -len(how.zone or ""))).as_py() > 1:
        return None  # several zones
    try:
        counts = plain.cast(pa.timestamp("us", zone)).cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    seconds = times.of_integers(counts.fill_null(0).to_numpy(), "us")
    return Moments(np.where(counts.is_null().to_numpy(), np.nan, seconds), how), []


def _numbers(name: str, texts: Any) -> tuple[Column, list[Finding]] | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    def count(pattern: str) -> int:
        return pc.sum(pc.match_substring_regex(texts, pattern)).as_py() or 0

    commas = count(",")
    if count(r"^0\d+$") or (commas and count(r"\.")):
        return None
    plain = pc.replace_substring(texts, ",", ".") if commas else texts
    fine = pc.match_substring_regex(plain, _NUMBER)
    known = pc.sum(fine).as_py() or 0
    if known < ENOUGH * (len(texts) - texts.null_count) or not known:
        return None
    bad = {v["values"]: v["counts"] for v in texts.filter(pc.invert(fine)).value_counts().to_pylist()}
    if any(text.lstrip("+-").casefold() in ("inf", "infinity", "∞") for text in bad):
        return None
    plain = pc.utf8_ltrim(pc.if_else(fine, plain, None), "+")
    return plain.cast(pa.float64()).to_numpy(), not_understood(name, bad, "number")
