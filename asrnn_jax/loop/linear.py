"""Linear cells in all steps at once, by an associative scan."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from asrnn_jax.cell import Cell
from asrnn_jax.loop.blocks import by_row, first_step, with_first
from asrnn_jax.loop.forward import Options, read
from asrnn_jax.loop.masks import finite, where, zeros_where


def associative_scan(cell: Cell, options: Options, weights, carry, fresh, xs, mask, reset):
    """For a linear cell, in about 2 log2(T) parallel stages: ``-> (end, ys | None)``.

    A masked step becomes the element (1, 0); the start goes into the first drive, and the fresh one into that of a
    reset.
    """
    elements: Any = cell.elements
    decays, drives = elements(weights, by_row(cell.project, xs)(weights, xs))
    if mask is not None:
        decays = where(mask, decays, jax.tree.map(jnp.ones_like, decays))
        drives = where(mask, drives, jax.tree.map(jnp.zeros_like, drives))

    def applied(decays, drives, carry):
        return jax.tree.map(lambda a, b, c: b + a * jnp.broadcast_to(c, a.shape), decays, drives, carry)

    if reset is not None:
        drives = where(reset, applied(decays, drives, fresh), drives)
        decays = zeros_where(reset, decays)
    at = partial(first_step, reverse=options.reverse)
    begun = applied(at(decays), at(drives), carry)
    drives = jax.tree.map(lambda d, b: with_first(d, b, options.reverse), drives, begun)
    carries = linear_scan(options.reverse, decays, drives, reset)
    ys = read(cell, weights, carries, xs, reset) if options.readout else None
    return first_step(carries, not options.reverse), ys


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def linear_scan(reverse: bool, decays, drives, reset):
    """``c_t = decay_t c_{t-1} + drive_t`` from ``c_0 = 0``, by an associative scan over the first axis.

    At a reset, where the decay is 0, what was before is left out: 0 times an infinite state would be NaN. Its
    derivative is again such a scan, over finite numbers only.
    """

    def combine(first, second):
        (a, b, _), (c, d, begins) = first, second
        if begins is not None:
            a, b = zeros_where(begins, (a, b))
        return (*_then((a, b), (c, d)), None if begins is None else first[2] | begins)

    return lax.associative_scan(combine, (decays, drives, reset), reverse=reverse)[1]


@linear_scan.defjvp
def _linear_scan_jvp(reverse, primals, tangents):
    decays, drives, reset = primals
    carries = linear_scan(reverse, decays, drives, reset)
    before = jax.tree.map(lambda c: jnp.roll(c, -1 if reverse else 1, axis=0), carries)
    before = jax.tree.map(lambda c: with_first(c, jnp.zeros_like(c[0]), reverse), before)
    bad = jnp.zeros((), bool)
    if reset is not None:
        before = zeros_where(reset, before)
        bad = ~finite((carries, before), reset.ndim)
        before = zeros_where(bad, before)
    moved = zeros_where(bad, jax.tree.map(lambda da, c, db: da * c + db, tangents[0], before, tangents[1]))
    return carries, lax.associative_scan(_then, (decays, moved), reverse=reverse)[1]


def _then(first, second):
    """Two linear elements ``(decay, drive)``, one after the other."""
    (a, b), (c, d) = first, second
    return jax.tree.map(jnp.multiply, c, a), jax.tree.map(lambda c, b, d: c * b + d, c, b, d)
