"""What the losses ask of their arguments: shapes that fit, values that make sense."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from asrnn_jax import checks


def expand(value: ArrayLike, ndim: int) -> jax.Array:
    """With axes of length 1 in front, up to `ndim` axes."""
    value = jnp.asarray(value)
    return value.reshape((1,) * (ndim - value.ndim) + value.shape)


def fits(name: str, value: ArrayLike, shape: tuple[int, ...], what: str = "step") -> jax.Array:
    """Broadcasts a value to a shape.

    Raises:
      ValueError: it does not fit.
    """
    value = jnp.asarray(value)
    try:
        return jnp.broadcast_to(expand(value, len(shape)), shape)
    except (ValueError, TypeError):
        raise ValueError(
            f"{name} has shape {value.shape}, the outputs say {shape}: pass one number a {what}."
        ) from None


def check(good: jax.Array, message: str, values: jax.Array) -> None:
    """Raises with the first value that is not good, where values can be seen: outside `jax.jit`, or by `checked`.

    Raises:
      ValueError: the message, with ``{value}`` filled in.
    """
    if checks.wanted():
        checks.check(good, message, values)
    elif not isinstance(good, Tracer) and not bool(good.all()):
        raise ValueError(message.format(value=np.asarray(values)[~np.asarray(good)][0]))
