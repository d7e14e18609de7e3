"""Cells that decide from the input how much to take in: surprisal-driven feedback and input-gated recurrence."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Gradient, factory
from asrnn_jax.cells import checks, dense
from asrnn_jax.cells.lstm import Carry, activated, gated, lstm_activity


class Surprisal(NamedTuple):
    W_xh: tuple[jax.Array, ...]  # (I, H), one a gate
    b: tuple[jax.Array, ...]  # (H,)
    W_hh: tuple[jax.Array, ...]  # (H, H)
    W_hp: jax.Array  # (H, I)
    b_p: jax.Array  # (I,)
    V: tuple[jax.Array, ...]  # (H,)


@factory
def surprisal(
    inputs: int,
    hidden: int,
    *,
    prediction: str = "softmax",
    forget_bias: float = 1.0,
    dtype=jnp.float32,
) -> Cell:
    """LSTM with surprisal-driven feedback: it predicts its next input, and its gates see how wrong it was.

        p    = W_hp h_{t-1} + b_p                      prediction of x_t
        s_t  = - sum_i x_t,i log softmax(p)_i          "softmax", for one-hot or probability inputs
        s_t  = 1/2 mean_i (x_t,i - p_i)^2              "gaussian", for real inputs
        gates from W x_t + U h_{t-1} + V s_t + b, the rest as `asrnn_jax.cells.lstm`

    Args:
      inputs: I.
      hidden: H.
      prediction: "softmax" (the paper's) or "gaussian".
      forget_bias: what the bias of the forget gate starts at.
      dtype: of the params.

    Params: ``{"W_xh": (I, 4 H), "W_hh": (H, 4 H), "V": (4 H,), "b": (4 H,), "W_hp": (H, I), "b_p": (I,)}``, gates in
    the order i, f, g, o. V starts 0, as the LSTM. The prediction is trained by what it does for the task; the paper,
    whose task is prediction, also trains it by its own loss. The carry is ``(h, c)``.

    Raises:
      ValueError: sizes below 1, an unknown prediction.

    Source: Rocki 2016, arXiv:1608.06027.
    """
    checks.choice("prediction", prediction, ("softmax", "gaussian"))

    def init(key):
        k_x, k_h, k_p = jax.random.split(key, 3)
        return {
            **dense.gated_params((k_x, k_h), inputs, hidden, 4, dtype, forget_bias),
            "V": jnp.zeros(4 * hidden, dtype),
            "W_hp": jax.nn.initializers.lecun_normal()(k_p, (hidden, inputs), dtype),
            "b_p": jnp.zeros(inputs, dtype),
        }

    def prepare(params):
        return Surprisal(*dense.by_gate(params, 4), params["W_hp"], params["b_p"], dense.gates(params["V"], 4))

    def mix(weights, carry):
        heard = tuple(carry.h @ W for W in weights.W_hh)
        p = dense.affine(carry.h, weights.W_hp, weights.b_p)
        return heard, p, tuple(dense.per_unit(V, carry.h) for V in weights.V)

    def sums(z, a):
        (z_gates, x), (heard, p, V) = z, a
        if prediction == "softmax":
            s = -jnp.sum(x * jax.nn.log_softmax(p), axis=-1, keepdims=True)
        else:
            s = 0.5 * jnp.mean((x - p) ** 2, axis=-1, keepdims=True)
        return z_gates, jax.tree.map(lambda a, V: a + s * V, heard, V)

    return dense.recurrent(
        "surprisal",
        inputs,
        hidden,
        init=init,
        prepare=prepare,
        initial_carry=dense.zeros_each(Carry, (hidden,)),
        project=lambda weights, xs: (tuple(dense.affine(xs, W, b) for W, b in zip(weights.W_xh, weights.b)), xs),
        mix=mix,
        update=lambda carry, z, a: gated(carry, activated(*sums(z, a))),
        activity=lambda z, a, carry: lstm_activity(*sums(z, a), carry),
        readout=lambda weights, carries, xs: carries.h,
    )


@factory
def input_gated(inputs: int, hidden: int, *, gate_bias: float = -1.0, dtype=jnp.float32) -> Cell:
    """RNN whose input alone decides how far the state moves.

        i   = sigmoid(W_i x_t + b_i)
        n   = tanh(W_n x_t + U h_{t-1} + b_n)
        h_t = (1 - i) * h_{t-1} + i * n

    An input that shuts the gate (silence) holds the state. It is a GRU without reset gate whose update gate does not
    see the state; the family of gates by the input alone (strongly-typed and light recurrences) is where it comes from.

    Args:
      inputs: I.
      hidden: H.
      gate_bias: what b_i starts at; -1 lets about a quarter in.
      dtype: of the params.

    Params: ``{"W_xh": (I, 2 H), "W_hh": (H, H), "b": (2 H,)}``, in the order i, n; ``W_xh`` starts LeCun normal,
    ``W_hh`` orthogonal.

    Raises:
      ValueError: sizes below 1.

    Source: gates by the input alone, Balduzzi, Ghifary 2016, arXiv:1602.02218; here with the recurrence inside tanh.
    """

    def init(key):
        k_x, k_h = jax.random.split(key)
        return {
            "W_xh": jax.nn.initializers.lecun_normal()(k_x, (inputs, 2 * hidden), dtype),
            "W_hh": dense.orthogonal_kernel(k_h, (hidden, hidden), dtype),
            "b": jnp.zeros(2 * hidden, dtype).at[:hidden].set(gate_bias),
        }

    def prepare(params):
        return dense.Weights(dense.gates(params["W_xh"], 2), dense.gates(params["b"], 2), params["W_hh"])

    def activated(z, a):
        return jax.nn.sigmoid(z[0]), jnp.tanh(z[1] + a)

    def update(h, z, a):
        i, n = activated(z, a)
        return (1 - i) * h + i * n

    def pullback(prev, h, kept, ct):
        i, n = kept
        d_i, d_n = ct * (n - prev) * i * (1 - i), ct * i * (1 - n**2)
        return ct * (1 - i), (d_i, d_n), d_n

    return dense.recurrent(
        "input_gated",
        inputs,
        hidden,
        init=init,
        prepare=prepare,
        update=update,
        gradient=Gradient(activated, pullback),
        activity=dense.named(activated, input="gate", candidate="tanh"),
    )
