"""What to read off a predicted distribution: intervals, how surprising a value was, how much it claims to know."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax.losses.arguments import fits
from asrnn_jax.losses.distributions import Gaussian, StudentT, whole
from asrnn_jax.losses.dual import gap_mean
from asrnn_jax.losses.regression import both


def quantile(predicted: Gaussian | StudentT, q: float) -> jax.Array:
    """The value that the target stays below with probability q, ``(..., K)``.

    Raises:
      ValueError: q outside (0, 1).
    """
    if not 0 < q < 1:
        raise ValueError(f"q={q}: give a probability in (0, 1).")
    return whole(predicted).quantile(q)


def interval(predicted: Gaussian | StudentT, level: float = 0.9) -> tuple[jax.Array, jax.Array]:
    """``(low, high)``, each ``(..., K)``: the central interval that holds the target with this probability.

    The rest is split evenly: with 0.9, the target is below `low` with probability 0.05 and above `high` with 0.05. The
    middle, mean and median, is ``predicted.location``.

    Raises:
      ValueError: a level outside (0, 1).

    Example:
      >>> import jax.numpy as jnp
      >>> from asrnn_jax import losses
      >>> low, high = losses.interval(losses.gaussian(jnp.zeros((5, 2))), 0.9)
      >>> low.shape, round(float(high[0, 0]), 3)
      ((5, 1), 1.645)
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}: give a probability in (0, 1).")
    predicted = whole(predicted)
    high = predicted.quantile((1 + level) / 2)
    return 2 * predicted.location - high, high  # symmetric: a quantile of Student t is worth computing once


def surprise(predicted: Gaussian | StudentT, values: ArrayLike) -> jax.Array:
    """How surprising each value was, ``(..., K)``: -log10 of the probability to be at least as far from the location.

    Calibrated: if the predicted distribution is right, a share of ``10^-s`` of all values reaches a surprise of s. So
    one false alarm in 10,000 steps is a threshold of 4; with K targets, of which the largest surprise counts, it is
    ``4 + log10(K)`` at most. Where predictions are not perfect, take the threshold from data instead:
    `asrnn_jax.losses.quantile_threshold`. NaN where the value is; it takes no part in derivatives.

    Example:
      >>> import jax.numpy as jnp
      >>> from asrnn_jax import losses
      >>> predicted = losses.Gaussian(jnp.zeros(3), jnp.zeros(3))
      >>> [round(float(s), 2) for s in losses.surprise(predicted, jnp.array([0.0, 1.96, 6.0]))]
      [-0.0, 1.3, 8.7]
    """
    predicted = whole(predicted)
    values = fits("values", values, predicted.location.shape, "target").astype(predicted.location.dtype)
    return jax.lax.stop_gradient(-predicted.log_two_tails(values) / math.log(10))


def width_share(predicted: Gaussian | StudentT | ArrayLike, marginal: Gaussian | StudentT | None = None) -> jax.Array:
    """How near an answer is to "don't know", ``(...)`` in (0, 1]: the entropy share's counterpart for numbers.

    It is ``exp(-KL(p || marginal))``, with the mean divergence of the K targets. 1 is the marginal distribution and
    nothing else. A small scale s around the marginal's location gives ``1.65 s / sigma``; an offset of one sigma at
    full width gives 0.61.

    Args:
      predicted, marginal: as for `asrnn_jax.losses.reset_free_regression`.

    Raises:
      ValueError: as there.
    """
    p, around = both(predicted, marginal)
    return jnp.minimum(jnp.exp(-p.divergence(around).mean(-1)), 1)


def gap_width(
    predicted: Gaussian | StudentT | ArrayLike,
    informative: ArrayLike,
    marginal: Gaussian | StudentT | None = None,
) -> jax.Array:
    """Mean width share of the answers in gaps, ``()``, as `asrnn_jax.losses.gap_entropy`; NaN without any gap.

    For the weight that sets itself:

        dual = losses.entropy_target(0.98)
        weight, state = dual.update(losses.gap_width(outputs, informative, marginal), state)

    It takes no part in derivatives.

    Raises:
      ValueError: as `width_share`.
    """
    return gap_mean(width_share(predicted, marginal), informative)
