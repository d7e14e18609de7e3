"""State spaces with a state of their own for each channel: S4D, and S6 (Mamba), whose steps follow the input."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks, diagonal
from asrnn_jax.cells.dense import affine, per_unit
from asrnn_jax.cells.lru import exp_complex
from asrnn_jax.cells.s5 import held
from asrnn_jax.dtypes import at_least_float32, complex_of


def _steps(key, hidden: int, dt_min: float, dt_max: float, dtype) -> jax.Array:
    """Log-uniform steps ``(H,)``."""
    return jnp.exp(jax.random.uniform(key, (hidden,), dtype, math.log(dt_min), math.log(dt_max)))


def _check_steps(dt_min: float, dt_max: float) -> None:
    if not 0 < dt_min <= dt_max:
        raise ValueError(f"dt_min={dt_min}, dt_max={dt_max}: give 0 < dt_min <= dt_max.")


def _zeros(hidden: int, states: int, kind=None):
    def initial_carry(batch_shape=(), dtype=jnp.float32):
        return jnp.zeros((*batch_shape, hidden, states), dtype if kind is None else complex_of(dtype))

    return initial_carry


class S4DWeights(NamedTuple):
    W_xh: jax.Array  # (I, H)
    b: jax.Array  # (H,)
    decay: jax.Array  # (H, N) complex
    into: jax.Array  # (H, N) complex: what a constant input adds up to in a step
    C: tuple[jax.Array, jax.Array]  # (H, N): 2 Re C, -2 Im C
    D: jax.Array  # (H,)


@factory
def s4d(
    inputs: int,
    hidden: int,
    *,
    states: int = 16,
    start: Literal["lin", "inv"] = "lin",
    dt_min: float = 0.001,
    dt_max: float = 0.1,
    dtype=jnp.float32,
) -> Cell:
    """S4D behind a linear layer: each of H channels has N complex states; it also runs in parallel over time.

        u   = W_xh x_t + b
        h_t = exp(A Delta) * h_{t-1} + (exp(A Delta) - 1) / A * u        A, h: (H, N), Delta: (H,), u for all N
        y_t = 2 Re sum_n C h_t + D u

    `asrnn_jax.cells.s5` mixes all inputs into one state; here channels meet only before and behind.

    Args:
      inputs: I.
      hidden: H, channels.
      states: N, of each pair of conjugate states one.
      start: of A: "lin" is ``-1/2 + i pi n``, "inv" is ``-1/2 + i N'/pi (N'/(2n + 1) - 1)`` with N' = 2 N.
      dt_min, dt_max: Delta starts log-uniform between these.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "b", "D", "log_step": (H,), "log_A_re", "A_im", "C_re", "C_im": (H, N)}``, with A's real
    part ``-exp(log_A_re)``. The carry is complex, ``(*B, H, N)``.

    Raises:
      ValueError: sizes below 1, an unknown start, a range of steps that is none.

    Source: Gu, Gupta, Goel, Re 2022, arXiv:2206.11893, with the hold (ZOH) and B = 1.
    """
    checks.sizes(inputs=inputs, hidden=hidden, states=states)
    checks.choice("start", start, ("lin", "inv"))
    _check_steps(dt_min, dt_max)
    n = np.arange(states)
    imaginary = math.pi * n if start == "lin" else 2 * states / math.pi * (2 * states / (2 * n + 1) - 1)

    def init(key):
        k_x, k_step, k_C, k_D = jax.random.split(key, 4)
        C = jax.random.normal(k_C, (2, hidden, states), dtype) * math.sqrt(0.5)
        return {
            "W_xh": jax.nn.initializers.lecun_normal()(k_x, (inputs, hidden), dtype),
            "b": jnp.zeros(hidden, dtype),
            "log_step": jnp.log(_steps(k_step, hidden, dt_min, dt_max, dtype)),
            "log_A_re": jnp.full((hidden, states), math.log(0.5), dtype),
            "A_im": jnp.broadcast_to(jnp.asarray(imaginary, dtype), (hidden, states)),
            "C_re": C[0],
            "C_im": C[1],
            "D": jax.random.normal(k_D, (hidden,), dtype),
        }

    def prepare(params):
        wide = {name: p.astype(at_least_float32(p.dtype)) for name, p in params.items()}
        step = jnp.exp(wide["log_step"])[:, None]
        re, im = -jnp.exp(wide["log_A_re"]) * step, wide["A_im"] * step
        into = held(jax.lax.complex(re, im))
        into = into * jnp.broadcast_to(step, into.shape).astype(into.dtype)
        C = (2 * params["C_re"], -2 * params["C_im"])
        return S4DWeights(params["W_xh"], params["b"], exp_complex(re, im), into, C, params["D"])

    def project(weights, xs):
        u = affine(xs, weights.W_xh, weights.b)
        u = jnp.broadcast_to(u[..., None], (*u.shape, states))
        return u.astype(weights.into.dtype) * per_unit(weights.into, u)

    def readout(weights, hs, xs):
        u = affine(xs, weights.W_xh, weights.b)
        parts = zip((hs.real, hs.imag), weights.C)
        y = sum((h.astype(C.dtype) * per_unit(C, h)).sum(-1) for h, C in parts)
        return y + u * per_unit(weights.D, u)

    cell = diagonal.state_space("s4d", inputs, hidden, hidden, init, prepare)
    return cell.replace(initial_carry=_zeros(hidden, states, complex), project=project, readout=readout)


class S6Weights(NamedTuple):
    W_xh: jax.Array  # (I, H)
    b: jax.Array  # (H,)
    W_step: tuple[jax.Array, jax.Array]  # (H, R), (R, H)
    b_step: jax.Array  # (H,)
    W_B: jax.Array  # (H, N)
    W_C: jax.Array  # (H, N)
    A: jax.Array  # (H, N), below 0
    D: jax.Array  # (H,)


@factory
def s6(
    inputs: int,
    hidden: int,
    *,
    states: int = 16,
    rank: int | None = None,
    dt_min: float = 0.001,
    dt_max: float = 0.1,
    dtype=jnp.float32,
) -> Cell:
    """S6, the selective state space of Mamba, behind a linear layer; it also runs in parallel over time.

        u       = W_xh x_t + b
        Delta   = softplus(u W_down W_up + b_step)                (H,)
        B, C    = u W_B, u W_C                                    (N,)
        h_t     = exp(Delta A) * h_{t-1} + Delta u B^T            (H, N), A = -exp(log_A)
        y_t     = h_t C + D u

    The block of the paper has a short convolution before and a gate behind: ``residual(stack([short_conv(H, H),
    s6(H, H)]))``, see `asrnn_jax.cells.short_conv`.

    Args:
      inputs: I.
      hidden: H, channels.
      states: N, real states a channel.
      rank: R of the step's kernel; None: H / 16, rounded up.
      dt_min, dt_max: Delta at u = 0 starts log-uniform between these.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "b": (H,), "W_down": (H, R), "W_up": (R, H), "b_step": (H,), "W_B", "W_C": (H, N),
    "log_A": (H, N), "D": (H,)}``; A starts at -1, ..., -N. The carry is real, ``(*B, H, N)``.

    Raises:
      ValueError: sizes below 1, a range of steps that is none.

    Source: Gu, Dao 2023, arXiv:2312.00752, algorithm 2.
    """
    rank = -(-hidden // 16) if rank is None else rank
    checks.sizes(inputs=inputs, hidden=hidden, states=states, rank=rank)
    _check_steps(dt_min, dt_max)

    def init(key):
        k_x, k_down, k_up, k_B, k_C, k_step = jax.random.split(key, 6)
        kernel = jax.nn.initializers.lecun_normal()
        step = _steps(k_step, hidden, dt_min, dt_max, dtype)
        return {
            "W_xh": kernel(k_x, (inputs, hidden), dtype),
            "b": jnp.zeros(hidden, dtype),
            "W_down": kernel(k_down, (hidden, rank), dtype),
            "W_up": jax.random.uniform(k_up, (rank, hidden), dtype, -(rank**-0.5), rank**-0.5),
            "b_step": jnp.log(jnp.expm1(step)),
            "W_B": kernel(k_B, (hidden, states), dtype),
            "W_C": kernel(k_C, (hidden, states), dtype),
            "log_A": jnp.broadcast_to(jnp.log(jnp.arange(1, states + 1, dtype=dtype)), (hidden, states)),
            "D": jnp.ones(hidden, dtype),
        }

    def prepare(params):
        return S6Weights(
            params["W_xh"],
            params["b"],
            (params["W_down"], params["W_up"]),
            params["b_step"],
            params["W_B"],
            params["W_C"],
            -jnp.exp(params["log_A"]),
            params["D"],
        )

    def project(weights, xs):
        u = affine(xs, weights.W_xh, weights.b)
        down, up = weights.W_step
        step = jax.nn.softplus(affine(u @ down, up, weights.b_step))
        drive = (step * u)[..., None] * (u @ weights.W_B)[..., None, :]
        return diagonal.Element(jnp.exp(step[..., None] * per_unit(weights.A, drive)), drive)

    def readout(weights, hs, xs):
        u = affine(xs, weights.W_xh, weights.b)
        return (hs * (u @ weights.W_C)[..., None, :]).sum(-1) + u * per_unit(weights.D, u)

    cell = diagonal.gated_diagonal("s6", inputs, hidden, init, prepare, project)
    return cell.replace(initial_carry=_zeros(hidden, states), readout=readout, activity=None)
