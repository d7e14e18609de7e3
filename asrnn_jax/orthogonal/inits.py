"""Where a trained orthogonal matrix starts: as plane rotations by random angles, or anywhere.

A name stands for the same angles whatever the map: small angles remember long, wide ones oscillate. Which serve which
task is measured in ``experiments/results``: small ones learn sequential MNIST three times as fast, wide ones permuted
MNIST.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from asrnn_jax.dtypes import at_least_float32
from asrnn_jax.orthogonal.maps import entries


def identity(key, shape, dtype) -> jax.Array:
    """Angles of 0: the identity (times the signs of a scaled Cayley transform)."""
    return jnp.zeros(shape, dtype)


def henaff(key, shape, dtype) -> jax.Array:
    """Angles U(-pi, pi). Source: Henaff et al. 2016, arXiv:1602.06662."""
    return jax.random.uniform(key, shape, dtype, -jnp.pi, jnp.pi)


def cayley(key, shape, dtype) -> jax.Array:
    """Angles U(-pi/2, 0). Source: Helfrich et al. 2018, arXiv:1707.09520, whose entries -tan(s/2) turn by -s."""
    return -jax.random.uniform(key, shape, dtype, 0.0, jnp.pi / 2)


def exprnn(key, shape, dtype) -> jax.Array:
    """Angles ``-tan(s/2)``, ``s ~ U(0, pi/2)``: between -1 and 0, and more of them small than with `cayley`.

    The entries of `cayley`, which the authors of expRNN and of asRNN give to the matrix exponential on MNIST. Source:
    Lezcano-Casado, Martinez-Rubio 2019, arXiv:1901.08428.
    """
    return jnp.tan(cayley(key, shape, dtype) / 2)


def log(key, shape, dtype) -> jax.Array:
    """Angles of either sign whose size is log-uniform between pi/1000 and pi: as many slow planes as fast ones."""
    k_size, k_sign = jax.random.split(key)
    size = jnp.exp(jax.random.uniform(k_size, shape, dtype, math.log(jnp.pi / 1000), math.log(jnp.pi)))
    return size * jax.random.rademacher(k_sign, shape, dtype)


# (key, (number,), dtype) -> angles (number,), one of each plane
ANGLES = {"henaff": henaff, "cayley": cayley, "exprnn": exprnn, "log": log, "identity": identity}
INITS = (*ANGLES, "haar")
"""The names of initial values, for `asrnn_jax.orthogonal.parametrization`: of angles, and "haar"."""


def rotations(angles: jax.Array, n: int, angle_to_entry: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Entries of the skew matrix that turns the planes (0, 1), (2, 3), ...; an odd last axis stays as it is."""
    even = jnp.arange(0, n - 1, 2)
    return entries(jnp.zeros((n, n), angles.dtype).at[even, even + 1].set(angle_to_entry(angles)))


def haar(key, n: int, from_matrix: Callable[[jax.Array], jax.Array], dtype) -> jax.Array:
    """Entries for a rotation drawn uniformly (Haar measure on SO(n))."""
    Q = jax.random.orthogonal(key, n, dtype=at_least_float32(dtype))
    Q = Q.at[:, 0].multiply(jnp.sign(jnp.linalg.det(Q)))
    return entries(from_matrix(Q)).astype(dtype)
