"""The time that a measurement may take. What would not fit is left out, and the page says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


class Budget:
    """Seconds from now on. What something took is what the like of it is expected to take again."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._start = time.monotonic()
        self._took: dict[str, tuple[float, float, float]] = {}  # seconds, those that grow with the work, the work
        self._previous = 0.0

    def spent(self) -> float:
        return time.monotonic() - self._start

    def left(self) -> float:
        return self.seconds - self.spent()

    def refusal(self, kind: str, work: float = 1.0) -> str | None:
        """Why there is no time for one more of a kind; `work` compares sizes within a kind (steps, say)."""
        seconds, growing, before = self._took.get(kind, (self._previous, 0.0, work))
        expected = seconds + growing * max(0.0, work / before - 1)
        if expected < self.left():
            return None
        return f"skipped: {expected:.0f} s expected, {max(self.left(), 0):.0f} s left"

    def timed(self, kind: str, call: Callable[[], Any]) -> Any:
        """What `call` returns; how long it took is remembered, also where it fails."""
        start = time.monotonic()
        try:
            return call()
        finally:
            self._previous = time.monotonic() - start
            self._took[kind] = (self._previous, 0.0, 1.0)

    def grows(self, kind: str, seconds: float, work: float) -> None:
        """How much of what `timed` measured last grows with the work; the rest, compiling, does not."""
        self._took[kind] = (self._took[kind][0], seconds, work)
