"""Dates and times as people write them, as seconds, and seconds written in the same way again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from asrnn_jax.estimators.findings import Finding

_CLOCK = r"(?P<h>\d{1,2}):(?P<mi>\d{2})(?::(?P<s>\d{2})(?:(?P<mark>[.,])(?P<f>\d{1,9}))?)?(?: ?(?P<half>[AaPp][Mm]))?"
_ZONE = r"(?P<zone> ?(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
_YEAR_FIRST = re.compile(
    rf"(?P<y>\d{{4}})(?P<sep>[-/.])(?P<a>\d{{1,2}})(?P=sep)(?P<b>\d{{1,2}})(?:(?P<gap>T|,? +){_CLOCK}{_ZONE})?$"
)
_YEAR_LAST = re.compile(
    rf"(?P<a>\d{{1,2}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<y>\d{{4}})(?:(?P<gap>T|,? +){_CLOCK}{_ZONE})?$"
)
_CLOCK_ONLY = re.compile(_CLOCK + "$")
_DAYS_TO_MICROSECONDS = 86_400_000_000
Order = Literal["YMD", "DMY", "MDY", "clock"]


@dataclass(frozen=True)
class TimeFormat:
    """How a column of times was written, so that answers can be written in the same way."""

    kind: Literal["number", "datetime", "text"] = "number"
    """Numbers of seconds; dates as a table's own type; or text."""
    zone: str | None = None
    """What the times say of their zone: an offset as "+01:00", a name, or None: nothing."""
    order: Order = "YMD"
    separator: str = "-"
    between: str = " "
    digits: int = 0
    """Of fractions of a second."""
    mark: str = "."
    """Before those digits."""
    whole_minutes: bool = False
    whole_days: bool = False

    def about(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def write(self, seconds: np.ndarray) -> np.ndarray:
        """Seconds in this format: numbers, datetime64 in UTC, or text; NaN becomes NaN, NaT or "".

        Example:
          >>> seconds, how, _ = parse(["02.03.2026 08:00:40,1"])
          >>> seconds, how.write(seconds)
          (array([1.77243844e+09]), array(['02.03.2026 08:00:40,1'], dtype=object))
        """
        seconds = np.asarray(seconds, np.float64)
        if self.kind == "number":
            return seconds
        there = np.isfinite(seconds)
        shift = _offset(self.zone) if self.kind == "text" else 0
        microseconds = np.round(np.where(there, seconds, 0) * 1e6).astype(np.int64) + shift
        moments = microseconds.astype("datetime64[us]")
        if self.kind == "datetime":
            return np.where(there, moments, np.datetime64("NaT", "us"))
        written = [self._text(m) if ok else "" for m, ok in zip(np.datetime_as_string(moments).tolist(), there)]
        return np.array(written, object)

    def _text(self, iso: str) -> str:
        date, clock = iso.split("T")
        clock = clock[: 5 if self.whole_minutes else 8] + (
            self.mark + (clock[9:] + "000")[: self.digits] if self.digits else ""
        )
        if self.order == "clock":
            return clock
        year, month, day = date.split("-")
        parts = {"YMD": (year, month, day), "DMY": (day, month, year), "MDY": (month, day, year)}[self.order]
        return self.separator.join(parts) + ("" if self.whole_days else self.between + clock + (self.zone or ""))


def of_integers(counts: np.ndarray, unit: str) -> np.ndarray:
    """Whole days, s, ms, us or ns since 1970 as seconds: the nearest number, whatever the unit."""
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
    if unit == "D":
        return counts * 86400.0
    if unit != "ns":
        return counts / per_second[unit]
    whole, rest = np.divmod(counts, 1000)  # more digits than a float64 has
    return whole / 1e6 + rest * 1e-9


def parse(texts: Sequence[str], order: Order | None = None) -> tuple[np.ndarray, TimeFormat, list[Finding]]:
    """Seconds since 1970 (of times without a date: since midnight) of texts; NaN where a text is no time.

    Times without a zone are taken as they stand, as if in UTC. 03/04/2026 is the 3rd of April unless another row shows
    that the month comes first, or `order` does.

    Returns:
      Seconds, the format of the first that is a time, and what is doubtful.

    Example:
      >>> parse(["2026-03-02T08:00:40.5+01:00", "soon"])[0].tolist()
      [1772434840.5, nan]
    """
    matches = [_YEAR_FIRST.match(t) or _YEAR_LAST.match(t) or _CLOCK_ONLY.match(t) for t in texts]
    last = [m for m in matches if m is not None and m.re is _YEAR_LAST]
    order, doubts = (order, []) if order in ("DMY", "MDY") else _order_of(last)
    days: dict[tuple[str, str, str], int | None] = {}
    seconds = np.array([_seconds(m, order, days) for m in matches], np.float64)
    there = [m for m, s in zip(matches, seconds) if m is not None and s == s]
    if not there:
        return seconds, TimeFormat(), []
    zones = {_zone(m) for m in there}
    if len(zones) > 1:
        text = f"times have {len(zones)} different zones or none; they are compared as the same time line in UTC."
        doubts.append(Finding("zones", "info", None, len(zones), text))
    zone = zones.pop() if len(zones) == 1 else "Z"
    return seconds, _format(there, order, zone), doubts


def past_midnight(clock: np.ndarray, before: float = np.nan) -> np.ndarray:
    """Times of day of one stream, in the order of its rows, as seconds that go on after midnight.

    Example:
      >>> past_midnight(np.array([86399.0, 1.0, 86398.0, 2.0]))
      array([86399., 86401., 86398., 86402.])
    """
    seconds, there = clock.copy(), np.isfinite(clock)
    first = before if np.isfinite(before) else (clock[there][:1].tolist() or [0.0])[0]
    jumps = np.round(np.diff(clock[there], prepend=first) / 86400)
    seconds[there] -= 86400 * np.cumsum(jumps)
    return seconds


def looks_like_time(text: str) -> bool:
    """Whether a text is a date, a time, or both."""
    return bool(_YEAR_FIRST.match(text) or _YEAR_LAST.match(text) or _CLOCK_ONLY.match(text))


def _order_of(matches: list[re.Match]) -> tuple[Order, list[Finding]]:
    """Of dates with the year last: what comes first, the day or the month."""
    if any(int(m["a"]) > 12 for m in matches):
        return "DMY", []
    if any(int(m["b"]) > 12 for m in matches):
        return "MDY", []
    if matches and matches[0]["sep"] != ".":
        text = f"dates such as {matches[0].string!r} do not say which number is the month; taken as day, month, year."
        return "DMY", [Finding("dates", "serious", None, len(matches), text + " Better write 2026-12-31.")]
    return "DMY", []


def _seconds(match: re.Match | None, order: Order, days: dict) -> float:
    if match is None:
        return np.nan
    found = match.groupdict()
    day = 0
    if "y" in found:
        month_day = (found["b"], found["a"]) if order == "DMY" and match.re is _YEAR_LAST else (found["a"], found["b"])
        key = (found["y"], *month_day)
        if key not in days:
            days[key] = _day(*key)
        if days[key] is None:
            return np.nan
        day = days[key]
    if found["h"] is None:
        return day * 86400.0
    hour, minute, second = int(found["h"]), int(found["mi"]), int(found["s"] or 0)
    if found["half"]:
        hour = hour % 12 + 12 * (found["half"] in ("PM", "pm", "Pm", "pM"))
    if hour > 24 or minute > 59 or second > 60:
        return np.nan
    fraction = (found["f"] or "").ljust(9, "0")
    microseconds = ((hour * 60 + minute) * 60 + second) * 1_000_000 + int(fraction[:6])
    microseconds += day * _DAYS_TO_MICROSECONDS - _offset(found.get("zone"))
    return microseconds / 1e6 + int(fraction[6:]) * 1e-9


def _day(year: str, month: str, day: str) -> int | None:
    try:
        return int(np.datetime64(f"{year}-{int(month):02d}-{int(day):02d}", "D").astype(np.int64))
    except ValueError:
        return None


def _zone(match: re.Match) -> str | None:
    return match.groupdict().get("zone") or None


def _offset(zone: str | None) -> int:
    """Microseconds that a zone is ahead of UTC."""
    found = re.match(r" ?([+-])(\d{2}):?(\d{2})?$", zone or "")
    if not found:
        return 0
    return (-1 if found[1] == "-" else 1) * (int(found[2]) * 60 + int(found[3] or 0)) * 60_000_000


def _format(matches: list[re.Match], order: Order, zone: str | None) -> TimeFormat:
    found = matches[0].groupdict()
    digits = max((len(m["f"] or "") for m in matches), default=0)
    mark = next((m["mark"] for m in matches if m["mark"]), ".")
    minutes = all(m["s"] is None for m in matches)
    if "y" not in found:
        return TimeFormat("text", None, "clock", digits=digits, mark=mark, whole_minutes=minutes)
    order = "YMD" if matches[0].re is _YEAR_FIRST else order
    whole = all(m["h"] is None for m in matches)
    return TimeFormat("text", zone, order, found["sep"], found["gap"] or " ", min(digits, 6), mark, minutes, whole)
