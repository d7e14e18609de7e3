"""Tables and commands as text."""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from experiments.config.options import words as words_of
from experiments.folder import without_folders


def table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, as Markdown, so that it can be pasted."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(r, widths)) + " |" for r in rows]
    return "\n".join([lines[0], "| " + " | ".join("-" * w for w in widths) + " |", *lines[1:]])


def shown(value: float, form: str = ".1f") -> str:
    """A number; "-" for NaN, a mean or a share of nothing."""
    return "-" if math.isnan(value) else f"{value:{form}}"


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """Mean ± standard deviation (of a sample: over n - 1) of the values that are numbers, over seeds for example."""
    there = [value for value in values if not math.isnan(value)]
    if len(there) < 2:
        return shown(there[0] if there else math.nan, form)
    return f"{statistics.fmean(there):{form}} ± {statistics.stdev(there):{form}}"


def minutes(seconds: float | None) -> str:
    """``12:05``"""
    return "-" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def typed(name: str, settings: Any, positional: str = "") -> str:
    """The command line for a tool's result: all flags that are not at their defaults, without folders."""
    defaults = {field.name: field.default for field in fields(settings) if field.name != "out"}
    now = {field: getattr(settings, field) for field in defaults}
    if now.get("data_dir") is not None:
        now["data_dir"] = "FOLDER"
    return f"python -m experiments {shlex.join([name, *flags(now, defaults, switches(settings), positional)])}"


def flags(now: dict[str, Any], defaults: dict[str, Any], switches: set[str], positional: str = "") -> list[str]:
    """The words that set every value that is not at its default. `switches` take no value, `positional` has no flag."""
    words = []
    for name, value in now.items():
        flag = name.replace("_", "-")
        if value == defaults[name]:
            continue
        if name in switches:
            words.append(f"--{flag}" if value else f"--no-{flag}")
            continue
        if isinstance(value, dict):
            values = words_of({key: each for key, each in value.items() if defaults[name].get(key) != each})
        else:
            values = value if isinstance(value, (tuple, list)) else [value]
        words += [] if name == positional else [f"--{flag}"]
        words += [without_folders(str(part)) for part in values]
    return words


def switches(settings: Any) -> set[str]:
    """The fields of a dataclass that are flags without a value."""
    return {field.name for field in fields(settings) if field.type == "bool"}
