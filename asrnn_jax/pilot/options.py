"""What a pilot can be told: the flags of ``python -m asrnn_jax pilot``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from asrnn_jax.estimators.findings import perhaps

CELLS = ("asrnn", "gru", "lru")
"""What is compared unless --cells says otherwise."""


@dataclass(frozen=True)
class Options:
    """Train networks on your own streams, compare them with simpler methods, and write one page with the answer.

    Example: python -m asrnn_jax pilot --data train.csv --test test.csv --label activity --stream stream --time seconds
    """

    data: tuple[str, ...]
    """Files to learn from: CSV as people write it, Parquet, NPZ or .ts. Several are read one below the other."""
    test: tuple[str, ...] = ()
    """Files to test on. Without any, a quarter of the data is kept for it: whole streams, or the end of each."""
    label: str | None = None
    """Column of classes; a row without one is not labelled."""
    target: tuple[str, ...] = ()
    """Columns to forecast, instead of --label."""
    horizon: int = 1
    """Forecast so many steps ahead."""
    stream: str | None = None
    """Column that says which stream (person, machine, recording) a row is of; without it, all are of one."""
    time: str | None = None
    """Column of times: dates, or numbers of seconds."""
    channels: tuple[str, ...] = ()
    """Columns that are measured; by default all other columns of numbers."""
    out: str = "runs/pilot"
    """Folder for the page, the network and the numbers. Called again, a pilot goes on where it was stopped."""
    minutes: float = 10.0
    """For all of it, on two cores. Networks get most of it, in equal parts."""
    cells: tuple[str, ...] = CELLS
    """Recurrent cells to compare."""
    hidden: int = 64
    """Units of each network."""
    seed: int = 0
    """Of weights, streams and splits."""
    irregular: Literal["ignore", "resample", "channel"] = "ignore"
    """Where rows are not evenly spaced in time: see `asrnn_jax.estimators.Preparation`."""
    unlabelled: Literal["nothing", "unknown"] = "nothing"
    """Rows without a label: "nothing" is learned as an answer, or they are "unknown" and teach nothing."""

    def check(self) -> None:
        """Raises ValueError where options contradict each other or are out of range."""
        from asrnn_jax import cells

        if not self.data:
            raise ValueError("--data: name at least one file.")
        if bool(self.label) == bool(self.target):
            raise ValueError("give --label COLUMN (classes) or --target COLUMN (numbers to forecast), one of both.")
        for name, least in (("horizon", 1), ("hidden", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name} {getattr(self, name)}: give at least {least}.")
        if not (self.minutes > 0 and math.isfinite(self.minutes)):
            raise ValueError(f"--minutes {self.minutes:g}: give a number above 0.")
        if not self.cells or len(set(self.cells)) < len(self.cells):
            raise ValueError(f"--cells {' '.join(self.cells)}: name each cell once, and at least one.")
        for cell in self.cells:
            if cell not in cells.CELLS:
                raise ValueError(f"--cells {cell}: unknown; {perhaps(cell, cells.CELLS)}")

    @property
    def forecast(self) -> bool:
        """Whether numbers are forecast, rather than classes told apart."""
        return bool(self.target)

    def roles(self) -> dict[str, Any]:
        """The arguments of `asrnn_jax.estimators.as_table`."""
        return {
            "label": self.label,
            "stream": self.stream,
            "time": self.time,
            "channels": list(self.channels) or None,
            "targets": list(self.target),
        }
