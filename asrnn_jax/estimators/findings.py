"""What was found in somebody's data and what was done about it: nothing is repaired or dropped in silence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

Severity = Literal["info", "repair", "serious"]


class Finding(NamedTuple):
    """One thing that was found."""

    kind: str
    """A short name for programs: "missing", "duplicates", "leak", ..."""
    severity: Severity
    """"info": good to know. "repair": the data were changed. "serious": read it before you trust any result."""
    column: str | None
    """The column it is about; None: the whole table."""
    count: int
    """How many values, rows, streams, ... it is about."""
    text: str
    """The same for people, one sentence or two."""

    def about(self) -> dict[str, Any]:
        """As JSON values."""
        return self._asdict()


def from_about(entries: Iterable[dict[str, Any]]) -> tuple[Finding, ...]:
    """The findings that `Finding.about` wrote."""
    return tuple(Finding(**entry) for entry in entries)


def summary(findings: Iterable[Finding]) -> str:
    """All findings as lines of text, the serious ones first.

    Example:
      >>> print(summary([Finding("order", "repair", "t", 3, "3 rows were out of order."),
      ...                Finding("leak", "serious", "y", 9, "Column 'y' tells the label.")]))
      serious: Column 'y' tells the label.
      repair: 3 rows were out of order.
    """
    return "\n".join(f"{f.severity}: {f.text}" for f in gravest_first(findings))


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    rank = {"serious": 0, "repair": 1, "info": 2}
    return sorted(findings, key=lambda finding: rank[finding.severity])


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 row", "2 rows"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def some(values: Iterable[Any], most: int = 3) -> str:
    """The first few values for a message, and how many more there are."""
    values = list(values)
    shown = ", ".join(repr(value) for value in values[:most])
    return shown + (f" and {len(values) - most} more" if len(values) > most else "")


def perhaps(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: what may have been meant, and what there is.

    Example:
      >>> perhaps("activty", ["stream", "activity"])
      "perhaps you meant 'activity'. There are: 'stream', 'activity'."
    """
    known = [str(k) for k in known]
    plain = {k.strip().casefold(): k for k in known}
    close = difflib.get_close_matches(str(name).strip().casefold(), plain, n=1, cutoff=0.6)
    return (f"perhaps you meant {plain[close[0]]!r}. " if close else "") + f"There are: {some(known, 12) or 'none'}."
