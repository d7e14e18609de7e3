"""Complex numbers as pairs of real ones, for what takes no complex ones: matrix products, optimisers, file formats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.dtypes import at_least_float32


class Pair(NamedTuple):
    """The two parts of a complex array."""

    real: Any
    imag: Any


def is_complex(array: Any) -> bool:
    """Whether an array, or what only has the dtype of one, is of complex numbers."""
    return bool(jnp.issubdtype(array.dtype, jnp.complexfloating))


def parts(array: Any) -> tuple[Any, ...]:
    """The real arrays that it is made of: a `Pair` of a complex one, else itself."""
    return Pair(array.real, array.imag) if is_complex(array) else (array,)


def joined(like: Any, arrays: Iterator[jax.Array]) -> jax.Array:
    """Inverse of `parts`, with the dtype of `like`: takes as many of the arrays as that has parts."""
    found = [next(arrays) for _ in range(2 if is_complex(like) else 1)]
    return (jax.lax.complex(*found) if is_complex(like) else found[0]).astype(like.dtype)


def side_by_side(array: jax.Array) -> jax.Array:
    """``(..., H)`` complex as ``(..., 2 H)`` real: real parts, then imaginary parts."""
    return jnp.concatenate([array.real, array.imag], axis=-1)


def from_side_by_side(array: jax.Array) -> jax.Array:
    """Inverse of `side_by_side`, in at least complex64."""
    return jax.lax.complex(*jnp.split(_wide(array), 2, axis=-1))


def stacked(array: jax.Array) -> jax.Array:
    """``(...)`` complex as ``(..., 2)`` real."""
    return jnp.stack([array.real, array.imag], axis=-1)


def from_stacked(array: jax.Array) -> jax.Array:
    """Inverse of `stacked`, in at least complex64."""
    wide = _wide(array)
    return jax.lax.complex(wide[..., 0], wide[..., 1])


def viewed_as_real(array: np.ndarray) -> np.ndarray:
    """As `stacked`, of complex128 on the host: the same bytes, of which JAX may have no type."""
    return array[..., None].view(np.float64)


def viewed_as_complex(array: np.ndarray) -> np.ndarray:
    """Inverse of `viewed_as_real`."""
    return array.view(np.complex128).reshape(array.shape[:-1])


def _wide(array: jax.Array) -> jax.Array:
    return array.astype(at_least_float32(array.dtype))
