"""The standard Student t distribution in JAX: density, tail, quantiles and the nodes of an integral over it.

    f(t) = exp(log_constant(nu)) (1 + t^2 / nu)^(-(nu + 1) / 2)

All functions hold from one degree of freedom to 1e9, where it is the standard Gaussian, without cancellation.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, gammaln, log_ndtr

FAR = 1e18  # scales from the centre: beyond, squares leave float32, so that losses stay as they are there
MANY = 20.0  # degrees from which the series of `log_constant` is good to 1e-11
LARGE = 50.0  # degrees from which `log_two_tails` goes by the Gaussian
STEP, NODES = 0.1, 32  # of the integral: 2 * NODES + 1 places


def log_constant(nu: jax.Array) -> jax.Array:
    """log of the density at 0: ``lgamma((nu + 1) / 2) - lgamma(nu / 2) - log(pi nu) / 2``.

    The two logarithms of gamma functions are nearly equal where nu is large; there a series has their difference
    (the expansion of ``Gamma(x + 1/2) / Gamma(x)`` for ``x = nu / 2``).
    """
    x = nu / 2
    y = 1 / jnp.maximum(x, MANY / 4)  # the series need not be good below, but finite
    series = y * (-1 / 8 + y**2 * (1 / 192 + y**2 * (-1 / 640 + y**2 * (17 / 14336))))
    near = jnp.minimum(x, MANY)
    small = gammaln(near + 0.5) - gammaln(near) - jnp.log(near) / 2
    return jnp.where(nu > MANY, series, small) - 0.5 * math.log(2 * math.pi)


def log_density(t: jax.Array, nu: jax.Array) -> jax.Array:
    """log f(t)"""
    return log_constant(nu) + log_shape(t, nu)


def log_shape(t: jax.Array, nu: jax.Array) -> jax.Array:
    """log of the density over that at 0."""
    t = jnp.clip(t, -FAR, FAR)
    return -(nu + 1) / 2 * jnp.log1p(t * t / nu)


def log_two_tails(t: jax.Array, nu: jax.Array) -> jax.Array:
    """log P(\\|T\\| >= \\|t\\|), also where the probability itself is too small for its type."""
    t = jnp.clip(jnp.abs(t), 0, FAR)
    log_ratio = jnp.log1p(t * t / nu)
    return jnp.where(nu > LARGE, _few_from_gaussian(log_ratio, nu), _beta(log_ratio, jnp.minimum(nu, LARGE)))


def _few_from_gaussian(log_ratio: jax.Array, nu: jax.Array) -> jax.Array:
    """By the Gaussian deviate of the same tail, to 1e-8 of it (Hill 1970, algorithm 395 of the ACM)."""
    a = jnp.maximum(nu, LARGE) - 0.5
    b = 48 * a * a
    z2 = jnp.minimum(a * log_ratio, 1e8)
    z = jnp.sqrt(z2)
    right = (((4 * z2 + 33) * z2 + 240) * z2 + 855) / (10 * b * ((0.8 * z2 * z2 + 100) / b + 1))
    return math.log(2) + log_ndtr(-z * (1 + (z2 + 3 - right) / b))


def _beta(log_ratio: jax.Array, nu: jax.Array) -> jax.Array:
    """By the incomplete beta function, whose first terms go on where it is too small."""
    a, x = nu / 2, jnp.exp(-log_ratio)
    least = 100 * float(jnp.finfo(x.dtype).tiny)
    tails = betainc(a, jnp.full_like(a, 0.5), x)
    log_beta = 0.5 * math.log(math.pi) - (log_constant(nu) + 0.5 * jnp.log(2 * math.pi * a))
    first = -a * log_ratio + jnp.log(jnp.maximum(1 - x, least)) / 2 - jnp.log(a) - log_beta
    rest = -jnp.log(jnp.maximum(1 - x * (a + 0.5) / (a + 1), least))  # as if the series were geometric
    return jnp.where(tails > least, jnp.log(jnp.maximum(tails, least)), first + rest)


@partial(jax.jit, static_argnums=0)
def quantile(q: float, nu: jax.Array) -> jax.Array:
    """The t that a share q stays below, for q in (0, 1); by bisection of the tail, which has no closed inverse."""
    tail = math.log(2 * min(q, 1 - q))
    ends = jnp.zeros_like(nu), jnp.full_like(nu, 40.0)  # of asinh(t)

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        before = log_two_tails(jnp.sinh(middle), nu) > tail
        return jnp.where(before, middle, low), jnp.where(before, high, middle)

    low, high = jax.lax.fori_loop(0, 60 if nu.dtype == jnp.float64 else 32, halve, ends)
    return jnp.sinh((low + high) / 2) * math.copysign(1, q - 0.5)


def nodes(nu: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Places t ``(N,)`` and weights w ``(..., N)`` with ``E[g(T)] = sum_i w_i g(t_i)`` for smooth g that grow slowly.

    The trapezoidal rule after ``t = sinh(pi/2 sinh(x))``: the integrand then falls doubly exponentially on both
    sides, where the rule converges exponentially (Takahasi, Mori 1974).
    """
    x = STEP * np.arange(-NODES, NODES + 1)
    inner = np.pi / 2 * np.sinh(x)
    slopes = STEP * np.cosh(inner) * np.pi / 2 * np.cosh(x)
    t, slopes = (jnp.asarray(a, nu.dtype).reshape((1,) * nu.ndim + a.shape) for a in (np.sinh(inner), slopes))
    return t.ravel(), slopes * jnp.exp(log_constant(nu)[..., None] + log_shape(t, nu[..., None]))
