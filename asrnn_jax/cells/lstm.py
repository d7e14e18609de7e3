"""The long short-term memory."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Gradient, Units, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import by_gate, chrono_bias, gated_params, named, recurrent, zeros_each


class Carry(NamedTuple):
    h: jax.Array  # (*B, H)
    c: jax.Array  # (*B, H)


@factory
def lstm(inputs: int, hidden: int, *, forget_bias: float = 1.0, t_max: float | None = None, dtype=jnp.float32) -> Cell:
    """Long short-term memory.

        i, f, o = sigmoid(W x_t + U h_{t-1} + b), each with its own W, U, b
        g       = tanh(W_g x_t + U_g h_{t-1} + b_g)
        c_t     = f c_{t-1} + i g
        h_t     = o tanh(c_t)

    Args:
      inputs: I.
      hidden: H.
      forget_bias: what the bias of the forget gate starts at.
      t_max: of the chrono initialisation instead: b_f starts at ``log U(1, t_max - 1)`` and b_i at -b_f, so that the
        memories of the units are 2 to t_max steps long. For sequences whose first steps matter at their last.
      dtype: of the params.

    Params: ``{"W_xh": (I, 4 H), "W_hh": (H, 4 H), "b": (4 H,)}``, gates in the order i, f, g, o; input kernels start
    LeCun normal, recurrent ones orthogonal. The carry is ``(h, c)``.

    Raises:
      ValueError: sizes below 1, t_max not above 2.

    Source: Hochreiter, Schmidhuber 1997; the forget gate from Gers et al. 2000; t_max from Tallec, Ollivier 2018,
    arXiv:1804.11188.
    """
    if t_max is not None:
        checks.above("t_max", t_max, 2.0)

    def init(key):
        params = gated_params(jax.random.split(key), inputs, hidden, 4, dtype, forget_bias)
        if t_max is not None:
            b_f = chrono_bias(jax.random.fold_in(key, 2), hidden, t_max, dtype)
            params["b"] = params["b"].at[: 2 * hidden].set(jnp.concatenate([-b_f, b_f]))
        return params

    return recurrent(
        "lstm",
        inputs,
        hidden,
        init=init,
        prepare=lambda params: by_gate(params, 4),
        initial_carry=zeros_each(Carry, (hidden,)),
        mix=lambda weights, carry: jax.tree.map(partial(jnp.matmul, carry.h), weights.W_hh),
        update=lambda carry, z, a: gated(carry, activated(z, a)),
        gradient=Gradient(activated, pullback),
        activity=lstm_activity,
        readout=lambda weights, carries, xs: carries.h,
    )


def activated(z, a):
    """The gates i, f, g, o, each ``(..., H)``, from their two sums."""
    i, f, g, o = jax.tree.map(jnp.add, z, a)
    return jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)


def lstm_activity(z, a, carry: Carry) -> dict[str, Units]:
    """`Cell.activity`: the gates, and how far the cell state saturates the tanh it is read through."""
    gates = named(activated, input="gate", forget="gate", candidate="tanh", output="gate")(z, a, carry)
    return {**gates, "cell": Units("tanh", jnp.tanh(carry.c))}


def gated(carry: Carry, gates) -> Carry:
    """The LSTM's update by activated gates."""
    i, f, g, o = gates
    c = f * carry.c + i * g
    return Carry(o * jnp.tanh(c), c)


def pullback(prev: Carry, carry: Carry, gates, ct: Carry):
    """`Gradient.pullback` of ``gated(prev, activated(z, a))``."""
    i, f, g, o = gates
    tanh_c = jnp.tanh(carry.c)
    d_c = ct.c + ct.h * o * (1 - tanh_c**2)
    d = (d_c * g * i * (1 - i), d_c * prev.c * f * (1 - f), d_c * i * (1 - g**2), ct.h * tanh_c * o * (1 - o))
    return Carry(jnp.zeros_like(prev.h), d_c * f), d, d
