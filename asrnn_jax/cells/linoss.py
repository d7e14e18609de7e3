"""Linear oscillators as a state space."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Coordinates, factory
from asrnn_jax.cells import checks, diagonal
from asrnn_jax.cells.dense import per_unit
from asrnn_jax.dtypes import at_least_float32

LEAST = 1e-4  # of A: an oscillator of frequency 0 has one eigenvector too few


class State(NamedTuple):
    """The paper's, as real numbers."""

    z: jax.Array  # (*B, H): speed
    y: jax.Array  # (*B, H): position


class Weights(NamedTuple):
    """`asrnn_jax.cells.diagonal.Weights`, and the eigenvectors: ``y = 2 Re w``, ``z = 2 (p Re w - q Im w)``."""

    decay: jax.Array  # (H,) complex
    B: tuple[jax.Array, jax.Array]
    C: tuple[jax.Array, jax.Array]
    D: jax.Array
    p: jax.Array  # (H,)
    q: jax.Array  # (H,)


@factory
def linoss(
    inputs: int,
    hidden: int,
    *,
    outputs: int | None = None,
    method: Literal["im", "imex"] = "im",
    dtype=jnp.float32,
) -> Cell:
    """LinOSS: H oscillators ``y'' = -A y + B x``, in discrete steps; it also runs in parallel over time.

        z_t = z_{t-1} + Delta (-A y + B x_t)        y = y_t for "im", y_{t-1} for "imex"
        y_t = y_{t-1} + Delta z_t
        out = C y_t + D x_t

    A is at least 0 and Delta in (0, 1). "im" (implicit) forgets, "imex" keeps the energy for ever. The loop keeps one
    complex number an oscillator, in which a step is one product (an eigenvector of the step); the state is ``(z, y)``.

    Args:
      inputs: I.
      hidden: H.
      outputs: O; None: H. With O = I, D is elementwise, else a kernel.
      method: "im" or "imex".
      dtype: of the params.

    Params: ``{"A", "log_odds_step": (H,), "B": (I, H), "C": (H, O), "D": (O,) or (I, O)}``; A starts uniform in (0, 1),
    Delta = sigmoid(log_odds_step) too. What is used of A is at least 1e-4 and for "imex" below ``4 / Delta^2``, beyond
    which its steps would grow.

    Raises:
      ValueError: sizes below 1, an unknown method.

    Source: Rusch, Rus 2024, arXiv:2410.03943, section 2.
    """
    outputs = hidden if outputs is None else outputs
    checks.choice("method", method, ("im", "imex"))

    def init(key):
        k_A, k_step, k_B, k_C, k_D = jax.random.split(key, 5)
        step = jax.random.uniform(k_step, (hidden,), dtype, 0.01, 0.99)
        return {
            "A": jax.random.uniform(k_A, (hidden,), dtype),
            "log_odds_step": jnp.log(step) - jnp.log1p(-step),
            "B": jax.random.normal(k_B, (inputs, hidden), dtype) * math.sqrt(1 / inputs),
            "C": jax.random.normal(k_C, (hidden, outputs), dtype) * math.sqrt(1 / hidden),
            "D": diagonal.feedthrough(k_D, inputs, outputs, dtype),
        }

    def prepare(params):
        A, step = (params[name].astype(at_least_float32(params[name].dtype)) for name in ("A", "log_odds_step"))
        A, step = jnp.maximum(A, LEAST), jax.nn.sigmoid(step)
        if method == "im":
            S = 1 / (1 + step**2 * A)
            p, q = jnp.zeros_like(A), jnp.sqrt(A)
            decay, drive = jax.lax.complex(S, S * step * q), (S * step, S * step**2)
        else:
            half = jnp.minimum(step**2 * A / 2, 2 - LEAST)  # 1 - cos of the angle of a step
            sine = jnp.sqrt(half * (2 - half))
            p, q = half / step, sine / step
            decay, drive = jax.lax.complex(1 - half, sine), (step, step**2)
        into = coordinates(p, q, State(*drive))
        B = params["B"]
        B = (B * into.real.astype(B.dtype)[None], B * into.imag.astype(B.dtype)[None])
        return Weights(decay, B, (2 * params["C"], jnp.zeros_like(params["C"])), params["D"], p, q)

    def to_state(weights, w):
        p, q = per_unit(weights.p, w.real), per_unit(weights.q, w.imag)
        return State(2 * (p * w.real - q * w.imag), 2 * w.real)

    cell = diagonal.state_space("linoss", inputs, hidden, outputs, init, prepare)

    def to_carry(weights, state):
        return coordinates(per_unit(weights.p, state.y), per_unit(weights.q, state.y), state)

    return cell.replace(coordinates=Coordinates(to_state, to_carry))


def coordinates(p: jax.Array, q: jax.Array, state: State) -> jax.Array:
    """The complex w of a speed and a position, inverse of ``y = 2 Re w``, ``z = 2 (p Re w - q Im w)``."""
    return jax.lax.complex(state.y / 2, (p * state.y - state.z) / (2 * q))
