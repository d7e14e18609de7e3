"""A cell over time: carries, masks, lengths, resets and direction, once for every cell.

`run` takes a cell through a sequence, `step` takes it one step further. Both work for every cell in the same way: the
options are not part of the cells.

    >>> import jax, jax.numpy as jnp, asrnn_jax
    >>> cell = asrnn_jax.cells.gru(inputs=2, hidden=8)
    >>> params = cell.init(jax.random.key(0))
    >>> xs = jax.random.normal(jax.random.key(1), (3, 12, 2))
    >>> carry, ys = asrnn_jax.run(cell, params, xs, lengths=jnp.array([12, 5, 0]))

**Chunks.** The returned carry continues a sequence, so the chunks of a sequence give what the whole gives:

    >>> whole = asrnn_jax.run(cell, params, xs)[1]
    >>> carry, first = asrnn_jax.run(cell, params, xs[:, :6])
    >>> carry, second = asrnn_jax.run(cell, params, xs[:, 6:], carry=carry)
    >>> bool(jnp.allclose(jnp.concatenate([first, second], axis=1), whole, atol=1e-6))
    True

**Resets.** Where `reset` is True, that batch element starts afresh before the step. So one row can hold several
sequences, one after the other:

    >>> reset = jnp.zeros((3, 12), bool).at[:, 6].set(True)
    >>> packed = asrnn_jax.run(cell, params, xs, reset=reset)[1]
    >>> alone = asrnn_jax.run(cell, params, xs[:, 6:])[1]
    >>> bool(jnp.allclose(packed[:, 6:], alone, atol=1e-6))
    True

**Not-a-numbers stay where they are.** A NaN in padding reaches no value and no gradient. A NaN or an overflow before
a reset reaches nothing after that reset.

**Whatever mode JAX is in.** Tests hold every cell to this: batches sharded over a mesh (Explicit and Auto axes,
`jax.shard_map`), symbolic shapes of `jax.export`, strict type promotion, JAX's debugging modes, float64 and half
precision. There may be any number of batch axes. Two cells made with equal arguments are equal, so `jax.jit` compiles
once for both, and cells can be pickled.

For speed, memory and the choice between the two ways through time, see `asrnn_jax.loop`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax import checks, loop
from asrnn_jax.cell import Cell, Params, PyTree, Weights, as_inputs, as_weights, check_carry, check_key
from asrnn_jax.dtypes import cast, compute_dtype
from asrnn_jax.flags import (
    as_flags,
    as_lengths,
    last_step,
    last_valid,
    quarantine,
    reached,
    starts_of_the_other_way,
)
from asrnn_jax.loop import finite, nan_where, where_reset, where_valid, zeros_where
from asrnn_jax.placement import beside

Outputs = Literal["all", "last"]
Gradient = Literal["fused", "autodiff"]
Method = Literal["auto", "sequential", "associative_scan"]


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
    method: Method = "auto",
    gradient: Gradient = "fused",
    key: jax.Array | None = None,
    remat: bool = False,
    block: int | None = None,
    unroll: int | None = None,
    dtype: Any = None,
) -> tuple[PyTree, jax.Array]:
    """Runs a cell over a sequence and returns ``(carry, ys)`` like `jax.lax.scan`.

    Args:
      cell: made by a factory of `asrnn_jax.cells`.
      params: what ``cell.init`` made, or what ``cell.prepare`` made of it (to prepare once for many calls).
      xs: inputs ``(*B, T, I)``, or ``(T, *B, I)`` when `time_major`; any number of batch axes, none included.
      carry: where to start, leaves ``(*B, ...)``; by default ``cell.initial_carry``. Feeding the returned
        carry to the next call continues the sequence: chunks equal the whole.
      lengths: integers ``(*B,)``: steps from there on hold the state. 0 returns the initial carry. Out of range they
        are an error, and NaN for their element where that can only be seen under `jax.jit`.
      mask: bool ``(*B, T)`` (``(T, *B)`` when `time_major`): where False the state is held and ``xs`` ignored.
      reset: bool, like `mask`: where True that batch element starts afresh before the step.
      reverse: run from the last step to the first; ``ys`` keep the order of ``xs``.
      time_major: axis order of ``xs``, `mask`, `reset` and ``ys``.
      outputs: "all" returns ``ys (*B, T, O)``; "last" only the final ``y (*B, O)``, of the last valid step of each
        element, and never builds the rest; of a bidirectional cell each direction's own end.
      method: "sequential": a loop over time; "associative_scan": all steps at once in about ``2 log2(T)`` parallel
        stages, for cells that are linear in their state; "auto": the scan for those on accelerators, else the loop.
      gradient: "fused" (fast reverse mode) or "autodiff": JAX's own differentiation of the scan, which is
        slower and also supports forward mode (`jax.jacfwd`, `jax.jvp`) and higher derivatives.
      key: PRNG key for the dropout of cells that have it; None for none.
      remat: for the backward pass keep only about ``sqrt(T)`` carries and compute the rest again, one forward pass
        more: memory grows with ``sqrt(T)`` instead of T (`xs`, and `ys` when asked for, are there as ever).
      block: steps evaluated together; by default chosen for the cache on CPU, everything on accelerators.
      unroll: steps a trip through the loop, as in `jax.lax.scan`; by default 1 on CPU, and 8 on accelerators, where a
        step is short beside what starting it takes.
      dtype: compute in this dtype (for example ``jnp.bfloat16``). Weights are prepared before they are
        cast to it, orthogonal maps in at least float32. By default the promoted dtype of ``xs`` and the weights.

    Returns:
      ``(carry, ys)``: the carry after the last step, in the type of a carry that was passed, and the outputs.

    NaN and infinities in masked steps reach nothing. With `reset`, a non-finite input makes its own batch
    element NaN until that element's next reset; nothing after it, in values or gradients, is touched. So too
    where a state overflows by itself.

    Inputs may be sharded over a mesh along batch axes; params that lie on no mesh are copied to its devices.

    Raises:
      ValueError: shapes that do not fit, params or a carry of another cell, an unknown option.
      TypeError: inputs that are not floating point, masks that are not bool; forward mode on the fused path, where JAX
        says that it "can't apply forward-mode autodiff (jvp) to a custom_vjp function": use ``gradient="autodiff"``.

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
    if gradient not in ("fused", "autodiff"):
        raise ValueError(f"gradient={gradient!r}: choose 'fused' (fast reverse mode) or 'autodiff' (forward mode too).")
    if method not in ("auto", "sequential", "associative_scan"):
        raise ValueError(f"method={method!r}: choose 'auto', 'sequential' or 'associative_scan' (linear cells).")
    if block is not None and (not isinstance(block, int) or block < 1):
        raise ValueError(f"block={block}: give a positive number of steps, or None to have it chosen.")
    if unroll is not None and (not isinstance(unroll, int) or unroll < 1):
        raise ValueError(f"unroll={unroll}: give a positive number of steps, or None to have it chosen.")
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
    static = Static(outputs, method, gradient, reverse, time_major, remat, block, unroll, dtype, checks.wanted())
    return _run(cell, static, params, xs, carry, lengths, mask, reset, key)


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
    start = where_reset(reset, fresh, carry)
    x = where_valid(mask, x, jnp.zeros_like(x))
    end = where_valid(mask, cell.step(weights, start, cell.project(weights, x)), start)
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
    """`_evaluate`, in which nothing that is not finite gets past a reset, in values or gradients.

    What comes in is taken out before and marked after. What a state becomes by itself is kept to its steps by the
    engines; between the parts of a composite it is taken out and marked too, for their layers would spread it.
    """
    steps = xs.shape[0]
    if reset is None or steps == 0:
        return _evaluate(cell, static, weights, start, xs, mask, reset, key, [])
    xs, start, bad, bad_start = quarantine(xs, start, mask)
    between: list[jax.Array] = []
    end, ys = _evaluate(cell, static, weights, start, xs, mask, reset, key, between)
    for more in between:
        bad |= more
    poisoned = reached(cell, bad, bad_start, reset, static.reverse)
    last = last_step(poisoned, static.reverse)
    if cell.both_directions:
        last |= last_step(poisoned, not static.reverse)
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


def _evaluate(cell: Cell, static: Static, weights, start, xs, mask, reset, key, between) -> tuple[PyTree, Any]:
    """``-> (end, ys)``, ys for all steps or for the last one."""
    steps, everything = xs.shape[0], static.outputs == "all"
    if cell.apply_parts is None:
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
    end, ys = cell.apply_parts(run_part, weights, start, xs, key)
    return end, ys[:steps] if everything else last_valid(ys, mask, static.reverse)


def _over_time(way: Pass, cell: Cell, weights, start, xs, key=None, reverse=False, top=False) -> tuple[PyTree, Any]:
    """One cell over the whole sequence, the other way round if `reverse`; what composites call `run_part`."""
    if reverse:
        static = way.static._replace(reverse=not way.static.reverse)
        way = way._replace(static=static, reset=starts_of_the_other_way(way.reset, way.static.reverse))
    way = way._replace(ends=way.ends and top)
    if cell.apply_parts is None:
        end, ys = _leaf(way, cell, weights, start, xs, True)
    else:
        end, ys = cell.apply_parts(partial(_over_time, way), weights, start, xs, key)
    if reverse and way.ends:  # each direction's own end, at whatever step it is looked for
        ys = jnp.broadcast_to(last_valid(ys, way.mask, way.static.reverse), ys.shape)
    return end, ys


def _leaf(way: Pass, cell: Cell, weights, start, xs, readout: bool) -> tuple[PyTree, Any]:
    static, mask, reset = way.static, way.mask, way.reset
    fresh = cell.start(weights, xs.shape[1:-1], static.dtype)
    _, weights, fresh = beside(xs, weights, (fresh, 0))
    block = static.block or loop.choose_block(cell, weights, fresh, xs)
    unroll = (static.unroll or loop.choose_unroll()) if isinstance(xs.shape[0], int) else 1
    options = loop.Options(readout, static.reverse, block, unroll, contain=static.gradient == "autodiff")
    end, ys = _engine(cell, static, xs.shape[0])(cell, options, weights, start, fresh, xs, mask, reset)
    if ys is None:
        return end, None
    if way.between is not None and reset is not None:
        bad = ~finite(ys, reset.ndim)
        way.between.append(bad)
        ys = zeros_where(bad, ys)
    return end, ys.astype(static.dtype)


def _engine(cell: Cell, static: Static, steps: Any) -> Any:
    known = isinstance(steps, int)  # not a symbolic dimension of `jax.export`
    if static.method == "associative_scan" and cell.elements is None:
        raise ValueError(
            f"method='associative_scan', but cell {cell.name!r} is not linear in its carry: use method='sequential' or "
            "'auto'."
        )
    for name, asked in (
        ("method='associative_scan'", static.method == "associative_scan"),
        ("remat=True", static.remat),
    ):
        if asked and not known:
            raise ValueError(f"{name} with a symbolic number of steps, {steps}: it needs a known one; leave it out.")
    if steps == 0:
        return loop.autodiff
    wanted = static.method == "auto" and cell.elements is not None and jax.default_backend() != "cpu" and known
    if static.method == "associative_scan" or wanted:
        engine = loop.associative_scan
    else:
        engine = loop.fused if static.gradient == "fused" else loop.autodiff
    return loop.rematerialised(engine, math.isqrt(steps - 1) + 1) if static.remat else engine
