"""Lyapunov exponents of driven cells: how fast nearby states part, on average over a long input."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax.analysis.dynamics import Coordinates, Driven, compiled, driven
from asrnn_jax.analysis.products import NOTHING
from asrnn_jax.analysis.temporal import push
from asrnn_jax.cell import Carry, Cell, Params, Weights
from asrnn_jax.typing import Array, Float, Given


class Lyapunov(NamedTuple):
    exponents: Float[Array, "*B k"]
    """``(*B, k)`` in nats a step, in the order of their directions (descending, once converged). A direction that is
    lost exactly, even once, counts -1e30 for that step: its exponent is hugely negative, with an error as large."""
    standard_error: Float[Array, "*B k"]
    """``(*B, k)``, from the means of ten stretches of the input."""
    running: Float[Array, "*B N k"]
    """``(*B, N, k)``: the estimate after each orthogonalisation, to see it converge."""


@compiled("k", "warm_up", "every", "coordinates", "surrogate")
def lyapunov_spectrum(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    *,
    k: int | None = None,
    warm_up: int | None = None,
    every: int = 1,
    carry: Carry | None = None,
    coordinates: Coordinates = "state",
    surrogate: bool = False,
    key: jax.Array | None = None,
) -> Lyapunov:
    """The k largest Lyapunov exponents of a cell driven by `xs`, by the QR method.

    k directions are carried along by forward derivatives only (no D x D matrix is formed), and made orthonormal every
    so many steps; the mean logarithm of what that takes is the exponent. The largest is positive for chaos, 0 for a
    linear orthogonal cell, negative where the state forgets where it started.

    Args:
      cell: made by a factory of `asrnn_jax.cells`, or of your own.
      params: its params or prepared weights.
      xs: ``(*B, T, I)``; a few thousand steps of typical input.
      k: how many; None: all D.
      warm_up: steps before the averaging starts, in which state and directions settle; None: a tenth.
      every: steps between orthogonalisations. More than 1 is faster, and exact as long as the directions do not
        collapse onto each other in between.
      carry: where the sequence starts.
      coordinates: see `asrnn_jax.analysis.step_jacobian`; the exponents of "state" and "carry" are equal.
      surrogate: for spiking cells, see `asrnn_jax.analysis.step_jacobian`.
      key: of the random directions at the start.

    Raises:
      ValueError, TypeError: as `asrnn_jax.analysis.step_jacobian`; a k, warm_up or every that does not fit.

    Source: Benettin et al. 1980; for recurrent networks Vogt et al. 2022, arXiv:2006.14123.

    Example:
      >>> import jax, jax.numpy as jnp, asrnn_jax
      >>> from asrnn_jax import analysis
      >>> cell = asrnn_jax.cells.orthogonal(1, 6, activation="linear")
      >>> result = analysis.lyapunov_spectrum(cell, cell.init(jax.random.key(0)), jnp.ones((200, 1)), k=2)
      >>> bool(jnp.allclose(result.exponents, 0, atol=1e-5))
      True
    """
    d = driven(cell, params, xs, carry, coordinates, surrogate)
    size, steps = d.dynamics.size, d.xs.shape[1]
    k = size if k is None else k
    warm_up = steps // 10 if warm_up is None else warm_up
    if not 1 <= k <= size:
        raise ValueError(f"k={k}: the state has {size} coordinates, so there are 1 to {size} exponents.")
    if every < 1 or warm_up < 0 or (steps - warm_up) // every < 10:
        raise ValueError(
            f"warm_up={warm_up}, every={every} with {steps} steps: at least 10 orthogonalisations must come after the "
            "warm-up; give a longer input."
        )
    rates = log_rates(d, k, (steps - warm_up) // every, every, key)

    def of_one(rates):
        running = jnp.cumsum(rates, axis=0) / jnp.arange(1, len(rates) + 1, dtype=rates.dtype)[:, None]
        tenth = len(rates) // 10
        means = rates[len(rates) - 10 * tenth :].reshape(10, tenth, k).mean(axis=1)
        return Lyapunov(running[-1], means.std(axis=0, ddof=1) / 10**0.5, running)

    return d.unbatched(jax.vmap(of_one)(rates))


def log_rates(d: Driven, k: int, stretches: int, every: int, key: jax.Array | None) -> Float[Array, "N S k"]:
    """How fast k directions grow in each of the last stretches of `every` steps, ``(N, stretches, k)``, nats a step.

    Directions start at random and settle in the steps before, one orthogonalisation a step. Differentiable.
    """
    size, steps = d.dynamics.size, d.xs.shape[1]
    start = jnp.linalg.qr(jax.random.normal(jax.random.key(0) if key is None else key, (size, k), d.xs.dtype))[0]
    skipped = steps - stretches * every

    def of_one(states, xs):
        def stretch(Q, ats):
            for i in range(every):
                Q = push(d.dynamics, ats[0][i], ats[1][i], Q)
            return orthonormal(Q)

        def one(Q, at):
            return orthonormal(push(d.dynamics, at[0], at[1], Q))[0], None

        Q, _ = jax.lax.scan(one, start, (states[:skipped], xs[:skipped]))
        ats = states[skipped:-1].reshape(-1, every, size), xs[skipped:].reshape(-1, every, xs.shape[-1])
        return jax.lax.scan(stretch, Q, ats)[1] / every

    return jax.vmap(of_one)(d.states(), d.xs)


@jax.custom_jvp
def orthonormal(V: Float[Array, "D k"]) -> tuple[Float[Array, "D k"], Float[Array, " k"]]:
    """Q and ``log |R_ii|`` of ``V = Q R``; `NOTHING` for a direction that is lost."""
    return _orthonormal(V)[:2]


@orthonormal.defjvp
def _orthonormal_jvp(primals, tangents):
    """With ``M = Q^T dV R^-1``: ``Q^T dQ`` is skew with M's lower triangle, and ``d log |R_ii| = M_ii``.

    A lost direction has no derivative, and the others have none by it.
    """
    (V,), (dV,) = primals, tangents
    Q, log, R = _orthonormal(V)
    lost = log <= NOTHING / 2
    safe = jnp.where(lost[:, None] | lost[None], jnp.eye(len(R), dtype=R.dtype), R)
    W = jnp.where(lost[None], 0, jax.scipy.linalg.solve_triangular(safe, dV.T, trans="T").T)
    M = jnp.where(lost[:, None], 0, Q.T @ W)
    lower = jnp.tril(M, -1)
    return (Q, log), (W - Q @ (Q.T @ W) + Q @ (lower - lower.T), jnp.diagonal(M))


def _orthonormal(V):
    Q, R = jnp.linalg.qr(V)
    grown = jnp.abs(jnp.diagonal(R))
    return Q, jnp.where(grown == 0, NOTHING, jnp.log(jnp.where(grown == 0, 1, grown))), R
