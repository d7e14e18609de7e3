"""How a text file of a table is written: delimiter, decimal mark, header, found from its first lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from typing import NamedTuple

DELIMITERS = ",;\t| "
_WITH_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?$")
_WITH_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?$")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?$")


class Dialect(NamedTuple):
    """What `find` found."""

    delimiter: str
    decimal: str
    """"." or ","."""
    skip: int
    """Lines before the header: comments, "sep=;", empty lines."""
    names: tuple[str, ...]
    """Of the columns; made up where there is no header, or where a name is missing or stands twice."""
    header: bool
    """Whether the first line has names."""
    texts: tuple[str, ...]
    """Columns that look like numbers and are names: 007."""

    def said(self) -> str:
        """In words."""
        names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
        return f"fields between {names[self.delimiter]}, decimal {'comma' if self.decimal == ',' else 'point'}"


def find(head: str, delimiter: str | None = None, decimal: str | None = None) -> Dialect:
    """The dialect of a file.

    Args:
      head: its first lines, as text.
      delimiter, decimal: what is known already.

    Example:
      >>> find("t;x\\n0;1,5\\n1;2,5\\n")[:5]
      (';', ',', 0, ('t', 'x'), True)
    """
    lines = head.splitlines()
    skip = 0
    for line in lines:
        stated = re.match(r"\"?sep=(.)\"?$", line.strip())
        delimiter = delimiter or (stated[1] if stated else None)
        if stated or not line.strip(" ,;\t") or line.startswith("#"):
            skip += 1
        else:
            break
    body = "\n".join(lines[skip:])
    delimiter = delimiter or _delimiter(body)
    rows = [row for row in _rows(body, delimiter) if row]
    first, rest = (rows[0] if rows else []), rows[1:201]
    header = not rows or not all(_NUMBER.match(field.strip()) for field in first) or not any(map(str.strip, first))
    fields = [field.strip() for row in (rest if header else rows) for field in row]
    if decimal is None:
        commas, points = (sum(bool(p.match(f)) for f in fields) for p in (_WITH_COMMA, _WITH_POINT))
        decimal = "," if delimiter != "," and commas > points else "."
    names = _names(first if header else [""] * len(first), rest)
    texts = [
        name
        for i, name in enumerate(names)
        if any(len(row) > i and re.match(r"0\d+$", row[i].strip()) for row in (rest if header else rows))
    ]
    return Dialect(delimiter, decimal, skip, names, header, tuple(texts))


def _rows(body: str, delimiter: str) -> list[list[str]]:
    return list(csv.reader(body.splitlines(keepends=True), delimiter=delimiter, skipinitialspace=delimiter != "\t"))


def _delimiter(body: str) -> str:
    """The one that cuts most lines into as many fields as the first."""
    best, found = 0.0, ","
    for candidate in DELIMITERS:
        sizes = [len(row) for row in _rows(body, candidate)[:200] if row]
        if not sizes or sizes[0] < 2:
            continue
        alike = sum(size == sizes[0] for size in sizes) / len(sizes)
        worth = alike + 0.001 * sizes[0] * (candidate != " ")
        if alike > 0.5 and worth > best:
            best, found = worth, candidate
    if best == 0.0 and body.count(";"):  # a single column of decimal commas has none
        return ";"
    header = next(iter(body.splitlines()), "")
    return found if best or "," in header else ";"


def _names(first: list[str], rest: list[list[str]]) -> tuple[str, ...]:
    wider = Counter(len(row) for row in rest).most_common(1)
    fields = list(first)
    if wider and wider[0][0] == len(fields) + 1:
        ends_empty = all(row[-1].strip() == "" for row in rest if len(row) == len(fields) + 1)
        fields = [*fields, ""] if ends_empty else ["", *fields]  # a table's row names have no header in R
    names: list[str] = []
    for i, field in enumerate(fields):
        name = field.strip().lstrip("\ufeff") or f"column {i + 1}"
        again = 2
        base = name
        while name in names:
            name, again = f"{base} ({again})", again + 1
        names.append(name)
    return tuple(names)
