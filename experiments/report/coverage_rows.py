"""What the page of state coverage is made of: the rows that `experiments.tools.coverage` stored, chosen and counted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
BEFORE, NAMED = "before", "package"
"""In the place of a kind of start: a network before it goes on, a network of the package."""
STARTS = ("zero", "passed", "shuffled", "noise", "mixture")
REGIMES = {
    "ignored": "On streams, cross-entropy alone: gaps ignored",
    "full": "On streams, with the objective of the paper: reset_free",
    "separate": "On separate samples again, cross-entropy",
}
TITLES = {"fashion_mnist": "Fashion-MNIST by rows", "speech": "Spoken digits"}
AIM = 0.01
"""How far below its accuracy with oracle resets a network may be without any."""
MARGIN = 0.02
"""From which difference on resets matter, as for the audit."""


def cells_of(rows: Sequence[Row]) -> list[str]:
    """Their names, without those of the package."""
    return list(dict.fromkeys(row["cell"] for row in rows if row["starts"] != "package"))


def chosen(rows: Sequence[Row], **about: Any) -> list[Row]:
    """Rows of networks that did not diverge, with these values."""
    return [row for row in rows if "scores" in row and all(row[key] == value for key, value in about.items())]


def accuracy(rows: Sequence[Row], policy: str = "never") -> list[float]:
    """Of each row."""
    return [row["scores"][policy]["accuracy"] for row in rows]


def entropy(rows: Sequence[Row]) -> list[float]:
    """In gaps, of each row."""
    return [row["scores"]["never"]["gap_entropy"] for row in rows]


def lost(before: Sequence[Row], after: Sequence[Row]) -> float:
    """How far accuracy without resets is below that before with oracle resets: the mean over the seeds that have both.

    NaN without any.
    """
    oracle = {row["seed"]: row["scores"]["oracle"]["accuracy"] for row in before}
    there = [oracle[row["seed"]] - row["scores"]["never"]["accuracy"] for row in after if row["seed"] in oracle]
    return statistics.fmean(there) if there else math.nan


def gain(row: Row) -> float:
    """By resets at the true beginnings, on the streams of the tables."""
    return row["scores"]["oracle"]["accuracy"] - row["scores"]["never"]["accuracy"]


def needs(row: Row) -> bool:
    """Resets, as measured on these streams."""
    return gain(row) > MARGIN
