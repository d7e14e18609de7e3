"""Networks whose matrices are kept in fewer bits: a half or a quarter of the memory, for what is taken elsewhere.

An orthogonal matrix that is rounded is orthogonal no more, and over hundreds of steps the error is all that is left.
Two ways keep such a network: "int16", or narrow params in place of narrow weights. In params an orthogonal matrix is
still the numbers that it is made of, and however these are rounded, it is orthogonal:

    >>> import jax
    >>> from asrnn_jax import cells, export, orthogonal
    >>> cell = cells.exprnn(inputs=1, hidden=32)
    >>> params = cell.init(jax.random.key(0))
    >>> W = export.widen(export.narrow(cell.prepare(params), "int8")).W_hh  # rounded after the map
    >>> Q = cell.prepare(export.widen(export.narrow(params, "int8"))).W_hh  # rounded before it
    >>> bool(orthogonal.error(W) > 1e-3), bool(orthogonal.error(Q) < 1e-5)
    (True, True)
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.cell import Params, PyTree, Weights
from asrnn_jax.dtypes import cast

Narrow = Literal["float32", "bfloat16", "int16", "int8"]
"""The types that matrices can be kept in."""


class Scaled(NamedTuple):
    """A matrix as whole numbers times one scale a column, or the upper triangle of a skew-symmetric matrix as whole
    numbers times one scale a diagonal: the angles a network starts with lie on the first, and are the largest."""

    values: jax.Array
    scale: jax.Array


def narrow(weights: Weights | Params, to: Narrow | int | np.integer) -> PyTree:
    """The matrices of a network in a narrower type; vectors, and complex numbers, stay as they are.

    Args:
      weights: what ``cell.prepare`` made, or params, see the head of this module.
      to: "float32" (as they are), "bfloat16", "int16", "int8", or a number of bits from 2 to 16 (kept in 8 or 16):
        whole numbers times a scale for each column (of a "skew" among params: for each diagonal), rounded to nearest.

    Returns:
      The same tree for `widen`, with `Scaled` in the place of matrices that were made whole numbers.

    Raises:
      ValueError: another type.
    """
    if to not in ("float32", "bfloat16", "int16", "int8") and not (isinstance(to, int | np.integer) and 2 <= to <= 16):
        raise ValueError(f"to={to!r}: choose 'float32', 'bfloat16', 'int16', 'int8', or bits from 2 to 16.")
    bits = int(to) if isinstance(to, int | np.integer) else {"int16": 16}.get(to, 8)

    def one(path, leaf):
        skew = jax.tree_util.keystr(path[-1:], simple=True) == "skew" and jnp.ndim(leaf) == 1
        if to == "float32" or not jnp.issubdtype(leaf.dtype, jnp.floating) or (jnp.ndim(leaf) < 2 and not skew):
            return leaf
        return leaf.astype(jnp.bfloat16) if to == "bfloat16" else _scaled(leaf, bits)

    return jax.tree_util.tree_map_with_path(one, weights)


def widen(narrowed: PyTree, dtype: Any = jnp.float32) -> PyTree:
    """The weights, or params, that `narrow` made narrow, in `dtype` again."""

    def one(leaf):
        if not isinstance(leaf, Scaled):
            return leaf
        return leaf.values.astype(dtype) * _of_entries(leaf.scale, leaf.values).astype(dtype)

    return cast(jax.tree.map(one, narrowed, is_leaf=lambda leaf: isinstance(leaf, Scaled)), dtype)


def _scaled(leaf: jax.Array, bits: int) -> Scaled:
    if leaf.ndim == 1:
        diagonals = _diagonals(leaf.size)
        largest = jnp.zeros(diagonals.max(initial=-1) + 1, leaf.dtype).at[diagonals].max(jnp.abs(leaf))
    else:
        largest = jnp.abs(leaf).max(axis=-2, keepdims=True)
    scale = jnp.where(largest == 0, 1, largest) / (2 ** (bits - 1) - 1)
    values = jnp.round(leaf / _of_entries(scale, leaf))
    return Scaled(values.astype(jnp.int8 if bits <= 8 else jnp.int16), scale)


def _of_entries(scale: jax.Array, values: jax.Array) -> jax.Array:
    return scale[_diagonals(values.size)] if values.ndim == 1 else scale


def _diagonals(entries: int) -> np.ndarray:
    """The diagonal, from 0, of each of the ``n (n - 1) / 2`` numbers of an upper triangle, row by row."""
    rows, columns = np.triu_indices(round((1 + (1 + 8 * entries) ** 0.5) / 2), 1)
    return columns - rows - 1
