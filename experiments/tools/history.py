"""The speed of each release: a row of ratios to the matrix products alone, and what became slower.

    python -m experiments bench --against --out runs/bench            measures this version beside the limit
    python -m experiments.tools.history runs/bench/bench.json         compares it with the last release
    python -m experiments.tools.history runs/bench/bench.json --add   and adds its row
    python -m experiments.tools.history                               compares the last two releases

The limit is the time of the recurrent matrix products alone, measured in the same process, so that rows of different
machines can be compared roughly. What got 10 % slower or more is named, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.errors import UsageError

FILE = Path(__file__).parents[1] / "results" / "bench" / "history.csv"
FACTS = ("release", "date", "processor", "cores", "jax")
SLOWER = 1.10


def read(file: Path = FILE) -> list[dict[str, str]]:
    """The rows, oldest first."""
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def row(bench: dict[str, Any], date: str) -> dict[str, str]:
    """The row of a bench.json: what it was measured on, and for each shape and cell the ratio of ours to the limit."""
    machine = bench["machine"]
    ratios = {
        f"{line['shape']} {line['cell']}": f"{line['train_ours_over']:.3f}"
        for line in bench["rows"]
        if line["who"] == "limit" and line.get("outputs", "last") == "last"
    }
    if not ratios:
        raise UsageError("no row of the limit in this file: measure dense cells, as python -m experiments bench does.")
    facts = (machine["asrnn_jax"], date, machine["processor"], str(machine["cores"]), machine["jax"])
    return dict(zip(FACTS, facts)) | ratios


def slower(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """A line for each training step whose ratio to the matrix products grew by 10 % or more."""
    both = [name for name in after if name not in FACTS and before.get(name) and after[name]]
    return [
        f"{name}: {before[name]} of the limit in {before['release']}, {after[name]} now"
        for name in both
        if float(after[name]) >= SLOWER * float(before[name])
    ]


def write(rows: list[dict[str, str]], file: Path = FILE) -> None:
    """Writes all rows; a release that has no number for a column leaves it empty."""
    names = list(dict.fromkeys([*FACTS, *(name for line in rows for name in line)]))
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(arguments: Sequence[str] | None = None, file: Path = FILE) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser("python -m experiments.tools.history", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "bench", nargs="?", type=Path, help="bench.json of the version to compare with the last release"
    )
    parser.add_argument("--add", action="store_true", help="add its row to the history")
    settings = parser.parse_args(arguments)
    rows = read(file)
    if settings.bench is not None:
        date = datetime.date.today().isoformat()
        new = row(json.loads(settings.bench.read_text()), date)
        if settings.add:
            write([*(line for line in rows if line["release"] != new["release"]), new], file)
        rows = [*(line for line in rows if line["release"] != new["release"]), new]
    if len(rows) < 2:
        print(f"{len(rows)} release: nothing to compare with yet.")
        return 0
    before, after = rows[-2:]
    print(f"{after['release']} beside {before['release']}: ratios of a training step to its matrix products.")
    if any(before[name] != after[name] for name in ("processor", "cores", "jax")):
        print("They were measured on different machines or with different versions of jax: compare with care.")
    found = slower(before, after)
    print("\n".join(found) or "Nothing got 10 % slower.")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (UsageError, OSError) as e:
        sys.exit(f"error: {e}")
