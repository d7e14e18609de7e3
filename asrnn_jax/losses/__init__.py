"""The objective that makes resets unnecessary, and what it needs to know: which steps are informative, and a weight."""

from asrnn_jax.losses.dual import DualState, DualWeight, entropy_target, gap_entropy
from asrnn_jax.losses.informative import (
    change,
    detector,
    energy,
    exceeds,
    has_label,
    quantile_threshold,
    surprisal,
)
from asrnn_jax.losses.objective import KL, entropy_share, kl_to_uniform, reset_free

__all__ = [
    "KL",
    "DualState",
    "DualWeight",
    "change",
    "detector",
    "energy",
    "entropy_share",
    "entropy_target",
    "exceeds",
    "gap_entropy",
    "has_label",
    "kl_to_uniform",
    "quantile_threshold",
    "reset_free",
    "surprisal",
]
