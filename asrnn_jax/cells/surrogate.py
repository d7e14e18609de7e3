"""The step function of spiking cells and what stands in for its derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Surrogate(NamedTuple):
    derivative: Callable[[jax.Array, float], jax.Array]
    """``(v, k) -> `` derivative of the step at v."""
    slope: float
    """k, unless another is asked for."""
    source: str


def _sigmoid(v: jax.Array, k: float) -> jax.Array:
    return k * jax.nn.sigmoid(k * v) * jax.nn.sigmoid(-k * v)


SURROGATES: dict[str, Surrogate] = {
    "atan": Surrogate(lambda v, k: 0.5 * k / (1 + (0.5 * jnp.pi * k * v) ** 2), 2.0, "Fang et al. 2021"),
    "sigmoid": Surrogate(_sigmoid, 4.0, "Neftci et al. 2019"),
    "triangular": Surrogate(lambda v, k: jnp.maximum(0, 1 - jnp.abs(k * v)), 1.0, "Esser et al. 2016"),
    "superspike": Surrogate(lambda v, k: 1 / (1 + k * jnp.abs(v)) ** 2, 25.0, "Zenke, Ganguli 2018"),
    "slayer": Surrogate(lambda v, k: jnp.exp(-k * jnp.abs(v)), 5.0, "Shrestha, Orchard 2018"),
}


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def spike(v: jax.Array, surrogate: str, slope: float) -> jax.Array:
    """1 where ``v > 0``, else 0, with the derivative of `SURROGATES`[surrogate] at that slope."""
    return (v > 0).astype(v.dtype)


@spike.defjvp
def _spike_jvp(surrogate, slope, primals, tangents):
    (v,), (dv,) = primals, tangents
    return spike(v, surrogate, slope), SURROGATES[surrogate].derivative(v, slope) * dv
