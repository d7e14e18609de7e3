"""The objective that makes resets unnecessary, and what it needs to know: which steps are informative, and a weight."""

from asrnn_jax.losses.dual import DualState, DualWeight, entropy_target, gap_entropy
from asrnn_jax.losses.informative import (
    above,
    change,
    detector,
    energy,
    given,
    quantile_threshold,
    surprisal,
)
from asrnn_jax.losses.objective import KL, entropy_share, kl_to_uniform, reset_free

__all__ = [
    "KL",
    "DualState",
    "DualWeight",
    "above",
    "change",
    "detector",
    "energy",
    "entropy_share",
    "entropy_target",
    "gap_entropy",
    "given",
    "kl_to_uniform",
    "quantile_threshold",
    "reset_free",
    "surprisal",
]
