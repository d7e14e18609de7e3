"""The vanilla (Elman) RNN."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import affine, orthogonal_kernel


class Weights(NamedTuple):
    W_xh: jax.Array  # (I, H)
    b: jax.Array  # (H,)
    W_hh: jax.Array  # (H, H), as rows: h W_hh


@factory
def tanh_rnn(inputs: int, hidden: int, *, dtype=jnp.float32) -> Cell:
    """Vanilla RNN, ``h_t = tanh(W_xh x_t + W_hh h_{t-1} + b)``.

    Args:
      inputs: I.
      hidden: H.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "W_hh": (H, H), "b": (H,)}``; ``W_xh`` starts LeCun normal, ``W_hh`` orthogonal, ``b`` 0.

    Raises:
      ValueError: sizes below 1.

    Source: Elman 1990, Finding Structure in Time, eq. in section 2.
    """
    checks.sizes(inputs=inputs, hidden=hidden)

    def init(key):
        k_x, k_h = jax.random.split(key)
        return {
            "W_xh": jax.nn.initializers.lecun_normal()(k_x, (inputs, hidden), dtype),
            "W_hh": orthogonal_kernel(k_h, (hidden, hidden), dtype),
            "b": jnp.zeros(hidden, dtype),
        }

    return Cell(
        name="tanh_rnn",
        inputs=inputs,
        hidden=hidden,
        outputs=hidden,
        init=init,
        prepare=lambda params: Weights(params["W_xh"], params["b"], params["W_hh"]),
        initial_carry=lambda batch_shape=(), dtype=jnp.float32: jnp.zeros((*batch_shape, hidden), dtype),
        project=lambda weights, xs: affine(xs, weights.W_xh, weights.b),
        mix=lambda weights, h: h @ weights.W_hh,
        update=lambda h, z, a: jnp.tanh(z + a),
        readout=lambda weights, hs, xs: hs,
        pullback=tanh_pullback,
    )


def tanh_pullback(prev, h, z, a, ct):
    """Of ``h = tanh(z + a)``: the derivative ``1 - h^2`` needs only the new carry."""
    delta = ct * (1 - h * h)
    return jnp.zeros_like(prev), delta, delta
