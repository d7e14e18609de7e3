"""Time in blocks: how long they are, the scan over them, and arrays ``(T, *B, ...)`` as a block needs them."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from asrnn_jax import placement
from asrnn_jax.cell import Cell, PyTree

CPU_BLOCK_BYTES = 1 << 20  # what one block works on should stay in a second-level cache
CPU_ROWS = 64  # sequences with which the products of one step are efficient by themselves

ACCELERATOR_UNROLL = 8  # measured: experiments/results/bench/accelerator


def choose_unroll() -> int:
    """Steps a trip through the loop. On a GPU a step is about ten short kernels, and most of the time goes between."""
    return 1 if jax.default_backend() == "cpu" else ACCELERATOR_UNROLL


def choose_block(cell: Cell, weights, carry: PyTree, xs: jax.Array) -> Any:
    """Steps a block. On CPU one step of a large batch, whose loop then has no loop inside; of a small one what fits the
    cache (a divisor of the number of steps if one is near). Else all; so too where a size is not known, a symbolic
    dimension of `jax.export`."""
    steps = xs.shape[0]
    if jax.default_backend() != "cpu" or not all(isinstance(d, int) for d in xs.shape) or steps == 0:
        return max(steps, 1)
    if math.prod(xs.shape[1:-1]) >= CPU_ROWS:
        return 1

    keep = cell.gradient.keep

    def of_one_step(carry, x):
        z, a = cell.project(weights, x), cell.mix(weights, carry)
        return carry, z, a, keep(z, a) if keep else ()

    arrays = jax.tree.leaves(jax.eval_shape(of_one_step, carry, xs[0]))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in arrays)
    return even(steps, max(1, min(CPU_BLOCK_BYTES // max(size, 1), 256)))


def choose_chunk(cell: Cell, steps: int) -> int:
    """Steps that `Cell.chunk` takes at once."""
    return even(steps, cell.chunk_size if jax.default_backend() == "cpu" else cell.chunk_size_accelerator)


def even(steps: int, wanted: int) -> int:
    """A divisor of the number of steps if one is near `wanted`, else that."""
    divisors = [b for b in range(max(1, wanted // 2), 2 * wanted + 1) if steps % b == 0]
    return min(divisors, key=lambda b: abs(b - wanted), default=wanted)


def scan_blocks(f, init, xs, size: Any, reverse: bool, few: int = 1):
    """`lax.scan` with f taking a block of up to `size` steps at once. Up to `few` blocks are written out."""
    steps = jax.tree.leaves(xs)[0].shape[0]
    if not isinstance(steps, int) or steps <= size:  # a number of steps that is not known is taken as one block
        return f(init, xs)
    whole = steps // size

    def main(carry):
        split = jax.tree.map(lambda x: x[: whole * size].reshape(whole, size, *x.shape[1:]), xs)
        carry, ys = lax.scan(f, carry, split, reverse=reverse, unroll=whole if whole <= few else 1)
        return carry, jax.tree.map(lambda y: y.reshape(whole * size, *y.shape[2:]), ys)

    def rest(carry):
        return f(carry, jax.tree.map(lambda x: x[whole * size :], xs))

    if whole * size == steps:
        return main(init)
    carry, first = (rest if reverse else main)(init)
    carry, second = (main if reverse else rest)(carry)
    head, tail = (second, first) if reverse else (first, second)
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), head, tail)


def rematerialised(engine, segment: int):
    """An engine that keeps for the backward pass only the carry every `segment` steps and computes the rest again."""

    def in_segments(cell, options, weights, carry, fresh, xs, mask, reset):
        def over_segment(carry, inputs):
            return engine(cell, options, weights, carry, fresh, *inputs)

        checkpointed = jax.checkpoint(over_segment, prevent_cse=False)  # a scan already keeps it from being undone
        return scan_blocks(checkpointed, carry, (xs, mask, reset), segment, options.reverse)

    return in_segments


def by_row(f, xs: jax.Array):
    """A cell's function of weights and ``(T, *B, ...)`` arrays that takes them as rows: one matrix product each.

    On a CPU the gradients of products over several axes take a tenth longer. Axes that may be sharded stay apart.
    """
    if placement.may_be_sharded(xs):
        return f
    lead = xs.shape[:-1]

    def by_row(weights, *arrays):
        rows = jax.tree.map(lambda a: a.reshape(math.prod(lead), *a.shape[len(lead) :]), arrays)
        return jax.tree.map(lambda y: y.reshape(*lead, *y.shape[1:]), f(weights, *rows))

    return by_row


def carries_after(raw: PyTree, end: PyTree, reverse: bool) -> PyTree:
    """Carries after each step, from those entering each step and the last one."""

    def shift(r, e):
        return jnp.concatenate([e[None], r[:-1]] if reverse else [r[1:], e[None]]) if r.shape[0] else r

    return jax.tree.map(shift, raw, end)


def first_step(raw: PyTree, reverse: bool) -> PyTree:
    """Of arrays ``(T, ...)`` the step that a pass in this direction takes first; the other direction takes it last."""
    return jax.tree.map(lambda r: r[-1 if reverse else 0], raw)


def with_first(a: jax.Array, first: jax.Array, reverse: bool) -> jax.Array:
    """``a (T, ...)`` with another first step."""
    return jnp.concatenate([a[:-1], first[None]] if reverse else [first[None], a[1:]])
