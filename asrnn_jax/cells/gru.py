"""Gated recurrent units: GRU and the minimal gated unit."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import orthogonal_kernels, per_unit, recurrent


class Weights(NamedTuple):
    W_xh: jax.Array  # (I, K H), gates side by side
    b: jax.Array  # (K H,)
    W_hh: jax.Array  # (H, K H)
    b_hn: jax.Array  # (H,)


@factory
def gru(inputs: int, hidden: int, *, dtype=jnp.float32) -> Cell:
    """Gated recurrent unit.

        r, z = sigmoid(W x_t + U h_{t-1} + b), each with its own W, U, b
        n    = tanh(W_n x_t + b_n + r * (U_n h_{t-1} + b_hn))
        h_t  = (1 - z) * n + z * h_{t-1}

    The reset gate comes after the product, as in cuDNN, PyTorch and flax, so that a step is one product.

    Args:
      inputs: I.
      hidden: H.
      dtype: of the params.

    Params: ``{"W_xh": (I, 3 H), "W_hh": (H, 3 H), "b": (3 H,), "b_hn": (H,)}``, gates in the order r, z, n; input
    kernels start LeCun normal, recurrent ones orthogonal, biases 0.

    Raises:
      ValueError: sizes below 1.

    Source: Cho et al. 2014, arXiv:1406.1078.
    """

    def update(h, z, a):
        r, u, n = (slice(k * hidden, (k + 1) * hidden) for k in range(3))
        reset, keep = jax.nn.sigmoid(z[..., r] + a[..., r]), jax.nn.sigmoid(z[..., u] + a[..., u])
        new = jnp.tanh(z[..., n] + reset * a[..., n])
        return (1 - keep) * new + keep * h

    return _gated("gru", inputs, hidden, 3, update, dtype)


@factory
def mgu(inputs: int, hidden: int, *, dtype=jnp.float32) -> Cell:
    """Minimal gated unit: a GRU with one gate for both purposes.

        f   = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
        n   = tanh(W_n x_t + b_n + f * (U_n h_{t-1} + b_hn))
        h_t = (1 - f) * n + f * h_{t-1}

    As flax has it: the gate comes after the product, and f keeps (the paper's 1 - f).

    Args:
      inputs: I.
      hidden: H.
      dtype: of the params.

    Params: ``{"W_xh": (I, 2 H), "W_hh": (H, 2 H), "b": (2 H,), "b_hn": (H,)}``, in the order f, n; starts as `gru`.

    Raises:
      ValueError: sizes below 1.

    Source: Zhou et al. 2016, arXiv:1603.09420.
    """

    def update(h, z, a):
        keep = jax.nn.sigmoid(z[..., :hidden] + a[..., :hidden])
        new = jnp.tanh(z[..., hidden:] + keep * a[..., hidden:])
        return (1 - keep) * new + keep * h

    return _gated("mgu", inputs, hidden, 2, update, dtype)


def _gated(name: str, inputs: int, hidden: int, gates: int, update, dtype) -> Cell:
    checks.sizes(inputs=inputs, hidden=hidden)

    def init(key):
        k_x, k_h = jax.random.split(key)
        return {
            "W_xh": jax.nn.initializers.lecun_normal()(k_x, (inputs, gates * hidden), dtype),
            "W_hh": orthogonal_kernels(k_h, hidden, gates, dtype),
            "b": jnp.zeros(gates * hidden, dtype),
            "b_hn": jnp.zeros(hidden, dtype),
        }

    def mix(weights, h):
        product = h @ weights.W_hh
        bias = jnp.concatenate([jnp.zeros((gates - 1) * hidden, weights.b_hn.dtype), weights.b_hn])
        return product + per_unit(bias, product)

    def prepare(params):
        return Weights(params["W_xh"], params["b"], params["W_hh"], params["b_hn"])

    return recurrent(name, inputs, hidden, init=init, prepare=prepare, mix=mix, update=update)
