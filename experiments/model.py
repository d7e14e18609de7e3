"""The network of every experiment: a recurrent cell with a linear output layer, which is again a cell."""

from __future__ import annotations

import inspect

import asrnn_jax
from asrnn_jax.cell import Cell
from asrnn_jax.cells import CELLS
from experiments.config import Model
from experiments.errors import UsageError, unknown


def make_model(model: Model, inputs: int, outputs: int) -> Cell:
    """The network of a config.

    Raises:
      UsageError: an unknown cell, an option the cell does not have, a value its factory refuses.
    """
    if model.cell not in CELLS:
        raise unknown("--cell", model.cell, CELLS)
    options = model.options()
    accepted = set(inspect.signature(CELLS[model.cell]).parameters)
    for name in options:
        if name not in accepted:
            raise UsageError(f"--{name.replace('_', '-')} is no option of cell {model.cell}: leave it out.")
    try:
        cell = asrnn_jax.cells.make(model.cell, inputs, model.hidden, **options)
    except (ValueError, TypeError) as e:
        raise UsageError(f"--cell {model.cell}: {e}") from e
    return asrnn_jax.cells.with_output(cell, outputs)
