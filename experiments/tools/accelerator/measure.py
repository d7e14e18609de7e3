"""Times of contenders that are compared, within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from statistics import median
from typing import Any

from experiments.tools.accelerator.budget import Budget
from experiments.tools.accelerator.contenders import NotHereError, Shape, Subject
from experiments.tools.accelerator.program import launches

KINDS = ("train", "infer")
SHARE = 0.05  # of the budget, for the rounds of one cell and shape: a slow contender costs repeats, not other shapes


def planned(name: str, shape: Shape, whos: Iterable[str]) -> list[dict[str, Any]]:
    """Rows that say that nothing was measured yet."""
    empty = {"train_us": None, "infer_us": None, "compile_s": None, "temporary_MiB": None, "repeats": 0}
    return [{"shape": str(shape), "cell": name, "who": who, **empty, "note": "not reached"} for who in whos]


def measure(
    rows: list[dict[str, Any]],
    makers: dict[str, Callable[[], Subject]],
    shape: Shape,
    budget: Budget,
    repeats: int,
    kinds: tuple[str, ...] = KINDS,
) -> None:
    """Fills in the rows of one cell and shape: compiles all, then rounds in which each runs once."""
    ready = {}
    for row in rows:
        subject = _ready(row, makers[row["who"]], shape, budget, kinds)
        if subject is not None:
            ready[row["who"]] = subject
    seconds = _rounds(ready, budget, repeats, kinds)
    for row in rows:
        if row["who"] not in ready:
            continue
        times = seconds[row["who"]]
        row["repeats"] = len(times[kinds[0]])
        row["note"] = "" if row["repeats"] else "skipped: no time left for a round of all"
        for kind in kinds if row["repeats"] else ():
            row[f"{kind}_us"] = 1e6 * median(times[kind]) / shape.time


def _ready(row: dict[str, Any], make: Callable[[], Subject], shape: Shape, budget: Budget, kinds) -> Subject | None:
    """Compiled and warm, or None and the reason in the row."""
    reason = budget.refusal(row["who"], shape.time)
    if reason:
        row["note"] = reason
        return None
    try:
        subject, running = budget.timed(row["who"], partial(_warm, make, kinds))
    except NotHereError as e:
        row["note"] = f"not here: {e}"
        return None
    except Exception as e:  # what one lacks the memory or the kernels for must not cost the others their numbers
        row["note"] = f"failed: {type(e).__name__}: {str(e).strip()}".splitlines()[0][:120]
        return None
    budget.grows(row["who"], 2 * running, shape.time)
    row |= {"compile_s": subject.compile_s, "temporary_MiB": subject.memory, "note": "compiled"}
    if row["who"] == "ours" and subject.program:
        row["launches"] = launches(subject.program)
    return subject


def _warm(make: Callable[[], Subject], kinds: tuple[str, ...]) -> tuple[Subject, float]:
    """Compiled, and the seconds of one call of each kind; the calls before it may compile and allocate."""
    subject = make()
    for _ in range(2):
        start = time.perf_counter()
        for kind in kinds:
            getattr(subject, kind)()
    return subject, time.perf_counter() - start  # pyright: ignore[reportPossiblyUnbound]


def _rounds(
    ready: dict[str, Subject], budget: Budget, repeats: int, kinds: tuple[str, ...]
) -> dict[str, dict[str, list[float]]]:
    """Seconds by contender and kind; as many rounds as there is time for, and after the first no more than a share."""
    seconds: dict[str, dict[str, list[float]]] = {who: {kind: [] for kind in kinds} for who in ready}
    took, begun = 0.0, budget.spent()
    for repeat in range(repeats):
        share_left = begun + SHARE * budget.seconds - budget.spent() if repeat else budget.left()
        if min(budget.left(), share_left) <= took:
            break
        began = time.monotonic()
        for who, subject in ready.items():
            for kind in kinds:
                start = time.perf_counter()
                getattr(subject, kind)()
                seconds[who][kind].append(time.perf_counter() - start)
        took = time.monotonic() - began
    return seconds
