"""Long products of matrices whose singular values leave the range of floating point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.typing import Array, Float

NOTHING = -1e30  # logarithm that stands for 0


class Graded(NamedTuple):
    """The matrix ``Q diag(exp(log_scale)) T``."""

    Q: Float[Array, "D D"]
    """(D, D), orthogonal."""
    log_scale: Float[Array, " D"]
    """(D,), about descending."""
    T: Float[Array, "D D"]
    """(D, D), well conditioned, rows of norm 1."""

    @staticmethod
    def identity(size: int, dtype: Any) -> Graded:
        return Graded(jnp.eye(size, dtype=dtype), jnp.zeros(size, dtype), jnp.eye(size, dtype=dtype))


def times(J: Callable[[jax.Array], jax.Array], product: Graded) -> Graded:
    """``J product`` for a linear map of columns.

    ``(J Q) diag(e^l) T = Q' R diag(e^l) T``. Columns go in the order of their size (pivoting before the QR), so that no
    entry ``R_ij e^(l_j)`` of a row is much larger than the diagonal's: the rows' norms become the new scales, and what
    is left is well conditioned. Source: the stratified products of Bai, Lee, Li, Xu 2011 (determinant Monte Carlo).
    """
    M = J(product.Q)
    size = _log(jnp.linalg.norm(M, axis=0)) + product.log_scale
    order = jnp.argsort(-size)
    Q, R = jnp.linalg.qr(M[:, order])
    R = jnp.triu(R)
    rows = _log(jnp.abs(R)) + product.log_scale[order][None, :]
    largest = rows.max(axis=1)
    scaled = jnp.where(R == 0, 0, jnp.sign(R) * jnp.exp(rows - largest[:, None]))
    gone = largest <= NOTHING / 2  # a row of zeros: any direction will do, its scale is nothing
    scaled = jnp.where(gone[:, None], jnp.eye(len(R), dtype=R.dtype), scaled)
    T = scaled @ product.T[order]
    norms = jnp.linalg.norm(T, axis=1)
    scale = jnp.where(gone, jnp.asarray(NOTHING, R.dtype), largest + jnp.log(norms))
    return Graded(Q, scale, T / norms[:, None])


def log_singular_values(product: Graded, sweeps: int = 30) -> Float[Array, " D"]:
    """Logarithms of the singular values, descending.

    One-sided Jacobi rotations make the rows of ``diag(e^l) T`` orthogonal, two at a time; their norms are the singular
    values. Rows are unit vectors u with logarithms of their norms. With norms ``alpha >= beta = rho alpha`` and
    ``c = u_p . u_q`` the tangent of the rotation is ``rho tau``,

        tau = -2 c / (1 - rho^2 + sqrt(4 c^2 rho^2 + (1 - rho^2)^2)),

    which stays finite however small rho is. Source: Demmel, Veselic 1992 (one-sided Jacobi keeps small values' digits).
    """
    n = len(product.log_scale)
    rounds = jnp.asarray(_tournament(n + n % 2))
    odd = n % 2
    u = jnp.pad(product.T, ((0, odd), (0, 0)))
    log_norm = jnp.pad(product.log_scale, (0, odd), constant_values=2 * NOTHING)
    tolerance = n * jnp.finfo(u.dtype).eps

    def rotate(state, pairs):
        u, log, worst = state
        i, j = pairs[:, 0], pairs[:, 1]
        p, q = jnp.where(log[i] >= log[j], i, j), jnp.where(log[i] >= log[j], j, i)
        rho = jnp.exp(log[q] - log[p])[:, None]
        u_p, u_q = u[p], u[q]
        c = jnp.sum(u_p * u_q, axis=1, keepdims=True)
        gap = 1 - rho**2
        below = gap + jnp.sqrt(4 * c**2 * rho**2 + gap**2)
        tau = jnp.where(c == 0, 0, -2 * c / jnp.where(below == 0, 1, below))
        cos = 1 / jnp.sqrt(1 + (rho * tau) ** 2)
        new_p, new_q = cos * (u_p - rho**2 * tau * u_q), cos * (tau * u_p + u_q)
        n_p, n_q = jnp.linalg.norm(new_p, axis=1), jnp.linalg.norm(new_q, axis=1)
        u = u.at[p].set(new_p / _positive(n_p)[:, None]).at[q].set(new_q / _positive(n_q)[:, None])
        log = log.at[p].add(_log(n_p)).at[q].add(_log(n_q))
        return (u, log, jnp.maximum(worst, jnp.abs(c).max())), None

    def sweep(state):
        u, log, _, done = state
        (u, log, worst), _ = jax.lax.scan(rotate, (u, log, jnp.zeros((), u.dtype)), rounds)
        return u, log, worst, done + 1

    def unfinished(state):
        return (state[2] > tolerance) & (state[3] < sweeps)

    start = (u, log_norm, jnp.full((), jnp.inf, u.dtype), 0)
    _, log_norm, _, _ = jax.lax.while_loop(unfinished, sweep, start)
    return -jnp.sort(-log_norm)[:n]


def _tournament(n: int) -> np.ndarray:
    """``(n - 1, n / 2, 2)``: rounds in which every two of n meet once (the circle method)."""
    players = list(range(n))
    rounds = []
    for _ in range(n - 1):
        rounds.append([(players[i], players[n - 1 - i]) for i in range(n // 2)])
        players.insert(1, players.pop())
    return np.array(rounds).reshape(n - 1, n // 2, 2)


def _positive(norm: Float[Array, "*N"]) -> Float[Array, "*N"]:
    return jnp.where(norm == 0, 1, norm)


def _log(norm: Float[Array, "*N"]) -> Float[Array, "*N"]:
    return jnp.where(norm == 0, NOTHING, jnp.log(_positive(norm)))
