"""Initial values of a skew-symmetric matrix, each ``(key, n, angle_to_entry, from_matrix, dtype) -> entries``.

`henaff` and `cayley` fill the 2x2 blocks on the diagonal, so the matrix starts as plane rotations.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from asrnn_jax.dtypes import at_least_float32
from asrnn_jax.orthogonal.maps import entries


def _blocks(values: jax.Array, n: int) -> jax.Array:
    """Entries of the skew matrix with `values` in the blocks (0, 1), (2, 3), ...; an odd last row stays 0."""
    even = jnp.arange(0, n - 1, 2)
    return entries(jnp.zeros((n, n), values.dtype).at[even, even + 1].set(values))


def identity(key, n: int, angle_to_entry: Callable, from_matrix: Callable, dtype) -> jax.Array:
    """All zeros: the identity (times the signs of a scaled Cayley transform)."""
    return jnp.zeros(n * (n - 1) // 2, dtype)


def henaff(key, n: int, angle_to_entry: Callable, from_matrix: Callable, dtype) -> jax.Array:
    """Rotation angles U(-pi, pi). Source: Henaff et al. 2016, arXiv:1602.06662."""
    return _blocks(angle_to_entry(jax.random.uniform(key, (n // 2,), dtype, -jnp.pi, jnp.pi)), n)


def cayley(key, n: int, angle_to_entry: Callable, from_matrix: Callable, dtype) -> jax.Array:
    """Entries ``-sqrt((1 - cos s) / (1 + cos s))``, ``s ~ U(0, pi/2)``, whatever the map.

    Under the Cayley transform these are rotations by s. Source: Helfrich et al. 2018, arXiv:1707.09520.
    """
    s = jax.random.uniform(key, (n // 2,), dtype, 0.0, jnp.pi / 2)
    return _blocks(-jnp.sqrt((1 - jnp.cos(s)) / (1 + jnp.cos(s))), n)


def haar(key, n: int, angle_to_entry: Callable, from_matrix: Callable, dtype) -> jax.Array:
    """A rotation drawn uniformly (Haar measure on SO(n))."""
    Q = jax.random.orthogonal(key, n, dtype=at_least_float32(dtype))
    Q = Q.at[:, 0].multiply(jnp.sign(jnp.linalg.det(Q)))
    return entries(from_matrix(Q)).astype(dtype)


INITS = {"henaff": henaff, "cayley": cayley, "haar": haar, "identity": identity}
"""The initial values by their names, for `asrnn_jax.orthogonal.parametrization`."""
