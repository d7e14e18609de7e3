"""The loop over time and its fused gradient; and a guide to speed and memory.

## What is fast without asking

`asrnn_jax.run` does outside the loop what need not be inside: it prepares the weights once, projects all inputs as
one product, and computes the gradient of each weight as one product over many steps (the fused gradient). What
remains inside is one matrix product a step, forward and backward. A training step of every dense cell takes at most
twice the time of its matrix products alone, on CPUs. Tables: ``experiments/results/bench``.

## What you can choose

| argument of `run` | what it does | when |
| --- | --- | --- |
| ``method="associative_scan"`` | associative scan over time, for linear cells only | the default on accelerators |
| ``method="sequential"`` | the loop | the default on CPUs |
| ``gradient="autodiff"`` | JAX's own derivative of the scan: slower | for `jax.jvp`, `jax.jacfwd`, second derivatives |
| ``outputs="last"`` | only the last output; the others are never built | classification of whole sequences |
| ``remat=True`` | keeps about sqrt(T) carries for the backward pass | long sequences: memory grows with sqrt(T) |
| ``unroll=8`` | steps a trip through the loop | the default on accelerators; 1 on CPUs |
| ``block=32`` | steps evaluated together | less memory on accelerators |
| ``dtype=jnp.bfloat16`` | computes in this type | orthogonal maps stay in float32 or wider |

    >>> import jax, jax.numpy as jnp, asrnn_jax
    >>> cell = asrnn_jax.cells.lru(inputs=1, hidden=4)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((2, 16, 1))
    >>> ways = [asrnn_jax.run(cell, params, xs, method=m)[1] for m in ("sequential", "associative_scan")]
    >>> bool(jnp.allclose(*ways, atol=1e-5))
    True

Where you call `run` or `step` many times with the same params, call ``cell.prepare(params)`` yourself once and pass
the result in their place.

## On CPUs

XLA does not spread the small products of a scan over CPU cores. Two settings help, before JAX starts: give JAX one
device a core (``XLA_FLAGS=--xla_force_host_platform_device_count=2``) and share the batch among them with
`asrnn_jax.parallel`; and set ``OPENBLAS_NUM_THREADS=1``, because LAPACK's waiting threads take the cores from XLA.
``experiments/machine.py`` does both for the runs of `experiments`.

## How it works

All arrays here have the shape ``(T, *B, ...)``. Time is taken in blocks. A block is projected, stepped through and
read out while it is still in cache. On the way back its weight gradient is one matrix product instead of one ``n x
n`` update a step, so the sequential part is as short backward as it is forward.

Not measured: TPUs, and several accelerators at once. One H200 was: ``experiments/results/bench/accelerator``.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from asrnn_jax import placement
from asrnn_jax.cell import Cell, PyTree
from asrnn_jax.dtypes import at_least_float32

CPU_BLOCK_BYTES = 1 << 20  # what one block works on should stay in a second-level cache

ACCELERATOR_UNROLL = 8  # measured: experiments/results/bench/accelerator


class Options(NamedTuple):
    readout: bool  # compute ys for every step
    reverse: bool
    block: Any  # steps a block, an int or a symbolic dimension
    unroll: int = 1  # steps a trip through the loop
    keep: bool = False  # also return the residuals of the backward pass: the carry entering each step, `Cell.keep`
    contain: bool = False  # for autodiff with resets: derivatives of steps that overflow are 0, see `_contained`


def where(flags: jax.Array, yes: PyTree, no: PyTree) -> PyTree:
    """`jnp.where` over pytrees, with flags ``(*B,)`` and leaves ``(*B, ...)``; `yes` is broadcast to `no`."""

    def one(y, n):
        at = jnp.expand_dims(flags, tuple(range(flags.ndim, n.ndim)))
        return jnp.where(at, jnp.broadcast_to(y, n.shape), n)

    return jax.tree.map(one, yes, no)


def zeros_where(flags: jax.Array, tree: PyTree) -> PyTree:
    return where(flags, jax.tree.map(jnp.zeros_like, tree), tree)


def nan_where(flags: jax.Array, tree: PyTree) -> PyTree:
    """NaN where flagged, without derivative. It is computed: a constant NaN would stop `jax_debug_nans` also where
    nothing is flagged."""
    marks = jnp.where(flags, 0.0, 1.0)
    marks = (0.0 * marks) / marks
    return jax.tree.map(lambda leaf: where(flags, _widened(marks, leaf), leaf), tree)


def _widened(flags: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.expand_dims(flags.astype(like.dtype), tuple(range(flags.ndim, like.ndim)))


def finite(tree: PyTree, axes: int) -> jax.Array:
    """Where all is finite, over the first `axes` axes of each leaf."""
    return jnp.stack([jnp.isfinite(leaf).all(tuple(range(axes, leaf.ndim))) for leaf in jax.tree.leaves(tree)]).all(0)


def where_valid(mask: jax.Array | None, new: PyTree, old: PyTree) -> PyTree:
    """The new carry where the step is valid."""
    return new if mask is None else where(mask, new, old)


def where_reset(reset: jax.Array | None, fresh: PyTree, carry: PyTree) -> PyTree:
    """The fresh carry where a reset is asked for."""
    return carry if reset is None else where(reset, fresh, carry)


def autodiff(cell: Cell, options: Options, weights, carry, fresh, xs, mask, reset):
    """The loop as JAX differentiates it: ``-> (end, ys | None)``."""
    return _forward(cell, options, weights, carry, fresh, xs, mask, reset)[:2]


def _forward(cell: Cell, options: Options, weights, carry, fresh, xs, mask, reset):
    """``-> (end, ys | None, (raw, kept) | None)``; ``raw[t]`` is the carry entering step t, before a reset."""

    contain = options.contain and reset is not None

    def body(carry, inputs):
        z, valid, afresh = inputs
        start = where_reset(afresh, fresh, carry)
        if contain:
            return where_valid(valid, _contained(cell, weights, start, z, afresh.ndim), start), (carry, None)
        a = cell.mix(weights, start)
        kept = cell.keep(z, a) if options.keep and cell.keep else None
        return where_valid(valid, cell.update(start, z, a), start), (carry, kept)

    def over_block(carry, inputs):
        xs, mask, reset = inputs
        zs = _by_row(cell.project, xs)(weights, xs)
        end, (raw, kept) = lax.scan(body, carry, (zs, mask, reset), reverse=options.reverse, unroll=options.unroll)
        ys = None
        if options.readout:
            ys = _read(cell, weights, _after(raw, end, options.reverse), xs, reset if contain else None)
        return end, (ys, (raw, kept) if options.keep else None)

    end, (ys, residuals) = _scan_blocks(over_block, carry, (xs, mask, reset), options.block, options.reverse)
    return end, ys, residuals


def _contained(cell: Cell, weights, start, z, axes: int):
    """A step that keeps an overflow to itself: its value is what it is, its derivative 0 where that is not finite.

    A loss after the next reset has the cotangent 0 here, but 0 times an infinite value would be NaN.
    """
    tried = cell.step(*lax.stop_gradient((weights, start, z)))
    bad = ~finite((start, tried), axes)
    return where(bad, tried, cell.step(weights, zeros_where(bad, start), zeros_where(bad, z)))


def _read(cell: Cell, weights, carries, xs, reset):
    """All outputs; with resets, those of carries that are not finite have no derivative, see `_contained`."""
    readout = _by_row(cell.readout, xs)
    ys = readout(weights, carries, xs)
    if reset is None:
        return ys
    bad = ~finite(carries, reset.ndim)
    return where(bad, lax.stop_gradient(ys), readout(weights, zeros_where(bad, carries), xs))


def associative_scan(cell: Cell, options: Options, weights, carry, fresh, xs, mask, reset):
    """For a linear cell, in about 2 log2(T) parallel stages: ``-> (end, ys | None)``.

    A masked step becomes the element (1, 0); the start goes into the first drive, and the fresh one into that of a
    reset.
    """
    elements: Any = cell.elements
    decays, drives = elements(weights, _by_row(cell.project, xs)(weights, xs))
    if mask is not None:
        decays = where(mask, decays, jax.tree.map(jnp.ones_like, decays))
        drives = where(mask, drives, jax.tree.map(jnp.zeros_like, drives))

    def applied(decays, drives, carry):
        return jax.tree.map(lambda a, b, c: b + a * jnp.broadcast_to(c, a.shape), decays, drives, carry)

    if reset is not None:
        drives = where(reset, applied(decays, drives, fresh), drives)
        decays = zeros_where(reset, decays)
    at = partial(_first, reverse=options.reverse)
    begun = applied(at(decays), at(drives), carry)
    drives = jax.tree.map(lambda d, b: _with_first(d, b, options.reverse), drives, begun)
    carries = linear_scan(options.reverse, decays, drives, reset)
    ys = _read(cell, weights, carries, xs, reset) if options.readout else None
    return _first(carries, not options.reverse), ys


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
    before = jax.tree.map(lambda c: _with_first(c, jnp.zeros_like(c[0]), reverse), before)
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


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def fused(cell: Cell, options: Options, weights, carry, fresh, xs, mask, reset):
    """As `autodiff`, with a gradient of its own, which has no forward mode: JAX raises TypeError for a custom_vjp."""
    return autodiff(cell, options, weights, carry, fresh, xs, mask, reset)


def _fused_fwd(cell, options, weights, carry, fresh, xs, mask, reset):
    end, ys, kept = _forward(cell, options._replace(keep=True), weights, carry, fresh, xs, mask, reset)
    return (end, ys), (weights, fresh, end, kept, xs, mask, reset)


def _fused_bwd(cell, options, residuals, cotangents):
    """With a_t = mix(W, c_{t-1}) and c_t = update(c_{t-1}, z_t, a_t):

    dc_{t-1} = d_update/dc_{t-1} + (dmix/dc)^T da_t        in the loop
    dW       = sum_t (dmix/dW)^T da_t                      after it: one product over time and batch
    """
    weights, fresh, end, kept, xs, mask, reset = residuals
    d_end, d_ys = cotangents
    pullback = cell.pullback or _derived_pullback(cell)
    zeros = partial(jax.tree.map, jnp.zeros_like)

    def over_block(state, inputs):
        d_carry, end, d_fresh, d_weights = state
        (raw, kept), xs, mask, reset, d_ys = inputs
        prev, after = where_reset(reset, fresh, raw), _after(raw, end, options.reverse)
        bad = None
        if reset is not None:  # an overflow goes no further than the next reset, see `_contained`
            bad = ~finite((prev, after), reset.ndim)
            prev, after, kept, xs, d_ys = zeros_where(bad, (prev, after, kept, xs, d_ys))
        zs, project_vjp = jax.vjp(_by_row(cell.project, xs), weights, xs)
        a, mix_vjp = jax.vjp(lambda w: _by_row(cell.mix, xs)(w, prev), weights)
        d_after = d_xs = None
        if options.readout:
            _, readout_vjp = jax.vjp(_by_row(cell.readout, xs), weights, after, xs)
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

        inputs = (prev, after, (zs, a) if cell.keep is None else kept, mask, reset, bad, d_after)
        (d_carry, d_fresh), d_za = lax.scan(
            body, (d_carry, d_fresh), inputs, reverse=not options.reverse, unroll=options.unroll
        )
        d_za = jax.tree.unflatten(jax.tree.structure((zs, a)), [d_za[i] for i in same])
        d_w_project, d_xs_project = project_vjp(d_za[0])
        d_weights = _into(_into(d_weights, d_w_project), mix_vjp(d_za[1])[0])
        d_xs = d_xs_project if d_xs is None else d_xs + d_xs_project
        return (d_carry, _first(raw, options.reverse), d_fresh, d_weights), d_xs

    # Blocks add up in at least float32: in bfloat16 the sum would lose what each of many blocks adds.
    wide = jax.tree.map(lambda w: jnp.zeros_like(w, at_least_float32(w.dtype)), weights)
    state = (d_end, end, zeros(fresh), wide)
    inputs = (kept, xs, mask, reset, d_ys)
    state, d_xs = _scan_blocks(over_block, state, inputs, options.block, not options.reverse)
    d_carry, _, d_fresh, d_weights = state
    d_weights = jax.tree.map(lambda d, w: d.astype(w.dtype), d_weights, weights)
    return d_weights, d_carry, d_fresh, d_xs, None, None


fused.defvjp(_fused_fwd, _fused_bwd)


def rematerialised(engine, segment: int):
    """An engine that keeps for the backward pass only the carry every `segment` steps and computes the rest again."""

    def in_segments(cell, options, weights, carry, fresh, xs, mask, reset):
        def over_segment(carry, inputs):
            return engine(cell, options, weights, carry, fresh, *inputs)

        checkpointed = jax.checkpoint(over_segment, prevent_cse=False)  # a scan already keeps it from being undone
        return _scan_blocks(checkpointed, carry, (xs, mask, reset), segment, options.reverse)

    return in_segments


def _derived_pullback(cell: Cell):
    def pullback(prev, carry, kept, ct):
        return jax.vjp(cell.update, prev, *kept)[1](ct)

    return pullback


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


def _scan_blocks(f, init, xs, size: Any, reverse: bool):
    """`lax.scan` with f taking a block of up to `size` steps at once."""
    steps = jax.tree.leaves(xs)[0].shape[0]
    if not isinstance(steps, int) or steps <= size:  # a number of steps that is not known is taken as one block
        return f(init, xs)
    whole = steps // size

    def main(carry):
        split = jax.tree.map(lambda x: x[: whole * size].reshape(whole, size, *x.shape[1:]), xs)
        carry, ys = lax.scan(f, carry, split, reverse=reverse)
        return carry, jax.tree.map(lambda y: y.reshape(whole * size, *y.shape[2:]), ys)

    def rest(carry):
        return f(carry, jax.tree.map(lambda x: x[whole * size :], xs))

    if whole * size == steps:
        return main(init)
    carry, first = (rest if reverse else main)(init)
    carry, second = (main if reverse else rest)(carry)
    head, tail = (second, first) if reverse else (first, second)
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), head, tail)


def choose_unroll() -> int:
    """Steps a trip through the loop. On a GPU a step is about ten short kernels, and most of the time goes between."""
    return 1 if jax.default_backend() == "cpu" else ACCELERATOR_UNROLL


def choose_block(cell: Cell, weights, carry: PyTree, xs: jax.Array) -> Any:
    """Steps a block: what fits the cache on CPU (a divisor of the number of steps if one is near), else all; so too
    where a size is not known, a symbolic dimension of `jax.export`."""
    steps = xs.shape[0]
    if jax.default_backend() != "cpu" or not all(isinstance(d, int) for d in xs.shape) or steps == 0:
        return max(steps, 1)

    def of_one_step(carry, x):
        z, a = cell.project(weights, x), cell.mix(weights, carry)
        return carry, z, a, cell.keep(z, a) if cell.keep else ()

    arrays = jax.tree.leaves(jax.eval_shape(of_one_step, carry, xs[0]))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in arrays)
    wanted = max(1, min(CPU_BLOCK_BYTES // max(size, 1), 256))
    divisors = [b for b in range(max(1, wanted // 2), 2 * wanted + 1) if steps % b == 0]
    return min(divisors, key=lambda b: abs(b - wanted), default=wanted)


def _add(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)


def _into(total: PyTree, more: PyTree) -> PyTree:
    """The sum in the types of `total`."""
    return jax.tree.map(lambda t, m: t + m.astype(t.dtype), total, more)


def _by_row(f, xs: jax.Array):
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


def _after(raw: PyTree, end: PyTree, reverse: bool) -> PyTree:
    """Carries after each step, from those entering each step and the last one."""

    def shift(r, e):
        return jnp.concatenate([e[None], r[:-1]] if reverse else [r[1:], e[None]]) if r.shape[0] else r

    return jax.tree.map(shift, raw, end)


def _first(raw: PyTree, reverse: bool) -> PyTree:
    return jax.tree.map(lambda r: r[-1 if reverse else 0], raw)


def _with_first(a: jax.Array, first: jax.Array, reverse: bool) -> jax.Array:
    """``a (T, ...)`` with another first step."""
    return jnp.concatenate([a[:-1], first[None]] if reverse else [first[None], a[1:]])
