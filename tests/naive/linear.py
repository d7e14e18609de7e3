"""Linear state spaces, with their diagonals written out as matrices."""

import jax.numpy as jnp

from tests.naive.row import Row, options, sigma


def feedthrough(D):
    return jnp.diag(D) if D.ndim == 1 else D.T


def lru(p, n, **_):
    modulus, phase = jnp.exp(-jnp.exp(p["nu_log"])), jnp.exp(p["theta_log"])
    Lambda = jnp.diag(modulus * (jnp.cos(phase) + 1j * jnp.sin(phase)))
    B = jnp.diag(jnp.exp(p["gamma_log"])) @ (p["B_re"] + 1j * p["B_im"]).T
    return Lambda, B, (p["C_re"] + 1j * p["C_im"]).T, feedthrough(p["D"])


def s5(p, n, **_):
    Lambda, step = jnp.diag(p["Lambda_re"] + 1j * p["Lambda_im"]), jnp.diag(jnp.exp(p["log_step"]))
    held = jnp.diag(jnp.exp(jnp.diag(Lambda @ step)))
    B = jnp.linalg.inv(Lambda) @ (held - jnp.eye(n)) @ (p["B_re"] + 1j * p["B_im"]).T
    # The conjugate half of the system adds the conjugate of C h.
    return held, B, 2 * (p["C_re"] + 1j * p["C_im"]).T, feedthrough(p["D"])


def diagonal_step(m, h, x):
    A, B, C, D = m
    h = A @ h + B @ x
    return h, (C @ h).real + D @ x


def rg_lru(p, n, c=8.0, **_):
    return p["W_xh"].T, p["b"], (p["W_a"].T, p["b_a"]), (p["W_i"].T, p["b_i"]), p["Lambda"], c


def rg_lru_step(m, h, x):
    W_xh, b, (W_a, b_a), (W_i, b_i), Lambda, c = m
    u = W_xh @ x + b
    r, i = sigma(W_a @ u + b_a), sigma(W_i @ u + b_i)
    a = sigma(-Lambda) ** (c * r)  # softplus(Lambda) = -log sigma(-Lambda)
    h = a * h + jnp.sqrt(1 - a**2) * (i * u)
    return h, h


ROWS = [
    Row("lru", "lru", options(), lru, diagonal_step, linear=True),
    Row("lru-square", "lru", options(outputs=3, r_min=0.4, r_max=0.9), lru, diagonal_step, linear=True),
    Row("s5", "s5", options(), s5, diagonal_step, linear=True),
    Row("s5-square", "s5", options(outputs=3, dt_min=0.05, dt_max=0.5), s5, diagonal_step, linear=True),
    Row("s5-blocks", "s5", options(blocks=2), s5, diagonal_step, linear=True),
    Row("rg_lru", "rg_lru", options(), rg_lru, rg_lru_step, linear=True),
    Row("rg_lru-slow", "rg_lru", options(c=2.0), rg_lru, rg_lru_step, linear=True),
]
