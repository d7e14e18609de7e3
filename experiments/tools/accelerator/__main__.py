"""Laws and times on the accelerator of this machine: python -m experiments.tools.accelerator

Needs the library, jax and numpy alone and no network; flax and torch are compared with where they are installed. Ends
by itself within the budget and says what did not fit. Writes accelerator.json and accelerator.md, prints the page with
the table of times last, and ends with 1 where a law failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.errors import UsageError, unknown
from experiments.tools.accelerator import contenders, laws, measure
from experiments.tools.accelerator.budget import Budget
from experiments.tools.accelerator.contenders import Shape
from experiments.tools.accelerator.page import facts, page

SHAPES = ("784x128x122", "784x128x256", "1024x16x256", "16384x16x256")
STUDIED = ("784x128x122", "1024x16x256")
STUDY_CELLS = ("asrnn", "lstm", *contenders.CHUNKED)
TIMED = (*contenders.CELLS, *contenders.LINEAR, *contenders.CHUNKED, *contenders.GATED)
CELLS = tuple(dict.fromkeys((*TIMED, *laws.CELLS, *laws.OTHER_WAYS)))
LAWS_SHARE = 0.4  # of the budget, at most
GRACE = 30.0  # seconds past the budget after which a call that does not come back is given up


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        settings = _settings(arguments)
    except UsageError as e:
        print(e, file=sys.stderr)
        return 2
    # JAX takes its share of a GPU at the start and keeps it; the rest is for torch in the same process.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")
    jax.config.update("jax_enable_compilation_cache", False)  # compiling is timed
    budget = Budget(settings.budget)
    results: dict[str, Any] = {"facts": facts(), "seconds": 0.0, "stopped": "", "laws": [], "speed": [], "study": []}
    last_word = threading.Lock()

    def give_up():
        if last_word.acquire(blocking=False):
            results["stopped"] = f"Stopped {GRACE:.0f} s past the budget of {settings.budget:g} s: a call did not end."
            os._exit(_finish(results, budget, settings.out))

    timer = threading.Timer(settings.budget + GRACE, give_up)
    timer.daemon = True
    timer.start()
    _everything(results, budget, settings)
    last_word.acquire()  # never given back: of both ends only one writes
    timer.cancel()
    return _finish(results, budget, settings.out)


def _everything(results: dict[str, Any], budget: Budget, settings: argparse.Namespace) -> None:
    shapes = [Shape(*map(int, text.split("x"))) for text in settings.shapes]
    studied = [shape for shape in shapes if str(shape) in STUDIED] or shapes[:1]
    speed, study = _Plan(results["speed"], budget, settings), _Plan(results["study"], budget, settings)
    for shape in shapes:
        for name in TIMED:
            speed.add(name, shape, contenders.contenders(name, shape))
        for name in STUDY_CELLS if shape in studied else ():
            study.add(name, shape, contenders.variants(name, shape))
    print(f"laws on {results['facts']['device']}", flush=True)
    laws.check(results["laws"], Budget(LAWS_SHARE * settings.budget), settings.cells)
    for shape in studied:  # what matters most first, for what comes last may not fit
        speed.measure(shape)
    for shape in studied:
        study.measure(shape, ("train",))
    for shape in shapes:
        if shape not in studied:
            speed.measure(shape)


class _Plan:
    """Rows of a table in the order they are shown in, and how to fill them in, in any order."""

    def __init__(self, rows: list[dict[str, Any]], budget: Budget, settings: argparse.Namespace):
        self._rows, self._budget, self._settings = rows, budget, settings
        self._groups: list[tuple[Shape, str, list[dict[str, Any]], dict[str, Any]]] = []

    def add(self, name: str, shape: Shape, makers: dict[str, Any]) -> None:
        if name in self._settings.cells:
            rows = measure.planned(name, shape, makers)
            self._rows += rows
            self._groups.append((shape, name, rows, makers))

    def measure(self, shape: Shape, kinds: tuple[str, ...] = measure.KINDS) -> None:
        for where, name, rows, makers in self._groups:
            if where == shape:
                print(f"{self._budget.spent():4.0f} s: {shape} {name}", flush=True)
                measure.measure(rows, makers, shape, self._budget, self._settings.repeats, kinds)


def _finish(results: dict[str, Any], budget: Budget, out: str) -> int:
    """Writes and prints, and returns the exit code."""
    results |= {"facts": facts(), "seconds": budget.spent()}
    text = page(results)
    (Path(out) / "accelerator.json").write_text(json.dumps(results, indent=2) + "\n")
    (Path(out) / "accelerator.md").write_text(text + "\n")
    print(f"\n{text}", flush=True)
    return int(any(row["verdict"].startswith("FAILED") for row in results["laws"]))


def _settings(arguments: Sequence[str] | None) -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser("python -m experiments.tools.accelerator", description=__doc__.split("\n\n")[1])
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="TxBxN", help="steps x sequences x hidden units")
    parser.add_argument("--cells", nargs="+", default=CELLS, metavar="CELL", help=f"some of {', '.join(CELLS)}")
    parser.add_argument("--repeats", type=int, default=7, help="rounds that are timed")
    parser.add_argument("--budget", type=float, default=420.0, help="seconds for everything")
    parser.add_argument("--out", default="runs/accelerator", help="folder of accelerator.json and accelerator.md")
    settings = parser.parse_args(arguments)
    for text in settings.shapes:
        if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){2}", text):
            raise UsageError(f"--shapes {text}: give TxBxN, for example {SHAPES[0]}.")
    for name in settings.cells:
        if name not in CELLS:
            raise unknown("--cells", name, CELLS)
    if settings.repeats < 1:
        raise UsageError(f"--repeats {settings.repeats}: give at least 1.")
    if not 0 <= settings.budget <= 1e6:
        raise UsageError(f"--budget {settings.budget}: give seconds, 0 or more.")
    try:
        Path(settings.out).mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(f"--out {settings.out} cannot be written ({e.strerror}): give another folder.") from e
    return settings


if __name__ == "__main__":
    sys.exit(main())
