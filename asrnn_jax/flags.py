"""What run does with masks, lengths and resets besides handing them to the loop; arrays ``(T, N, ...)``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike

from asrnn_jax.cell import Cell, Shape
from asrnn_jax.loop import where


def as_flags(name: str, flags: ArrayLike | None, shape: Shape) -> jax.Array | None:
    """A mask or resets as an array, or an error that names what is wrong with it."""
    if flags is None:
        return None
    flags = jnp.asarray(flags)
    if flags.dtype != bool:
        raise TypeError(f"{name} has dtype {flags.dtype}: pass booleans, for example {name} > 0.")
    if flags.shape != shape:
        raise ValueError(f"{name} has shape {flags.shape}, but xs asks for {shape}: one flag a step and batch element.")
    return flags


def as_lengths(lengths: ArrayLike, batch: Shape, steps: int) -> jax.Array:
    """Lengths as an array, or an error that names what is wrong with them."""
    known = None if isinstance(lengths, Tracer) else np.asarray(lengths)
    lengths = jnp.asarray(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"lengths has dtype {lengths.dtype}: pass integers.")
    if lengths.shape != batch:
        raise ValueError(f"lengths has shape {lengths.shape}, but the batch axes of xs are {batch}: one length each.")
    if known is not None and known.size and not 0 <= known.min() <= known.max() <= steps:
        raise ValueError(f"lengths range over [{known.min()}, {known.max()}], but xs has {steps} steps.")
    return lengths


def last_step(a: jax.Array, reverse: bool) -> jax.Array:
    return a[0 if reverse else -1]


def last_valid(a: jax.Array, mask: jax.Array | None, reverse: bool) -> jax.Array:
    """Of ``a (T, N, ...)`` the last valid step of each element; where there is none, zeros or the first step."""
    if a.shape[0] == 0:
        return jnp.zeros(a.shape[1:], a.dtype)
    if mask is None:
        return last_step(a, reverse)
    last = jnp.argmax(jnp.where(mask, _order(a.shape[0], reverse), 0), axis=0)
    return jnp.take_along_axis(a, last[None, :, None], axis=0)[0]


def starts_of_the_other_way(reset: jax.Array | None, reverse: bool) -> jax.Array | None:
    """Where sequences begin for a pass the other way: at the step before each reset, in the order of the run."""
    if reset is None:
        return None
    none = jnp.zeros_like(reset[:1])
    return jnp.concatenate([none, reset[:-1]] if reverse else [reset[1:], none])


def _order(steps: int, reverse: bool) -> jax.Array:
    """When each step is taken, counted from 1, as ``(T, 1)``."""
    order = jnp.arange(1, steps + 1)[:, None]
    return order[::-1] if reverse else order


def quarantine(cell: Cell, xs, carry, mask, reset, reverse):
    """Replaces non-finite inputs by 0 and says which steps they would have reached: until the next reset.

    Computing with NaN and discarding the result by `where` keeps values clean but not gradients
    (0 * NaN = NaN), so the NaN is taken out before the loop and put back after it.
    """
    bad = ~jnp.isfinite(xs).all(-1)
    bad = bad if mask is None else bad & mask
    good_start = jnp.stack([jnp.isfinite(c).all(tuple(range(1, c.ndim))) for c in jax.tree.leaves(carry)]).all(0)
    poisoned = _reached(bad, good_start, reset, reverse)
    if cell.both_directions:
        poisoned |= _reached(bad, good_start, starts_of_the_other_way(reset, reverse), not reverse)
    xs = jnp.where(bad[..., None], 0, xs)
    return xs, where(good_start, carry, jax.tree.map(jnp.zeros_like, carry)), poisoned


def _reached(bad: jax.Array, good_start: jax.Array, reset: Any, reverse: bool) -> jax.Array:
    """Steps ``(T, N)`` at or after a bad one, or a bad start, with no reset between."""

    def latest(flags):
        return lax.cummax(jnp.where(flags, _order(len(bad), reverse), -1), axis=0, reverse=reverse)

    last_bad = jnp.maximum(latest(bad), jnp.where(good_start, -1, 0)[None])
    return (last_bad >= latest(reset)) & (last_bad >= 0)
