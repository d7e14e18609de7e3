"""Times of functions that are compared."""

from __future__ import annotations

import time
from typing import Any


def interleaved(calls: dict[Any, Any], repeats: int, warm: int = 2) -> dict[Any, list[float]]:
    """Seconds of each call, in rounds of one call each."""
    seconds: dict[Any, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + warm):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if repeat >= warm:
                seconds[name].append(time.perf_counter() - start)
    return seconds
