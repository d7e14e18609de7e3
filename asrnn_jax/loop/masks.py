"""Choices by masks over trees of arrays ``(*B, ...)``, and what is finite in them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Carry, PyTree
from asrnn_jax.typing import Array, Bool


def where(flags: Bool[Array, "*B"], yes: PyTree, no: PyTree) -> PyTree:
    """`jnp.where` over pytrees, with flags ``(*B,)`` and leaves ``(*B, ...)``; `yes` is broadcast to `no`."""

    def one(y, n):
        at = jnp.expand_dims(flags, tuple(range(flags.ndim, n.ndim)))
        return jnp.where(at, jnp.broadcast_to(y, n.shape), n)

    return jax.tree.map(one, yes, no)


def zeros_where(flags: Bool[Array, "*B"], tree: PyTree) -> PyTree:
    return where(flags, jax.tree.map(jnp.zeros_like, tree), tree)


def nan_where(flags: Bool[Array, "*B"], tree: PyTree) -> PyTree:
    """NaN where flagged, without derivative. It is computed: a constant NaN would stop `jax_debug_nans` also where
    nothing is flagged."""
    marks = jnp.where(flags, 0.0, 1.0)
    marks = (0.0 * marks) / marks
    return jax.tree.map(lambda leaf: where(flags, _widened(marks, leaf), leaf), tree)


def _widened(flags: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.expand_dims(flags.astype(like.dtype), tuple(range(flags.ndim, like.ndim)))


def finite(tree: PyTree, axes: int) -> Bool[Array, "*B"]:
    """Where all is finite, over the first `axes` axes of each leaf."""
    return jnp.stack([jnp.isfinite(leaf).all(tuple(range(axes, leaf.ndim))) for leaf in jax.tree.leaves(tree)]).all(0)


def where_valid(mask: Bool[Array, "*B"] | None, new: PyTree, old: PyTree) -> PyTree:
    """The new carry where the step is valid."""
    return new if mask is None else where(mask, new, old)


def where_reset(reset: Bool[Array, "*B"] | None, fresh: Carry, carry: Carry) -> Carry:
    """The fresh carry where a reset is asked for."""
    return carry if reset is None else where(reset, fresh, carry)
