"""What dense cells share: the input product and orthogonal kernels."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def affine(xs: jax.Array, W: jax.Array, b: jax.Array) -> jax.Array:
    """``xs W + b`` for inputs ``(..., I)``, a kernel ``(I, K)`` and a bias ``(K,)``."""
    product = xs @ W
    return product + jnp.broadcast_to(b, product.shape)


def orthogonal_kernel(key: jax.Array, shape: tuple[int, int], dtype) -> jax.Array:
    """A random kernel with orthonormal rows or columns, drawn in at least float32."""
    return jax.nn.initializers.orthogonal()(key, shape, jnp.promote_types(dtype, jnp.float32)).astype(dtype)
