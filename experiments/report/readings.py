"""What the sections of the page of results read from runs."""

from __future__ import annotations

from experiments.packed import Run
from experiments.report.tables import minutes, shown


def header(names: str) -> list[tuple[str, ...]]:
    """The first row of a table, from names that are separated by bars; the other rows are added to it."""
    return [tuple(names.split("|"))]


def command_of(runs: str) -> str:
    """The sentence that says how to carry out some runs."""
    return f"Command: `python -m experiments papers --data-dir FOLDER --only '{runs}'`."


def curve_of(run: Run, key: str) -> list[tuple[int, float]]:
    """A metric over a run: ``[(step, value)]``."""
    return [(line["step"], line[key]) for line in run["metrics"] if key in line]


def crossing(run: Run) -> int | None:
    """The first step whose loss is 2 % below that of a network without memory. None: there is no such step."""
    baseline = run["result"]["baseline"][1]
    return next((step for step, loss in curve_of(run, "train_loss") if loss < 0.98 * baseline), None)


def of_seeds(runs: dict[str, Run], prefix: str) -> list[Run]:
    """The runs of one kind, which differ in their seed: those whose names begin alike."""
    return [run for name, run in runs.items() if name.startswith(prefix)]


def honest_accuracy(run: Run) -> float:
    """Test accuracy at the best validation, or at the best test where no data were held out."""
    return (run["result"].get("selected") or run["result"]["best"])["test_accuracy"]


def percent(share: float) -> str:
    """A share in %, without the sign."""
    return shown(100 * share, ".2f")


def time_of(run: Run) -> str:
    """Minutes and seconds that a run took."""
    return minutes(float(run["timing"]["seconds"]) if run["timing"] else None)
