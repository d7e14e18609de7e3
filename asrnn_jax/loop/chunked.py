"""Cells that can take many steps at once, in chunks of time: windows of attention, matrix states."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from asrnn_jax.cell import Cell, PyTree
from asrnn_jax.loop.blocks import choose_block, scan_blocks
from asrnn_jax.loop.forward import Options, autodiff

FEW = 4
"""Chunks that are written out one after the other: a loop of two or four took 1.2 to 1.6 times as long on a CPU."""


class Steps(NamedTuple):
    """What `Cell.chunk` is to know of the steps of a chunk besides their inputs."""

    valid: jax.Array
    """bool ``(T, *B)``: False where the carry is held."""
    sequence: jax.Array
    """int ``(T, *B)``: number of the sequence of a step: 0 up to the first reset of the chunk, then 1, ..."""
    whole: bool
    """Known when JAX traces: no step is masked and there is no reset, so `valid` and `sequence` need no look."""


def chunked(cell: Cell, options: Options, weights, carry: PyTree, fresh: PyTree, xs: jax.Array, mask: Any, reset: Any):
    """As `autodiff`, chunk by chunk: ``-> (end, ys | None)``.

    In a product over many steps an overflow before a reset would reach what comes after it, as 0 times infinity. With
    resets, numbers so large that this could be are taken step by step.
    """
    if reset is None:
        return _chunked(cell, options, weights, carry, fresh, xs, mask, reset)
    block = choose_block(cell, weights, fresh, xs)
    at_once = partial(_chunked, cell, options)
    one_by_one = partial(autodiff, cell, options._replace(block=block, contain=True))
    moderate = _moderate((carry, xs, cell.project(weights, xs)))
    return lax.cond(moderate, at_once, one_by_one, weights, carry, fresh, xs, mask, reset)


def _moderate(tree: PyTree) -> jax.Array:
    """Whether products of four of these numbers are far from an overflow."""
    found = [jnp.abs(leaf).max(initial=0) < float(jnp.finfo(leaf.dtype).max) ** 0.25 for leaf in jax.tree.leaves(tree)]
    return lax.stop_gradient(jnp.stack(found).all())


def _chunked(cell: Cell, options: Options, weights, carry, fresh, xs, mask, reset):
    chunk: Any = cell.chunk
    whole = mask is None and reset is None
    valid = jnp.ones_like(xs[..., 0], bool) if mask is None else mask  # "like": on the same devices
    reset = jnp.zeros_like(xs[..., 0], bool) if reset is None else reset
    if options.reverse:
        xs, valid, reset = (jnp.flip(a, 0) for a in (xs, valid, reset))

    def over_chunk(carry, inputs):
        xs, valid, reset = inputs
        end, ys = chunk(weights, carry, xs, Steps(valid, jnp.cumsum(reset.astype(jnp.int32), axis=0), whole))
        return jax.tree.map(lambda e, c: e.astype(c.dtype), end, carry), ys if options.readout else None

    end, ys = scan_blocks(over_chunk, carry, (xs, valid, reset), options.block, False, FEW)
    return end, jnp.flip(ys, 0) if options.reverse and options.readout else ys
