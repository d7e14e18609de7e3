"""What cells with a matrix as their state share: how it fades within a chunk of time, and triangular systems."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.loop.chunked import Steps

SMALL = 10
"""Rows up to which a triangular matrix is inverted by its powers: their numbers, which cancel, stay below 130 times
those of the matrix."""


class Fading(NamedTuple):
    """What is left at each of T steps of what was there before."""

    written: jax.Array  # (*B, heads, T, T): at step t, of what step s wrote; 0 for s > t
    carry: jax.Array  # (*B, heads, T): of the carry that enters the chunk


def fading(log_keep: jax.Array, steps: Steps) -> Fading:
    """From the logarithm of what each step keeps, ``(T, *B, heads)``; masked steps keep all, resets nothing."""
    log_keep = jnp.moveaxis(log_keep, 0, -1)
    order = jnp.broadcast_to(jnp.tri(log_keep.shape[-1], dtype=bool), (*log_keep.shape, log_keep.shape[-1]))
    if steps.whole:
        faded = jnp.cumsum(log_keep, axis=-1)
        return Fading(_fade(order, faded), jnp.exp(faded))
    valid, sequence = (jnp.broadcast_to(jnp.moveaxis(a, 0, -1)[..., None, :], log_keep.shape) for a in steps[:2])
    faded = jnp.cumsum(jnp.where(valid, log_keep, 0), axis=-1)
    same = sequence[..., :, None] == sequence[..., None, :]
    return Fading(_fade(order & same, faded), jnp.where(sequence == 0, jnp.exp(faded), 0))


def _fade(seen: jax.Array, faded: jax.Array) -> jax.Array:
    return jnp.exp(jnp.where(seen, faded[..., :, None] - faded[..., None, :], -jnp.inf))


def chunk_size(d: int) -> int:
    """Steps of a chunk at which products among its steps cost about what those with a matrix ``(d, d)`` do."""
    return min(max(d, 16), 64)


def head_first(a: jax.Array) -> jax.Array:
    """``(T, *B, heads, d)`` as ``(*B, heads, T, d)``."""
    return jnp.moveaxis(a, 0, -2)


def only_valid(a: jax.Array, steps: Steps) -> jax.Array:
    """``a (*B, heads, T, k)`` with 0 at masked steps."""
    if steps.whole:
        return a
    return jnp.where(jnp.broadcast_to(jnp.moveaxis(steps.valid, 0, -1)[..., None, :, None], a.shape), a, 0)


@jax.custom_jvp
def solve_unit_lower(L: jax.Array, b: jax.Array) -> jax.Array:
    """x with ``(1 + L) x = b``; L ``(..., n, n)`` is 0 on its diagonal and above, b ``(..., n, k)``.

    By the inverse, which is made of the inverses of both halves, and so on down to small ones.
    """
    return inverse_of_unit_lower(L) @ b


@solve_unit_lower.defjvp
def _solve_unit_lower_jvp(primals, tangents):
    (L, b), (dL, db) = primals, tangents
    inverse = inverse_of_unit_lower(L)
    x = inverse @ b
    return x, inverse @ (db - dL @ x)


def inverse_of_unit_lower(L: jax.Array) -> jax.Array:
    """``(1 + L)^-1``."""
    n = L.shape[-1]
    if n <= SMALL:
        return _small_inverse(L)
    half = (n + 1) // 2
    L = jnp.pad(L, [(0, 0)] * (L.ndim - 2) + [(0, n % 2)] * 2)
    first, second = L[..., :half, :half], L[..., half:, half:]
    both = inverse_of_unit_lower(jnp.stack([first, second], axis=-3))
    first, second = both[..., 0, :, :], both[..., 1, :, :]
    below = -(second @ L[..., half:, :half] @ first)
    top = jnp.concatenate([first, jnp.zeros_like(first)], axis=-1)
    return jnp.concatenate([top, jnp.concatenate([below, second], axis=-1)], axis=-2)[..., :n, :n]


def _small_inverse(L: jax.Array) -> jax.Array:
    """``(1 - L) (1 + L^2) (1 + L^4) ...``, exact since ``L^n`` is 0."""
    n = L.shape[-1]
    one = jnp.broadcast_to(jnp.eye(n, dtype=L.dtype), L.shape)
    inverse, power = one - L, 2
    while power < n:
        L, power = L @ L, 2 * power
        inverse = inverse + inverse @ L
    return inverse
