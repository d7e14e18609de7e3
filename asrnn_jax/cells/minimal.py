"""minGRU and minLSTM: gates that look at the input alone, which makes the recurrence linear."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import Weights, affine, gates
from asrnn_jax.cells.diagonal import Element, gated_diagonal


@factory
def min_gru(inputs: int, hidden: int, *, candidate: str = "linear", dtype=jnp.float32) -> Cell:
    """minGRU, linear in its state: it also runs in parallel over time.

        z   = sigmoid(W_z x_t + b_z)
        h_t = (1 - z) * h_{t-1} + z * g(W_h x_t + b_h)

    Args:
      inputs: I.
      hidden: H.
      candidate: g: "linear" is the identity; "positive" is ``v + 0.5`` for ``v >= 0`` and ``sigmoid(v)`` below, with
        which the paper's parallel form keeps to logarithms.
      dtype: of the params.

    Params: ``{"W_xh": (I, 2 H), "b": (2 H,)}``, in the order z, h; kernels start LeCun normal, biases 0.

    Raises:
      ValueError: sizes below 1, an unknown candidate.

    Source: Feng et al. 2024, arXiv:2410.01201, section 3.1.
    """

    def element(z, v):
        update = jax.nn.sigmoid(z)
        return Element(jax.nn.sigmoid(-z), update * _g(v, candidate))

    return _minimal("min_gru", inputs, hidden, 2, element, candidate, dtype)


@factory
def min_lstm(inputs: int, hidden: int, *, candidate: str = "linear", dtype=jnp.float32) -> Cell:
    """minLSTM, linear in its state: it also runs in parallel over time.

        f, i = sigmoid(W x_t + b), each with its own W, b
        h_t  = f / (f + i) * h_{t-1} + i / (f + i) * g(W_h x_t + b_h)

    Args:
      inputs: I.
      hidden: H.
      candidate: g, as `min_gru`.
      dtype: of the params.

    Params: ``{"W_xh": (I, 3 H), "b": (3 H,)}``, in the order f, i, h; kernels start LeCun normal, biases 0.

    Raises:
      ValueError: sizes below 1, an unknown candidate.

    Source: Feng et al. 2024, arXiv:2410.01201, section 3.2.
    """

    def element(f, i, v):
        # f / (f + i) = (1 + e^-i) / (2 + e^-f + e^-i), with all terms scaled so that none overflows
        largest = jax.lax.stop_gradient(jnp.maximum(jnp.maximum(-f, -i), 0))
        one, e_f, e_i = jnp.exp(-largest), jnp.exp(-f - largest), jnp.exp(-i - largest)
        total = 2 * one + e_f + e_i
        return Element((one + e_i) / total, (one + e_f) / total * _g(v, candidate))

    return _minimal("min_lstm", inputs, hidden, 3, element, candidate, dtype)


def _g(v: jax.Array, candidate: str) -> jax.Array:
    return v if candidate == "linear" else jnp.where(v >= 0, v + 0.5, jax.nn.sigmoid(v))


def _minimal(name: str, inputs: int, hidden: int, number: int, element, candidate: str, dtype) -> Cell:
    checks.choice("candidate", candidate, ("linear", "positive"))

    def init(key):
        kernel = jax.nn.initializers.lecun_normal()(key, (inputs, number * hidden), dtype)
        return {"W_xh": kernel, "b": jnp.zeros(number * hidden, dtype)}

    def project(weights, xs):
        return element(*(affine(xs, W, b) for W, b in zip(weights.W_xh, weights.b)))

    def prepare(params):
        return Weights(gates(params["W_xh"], number), gates(params["b"], number), ())

    return gated_diagonal(name, inputs, hidden, init, prepare, project)
