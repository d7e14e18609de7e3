"""The gated delta rule: a matrix whose entries for a key are replaced, not only added to."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import affine, per_unit, zeros
from asrnn_jax.cells.matrices import chunk_size, fading, head_first, only_valid, solve_unit_lower


class Weights(NamedTuple):
    W: tuple[jax.Array, ...]  # of q, k, v: (I, H)
    W_gates: tuple[jax.Array, ...]  # of alpha, beta: (I, heads)
    rate: jax.Array  # (heads,): exp(log_rate)
    b_step: jax.Array  # (heads,)


class Rule(NamedTuple):
    """What a step does to the state."""

    k: jax.Array  # (..., heads, d), of length 1
    v: jax.Array  # (..., heads, d)
    alpha: jax.Array  # (..., heads, 1, 1): what is kept
    beta: jax.Array  # (..., heads, 1): how much of the old value of k is replaced


@factory
def gated_delta(inputs: int, hidden: int, *, heads: int = 1, dtype=jnp.float32) -> Cell:
    """Gated DeltaNet's recurrence: writes a value at a key in place of the one that was there, and forgets; it runs in
    chunks of time.

        q, k  = silu(W_q x_t), silu(W_k x_t), each divided by its length in each head
        v     = silu(W_v x_t)
        beta  = sigmoid(w_beta x_t)
        alpha = exp(-exp(log_rate) softplus(w_alpha x_t + b_step))
        S_t   = alpha (S_{t-1} - beta (S_{t-1} k) k^T) + beta v k^T
        y_t   = S_t q / sqrt(d)        d = H / heads

    With alpha and beta in (0, 1) and keys of length 1 no singular value of a step passes 1.

    Args:
      inputs: I.
      hidden: H, the size of all heads together.
      heads: a divisor of H.
      dtype: of the params.

    Params: ``{"W_q", "W_k", "W_v": (I, H), "W_alpha", "W_beta": (I, heads), "log_rate", "b_step": (heads,)}``;
    exp(log_rate) starts uniform in (1, 16), softplus(b_step) log-uniform in (0.001, 0.1). The carry is ``(*B, heads,
    d, d)``, values by keys.

    Raises:
      ValueError: sizes below 1, heads that do not divide H.

    Source: Yang, Kautz, Hatamizadeh 2024, arXiv:2412.06464, eq. 10, without the block around it.
    """
    checks.divisors(hidden, heads=heads)
    d = hidden // heads

    def init(key):
        keys = jax.random.split(key, 7)
        kernel = jax.nn.initializers.lecun_normal()
        step = jnp.exp(jax.random.uniform(keys[6], (heads,), dtype, math.log(0.001), math.log(0.1)))
        return {
            **{f"W_{name}": kernel(k, (inputs, hidden), dtype) for name, k in zip("qkv", keys)},
            "W_alpha": kernel(keys[3], (inputs, heads), dtype),
            "W_beta": kernel(keys[4], (inputs, heads), dtype),
            "log_rate": jnp.log(jax.random.uniform(keys[5], (heads,), dtype, 1, 16)),
            "b_step": jnp.log(jnp.expm1(step)),
        }

    def prepare(params):
        W, W_gates = (tuple(params[f"W_{name}"] for name in names) for names in ("qkv", ("alpha", "beta")))
        return Weights(W, W_gates, jnp.exp(params["log_rate"]), params["b_step"])

    def activated(xs, W):
        return jax.nn.silu(xs @ W).reshape(*xs.shape[:-1], heads, d)

    def queries(weights, xs):
        return of_length_1(activated(xs, weights.W[0])) / math.sqrt(d)

    def log_alpha(weights, xs):
        step = affine(xs, weights.W_gates[0], weights.b_step)
        return -jax.nn.softplus(step) * per_unit(weights.rate, step)

    def project(weights, xs):
        k, v = (activated(xs, W) for W in weights.W[1:])
        alpha, beta = jnp.exp(log_alpha(weights, xs)), jax.nn.sigmoid(xs @ weights.W_gates[1])
        return Rule(of_length_1(k), v, alpha[..., None, None], beta[..., None])

    def update(S, z, a):
        old = (S * z.k[..., None, :]).sum(-1)
        return z.alpha * S + (z.beta * (z.v - z.alpha[..., 0] * old))[..., None] * z.k[..., None, :]

    def readout(weights, carries, xs):
        return (carries * queries(weights, xs)[..., None, :]).sum(-1).reshape(*xs.shape[:-1], hidden)

    def chunk(weights, S, xs, steps):
        """What each step writes at its key, u, depends on what those before it wrote there: a triangular system."""
        z, fade = project(weights, xs), fading(log_alpha(weights, xs), steps)
        q, k, v, beta = (head_first(a) for a in (queries(weights, xs), z.k, z.v, z.beta))  # (*B, heads, T, d)
        beta = only_valid(beta, steps)
        of_carry = fade.carry[..., None]
        found = of_carry * jnp.einsum("...td,...vd->...tv", k, S)
        before = jnp.tri(xs.shape[0], k=-1, dtype=k.dtype)
        overlap = jnp.einsum("...td,...sd->...ts", k, k) * fade.written
        u = solve_unit_lower(beta * overlap * jnp.broadcast_to(before, overlap.shape), beta * (v - found))
        read = (jnp.einsum("...td,...sd->...ts", q, k) * fade.written) @ u
        read += of_carry * jnp.einsum("...td,...vd->...tv", q, S)
        left = fade.written[..., -1, :, None] * u
        end = jnp.einsum("...sv,...sd->...vd", left, k) + of_carry[..., -1:, :] * S
        return end, jnp.moveaxis(read, -2, 0).reshape(*xs.shape[:-1], hidden)

    return Cell(
        name="gated_delta",
        inputs=inputs,
        hidden=hidden,
        outputs=hidden,
        init=init,
        prepare=prepare,
        initial_carry=zeros(heads, d, d),
        project=project,
        mix=lambda weights, carry: (),
        update=update,
        readout=readout,
        chunk=chunk,
        chunk_size=chunk_size(d),
        chunk_size_accelerator=128,  # measured on an H200: 0.82 of the time at 64
    )


def of_length_1(a: jax.Array) -> jax.Array:
    """Vectors ``(..., d)`` divided by their lengths; those near 0 stay near 0."""
    return a * jax.lax.rsqrt((a * a).sum(-1, keepdims=True) + 1e-6)
