"""The cells, one family a file. `CELLS` is the table that tests, adapters and experiments go by."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from asrnn_jax.cell import Cell
from asrnn_jax.cells.asrnn import asrnn
from asrnn_jax.cells.lstm import lstm
from asrnn_jax.cells.orthogonal import orthogonal
from asrnn_jax.cells.output import with_output
from asrnn_jax.cells.tanh_rnn import tanh_rnn

__all__ = ["CELLS", "asrnn", "lstm", "make", "orthogonal", "tanh_rnn", "with_output"]

CELLS: dict[str, Callable[..., Cell]] = {
    "asrnn": asrnn,
    "tanh_rnn": tanh_rnn,
    "orthogonal": orthogonal,
    "lstm": lstm,
}


def make(name: str, inputs: int, hidden: int, **options) -> Cell:
    """The cell `name` of `CELLS`, made with its factory's options.

    Raises:
      ValueError: an unknown name (the message has near matches), or what the factory raises.
    """
    if name not in CELLS:
        near = difflib.get_close_matches(name, CELLS, n=3, cutoff=0.4)
        hint = f"perhaps you meant {' or '.join(near)}; " if near else ""
        raise ValueError(f"cell={name!r} is unknown: {hint}the cells are {', '.join(CELLS)}.")
    return CELLS[name](inputs, hidden, **options)
