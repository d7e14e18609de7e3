"""Weights whose matrices are kept in fewer bits: a quarter of the memory, for networks that are taken elsewhere."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import PyTree, Weights
from asrnn_jax.dtypes import cast

Narrow = Literal["float32", "bfloat16", "int8"]
"""The types that matrices can be kept in."""


class Scaled(NamedTuple):
    """A matrix as whole numbers times one scale a column."""

    values: jax.Array
    scale: jax.Array


def narrow(weights: Weights, to: Narrow | int) -> PyTree:
    """The matrices of prepared weights in a narrower type; vectors, and complex numbers, stay as they are.

    Args:
      weights: what ``cell.prepare`` made.
      to: "float32" (as they are), "bfloat16", "int8", or a number of bits from 2 to 8 (kept in 8): whole numbers
        times a scale for each column, rounded to nearest.

    Returns:
      The same tree for `widen`, with `Scaled` in the place of matrices that were made whole numbers.

    Raises:
      ValueError: another type.
    """
    if to not in ("float32", "bfloat16", "int8") and not (isinstance(to, int) and 2 <= to <= 8):
        raise ValueError(f"to={to!r}: choose 'float32', 'bfloat16', 'int8', or bits from 2 to 8.")

    def one(leaf):
        if jnp.ndim(leaf) < 2 or not jnp.issubdtype(leaf.dtype, jnp.floating) or to == "float32":
            return leaf
        if to == "bfloat16":
            return leaf.astype(jnp.bfloat16)
        most = 2 ** ((8 if to == "int8" else to) - 1) - 1
        largest = jnp.abs(leaf).max(axis=-2, keepdims=True)
        scale = jnp.where(largest == 0, 1, largest) / most
        return Scaled(jnp.round(leaf / scale).astype(jnp.int8), scale)

    return jax.tree.map(one, weights)


def widen(narrowed: PyTree, dtype: Any = jnp.float32) -> Weights:
    """The weights that `narrow` made narrow, in `dtype` again."""
    whole = jax.tree.map(
        lambda leaf: leaf.values.astype(dtype) * leaf.scale.astype(dtype) if isinstance(leaf, Scaled) else leaf,
        narrowed,
        is_leaf=lambda leaf: isinstance(leaf, Scaled),
    )
    return cast(whole, dtype)
