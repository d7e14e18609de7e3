"""xLSTM's two cells, with exponential input gates: sLSTM, which feeds its output back, and mLSTM, whose state is a
matrix."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import affine, by_gate, gated_params, named, recurrent, zeros_each
from asrnn_jax.cells.matrices import chunk_size, fading, head_first, only_valid

EMPTY = -1000.0
"""The logarithm of the scale of a state that holds nothing yet: below any gate's."""


class Carry(NamedTuple):
    h: jax.Array  # (*B, H)
    c: jax.Array  # (*B, H), in units of exp(m)
    n: jax.Array  # (*B, H), in units of exp(m)
    m: jax.Array  # (*B, H)


@factory
def slstm(inputs: int, hidden: int, *, forget_bias: float = 3.0, dtype=jnp.float32) -> Cell:
    """sLSTM: an LSTM with an exponential input gate, whose cell state is a weighted mean of all candidates.

        z, o  = tanh(...), sigmoid(...)
        i, f  = exp(...), sigmoid(...), each of W x_t + U h_{t-1} + b with its own W, U, b
        c_t   = f c_{t-1} + i z
        n_t   = f n_{t-1} + i
        h_t   = o c_t / n_t

    c and n are kept in units of ``exp(m_t)``, ``m_t = max(log f + m_{t-1}, log i)``, so no gate is ever too large.

    Args:
      inputs: I.
      hidden: H.
      forget_bias: what the bias of the forget gate starts at.
      dtype: of the params.

    Params: ``{"W_xh": (I, 4 H), "W_hh": (H, 4 H), "b": (4 H,)}``, gates in the order i, f, z, o. The carry is ``(h, c,
    n, m)``.

    Raises:
      ValueError: sizes below 1.

    Source: Beck et al. 2024, arXiv:2405.04517, eq. 8 to 17, with one head.
    """

    def initial_carry(batch_shape=(), dtype=jnp.float32):
        h, c, n = (jnp.zeros((*batch_shape, hidden), dtype) for _ in range(3))
        return Carry(h, c, n, jnp.full_like(h, EMPTY))

    def update(carry, z, a):
        log_i, f, candidate, o = jax.tree.map(jnp.add, z, a)
        log_f = jax.nn.log_sigmoid(f)
        m = jnp.maximum(log_f + carry.m, log_i)
        i, f = jnp.exp(log_i - m), jnp.exp(log_f + carry.m - m)
        c, n = f * carry.c + i * jnp.tanh(candidate), f * carry.n + i
        return Carry(jax.nn.sigmoid(o) * c / n, c, n, m)

    def activated(z, a):
        _, f, candidate, o = jax.tree.map(jnp.add, z, a)
        return jax.nn.sigmoid(f), jnp.tanh(candidate), jax.nn.sigmoid(o)

    return recurrent(
        "slstm",
        inputs,
        hidden,
        init=lambda key: gated_params(jax.random.split(key), inputs, hidden, 4, dtype, forget_bias),
        prepare=lambda params: by_gate(params, 4),
        initial_carry=initial_carry,
        mix=lambda weights, carry: jax.tree.map(partial(jnp.matmul, carry.h), weights.W_hh),
        update=update,
        readout=lambda weights, carries, xs: carries.h,
        activity=named(activated, forget="gate", candidate="tanh", output="gate"),
    )


class Matrix(NamedTuple):
    """What an mLSTM keeps; d = H / heads."""

    C: jax.Array  # (*B, heads, d, d): values by keys
    n: jax.Array  # (*B, heads, d)


class Written(NamedTuple):
    """What a step does to it."""

    f: jax.Array  # (..., heads, 1)
    v: jax.Array  # (..., heads, d), times the input gate
    k: jax.Array  # (..., heads, d)
    i: jax.Array  # (..., heads, 1)


class MatrixWeights(NamedTuple):
    W: tuple[jax.Array, ...]  # of q, k, v, o: (I, H)
    b: tuple[jax.Array, ...]  # (H,)
    W_gates: tuple[jax.Array, ...]  # of i, f: (I, heads)
    b_gates: tuple[jax.Array, ...]  # (heads,)


@factory
def mlstm(
    inputs: int, hidden: int, *, heads: int = 1, cap: float = 15.0, forget_bias: float = 3.0, dtype=jnp.float32
) -> Cell:
    """mLSTM: a matrix that keys and values are written into, read by queries; it also runs in parallel over time.

        q, k, v = W_q x_t + b_q, (W_k x_t + b_k) / sqrt(d), W_v x_t + b_v        in each head, d = H / heads
        i, f, o = exp(cap tanh((w_i x_t + b_i) / cap)), sigmoid(w_f x_t + b_f), sigmoid(W_o x_t + b_o)
        C_t     = f C_{t-1} + i v k^T
        n_t     = f n_{t-1} + i k
        h_t     = o * C_t q / max(|n_t q|, 1)

    The logarithm of the input gate is held within `cap` (arXiv:2503.13427), so the state needs no scale of its own,
    and is linear.

    Args:
      inputs: I.
      hidden: H, the size of all heads together.
      heads: a divisor of H.
      cap: bound of the logarithm of the input gate; in float16 it is 5 at most.
      forget_bias: what the bias of the forget gate starts at.
      dtype: of the params.

    Params: ``{"W_q", "W_k", "W_v", "W_o": (I, H), "b_q", "b_k", "b_v", "b_o": (H,), "W_i", "W_f": (I, heads), "b_i",
    "b_f": (heads,)}``. The carry is ``(C (*B, heads, d, d), n (*B, heads, d))``.

    Raises:
      ValueError: sizes below 1, heads that do not divide H, cap not above 0.

    Source: Beck et al. 2024, arXiv:2405.04517, eq. 19 to 27.
    """
    checks.divisors(hidden, heads=heads)
    checks.above("cap", cap, 0.0)
    d = hidden // heads

    def init(key):
        keys = jax.random.split(key, 6)
        kernel = jax.nn.initializers.lecun_normal()
        wide = {f"W_{name}": kernel(k, (inputs, hidden), dtype) for name, k in zip("qkvo", keys)}
        narrow = {f"W_{name}": kernel(k, (inputs, heads), dtype) for name, k in zip("if", keys[4:])}
        biases = {f"b_{name}": jnp.zeros(hidden, dtype) for name in "qkvo"}
        return wide | narrow | biases | {"b_i": jnp.zeros(heads, dtype), "b_f": jnp.full(heads, forget_bias, dtype)}

    def prepare(params):
        W, b = (tuple(params[f"{kind}_{name}"] for name in "qkvo") for kind in "Wb")
        W_gates, b_gates = (tuple(params[f"{kind}_{name}"] for name in "if") for kind in "Wb")
        return MatrixWeights(W, b, W_gates, b_gates)

    def split(a):
        return a.reshape(*a.shape[:-1], heads, d)

    def written(weights, xs):
        """What a step does, and the logarithm of f ``(..., heads, 1)``."""
        _, k, v, _ = (affine(xs, W, b) for W, b in zip(weights.W, weights.b))
        log_i, f = (affine(xs, W, b)[..., None] for W, b in zip(weights.W_gates, weights.b_gates))
        most = min(cap, 5.0) if log_i.dtype == jnp.float16 else cap
        i = jnp.exp(most * jnp.tanh(log_i / most))
        return Written(jax.nn.sigmoid(f), i * split(v), split(k) / math.sqrt(d), i), jax.nn.log_sigmoid(f)

    def queries(weights, xs):
        """q ``(..., heads, d)`` and the output gate ``(..., H)``."""
        q, _, _, o = (affine(xs, W, b) for W, b in zip(weights.W, weights.b))
        return split(q), jax.nn.sigmoid(o)

    def drive(z):
        return Matrix(z.v[..., None] * z.k[..., None, :], z.i * z.k)

    def update(carry, z, a):
        new = drive(z)
        return Matrix(z.f[..., None] * carry.C + new.C, z.f * carry.n + new.n)

    def elements(weights, zs):
        new = drive(zs)
        return Matrix(jnp.broadcast_to(zs.f[..., None], new.C.shape), jnp.broadcast_to(zs.f, new.n.shape)), new

    def readout(weights, carries, xs):
        q, o = queries(weights, xs)
        read, norm = (carries.C * q[..., None, :]).sum(-1), (carries.n * q).sum(-1)
        h = read / jnp.maximum(jnp.abs(norm), 1)[..., None]
        return o * h.reshape(o.shape)

    def chunk(weights, carry, xs, steps):
        """What each step finds: what the steps before it in the chunk wrote, faded, and the faded carry."""
        z, log_f = written(weights, xs)
        q, o = queries(weights, xs)
        fade = fading(log_f[..., 0], steps)
        q, k, v, i = (head_first(a) for a in (q, z.k, z.v, z.i))  # (*B, heads, T, d), i: (*B, heads, T, 1)
        i, v = only_valid(i, steps), only_valid(v, steps)
        of_carry = fade.carry[..., None]
        scores = jnp.einsum("...td,...sd->...ts", q, k) * fade.written
        read = scores @ v + of_carry * jnp.einsum("...td,...vd->...tv", q, carry.C)
        norm = scores @ i + of_carry * jnp.einsum("...td,...d->...t", q, carry.n)[..., None]
        h = read / jnp.maximum(jnp.abs(norm), 1)
        left, kept = fade.written[..., -1, :, None], of_carry[..., -1, :]
        C = jnp.einsum("...sv,...sd->...vd", left * v, k) + kept[..., None] * carry.C
        n = (left * i * k).sum(-2) + kept * carry.n
        return Matrix(C, n), o * jnp.moveaxis(h, -2, 0).reshape(o.shape)

    return Cell(
        name="mlstm",
        inputs=inputs,
        hidden=hidden,
        outputs=hidden,
        init=init,
        prepare=prepare,
        initial_carry=zeros_each(Matrix, (heads, d, d), (heads, d)),
        project=lambda weights, xs: written(weights, xs)[0],
        mix=lambda weights, carry: (),
        update=update,
        readout=readout,
        elements=elements,
        chunk=chunk,
        chunk_size=chunk_size(d),
        chunk_size_accelerator=256,  # measured on an H200: 0.47 of the time at 64
    )
