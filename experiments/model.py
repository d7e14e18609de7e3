"""The network of every experiment: a recurrent cell and a linear output layer, as pure functions."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp

import asrnn_jax
from asrnn_jax.cell import Cell
from asrnn_jax.cells import CELLS
from experiments.config import Model
from experiments.errors import UsageError, unknown


def make_cell(model: Model, inputs: int) -> Cell:
    """The cell of a config.

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
        return asrnn_jax.cells.make(model.cell, inputs, model.hidden, **options)
    except (ValueError, TypeError) as e:
        raise UsageError(f"--cell {model.cell}: {e}") from e


def init(cell: Cell, outputs: int, key: jax.Array) -> dict[str, Any]:
    """``{"cell": ..., "output": {"kernel": (H, O), "bias": (O,)}}``; the output layer starts He normal, bias 0."""
    k_cell, k_out = jax.random.split(key)
    kernel = jax.nn.initializers.he_normal()(k_out, (cell.outputs, outputs), jnp.float32)
    return {"cell": cell.init(k_cell), "output": {"kernel": kernel, "bias": jnp.zeros(outputs)}}


def apply(cell: Cell, params: dict[str, Any], xs: jax.Array, outputs: Any = "all") -> jax.Array:
    """Logits ``(B, T, O)`` for inputs ``(B, T, I)``, or ``(B, O)`` of the last step."""
    _, ys = asrnn_jax.run(cell, params["cell"], xs, outputs=outputs)
    return ys @ params["output"]["kernel"] + params["output"]["bias"]
