"""Signals that ask a run to end."""

from __future__ import annotations

import signal
from contextlib import contextmanager

ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


@contextmanager
def caught_signals():
    """Collects the signals that ask for an end, so that the step in hand is finished and saved.

    A second one is not held back. SIGUSR1 is what schedulers send some time before they take a machine away.
    """
    caught: list[signal.Signals] = []

    def handle(number, frame):
        if caught:
            raise KeyboardInterrupt
        caught.append(signal.Signals(number))

    before = {s: signal.signal(s, handle) for s in ENDS}
    try:
        yield caught
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
