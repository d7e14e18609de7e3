"""Cells made of cells, and cells inside others: what stacks, blocks and wrappers are built with."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Params, PyTree, Weights


def composite(
    name: str,
    cells: tuple[Cell, ...],
    sizes: tuple[int, int],
    init: Callable[[jax.Array], Params],
    prepare: Callable[[Params], Weights],
    weights_of: Callable[[Weights], tuple[Weights, ...]],
    apply_parts: Callable[..., tuple[PyTree, jax.Array]],
    rebase: Callable[..., Params] | None = None,
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
    """

    def each(function: str, weights: Weights, trees: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
        return tuple(getattr(cell, function)(w, tree) for cell, w, tree in zip(cells, weights_of(weights), trees))

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
        to_state=lambda weights, carry: each("to_state", weights, carry),
        to_carry=lambda weights, state: each("to_carry", weights, state),
        rebase=rebase,
        trained_start=lambda weights, batch_shape=(), dtype=jnp.float32: tuple(
            cell.start(w, batch_shape, dtype) for cell, w in zip(cells, weights_of(weights))
        ),
        apply_parts=apply_parts,
        parts=cells,
        differentiable=all(cell.differentiable for cell in cells),
        both_directions=any(cell.both_directions for cell in cells),
        dropout=any(cell.dropout for cell in cells),
    )


def within(cell: Cell, inner: Callable[[Weights], Weights]) -> Cell:
    """The cell with all its functions taking weights that hold its own as ``inner(weights)``; for wrappers."""
    elements, apply_parts = cell.elements, cell.apply_parts
    return cell.replace(
        project=lambda weights, xs: cell.project(inner(weights), xs),
        mix=lambda weights, carry: cell.mix(inner(weights), carry),
        readout=lambda weights, carries, xs: cell.readout(inner(weights), carries, xs),
        to_state=lambda weights, carry: cell.to_state(inner(weights), carry),
        to_carry=lambda weights, state: cell.to_carry(inner(weights), state),
        trained_start=lambda weights, batch_shape=(), dtype=jnp.float32: cell.start(inner(weights), batch_shape, dtype),
        elements=None if elements is None else lambda weights, zs: elements(inner(weights), zs),
        apply_parts=None
        if apply_parts is None
        else lambda run_part, weights, carry, xs, key: apply_parts(run_part, inner(weights), carry, xs, key),
    )


def rebase_within(rebase: Callable[..., Params] | None, name: str) -> Callable[..., Params] | None:
    """`Cell.rebase` for params that hold under `name` what `rebase` moves; None where nothing moves."""
    if rebase is None:
        return None
    return lambda params, project=False: {**params, name: rebase(params[name], project)}
