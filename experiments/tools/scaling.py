"""Speed with more devices: bytes exchanged in a step, times on the devices here, a prediction for accelerators."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

import asrnn_jax
from experiments.config import CopyMemory, Model, Training
from experiments.errors import UsageError, unknown
from experiments.folder import made, write_json
from experiments.report.tables import table, typed
from experiments.tasks import make_task
from experiments.tools.timing import interleaved
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.steps import exchanged, initial, make_step

# n for 16,000, 69,000 and 137,000 params on pixels, as in the paper's tables
SIZES = {"asrnn": (122, 257, 364), "gru": (74,), "lstm": (64, 128)}
ACCELERATORS = (8, 64, 1024)


@dataclass(frozen=True)
class Scaling:
    """Count the bytes that devices exchange in a training step, and predict what many accelerators give."""

    cells: tuple[str, ...] = tuple(SIZES)
    """Cells, by name."""
    steps: int = 784
    """Length of the sequences."""
    batch: int = 128
    """Sequences in a step: of all devices together where it is measured, of each device where it is predicted."""
    repeats: int = 7
    """Number of timed steps for each network and number of devices."""
    gigabytes: float = 50.0
    """Prediction: GB/s that a device can send to the next one, over the slowest link."""
    microseconds: float = 10.0
    """Prediction: delay of one message over that link."""
    step_ms: tuple[float, ...] = (100.0, 10.0, 1.0)
    """Prediction: milliseconds that one accelerator takes for its own batch."""
    out: str = "runs/scaling"
    """Folder of scaling.json and scaling.md."""

    def __post_init__(self):
        for name in self.cells:
            if name not in SIZES:
                raise unknown("--cells", name, SIZES)
        for name in ("steps", "batch", "repeats", "gigabytes", "microseconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"--{name} {getattr(self, name)}: give a number above 0.")
        for value in self.step_ms:
            if not value > 0:
                raise UsageError(f"--step-ms {value}: give numbers above 0.")


def scaling(settings: Scaling) -> str:
    """Measures, predicts, writes the results and returns the tables."""
    out = made(settings.out)
    devices = [d for d in (1, 2, 4, 8) if d <= jax.device_count() and settings.batch % d == 0]
    found = [_measured(settings, cell, n, devices) for cell in settings.cells for n in SIZES[cell]]
    machine = f"{jax.default_backend()}, {platform.machine()}, {os.cpu_count()} cores, JAX {jax.__version__}"
    measured = {"machine": machine, "networks": found}
    write_json(out / "scaling.json", measured)
    text = page(settings, measured)
    (out / "scaling.md").write_text(f"# More devices\n\n    {typed('scaling', settings)}\n\n{text}\n")
    return text


def page(settings: Scaling, measured: dict[str, Any]) -> str:
    """The tables, from what is in scaling.json."""
    found = measured["networks"]
    return "\n\n".join(
        (
            f"Measured: {measured['machine']}; sequences of {settings.steps} steps, {settings.batch} of them a step.",
            table(_measurements(found)),
            f"Predicted, not measured: each accelerator with {settings.batch} sequences of its own, gradients added up "
            f"along a ring or a tree, whichever takes less time; links of {settings.gigabytes:g} GB/s with a delay of "
            f"{settings.microseconds:g} microseconds. Share of perfect scaling, by the milliseconds that an "
            "accelerator takes for its own part:",
            table(_predictions(settings, found)),
        )
    )


def _measured(settings: Scaling, name: str, hidden: int, devices: list[int]) -> dict[str, Any]:
    symbols = 10
    config = CopyMemory(
        delay=settings.steps - 2 * symbols,
        symbols=symbols,
        model=Model(name, hidden),
        training=Training(batch=settings.batch),
    )
    calls, about = {}, {}
    for number in devices:
        calls[number], about = _step(replace(config, training=replace(config.training, devices=number)))
    seconds = {str(d): float(np.median(times)) for d, times in interleaved(calls, settings.repeats, 2).items()}
    return {"cell": name, "hidden": hidden, "seconds": seconds, **about}


def _step(config: CopyMemory) -> tuple[Any, dict[str, int]]:
    """A training step to call, the number of params, and the bytes that each of several devices would exchange."""
    task = make_task(config)
    cell = make_model(config.model, task.inputs, task.outputs)
    optimizer = make_optimizer(config.optim, task.steps)
    state, batch = initial(config, task, cell, optimizer), task.batch(0)
    about = {"parameters": asrnn_jax.optim.count(state.params), "exchanged": exchanged(state, devices=2)}
    compiled = make_step(config, task, cell, optimizer, config.training.devices).compiled(state, batch)
    holder = [state]

    def call():  # the state is given away at each step
        holder[0], _ = jax.block_until_ready(compiled(holder[0], batch))

    return call, about


def _measurements(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    devices = list(found[0]["seconds"])
    columns = [f"ms on {d} device{'s' * (d != '1')}" for d in devices]
    rows = [("cell", "n", "parameters", "kB exchanged a step", *columns, "speed-up")]
    for one in found:
        seconds = one["seconds"]
        rows.append(
            (
                one["cell"],
                str(one["hidden"]),
                f"{one['parameters']:,}",
                f"{one['exchanged'] / 1e3:.1f}",
                *(f"{1e3 * seconds[d]:.0f}" for d in devices),
                f"{seconds['1'] / seconds[devices[-1]]:.2f}",
            )
        )
    return rows


def _predictions(settings: Scaling, found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    exchange = partial(exchange_seconds, bandwidth=1e9 * settings.gigabytes, delay=1e-6 * settings.microseconds)
    rows = [("cell", "n", "accelerators", "exchange, microseconds", *(f"{ms:g} ms" for ms in settings.step_ms))]
    for one in found:
        size = one["exchanged"]
        for number in ACCELERATORS:
            seconds = exchange(size, number)
            shares = (f"{ms / (ms + 1e3 * seconds):.1%}" for ms in settings.step_ms)
            rows.append((one["cell"], str(one["hidden"]), f"{number:,}", f"{1e6 * seconds:.0f}", *shares))
    return rows


def exchange_seconds(size: int, devices: int, bandwidth: float, delay: float) -> float:
    """Time to add up `size` bytes among devices: the better of a ring and of a tree there and back.

    A ring takes ``2 (N - 1)`` messages of ``size / N``, a tree ``2 ceil(log2 N)`` of the whole.
    """
    if devices == 1:
        return 0.0
    ring = 2 * (devices - 1) * (delay + size / devices / bandwidth)
    tree = 2 * math.ceil(math.log2(devices)) * (delay + size / bandwidth)
    return min(ring, tree)
