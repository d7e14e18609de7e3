"""Leaky integrate-and-fire neurons. The surrogate is the derivative of a soft spike behind a straight-through step."""

from functools import partial

import jax.numpy as jnp
from jax.lax import stop_gradient

from tests.naive.row import Row, options

SLOPES = {"atan": 2.0, "sigmoid": 4.0, "triangular": 1.0, "superspike": 25.0, "slayer": 5.0}


def soft(kind, k, v):
    """An antiderivative of the surrogate, up to a constant."""
    if kind == "atan":
        return jnp.arctan(jnp.pi * k * v / 2) / jnp.pi
    if kind == "sigmoid":
        return 1 / (1 + jnp.exp(-k * v))
    if kind == "triangular":
        inside = v - k * v * jnp.abs(v) / 2
        return jnp.where(jnp.abs(k * v) < 1, inside, jnp.sign(v) / (2 * k))
    if kind == "superspike":
        return v / (1 + k * jnp.abs(v))
    return jnp.sign(v) * (1 - jnp.exp(-k * jnp.abs(v))) / k


def spike(kind, slope, v):
    smooth = soft(kind, SLOPES[kind] if slope is None else slope, v)
    return smooth + stop_gradient((v > 0).astype(v.dtype) - smooth)


def lif(p, n, recurrent=True, surrogate="atan", slope=None, reset="soft", threshold=1.0, adaptation=1.8, **_):
    def decay(log_tau):
        return jnp.exp(-1 / jnp.exp(log_tau))

    W_hh = p["W_hh"].T if recurrent else jnp.zeros((n, n))
    rho = decay(p["log_tau_adapt"]) if "log_tau_adapt" in p else None
    constants = partial(spike, surrogate, slope), reset, threshold, adaptation
    return p["W_xh"].T, W_hh, p["b"], decay(p["log_tau"]), rho, constants


def membrane(m, u, s, x, threshold):
    W_xh, W_hh, b, beta, _, (_, reset, _, _) = m
    current = W_xh @ x + b + W_hh @ s
    return beta * u + current - threshold * s if reset == "soft" else beta * u * (1 - s) + current


def lif_step(m, u, x):
    *_, (theta, _, threshold, _) = m
    u = membrane(m, u, theta(u - threshold), x, threshold)
    return u, theta(u - threshold)


def alif_step(m, state, x):
    *_, rho, (theta, _, threshold, adaptation) = m
    u, a = state
    moving = threshold + adaptation * a
    s = theta(u - moving)
    a = rho * a + (1 - rho) * s
    u = membrane(m, u, s, x, moving)
    return (u, a), theta(u - (threshold + adaptation * a))


def row(id, **values):
    cell = id.split("-")[0]
    return Row(id, cell, options(**values), lif, lif_step if cell == "lif" else alif_step, spiking=True)


ROWS = [
    row("lif"),
    row("lif-hard", reset="hard", surrogate="slayer", threshold=0.4),
    row("lif-feedforward", recurrent=False, surrogate="triangular", threshold=0.4),
    row("lif-superspike", surrogate="superspike", slope=10.0, threshold=0.4, tau=3.0),
    row("alif"),
    row("alif-hard", reset="hard", surrogate="sigmoid", threshold=0.4, tau_adapt=5.0),
    row("alif-adaptive", surrogate="superspike", threshold=0.3, adaptation=0.7, tau=4.0, tau_adapt=3.0),
]
