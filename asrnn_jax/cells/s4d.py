"""S4D: a state space with a state of its own for each channel."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks, diagonal
from asrnn_jax.cells.dense import affine, per_unit, zeros
from asrnn_jax.cells.lru import exp_complex
from asrnn_jax.cells.s5 import held
from asrnn_jax.dtypes import at_least_float32


def some_steps(key, hidden: int, dt_min: float, dt_max: float, dtype) -> jax.Array:
    """Log-uniform steps ``(H,)``."""
    return jnp.exp(jax.random.uniform(key, (hidden,), dtype, math.log(dt_min), math.log(dt_max)))


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
    """S4D behind a linear layer: each of H channels has N complex states; it also runs in parallel over time, and in
    chunks of it.

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
    checks.sizes(states=states)
    checks.choice("start", start, ("lin", "inv"))
    checks.steps(dt_min, dt_max)
    n = np.arange(states)
    imaginary = math.pi * n if start == "lin" else 2 * states / math.pi * (2 * states / (2 * n + 1) - 1)

    def init(key):
        k_x, k_step, k_C, k_D = jax.random.split(key, 4)
        C = jax.random.normal(k_C, (2, hidden, states), dtype) * math.sqrt(0.5)
        return {
            "W_xh": jax.nn.initializers.lecun_normal()(k_x, (inputs, hidden), dtype),
            "b": jnp.zeros(hidden, dtype),
            "log_step": jnp.log(some_steps(k_step, hidden, dt_min, dt_max, dtype)),
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

    def chunk(weights, h, xs, steps):
        """The outputs are a convolution, one small matrix a channel; and what is left of the carry."""
        u = affine(xs, weights.W_xh, weights.b)
        T, real = len(u), u.dtype
        powers = jnp.cumprod(jnp.broadcast_to(weights.decay, (T, *weights.decay.shape)), axis=0)  # (T, H, N), from A^1
        before = jnp.concatenate([jnp.ones_like(powers[:1]), powers[:-1]])  # from A^0
        into = before * jnp.broadcast_to(weights.into, before.shape)

        def read(a):
            """What a state's real and imaginary part are multiplied with in 2 Re(C a h)."""
            of_re, of_im = (per_unit(C, a).astype(a.real.dtype) for C in weights.C)
            return of_re * a.real + of_im * a.imag, of_im * a.real - of_re * a.imag

        kernel = read(into)[0].sum(-1)  # (T, H)
        ages = np.arange(T)[:, None] - np.arange(T)
        past = jnp.broadcast_to(jnp.asarray(ages >= 0)[..., None], (T, T, kernel.shape[-1]))
        y = jnp.einsum("tsh,s...h->t...h", jnp.where(past, kernel[np.maximum(ages, 0)], 0).astype(real), u)
        of_carry = zip(read(powers), (h.real, h.imag))
        y += sum(jnp.einsum("thn,...hn->t...h", part.astype(real), c.astype(real)) for part, c in of_carry)
        written = [jnp.einsum("shn,s...h->...hn", jnp.flip(part, 0).astype(real), u) for part in (into.real, into.imag)]
        end = per_unit(powers[-1], h) * h + jax.lax.complex(*(part.astype(h.real.dtype) for part in written))
        return end, y + u * per_unit(weights.D, u)

    chunked = {"chunk": chunk, "chunk_size": 32, "chunk_flags": False}
    return cell.replace(initial_carry=zeros(hidden, states, kind=complex), project=project, readout=readout, **chunked)
