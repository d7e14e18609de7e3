"""A cell over time: carries, masks, lengths, resets and direction, once for every cell."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax import checks, loop
from asrnn_jax.cell import Cell, Params, PyTree, Weights, as_inputs, as_weights, check_carry, check_key
from asrnn_jax.flags import as_flags, as_lengths, last_step, last_valid, quarantine, starts_of_the_other_way
from asrnn_jax.loop import hold, restart, where

Outputs = Literal["all", "last"]
Gradient = Literal["fused", "plain"]
How = Literal["auto", "sequential", "parallel"]


def run(
    cell: Cell,
    params: Params | Weights,
    xs: ArrayLike,
    *,
    carry: PyTree | None = None,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reset: ArrayLike | None = None,
    reverse: bool = False,
    time_major: bool = False,
    outputs: Outputs = "all",
    how: How = "auto",
    gradient: Gradient = "fused",
    key: jax.Array | None = None,
    remat: bool = False,
    block: int | None = None,
    dtype: Any = None,
) -> tuple[PyTree, jax.Array]:
    """Runs a cell over a sequence and returns ``(carry, ys)`` like `jax.lax.scan`.

    Args:
      cell: made by a factory of `asrnn_jax.cells`.
      params: what ``cell.init`` made, or what ``cell.prepare`` made of it (to prepare once for many calls).
      xs: inputs ``(*B, T, I)``, or ``(T, *B, I)`` when `time_major`; any number of batch axes, none included.
      carry: where to start, leaves ``(*B, ...)``; by default ``cell.initial_carry``. Feeding the returned
        carry to the next call continues the sequence: chunks equal the whole.
      lengths: integers ``(*B,)``: steps from there on hold the state. 0 returns the initial carry.
      mask: bool ``(*B, T)`` (``(T, *B)`` when `time_major`): where False the state is held and ``xs`` ignored.
      reset: bool, like `mask`: where True that batch element starts afresh before the step.
      reverse: run from the last step to the first; ``ys`` keep the order of ``xs``.
      time_major: axis order of ``xs``, `mask`, `reset` and ``ys``.
      outputs: "all" returns ``ys (*B, T, O)``; "last" only the final ``y (*B, O)``, of the last valid step of each
        element, and never builds the rest.
      how: "sequential"; "parallel", an associative scan, which only linear cells have; "auto" takes the parallel way
        for them on accelerators, where it is faster.
      gradient: "fused" (fast reverse mode) or "plain": JAX's own differentiation of the scan, which is
        slower and also supports forward mode (`jax.jacfwd`, `jax.jvp`) and higher derivatives.
      key: PRNG key for the dropout of cells that have it; None for none.
      remat: for the backward pass keep only about ``sqrt(T)`` carries and compute the rest again, one forward pass
        more: memory grows with ``sqrt(T)`` instead of T (`xs`, and `ys` when asked for, are there as ever).
      block: steps evaluated together; by default chosen for the cache on CPU, everything on accelerators.
      dtype: compute in this dtype (for example ``jnp.bfloat16``). Weights are prepared before they are
        cast to it, orthogonal maps in at least float32. By default the promoted dtype of ``xs`` and the weights.

    Returns:
      ``(carry, ys)``: the carry after the last step and the outputs.

    NaN and infinities in masked steps reach nothing. With `reset`, a non-finite input makes its own batch
    element NaN until that element's next reset; nothing after it, in values or gradients, is touched.

    Raises:
      ValueError: shapes that do not fit, params or a carry of another cell, an unknown option.
      TypeError: inputs that are not floating point, masks that are not bool, forward mode on the fused path.

    Example:
      >>> import jax, jax.numpy as jnp, asrnn_jax
      >>> cell = asrnn_jax.cells.asrnn(inputs=1, hidden=8)
      >>> params = cell.init(jax.random.key(0))
      >>> carry, ys = asrnn_jax.run(cell, params, jnp.ones((4, 20, 1)))
      >>> ys.shape
      (4, 20, 8)
    """
    if outputs not in ("all", "last"):
        raise ValueError(f"outputs={outputs!r}: choose 'all' (every step) or 'last' (the final one).")
    if gradient not in ("fused", "plain"):
        raise ValueError(f"gradient={gradient!r}: choose 'fused' (fast reverse mode) or 'plain' (forward mode too).")
    if how not in ("auto", "sequential", "parallel"):
        raise ValueError(f"how={how!r}: choose 'auto', 'sequential' or 'parallel' (linear cells).")
    if block is not None and (not isinstance(block, int) or block < 1):
        raise ValueError(f"block={block}: give a positive number of steps, or None to have it chosen.")
    xs = as_inputs(cell, xs, 2, "pass (T, *B, I)" if time_major else "pass (*B, T, I)")
    steps = xs.shape[0] if time_major else xs.shape[-2]
    batch = xs.shape[1:-1] if time_major else xs.shape[:-2]
    per_step = (steps, *batch) if time_major else (*batch, steps)
    mask = as_flags("mask", mask, per_step)
    reset = as_flags("reset", reset, per_step)
    if lengths is not None:
        lengths = as_lengths(lengths, batch, steps)
    if carry is not None:
        check_carry(cell, carry, batch, xs.dtype)
    if key is not None:
        check_key(key)
    dtype = None if dtype is None else jnp.dtype(dtype)
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"dtype={dtype}: compute in a floating-point type, for example jnp.bfloat16.")
    static = Static(outputs, how, gradient, reverse, time_major, remat, block, dtype, checks.wanted())
    return _run(cell, static, params, xs, carry, lengths, mask, reset, key)


class Static(NamedTuple):
    """Options of `run` that decide what is compiled."""

    outputs: Outputs
    how: How
    gradient: Gradient
    reverse: bool
    time_major: bool
    remat: bool
    block: int | None
    dtype: Any
    check: bool


def step(
    cell: Cell,
    params: Params | Weights,
    carry: PyTree,
    x: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    reset: ArrayLike | None = None,
) -> tuple[PyTree, jax.Array]:
    """One step of `run`, for streaming: ``(carry, y)``.

    Pass the weights of ``cell.prepare(params)`` rather than params when stepping often: preparing costs
    more than the step.

    Args:
      cell: made by a factory of `asrnn_jax.cells`.
      params: params or prepared weights.
      carry: leaves ``(*B, ...)``, from ``cell.initial_carry`` or an earlier call.
      x: one input ``(*B, I)``.
      mask: bool ``(*B,)``: where False the carry is held and ``x`` ignored.
      reset: bool ``(*B,)``: where True start afresh before the step.

    Raises:
      ValueError, TypeError: as `run`.
    """
    x = as_inputs(cell, x, 1, "pass one input (*B, I)")
    batch = x.shape[:-1]
    mask = as_flags("mask", mask, batch)
    reset = as_flags("reset", reset, batch)
    check_carry(cell, carry, batch, x.dtype)
    return _step(cell, params, carry, x, mask, reset)


@partial(jax.jit, static_argnums=0)
def _step(cell: Cell, params: Params | Weights, carry: PyTree, x: jax.Array, mask: Any, reset: Any):
    weights = as_weights(cell, params)
    fresh = cell.start(weights, x.shape[:-1], x.dtype) if reset is not None else None
    start = restart(reset, fresh, carry)
    x = hold(mask, x, jnp.zeros_like(x))
    end = hold(mask, cell.step(weights, start, cell.project(weights, x)), start)
    y = cell.readout(weights, end, x)
    return jax.tree.map(lambda e, c: e.astype(c.dtype), end, carry), y  # so that a scan over steps can carry it


@partial(jax.jit, static_argnums=(0, 1))
def _run(cell: Cell, static: Static, params: Params | Weights, xs: jax.Array, carry, lengths, mask, reset, key):
    weights = as_weights(cell, params)
    dtype = static.dtype or compute_dtype(weights, xs)
    weights, xs = cast(weights, dtype), xs.astype(dtype)
    if not static.time_major:
        xs = jnp.moveaxis(xs, -2, 0)
        mask, reset = (None if flags is None else jnp.moveaxis(flags, -1, 0) for flags in (mask, reset))
    steps, batch = xs.shape[0], xs.shape[1:-1]
    if lengths is not None:
        valid = jnp.arange(steps).reshape(-1, *(1,) * len(batch)) < lengths[None]
        mask = valid if mask is None else valid & mask

    # Inside, every array is (T, N, ...): a single batch axis keeps the weight gradients plain matrix products.
    one = (math.prod(batch),)
    xs = xs.reshape(steps, *one, xs.shape[-1])
    mask, reset = (None if flags is None else flags.reshape(steps, *one) for flags in (mask, reset))
    fresh = cell.start(weights, one, dtype)
    start = fresh if carry is None else jax.tree.map(lambda c, f: jnp.reshape(c, f.shape).astype(f.dtype), carry, fresh)
    xs = hold(mask, xs, jnp.zeros_like(xs))
    if static.check:
        place = " at step {i0} of batch element {i1}" if batch else " at step {i0}"
        _check(weights, carry, xs, lengths, place)
    poisoned = None
    if reset is not None and steps > 0:
        xs, start, poisoned = quarantine(cell, xs, start, mask, reset, static.reverse)
    end, ys = _evaluate(cell, static._replace(dtype=dtype), weights, start, xs, mask, reset, key)
    if poisoned is not None:
        last = last_step(poisoned, static.reverse)
        if cell.both_directions:
            last |= last_step(poisoned, not static.reverse)
        end = where(last, jax.tree.map(lambda e: jnp.full_like(e, jnp.nan), end), end)
        ys = where(poisoned if static.outputs == "all" else last, jnp.full_like(ys, jnp.nan), ys)

    if static.check:
        checks.check_finite("ys", ys, place if static.outputs == "all" else "")
    end = jax.tree.map(lambda e: e.reshape(*batch, *e.shape[1:]), end)
    if static.outputs == "last":
        return end, ys.reshape(*batch, ys.shape[-1])
    ys = ys.reshape(steps, *batch, ys.shape[-1])
    return end, ys if static.time_major else jnp.moveaxis(ys, 0, -2)


def _check(weights, carry, xs, lengths, place: str) -> None:
    """What `asrnn_jax.checked` asks for; xs ``(T, N, I)`` are zeros at masked steps."""
    steps = len(xs)
    if lengths is not None and lengths.size:
        good = (lengths >= 0) & (lengths <= steps)
        checks.check(good, f"lengths has {{value}}, but xs has {steps} steps.", lengths)
    checks.check_finite("a weight", weights)
    checks.check_finite("carry", carry)
    checks.check_finite("xs", xs, place)


def _evaluate(cell: Cell, static: Static, weights, start, xs, mask, reset, key) -> tuple[PyTree, Any]:
    """``-> (end, ys)``, ys for all steps or for the last one."""
    steps, everything = len(xs), static.outputs == "all"
    if cell.through is None:
        end, ys = _over_time(static, mask, reset, cell, weights, start, xs, readout=everything)
        if not everything:
            ys = cell.readout(weights, end, last_valid(xs, mask, static.reverse)).astype(static.dtype)
        return end, ys
    if steps == 0:  # one held step, so that there is something to read out
        xs, mask, reset = jnp.zeros((1, *xs.shape[1:]), xs.dtype), jnp.zeros((1, xs.shape[1]), bool), None
    end, ys = cell.through(partial(_over_time, static, mask, reset), weights, start, xs, key)
    return end, ys[:steps] if everything else last_valid(ys, mask, static.reverse)


def _over_time(static: Static, mask, reset, cell: Cell, weights, start, xs, key=None, reverse=False, readout=True):
    """One cell over the whole sequence, the other way round if `reverse`; what composites call `go`."""
    if reverse:
        reset = starts_of_the_other_way(reset, static.reverse)
        static = static._replace(reverse=not static.reverse)
    if cell.through is not None:
        return cell.through(partial(_over_time, static, mask, reset), weights, start, xs, key)
    fresh = cell.start(weights, xs.shape[1:2], static.dtype)
    options = loop.Options(readout, static.reverse, static.block or loop.choose_block(cell, weights, fresh, xs))
    end, ys = _engine(cell, static, len(xs))(cell, options, weights, start, fresh, xs, mask, reset)
    return end, None if ys is None else ys.astype(static.dtype)


def _engine(cell: Cell, static: Static, steps: int) -> Any:
    if static.how == "parallel" and cell.combine is None:
        raise ValueError(
            f"how='parallel', but cell {cell.name!r} is not linear in its carry: use how='sequential' or 'auto'."
        )
    if steps == 0:
        return loop.plain
    if static.how == "parallel" or (static.how == "auto" and cell.combine and jax.default_backend() != "cpu"):
        engine = loop.parallel
    else:
        engine = loop.fused if static.gradient == "fused" else loop.plain
    return loop.rematerialised(engine, math.isqrt(steps - 1) + 1) if static.remat else engine


def compute_dtype(weights: Weights, xs: jax.Array) -> Any:
    """The type that a cell with these weights computes in for these inputs."""
    return jnp.result_type(xs, *(w.real.dtype for w in jax.tree.leaves(weights)))


def cast(weights: Weights, dtype: Any) -> Weights:
    """Real weights in `dtype`, complex ones in the complex type of at least float32: there is no narrower one."""
    wide = jnp.result_type(jnp.promote_types(dtype, jnp.float32), jnp.complex64)

    def one(w):
        kinds = ((jnp.floating, dtype), (jnp.complexfloating, wide))
        return next((w.astype(to) for kind, to in kinds if jnp.issubdtype(w.dtype, kind)), w)

    return jax.tree.map(one, weights)
