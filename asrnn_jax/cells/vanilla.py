"""Vanilla RNNs: tanh, ReLU with identity recurrence, and independent units."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Gradient, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import Weights, of_carry, orthogonal_kernel, per_unit, recurrent


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

    def init(key):
        k_x, k_h = jax.random.split(key)
        return {
            "W_xh": jax.nn.initializers.lecun_normal()(k_x, (inputs, hidden), dtype),
            "W_hh": orthogonal_kernel(k_h, (hidden, hidden), dtype),
            "b": jnp.zeros(hidden, dtype),
        }

    return _vanilla("tanh_rnn", inputs, hidden, "tanh", init)


@factory
def irnn(inputs: int, hidden: int, *, scale: float = 1.0, dtype=jnp.float32) -> Cell:
    """IRNN, ``h_t = relu(W_xh x_t + W_hh h_{t-1} + b)`` with ``W_hh`` started at a multiple of the identity.

    Args:
      inputs: I.
      hidden: H.
      scale: ``W_hh`` starts at ``scale I``; below 1 it forgets (the paper took 0.01 for speech).
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "W_hh": (H, H), "b": (H,)}``; ``W_xh`` starts normal with deviation 0.001, ``b`` 0.

    Raises:
      ValueError: sizes below 1, a scale that is no positive number.

    Source: Le, Jaitly, Hinton 2015, arXiv:1504.00941.
    """
    checks.at_least("scale", scale, 0.0)

    def init(key):
        return {
            "W_xh": 0.001 * jax.random.normal(key, (inputs, hidden), dtype),
            "W_hh": scale * jnp.eye(hidden, dtype=dtype),
            "b": jnp.zeros(hidden, dtype),
        }

    return _vanilla("irnn", inputs, hidden, "relu", init)


@factory
def indrnn(
    inputs: int,
    hidden: int,
    *,
    activation: str = "relu",
    bound: float | None = None,
    least: float = 0.0,
    dtype=jnp.float32,
) -> Cell:
    """IndRNN, ``h_t = f(W_xh x_t + u * h_{t-1} + b)``: every unit remembers itself alone.

    Mixing between units is left to the next layer of a `asrnn_jax.cells.stack`.

    Args:
      inputs: I.
      hidden: H.
      activation: f, "relu" or "tanh".
      bound: largest ``|u|``; the paper's ``2^(1/T)`` keeps a sequence of T steps from growing more than twofold. Values
        beyond are clipped, with the gradient of the clipped value. None: no bound.
      least: what u starts at, at least. Near 1 for long memories, as in the paper's last layer.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "u": (H,), "b": (H,)}``; ``W_xh`` starts He normal, ``u`` uniform in [least, 1] (or
    to bound), ``b`` 0.

    Raises:
      ValueError: sizes below 1, an unknown activation, a negative bound, least beyond it.

    Source: Li et al. 2018, arXiv:1803.04831.
    """
    checks.choice("activation", activation, ("relu", "tanh"))
    if bound is not None:
        checks.at_least("bound", bound, 0.0)
    most = 1.0 if bound is None else bound
    checks.between("least", least, 0.0, most)

    def init(key):
        k_x, k_u = jax.random.split(key)
        return {
            "W_xh": jax.nn.initializers.he_normal()(k_x, (inputs, hidden), dtype),
            "u": jax.random.uniform(k_u, (hidden,), dtype, least, most),
            "b": jnp.zeros(hidden, dtype),
        }

    def prepare(params):
        u = params["u"]
        if bound is not None:
            u = u + jax.lax.stop_gradient(jnp.clip(u, -bound, bound) - u)
        return Weights(params["W_xh"], params["b"], u)

    def mix(weights, h):
        return per_unit(weights.W_hh, h) * h

    return _vanilla("indrnn", inputs, hidden, activation, init, prepare=prepare, mix=mix)


def tanh_pullback(prev, h, kept, ct):
    """Of ``h = tanh(z + a)``: the derivative ``1 - h^2`` needs only the new carry."""
    delta = ct * (1 - h * h)
    return jnp.zeros_like(prev), delta, delta


def _relu_pullback(prev, h, kept, ct):
    delta = jnp.where(h > 0, ct, 0)
    return jnp.zeros_like(prev), delta, delta


def _vanilla(name: str, inputs: int, hidden: int, activation: str, init, **functions: Any) -> Cell:
    """A cell ``h = f(z + a)``, f "tanh" or "relu"."""
    f, pullback = (jax.nn.relu, _relu_pullback) if activation == "relu" else (jnp.tanh, tanh_pullback)
    return recurrent(
        name,
        inputs,
        hidden,
        init=init,
        update=lambda h, z, a: f(z + a),
        gradient=Gradient(pullback=pullback),
        activity=of_carry(activation),
        **functions,
    )
