"""Orthogonal and unitary matrices, and the stable flows that replace them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tests.naive.row import Row, options, sigma


def skew_matrix(vector, n):
    A = jnp.zeros((n, n), vector.dtype)
    A = A.at[np.triu_indices(n, 1)].set(vector)
    return A - A.T


def orthogonal_matrix(vector, n, map, params=None, rho=0.0):
    """The map of a skew matrix, by dense inverse or a power series."""
    A = skew_matrix(vector, n)
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


def asrnn(p, n, map="cayley", saturation="abs", eps=0.01, kappa=30.0, gain=20.0, rho=0.5, rotate=True, **_):
    W_hh = orthogonal_matrix(p["W_hh"]["skew"], n, map, p["W_hh"], rho)
    U_f = orthogonal_matrix(p["U_f"]["skew"], n, "expm" if map == "expm" else "cayley") if rotate else jnp.eye(n)
    if saturation == "abs":
        D_f = jnp.abs(p["D_f"]) + eps
    else:
        d = jnp.sqrt(p["D_f"]["p"] ** 2 + eps**2 / 4)
        D_f = d * kappa ** (jnp.tanh(gain * p["D_f"]["s"]) / 2)
    W_f = U_f @ jnp.diag(D_f)
    return p["W_xh"].T, W_hh, p["b"], W_f, jnp.linalg.inv(W_f)


def asrnn_step(m, h, x):
    W_xh, W_hh, b, W_f, W_f_inv = m
    h = W_f_inv @ jnp.tanh(W_f @ (W_xh @ x + W_hh @ h + b))
    return h, h


def asrnn_carry_step(m, h, x):
    h, _ = asrnn_step(m, h, x)
    return h, m[3] @ h


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


def reflection(v):
    """I - 2 v v^* / |v|^2, entry by entry."""
    n, norm = len(v), sum(abs(a) ** 2 for a in v)
    return jnp.array([[(j == k) - 2 * v[j] * v[k].conj() / norm for k in range(n)] for j in range(n)])


def urnn(p, n, seed=0, **_):
    D_1, D_2, D_3 = (jnp.diag(jnp.cos(theta) + 1j * jnp.sin(theta)) for theta in p["theta"])
    R_1, R_2 = (reflection(re + 1j * im) for re, im in zip(p["v_re"], p["v_im"]))
    F = np.array([[np.exp(-2j * np.pi * j * k / n) for k in range(n)] for j in range(n)]) / np.sqrt(n)
    Pi = np.zeros((n, n))
    for j, source in enumerate(np.random.RandomState(seed).permutation(n)):
        Pi[j, source] = 1
    W = D_3 @ R_2 @ F.conj().T @ D_2 @ Pi @ R_1 @ F @ D_1
    return (p["W_xh_re"] + 1j * p["W_xh_im"]).T, W, p["b"]


def urnn_step(m, h, x):
    V, W, b = m
    z = W @ h + V @ x
    size = jnp.sqrt(z.real**2 + z.imag**2)
    h = z / size * jnp.where(size + b > 0, size + b, 0)
    return h, jnp.concatenate([h.real, h.imag])


def nnrnn(p, n, map="expm", **_):
    P = orthogonal_matrix(p["P"]["skew"], n, map, p["P"])
    middle, entries = jnp.zeros((n, n), p["T"].dtype), iter(p["T"])
    for j, gamma in enumerate(p["gamma"]):
        if 2 * j + 1 == n:  # the odd one out
            block = gamma[None, None]
        else:
            c, s = jnp.cos(p["theta"][j]), jnp.sin(p["theta"][j])
            block = gamma * jnp.array([[c, -s], [s, c]])
        middle = middle.at[2 * j : 2 * j + 2, 2 * j : 2 * j + 2].set(block)
    for i in range(n):
        for j in range(i + 1, n):
            if i // 2 != j // 2:
                middle = middle.at[i, j].set(next(entries))
    assert next(entries, None) is None
    return p["W_xh"].T, P @ middle @ P.T, p["b"]


def antisymmetric(p, n, epsilon=0.1, gamma=0.01, gated=False, **_):
    M = skew_matrix(p["A"], n) - gamma * jnp.eye(n)
    gate = (p["W_xz"].T, p["b_z"]) if gated else None
    return M, p["W_xh"].T, p["b"], gate, epsilon


def antisymmetric_step(m, h, x):
    M, W_xh, b, gate, epsilon = m
    change = jnp.tanh(M @ h + W_xh @ x + b)
    if gate is not None:
        W_xz, b_z = gate
        change = sigma(M @ h + W_xz @ x + b_z) * change
    h = h + epsilon * change
    return h, h


def lipschitz(p, n, epsilon=0.03, beta=0.75, gamma=0.001, **_):
    def S(M):
        return (1 - beta) * (M + M.T) + beta * (M - M.T) - gamma * jnp.eye(n)

    return S(p["M_A"]), S(p["M_W"]), p["W_xh"].T, p["b"], epsilon


def lipschitz_step(m, h, x):
    A, W, W_xh, b, epsilon = m
    h = h + epsilon * (A @ h + jnp.tanh(W @ h + W_xh @ x + b))
    return h, h


def cornn(p, n, dt=0.042, gamma=2.7, epsilon=4.7, **_):
    return p["W_hy"].T, p["W_hz"].T, p["W_xh"].T, p["b"], (dt, gamma, epsilon)


def cornn_step(m, state, x):
    W_hy, W_hz, W_xh, b, (dt, gamma, epsilon) = m
    y, z = state
    z = z + dt * (jnp.tanh(W_hy @ y + W_hz @ z + W_xh @ x + b) - gamma * y - epsilon * z)
    y = y + dt * z
    return (y, z), y


ROWS = [
    Row("asrnn", "asrnn", options(), asrnn, asrnn_step),
    Row("asrnn-saturated", "asrnn", options(a=0.3, b=2.0), asrnn, asrnn_step),
    Row("asrnn-expm", "asrnn", options(map="expm", init="henaff", a=0.5, b=1.5), asrnn, asrnn_step),
    Row("asrnn-scaled", "asrnn", options(map="scaled_cayley", rho=0.3, a=0.5, b=1.5), asrnn, asrnn_step),
    Row("asrnn-dynamic", "asrnn", options(map="expm", init="haar", dynamic=True, a=1.0, b=1.5), asrnn, asrnn_step),
    Row("asrnn-bounded", "asrnn", options(saturation="bounded", a=0.1, b=2.0), asrnn, asrnn_step),
    Row("asrnn-axes", "asrnn", options(rotate=False, a=0.5, b=1.5), asrnn, asrnn_step),
    Row("asrnn-carry", "asrnn", options(readout="carry", a=0.5, b=1.5), asrnn, asrnn_carry_step),
    Row("orthogonal", "orthogonal", options(), orthogonal, modrelu_step),
    Row("orthogonal-scornn", "orthogonal", options(map="scaled_cayley", init="cayley"), orthogonal, modrelu_step),
    Row("orthogonal-dtriv", "orthogonal", options(map="expm", dynamic=True), orthogonal, modrelu_step),
    Row("orthogonal-linear", "orthogonal", options(activation="linear", init="haar"), orthogonal, linear_step),
    Row("scornn", "scornn", options(rho=0.3), partial(orthogonal, map="scaled_cayley"), modrelu_step),
    Row("exprnn", "exprnn", options(), partial(orthogonal, map="expm"), modrelu_step),
    Row("dtriv", "dtriv", options(), partial(orthogonal, map="expm"), modrelu_step),
    Row("urnn", "urnn", options(seed=3), urnn, urnn_step),
    Row("nnrnn", "nnrnn", options(), nnrnn, modrelu_step),
    Row("nnrnn-cayley", "nnrnn", options(map="cayley", init="cayley"), nnrnn, modrelu_step),
    Row("antisymmetric", "antisymmetric", options(), antisymmetric, antisymmetric_step),
    Row("antisymmetric-gated", "antisymmetric", options(gated=True, epsilon=0.3), antisymmetric, antisymmetric_step),
    Row("lipschitz", "lipschitz", options(), lipschitz, lipschitz_step),
    Row("lipschitz-fast", "lipschitz", options(epsilon=0.4, beta=0.6, gamma=0.2), lipschitz, lipschitz_step),
    Row("cornn", "cornn", options(), cornn, cornn_step),
    Row("cornn-fast", "cornn", options(dt=0.2, gamma=1.5, epsilon=2.0), cornn, cornn_step),
]
