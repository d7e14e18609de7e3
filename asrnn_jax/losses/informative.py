"""What decides whether a step is informative: scores of each step, and a threshold that makes m in [0, 1] of them.

    scores    = energy(xs)                                     or change(xs), surprisal(predictions, xs)
    threshold = quantile_threshold(energy(background), 0.99)   or any number, also a trained one
    m         = exceeds(scores, threshold, softness=0.5)

All work on whole sequences in training and on one step live, ``xs (*B, T, I)`` or ``(*B, I)``.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax import cells
from asrnn_jax.cell import Cell
from asrnn_jax.dtypes import at_least_float32

LEAST = 1e-12  # power below which there is only silence


def has_label(labels: ArrayLike) -> jax.Array:
    """m from labels of activity: 1 where a label is at least 0. ``(...)`` integers, returns float32 ``(...)``."""
    return (jnp.asarray(labels) >= 0).astype(jnp.float32)


def energy(xs: ArrayLike) -> jax.Array:
    """log10 of the mean square of each step's input, ``(..., I) -> (...)``; silence is -12."""
    xs = jnp.asarray(xs)
    wide = xs.astype(at_least_float32(xs.dtype))  # squares of narrow types overflow
    return jnp.log10(jnp.mean(jnp.square(wide), axis=-1) + LEAST)


def change(xs: ArrayLike, before: ArrayLike | None = None) -> jax.Array:
    """log10 of the mean square of the change from the step before.

    Args:
      xs: ``(*B, T, I)``, or one step ``(*B, I)`` with `before`.
      before: the input before the first one, ``(*B, I)``, when this is a piece of a stream; by default the first one,
        so that a stream starts without change.

    Returns:
      ``(*B, T)``, of one step ``(*B,)``.
    """
    xs = jnp.asarray(xs)
    xs = xs.astype(at_least_float32(xs.dtype))
    if before is not None and jnp.ndim(before) == xs.ndim:
        return energy(xs - jnp.asarray(before))
    first = xs[..., :1, :] if before is None else jnp.asarray(before)[..., None, :]
    return energy(jnp.diff(jnp.concatenate([first, xs], axis=-2), axis=-2))


def surprisal(
    predictions: ArrayLike, xs: ArrayLike, *, prediction: Literal["gaussian", "softmax"] = "gaussian"
) -> jax.Array:
    """How wrong the model's own prediction of an input was, ``(..., I), (..., I) -> (...)``.

    Args:
      predictions: what the model said the inputs would be, of the same steps as `xs`: values for "gaussian", logits
        for "softmax".
      xs: the inputs; one-hot or probabilities for "softmax".
      prediction: "gaussian": log10 of the mean square error; "softmax": cross-entropy in nats.

    Raises:
      ValueError: different shapes, an unknown kind of prediction.
    """
    predictions, xs = jnp.asarray(predictions), jnp.asarray(xs)
    if predictions.shape != xs.shape:
        raise ValueError(f"predictions has shape {predictions.shape}, xs {xs.shape}: pass one prediction an input.")
    if prediction == "gaussian":
        return energy(xs.astype(at_least_float32(xs.dtype)) - predictions)
    if prediction == "softmax":
        return -jnp.sum(xs * jax.nn.log_softmax(predictions, axis=-1), axis=-1)
    raise ValueError(f"prediction={prediction!r}: choose 'gaussian' or 'softmax'.")


def exceeds(scores: ArrayLike, threshold: ArrayLike, softness: float = 0.0) -> jax.Array:
    """m from scores: 1 above the threshold, 0 below, or a sigmoid of that width.

    Args:
      scores: ``(...)``.
      threshold: a number, or an array that can be trained when `softness` is not 0.
      softness: 0 for a hard switch, else ``sigmoid((scores - threshold) / softness)``.

    Raises:
      ValueError: a negative softness.
    """
    if softness < 0:
        raise ValueError(f"softness={softness}: give 0 for a hard switch, or a width above 0.")
    distance = jnp.asarray(scores) - threshold
    return jax.nn.sigmoid(distance / softness) if softness else (distance > 0).astype(distance.dtype)


def quantile_threshold(scores: ArrayLike, q: float = 0.99) -> jax.Array:
    """The threshold that a share q of background steps stays below; scores that are not finite are left out.

    Raises:
      ValueError: q outside (0, 1).
    """
    if not 0 < q < 1:
        raise ValueError(f"q={q}: give a share in (0, 1).")
    scores = jnp.ravel(jnp.asarray(scores))
    return jnp.nanquantile(jnp.where(jnp.isfinite(scores), scores, jnp.nan), q)


def detector(inputs: int, hidden: int = 8, *, dtype=jnp.float32) -> Cell:
    """A small learned detector: a GRU with one output a step, whose sigmoid is m; again a cell.

    Train it with `optax.sigmoid_binary_cross_entropy` on labels of activity, and run it beside the model, with
    `asrnn_jax.run` in training and `asrnn_jax.step` live. With 8 units and 40 inputs it has 1,193 params.

    Raises:
      ValueError: sizes below 1.
    """
    return cells.with_output(cells.gru(inputs, hidden, dtype=dtype), 1, dtype=dtype)
