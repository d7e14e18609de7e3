"""Penalties on how states part and how gradients grow, to be added to a loss; they work for every cell."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax.analysis.dynamics import Coordinates, Dynamics, compiled, driven
from asrnn_jax.analysis.lyapunov import log_rates
from asrnn_jax.analysis.products import NOTHING
from asrnn_jax.analysis.temporal import push
from asrnn_jax.cell import Carry, Cell, Params, Weights
from asrnn_jax.typing import Array, Float, Given

Side = Literal["both", "above"]
"""Whether a penalty holds a quantity at its target or only below it."""


@compiled("k", "side", "warm_up", "every", "coordinates")
def lyapunov_penalty(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    *,
    k: int = 1,
    target: ArrayLike = 0.0,
    side: Side = "both",
    warm_up: int | None = None,
    every: int = 1,
    carry: Carry | None = None,
    coordinates: Coordinates = "state",
    key: jax.Array | None = None,
) -> Float[Array, "*B"]:
    """The mean of ``(lambda_i - target)^2`` over the k largest Lyapunov exponents of a cell driven by `xs`.

    With a target of 0 it is gradient flossing: exponents near 0 let gradients pass over many steps, neither vanishing
    nor exploding. With ``side="above"`` only what exceeds the target counts, ``max(lambda_i - target, 0)^2``: a bound
    that keeps a network from chaos. The exponents are those of `asrnn_jax.analysis.lyapunov_spectrum`, of the finite
    sequence that is given. Add the mean to the loss, in every step or in every m-th; a few sequences are enough.

    Args:
      cell: made by a factory of `asrnn_jax.cells`, or of your own. A spiking cell has its surrogate's derivative.
      params: its params or prepared weights.
      xs: ``(*B, T, I)``.
      k: number of exponents, at most the number of state coordinates.
      target: in nats a step.
      side: "both", or "above" to leave alone what is below the target.
      warm_up: steps before the averaging starts, in which state and directions settle; None: a tenth.
      every: steps between orthogonalisations. More than 1 is faster, and exact as long as the directions do not
        collapse onto each other in between.
      carry: where the sequences start.
      coordinates: see `asrnn_jax.analysis.step_jacobian`. Over long sequences the exponents of both are equal; "carry"
        costs less for asRNN.
      key: of the random directions at the start.

    Returns:
      ``(*B,)``. A direction that is lost exactly in a step (a unit that is off) does not count in that step.

    Raises:
      ValueError, TypeError: as `asrnn_jax.run`; a bidirectional cell; k, side, warm_up or every that do not fit.

    Source: Engelken 2023, arXiv:2312.17306.

    Example:
      >>> import jax, asrnn_jax
      >>> cell = asrnn_jax.cells.gru(inputs=2, hidden=6)
      >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (4, 30, 2))
      >>> def loss(params):
      ...     task = asrnn_jax.run(cell, params, xs)[1].mean()
      ...     return task + 0.1 * asrnn_jax.losses.lyapunov_penalty(cell, params, xs, k=2).mean()
      >>> gradient = jax.grad(loss)(params)
    """
    d = driven(cell, params, xs, carry, coordinates)
    steps, size = d.xs.shape[1], d.dynamics.size
    warm_up = steps // 10 if warm_up is None else warm_up
    if not 1 <= k <= size:
        raise ValueError(f"k={k}: the state has {size} coordinates, so there are 1 to {size} exponents.")
    _check_side(side)
    if every < 1 or warm_up < 0 or steps - warm_up < every:
        raise ValueError(
            f"warm_up={warm_up}, every={every} with {steps} steps: at least one stretch of `every` steps must come "
            "after the warm-up."
        )
    rates = log_rates(d, k, (steps - warm_up) // every, every, key)
    exponents = jnp.where(rates <= NOTHING / 2 / every, 0, rates).mean(axis=1)
    return d.unbatched(_squares(exponents - target, side).mean(axis=-1))


@compiled("of", "side", "projections", "iterations", "every", "coordinates")
def jacobian_penalty(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    *,
    of: Literal["mean", "largest"] = "mean",
    target: ArrayLike = 1.0,
    side: Side = "both",
    projections: int = 1,
    iterations: int = 4,
    every: int = 8,
    carry: Carry | None = None,
    coordinates: Coordinates = "state",
    key: jax.Array | None = None,
) -> Float[Array, "*B"]:
    """How far the singular values of one step's Jacobian ``J = dh_t / dh_{t-1}`` are from a target, by projections.

    No matrix is formed: random unit vectors v are pushed through the step. Of "mean" it is the mean of
    ``(|J v|^2 - target^2)^2`` over steps and vectors. Of D singular values it expects
    ``(mean(sigma^2) - target^2)^2 + 2 / (D + 2) var(sigma^2)``, which is 0 where all are at the target. Of "largest"
    it is ``(sigma - target)^2``, where power iterations turn v to the largest singular value, which they reach from
    below. With ``side="above"`` only what exceeds the target counts.

    Args:
      of: which singular values, see above.
      target: a singular value; 1 passes gradients on unchanged.
      projections: random vectors a step.
      iterations: of the power method, for "largest".
      every: only every so many steps: those at ``every, 2 every, ...``.
      key: of the vectors. Give another one in each training step.
      cell, params, xs, side, carry, coordinates: as `lyapunov_penalty`.

    Returns:
      ``(*B,)``.

    Raises:
      ValueError, TypeError: as `lyapunov_penalty`; an unknown `of`, fewer steps than `every`, counts below 1.

    Example:
      >>> import jax, jax.numpy as jnp, asrnn_jax
      >>> cell = asrnn_jax.cells.orthogonal(1, 6, activation="linear")
      >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((4, 16, 1))
      >>> bool(jnp.allclose(asrnn_jax.losses.jacobian_penalty(cell, params, xs), 0, atol=1e-8))
      True
    """
    d = driven(cell, params, xs, carry, coordinates)
    steps, size = d.xs.shape[1], d.dynamics.size
    if of not in ("mean", "largest"):
        raise ValueError(f"of={of!r}: choose 'mean' or 'largest'.")
    _check_side(side)
    for name, value in (("projections", projections), ("iterations", iterations), ("every", every)):
        if value < 1:
            raise ValueError(f"{name}={value}: give at least 1.")
    if steps < every:
        raise ValueError(f"every={every} with {steps} steps: give no more than there are.")
    before, xs = (each[:, every - 1 :: every][:, : steps // every] for each in (d.states(), d.xs))
    before, xs = before.reshape(-1, size), xs.reshape(-1, cell.inputs)
    key = jax.random.key(0) if key is None else key
    starts = jax.random.normal(key, (len(xs), size, projections), d.xs.dtype)
    still = driven(cell, jax.lax.stop_gradient(params), d.xs, None, coordinates).dynamics  # of sigma by v there is none

    def of_one(s, x, V):
        V = V / jnp.linalg.norm(V, axis=0, keepdims=True)
        if of == "mean":
            return _squares(jnp.square(push(d.dynamics, s, x, V)).sum(axis=0) - target**2, side)
        V = _towards_largest(still, jax.lax.stop_gradient(s), x, V, iterations)
        return _squares(_norm(push(d.dynamics, s, x, V)) - target, side)

    found = jax.vmap(of_one)(before, xs, starts)
    return d.unbatched(found.reshape(len(d.xs), -1).mean(axis=1))


def _towards_largest(
    dynamics: Dynamics, s: Float[Array, " D"], x: Float[Array, " I"], V: Float[Array, "D p"], iterations: int
) -> Float[Array, "D p"]:
    """Unit vectors after steps of the power method on ``J^T J``, from unit vectors."""
    _, forward = jax.linearize(lambda s: dynamics.advance(s, x), s)
    backward = jax.linear_transpose(forward, s)

    def better(_, V):
        V = jax.vmap(lambda v: backward(forward(v))[0], 1, 1)(V)
        norms = jnp.linalg.norm(V, axis=0, keepdims=True)
        return V / jnp.where(norms == 0, 1, norms)

    return jax.lax.fori_loop(0, iterations, better, V)


def _norm(V: Float[Array, "D p"]) -> Float[Array, " p"]:
    """Norms of columns, whose derivative at 0 is 0."""
    squares = jnp.square(V).sum(axis=0)
    return jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))


def _squares(difference: Float[Array, "*N"], side: Side) -> Float[Array, "*N"]:
    return jnp.square(difference if side == "both" else jnp.maximum(difference, 0))


def _check_side(side: str) -> None:
    if side not in ("both", "above"):
        raise ValueError(f"side={side!r}: choose 'both' or 'above'.")
