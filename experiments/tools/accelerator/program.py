"""What a compiled program launches, counted in its text."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

# They name or place values and run nothing, or are the second half of something counted already.
NOTHING = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "copy-done", "async-done"}
_OPERATION = re.compile(r" = (?:\(.*?\)|\S+) ([a-z][\w-]*)\(")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_CALLED = re.compile(r"(?:body|to_apply|calls)=%?([\w.-]+)")


def launches(text: str) -> dict[str, Any]:
    """``{"outside": counts, "loops": [{"steps": n | None, "body": counts}]}``, custom calls by their target.

    Counted is what runs by itself, not what is inside a fusion; a fusion with a matrix product inside has its own name.
    """
    computations, entry = _computations(text)
    loops = []
    for lines in computations.values():
        for line in lines:
            if _operation(line) == "while":
                steps = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
                loops.append({"steps": int(steps[1]) if steps else None, "body": dict(_counts(line, computations))})
    outside: Counter[str] = Counter()
    for line in computations.get(entry, []):
        outside += _one(line, computations)
    return {"outside": dict(outside), "loops": loops}


def words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    """Lines of each by its name, and which one is run."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    entry = ""
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header:
            lines = found.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
        else:
            lines.append(line)
    return found, entry


def _operation(line: str) -> str | None:
    match = _OPERATION.search(line)
    return match[1] if match and match[1] not in NOTHING else None


def _counts(line: str, computations: dict[str, list[str]]) -> Counter[str]:
    """What the computation that a line calls runs."""
    called = _CALLED.search(line)
    return sum((_one(one, computations) for one in computations.get(called[1] if called else "", [])), Counter())


def _one(line: str, computations: dict[str, list[str]]) -> Counter[str]:
    operation = _operation(line)
    if operation is None:
        return Counter()
    if operation == "call":  # of a part of the program, a command buffer for example: it runs what is in there
        return _counts(line, computations)
    if operation == "custom-call":
        target = re.search(r'custom_call_target="([^"]+)"', line)
        operation = f"custom-call {target[1] if target else '?'}"
    if operation == "fusion" and _counts(line, computations)["dot"]:
        operation = "fusion with dot"
    return Counter({operation: 1})
