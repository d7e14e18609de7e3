"""A cell with an input layer, an output layer or a trained start; each is again a cell."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.composite import within
from asrnn_jax.cells.dense import affine
from asrnn_jax.pairs import from_stacked, is_complex


class Layer(NamedTuple):
    cell: Any
    # behind: (O of the cell, O), or (H, O) with the cell's readout folded in; before: (I, I of the cell)
    kernel: jax.Array
    bias: jax.Array


def linear(weights: Layer, data: jax.Array) -> jax.Array:
    """What the layer makes of the cell's outputs, or of the inputs."""
    return affine(data, weights.kernel, weights.bias)


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
      TypeError: no cell. ValueError: outputs below 1.
    """
    checks.cell("cell", cell)

    def init(key):
        k_cell, k_out = jax.random.split(key)
        kernel = jax.nn.initializers.he_normal()(k_out, (cell.outputs, outputs), dtype)
        return {"cell": cell.init(k_cell), "output": {"kernel": kernel, "bias": jnp.zeros(outputs, dtype)}}

    def prepare(params):
        weights, kernel = cell.prepare(params["cell"]), params["output"]["kernel"]
        if cell.coordinates.linear_readout:
            eye = jnp.eye(cell.hidden, dtype=kernel.dtype)
            kernel = cell.readout(weights, eye, jnp.zeros((cell.hidden, cell.inputs), kernel.dtype)) @ kernel
        return Layer(weights, kernel, params["output"]["bias"])

    inner = within(cell, after=linear)
    if cell.coordinates.linear_readout:  # the kernel is of carries
        coordinates = dataclasses.replace(inner.coordinates, linear_readout=False)
        inner = inner.replace(readout=lambda weights, carries, xs: linear(weights, carries), coordinates=coordinates)
    return inner.replace(name=f"{cell.name} with output", outputs=outputs, init=init, prepare=prepare)


@factory
def with_input(cell: Cell, inputs: int, *, dtype=jnp.float32) -> Cell:
    """The cell with a linear layer before it, ``x_t K + bias``; again a cell.

    Args:
      cell: any cell.
      inputs: I.
      dtype: of the layer's params.

    Params: ``{"cell": the cell's, "input": {"kernel": (I, cell.inputs), "bias": (cell.inputs,)}}``; the kernel starts
    LeCun normal, the bias 0.

    Raises:
      TypeError: no cell. ValueError: inputs below 1.
    """
    checks.cell("cell", cell)

    def init(key):
        k_cell, k_in = jax.random.split(key)
        kernel = jax.nn.initializers.lecun_normal()(k_in, (inputs, cell.inputs), dtype)
        return {"cell": cell.init(k_cell), "input": {"kernel": kernel, "bias": jnp.zeros(cell.inputs, dtype)}}

    def prepare(params):
        return Layer(cell.prepare(params["cell"]), params["input"]["kernel"], params["input"]["bias"])

    inner = within(cell, before=linear)
    return inner.replace(name=f"{cell.name} with input", inputs=inputs, init=init, prepare=prepare)


class Started(NamedTuple):
    cell: Any
    start: Any  # the state a sequence starts from


@factory
def with_trained_start(cell: Cell, *, dtype=jnp.float32) -> Cell:
    """The cell with the state it starts from, and goes back to at a reset, among its params; again a cell.

    What is trained is the state h, not the carry. ``cell.initial_carry`` still returns zeros; the trained start is
    ``cell.start(weights, batch_shape, dtype)``, which `asrnn_jax.run` takes by itself, also at a reset. Where a carry
    is passed in there is no start, and no gradient of it: begin sequences without one, or by ``reset``.

    Args:
      cell: any cell that is not made of cells (wrap the parts of a stack instead).
      dtype: of the state.

    Params: ``{"cell": the cell's, "start": {"0": (H,), ...}}``, one entry a leaf of the state, complex ones with a last
    axis of real and imaginary part; they start at 0.

    Raises:
      TypeError: no cell. ValueError: a cell made of cells.
    """
    checks.cell("cell", cell)
    if cell.composition is not None:
        raise ValueError(f"cell={cell.name}: it is made of cells; give its parts a trained start each.")
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda: cell.initial_carry((), dtype)))

    def init(key):
        pair = [(2,) if is_complex(leaf) else () for leaf in leaves]
        start = {str(i): jnp.zeros((*leaf.shape, *p), dtype) for i, (leaf, p) in enumerate(zip(leaves, pair))}
        return {"cell": cell.init(key), "start": start}

    def prepare(params):
        start = [params["start"][str(i)] for i in range(len(leaves))]
        state = [from_stacked(s) if s.ndim > leaf.ndim else s for s, leaf in zip(start, leaves)]
        return Started(cell.prepare(params["cell"]), jax.tree.unflatten(structure, state))

    def start(weights, batch_shape=(), dtype=jnp.float32):
        carry = cell.to_carry(weights.cell, weights.start)
        kinds = jax.eval_shape(lambda: cell.initial_carry((), dtype))
        return jax.tree.map(lambda c, k: jnp.broadcast_to(c.astype(k.dtype), (*batch_shape, *c.shape)), carry, kinds)

    inner = within(cell)
    return inner.replace(
        name=f"{cell.name} with trained start",
        init=init,
        prepare=prepare,
        training=dataclasses.replace(inner.training, start=start),
        chunk=None,  # which starts from nothing
    )
