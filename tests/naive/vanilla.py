"""Elman networks: tanh, identity start, independent units."""

import jax.numpy as jnp
from jax.lax import stop_gradient

from tests.naive.row import Row, options


def tanh_rnn(p, n, **_):
    return p["W_xh"].T, p["W_hh"].T, p["b"]


def tanh_rnn_step(m, h, x):
    W_xh, W_hh, b = m
    h = jnp.tanh(W_xh @ x + W_hh @ h + b)
    return h, h


def irnn_step(m, h, x):
    W_xh, W_hh, b = m
    z = W_xh @ x + W_hh @ h + b
    h = jnp.where(z > 0, z, 0)
    return h, h


def indrnn(p, n, bound=None, **_):
    u = p["u"]
    if bound is not None:  # straight through: the gradient is that of the clipped value
        u = u + stop_gradient(jnp.minimum(jnp.maximum(u, -bound), bound) - u)
    return p["W_xh"].T, jnp.diag(u), p["b"]


ROWS = [
    Row("tanh_rnn", "tanh_rnn", options(), tanh_rnn, tanh_rnn_step),
    Row("irnn", "irnn", options(), tanh_rnn, irnn_step),
    Row("indrnn", "indrnn", options(), indrnn, irnn_step),
    Row("indrnn-tanh", "indrnn", options(activation="tanh"), indrnn, tanh_rnn_step),
    Row("indrnn-bound", "indrnn", options(bound=0.1, activation="tanh"), indrnn, tanh_rnn_step),
]
