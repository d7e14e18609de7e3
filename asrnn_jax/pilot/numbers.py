"""Numbers as people read them, each with the place in the result that it is from."""

from __future__ import annotations

import html
from typing import Any

MISSING, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def look_up(result: Any, key: str) -> Any:
    """The value at a path such as ``methods/asrnn/accuracy/value``; None where there is none.

    Example:
      >>> look_up({"a": [{"b": 3}]}, "a/0/b")
      3
    """
    for part in key.split("/"):
        if isinstance(result, list) and part.lstrip("-").isdigit() and int(part) < len(result):
            result = result[int(part)]
        elif isinstance(result, dict):
            result = result.get(part)
        else:
            return None
    return result


def shown(value: Any, kind: str) -> str:
    """A number as text.

    Args:
      kind: "percent", "share" (the same without its sign), "points" (a difference of shares), "count", "seconds", or
        "number" (three digits that count).

    Example:
      >>> shown(0.8434, "percent"), shown(0.02, "points"), shown(12345, "count"), shown(0.01234, "number")
      ('84.3 %', '+2.0 points', '12,345', '0.0123')
    """
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    text = {
        "percent": lambda v: f"{100 * v:.1f} %",
        "share": lambda v: f"{100 * v:.1f}",
        "points": lambda v: f"{100 * v:+.1f} points",
        "count": lambda v: f"{round(v):,}",
        "seconds": lambda v: f"{v:.0f} s" if v >= 100 else f"{v:.2g} s" if v < 10 else f"{v:.1f} s",
        "number": _number,
    }[kind](value)
    return MINUS + text[1:] if text.startswith("-") else text


def marked(result: Any, key: str, kind: str = "number") -> str:
    """HTML of a number, with the path in the result that it is from, so that it can be compared."""
    value = look_up(result, key)
    raw = "" if value is None else str(value)
    text = html.escape(shown(value, kind))
    return f'<data value="{html.escape(raw)}" data-key="{html.escape(key)}" data-kind="{kind}">{text}</data>'


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.2e}"
    if abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.3g}"
