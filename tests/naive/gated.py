"""Gated cells, one gate after another."""

import jax.numpy as jnp

from tests.naive.row import Row, gates, options, sigma


def lstm(p, n, **_):
    return gates(p, n, 4)


def lstm_state(i, f, g, o, c):
    c = sigma(f) * c + sigma(i) * jnp.tanh(g)
    return sigma(o) * jnp.tanh(c), c


def lstm_step(m, state, x):
    h, c = state
    h, c = lstm_state(*(W @ x + U @ h + b for W, U, b in m), c)
    return (h, c), h


def gru(p, n, **_):
    return [*gates(p, n, 3), p["b_hn"]]


def gru_step(m, h, x):
    (W_r, U_r, b_r), (W_z, U_z, b_z), (W_n, U_n, b_n), b_hn = m
    r = sigma(W_r @ x + U_r @ h + b_r)
    z = sigma(W_z @ x + U_z @ h + b_z)
    n = jnp.tanh(W_n @ x + b_n + r * (U_n @ h + b_hn))
    h = (1 - z) * n + z * h
    return h, h


def mgu(p, n, **_):
    return [*gates(p, n, 2), p["b_hn"]]


def mgu_step(m, h, x):
    (W_f, U_f, b_f), (W_n, U_n, b_n), b_hn = m
    f = sigma(W_f @ x + U_f @ h + b_f)
    n = jnp.tanh(W_n @ x + b_n + f * (U_n @ h + b_hn))
    h = (1 - f) * n + f * h
    return h, h


def minimal(p, n, candidate="linear", **_):
    """The gates of the input alone, and the candidate's function g."""

    def positive(v):
        return jnp.where(v >= 0, v + 0.5, sigma(v))

    parts = [(p["W_xh"][:, k : k + n].T, p["b"][k : k + n]) for k in range(0, len(p["b"]), n)]
    return parts, positive if candidate == "positive" else lambda v: v


def min_gru_step(m, h, x):
    ((W_z, b_z), (W_h, b_h)), g = m
    z = sigma(W_z @ x + b_z)
    h = (1 - z) * h + z * g(W_h @ x + b_h)
    return h, h


def min_lstm_step(m, h, x):
    ((W_f, b_f), (W_i, b_i), (W_h, b_h)), g = m
    f, i = sigma(W_f @ x + b_f), sigma(W_i @ x + b_i)
    h = f / (f + i) * h + i / (f + i) * g(W_h @ x + b_h)
    return h, h


def surprisal(p, n, prediction="softmax", **_):
    V = [p["V"][k * n : (k + 1) * n] for k in range(4)]
    return gates(p, n, 4), V, p["W_hp"].T, p["b_p"], prediction


def surprisal_step(m, state, x):
    each, V, W_hp, b_p, prediction = m
    h, c = state
    p = W_hp @ h + b_p
    if prediction == "softmax":
        s = -jnp.sum(x * jnp.log(jnp.exp(p) / jnp.exp(p).sum()))
    else:
        s = sum((x[i] - p[i]) ** 2 for i in range(len(x))) / len(x) / 2
    h, c = lstm_state(*(W @ x + U @ h + v * s + b for (W, U, b), v in zip(each, V)), c)
    return (h, c), h


def input_gated(p, n, **_):
    return (p["W_xh"][:, :n].T, p["b"][:n]), (p["W_xh"][:, n:].T, p["W_hh"].T, p["b"][n:])


def input_gated_step(m, h, x):
    (W_i, b_i), (W_n, U, b_n) = m
    i = sigma(W_i @ x + b_i)
    h = (1 - i) * h + i * jnp.tanh(W_n @ x + U @ h + b_n)
    return h, h


ROWS = [
    Row("lstm", "lstm", options(), lstm, lstm_step),
    Row("gru", "gru", options(), gru, gru_step),
    Row("mgu", "mgu", options(), mgu, mgu_step),
    Row("min_gru", "min_gru", options(), minimal, min_gru_step, linear=True),
    Row("min_gru-positive", "min_gru", options(candidate="positive"), minimal, min_gru_step, linear=True),
    Row("min_lstm", "min_lstm", options(), minimal, min_lstm_step, linear=True),
    Row("min_lstm-positive", "min_lstm", options(candidate="positive"), minimal, min_lstm_step, linear=True),
    Row("surprisal", "surprisal", options(), surprisal, surprisal_step),
    Row("surprisal-gaussian", "surprisal", options(prediction="gaussian"), surprisal, surprisal_step),
    Row("input_gated", "input_gated", options(), input_gated, input_gated_step),
]
