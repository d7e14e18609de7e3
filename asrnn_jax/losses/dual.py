"""A weight of the second term that sets itself, so that nobody tunes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax.losses.objective import entropy_share


class DualState(NamedTuple):
    log_weight: jax.Array
    """``()``"""


def gap_entropy(logits: ArrayLike, informative: ArrayLike) -> jax.Array:
    """Mean entropy share of the outputs in gaps, ``()``; steps count by ``1 - informative``. NaN without any gap.

    It takes no part in derivatives.

    Args:
      logits: ``(..., C)``.
      informative: ``(...)`` in [0, 1].
    """
    return gap_mean(entropy_share(logits), informative)


def gap_mean(shares: jax.Array, informative: ArrayLike) -> jax.Array:
    """Mean of shares ``(...)``, where steps count by ``1 - informative``; NaN without any gap, without derivative."""
    shares = jax.lax.stop_gradient(shares)
    gaps = jnp.broadcast_to(1 - jnp.asarray(informative, shares.dtype), shares.shape)
    total = gaps.sum()
    return jnp.where(total > 0, jnp.where(gaps > 0, gaps * shares, 0).sum() / total, jnp.nan)


class DualWeight(NamedTuple):
    """A pair of pure functions, as optax's."""

    init: Callable[[], DualState]
    """``() -> state``"""
    update: Callable[[ArrayLike, DualState], tuple[jax.Array, DualState]]
    """``(entropy, state) -> (weight, state)``: the entropy share of the last batch's gaps, see `gap_entropy`, NaN where
    it had none (for numbers the width share, see `gap_width`); and the weight for the next batch."""


def entropy_target(
    target: float = 0.99,
    *,
    rate: float = 0.05,
    start: float = 1.0,
    least: float = 1e-3,
    most: float = 100.0,
) -> DualWeight:
    """Dual ascent on the weight of `asrnn_jax.losses.reset_free`: holds the entropy share of the gaps at a target.

    Minimising cross-entropy subject to ``entropy share in gaps >= target`` has the weight as its multiplier. It rises
    while the gaps are too sure of something and falls while they are not:
    ``log w += rate clip((target - entropy) / (1 - target), -1, 1)`` a step, between `least` and `most`.

    Args:
      target: share of the uniform distribution's entropy, in (0, 1).
      rate: largest change of log w a step.
      start: weight at the start.
      least, most: bounds.

    Raises:
      ValueError: a target outside (0, 1), bounds that are not 0 < least <= start <= most, a rate of 0 or less.

    Example:
      >>> import jax.numpy as jnp, asrnn_jax
      >>> dual = asrnn_jax.losses.entropy_target(0.99)
      >>> state = dual.init()
      >>> logits, m = jnp.zeros((4, 10)).at[:, 0].set(5.0), jnp.zeros(4)  # too sure in a gap
      >>> weight, state = dual.update(asrnn_jax.losses.gap_entropy(logits, m), state)
      >>> bool(weight > 1)
      True
    """
    if not 0 < target < 1:
        raise ValueError(f"target={target}: give a share of the uniform distribution's entropy in (0, 1).")
    if not 0 < least <= start <= most or not rate > 0:
        raise ValueError(
            f"least={least}, start={start}, most={most}, rate={rate}: give 0 < least <= start <= most and a rate "
            "above 0."
        )

    def update(entropy: ArrayLike, state: DualState) -> tuple[jax.Array, DualState]:
        push = rate * jnp.clip((target - jnp.asarray(entropy)) / (1 - target), -1, 1)
        push = jnp.where(jnp.isfinite(push), push, 0).astype(jnp.float32)  # a batch without gaps says nothing
        log_weight = jnp.clip(state.log_weight + push, jnp.log(least), jnp.log(most))
        return jnp.exp(log_weight), DualState(log_weight)

    return DualWeight(lambda: DualState(jnp.log(jnp.float32(start))), update)
