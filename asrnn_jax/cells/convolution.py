"""A short causal convolution as a cell."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import per_unit, zeros


class Weights(NamedTuple):
    W_xh: jax.Array  # (I, H)
    taps: jax.Array  # (width, H), the newest last
    b: jax.Array  # (H,)


@factory
def short_conv(inputs: int, hidden: int, *, width: int = 4, dtype=jnp.float32) -> Cell:
    """A convolution over the last steps, channel by channel, behind a linear layer; what modern blocks begin with.

        u_t = W_xh x_t
        y_t = silu(sum_k taps_k * u_{t-k} + b)        k = 0 .. width - 1

    Its carry are the last `width` values of u, so it streams, and is reset and masked, as any cell.

    Args:
      inputs: I.
      hidden: H, channels.
      width: steps that it sees.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "taps": (width, H), "b": (H,)}``.

    Raises:
      ValueError: sizes below 1.

    Source: the block of Gu, Dao 2023, arXiv:2312.00752, figure 3.
    """
    checks.sizes(width=width)

    def init(key):
        k_x, k_taps = jax.random.split(key)
        return {
            "W_xh": jax.nn.initializers.lecun_normal()(k_x, (inputs, hidden), dtype),
            "taps": jax.random.uniform(k_taps, (width, hidden), dtype, -(width**-0.5), width**-0.5),
            "b": jnp.zeros(hidden, dtype),
        }

    def readout(weights, carries, xs):
        summed = (carries * jnp.broadcast_to(weights.taps, carries.shape)).sum(-2)
        return jax.nn.silu(summed + jnp.broadcast_to(weights.b, summed.shape))

    def chunk(weights, carry, xs, steps):
        u = xs @ weights.W_xh
        known = jnp.concatenate([jnp.moveaxis(carry, -2, 0), u])  # (width + T, *B, H)
        summed = sum(known[k + 1 : k + 1 + len(u)] * per_unit(weights.taps[k], u) for k in range(width))
        return jnp.moveaxis(known[len(u) :], 0, -2), jax.nn.silu(summed + per_unit(weights.b, u))

    return Cell(
        name="short_conv",
        inputs=inputs,
        hidden=hidden,
        outputs=hidden,
        init=init,
        prepare=lambda params: Weights(params["W_xh"], params["taps"], params["b"]),
        initial_carry=zeros(width, hidden),
        project=lambda weights, xs: xs @ weights.W_xh,
        mix=lambda weights, carry: (),
        update=lambda carry, z, a: jnp.concatenate([carry[..., 1:, :], z[..., None, :]], axis=-2),
        readout=readout,
        chunk=chunk,
        chunk_size=256,
        chunk_size_accelerator=256,
        chunk_flags=False,
    )
