"""The loop forward: blocks of steps, and an overflow kept to its step where JAX differentiates it."""

from __future__ import annotations

from typing import Any, NamedTuple

from jax import lax

from asrnn_jax.cell import Cell
from asrnn_jax.loop.blocks import by_row, carries_after, scan_blocks
from asrnn_jax.loop.masks import finite, where, where_reset, where_valid, zeros_where


class Options(NamedTuple):
    """What an engine, such as `autodiff`, is asked for."""

    readout: bool  # compute ys for every step
    reverse: bool
    block: Any  # steps a block, an int or a symbolic dimension
    unroll: int = 1  # steps a trip through the loop
    keep: bool = False  # also return the residuals of the backward pass: the carry entering each step, `Gradient.keep`
    contain: bool = False  # for autodiff with resets: derivatives of steps that overflow are 0, see `_contained`


def autodiff(cell: Cell, options: Options, weights, carry, fresh, xs, mask, reset):
    """The loop as JAX differentiates it: ``-> (end, ys | None)``."""
    return forward(cell, options, weights, carry, fresh, xs, mask, reset)[:2]


def forward(cell: Cell, options: Options, weights, carry, fresh, xs, mask, reset):
    """``-> (end, ys | None, (raw, kept) | None)``; ``raw[t]`` is the carry entering step t, before a reset."""

    contain, keep = options.contain and reset is not None, cell.gradient.keep

    def body(carry, inputs):
        z, valid, afresh = inputs
        start = where_reset(afresh, fresh, carry)
        if contain:
            return where_valid(valid, _contained(cell, weights, start, z, afresh.ndim), start), (carry, None)
        a = cell.mix(weights, start)
        kept = keep(z, a) if options.keep and keep else None
        return where_valid(valid, cell.update(start, z, a), start), (carry, kept)

    def over_block(carry, inputs):
        xs, mask, reset = inputs
        zs = by_row(cell.project, xs)(weights, xs)
        end, (raw, kept) = lax.scan(body, carry, (zs, mask, reset), reverse=options.reverse, unroll=options.unroll)
        ys = None
        if options.readout:
            ys = read(cell, weights, carries_after(raw, end, options.reverse), xs, reset if contain else None)
        return end, (ys, (raw, kept) if options.keep else None)

    end, (ys, residuals) = scan_blocks(over_block, carry, (xs, mask, reset), options.block, options.reverse)
    return end, ys, residuals


def _contained(cell: Cell, weights, start, z, axes: int):
    """A step that keeps an overflow to itself: its value is what it is, its derivative 0 where that is not finite.

    A loss after the next reset has the cotangent 0 here, but 0 times an infinite value would be NaN.
    """
    tried = cell.step(*lax.stop_gradient((weights, start, z)))
    bad = ~finite((start, tried), axes)
    return where(bad, tried, cell.step(weights, zeros_where(bad, start), zeros_where(bad, z)))


def read(cell: Cell, weights, carries, xs, reset):
    """All outputs; with resets, those of carries that are not finite have no derivative, see `_contained`."""
    readout = by_row(cell.readout, xs)
    ys = readout(weights, carries, xs)
    if reset is None:
        return ys
    bad = ~finite(carries, reset.ndim)
    return where(bad, lax.stop_gradient(ys), readout(weights, zeros_where(bad, carries), xs))
