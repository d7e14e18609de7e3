"""The reset-free objective for numbers: likelihood where there is something to predict, "don't know" elsewhere."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax.loop import nan_where
from asrnn_jax.losses.arguments import check, fits
from asrnn_jax.losses.distributions import Gaussian, StudentT, predict, spread, whole

RegressionKL = Literal["marginal_first", "model_first"]
"""Which divergence the second term of `reset_free_regression` is: see there."""


def reset_free_regression(
    predicted: Gaussian | StudentT | ArrayLike,
    targets: ArrayLike,
    informative: ArrayLike,
    *,
    marginal: Gaussian | StudentT | None = None,
    weight: ArrayLike = 1.0,
    kl: RegressionKL = "marginal_first",
    where: ArrayLike | None = None,
) -> jax.Array:
    """`asrnn_jax.losses.reset_free` for networks that predict numbers: forecasters, sensors that compute.

        m (-log p(y)) + weight (1 - m) KL        p the predicted distribution, m = informative

    On informative steps the network learns the distribution of the target; elsewhere (silence, noise, gaps) it learns
    to answer "don't know", which for numbers is their marginal distribution: what one would say without any input. Sums
    over the K targets; elementwise over steps, as any optax loss.

    Args:
      predicted: outputs of a network, ``(..., 2 K)`` (`gaussian` says what they mean; `student_t` where `marginal` is
        one), or what those two functions or your own made of them.
      targets: ``(..., K)``. Where m = 0 they are ignored and may be anything, for example NaN.
      informative: m in [0, 1], ``(...)`` or broadcastable to it; bool is 0 or 1.
      marginal: the targets' distribution over all informative steps, leaves broadcastable to ``(..., K)``; see
        `asrnn_jax.losses.marginal`. None: the standard one, for standardised targets, of the family of `predicted`.
      weight: of the second term, a number or broadcastable to ``(...)``; to have it adjusted during training,
        use `asrnn_jax.losses.entropy_target` with `gap_width`.
      kl: "marginal_first" is ``KL(marginal || p)``, what "uniform_first" is for classes: the expected ``-log p`` of a
        target drawn from the marginal, over the least possible; it punishes intervals that are too narrow without
        bound. "model_first" is ``KL(p || marginal)``, which grows only as the logarithm of a scale that is too small.
        Both are closed forms for Gaussians. Those of Student t have none: they are integrated numerically, with 65
        nodes a target, rather than replaced by a bound or by Gaussians of the same moments, because only the
        divergence itself is 0 at the marginal alone and has the right slope there. It costs less than a step of a small
        network.
      where: bool, broadcastable to ``(..., K)``: targets that count; the others are left out of both terms. For single
        targets that are missing at informative steps: ``where=jnp.isfinite(targets)``.

    Returns:
      ``(...)``, in at least float32. A target that counts and is not finite, or an m outside [0, 1], gives NaN where it
      can only be seen under `jax.jit` (but see `asrnn_jax.checked`). Beyond 1e18 scales from the target the loss no
      longer grows, because float32 could not hold it.

    Raises:
      ValueError: shapes that do not fit, two families; outside of `jax.jit` also targets that count and are not finite,
        m outside [0, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> from asrnn_jax import losses
      >>> outputs = jnp.zeros((2, 3, 2))  # two streams, three steps, one target: location and log scale
      >>> targets, m = jnp.array([[[0.0], [2.0], [jnp.nan]]] * 2), jnp.array([1.0, 1.0, 0.0])
      >>> loss = losses.reset_free_regression(outputs, targets, m)
      >>> [round(float(x), 3) for x in loss[0]]
      [0.919, 2.919, 0.0]

    Source: the objective of Yin, Corradi 2024, arXiv:2412.15983, with the marginal for their uniform distribution.
    """
    if kl not in ("marginal_first", "model_first"):
        raise ValueError(
            f"kl={kl!r}: choose 'marginal_first' (KL(marginal || p)) or 'model_first' (KL(p || marginal))."
        )
    p, around = both(predicted, marginal)
    shape, dtype = p.location.shape, p.location.dtype
    targets = jnp.asarray(targets)
    if targets.shape != shape:
        raise ValueError(f"targets has shape {targets.shape}, the outputs say {shape}: pass one number a target.")
    m = fits("informative", jnp.asarray(informative).astype(dtype), shape[:-1])
    weight = fits("weight", jnp.asarray(weight, dtype), shape[:-1])
    counted = jnp.ones(shape, bool) if where is None else fits("where", where, shape, "target").astype(bool)
    good = (m >= 0) & (m <= 1)
    check(good, "informative has {value}: it is a share, in [0, 1].", m)
    used = counted & (m > 0)[..., None]
    known = jnp.isfinite(targets) | ~used
    check(
        known, "targets has {value} where informative > 0: leave it out by `where`, or set informative to 0.", targets
    )
    y = jnp.where(used, targets, 0).astype(dtype)  # whatever they are elsewhere, no gradient sees it
    nats = jnp.where(counted, -p.log_density(y), 0).sum(-1)
    apart = around.divergence(p) if kl == "marginal_first" else p.divergence(around)
    unknown = jnp.where(counted, apart, 0).sum(-1)
    loss = jnp.where(m > 0, m * nats, 0) + jnp.where(m < 1, weight * (1 - m) * unknown, 0)
    return nan_where(~(good & known.all(-1)), loss)


def both(predicted: Any, marginal: Any) -> tuple[Any, Any]:
    """The predicted and the marginal distribution, leaves of one type, which broadcast to those of the predicted.

    Raises:
      ValueError: shapes that do not fit, two families.
    """
    if not isinstance(predicted, Gaussian | StudentT):
        predicted = predict(predicted, marginal)
    predicted = whole(predicted)
    if marginal is None:
        zero = jnp.zeros(())
        marginal = Gaussian(zero, zero) if isinstance(predicted, Gaussian) else StudentT(zero, zero, predicted.degrees)
    if type(marginal) is not type(predicted):
        raise ValueError(
            f"marginal is {type(marginal).__name__}, predicted {type(predicted).__name__}: give both of one family."
        )
    if not predicted.location.ndim:
        raise ValueError("predicted has shape (): its leaves together are (..., K), K is 1 for one target.")
    return predicted, spread(marginal, predicted.location.shape, predicted.location.dtype, "marginal", thin=True)
