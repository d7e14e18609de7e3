"""The table and the figure of finished runs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import tyro

from experiments import figures
from experiments.errors import UsageError
from experiments.folder import read_json


@dataclass(frozen=True)
class Report:
    """Print a table of finished runs and draw their learning curves; without run folders, write the page of results."""

    runs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Run folders. None: the page of results, README.md of --results, is made from its subfolder runs."""
    figure: str = "report.png"
    """Where the figure of the named runs goes."""
    results: str = "experiments/results"
    """Folder of the page of results."""
    collect: str | None = None
    """Folder of run folders, for example runs/papers, whose finished runs are copied to --results first."""


HEADER = (
    *("cell", "n", "parameters", "task", "best test", "at the best validation"),
    *("baseline", "epochs", "steps", "time"),
)


def report(config: Report) -> str:
    """Draws the figure and returns the table, or makes the page of results.

    Raises:
      UsageError: a folder that is no finished run, no finished runs.
    """
    folders = [Path(run) for run in config.runs]
    if not folders:
        from experiments.summary import collect, summary

        if config.collect is not None:
            collect(Path(config.collect), Path(config.results) / "runs")
        return summary(Path(config.results))
    finished = []
    for folder in folders:
        if not (folder / "config.json").exists():
            raise UsageError(f"{folder} is no run folder (no config.json): name run folders.")
        if (folder / "result.json").exists():
            finished.append(folder)
        else:
            print(f"{folder} is not finished and left out; --out {folder} --resume goes on with it", file=sys.stderr)
    if not finished:
        raise UsageError("report: none of these runs is finished.")
    rows = [row(read_json(folder / "result.json"), folder) for folder in finished]
    figures.learning_curves(finished, Path(config.figure))
    return table([HEADER, *rows]) + f"\n\nfigure: {config.figure}"


def row(result: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """One line of the table, as text."""
    timing = folder / "timing.json"
    try:
        seconds = float(read_json(timing)["seconds"]) if timing.exists() else None
        metric, baseline, selected = result["metric"], result["baseline"], result.get("selected")
        return (
            result["cell"],
            str(result["hidden"]),
            f"{result['parameters']:,}",
            result["task"],
            _value(result["best"][f"test_{metric}"], metric),
            _value(selected[f"test_{metric}"], metric) if selected else "-",
            _value(baseline[1], metric) if baseline else "-",
            str(result["epochs"] or "-"),
            f"{result['steps']:,}",
            minutes(seconds),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as e:
        raise UsageError(f"{folder}: its result is damaged ({type(e).__name__}: {e}).") from e


def minutes(seconds: float | None) -> str:
    """``12:05``"""
    return "-" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _value(value: float, metric: str) -> str:
    return f"{100 * value:.2f} %" if metric == "accuracy" else f"{metric} {value:.3g}"


def typed(name: str, settings: Any, positional: str = "") -> str:
    """What to type for a tool's result: every flag that is not at its default, without the folders of this machine."""
    words = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name == "out" or value == field.default:
            continue
        value = "FOLDER" if field.name == "data_dir" else value
        values = [str(part) for part in (value if isinstance(value, tuple) else (value,))]
        words += [] if field.name == positional else [f"--{field.name.replace('_', '-')}"]
        words += [without_folders(part) for part in values]
    return f"python -m experiments {shlex.join([name, *words])}"


def without_folders(value: str) -> str:
    """A path without the folders of this machine; every run has a best.npz, so that its folder is named too."""
    path = Path(value)
    if not path.is_absolute():
        return value
    return f"{path.parent.name}/{path.name}" if path.name == "best.npz" else path.name


def table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, as Markdown, so that it can be pasted."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(r, widths)) + " |" for r in rows]
    return "\n".join([lines[0], "| " + " | ".join("-" * w for w in widths) + " |", *lines[1:]])
