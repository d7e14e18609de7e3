"""RNNs that are steps of a differential equation: antisymmetric, Lipschitz, coupled oscillators."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Gradient, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import Weights, named, recurrent, zeros_each
from asrnn_jax.orthogonal import size, skew


class Oscillators(NamedTuple):
    y: jax.Array  # (*B, H) positions
    z: jax.Array  # (*B, H) velocities


@factory
def antisymmetric(
    inputs: int, hidden: int, *, epsilon: float = 0.1, gamma: float = 0.01, gated: bool = False, dtype=jnp.float32
) -> Cell:
    """Antisymmetric RNN, ``h_t = h_{t-1} + epsilon tanh(M h_{t-1} + W_xh x_t + b)`` with ``M = A - A^T - gamma I``.

    Gated: ``z_t = sigmoid(M h_{t-1} + W_xz x_t + b_z)`` multiplies the tanh. The eigenvalues of ``M`` have real part
    -gamma, so that small steps neither grow nor (for small gamma) forget.

    Args:
      inputs: I.
      hidden: H.
      epsilon: step of the forward Euler method.
      gamma: diffusion that makes the discrete steps stable.
      gated: with the gate z.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "A": (H (H - 1) / 2,), "b": (H,)}``, gated also ``{"W_xz": (I, H), "b_z": (H,)}``; A is
    the strict upper triangle, starts normal with variance 1 / H.

    Raises:
      ValueError: sizes below 1, epsilon or gamma negative.

    Source: Chang et al. 2019, arXiv:1902.09689.
    """
    checks.at_least("epsilon", epsilon, 0.0)
    checks.at_least("gamma", gamma, 0.0)
    kernel = jax.nn.initializers.lecun_normal()

    def init(key):
        k_x, k_z, k_A = jax.random.split(key, 3)
        params = {
            "W_xh": kernel(k_x, (inputs, hidden), dtype),
            "A": jax.random.normal(k_A, (size(hidden),), dtype) / hidden**0.5,
            "b": jnp.zeros(hidden, dtype),
        }
        gate = {"W_xz": kernel(k_z, (inputs, hidden), dtype), "b_z": jnp.zeros(hidden, dtype)}
        return {**params, **gate} if gated else params

    def prepare(params):
        M = skew(params["A"], hidden) - gamma * jnp.eye(hidden, dtype=params["A"].dtype)
        if not gated:
            return Weights(params["W_xh"], params["b"], M.T)
        return Weights((params["W_xh"], params["W_xz"]), (params["b"], params["b_z"]), M.T)

    def activated(z, a):
        return (jnp.tanh(z[0] + a), jax.nn.sigmoid(z[1] + a)) if gated else (jnp.tanh(z + a),)

    def pullback(prev, h, kept, ct):
        if not gated:
            d = epsilon * ct * (1 - kept[0] ** 2)
            return ct, d, d
        t, s = kept
        d_t, d_s = epsilon * ct * s * (1 - t**2), epsilon * ct * t * s * (1 - s)
        return ct, (d_t, d_s), d_t + d_s

    return recurrent(
        "antisymmetric",
        inputs,
        hidden,
        init=init,
        prepare=prepare,
        update=lambda h, z, a: h + epsilon * math.prod(activated(z, a)),
        gradient=Gradient(activated, pullback),
        activity=named(activated, tanh="tanh", gate="gate"),
    )


@factory
def lipschitz(
    inputs: int,
    hidden: int,
    *,
    epsilon: float = 0.03,
    beta: float = 0.75,
    gamma: float = 0.001,
    dtype=jnp.float32,
) -> Cell:
    """Lipschitz RNN, ``h_t = h_{t-1} + epsilon (A h_{t-1} + tanh(W h_{t-1} + W_xh x_t + b))``.

    A and W are ``(1 - beta)(M + M^T) + beta (M - M^T) - gamma I``, each of its own M: beta goes from symmetric to skew,
    gamma bounds the real parts of the eigenvalues.

    Args:
      inputs: I.
      hidden: H.
      epsilon: step of the forward Euler method.
      beta: share of the skew part, in [0.5, 1]; gamma: shift. The defaults are the authors' for sequential MNIST.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "M_A": (H, H), "M_W": (H, H), "b": (H,)}``; both M start normal with deviation 0.1 / H.

    Raises:
      ValueError: sizes below 1, epsilon or gamma negative, beta outside [0, 1].

    Source: Erichson et al. 2021, arXiv:2006.12070.
    """
    checks.at_least("epsilon", epsilon, 0.0)
    checks.at_least("gamma", gamma, 0.0)
    checks.between("beta", beta, 0.0, 1.0)

    def init(key):
        k_x, k_A, k_W = jax.random.split(key, 3)
        return {
            "W_xh": jax.nn.initializers.lecun_normal()(k_x, (inputs, hidden), dtype),
            "M_A": 0.1 / hidden * jax.random.normal(k_A, (hidden, hidden), dtype),
            "M_W": 0.1 / hidden * jax.random.normal(k_W, (hidden, hidden), dtype),
            "b": jnp.zeros(hidden, dtype),
        }

    def shaped(M):
        return (1 - beta) * (M + M.T) + beta * (M - M.T) - gamma * jnp.eye(hidden, dtype=M.dtype)

    def prepare(params):
        return Weights(params["W_xh"], params["b"], (shaped(params["M_A"]).T, shaped(params["M_W"]).T))

    def activated(z, a):
        return jnp.tanh(a[1] + z)

    def pullback(prev, h, t, ct):
        d = epsilon * ct
        d_W = d * (1 - t**2)
        return ct, d_W, (d, d_W)

    return recurrent(
        "lipschitz",
        inputs,
        hidden,
        init=init,
        prepare=prepare,
        update=lambda h, z, a: h + epsilon * (a[0] + activated(z, a)),
        gradient=Gradient(activated, pullback),
        activity=named(activated, tanh="tanh"),
    )


@factory
def cornn(
    inputs: int,
    hidden: int,
    *,
    dt: float = 0.042,
    gamma: float = 2.7,
    epsilon: float = 4.7,
    dtype=jnp.float32,
) -> Cell:
    """Coupled oscillatory RNN, ``y'' = tanh(W_hy y + W_hz y' + W_xh x + b) - gamma y - epsilon y'`` in steps of dt.

        z_t = z_{t-1} + dt (tanh(W_hy y_{t-1} + W_hz z_{t-1} + W_xh x_t + b) - gamma y_{t-1} - epsilon z_{t-1})
        y_t = y_{t-1} + dt z_t

    Args:
      inputs: I.
      hidden: H oscillators.
      dt, gamma, epsilon: step, stiffness and damping. The defaults are the authors' for sequential MNIST.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "W_hy": (H, H), "W_hz": (H, H), "b": (H,)}``; all start uniform in +-(I + 2 H)^-1/2.
    The carry is ``(y, z)``, ``ys`` are y.

    Raises:
      ValueError: sizes below 1, dt, gamma or epsilon negative.

    Source: Rusch, Mishra 2021, arXiv:2010.00951.
    """
    for name, value in (("dt", dt), ("gamma", gamma), ("epsilon", epsilon)):
        checks.at_least(name, value, 0.0)

    def init(key):
        k_x, k_y, k_z, k_b = jax.random.split(key, 4)
        most = (inputs + 2 * hidden) ** -0.5

        def uniform(key, *shape):
            return jax.random.uniform(key, shape, dtype, -most, most)

        return {
            "W_xh": uniform(k_x, inputs, hidden),
            "W_hy": uniform(k_y, hidden, hidden),
            "W_hz": uniform(k_z, hidden, hidden),
            "b": uniform(k_b, hidden),
        }

    def activated(z, a):
        return jnp.tanh(z + a)

    def update(carry, z, a):
        velocity = carry.z + dt * (activated(z, a) - gamma * carry.y - epsilon * carry.z)
        return Oscillators(carry.y + dt * velocity, velocity)

    def pullback(prev, carry, t, ct):
        d_velocity = ct.z + dt * ct.y
        d = dt * d_velocity * (1 - t**2)
        return Oscillators(ct.y - dt * gamma * d_velocity, (1 - dt * epsilon) * d_velocity), d, d

    return recurrent(
        "cornn",
        inputs,
        hidden,
        init=init,
        prepare=lambda params: Weights(params["W_xh"], params["b"], (params["W_hy"], params["W_hz"])),
        update=update,
        gradient=Gradient(activated, pullback),
        activity=named(activated, tanh="tanh"),
        initial_carry=zeros_each(Oscillators, (hidden,)),
        mix=lambda weights, carry: carry.y @ weights.W_hh[0] + carry.z @ weights.W_hh[1],
        readout=lambda weights, carries, xs: carries.y,
    )
