"""The cell that params of ours are of."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from asrnn_jax import cells
from asrnn_jax.cell import Cell


def cell_of(name: str, params: Mapping[str, jax.Array]) -> Cell:
    """The cell `name` with the sizes and the dtype of its params."""
    inputs, hidden = params["W_xh"].shape[0], params["W_hh"].shape[0]
    return cells.make(name, inputs, hidden, dtype=params["W_xh"].dtype)
