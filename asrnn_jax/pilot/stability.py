"""Is a trained network stable? What its state and its gradients do on test data, and what they did in training."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import analysis
from asrnn_jax.cell import Cell

REACH, STEPS, EXPONENT = 100, 200, 2000
"""Steps back for gradients, for Jacobians and saturation, and for the Lyapunov exponent."""
STREAMS = 4


def stability(cell: Cell, params: Any, xs: np.ndarray) -> dict[str, Any]:
    """Singular values of the Jacobian, reach of gradients, largest Lyapunov exponent, saturation, growth of the state.

    Args:
      cell, params: the network.
      xs: ``(T, I)`` of test streams; short ones are repeated.
    """
    some = jnp.asarray(_stretches(xs, STEPS))
    sigma = np.asarray(analysis.jacobian_spectrum(cell, params, some, every=10))
    top = sigma.reshape(-1, sigma.shape[-1])
    norms = np.asarray(analysis.gradient_norms(cell, params, some[:, -REACH:], _last)).mean(0)
    units = analysis.saturation(cell, params, some)
    shares = [float(np.mean(np.asarray(found.saturated))) for found in units.values()]
    long = jnp.asarray(_stretches(xs, EXPONENT)[:1])
    exponents = analysis.lyapunov_spectrum(cell, params, long, k=1)
    drift = analysis.norm_drift(cell, params, long)
    return {
        "singular_values": {"largest": float(top.max()), "median": float(np.median(top)), "smallest": float(top.min())},
        "spectrum": top.mean(0),
        "gradient_reach": norms / max(float(norms[-1]), 1e-30),
        "gradient_kept": float(norms[-1 - REACH // 2] / max(float(norms[-1]), 1e-30)),
        "lyapunov": float(np.ravel(np.asarray(exponents.exponents))[0]),
        "saturated": float(np.mean(shares)) if shares else 0.0,
        "growth": float(np.ravel(np.asarray(drift.growth))[0]),
        "steps": {"jacobian": int(some.shape[0] * some.shape[1]), "lyapunov": int(long.shape[1]), "reach": REACH // 2},
    }


def _last(ys: jax.Array) -> jax.Array:
    """One number of the outputs at the last step: the logarithm of the sum of their exponentials."""
    return jax.nn.logsumexp(ys[-1])


def _stretches(xs: np.ndarray, steps: int) -> np.ndarray:
    """``(B, steps, I)``, evenly over the whole."""
    if len(xs) < steps:
        xs = np.tile(xs, (-(-steps // len(xs)), 1))
    starts = np.linspace(0, len(xs) - steps, STREAMS).round().astype(int)
    return np.stack([xs[start : start + steps] for start in np.unique(starts)])
