"""Selective and oscillating state spaces, matrix states, attention, and LEM, as their papers write them."""

import jax
import jax.numpy as jnp

from tests.naive.linear import feedthrough
from tests.naive.row import Row, gates, options, sigma


def softplus(z):
    return jnp.log(1 + jnp.exp(z))


def silu(z):
    return z * sigma(z)


def lem(p, n, dt=1.0, **_):
    return gates(p, n, 4), dt


def lem_step(m, state, x):
    (one, two, of_z, of_y), dt = m
    y, z = state
    delta = dt * sigma(one[0] @ x + one[1] @ y + one[2])
    delta_y = dt * sigma(two[0] @ x + two[1] @ y + two[2])
    z = (1 - delta) * z + delta * jnp.tanh(of_z[0] @ x + of_z[1] @ y + of_z[2])
    y = (1 - delta_y) * y + delta_y * jnp.tanh(of_y[0] @ x + of_y[1] @ z + of_y[2])
    return (y, z), y


def linoss(p, n, method="im", **_):
    """The step as a matrix on (z, y), from the two equations of a step solved for the new values."""
    A, step = jnp.diag(p["A"]), jnp.diag(sigma(p["log_odds_step"]))
    one, none = jnp.eye(n), jnp.zeros((n, n))
    late, early = (step @ A, none) if method == "im" else (none, step @ A)
    left = jnp.block([[one, late], [-step, one]])
    right = jnp.block([[one, -early], [none, one]])
    return jnp.linalg.solve(left, right), jnp.linalg.solve(left, jnp.vstack([step @ p["B"].T, none @ p["B"].T])), p


def linoss_step(m, state, x):
    M, F, p = m
    z, y = jnp.split(M @ jnp.concatenate(state) + F @ x, 2)
    return (z, y), p["C"].T @ y + feedthrough(p["D"]) @ x


def own(p, n, **_):
    return p


def s4d_step(p, h, x):
    """Channel by channel, state by state."""
    u = p["W_xh"].T @ x + p["b"]
    A = -jnp.exp(p["log_A_re"]) + 1j * p["A_im"]
    step = jnp.exp(p["log_step"])
    new, ys = [], []
    for channel in range(len(u)):
        a = jnp.exp(A[channel] * step[channel])
        new.append(a * h[channel] + (a - 1) / A[channel] * u[channel])
        C = p["C_re"][channel] + 1j * p["C_im"][channel]
        ys.append(2 * (C @ new[-1]).real + p["D"][channel] * u[channel])
    return jnp.stack(new), jnp.stack(ys)


def s6_step(p, h, x):
    u = p["W_xh"].T @ x + p["b"]
    delta = softplus(p["W_up"].T @ (p["W_down"].T @ u) + p["b_step"])
    B, C, A = p["W_B"].T @ u, p["W_C"].T @ u, -jnp.exp(p["log_A"])
    new = [jnp.exp(delta[c] * A[c]) * h[:, c] + delta[c] * B * u[c] for c in range(len(u))]
    return jnp.stack(new, axis=1), jnp.stack([C @ new[c] + p["D"][c] * u[c] for c in range(len(u))])


def slstm(p, n, **_):
    return gates(p, n, 4)


def slstm_step(m, state, x):
    """Without a scale: c and n as they are, that is times exp(m)."""
    h, c, n, scale = state
    i, f, z, o = (W @ x + U @ h + b for W, U, b in m)
    new_scale = jnp.where(jnp.log(sigma(f)) + scale > i, jnp.log(sigma(f)) + scale, i)
    c = sigma(f) * jnp.exp(scale) * c + jnp.exp(i) * jnp.tanh(z)
    n = sigma(f) * jnp.exp(scale) * n + jnp.exp(i)
    h = sigma(o) * c / n
    return (h, c / jnp.exp(new_scale), n / jnp.exp(new_scale), new_scale), h


def heads_of(a, heads):
    return a.reshape(heads, -1)


def mlstm(p, n, heads=1, cap=15.0, **_):
    return p, heads, cap


def mlstm_step(m, state, x):
    p, heads, cap = m
    q, k, v, o = (heads_of(p[f"W_{name}"].T @ x + p[f"b_{name}"], heads) for name in "qkvo")
    k = k / jnp.sqrt(k.shape[1])
    i = jnp.exp(cap * jnp.tanh((p["W_i"].T @ x + p["b_i"]) / cap))
    f = sigma(p["W_f"].T @ x + p["b_f"])
    C, n = list(state[0]), list(state[1])
    ys = []
    for j in range(heads):
        C[j] = f[j] * C[j] + i[j] * jnp.outer(v[j], k[j])
        n[j] = f[j] * n[j] + i[j] * k[j]
        norm = jnp.where(jnp.abs(n[j] @ q[j]) > 1, jnp.abs(n[j] @ q[j]), 1.0)
        ys.append(sigma(o[j]) * (C[j] @ q[j]) / norm)
    return (jnp.stack(C), jnp.stack(n)), jnp.concatenate(ys)


def gated_delta(p, n, heads=1, **_):
    return p, heads


def gated_delta_step(m, S, x):
    p, heads = m
    q, k, v = (heads_of(silu(p[f"W_{name}"].T @ x), heads) for name in "qkv")
    q, k = (a / jnp.sqrt((a**2).sum(1, keepdims=True) + 1e-6) for a in (q, k))
    beta = sigma(p["W_beta"].T @ x)
    alpha = jnp.exp(-jnp.exp(p["log_rate"]) * softplus(p["W_alpha"].T @ x + p["b_step"]))
    one = jnp.eye(k.shape[1])
    new = [
        S[j] @ (alpha[j] * (one - beta[j] * jnp.outer(k[j], k[j]))) + beta[j] * jnp.outer(v[j], k[j])
        for j in range(heads)
    ]
    return jnp.stack(new), jnp.concatenate([S_j @ q_j / jnp.sqrt(len(q_j)) for S_j, q_j in zip(new, q)])


def attention(p, n, heads=1, base=10_000.0, **_):
    return p, heads, base


def attention_step(m, state, x):
    """Pairs of coordinates as complex numbers, which turn with their age."""
    p, heads, base = m
    q, k, v = (heads_of(p[f"W_{name}"].T @ x, heads) for name in "qkv")
    keys, values, seen = state
    keys, values = jnp.concatenate([keys[1:], k[None]]), jnp.concatenate([values[1:], v[None]])
    seen = jnp.concatenate([seen[1:], jnp.ones(1)])
    window, d = len(seen), q.shape[1]
    speeds = base ** (-2 * jnp.arange(d // 2) / d)
    ys = []
    for j in range(heads):
        turned = jnp.exp(-1j * speeds[None] * jnp.arange(window - 1, -1, -1)[:, None])
        pairs = (keys[:, j, : d // 2] + 1j * keys[:, j, d // 2 :]) * turned
        scores = (pairs * (q[j, : d // 2] - 1j * q[j, d // 2 :])[None]).real.sum(1) / jnp.sqrt(d)
        e = jnp.exp(scores) * jax.lax.stop_gradient(seen)  # which steps there were is no number to learn
        ys.append(e @ values[:, j] / e.sum())
    return (keys, values, seen), p["W_o"].T @ jnp.concatenate(ys)


def short_conv_step(p, window, x):
    window = jnp.concatenate([window[1:], (p["W_xh"].T @ x)[None]])
    return window, silu(jnp.sum(window * p["taps"], axis=0) + p["b"])


ROWS = [
    Row("lem", "lem", options(dt=0.7), lem, lem_step),
    Row("linoss", "linoss", options(), linoss, linoss_step, linear=True),
    Row("linoss-imex", "linoss", options(method="imex", outputs=3), linoss, linoss_step, linear=True),
    Row("s4d", "s4d", options(states=3), own, s4d_step, linear=True),
    Row("s4d-inv", "s4d", options(states=3, start="inv", dt_max=0.5), own, s4d_step, linear=True),
    Row("s6", "s6", options(states=3), own, s6_step, linear=True),
    Row("slstm", "slstm", options(forget_bias=1.0), slstm, slstm_step),
    Row("mlstm", "mlstm", options(), mlstm, mlstm_step, linear=True),
    Row("mlstm-heads", "mlstm", options(heads=3, cap=0.5), mlstm, mlstm_step, linear=True),
    Row("gated_delta", "gated_delta", options(), gated_delta, gated_delta_step),
    Row("gated_delta-heads", "gated_delta", options(heads=2), gated_delta, gated_delta_step),
    Row("attention", "attention", options(window=4), attention, attention_step),
    Row("attention-heads", "attention", options(window=5, heads=3, base=10.0), attention, attention_step),
    Row("short_conv", "short_conv", options(), own, short_conv_step),
]
