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
from asrnn_jax.loop.blocks import even
from asrnn_jax.placement import sharded_as


def some_steps(key, hidden: int, dt_min: float, dt_max: float, dtype) -> jax.Array:
    """Log-uniform steps ``(H,)``."""
    return jnp.exp(jax.random.uniform(key, (hidden,), dtype, math.log(dt_min), math.log(dt_max)))


PIECE = 32
"""Steps of a convolution, about."""


def along(a: jax.Array, like: jax.Array) -> jax.Array:
    """`a` (H, N) for every sequence of `like` (H, N, *B)."""
    return sharded_as(jnp.broadcast_to(a.reshape(*a.shape, *(1,) * (like.ndim - a.ndim)), like.shape), like)


def powers_of(a: jax.Array, number: int) -> jax.Array:
    """``a^1, a^2, ...``, so many, in a new last axis; by doubling, not by a scan."""
    powers = a[..., None]
    while powers.shape[-1] < number:
        powers = jnp.concatenate([powers, powers * jnp.broadcast_to(powers[..., -1:], powers.shape)], axis=-1)
    return powers[..., :number]


def past(kernel: jax.Array) -> jax.Array:
    """(H, T) -> (H, T, T): ``kernel[t - s]``, 0 for s > t. Each row is the one before, moved by one: no gather, whose
    gradient is slow."""
    H, T = kernel.shape
    row = jnp.concatenate([kernel[:, :1], jnp.zeros((H, T), kernel.dtype), jnp.flip(kernel[:, 1:], 1)], axis=1)
    rows = jnp.broadcast_to(row[:, None], (H, T, 2 * T)).reshape(H, -1)
    return rows[:, : T * (2 * T - 1)].reshape(H, T, 2 * T - 1)[..., :T]


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
        """K pieces of P steps, all at once but for the states that they begin with: the outputs are a convolution, one
        small matrix a channel, and what is left of that state. Channels come first, for products channel by channel.
        """
        T = len(xs)
        P = min(T, even(T, PIECE))
        K = -(-T // P)
        xs = jnp.pad(xs, [(0, K * P - T)] + [(0, 0)] * (xs.ndim - 1))
        xs = jnp.swapaxes(xs.reshape(K, P, *xs.shape[1:]), 0, 1)  # (P, K, *B, I)
        u = jnp.moveaxis(affine(xs, weights.W_xh, weights.b), -1, 0)  # (H, P, K, *B)

        powers = powers_of(weights.decay, P)  # (H, N, P), from A^1
        into = jnp.concatenate([jnp.ones_like(powers[..., :1]), powers[..., :-1]], axis=-1)  # from A^0
        into *= jnp.broadcast_to(weights.into[..., None], into.shape)
        C_re, C_im = (jnp.broadcast_to(C[..., None], into.shape).astype(into.real.dtype) for C in weights.C)
        kernel = (C_re * into.real + C_im * into.imag).sum(1)  # 2 Re C A^t into
        kernel = kernel.at[:, 0].add(weights.D.astype(kernel.dtype))
        later = jnp.swapaxes(powers, 1, 2)  # (H, P, N), with which the gradient takes a tenth less time
        c_re, c_im = (jnp.broadcast_to(C[:, None], later.shape).astype(into.real.dtype) for C in weights.C)
        left = jnp.concatenate([c_re * later.real + c_im * later.imag, c_im * later.real - c_re * later.imag], axis=2)
        written = jnp.flip(jnp.concatenate([into.real, into.imag], axis=1), -1)  # (H, 2N, P)

        def write(u):
            return jnp.einsum("hns,hs...->hn...", written[..., P - u.shape[1] :].astype(u.dtype), u)

        def after(h, z, steps):
            """States after some steps, from those before and from what was written, in real and imaginary parts."""
            (re, im), power = jnp.split(h, 2, axis=1), powers[..., steps - 1]
            a, b = (along(part, re) for part in (power.real, power.imag))
            return jnp.concatenate([a * re - b * im, b * re + a * im], axis=1) + z.astype(h.dtype)

        def next_piece(h, z):
            return after(h, z, P), h

        h = jnp.moveaxis(jnp.concatenate([h.real, h.imag], axis=-1), (-2, -1), (0, 1))  # (H, 2N, *B)
        end, entering = jax.lax.scan(next_piece, h, jnp.moveaxis(write(u), 2, 0), unroll=min(K, 8))
        if K * P != T:
            end = after(entering[-1], write(u[:, : T % P, -1]), T % P)
        y = jnp.einsum("hts,hs...->ht...", past(kernel).astype(u.dtype), u)
        entering = jnp.moveaxis(entering, 0, 2).astype(u.dtype)  # (H, 2N, K, *B)
        y += jnp.einsum("htn,hn...->ht...", left.astype(u.dtype), entering)
        y = jnp.moveaxis(y, (0, 1, 2), (-1, 1, 0))  # (K, P, *B, H)
        re, im = jnp.split(jnp.moveaxis(end, (0, 1), (-2, -1)), 2, axis=-1)
        return jax.lax.complex(re, im), y.reshape(-1, *y.shape[2:])[:T]

    chunked = {"chunk": chunk, "chunk_size": 4096, "chunk_size_accelerator": 4096, "chunk_flags": False}
    return cell.replace(initial_carry=zeros(hidden, states, kind=complex), project=project, readout=readout, **chunked)
