"""Maps from the ``n (n - 1) / 2`` numbers of a skew-symmetric matrix to an orthogonal matrix.

All are computed in at least float32 and in full matrix precision on every backend, and end with one
Newton-Schulz step, which squares what orthogonality error the solve or the squarings of the exponential
left (an error of 1e-4 becomes 1e-8). All matrices are ``(n, n)``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.dtypes import precisely


def size(n: int) -> int:
    """Number of free entries of an ``n x n`` skew-symmetric matrix, ``n (n - 1) / 2``."""
    return n * (n - 1) // 2


def skew(entries: jax.Array, n: int) -> jax.Array:
    """The skew-symmetric ``A (n, n)`` whose strict upper triangle, row by row, holds `entries`, ``(size(n),)``."""
    upper = jnp.zeros((n, n), entries.dtype).at[np.triu_indices(n, 1)].set(entries)
    return upper - upper.T


def entries(A: jax.Array) -> jax.Array:
    """Inverse of `skew`: the strict upper triangle of ``A``, row by row, ``(size(n),)``."""
    return A[np.triu_indices(A.shape[0], 1)]


@precisely
def polish(Q: jax.Array) -> jax.Array:
    """One Newton-Schulz step ``Q (3 I - Q^T Q) / 2`` towards the nearest orthogonal matrix."""
    return 1.5 * Q - 0.5 * Q @ (Q.T @ Q)


@precisely
def cayley(A: jax.Array) -> jax.Array:
    """Cayley transform ``(I + A)^{-1} (I - A)`` of a skew-symmetric ``A``.

    Reaches every rotation without eigenvalue -1. An entry ``a`` of a 2x2 block turns by ``2 arctan(a)``.
    Source: Helfrich et al. 2018, arXiv:1707.09520, eq. 3.
    """
    eye = jnp.eye(A.shape[0], dtype=A.dtype)
    return polish(jnp.linalg.solve(eye + A, eye - A))


@precisely
def expm(A: jax.Array) -> jax.Array:
    """Matrix exponential of a skew-symmetric ``A``: every rotation; a 2x2 block of entry ``a`` turns by ``a``.

    In float32 it is good up to norms of about 1e4 and not a number from 1e6: let the base move
    (``dynamic=True``) for long training. Source: Lezcano-Casado, Martinez-Rubio 2019, arXiv:1901.08428.
    """
    return polish(jax.scipy.linalg.expm(A))


@precisely
def cayley_inverse(Q: jax.Array) -> jax.Array:
    """The ``A`` with ``cayley(A) = Q``; the transform is its own inverse."""
    eye = jnp.eye(Q.shape[0], dtype=Q.dtype)
    A = jnp.linalg.solve(eye + Q, eye - Q)
    return (A - A.T) / 2


@precisely
def logm(Q: jax.Array) -> jax.Array:
    """The skew ``A`` with ``expm(A) = Q`` for a rotation without eigenvalue -1.

    ``K = (Q - Q^T)/2`` and ``S = (Q + Q^T)/2`` commute and have sin and cos of the same angles, hence
    ``A = f(S) K`` with ``f(cos t) = t / sin t``: a symmetric eigenproblem, which runs on every backend.
    """
    cos, V = jnp.linalg.eigh((Q + Q.T) / 2)
    sin = jnp.linalg.norm((Q - Q.T) / 2 @ V, axis=0)
    angle = jnp.arctan2(sin, cos)
    ratio = jnp.where(sin > 1e-6, angle / jnp.maximum(sin, 1e-6), 1.0)
    A = (V * ratio[None]) @ V.T @ (Q - Q.T) / 2
    return (A - A.T) / 2


@precisely
def nearest(Q: jax.Array) -> jax.Array:
    """The orthogonal matrix nearest to ``Q`` in the Frobenius norm (its polar factor)."""
    U, _, Vh = jnp.linalg.svd(Q, full_matrices=False)
    return polish(U @ Vh)
