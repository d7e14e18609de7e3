"""A linear output layer, as part of a cell."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory, rebase_within
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import affine


class Weights(NamedTuple):
    cell: Any
    kernel: jax.Array  # (O of the cell, O), or (H, O) when the cell's own readout is folded into it
    bias: jax.Array  # (O,)


@factory
def with_output(cell: Cell, outputs: int, *, dtype=jnp.float32) -> Cell:
    """The cell with a linear layer behind it, ``y_t = readout_t K + bias``; again a cell.

    `asrnn_jax.run` then computes the O outputs block by block, and the H-wide sequence never exists. Where the
    cell's readout is itself a matrix (asRNN: ``W_f^{-1}``), both are multiplied once a call instead of every step.

    Args:
      cell: any cell.
      outputs: O.
      dtype: of the layer's params.

    Params: ``{"cell": the cell's, "output": {"kernel": (cell.outputs, O), "bias": (O,)}}``; the kernel starts He
    normal, the bias 0.

    Raises:
      ValueError: outputs below 1.
    """
    checks.sizes(outputs=outputs)

    def init(key):
        k_cell, k_out = jax.random.split(key)
        kernel = jax.nn.initializers.he_normal()(k_out, (cell.outputs, outputs), dtype)
        return {"cell": cell.init(k_cell), "output": {"kernel": kernel, "bias": jnp.zeros(outputs, dtype)}}

    def prepare(params):
        weights, kernel = cell.prepare(params["cell"]), params["output"]["kernel"]
        if cell.linear_readout:
            eye = jnp.eye(cell.hidden, dtype=kernel.dtype)
            with jax.default_matmul_precision("highest"):
                kernel = cell.readout(weights, eye, jnp.zeros((cell.hidden, cell.inputs), kernel.dtype)) @ kernel
        return Weights(weights, kernel, params["output"]["bias"])

    def readout(weights, carries, xs):
        ys = carries if cell.linear_readout else cell.readout(weights.cell, carries, xs)
        return affine(ys, weights.kernel, weights.bias)

    return cell._replace(
        name=f"{cell.name} with output",
        outputs=outputs,
        init=init,
        prepare=prepare,
        project=lambda weights, xs: cell.project(weights.cell, xs),
        mix=lambda weights, carry: cell.mix(weights.cell, carry),
        readout=readout,
        linear_readout=False,
        to_state=lambda weights, carry: cell.to_state(weights.cell, carry),
        to_carry=lambda weights, state: cell.to_carry(weights.cell, state),
        rebase=rebase_within(cell.rebase, "cell"),
    )
