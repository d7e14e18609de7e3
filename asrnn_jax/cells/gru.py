"""Gated recurrent units: GRU and the minimal gated unit."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Gradient, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import by_gate, chrono_bias, gated_params, named, per_unit, recurrent


class Weights(NamedTuple):
    """One of each a gate, the candidate n last."""

    W_xh: tuple[jax.Array, ...]  # (I, H)
    b: tuple[jax.Array, ...]  # (H,)
    W_hh: tuple[jax.Array, ...]  # (H, H)
    b_hn: jax.Array  # (H,)


@factory
def gru(inputs: int, hidden: int, *, t_max: float | None = None, dtype=jnp.float32) -> Cell:
    """Gated recurrent unit.

        r, z = sigmoid(W x_t + U h_{t-1} + b), each with its own W, U, b
        n    = tanh(W_n x_t + b_n + r * (U_n h_{t-1} + b_hn))
        h_t  = (1 - z) * n + z * h_{t-1}

    The reset gate comes after the product, as in cuDNN, PyTorch and flax, so that a step is one product.

    Args:
      inputs: I.
      hidden: H.
      t_max: of the chrono initialisation: b_z starts at ``log U(1, t_max - 1)``, so that the memories of the units are
        2 to t_max steps long. None: at 0.
      dtype: of the params.

    Params: ``{"W_xh": (I, 3 H), "W_hh": (H, 3 H), "b": (3 H,), "b_hn": (H,)}``, gates in the order r, z, n; input
    kernels start LeCun normal, recurrent ones orthogonal, biases 0 where t_max says nothing else.

    Raises:
      ValueError: sizes below 1, t_max not above 2.

    Source: Cho et al. 2014, arXiv:1406.1078; t_max from Tallec, Ollivier 2018, arXiv:1804.11188.
    """
    if t_max is not None:
        checks.above("t_max", t_max, 2.0)

    def activated(z, a):
        r, u = (jax.nn.sigmoid(z[k] + a[k]) for k in range(2))
        return r, u, jnp.tanh(z[2] + r * a[2]), a[2]

    def pullback(prev, h, kept, ct):
        r, u, n, a_n = kept
        d_u, d_n = ct * (prev - n) * u * (1 - u), ct * (1 - u) * (1 - n**2)
        d_r = d_n * a_n * r * (1 - r)
        return ct * u, (d_r, d_u, d_n), (d_r, d_u, d_n * r)

    kinds = {"reset": "gate", "keep": "gate", "candidate": "tanh"}
    return _gated("gru", inputs, hidden, 3, activated, pullback, dtype, t_max, **kinds)


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

    def activated(z, a):
        f = jax.nn.sigmoid(z[0] + a[0])
        return f, jnp.tanh(z[1] + f * a[1]), a[1]

    def pullback(prev, h, kept, ct):
        f, n, a_n = kept
        d_n = ct * (1 - f) * (1 - n**2)
        d_f = (ct * (prev - n) + d_n * a_n) * f * (1 - f)
        return ct * f, (d_f, d_n), (d_f, d_n * f)

    return _gated("mgu", inputs, hidden, 2, activated, pullback, dtype, keep="gate", candidate="tanh")


def _gated(name: str, inputs: int, hidden: int, number: int, activated, pullback, dtype, t_max=None, **kinds) -> Cell:
    """``(1 - u) * n + u * h`` with ``activated(z, a) -> (..., u, n, a_n)``, which is kept."""

    def init(key):
        b_u = 0.0 if t_max is None else chrono_bias(jax.random.fold_in(key, 2), hidden, t_max, dtype)
        params = gated_params(jax.random.split(key), inputs, hidden, number, dtype, b_u)
        return {**params, "b_hn": jnp.zeros(hidden, dtype)}

    def prepare(params):
        return Weights(*by_gate(params, number), params["b_hn"])

    def mix(weights, h):
        *others, new = (h @ W for W in weights.W_hh)
        return *others, new + per_unit(weights.b_hn, new)

    def update(h, z, a):
        *_, u, n, _ = activated(z, a)
        return (1 - u) * n + u * h

    return recurrent(
        name,
        inputs,
        hidden,
        init=init,
        prepare=prepare,
        mix=mix,
        update=update,
        gradient=Gradient(activated, pullback),
        activity=named(activated, **kinds),
    )
