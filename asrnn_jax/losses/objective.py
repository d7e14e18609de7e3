"""The reset-free objective: cross-entropy where there is something to say, "don't know" where there is not."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from asrnn_jax.dtypes import at_least_float32
from asrnn_jax.loop import nan_where
from asrnn_jax.losses.arguments import check, expand, fits

KL = Literal["uniform_first", "model_first"]
"""Which divergence the second term of `reset_free` is: see there."""


def reset_free(
    logits: ArrayLike,
    labels: ArrayLike,
    informative: ArrayLike,
    *,
    weight: ArrayLike = 1.0,
    kl: KL = "uniform_first",
    label_smoothing: float = 0.0,
    class_weights: ArrayLike | None = None,
    axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The loss that trains a recurrent network to run for ever without resets.

        m CE(labels, p) + weight (1 - m) KL        p = softmax(logits), m = informative

    On informative steps the network learns the label; elsewhere (silence, noise, gaps) it learns to answer "don't
    know", the uniform distribution, which bounds the state and keeps its gradient useful. Elementwise, in optax's
    conventions: take the mean, or mask it, as with any optax loss.

    Args:
      logits: ``(..., C)``.
      labels: integers ``(...)``, or distributions ``(..., C)``. Where m = 0 they are ignored and may be anything, for
        example -1.
      informative: m in [0, 1], ``(...)`` or broadcastable to it; bool is 0 or 1.
      weight: of the second term, a number or broadcastable to ``(...)``; see `asrnn_jax.losses.entropy_target` for one
        that sets itself.
      kl: "uniform_first" is ``KL(uniform || p)`` (the paper's), which punishes any class that is ruled out;
        "model_first" is ``KL(p || uniform) = log C - entropy``, which is bounded by log C.
      label_smoothing: share of the labels spread over all classes that count, in [0, 1).
      class_weights: ``(C,)``, at least 0: what a step of each class counts in the first term, for labels of which some
        are rare; see `balanced_weights`. It is ``-sum_c w_c y_c log p_c``, elementwise what torch's ``cross_entropy``
        gives with ``weight=w, reduction="none"``, also with label smoothing. The second term has its own weight.
        ``loss.mean()`` divides by the number of steps; torch's ``reduction="mean"`` divides by the sum of the weights
        of their labels. With balanced weights both are the same over all steps that were counted.
      axis: of the classes.
      where: bool, broadcastable to `logits`: classes that count; the others are left out of both terms, and their
        logits may be anything.

    Returns:
      ``(...)``, in at least float32. A label out of range where m > 0, or an m outside [0, 1], gives NaN where it can
      only be seen under `jax.jit` (but see `asrnn_jax.checked`).

    Raises:
      ValueError: shapes that do not fit; outside of `jax.jit` also labels out of range where m > 0, m outside [0, 1].
      TypeError: labels that are neither integers nor floating point.

    Source: Yin, Corradi 2024, arXiv:2412.15983.

    Example:
      >>> import jax.numpy as jnp, asrnn_jax
      >>> logits = jnp.zeros((2, 3, 10))  # two streams, three steps, ten classes
      >>> loss = asrnn_jax.losses.reset_free(logits, jnp.array([[4, 4, -1]] * 2), jnp.array([[1.0, 0.5, 0.0]] * 2))
      >>> [round(float(x), 3) for x in loss[0]]
      [2.303, 1.151, 0.0]
    """
    logits, labels, m = _wide(logits, axis), jnp.asarray(labels), jnp.asarray(informative)
    classes, steps = logits.shape[-1], logits.shape[:-1]
    where = _counted(where, logits, axis)
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing={label_smoothing}: give a share in [0, 1).")
    if kl not in ("uniform_first", "model_first"):
        raise ValueError(f"kl={kl!r}: choose 'uniform_first' (KL(uniform || p)) or 'model_first' (KL(p || uniform)).")
    m = fits("informative", m.astype(logits.dtype), steps)
    weight = fits("weight", jnp.asarray(weight, logits.dtype), steps)
    good = (m >= 0) & (m <= 1)
    check(good, "informative has {value}: it is a share, in [0, 1].", m)
    if jnp.issubdtype(labels.dtype, jnp.integer):
        labels = fits("labels", labels, steps)
        known = (labels >= 0) & (labels < classes)
        remedy = f"with {classes} classes give 0 to {classes - 1}"
        if where is not None:
            known &= jnp.take_along_axis(where, jnp.clip(labels, 0, classes - 1)[..., None], axis=-1)[..., 0]
            remedy += ", of those that count by `where`"
        known |= m <= 0
        check(known, f"labels has {{value}} where informative > 0: {remedy}.", labels)
        good &= known
        targets = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
    elif jnp.issubdtype(labels.dtype, jnp.floating):
        targets = jnp.moveaxis(labels, axis, -1).astype(logits.dtype)
        if targets.shape != logits.shape:
            raise ValueError(f"labels has shape {labels.shape}: pass integers {steps} or distributions {logits.shape}.")
    else:
        raise TypeError(f"labels has dtype {labels.dtype}: pass integers, or distributions over the classes.")
    targets = jnp.where((m > 0)[..., None], targets, 1 / classes)  # whatever they are there, no gradient sees it
    if label_smoothing:
        spread = 1 / classes if where is None else where / where.sum(-1, keepdims=True, dtype=logits.dtype)
        targets = (1 - label_smoothing) * targets + label_smoothing * spread
    if class_weights is not None:
        weights = jnp.asarray(class_weights, logits.dtype)
        if weights.shape != (classes,):
            raise ValueError(f"class_weights has shape {weights.shape}: pass one number a class, ({classes},).")
        fair = (weights >= 0) & jnp.isfinite(weights)
        check(fair, "class_weights has {value}: give finite weights of at least 0.", weights)
        good &= fair.all()
        targets = targets * jnp.broadcast_to(weights, targets.shape)
    ce = optax.softmax_cross_entropy(logits, targets, where=where)
    # By where, not by 0 * x: an infinite loss on the other side of the switch must not reach this one.
    loss = jnp.where(m > 0, m * ce, 0) + jnp.where(m < 1, weight * (1 - m) * _kl(logits, kl, where), 0)
    return nan_where(~good, loss)


def balanced_weights(counts: ArrayLike, *, power: float = 1.0) -> jax.Array:
    """Class weights for `reset_free` that make rare classes count as much as common ones, ``(C,) -> (C,)``.

    ``w_c`` is proportional to ``counts_c^-power``, and the mean weight of all counted steps is 1, so that the loss
    keeps its size. With a power of 1 it is ``N / (C counts_c)``, scikit-learn's "balanced": all classes count the same.

    Args:
      counts: steps (or samples) of each class, at least 0. A class that never came gets the weight 1 and does not
        change the others.
      power: 1 balances fully, 0.5 by half (milder, where the rarest class has a handful of samples), 0 not at all.

    Raises:
      ValueError: counts that are not ``(C,)``, negative or not finite ones, a power outside [0, 1].

    Example:
      >>> import asrnn_jax, numpy as np
      >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, -1, -1])
      >>> weights = asrnn_jax.losses.balanced_weights(np.bincount(labels[labels >= 0], minlength=3))
      >>> [round(float(w), 3) for w in weights]
      [0.667, 2.0, 1.0]
    """
    counts = jnp.asarray(counts)
    if counts.ndim != 1 or not counts.size:
        raise ValueError(f"counts has shape {counts.shape}: pass one number a class, (C,).")
    if not 0 <= power <= 1:
        raise ValueError(f"power={power}: give a number in [0, 1].")
    counts = counts.astype(at_least_float32(counts.dtype) if jnp.issubdtype(counts.dtype, jnp.floating) else float)
    check((counts >= 0) & jnp.isfinite(counts), "counts has {value}: give finite numbers of at least 0.", counts)
    seen = counts > 0
    raw = jnp.where(seen, jnp.where(seen, counts, 1) ** -power, 0)
    weights = jnp.where(seen, raw * (counts.sum() / jnp.where(seen.any(), (counts * raw).sum(), 1)), 1)
    return weights.astype(jnp.float32)


def kl_to_uniform(
    logits: ArrayLike, *, kl: KL = "uniform_first", axis: int = -1, where: ArrayLike | None = None
) -> jax.Array:
    """The second term of `reset_free` alone, ``(..., C) -> (...)`` in nats; 0 exactly where all logits are equal."""
    logits = _wide(logits, axis)
    return _kl(logits, kl, _counted(where, logits, axis))


def entropy_share(logits: ArrayLike, *, axis: int = -1, where: ArrayLike | None = None) -> jax.Array:
    """Entropy of softmax(logits) over that of the uniform distribution, ``(..., C) -> (...)`` in [0, 1].

    1 is "don't know". What is asked of the gaps of a stream is an entropy share near 1. With one class, or where one
    alone counts, it is 1 as well: the only answer there is is the uniform one, and says nothing.
    """
    logits = _wide(logits, axis)
    return share_of(jnp, logits, _counted(where, logits, axis))


def share_of(numpy: Any, logits: Any, where: Any = None) -> Any:
    """`entropy_share` of floating-point logits ``(..., C)`` by `jax.numpy`, or by NumPy, which compiles nothing."""
    number = logits.shape[-1] if where is None else where.sum(-1)
    number = numpy.maximum(number, 2)  # the divergence of one class is 0, over whatever
    return 1 - _kl(logits, "model_first", where, numpy) / numpy.log(numpy.asarray(number, logits.dtype))


def _kl(logits: Any, kl: KL, where: Any, numpy: Any = jnp) -> Any:
    """With logits shifted so that equal ones are all 0: then every term is exactly 0."""
    only: Any = {} if where is None else {"where": where}
    top = numpy.max(logits, axis=-1, keepdims=True, initial=-numpy.inf, **only)
    a = logits - (jax.lax.stop_gradient(top) if numpy is jnp else top)
    a = a if where is None else numpy.where(where, a, 0)
    mean = numpy.mean(numpy.exp(a), axis=-1, keepdims=True, **only)
    log_mean = numpy.log(mean)
    if kl == "uniform_first":
        return numpy.squeeze(log_mean, -1) - numpy.mean(a, axis=-1, **only)
    ratio = numpy.exp(a) / mean  # of p to the uniform distribution
    return numpy.mean(ratio * numpy.where(ratio == 0, 0, a - log_mean), axis=-1, **only)


def _wide(logits: ArrayLike, axis: int) -> jax.Array:
    logits = jnp.asarray(logits)
    if not jnp.issubdtype(logits.dtype, jnp.floating) or logits.ndim == 0:
        raise ValueError(f"logits has dtype {logits.dtype}, shape {logits.shape}: pass floating-point (..., C).")
    return jnp.moveaxis(logits.astype(at_least_float32(logits.dtype)), axis, -1)


def _counted(where: ArrayLike | None, logits: jax.Array, axis: int) -> jax.Array | None:
    """Which classes count, in the shape of logits whose classes are last."""
    if where is None:
        return None
    return jnp.broadcast_to(jnp.moveaxis(expand(where, logits.ndim), axis, -1), logits.shape).astype(bool)
