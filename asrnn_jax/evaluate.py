"""What `run` compiles: the whole of a sequence through a cell, and through the parts of one made of cells.

All arrays here have the shape ``(T, *B, ...)``, but for those that `evaluate` takes.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax import checks, loop
from asrnn_jax.cell import Cell, Params, PyTree, Weights, as_weights
from asrnn_jax.dtypes import cast, compute_dtype
from asrnn_jax.flags import last_valid, quarantine, reached, starts_of_the_other_way
from asrnn_jax.loop import finite, first_step, nan_where, where_valid, zeros_where
from asrnn_jax.placement import beside

Outputs = Literal["all", "last"]
Gradient = Literal["fused", "autodiff"]
Method = Literal["auto", "sequential", "associative_scan", "chunked"]


class Static(NamedTuple):
    """Options of `run` that decide what is compiled."""

    outputs: Outputs
    method: Method
    gradient: Gradient
    reverse: bool
    time_major: bool
    remat: bool
    block: int | None
    unroll: int | None
    dtype: Any
    check: bool


@partial(jax.jit, static_argnums=(0, 1))
def evaluate(cell: Cell, static: Static, params: Params | Weights, xs: jax.Array, carry, lengths, mask, reset, key):
    weights = as_weights(cell, params)
    dtype = static.dtype or compute_dtype(weights, xs)
    weights, xs = cast(weights, dtype), xs.astype(dtype)
    if not static.time_major:
        xs = jnp.moveaxis(xs, -2, 0)
        mask, reset = (None if flags is None else jnp.moveaxis(flags, -1, 0) for flags in (mask, reset))
    steps, batch = xs.shape[0], xs.shape[1:-1]
    wrong = None
    if lengths is not None:
        valid = jnp.expand_dims(jnp.arange(steps), tuple(range(1, xs.ndim - 1))) < lengths[None]
        mask = valid if mask is None else valid & mask
        wrong = (lengths < 0) | (lengths > steps)
    if not batch:  # one element: a batch axis makes its products those of matrices
        xs, mask, reset, carry = _with_axis((xs, mask, reset), 1) + _with_axis((carry,), 0)
    # Several batch axes stay as they are: merging ones that are sharded would gather them.
    fresh = cell.start(weights, xs.shape[1:-1], dtype)
    xs, weights, fresh, carry, mask, reset = beside(xs, weights, (fresh, 0), (carry, 0), (mask, 1), (reset, 1))
    start = fresh if carry is None else jax.tree.map(lambda c, f: c.astype(f.dtype), carry, fresh)
    xs = where_valid(mask, xs, jnp.zeros_like(xs))
    if static.check:
        element = ", ".join(f"{{i{axis}}}" for axis in range(1, len(batch) + 1))
        place = " at step {i0}" + (f" of batch element {element}" if batch else "")
        _check(weights, carry, xs, lengths, place)
    end, ys = _quarantined(cell, static._replace(dtype=dtype), weights, start, xs, mask, reset, key)
    if static.check:
        checks.check_finite("ys", ys, place if static.outputs == "all" else "")
    if carry is not None:  # so that a scan can carry it
        end = jax.tree.map(lambda e, c: e.astype(c.dtype), end, carry)
    if not batch:
        end, ys = jax.tree.map(lambda e: e[0], end), ys[0] if static.outputs == "last" else ys[:, 0]
    if wrong is not None:
        end = nan_where(wrong, end)
        ys = nan_where(wrong if static.outputs == "last" else jnp.broadcast_to(wrong, ys.shape[:-1]), ys)
    if static.outputs == "last" or static.time_major:
        return end, ys
    return end, jnp.moveaxis(ys, 0, -2)


def _with_axis(trees: tuple[Any, ...], axis: int) -> tuple[Any, ...]:
    return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, axis), trees)


def _quarantined(cell: Cell, static: Static, weights, start, xs, mask, reset, key) -> tuple[PyTree, Any]:
    """`_through`, in which nothing that is not finite gets past a reset, in values or gradients.

    What comes in is taken out before and marked after. What a state becomes by itself is kept to its steps by the
    engines; between the parts of a composite it is taken out and marked too, for their layers would spread it.
    """
    steps = xs.shape[0]
    if reset is None or steps == 0:
        return _through(cell, static, weights, start, xs, mask, reset, key, [])
    xs, start, bad, bad_start = quarantine(xs, start, mask)
    between: list[jax.Array] = []
    end, ys = _through(cell, static, weights, start, xs, mask, reset, key, between)
    for more in between:
        bad |= more
    poisoned = reached(cell, bad, bad_start, reset, static.reverse)
    last = first_step(poisoned, not static.reverse)
    if cell.both_directions:
        last |= first_step(poisoned, static.reverse)
    return nan_where(last, end), nan_where(poisoned if static.outputs == "all" else last, ys)


def _check(weights, carry, xs, lengths, place: str) -> None:
    """What `asrnn_jax.checked` asks for; xs ``(T, *B, I)`` are zeros at masked steps."""
    steps = xs.shape[0]
    if lengths is not None and lengths.size:
        good = (lengths >= 0) & (lengths <= steps)
        checks.check(good, f"lengths has {{value}}, but xs has {steps} steps.", lengths)
    checks.check_finite("a weight", weights)
    checks.check_finite("carry", carry)
    checks.check_finite("xs", xs, place)


class Pass(NamedTuple):
    """One way through time, for all cells of a composite."""

    static: Static
    mask: jax.Array | None
    reset: jax.Array | None
    between: list[jax.Array] | None
    """Receives ``(T, *B)`` where outputs of a part were not finite; they are 0 then. None: not a composite."""
    ends: bool = False
    """Whether only the last outputs of what goes this way are asked for."""


def _through(cell: Cell, static: Static, weights, start, xs, mask, reset, key, between) -> tuple[PyTree, Any]:
    """``-> (end, ys)``, ys for all steps or for the last one."""
    steps, everything = xs.shape[0], static.outputs == "all"
    if cell.composition is None:
        end, ys = _leaf(Pass(static, mask, reset, None), cell, weights, start, xs, everything)
        if not everything:
            bad = None if reset is None or steps == 0 else ~finite(end, xs.ndim - 2)
            read = end if bad is None else zeros_where(bad, end)
            ys = cell.readout(weights, read, last_valid(xs, mask, static.reverse)).astype(static.dtype)
            ys = ys if bad is None else nan_where(bad, ys)
        return end, ys
    if steps == 0:  # one held step, so that there is something to read out
        xs, mask, reset = jnp.zeros((1, *xs.shape[1:]), xs.dtype), jnp.zeros((1, *xs.shape[1:-1]), bool), None
    run_part = partial(_over_time, Pass(static, mask, reset, between, ends=not everything))
    end, ys = cell.composition.apply_parts(run_part, weights, start, xs, key)
    return end, ys[:steps] if everything else last_valid(ys, mask, static.reverse)


def _over_time(way: Pass, cell: Cell, weights, start, xs, key=None, reverse=False, top=False) -> tuple[PyTree, Any]:
    """One cell over the whole sequence, the other way round if `reverse`; what composites call `run_part`."""
    if reverse:
        static = way.static._replace(reverse=not way.static.reverse)
        way = way._replace(static=static, reset=starts_of_the_other_way(way.reset, way.static.reverse))
    way = way._replace(ends=way.ends and top)
    if cell.composition is None:
        end, ys = _leaf(way, cell, weights, start, xs, True)
    else:
        end, ys = cell.composition.apply_parts(partial(_over_time, way), weights, start, xs, key)
    if reverse and way.ends:  # each direction's own end, at whatever step it is looked for
        ys = jnp.broadcast_to(last_valid(ys, way.mask, way.static.reverse), ys.shape)
    return end, ys


def _leaf(way: Pass, cell: Cell, weights, start, xs, readout: bool) -> tuple[PyTree, Any]:
    static, mask, reset = way.static, way.mask, way.reset
    fresh = cell.start(weights, xs.shape[1:-1], static.dtype)
    _, weights, fresh = beside(xs, weights, (fresh, 0))
    engine = _engine(cell, static, xs.shape[0], mask is not None or reset is not None)
    in_chunks = engine is loop.chunked
    block = loop.choose_chunk(cell, xs.shape[0]) if in_chunks else loop.choose_block(cell, weights, fresh, xs)
    unroll = (static.unroll or loop.choose_unroll()) if isinstance(xs.shape[0], int) else 1
    options = loop.Options(
        readout, static.reverse, static.block or block, unroll, contain=static.gradient == "autodiff"
    )
    if static.remat:
        engine = loop.rematerialised(engine, math.isqrt(max(xs.shape[0], 1) - 1) + 1)
    end, ys = engine(cell, options, weights, start, fresh, xs, mask, reset)
    if ys is None:
        return end, None
    if way.between is not None and reset is not None:
        bad = ~finite(ys, reset.ndim)
        way.between.append(bad)
        ys = zeros_where(bad, ys)
    return end, ys.astype(static.dtype)


def _engine(cell: Cell, static: Static, steps: Any, flagged: bool) -> Any:
    known = isinstance(steps, int)  # not a symbolic dimension of `jax.export`
    if static.method == "associative_scan" and cell.elements is None:
        raise ValueError(
            f"method='associative_scan', but cell {cell.name!r} is not linear in its carry: use method='sequential' or "
            "'auto'."
        )
    if static.method == "chunked" and cell.chunk is None:
        raise ValueError(f"method='chunked', but cell {cell.name!r} goes step by step: use 'sequential' or 'auto'.")
    at_once = static.method in ("associative_scan", "chunked")
    for name, asked in ((f"method={static.method!r}", at_once), ("remat=True", static.remat)):
        if asked and not known:
            raise ValueError(f"{name} with a symbolic number of steps, {steps}: it needs a known one; leave it out.")
    if steps == 0:
        return loop.autodiff
    in_chunks = known and cell.chunk is not None and (cell.chunk_flags or not flagged)
    if in_chunks and static.method in ("auto", "chunked"):
        return loop.chunked
    wanted = static.method == "auto" and cell.elements is not None and jax.default_backend() != "cpu" and known
    if static.method == "associative_scan" or wanted:
        return loop.associative_scan
    return loop.fused if static.gradient == "fused" else loop.autodiff
