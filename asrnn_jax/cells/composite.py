"""Cells made of cells, and cells inside others: what stacks, blocks and wrappers are built with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Carry, Cell, Composition, Coordinates, Gradient, Params, PyTree, Training, Weights

Wrapped = Callable[[Weights, jax.Array], jax.Array]


def composite(
    name: str,
    cells: tuple[Cell, ...],
    sizes: tuple[int, int],
    init: Callable[[jax.Array], Params],
    prepare: Callable[[Params], Weights],
    weights_of: Callable[[Weights], tuple[Weights, ...]],
    apply_parts: Callable[..., tuple[Carry, jax.Array]],
    *,
    rebase: Callable[..., Params] | None = None,
    both_directions: bool = False,
    dropout: bool = False,
) -> Cell:
    """A cell made of `cells`, from one function that says how data go through them.

    ``apply_parts(run_part, weights, carry, xs, key) -> (carry, ys)`` calls
    ``run_part(cell, weights, carry, xs, key=None, reverse=False, top=False) -> (carry, ys)`` for each of its cells,
    with `top` for the one whose outputs follow no other cell's. There are three `run_part`: over a whole sequence
    (`asrnn_jax.run`: every cell with its own projection, fused gradient or parallel scan), one step, and reading out
    carries that are already there. So one definition serves all phases of the contract.

    Args:
      cells: the parts; the carry is a tuple with one of each.
      sizes: (I, O).
      weights_of: from the composite's weights, those of each part.
      apply_parts: as above. `key` is a PRNG key for dropout, None where there is none.
      rebase: see `Training`.
      both_directions, dropout: see `Composition`; also true where they are of one of the parts.
    """

    def each(function: str, weights: Weights, trees: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
        return tuple(getattr(cell, function)(w, tree) for cell, w, tree in zip(cells, weights_of(weights), trees))

    def start(weights, batch_shape=(), dtype=jnp.float32):
        return tuple(cell.start(w, batch_shape, dtype) for cell, w in zip(cells, weights_of(weights)))

    def one_step(cell, weights, carry, x, key=None, reverse=False, top=False):
        if reverse:
            raise ValueError(f"cell {name!r} runs in both directions and cannot take one step: use run.")
        carry = cell.step(weights, carry, cell.project(weights, x))
        return carry, cell.readout(weights, carry, x)

    def reading(cell, weights, carry, x, key=None, reverse=False, top=False):
        return carry, cell.readout(weights, carry, x)

    return Cell(
        name=name,
        inputs=sizes[0],
        hidden=sum(cell.hidden for cell in cells),
        outputs=sizes[1],
        init=init,
        prepare=prepare,
        initial_carry=lambda batch_shape=(), dtype=jnp.float32: tuple(
            c.initial_carry(batch_shape, dtype) for c in cells
        ),
        project=lambda weights, xs: xs,
        mix=lambda weights, carry: weights,
        update=lambda carry, z, a: apply_parts(one_step, a, carry, z, None)[0],
        readout=lambda weights, carries, xs: apply_parts(reading, weights, carries, xs, None)[1],
        gradient=Gradient(differentiable=all(cell.gradient.differentiable for cell in cells)),
        coordinates=Coordinates(partial(each, "to_state"), partial(each, "to_carry")),
        training=Training(start, rebase),
        composition=Composition(
            cells,
            apply_parts,
            both_directions or any(cell.both_directions for cell in cells),
            dropout or any(cell.dropout for cell in cells),
        ),
    )


def unchanged(weights: Weights, data: jax.Array) -> jax.Array:
    """What a wrapper does to inputs or outputs that it leaves alone."""
    return data


def within(cell: Cell, *, before: Wrapped = unchanged, after: Wrapped = unchanged) -> Cell:
    """A wrapper: the cell for weights that hold its own as ``weights.cell``, and for params that hold its own as
    ``params["cell"]``, with ``before(weights, xs)`` as its inputs and ``after(weights, ys)`` of its outputs. What is
    left to give is the name, the sizes, `init` and `prepare`."""
    elements: Any = cell.elements
    chunk: Any = cell.chunk

    def apply_parts(run_part, weights, carry, xs, key):
        carry, ys = run_part(cell, weights.cell, carry, before(weights, xs), key, top=True)
        return carry, after(weights, ys)

    def chunked(weights, carry, xs, steps):
        carry, ys = chunk(weights.cell, carry, before(weights, xs), steps)
        return carry, after(weights, ys)

    return cell.replace(
        project=lambda weights, xs: cell.project(weights.cell, before(weights, xs)),
        mix=lambda weights, carry: cell.mix(weights.cell, carry),
        readout=lambda weights, carries, xs: after(weights, cell.readout(weights.cell, carries, before(weights, xs))),
        coordinates=dataclasses.replace(
            cell.coordinates,
            to_state=lambda weights, carry: cell.to_state(weights.cell, carry),
            to_carry=lambda weights, state: cell.to_carry(weights.cell, state),
        ),
        training=Training(
            lambda weights, batch_shape=(), dtype=jnp.float32: cell.start(weights.cell, batch_shape, dtype),
            rebase_within(cell.training.rebase, "cell"),
        ),
        elements=None if elements is None else lambda weights, zs: elements(weights.cell, zs),
        chunk=None if chunk is None else chunked,
        composition=cell.composition and dataclasses.replace(cell.composition, apply_parts=apply_parts),
    )


def rebase_within(rebase: Callable[..., Params] | None, name: str) -> Callable[..., Params] | None:
    """`Training.rebase` for params that hold under `name` what `rebase` moves; None where nothing moves."""
    if rebase is None:
        return None
    return lambda params, project=False: {**params, name: rebase(params[name], project)}
