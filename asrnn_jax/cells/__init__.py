"""The cells, one family a file. `CELLS` is the table that tests, adapters and experiments go by."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from asrnn_jax.cell import Cell
from asrnn_jax.cells.asrnn import asrnn
from asrnn_jax.cells.compose import bidirectional, residual, stack
from asrnn_jax.cells.differential import antisymmetric, cornn, lipschitz
from asrnn_jax.cells.feedback import input_gated, surprisal
from asrnn_jax.cells.gru import gru, mgu
from asrnn_jax.cells.lru import lru, rg_lru
from asrnn_jax.cells.lstm import lstm
from asrnn_jax.cells.minimal import min_gru, min_lstm
from asrnn_jax.cells.nonnormal import nnrnn
from asrnn_jax.cells.orthogonal import dtriv, exprnn, orthogonal, scornn
from asrnn_jax.cells.s5 import s5
from asrnn_jax.cells.spiking import alif, lif
from asrnn_jax.cells.unitary import urnn
from asrnn_jax.cells.vanilla import indrnn, irnn, tanh_rnn
from asrnn_jax.cells.wrappers import with_input, with_output, with_trained_start

__all__ = [
    "CELLS",
    "alif",
    "antisymmetric",
    "asrnn",
    "bidirectional",
    "cornn",
    "dtriv",
    "exprnn",
    "gru",
    "indrnn",
    "input_gated",
    "irnn",
    "lif",
    "lipschitz",
    "lru",
    "lstm",
    "make",
    "mgu",
    "min_gru",
    "min_lstm",
    "nnrnn",
    "orthogonal",
    "residual",
    "rg_lru",
    "s5",
    "scornn",
    "stack",
    "surprisal",
    "tanh_rnn",
    "urnn",
    "with_input",
    "with_output",
    "with_trained_start",
]

CELLS: dict[str, Callable[..., Cell]] = {
    "tanh_rnn": tanh_rnn,
    "irnn": irnn,
    "indrnn": indrnn,
    "asrnn": asrnn,
    "orthogonal": orthogonal,
    "scornn": scornn,
    "exprnn": exprnn,
    "dtriv": dtriv,
    "urnn": urnn,
    "nnrnn": nnrnn,
    "antisymmetric": antisymmetric,
    "lipschitz": lipschitz,
    "cornn": cornn,
    "lstm": lstm,
    "gru": gru,
    "mgu": mgu,
    "min_gru": min_gru,
    "min_lstm": min_lstm,
    "surprisal": surprisal,
    "input_gated": input_gated,
    "lru": lru,
    "s5": s5,
    "rg_lru": rg_lru,
    "lif": lif,
    "alif": alif,
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
