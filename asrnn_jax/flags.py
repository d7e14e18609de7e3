"""Masks, lengths and resets as `run` uses them, and what keeps NaN from crossing them; arrays ``(T, *B, ...)``."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike

from asrnn_jax.cell import Cell, Shape
from asrnn_jax.loop import finite, first_step, zeros_where
from asrnn_jax.typing import Array, Bool, Float, Given, Int


def as_flags(name: str, flags: Given[ArrayLike, " ..."] | None, shape: Shape) -> Bool[Array, " ..."] | None:
    """A mask or resets as an array, or an error that names what is wrong with it."""
    if flags is None:
        return None
    flags = jnp.asarray(flags)
    if flags.dtype != bool:
        raise TypeError(f"{name} has dtype {flags.dtype}: pass booleans, for example {name} > 0.")
    if flags.shape != shape:
        raise ValueError(f"{name} has shape {flags.shape}, but xs asks for {shape}: one flag a step and batch element.")
    return flags


def as_lengths(lengths: Given[ArrayLike, "*B"], batch: Shape, steps: Any) -> Int[Array, "*B"]:
    """Lengths as an array, or an error that names what is wrong with them."""
    known = None if isinstance(lengths, Tracer) else np.asarray(lengths)
    lengths = jnp.asarray(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"lengths has dtype {lengths.dtype}: pass integers.")
    if lengths.shape != batch:
        raise ValueError(f"lengths has shape {lengths.shape}, but the batch axes of xs are {batch}: one length each.")
    if known is None or not known.size:
        return lengths
    if known.min() < 0 or (isinstance(steps, int) and known.max() > steps):
        raise ValueError(f"lengths range over [{known.min()}, {known.max()}], but xs has {steps} steps.")
    return lengths


def last_valid(a: Float[Array, "T *B k"], mask: Bool[Array, " T *B"] | None, reverse: bool) -> Float[Array, "*B k"]:
    """Of ``a (T, *B, k)`` the last valid step of each element; where there is none, zeros or the first step."""
    if a.shape[0] == 0:
        return jnp.zeros(a.shape[1:], a.dtype)
    if mask is None:
        return first_step(a, not reverse)
    last = jnp.argmax(jnp.where(mask, _order(mask, reverse), 0), axis=0)
    return jnp.take_along_axis(a, last[None, ..., None], axis=0)[0]


def starts_of_the_other_way(reset: Bool[Array, " T *B"] | None, reverse: bool) -> Bool[Array, " T *B"] | None:
    """Resets of the pass in the opposite direction: one step before each reset, in the order of the run."""
    if reset is None:
        return None
    none = jnp.zeros_like(reset[:1])
    return jnp.concatenate([none, reset[:-1]] if reverse else [reset[1:], none])


def _order(flags: Bool[Array, " T *B"], reverse: bool) -> Int[Array, " T *B"]:
    """When each step of ``flags (T, *B)`` is taken, counted from 1, in its shape."""
    order = jnp.arange(1, flags.shape[0] + 1)
    return jnp.broadcast_to(
        jnp.expand_dims(order[::-1] if reverse else order, tuple(range(1, flags.ndim))), flags.shape
    )


def quarantine(xs, carry, mask):
    """Replaces non-finite inputs and starts by 0: ``-> (xs, carry, bad (T, *B), bad_start (*B,))``.

    Computing with NaN and discarding the result by `where` keeps values clean but not gradients
    (0 * NaN = NaN), so the NaN is taken out before the loop and put back after it.
    """
    bad = ~finite(xs, xs.ndim - 1)
    bad = bad if mask is None else bad & mask
    bad_start = ~finite(carry, xs.ndim - 2)
    return zeros_where(bad, xs), zeros_where(bad_start, carry), bad, bad_start


def reached(
    cell: Cell, bad: Bool[Array, " T *B"], bad_start: Bool[Array, "*B"], reset: Bool[Array, " T *B"], reverse: bool
) -> Bool[Array, " T *B"]:
    """Steps ``(T, *B)`` at or after a bad one, or a bad start, with no reset between."""
    found = _reached(bad, bad_start, reset, reverse)
    if cell.both_directions:
        found |= _reached(bad, bad_start, starts_of_the_other_way(reset, reverse), not reverse)
    return found


def _reached(
    bad: Bool[Array, " T *B"], bad_start: Bool[Array, "*B"], reset: Any, reverse: bool
) -> Bool[Array, " T *B"]:
    def latest(flags):
        return lax.cummax(jnp.where(flags, _order(flags, reverse), -1), axis=0, reverse=reverse)

    last_bad = jnp.maximum(latest(bad), jnp.where(bad_start, 0, -1)[None])
    return (last_bad >= latest(reset)) & (last_bad >= 0)
