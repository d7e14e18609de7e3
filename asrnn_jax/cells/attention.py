"""Attention to the last steps, as a cell."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import zeros_each
from asrnn_jax.dtypes import at_least_float32


class Weights(NamedTuple):
    W_q: jax.Array  # (I, H)
    W_k: jax.Array  # (I, H)
    W_v: jax.Array  # (I, H)
    W_o: jax.Array  # (H, H)


class Window(NamedTuple):
    """The last steps, the newest last."""

    keys: jax.Array  # (*B, W, heads, d)
    values: jax.Array  # (*B, W, heads, d)
    seen: jax.Array  # (*B, W): 1 where there was a step; gets no gradient


@factory
def attention(
    inputs: int, hidden: int, *, window: int = 32, heads: int = 1, base: float = 10_000.0, dtype=jnp.float32
) -> Cell:
    """Causal attention over a sliding window of W steps, with rotary positions.

        q, k, v = W_q x_t, W_k x_t, W_v x_t        in each head, d = H / heads
        y_t     = W_o sum_s softmax_s(q_t R(t - s) k_s / sqrt(d)) v_s        s = t - W + 1 .. t

    The carry are the keys and values of the window: so attention streams, in bounded memory and for ever, and is
    masked and reset as any cell. Positions count back from now, so none ever grows. Steps that are masked do not enter
    the window.

    Args:
      inputs: I.
      hidden: H, the size of all heads together.
      window: W, steps that it sees, the present one included.
      heads: a divisor of H; H / heads is even.
      base: of the wavelengths of the rotations R.
      dtype: of the params.

    Params: ``{"W_q", "W_k", "W_v": (I, H), "W_o": (H, H)}``. The carry is ``(keys, values (*B, W, heads, d), seen (*B,
    W))``.

    Raises:
      ValueError: sizes below 1, heads that do not divide H, an odd H / heads, base not above 1.

    Source: Vaswani et al. 2017, arXiv:1706.03762; the window of Beltagy et al. 2020, arXiv:2004.05150; rotations of Su
    et al. 2021, arXiv:2104.09864.
    """
    checks.divisors(hidden, heads=heads)
    checks.sizes(window=window)
    checks.above("base", base, 1.0)
    d = hidden // heads
    if d % 2:
        raise ValueError(f"hidden={hidden}, heads={heads}: hidden / heads is the size of a head and has to be even.")
    speeds = base ** (-np.arange(0, d, 2) / d)  # (d / 2,)

    def init(key):
        kernel = jax.nn.initializers.lecun_normal()
        sizes = {"W_q": inputs, "W_k": inputs, "W_v": inputs, "W_o": hidden}
        keys = jax.random.split(key, len(sizes))
        return {name: kernel(k, (size, hidden), dtype) for k, (name, size) in zip(keys, sizes.items())}

    def split(a):
        return a.reshape(*a.shape[:-1], heads, d)

    def turned(vectors, places):
        """Vectors ``(..., heads, d)`` turned by their places ``(...)``, in which two of them differ from their age.

        Places in NumPy are known when JAX traces: XLA would compute their cosines again for each sequence.
        """
        first, second = jnp.split(vectors, 2, axis=-1)
        if isinstance(places, np.ndarray):
            angles = places[..., None, None] * speeds
            cos, sin = (jnp.asarray(f(angles), vectors.dtype) for f in (np.cos, np.sin))
        else:
            speed = jnp.asarray(speeds, at_least_float32(vectors.dtype))
            angles = places[..., None, None].astype(speed.dtype) * jnp.broadcast_to(speed, (*places.shape, 1, d // 2))
            cos, sin = (f(angles).astype(vectors.dtype) for f in (jnp.cos, jnp.sin))
        cos, sin = (jnp.broadcast_to(a, first.shape) for a in (cos, sin))
        return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    def readout(weights, carries, xs):
        q = split(xs @ weights.W_q) / math.sqrt(d)
        ages = np.broadcast_to(np.arange(1 - window, 1), (1,) * (carries.seen.ndim - 1) + (window,))
        scores = (turned(carries.keys, ages) * q[..., None, :, :]).sum(-1)  # (..., W, heads)
        most = jax.lax.stop_gradient(scores.max(-2, keepdims=True))
        e = jnp.exp(scores - most) * jax.lax.stop_gradient(carries.seen)[..., None]
        total = e.sum(-2, keepdims=True)
        share = e / jnp.where(total == 0, 1, total)
        y = (share[..., None] * carries.values).sum(-3)
        return y.reshape(*xs.shape[:-1], hidden) @ weights.W_o

    def update(carry, z, a):
        keys, values = (
            jnp.concatenate([old[..., 1:, :, :], new[..., None, :, :]], axis=-3)
            for old, new in ((carry.keys, z[0]), (carry.values, z[1]))
        )
        now = jnp.ones_like(carry.seen[..., :1])
        return Window(keys, values, jnp.concatenate([carry.seen[..., 1:], now], axis=-1))

    def attended(weights, q, at, keys, key_at, values, seen, inside):
        """The outputs of queries ``(*B, T, heads, d)``, where `inside` ``(*B, T, K)`` says which keys each one sees."""
        scores = jnp.einsum("...qhd,...khd->...hqk", turned(q / math.sqrt(d), at), turned(keys, key_at))
        scores = jnp.where(jnp.broadcast_to(inside[..., None, :, :], scores.shape), scores, -jnp.inf)
        most = jax.lax.stop_gradient(scores.max(-1, keepdims=True))
        e = jnp.exp(scores - jnp.broadcast_to(jnp.where(jnp.isfinite(most), most, 0), scores.shape))
        e = e * jnp.broadcast_to(jax.lax.stop_gradient(seen)[..., None, None, :], e.shape)
        total = jnp.swapaxes(e.sum(-1), -1, -2)[..., None]  # (*B, T, heads, 1)
        y = jnp.einsum("...hqk,...khd->...qhd", e, values) / jnp.where(total == 0, 1, total)
        return jnp.moveaxis(y.reshape(*y.shape[:-2], hidden), -2, 0) @ weights.W_o

    def chunk(weights, carry, xs, steps):
        """Queries of a chunk against the window before it and the chunk itself, positions counted from its start."""
        qkv = jnp.moveaxis(xs @ jnp.concatenate([weights.W_q, weights.W_k, weights.W_v], axis=-1), 0, -2)
        q, k, v = (split(a) for a in jnp.split(qkv, 3, axis=-1))  # (*B, T, heads, d)
        valid, sequence = (jnp.moveaxis(a, 0, -1) for a in steps[:2])  # (*B, T)
        keys, values = (jnp.concatenate(pair, axis=-3) for pair in ((carry.keys, k), (carry.values, v)))
        seen = jnp.concatenate([carry.seen, valid.astype(carry.seen.dtype)], axis=-1)  # (*B, W + T)
        if steps.whole:  # the same places in the whole batch
            key_at = np.arange(1 - window, xs.shape[0] + 1).reshape((1,) * (valid.ndim - 1) + (-1,))
            at = key_at[..., window:]
            age = at[..., None] - key_at[..., None, :]
            inside = jnp.asarray((age >= 0) & (age < window))
            ys = attended(weights, q, at, keys, key_at, values, seen, inside)
            return Window(keys[..., -window:, :, :], values[..., -window:, :, :], seen[..., -window:]), ys

        at = jnp.cumsum(valid.astype(jnp.int32), axis=-1)
        before = jnp.broadcast_to(jnp.arange(1 - window, 1, dtype=jnp.int32), (*at.shape[:-1], window))
        key_at = jnp.concatenate([before, at], axis=-1)
        key_sequence = jnp.concatenate([jnp.zeros_like(before), sequence], axis=-1)

        def entries(at, sequence):
            """Which of the keys lie in the window of a step at these places, and how long ago: ``(*B, ..., W + T)``."""
            age = at[..., None] - key_at[..., None, :]
            real = jnp.concatenate([jnp.ones_like(before, bool), valid], axis=-1)[..., None, :]
            same = sequence[..., None] == key_sequence[..., None, :]
            return (age >= 0) & (age < window) & same & real, age

        inside, _ = entries(at, sequence)
        past = jnp.arange(-window, xs.shape[0])[None] <= jnp.arange(xs.shape[0])[:, None]  # not after the query
        inside &= jnp.broadcast_to(past, inside.shape)
        ys = attended(weights, q, at, keys, key_at, values, seen, inside)

        kept, age = entries(at[..., -1:], sequence[..., -1:])  # (*B, 1, W + T)
        age = jnp.broadcast_to(age, (*age.shape[:-2], window, age.shape[-1]))
        slots = age == jnp.broadcast_to(jnp.arange(window, dtype=jnp.int32)[::-1, None], age.shape)
        slots = (slots & kept).astype(keys.dtype)  # (*B, W, W + T): one of each row, or none
        exactly = partial(jnp.einsum, precision="highest")
        keys, values = (exactly("...wk,...khd->...whd", slots, a) for a in (keys, values))
        return Window(keys, values, exactly("...wk,...k->...w", slots, seen)), ys

    return Cell(
        name="attention",
        inputs=inputs,
        hidden=hidden,
        outputs=hidden,
        init=init,
        prepare=lambda params: Weights(*(params[name] for name in Weights._fields)),
        initial_carry=zeros_each(Window, *[(window, heads, d)] * 2, (window,)),
        project=lambda weights, xs: (split(xs @ weights.W_k), split(xs @ weights.W_v)),
        mix=lambda weights, carry: (),
        update=update,
        readout=readout,
        chunk=chunk,
        chunk_size=min(window, max(window // 2, 32)),  # measured on a CPU: a tenth less than twice the window
        chunk_size_accelerator=max(window // 2, 64),
    )
