"""Signals that ask a run to end."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager

ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


_caught: list[list[signal.Signals]] = []


@contextmanager
def caught_signals():
    """Collects the signals that ask for an end, so that the step in hand is finished and saved.

    A second one is not held back. SIGUSR1 is what schedulers send some time before they take a machine away. Only the
    main thread is told of signals; any other gets what the main thread collects.
    """
    if threading.current_thread() is not threading.main_thread():
        yield _caught[-1] if _caught else []
        return
    caught: list[signal.Signals] = []

    def handle(number, frame):
        if caught:
            raise KeyboardInterrupt
        caught.append(signal.Signals(number))

    _caught.append(caught)
    before = {s: signal.signal(s, handle) for s in ENDS}
    try:
        yield caught
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
        _caught.pop()
