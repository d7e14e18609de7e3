"""The table and the figure of finished runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.errors import UsageError
from experiments.packed import Run, read_run
from experiments.report.curves import learning_curves
from experiments.report.tables import minutes, table


@dataclass(frozen=True)
class Report:
    """Print a table of finished runs and draw their learning curves. Without run folders: write the page of results."""

    runs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Run folders. Without any, the page of results (README.md in --results) is made from runs.jsonl beside it."""
    figure: str = "report.png"
    """File for the figure of the named runs."""
    results: str = "experiments/results"
    """Folder of the page of results."""
    collect: str | None = None
    """Folder of run folders, for example runs/papers. Its finished runs are first added to runs.jsonl in --results."""


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
        from experiments.report.summary import RUNS, collect, summary

        if config.collect is not None:
            collect(Path(config.collect), Path(config.results) / RUNS)
        return summary(Path(config.results))
    finished = []
    for folder in folders:
        if not (folder / "config.json").exists():
            raise UsageError(f"{folder} is no run folder (no config.json): name run folders.")
        if (folder / "result.json").exists():
            finished.append(read_run(folder, str(folder)))
        else:
            print(f"{folder} is not finished and left out; --out {folder} --resume goes on with it", file=sys.stderr)
    if not finished:
        raise UsageError("report: none of these runs is finished.")
    rows = [row(run) for run in finished]
    learning_curves(finished, Path(config.figure))
    return table([HEADER, *rows]) + f"\n\nfigure: {config.figure}"


def row(run: Run) -> tuple[str, ...]:
    """One line of the table, as text."""
    result, timing = run["result"], run["timing"]
    try:
        seconds = float(timing["seconds"]) if timing else None
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
        raise UsageError(f"{run['name']}: its result is damaged ({type(e).__name__}: {e}).") from e


def _value(value: float, metric: str) -> str:
    return f"{100 * value:.2f} %" if metric == "accuracy" else f"{metric} {value:.3g}"
