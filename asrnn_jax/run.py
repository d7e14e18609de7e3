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

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from asrnn_jax import checks
from asrnn_jax.cell import Carry, Cell, Params, Weights, as_inputs, as_weights, check_carry, check_key
from asrnn_jax.evaluate import Gradient, Method, Outputs, Static, evaluate
from asrnn_jax.flags import as_flags, as_lengths
from asrnn_jax.loop import where_reset, where_valid
from asrnn_jax.typing import Array, Float, Given

__all__ = ["run", "step"]


def run(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    *,
    carry: Carry | None = None,
    lengths: Given[ArrayLike, "*B"] | None = None,
    mask: Given[ArrayLike, "*B T"] | None = None,
    reset: Given[ArrayLike, "*B T"] | None = None,
    reverse: bool = False,
    time_major: bool = False,
    outputs: Outputs = "all",
    method: Method = "auto",
    gradient: Gradient = "fused",
    key: jax.Array | None = None,
    remat: bool = False,
    block: int | np.integer | None = None,
    unroll: int | np.integer | None = None,
    dtype: Any = None,
) -> tuple[Carry, Float[Array, "... O"]]:
    """Runs a cell over a sequence and returns ``(carry, ys)`` like `jax.lax.scan`.

    Args:
      cell: made by a factory of `asrnn_jax.cells`.
      params: what ``cell.init`` made, or what ``cell.prepare`` made of it (to prepare once for many calls).
      xs: inputs ``(*B, T, I)``, or ``(T, *B, I)`` when `time_major`; any number of batch axes, none included.
      carry: where to start, leaves ``(*B, ...)``; by default ``cell.start``: `initial_carry`, or the trained
        start of a cell that has one. Feeding the returned carry to the next call continues the sequence: chunks equal
        the whole.
      lengths: integers ``(*B,)``: how many steps of each element count; later steps leave the state as it is, and with
        0 the initial carry comes back. One outside 0 .. T is an error; under `jax.jit`, where none can be raised, its
        element becomes NaN.
      mask: bool ``(*B, T)`` (``(T, *B)`` when `time_major`): where False the state is held and ``xs`` ignored.
      reset: bool, like `mask`: where True that batch element starts afresh before the step.
      reverse: run from the last step to the first; ``ys`` keep the order of ``xs``.
      time_major: axis order of ``xs``, `mask`, `reset` and ``ys``.
      outputs: "all" returns ``ys (*B, T, O)``; "last" only the final ``y (*B, O)``, of the last valid step of each
        element, and never builds the rest; of a bidirectional cell each direction's own end.
      method: "sequential": a loop over time; "associative_scan": all steps at once in about ``2 log2(T)`` parallel
        stages, for cells that are linear in their state; "chunked": many steps as a few products, for cells that have
        such a form; "auto": that where there is one, the associative scan for linear cells on accelerators, else the
        loop.
      gradient: "fused" (fast reverse mode) or "autodiff": JAX's own differentiation of the scan, which is
        slower and also supports forward mode (`jax.jacfwd`, `jax.jvp`) and higher derivatives.
      key: PRNG key for the dropout of cells that have it; None for none.
      remat: for the backward pass keep only about ``sqrt(T)`` carries and compute the rest again, one forward pass
        more: memory grows with ``sqrt(T)`` instead of T (`xs`, and all ``ys`` if
        asked for, still take memory in proportion to T).
      block: steps evaluated together; by default chosen for the batch and the cache on CPU, everything on accelerators.
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
    _check_options(outputs, gradient, method, block=block, unroll=unroll)
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
    block, unroll = (value if value is None else int(value) for value in (block, unroll))
    static = Static(outputs, method, gradient, reverse, time_major, remat, block, unroll, dtype, checks.wanted())
    return evaluate(cell, static, params, xs, carry, lengths, mask, reset, key)


def _check_options(outputs: str, gradient: str, method: str, **loop: int | np.integer | None) -> None:
    if outputs not in ("all", "last"):
        raise ValueError(f"outputs={outputs!r}: choose 'all' (every step) or 'last' (the final one).")
    if gradient not in ("fused", "autodiff"):
        raise ValueError(f"gradient={gradient!r}: choose 'fused' (fast reverse mode) or 'autodiff' (forward mode too).")
    if method not in ("auto", "sequential", "associative_scan", "chunked"):
        raise ValueError(
            f"method={method!r}: choose 'auto', 'sequential', 'associative_scan' (linear cells) or 'chunked' (such as "
            "attention)."
        )
    for name, value in loop.items():
        if value is not None and (not isinstance(value, int | np.integer) or value < 1):
            raise ValueError(f"{name}={value}: give a positive number of steps, or None to have it chosen.")


def step(
    cell: Cell,
    params: Params | Weights,
    carry: Carry,
    x: Given[ArrayLike, "*B I"],
    *,
    mask: Given[ArrayLike, "*B"] | None = None,
    reset: Given[ArrayLike, "*B"] | None = None,
) -> tuple[Carry, Float[Array, "*B O"]]:
    """One step of `run`, for streaming: ``(carry, y)``.

    Pass the weights of ``cell.prepare(params)`` rather than params when stepping often: preparing costs
    more than the step.

    Args:
      cell: made by a factory of `asrnn_jax.cells`.
      params: params or prepared weights.
      carry: leaves ``(*B, ...)``, from ``cell.start(weights, batch)`` or an earlier call.
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
def _step(cell: Cell, params: Params | Weights, carry: Carry, x: jax.Array, mask: Any, reset: Any):
    weights = as_weights(cell, params)
    fresh = cell.start(weights, x.shape[:-1], x.dtype) if reset is not None else None
    start = where_reset(reset, fresh, carry)
    x = where_valid(mask, x, jnp.zeros_like(x))
    end = where_valid(mask, cell.step(weights, start, cell.project(weights, x)), start)
    y = cell.readout(weights, end, x)
    return jax.tree.map(lambda e, c: e.astype(c.dtype), end, carry), y  # so that a scan over steps can carry it
