"""The long short-term memory."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import orthogonal_kernels, recurrent, zeros_each


class Weights(NamedTuple):
    W_xh: jax.Array  # (I, 4 H), gates i, f, g, o side by side
    b: jax.Array  # (4 H,)
    W_hh: jax.Array  # (H, 4 H)


class Carry(NamedTuple):
    h: jax.Array  # (*B, H)
    c: jax.Array  # (*B, H)


@factory
def lstm(inputs: int, hidden: int, *, forget_bias: float = 1.0, dtype=jnp.float32) -> Cell:
    """Long short-term memory.

        i, f, o = sigmoid(W x_t + U h_{t-1} + b), each with its own W, U, b
        g       = tanh(W_g x_t + U_g h_{t-1} + b_g)
        c_t     = f c_{t-1} + i g
        h_t     = o tanh(c_t)

    Args:
      inputs: I.
      hidden: H.
      forget_bias: what the bias of the forget gate starts at.
      dtype: of the params.

    Params: ``{"W_xh": (I, 4 H), "W_hh": (H, 4 H), "b": (4 H,)}``, gates in the order i, f, g, o; input kernels start
    LeCun normal, recurrent ones orthogonal. The carry is ``(h, c)``.

    Raises:
      ValueError: sizes below 1.

    Source: Hochreiter, Schmidhuber 1997; the forget gate from Gers et al. 2000.
    """
    checks.sizes(inputs=inputs, hidden=hidden)

    def init(key):
        k_x, k_h = jax.random.split(key)
        return {
            "W_xh": jax.nn.initializers.lecun_normal()(k_x, (inputs, 4 * hidden), dtype),
            "W_hh": orthogonal_kernels(k_h, hidden, 4, dtype),
            "b": jnp.zeros(4 * hidden, dtype).at[hidden : 2 * hidden].set(forget_bias),
        }

    return recurrent(
        "lstm",
        inputs,
        hidden,
        init=init,
        prepare=lambda params: Weights(params["W_xh"], params["b"], params["W_hh"]),
        initial_carry=zeros_each(Carry, hidden),
        mix=lambda weights, carry: carry.h @ weights.W_hh,
        update=lambda carry, z, a: gated(carry, z + a),
        readout=lambda weights, carries, xs: carries.h,
    )


def gated(carry: Carry, gates: jax.Array) -> Carry:
    """The LSTM's update from what the gates i, f, g, o ``(..., 4 H)`` are before their sigmoids and tanh."""
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = jax.nn.sigmoid(f) * carry.c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return Carry(jax.nn.sigmoid(o) * jnp.tanh(c), c)
