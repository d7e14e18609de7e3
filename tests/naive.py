"""Each cell's equation, written once more as the paper writes it: a column vector h, one step, no tricks.

A row of `TABLE` is all a cell needs to be held to every law of test_laws.py. `step` maps
``(matrices, state, x)`` to ``(state, y)`` for one unbatched element.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


def orthogonal_matrix(vector, n, map, params=None, rho=0.0):
    """The map of a skew matrix, by dense inverse or a power series."""
    A = jnp.zeros((n, n), vector.dtype)
    A = A.at[np.triu_indices(n, 1)].set(vector)
    A = A - A.T
    eye = jnp.eye(n, dtype=vector.dtype)
    if map == "expm":
        Q = term = eye
        for k in range(1, 60):  # enough for norms below 10 in float64
            term = term @ A / k
            Q = Q + term
    else:
        Q = jnp.linalg.inv(eye + A) @ (eye - A)
    if map == "scaled_cayley":
        signs = np.ones(n)
        signs[: round(rho * n)] = -1
        Q = Q @ jnp.diag(jnp.asarray(signs))
    return Q if params is None or "base" not in params else params["base"] @ Q


def asrnn(p, n, map="cayley", saturation="abs", eps=0.01, kappa=10.0, rho=0.5, **_):
    W_hh = orthogonal_matrix(p["W_hh"]["skew"], n, map, p["W_hh"], rho)
    U_f = orthogonal_matrix(p["U_f"]["skew"], n, "expm" if map == "expm" else "cayley")
    if saturation == "abs":
        D_f = jnp.abs(p["D_f"]) + eps
    else:
        d = jnp.sqrt(p["D_f"]["p"] ** 2 + eps**2 / 4)
        D_f = d * kappa ** (jnp.tanh(p["D_f"]["s"]) / 2)
    W_f = U_f @ jnp.diag(D_f)
    return p["W_xh"].T, W_hh, p["b"], W_f, jnp.linalg.inv(W_f)


def asrnn_step(m, h, x):
    W_xh, W_hh, b, W_f, W_f_inv = m
    h = W_f_inv @ jnp.tanh(W_f @ (W_xh @ x + W_hh @ h + b))
    return h, h


def tanh_rnn(p, n, **_):
    return p["W_xh"].T, p["W_hh"].T, p["b"]


def tanh_rnn_step(m, h, x):
    W_xh, W_hh, b = m
    h = jnp.tanh(W_xh @ x + W_hh @ h + b)
    return h, h


def orthogonal(p, n, map="cayley", rho=0.5, **_):
    return p["W_xh"].T, orthogonal_matrix(p["W_hh"]["skew"], n, map, p["W_hh"], rho), p["b"]


def modrelu_step(m, h, x):
    W_xh, W_hh, b = m
    z = W_xh @ x + W_hh @ h
    h = z / jnp.abs(z) * jax.nn.relu(jnp.abs(z) + b)
    return h, h


def linear_step(m, h, x):
    W_xh, W_hh, b = m
    h = W_xh @ x + W_hh @ h + b
    return h, h


def lstm(p, n, **_):
    def gate(k):
        columns = slice(k * n, (k + 1) * n)
        return p["W_xh"][:, columns].T, p["W_hh"][:, columns].T, p["b"][columns]

    return [gate(k) for k in range(4)]


def lstm_step(m, state, x):
    h, c = state
    i, f, g, o = (W @ x + U @ h + b for W, U, b in m)

    def sigma(z):
        return 1 / (1 + jnp.exp(-z))

    c = sigma(f) * c + sigma(i) * jnp.tanh(g)
    h = sigma(o) * jnp.tanh(c)
    return (h, c), h


class Row(NamedTuple):
    id: str
    cell: str
    options: tuple[tuple[str, Any], ...]
    matrices: Callable
    step: Callable
    output: Callable = lambda state: state


def options(**values):
    """Hashable, so that a row can be a static argument."""
    return tuple(values.items())


TABLE = [
    Row("tanh_rnn", "tanh_rnn", options(), tanh_rnn, tanh_rnn_step),
    Row("asrnn", "asrnn", options(), asrnn, asrnn_step),
    Row("asrnn-saturated", "asrnn", options(a=0.3, b=2.0), asrnn, asrnn_step),
    Row("asrnn-expm", "asrnn", options(map="expm", init="henaff", a=0.5, b=1.5), asrnn, asrnn_step),
    Row("asrnn-scaled", "asrnn", options(map="scaled_cayley", rho=0.3, a=0.5, b=1.5), asrnn, asrnn_step),
    Row("asrnn-dynamic", "asrnn", options(map="expm", init="haar", dynamic=True, a=1.0, b=1.5), asrnn, asrnn_step),
    Row("asrnn-bounded", "asrnn", options(saturation="bounded", a=0.1, b=2.0), asrnn, asrnn_step),
    Row("orthogonal", "orthogonal", options(), orthogonal, modrelu_step),
    Row("orthogonal-scornn", "orthogonal", options(map="scaled_cayley", init="cayley"), orthogonal, modrelu_step),
    Row("orthogonal-dtriv", "orthogonal", options(map="expm", dynamic=True), orthogonal, modrelu_step),
    Row("orthogonal-linear", "orthogonal", options(activation="linear", init="haar"), orthogonal, linear_step),
    Row("lstm", "lstm", options(), lstm, lstm_step, lambda state: state.h),
]
