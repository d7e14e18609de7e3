"""Finished runs in one file, from which a page and its figures are made. It has no weights, and diffs well.

A run is one line, ``{"name": ..., "config": ..., "result": ...}``: the contents of the files in its folder, by the
files' names. The lines of its metrics.jsonl follow: their names, ``["step", "train_loss"]``, once for all lines that
have the same, and of each line the values, ``[10, 0.5]``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.errors import UsageError
from experiments.folder import placeless, read_json, read_metrics

Run = dict[str, Any]
OPTIONAL = {"result", "timing", "diverged"}


def read_run(folder: Path, name: str = "") -> Run:
    """Reads from a run folder what pages are made of; `name` is the folder's by default."""
    found = {key: folder / f"{key}.json" for key in ("result", "timing")}
    said = folder / "diverged.txt"
    return {
        "name": name or folder.name,
        "config": read_json(folder / "config.json"),
        **{key: read_json(file) if file.exists() else None for key, file in found.items()},
        "diverged": said.read_text() if said.exists() else None,
        "metrics": read_metrics(folder / "metrics.jsonl"),
    }


def portable(run: Run) -> Run:
    """A run without the folders of the machine that it ran on."""
    out = run["config"]["training"]["out"]
    said = run["diverged"] and run["diverged"].replace(out or run["name"], run["name"])
    return run | {"config": placeless(run["config"]), "diverged": said}


def write_runs(path: Path, runs: Iterable[Run]) -> None:
    """Writes the whole file or nothing. The same runs give the same bytes, whatever their order."""
    from asrnn_jax.saved import replacing  # with jax, which must not be imported before `machine.prepare`

    with replacing(path, "w") as file:
        for run in sorted(runs, key=lambda run: run["name"]):
            first = {key: value for key, value in run.items() if key != "metrics" and value is not None}
            file.write(json.dumps(first) + "\n")
            for names, lines in itertools.groupby(run["metrics"], list):
                rows = (names, *(list(line.values()) for line in lines))
                file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def read_runs(path: Path) -> dict[str, Run]:
    """Runs by name. No file, no runs.

    Raises:
      UsageError: a damaged line.
    """
    found: dict[str, Run] = {}
    names: list[str] = []
    lines = path.read_text().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
            if isinstance(value, dict):
                run: Run = value | {"metrics": []} | dict.fromkeys(OPTIONAL - value.keys())
                found[run["name"]] = run
                names = []
            elif isinstance(value[0], str):
                names = value
            else:
                run["metrics"].append(dict(zip(names, value, strict=True)))
        except (ValueError, TypeError, LookupError, NameError) as e:  # NameError: metrics before any run
            raise UsageError(f"{path}, line {number} is damaged ({e}): restore the file, or collect runs anew.") from e
    return found
