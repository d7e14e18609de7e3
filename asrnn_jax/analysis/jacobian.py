"""How a state depends on an earlier one: ``dh_t / dh_{t-1}``, ``dh_t / dh_s``, and their singular values.

States are counted ``h_0`` (the start), ``h_1``, ... ``h_T``, so a sequence of T inputs has T + 1 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse.linalg import lobpcg_standard
from jax.typing import ArrayLike

from asrnn_jax.analysis.dynamics import Coordinates, Dynamics, check_memory, compiled, driven
from asrnn_jax.analysis.products import Graded, log_singular_values, times
from asrnn_jax.cell import Cell, Params, PyTree, Weights, as_inputs
from asrnn_jax.dtypes import at_least_float32

CHUNK_BYTES = 32 * 2**20  # of Jacobians that exist at a time


@compiled("coordinates", "surrogate")
def step_jacobian(
    cell: Cell,
    params: Params | Weights,
    carry: PyTree,
    x: ArrayLike,
    *,
    coordinates: Coordinates = "state",
    surrogate: bool = False,
) -> jax.Array:
    """The Jacobian of one step, ``dh_t / dh_{t-1}``, by `jax.jacfwd`.

    Args:
      cell: made by a factory of `asrnn_jax.cells`, or of your own.
      params: its params or prepared weights.
      carry: ``(*B, ...)``, where the step starts.
      x: the input of the step, ``(*B, I)``.
      coordinates: "state": of the paper's h (``cell.to_state``), all its parts side by side, D numbers, complex ones as
        real and imaginary parts (`coordinate_names` says which); "carry": of what the loop keeps (for asRNN g = W_f h,
        whose singular values differ).
      surrogate: for spiking cells, take the surrogate's derivative in place of the spike's.

    Returns:
      ``(*B, D, D)``, rows are outputs.

    Raises:
      ValueError, TypeError: as `asrnn_jax.run`; a spiking cell without `surrogate`; a bidirectional cell.
      MemoryError: the matrices cannot fit; the message says how much they need.

    Example:
      >>> import jax, jax.numpy as jnp, asrnn_jax
      >>> from asrnn_jax import analysis
      >>> cell = asrnn_jax.cells.asrnn(inputs=1, hidden=8)
      >>> params = cell.init(jax.random.key(0))
      >>> J = analysis.step_jacobian(cell, params, cell.initial_carry((4,)), jnp.ones((4, 1)))
      >>> J.shape
      (4, 8, 8)
    """
    x = as_inputs(cell, x, 1, "pass one input (*B, I)")
    d = driven(cell, params, x[..., None, :], carry, coordinates, surrogate)
    D = d.dynamics.size
    remedy = "pass fewer batch elements at a time, or take top_singular_values, which needs no matrix"
    check_memory(f"step_jacobian of {len(d.xs)} x {D} x {D}", len(d.xs) * D * D, d.xs.dtype, remedy)
    before = jax.vmap(lambda c: d.dynamics.trajectory(c, jnp.zeros((0, cell.inputs), d.xs.dtype))[0])(d.start)
    return d.unbatched(jax.vmap(jax.jacfwd(d.dynamics.advance))(before, d.xs[:, 0]))


@compiled("coordinates", "surrogate", "every", "chunk")
def jacobian_spectrum(
    cell: Cell,
    params: Params | Weights,
    xs: ArrayLike,
    *,
    carry: PyTree | None = None,
    coordinates: Coordinates = "state",
    surrogate: bool = False,
    every: int = 1,
    chunk: int | None = None,
) -> jax.Array:
    """Singular values of ``dh_t / dh_{t-1}`` at every step of a sequence.

    Args:
      xs: ``(*B, T, I)``.
      carry: where the sequence starts; by default as `asrnn_jax.run`.
      every: only every so many steps: those at ``every, 2 every, ...``.
      chunk: Jacobians that exist at a time, over batch and time; None: about 32 MiB of them.
      cell, params, coordinates, surrogate: as `step_jacobian`.

    Returns:
      ``(*B, T // every, D)``, descending.

    Raises:
      ValueError, TypeError: as `step_jacobian`.

    Example:
      >>> import jax, jax.numpy as jnp, asrnn_jax
      >>> from asrnn_jax import analysis
      >>> cell = asrnn_jax.cells.orthogonal(1, 6, activation="linear")
      >>> spectrum = analysis.jacobian_spectrum(cell, cell.init(jax.random.key(0)), jnp.ones((20, 1)))
      >>> spectrum.shape, bool(jnp.allclose(spectrum, 1, atol=1e-5))
      ((20, 6), True)
    """
    d = driven(cell, params, xs, carry, coordinates, surrogate)
    if every < 1:
        raise ValueError(f"every={every}: give at least 1 step.")
    size, steps = d.dynamics.size, d.xs.shape[1] // every
    if chunk is None:
        chunk = max(1, CHUNK_BYTES // (size * size * d.xs.dtype.itemsize))
    elif chunk < 1:
        raise ValueError(f"chunk={chunk}: give a positive number of Jacobians, or None to have it chosen.")
    if len(d.xs) * steps == 0:
        return d.unbatched(jnp.zeros((len(d.xs), steps, size), at_least_float32(d.xs.dtype)))

    def singular_values(at):
        J = jax.jacfwd(d.dynamics.advance)(*at)
        return jnp.linalg.svdvals(J.astype(at_least_float32(J.dtype)))

    before, xs = (each[:, every - 1 :: every][:, :steps] for each in (d.states(), d.xs))
    at = before.reshape(-1, size), xs.reshape(-1, cell.inputs)
    values = jax.lax.map(singular_values, at, batch_size=chunk)
    return d.unbatched(values.reshape(len(d.xs), steps, size))


@compiled("s", "t", "coordinates", "surrogate")
def temporal_jacobian(
    cell: Cell,
    params: Params | Weights,
    xs: ArrayLike,
    s: int,
    t: int,
    *,
    carry: PyTree | None = None,
    coordinates: Coordinates = "state",
    surrogate: bool = False,
) -> jax.Array:
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
    D = d.dynamics.size
    remedy = "pass fewer batch elements at a time, or take top_singular_values, which needs no matrix"
    check_memory(f"temporal_jacobian of {len(d.xs)} x {D} x {D}", len(d.xs) * D * D, d.xs.dtype, remedy)

    def of_one(states, xs):
        def body(product, at):
            return push(d.dynamics, at[0], at[1], product), None

        return jax.lax.scan(body, jnp.eye(D, dtype=states.dtype), (states[s:t], xs[s:t]))[0]

    return d.unbatched(jax.vmap(of_one)(d.states(), d.xs))


def temporal_spectrum(
    cell: Cell,
    params: Params | Weights,
    xs: ArrayLike,
    s: int,
    ts: Sequence[int] | ArrayLike,
    *,
    carry: PyTree | None = None,
    coordinates: Coordinates = "state",
    surrogate: bool = False,
) -> jax.Array:
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
def _temporal_spectrum(cell: Cell, params, xs, s: int, ts: tuple[int, ...], carry, coordinates, surrogate) -> jax.Array:
    d = driven(cell, params, xs, carry, coordinates, surrogate)
    _check_span(s, ts, d.xs.shape[1])
    D = d.dynamics.size
    remedy = "pass fewer batch elements at a time, or take top_singular_values or lyapunov_spectrum(k=...)"
    check_memory(f"temporal_spectrum of {len(d.xs)} x 3 x {D} x {D}", 3 * len(d.xs) * D * D, d.xs.dtype, remedy)
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


@compiled("loss", "coordinates")
def gradient_norms(
    cell: Cell,
    params: Params | Weights,
    xs: ArrayLike,
    loss: Callable[[jax.Array], jax.Array],
    *,
    carry: PyTree | None = None,
    coordinates: Coordinates = "state",
) -> jax.Array:
    """How far the gradient reaches back: the norm of ``dL / dh_t`` for every t.

    Args:
      xs: ``(*B, T, I)``.
      loss: ``ys (T, O) -> ()`` of one batch element, for example ``lambda ys: cross_entropy(ys[-1], label)``. The same
        function compiles once.
      cell, params, carry, coordinates: as `jacobian_spectrum`. Spikes have their surrogate's derivative, as in
        training.

    Returns:
      ``(*B, T + 1)``, from h_0 to h_T.

    Raises:
      ValueError, TypeError: as `step_jacobian`; a loss that is not one number.
    """
    d = driven(cell, params, xs, carry, coordinates)
    if d.xs.shape[1] == 0:
        raise ValueError(f"xs has shape {jnp.shape(xs)}: give at least one step.")
    states = d.states()
    shape = jax.eval_shape(loss, jax.ShapeDtypeStruct((d.xs.shape[1], cell.outputs), d.xs.dtype)).shape
    if shape != ():
        raise ValueError(f"loss returns shape {shape}: return one number, of the outputs ys (T, O) of one element.")

    def of_one(states, xs):
        def direct(states):
            return loss(d.dynamics.read(states[1:], xs))

        def back(ct, at):
            state, x, own = at
            ct = jax.vjp(lambda s: d.dynamics.advance(s, x), state)[1](ct)[0] + own
            return ct, ct

        own = jax.grad(direct)(states)
        _, cts = jax.lax.scan(back, own[-1], (states[:-1], xs, own[:-1]), reverse=True)
        return jnp.linalg.norm(jnp.concatenate([cts, own[-1:]]), axis=-1)

    return d.unbatched(jax.vmap(of_one)(states, d.xs))


class TopSingularValues(NamedTuple):
    values: jax.Array
    """``(*B, k)``, descending."""
    residuals: jax.Array
    """``(*B, k)``: ``|J^T J v - sigma^2 v| / sigma_max^2`` of each; small where it has converged."""


@compiled("s", "t", "k", "iterations", "coordinates", "surrogate")
def top_singular_values(
    cell: Cell,
    params: Params | Weights,
    xs: ArrayLike,
    s: int,
    t: int,
    *,
    k: int = 5,
    iterations: int = 100,
    key: jax.Array | None = None,
    carry: PyTree | None = None,
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


def push(dynamics: Dynamics, s: jax.Array, x: jax.Array, V: jax.Array) -> jax.Array:
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
