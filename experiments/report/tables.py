"""Tables and commands as text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from experiments.folder import without_folders


def table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, as Markdown, so that it can be pasted."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(r, widths)) + " |" for r in rows]
    return "\n".join([lines[0], "| " + " | ".join("-" * w for w in widths) + " |", *lines[1:]])


def minutes(seconds: float | None) -> str:
    """``12:05``"""
    return "-" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def typed(name: str, settings: Any, positional: str = "") -> str:
    """What to type for a tool's result: every flag that is not at its default, without the folders of this machine."""
    words = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name == "out" or value == field.default:
            continue
        value = "FOLDER" if field.name == "data_dir" else value
        values = [str(part) for part in (value if isinstance(value, tuple) else (value,))]
        words += [] if field.name == positional else [f"--{field.name.replace('_', '-')}"]
        words += [without_folders(part) for part in values]
    return f"python -m experiments {shlex.join([name, *words])}"
