"""Helpers for optax: which parameters are which, own rates for them, and moving dynamic bases.

`separate_rates` gives the orthogonal parameters a rate of their own, `rebase` moves the base of a dynamic
parametrisation, `count` counts what is trained. They take params of a cell, of a Flax module, or any tree that
contains some. The guide to orthogonal parameters is `asrnn_jax.orthogonal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from asrnn_jax.cell import Cell, Params, PyTree

__all__ = ["FROZEN", "ORTHOGONAL", "OTHER", "count", "labels", "rebase", "separate_rates"]

ORTHOGONAL = "orthogonal"
"""The label of skew-symmetric parameters."""
FROZEN = "frozen"
"""The label of the base of a dynamic trivialisation, which no optimiser moves."""
OTHER = "other"
"""The label of all other parameters."""


def labels(params: PyTree, orthogonal: Sequence[str] = ("W_hh",)) -> PyTree:
    """A label for every leaf, for `optax.multi_transform` and `optax.masked`.

    Args:
      params: params of a cell, or any tree that contains some by their names: dicts, lists, modules with attributes,
        an `nnx.State`, leaves in boxes such as `flax.linen.Partitioned` and `nnx.Param`.
      orthogonal: names of the matrices whose skew parameters get the label "orthogonal". By default only the
        recurrent one, as in the asRNN paper, where ``U_f`` trains at the ordinary rate.

    Returns:
      The tree with "orthogonal" for those skew parameters, "frozen" for dynamic bases, "other" for the rest.
    """

    skews = {_names(path)[:-1] for path, _ in jax.tree.leaves_with_path(params) if _names(path)[-1:] == ("skew",)}

    def label(path: tuple[Any, ...], _: Any) -> str:
        *matrix, kind = _names(path) or ("",)
        if tuple(matrix) not in skews or kind not in ("skew", "base"):
            return OTHER
        if kind == "base":
            return FROZEN
        return ORTHOGONAL if matrix and matrix[-1] in orthogonal else OTHER

    return jax.tree_util.tree_map_with_path(label, params)


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    """The names on the way to a leaf, without the attributes of a box around it (``.value`` of most)."""
    keys = ("key", "name", "idx")  # of dicts, attributes and lists
    names = [str(next((getattr(entry, key) for key in keys if hasattr(entry, key)), entry)) for entry in path]
    for i in reversed(range(len(names))):
        if names[i] in ("skew", "base"):
            return tuple(names[: i + 1])
        if isinstance(path[i], (jax.tree_util.DictKey, jax.tree_util.SequenceKey)):
            break
    return tuple(names)


def separate_rates(
    other: optax.GradientTransformation, orthogonal: optax.GradientTransformation
) -> optax.GradientTransformation:
    """One transformation for the recurrent orthogonal parameters, another for the rest; dynamic bases stay.

    Example:
      >>> import optax, asrnn_jax
      >>> tx = asrnn_jax.optim.separate_rates(optax.rmsprop(7e-4), optax.rmsprop(7e-5))
    """
    return optax.multi_transform({OTHER: other, ORTHOGONAL: orthogonal, FROZEN: optax.set_to_zero()}, labels)


def count(params: PyTree) -> int:
    """Number of trained numbers; dynamic bases do not count, nor what is no floating-point number (keys, counters)."""
    leaves = zip(jax.tree.leaves(params), jax.tree.leaves(labels(params)))
    return sum(leaf.size for leaf, label in leaves if label != FROZEN and jnp.issubdtype(leaf.dtype, jnp.inexact))


def rebase(cell: Cell, params: Params, step: jax.Array, every: int, project_every: int = 100) -> Params:
    """Moves the dynamic base of `cell` when its turn has come; works under jit.

    Args:
      cell: any cell; params of one without a dynamic base are returned as they are.
      params: of the cell, in boxes of `flax.linen` or not.
      step: number of optimiser steps done, ``()``.
      every: steps between rebases (the paper's K, 100).
      project_every: every so many rebases the base is also sent to the nearest orthogonal matrix.

    Returns:
      Params with the same weights to rounding.
    """
    move = cell.training.rebase
    if move is None:
        return params
    project = (step % every == 0) & (step // every % project_every == 0)  # of both, the product could overflow

    def moved(params):
        plain = jax.tree.structure(jax.eval_shape(cell.init, jax.random.key(0)))  # without boxes, leaves in one order
        new = move(jax.tree.unflatten(plain, jax.tree.leaves(params)), project)
        return jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(new))

    return jax.lax.cond(step % every == 0, moved, lambda params: params, params)
