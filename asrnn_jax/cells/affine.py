"""The input product every dense cell shares."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def affine(xs: jax.Array, W: jax.Array, b: jax.Array) -> jax.Array:
    """``xs W + b`` for inputs ``(..., I)``, a kernel ``(I, K)`` and a bias ``(K,)``."""
    product = xs @ W
    return product + jnp.broadcast_to(b, product.shape)
