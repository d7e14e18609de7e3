"""The four points of practice for networks that are never reset, each ticked or not, with its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

NEAR = 0.1
"""How far from its target the entropy in gaps may end."""
COST = 0.01
"""What running without resets may cost, in accuracy or as a share of the error."""


def checklist(history: dict[str, Any], target: float | None, with_resets: float, without: float, trips: int) -> Any:
    """Points as JSON values: name, whether it is met, and the numbers that say so.

    Args:
      history: of the training, lists by name.
      target: what the share of "don't know" in gaps was held at; None: there were no gaps to learn.
      with_resets, without: accuracy (of forecasts minus the error, as a share) with oracle resets and without any.
      trips: how often monitors tripped on test data.
    """
    share = _last(history.get("gap_share"))
    return [
        {"name": "streams", "met": bool(history.get("step")), "steps": _last(history.get("step"))},
        {
            "name": "weight",
            "met": target is not None and share is not None and share >= target - NEAR,
            "weight": _last(history.get("weight")),
            "share": share,
            "target": target,
        },
        {
            "name": "accuracies",
            "met": bool(without >= with_resets - COST),
            "with_resets": with_resets,
            "without": without,
            "cost": with_resets - without,
        },
        {"name": "monitors", "met": trips == 0, "trips": trips},
    ]


def _last(values: Any) -> float | None:
    known = [value for value in values or [] if value is not None and np.isfinite(value)]
    return float(known[-1]) if known else None
