"""How a state depends on one many steps earlier: ``dh_t / dh_s`` and its singular values.

States are counted ``h_0`` (the start), ``h_1``, ... ``h_T``, so a sequence of T inputs has T + 1 of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse.linalg import lobpcg_standard
from jax.typing import ArrayLike

from asrnn_jax.analysis.dynamics import Coordinates, Dynamics, check_memory, compiled, driven
from asrnn_jax.analysis.products import Graded, log_singular_values, times
from asrnn_jax.cell import Carry, Cell, Params, Weights
from asrnn_jax.typing import Array, Float, Given


@compiled("s", "t", "coordinates", "surrogate")
def temporal_jacobian(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    s: int,
    t: int,
    *,
    carry: Carry | None = None,
    coordinates: Coordinates = "state",
    surrogate: bool = False,
) -> Float[Array, "*B D D"]:
    """``dh_t / dh_s``, the product of the steps' Jacobians from s + 1 to t.

    Over hundreds of steps its entries can pass the range of floating point; `temporal_spectrum` has the singular
    values without that limit.

    Args:
      xs: ``(*B, T, I)``.
      s, t: ``0 <= s <= t <= T``; h_0 is the start.
      cell, params, carry, coordinates, surrogate: as `jacobian_spectrum`.

    Returns:
      ``(*B, D, D)``.

    Raises:
      ValueError, TypeError: as `step_jacobian`; a span outside the trajectory.
      MemoryError: as `step_jacobian`.
    """
    d = driven(cell, params, xs, carry, coordinates, surrogate)
    _check_span(s, (t,), d.xs.shape[1])
    check_memory("temporal_jacobian", d, "top_singular_values, which needs no matrix")

    def of_one(states, xs):
        def body(product, at):
            return push(d.dynamics, at[0], at[1], product), None

        return jax.lax.scan(body, jnp.eye(d.dynamics.size, dtype=states.dtype), (states[s:t], xs[s:t]))[0]

    return d.unbatched(jax.vmap(of_one)(d.states(), d.xs))


def temporal_spectrum(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    s: int,
    ts: Sequence[int] | ArrayLike,
    *,
    carry: Carry | None = None,
    coordinates: Coordinates = "state",
    surrogate: bool = False,
) -> Float[Array, "*B N D"]:
    """Natural logarithms of the singular values of ``dh_t / dh_s`` for several t, over any number of steps.

    The product is kept as Q diag(exp(l)) T with the scales l in logarithms, so that nothing overflows or underflows and
    small singular values keep their digits beside large ones; at each t one-sided Jacobi rotations, likewise in
    logarithms, make singular values of it.

    Args:
      xs: ``(*B, T, I)``.
      s: where the spans start, h_0 is the start of the sequence.
      ts: where they end, ascending, ``s <= t <= T``.
      cell, params, carry, coordinates, surrogate: as `jacobian_spectrum`.

    Returns:
      ``(*B, len(ts), D)``, descending. Directions that are lost exactly (a row of zeros) are below -1e29; a matrix that
      is singular only up to rounding has small values there, not these.

    Raises:
      ValueError, TypeError: as `step_jacobian`; a span outside the trajectory.
      MemoryError: as `step_jacobian`.
    """
    ends = tuple(int(t) for t in np.atleast_1d(np.asarray(ts)))
    return _temporal_spectrum(cell, params, xs, int(s), ends, carry, coordinates, surrogate)


@compiled("s", "ts", "coordinates", "surrogate")
def _temporal_spectrum(
    cell: Cell, params, xs, s: int, ts: tuple[int, ...], carry, coordinates, surrogate
) -> Float[Array, "*B N D"]:
    d = driven(cell, params, xs, carry, coordinates, surrogate)
    _check_span(s, ts, d.xs.shape[1])
    D = d.dynamics.size
    check_memory("temporal_spectrum", d, "top_singular_values or lyapunov_spectrum(k=...)", 3)
    if ts[-1] == s:  # no step at all: the identity
        return d.unbatched(jnp.zeros((len(d.xs), len(ts), D), d.xs.dtype))
    intervals = jnp.stack([jnp.array([s, *ts[:-1]]), jnp.array(ts)], axis=1)

    def of_one(element):
        states, xs = element

        def advance(i, product):
            return times(lambda Q: push(d.dynamics, states[i], xs[i], Q), product)

        def until(product, interval):
            product = jax.lax.fori_loop(interval[0], interval[1], advance, product)
            return product, log_singular_values(product)

        return jax.lax.scan(until, Graded.identity(D, states.dtype), intervals)[1]

    return d.unbatched(jax.lax.map(of_one, (d.states(), d.xs)))


class TopSingularValues(NamedTuple):
    values: Float[Array, "*B k"]
    """``(*B, k)``, descending."""
    residuals: Float[Array, "*B k"]
    """``(*B, k)``: ``|J^T J v - sigma^2 v| / sigma_max^2`` of each; small where it has converged."""


@compiled("s", "t", "k", "iterations", "coordinates", "surrogate")
def top_singular_values(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    s: int,
    t: int,
    *,
    k: int = 5,
    iterations: int = 100,
    key: jax.Array | None = None,
    carry: Carry | None = None,
    coordinates: Coordinates = "state",
    surrogate: bool = False,
) -> TopSingularValues:
    """The largest singular values of ``dh_t / dh_s`` without the matrix, for large D: LOBPCG on ``J^T J``.

    Products with J and its transpose are forward and reverse derivatives, so that memory grows with D (k + t - s) only.

    Args:
      xs: ``(*B, T, I)``.
      s, t: ``0 <= s <= t <= T``; t = s + 1 is one step's Jacobian.
      k: how many; fewer than a fifth of D.
      iterations: at most.
      key: of the random start.
      cell, params, carry, coordinates, surrogate: as `jacobian_spectrum`.

    Raises:
      ValueError, TypeError: as `step_jacobian`; a span outside the trajectory; a k that is not in 1 .. D / 5.
    """
    d = driven(cell, params, xs, carry, coordinates, surrogate)
    _check_span(s, (t,), d.xs.shape[1])
    D = d.dynamics.size
    if not 1 <= k * 5 < D:
        raise ValueError(
            f"k={k}: of {D} singular values give 1 to {(D - 1) // 5}, or take them all: temporal_spectrum."
        )
    start = jnp.linalg.qr(jax.random.normal(jax.random.key(0) if key is None else key, (D, k), d.xs.dtype))[0]

    def of_one(element):
        states, xs = element

        def through(h):
            return jax.lax.scan(lambda h, x: (d.dynamics.advance(h, x), None), h, xs[s:t])[0]

        _, forward = jax.linearize(through, states[s])
        backward = jax.linear_transpose(forward, states[s])

        def gram(v):
            return jax.vmap(lambda v: backward(forward(v))[0], 1, 1)(v)

        values, vectors, _ = lobpcg_standard(gram, start, m=iterations)
        left = gram(vectors) - vectors * values[None]
        return TopSingularValues(jnp.sqrt(jnp.maximum(values, 0)), jnp.linalg.norm(left, axis=0) / values[0])

    return d.unbatched(jax.lax.map(of_one, (d.states(), d.xs)))


def push(
    dynamics: Dynamics, s: Float[Array, " D"], x: Float[Array, " I"], V: Float[Array, "D k"]
) -> Float[Array, "D k"]:
    """The Jacobian at ``(s, x)`` times ``V (D, k)``."""
    _, forward = jax.linearize(lambda s: dynamics.advance(s, x), s)
    return jax.vmap(forward, 1, 1)(V)


def _check_span(s: int, ts: Sequence[int], steps: int) -> None:
    if len(ts) == 0 or list(ts) != sorted(ts) or not (0 <= s <= ts[0] and ts[-1] <= steps):
        end = ts[0] if len(ts) == 1 else list(ts)
        raise ValueError(
            f"s={s}, t={end}: the trajectory of {steps} inputs goes from h_0 to h_{steps}, and 0 <= s <= t <= {steps}, "
            "several t ascending."
        )
