"""The cells, one family a file, and what builds larger cells from them.

| family             | cells                                                                          |
| ------------------ | ------------------------------------------------------------------------------ |
| vanilla            | `tanh_rnn`, `irnn`, `indrnn`                                                   |
| orthogonal         | `asrnn`, `orthogonal`, `scornn`, `exprnn`, `dtriv`, `urnn` (complex), `nnrnn`  |
| differential       | `antisymmetric`, `lipschitz`, `cornn`, `lem`                                   |
| gated              | `lstm`, `gru`, `mgu`, `min_gru`, `min_lstm`, `slstm`, `input_gated`, `surprisal` |
| linear state space | `lru`, `s5`, `s4d`, `s6`, `linoss`, `rg_lru`                                   |
| matrix state       | `mlstm`, `gated_delta`                                                         |
| window             | `attention`, `short_conv`                                                      |
| spiking            | `lif`, `alif`                                                                  |

Each factory takes ``inputs`` and ``hidden`` and returns an `asrnn_jax.Cell`; its docstring has the equation and the
source. `make` makes a cell by its name; `CELLS` is the table of all names. ``python -m experiments list`` prints
sizes and sources. The cells `min_gru`, `min_lstm`, `mlstm` and the linear state spaces are linear in the state, so an
associative scan can take them through time, with resets, masks and a start like any other: see `asrnn_jax.loop`.

**Cells are made of cells, and are cells again**: `stack`, `bidirectional`, `residual`, `with_input`, `with_output`,
`with_trained_start`. A deep LRU as in its paper, made small:

    >>> import jax, jax.numpy as jnp, asrnn_jax
    >>> from asrnn_jax import cells
    >>> blocks = [cells.residual(cells.lru(8, 16, outputs=8), dropout=0.1) for _ in range(2)]
    >>> model = cells.with_output(cells.with_input(cells.stack(blocks), 1), 10)
    >>> params = model.init(jax.random.key(0))
    >>> carry, ys = asrnn_jax.run(model, params, jnp.ones((2, 12, 1)), key=jax.random.key(1))  # a key turns dropout on
    >>> ys.shape
    (2, 12, 10)

**A cell of your own** is one file, one line in `CELLS` and one row in the tests: CONTRIBUTING.md has a skeleton to
copy.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from asrnn_jax.cell import Cell
from asrnn_jax.cells import checks
from asrnn_jax.cells.asrnn import asrnn
from asrnn_jax.cells.attention import attention
from asrnn_jax.cells.compose import bidirectional, residual, stack
from asrnn_jax.cells.convolution import short_conv
from asrnn_jax.cells.delta import gated_delta
from asrnn_jax.cells.differential import antisymmetric, cornn, lipschitz
from asrnn_jax.cells.feedback import input_gated, surprisal
from asrnn_jax.cells.gru import gru, mgu
from asrnn_jax.cells.lem import lem
from asrnn_jax.cells.linoss import linoss
from asrnn_jax.cells.lru import lru, rg_lru
from asrnn_jax.cells.lstm import lstm
from asrnn_jax.cells.minimal import min_gru, min_lstm
from asrnn_jax.cells.orthogonal import dtriv, exprnn, nnrnn, orthogonal, scornn
from asrnn_jax.cells.s4d import s4d
from asrnn_jax.cells.s5 import s5
from asrnn_jax.cells.selective import s6
from asrnn_jax.cells.spiking import alif, lif
from asrnn_jax.cells.unitary import urnn
from asrnn_jax.cells.vanilla import indrnn, irnn, tanh_rnn
from asrnn_jax.cells.wrappers import with_input, with_output, with_trained_start
from asrnn_jax.cells.xlstm import mlstm, slstm

__all__ = ["CELLS", "make", "network"]
__all__ += ["bidirectional", "residual", "stack", "with_input", "with_output", "with_trained_start"]
__all__ += ["indrnn", "irnn", "tanh_rnn"]
__all__ += ["asrnn", "dtriv", "exprnn", "nnrnn", "orthogonal", "scornn", "urnn"]
__all__ += ["antisymmetric", "cornn", "lem", "lipschitz"]
__all__ += ["gru", "input_gated", "lstm", "mgu", "min_gru", "min_lstm", "slstm", "surprisal"]
__all__ += ["linoss", "lru", "rg_lru", "s4d", "s5", "s6"]
__all__ += ["attention", "gated_delta", "mlstm", "short_conv"]
__all__ += ["alif", "lif"]

_residual = residual  # `network` has an argument of this name

_FAMILIES: tuple[tuple[Callable[..., Cell], ...], ...] = (
    (tanh_rnn, irnn, indrnn),
    (asrnn, orthogonal, scornn, exprnn, dtriv, urnn, nnrnn),
    (antisymmetric, lipschitz, cornn, lem),
    (lstm, gru, mgu, min_gru, min_lstm, surprisal, input_gated, slstm),
    (lru, s5, s4d, s6, linoss, rg_lru),
    (mlstm, gated_delta),
    (attention, short_conv),
    (lif, alif),
)
CELLS: dict[str, Callable[..., Cell]] = {factory.__name__: factory for family in _FAMILIES for factory in family}
"""Every cell by its name: what tests, adapters and experiments go by."""


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


def network(
    cell: str,
    inputs: int,
    hidden: int,
    outputs: int,
    *,
    options: Mapping[str, Any] | None = None,
    embedding: int | None = None,
    layers: int = 1,
    residual: bool = False,
    dropout: float = 0.0,
    trained_start: bool = False,
    convolution: int = 0,
    attention_every: int = 0,
) -> Cell:
    """A usual network by the name of its cell: layers of it and a linear output layer; again a cell.

    Args:
      cell: name in `CELLS`.
      inputs: I.
      hidden: H of each layer.
      outputs: O.
      options: the factory's options.
      embedding: width of a linear input layer; None: no such layer. Residual blocks have one of width `hidden`.
      layers: how many.
      residual: each layer in a residual block, see `residual`.
      dropout: of the residual blocks.
      trained_start: train the states that sequences start from.
      convolution: steps of a `short_conv` before the cell of each layer, as in Mamba's and xLSTM's blocks; 0: none.
      attention_every: a hybrid: each so many-th layer is `attention` in place of the cell; 0: none.

    Raises:
      ValueError: an unknown name, sizes below 1, an embedding with residual blocks, or what the factories raise.

    Example:
      >>> import asrnn_jax
      >>> asrnn_jax.cells.network("asrnn", 1, 122, 10, options={"a": 0.02, "b": 0.02}).outputs
      10
      >>> griffin = {"layers": 3, "residual": True, "convolution": 4, "attention_every": 3}
      >>> hybrid = asrnn_jax.cells.network("rg_lru", 1, 64, 10, **griffin)
      >>> hybrid.name.count("rg_lru"), hybrid.name.count("attention")
      (2, 1)
    """
    checks.sizes(layers=layers)
    for name, value in (("convolution", convolution), ("attention_every", attention_every)):
        if value < 0:
            raise ValueError(f"{name}={value}: give at least 1, or 0 for none.")
    if residual and embedding is not None:
        raise ValueError(f"embedding={embedding}: residual blocks have an input layer of width {hidden}; leave it out.")
    started = with_trained_start if trained_start else lambda one: one
    width = hidden if residual else embedding or inputs
    parts = []
    while len(parts) < layers:
        size = parts[-1].outputs if parts else width
        if attention_every and (len(parts) + 1) % attention_every == 0:
            one = started(attention(size, hidden))
        elif convolution:
            before = short_conv(size, hidden, width=convolution)
            one = stack([started(before), started(make(cell, hidden, hidden, **(options or {})))])
        else:
            one = started(make(cell, size, hidden, **(options or {})))
        parts.append(_residual(one, dropout=dropout) if residual else one)
    body = stack(parts) if layers > 1 or residual else parts[0]
    return with_output(with_input(body, inputs) if residual or embedding else body, outputs)
