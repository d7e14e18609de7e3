"""The section of the recipes asrnn-stable: three sizes beside the paper, other cells and angles, and their parts."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from experiments.catalogue import RECIPE, recipe_name
from experiments.packed import Run
from experiments.report.readings import command_of, crossing, curve_of, header, honest_accuracy, of_seeds, percent
from experiments.report.tables import spread, table

PAPER = {  # asRNN's best test accuracy over 70 epochs, in %
    ("smnist", "16k"): 98.89,
    ("smnist", "69k"): 99.21,
    ("smnist", "137k"): 99.30,
    ("pmnist", "16k"): 95.41,
    ("pmnist", "69k"): 96.88,
    ("pmnist", "137k"): 96.96,
}
TASKS = {"smnist": "sequential MNIST", "pmnist": "permuted MNIST"}
RUNS = r"[sp]mnist-(stable|angles|peer)-"


def recommended(runs: dict[str, Run]) -> list[str]:
    """What the recipe reaches, beside other cells under the same recipe, and what each part of it is worth. No runs,
    no parts."""
    sizes = header("task|params|seeds that ended|test at the best validation|best test|paper, best test|minutes")
    for (task, size), paper in PAPER.items():
        found = _stable(runs, task, size)
        ended = [run for run in found if run["result"] is not None]
        if found:
            results = [run["result"] for run in ended]
            sizes.append(
                (
                    TASKS[task],
                    f"{results[0]['parameters']:,}" if results else size,
                    f"{len(ended)} of {len(found)}",
                    _range([100 * honest_accuracy(run) for run in ended]),
                    _range([100 * result["best"]["test_accuracy"] for result in results]),
                    f"{paper:.2f}",
                    _range([run["timing"]["seconds"] / 60 for run in ended], ".0f"),
                )
            )
    if len(sizes) == 1:
        return []
    return [
        "## The recommended recipe",
        "Test accuracy in %, mean of the seeds with their range. 30 epochs of 55,000 images; the other 5,000 choose "
        'the epoch of "test at the best validation". The paper has 70 epochs of 60,000 images and the best epoch on '
        f"the test set. Minutes are those of one or two CPU cores, or of an H200 for a part of the epochs. "
        f"{command_of('[sp]mnist-stable-*')}",
        table(sizes),
        *_copying(runs),
        *_others(runs),
        *_parts(runs),
    ]


def _stable(runs: dict[str, Run], task: str, size: str) -> list[Run]:
    pattern = rf"{task}-stable-{'' if size == '16k' else size + '-'}\d+$"
    return [run for name, run in runs.items() if re.match(pattern, name)]


def _range(values: Sequence[float], form: str = ".2f") -> str:
    if not values:
        return "-"
    mean = f"{np.mean(values):{form}}"
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


def _copying(runs: dict[str, Run]) -> list[str]:
    rows = header("copying, L|seeds that ended|2 % below the baseline at|loss at the end|best test")
    for delay in (1000, 2000):
        found = of_seeds(runs, f"stable-copy-{delay}-")
        ended = [run for run in found if run["result"] is not None]
        if found:
            crossings = ", ".join(str(crossing(run) or "never") for run in ended)
            losses = [curve_of(run, "train_loss")[-1][1] for run in ended]
            best = [run["result"]["best"]["test_loss"] for run in ended]
            counts = f"{len(ended)} of {len(found)}"
            rows.append((f"{delay:,}", counts, crossings, _range(losses, ".2g"), _range(best, ".2g")))
    if len(rows) == 1:
        return []
    text = "Copying memory for 1,500 iterations, with the rates of the paper and a D_f that is trained from 0.03 and "
    return [f"{text}bounded. Cross-entropy in nats. {command_of('stable-copy-*')}", table(rows)]


def _others(runs: dict[str, Run]) -> list[str]:
    """Other cells, and asRNN from other angles: one seed each."""
    abouts = {
        re.sub(RUNS, r"\1 ", name): None
        for name in runs
        if re.match(r"[sp]mnist-(angles|peer)-|[sp]mnist-stable-0$", name)
    }
    rows = header("with the recipe|" + "|".join(TASKS.values()))
    for about in abouts:
        kind, what = about.split(" ", 1)
        found = [runs.get(f"{task}-{kind}-{what}") for task in TASKS]
        label = {"stable": "asRNN", "angles": f"asRNN, angles {what}", "peer": what}[kind]
        rows.append((label, *("-" if run is None else _score(run) for run in found)))
    if len(rows) <= 2:
        return []
    text = (
        "Other cells with as many params, trained the same way (LSTM and LEM with Adam), and asRNN from other angles. "
    )
    return [text + "Test accuracy in % at the best validation, seed 0.", table(rows)]


def _score(run: Run) -> str:
    return "diverged" if run["result"] is None else percent(honest_accuracy(run))


def _parts(runs: dict[str, Run]) -> list[str]:
    rows = header("changed|seeds that ended|test")
    for about in RECIPE:
        found = of_seeds(runs, recipe_name(about, 0)[:-1])
        ended = [100 * honest_accuracy(run) for run in found if run["result"] is not None]
        if found:
            rows.append((about, f"{len(ended)} of {len(found)}", spread(ended, ".2f")))
    if len(rows) == 1:
        return []
    text = (
        "One part of the recipe changed: MNIST by rows, 10 epochs, test accuracy in % at the best validation, mean ± "
    )
    return [f"{text}standard deviation of the seeds. {command_of('recipe-*')}", table(rows)]
