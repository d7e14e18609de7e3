"""The loop with the fused gradient: the gradient of each weight is one product over many steps."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from asrnn_jax.cell import Cell, PyTree
from asrnn_jax.dtypes import at_least_float32
from asrnn_jax.loop.blocks import by_row, carries_after, first_step, scan_blocks
from asrnn_jax.loop.forward import Options, autodiff, forward
from asrnn_jax.loop.masks import finite, where, where_reset, where_valid, zeros_where


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def fused(cell: Cell, options: Options, weights, carry, fresh, xs, mask, reset):
    """As `autodiff`, with a gradient of its own, which has no forward mode: JAX raises TypeError for a custom_vjp."""
    return autodiff(cell, options, weights, carry, fresh, xs, mask, reset)


def _fused_fwd(cell, options, weights, carry, fresh, xs, mask, reset):
    end, ys, kept = forward(cell, options._replace(keep=True), weights, carry, fresh, xs, mask, reset)
    return (end, ys), (weights, fresh, end, kept, xs, mask, reset)


def _fused_bwd(cell, options, residuals, cotangents):
    """With a_t = mix(W, c_{t-1}) and c_t = update(c_{t-1}, z_t, a_t):

    dc_{t-1} = d_update/dc_{t-1} + (dmix/dc)^T da_t        in the loop
    dW       = sum_t (dmix/dW)^T da_t                      after it: one product over time and batch
    """
    weights, fresh, end, kept, xs, mask, reset = residuals
    d_end, d_ys = cotangents
    pullback = cell.gradient.pullback or (lambda prev, carry, kept, ct: jax.vjp(cell.update, prev, *kept)[1](ct))
    zeros = partial(jax.tree.map, jnp.zeros_like)

    def over_block(state, inputs):
        d_carry, end, d_fresh, d_weights = state
        (raw, kept), xs, mask, reset, d_ys = inputs
        prev, after = where_reset(reset, fresh, raw), carries_after(raw, end, options.reverse)
        bad = None
        if reset is not None:  # an overflow goes no further than the next reset, see `_contained`
            bad = ~finite((prev, after), reset.ndim)
            prev, after, kept, xs, d_ys = zeros_where(bad, (prev, after, kept, xs, d_ys))
        zs, project_vjp = jax.vjp(by_row(cell.project, xs), weights, xs)
        a, mix_vjp = jax.vjp(lambda w: by_row(cell.mix, xs)(w, prev), weights)
        d_after = d_xs = None
        if options.readout:
            _, readout_vjp = jax.vjp(by_row(cell.readout, xs), weights, after, xs)
            d_w, d_after, d_xs = readout_vjp(d_ys)
            d_weights = _into(d_weights, d_w)
        same: list[int] = []

        def body(state, inputs):
            d_carry, d_fresh = state
            prev, after, kept, valid, afresh, bad, d_after = inputs
            total = d_carry if d_after is None else _add(d_carry, d_after)
            total = total if bad is None else zeros_where(bad, total)
            d_prev, d_z, d_a = pullback(prev, after, kept, where_valid(valid, total, zeros(total)))
            d_prev = _add(d_prev, jax.vjp(lambda c: cell.mix(weights, c), prev)[1](d_a)[0])
            if valid is not None:
                d_prev = _add(d_prev, where(valid, zeros(total), total))
            if afresh is not None:
                d_fresh = _add(d_fresh, where(afresh, d_prev, zeros(d_prev)))
                d_prev = where(afresh, zeros(d_prev), d_prev)
            return (d_prev, d_fresh), _unique(jax.tree.leaves((d_z, d_a)), same)

        inputs = (prev, after, (zs, a) if cell.gradient.keep is None else kept, mask, reset, bad, d_after)
        (d_carry, d_fresh), d_za = lax.scan(
            body, (d_carry, d_fresh), inputs, reverse=not options.reverse, unroll=options.unroll
        )
        d_za = jax.tree.unflatten(jax.tree.structure((zs, a)), [d_za[i] for i in same])
        d_w_project, d_xs_project = project_vjp(d_za[0])
        d_weights = _into(_into(d_weights, d_w_project), mix_vjp(d_za[1])[0])
        d_xs = d_xs_project if d_xs is None else d_xs + d_xs_project
        return (d_carry, first_step(raw, options.reverse), d_fresh, d_weights), d_xs

    # Blocks add up in at least float32: in bfloat16 the sum would lose what each of many blocks adds.
    wide = jax.tree.map(lambda w: jnp.zeros_like(w, at_least_float32(w.dtype)), weights)
    state = (d_end, end, zeros(fresh), wide)
    inputs = (kept, xs, mask, reset, d_ys)
    state, d_xs = scan_blocks(over_block, state, inputs, options.block, not options.reverse)
    d_carry, _, d_fresh, d_weights = state
    d_weights = jax.tree.map(lambda d, w: d.astype(w.dtype), d_weights, weights)
    return d_weights, d_carry, d_fresh, d_xs, None, None


fused.defvjp(_fused_fwd, _fused_bwd)


def _unique(leaves: list, index: list[int]) -> list:
    """Leaves without repeats (``z + a`` gives both the same cotangent); `index` receives where each one went."""
    unique: list = []
    index.clear()
    for leaf in leaves:
        position = next((i for i, u in enumerate(unique) if u is leaf), len(unique))
        if position == len(unique):
            unique.append(leaf)
        index.append(position)
    return unique


def _add(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)


def _into(total: PyTree, more: PyTree) -> PyTree:
    """The sum in the types of `total`."""
    return jax.tree.map(lambda t, m: t + m.astype(t.dtype), total, more)
