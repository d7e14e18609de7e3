"""The list of cells, and a short training of each."""

from __future__ import annotations

import inspect
import re
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

import asrnn_jax
from asrnn_jax.cells import CELLS
from experiments.config import Config, CopyMemory, Model, Optimizer, Pixels, Training
from experiments.errors import DivergedError, UsageError, unknown
from experiments.folder import begun, read_json
from experiments.report.tables import table
from experiments.tasks import make_task
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.steps import initial, make_step
from experiments.training.train import train


def list_cells() -> str:
    """The cells with family, size at n = 128 and one input, ways over time, and source."""
    rows = [("cell", "family", "parameters", "over time", "source")]
    for name, factory in CELLS.items():
        cell = factory(1, 128)
        params = jax.eval_shape(cell.init, jax.random.key(0))
        ways = {"sequential": True, "parallel": cell.elements, "chunked": cell.chunk}
        way = ", ".join(name for name, there in ways.items() if there)
        rows.append((name, family(name), f"{asrnn_jax.optim.count(params):,}", way, source(name)))
    return table(rows) + "\n\nparameters: n = 128, one input, no output layer"


def family(name: str) -> str:
    """The file a cell is in."""
    return CELLS[name].__module__.rsplit(".", 1)[-1]


def source(name: str) -> str:
    """The paper, from the factory's docstring."""
    found = re.search(r"Source: (.*?)\s*\Z", inspect.getdoc(CELLS[name]) or "", re.DOTALL)
    return " ".join(found[1].split()).rstrip(".") if found else "-"


@dataclass(frozen=True)
class Zoo:
    """Train every cell for a short while on copy memory (L = 100) and on digits, pixel by pixel, and write one table.

    Runs that are finished are kept, so that the command continues where it was stopped. Steps are timed at the end.
    """

    out: str = "runs/zoo"
    """Folder of the run folders and of zoo.md."""
    cells: tuple[str, ...] = ()
    """Names of cells. None: all."""
    copy_steps: int = 1500
    """Optimiser steps on copy memory."""
    epochs: int = 40
    """Epochs on digits."""

    def __post_init__(self):
        for name in self.cells:
            if name not in CELLS:
                raise unknown("--cells", name, CELLS)
        for name in ("copy_steps", "epochs"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: give at least 1.")


# What cells need beside the common recipe to be what their papers use: model fields for both tasks, and for digits.
DEEP = {"residual": True, "layers": 2, "hidden": 64}  # mixing between units is left to the layers
BOTH: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        ("min_gru", "min_lstm", "lru", "s5", "s4d", "s6", "linoss", "rg_lru", "mlstm", "gated_delta", "attention"), DEEP
    ),
    "indrnn": {**DEEP, "options": {"least": 0.95, "bound": 1.01}},
    "cornn": {
        "options": {"dt": 0.3, "gamma": 1.0, "epsilon": 1.0}
    },  # the paper's step is for 784 steps, not for 64 or 120
}
DIGITS: dict[str, dict[str, Any]] = {"surprisal": {"options": {"prediction": "gaussian"}}}


def recipes(config: Zoo, name: str) -> dict[str, Config]:
    """The two runs of a cell."""
    common = Optimizer("adam", lr=2e-3, lr_orthogonal=4e-4, clip=1.0)
    folder = Path(config.out)
    return {
        "copy": CopyMemory(
            delay=100,
            steps=config.copy_steps,
            model=Model(name, **{"hidden": 96, **BOTH.get(name, {})}),
            optim=common,
            training=Training(batch=64, log_every=20, checkpoint_every=500, out=str(folder / f"copy-{name}")),
        ),
        "digits": Pixels(
            epochs=config.epochs,
            model=Model(name, **{"hidden": 96, **BOTH.get(name, {}), **DIGITS.get(name, {})}),
            optim=common,
            training=Training(batch=64, log_every=5, checkpoint_every=500, out=str(folder / f"digits-{name}")),
        ),
    }


def zoo(config: Zoo) -> str:
    """Carries out the runs that are not finished and returns the table, which is also written to zoo.md."""
    chosen = {name: recipes(config, name) for name in config.cells or CELLS}
    results = {name: {task: _result(recipe) for task, recipe in each.items()} for name, each in chosen.items()}
    rows = [_row(name, each, results[name]) for name, each in tqdm(chosen.items(), "timing", unit="cell")]
    text = table([HEADER, *rows])
    about = ABOUT.format(steps=config.copy_steps, epochs=config.epochs)
    Path(config.out, "zoo.md").write_text(f"{about}\n{text}\n")
    return text


HEADER = (
    "cell",
    "network",
    "copy: parameters",
    "loss",
    "recalled",
    "ms/step",
    "digits: parameters",
    "accuracy",
    "ms/step",
)

ABOUT = """# Every cell trains

Copy memory, K = 10, L = 100: {steps:,} steps of batch 64. A network without memory has loss 0.173; recalled is the
share of the ten symbols, chance 12.5 %. Digits, pixel by pixel: best test accuracy in {epochs} epochs of batch 64.
Seed 0 and one recipe for all: Adam at 2e-3 (orthogonal matrices 4e-4), gradients clipped at norm 1. Times are medians
of training steps in one process on the CPU. The two blocks of attention see the last 63 steps and short_conv 4, so
neither can copy over 100.

    python -m experiments zoo
"""


def _result(recipe: Config) -> dict[str, Any] | None:
    """The result of a run, carried out if it is not finished; None where it diverged."""
    folder = Path(str(recipe.training.out))
    started = begun(folder, recipe)
    if (folder / "result.json").exists():
        return read_json(folder / "result.json")
    try:
        return train(replace(recipe, training=replace(recipe.training, resume=started)))
    except DivergedError as e:
        print(f"{folder}: {e}", file=sys.stderr)
        return None


def _milliseconds(recipe: Config, repeats: int = 15) -> float:
    """The median time of a training step, after two that compile and warm up."""
    task = make_task(recipe)
    cell, optimizer = make_model(recipe.model, task.inputs, task.outputs), make_optimizer(recipe.optim, task.steps)
    step, state, batch = make_step(recipe, task, cell, optimizer), initial(recipe, task, cell, optimizer), task.batch(0)
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        state, _ = jax.block_until_ready(step(state, batch))
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times[2:]))


def _row(name: str, recipes: dict[str, Config], results: dict[str, Any]) -> tuple[str, ...]:
    model = recipes["copy"].model
    cells = [name, f"{model.layers} residual x {model.hidden}" if model.residual else str(model.hidden)]
    for task, figures in (("copy", ("loss", "accuracy")), ("digits", ("accuracy",))):
        result = results.get(task)
        if result is None:
            cells += ["-", *("diverged" for _ in figures), "-"]
            continue
        cells.append(f"{result['parameters']:,}")
        for figure in figures:
            value = result["best"][f"test_{figure}"]
            cells.append(f"{value:.2g}" if figure == "loss" else f"{100 * value:.1f} %")
        cells.append(f"{_milliseconds(recipes[task]):.1f}")
    return tuple(cells)
