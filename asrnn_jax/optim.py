"""Helpers for optax: which parameters are which, own rates for them, and moving dynamic bases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import optax

from asrnn_jax.cell import Cell, Params, PyTree

ORTHOGONAL, FROZEN, OTHER = "orthogonal", "frozen", "other"


def labels(params: PyTree, orthogonal: Sequence[str] = ("W_hh",)) -> PyTree:
    """A label for every leaf, for `optax.multi_transform` and `optax.masked`.

    Args:
      params: params of a cell, or any tree that contains some.
      orthogonal: names of the matrices whose skew parameters get the label "orthogonal". By default only the
        recurrent one, as in the asRNN paper, where ``U_f`` trains at the ordinary rate.

    Returns:
      The tree with "orthogonal" for those skew parameters, "frozen" for dynamic bases, "other" for the rest.
    """

    def names(path: tuple[Any, ...]) -> tuple[str, ...]:
        return tuple(str(getattr(entry, "key", entry)) for entry in path)

    skews = {names(path)[:-1] for path, _ in jax.tree.leaves_with_path(params) if names(path)[-1:] == ("skew",)}

    def label(path: tuple[Any, ...], _: Any) -> str:
        *matrix, kind = names(path) or ("",)
        if tuple(matrix) not in skews or kind not in ("skew", "base"):
            return OTHER
        if kind == "base":
            return FROZEN
        return ORTHOGONAL if matrix and matrix[-1] in orthogonal else OTHER

    return jax.tree_util.tree_map_with_path(label, params)


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
    """Number of trained numbers; dynamic bases do not count."""
    leaves = zip(jax.tree.leaves(params), jax.tree.leaves(labels(params)))
    return sum(leaf.size for leaf, label in leaves if label != FROZEN)


def rebase(cell: Cell, params: Params, step: jax.Array, every: int, project_every: int = 100) -> Params:
    """Moves the dynamic base of `cell` when its turn has come; works under jit.

    Args:
      cell: any cell; params of one without a dynamic base are returned as they are.
      params: of the cell.
      step: number of optimiser steps done, ``()``.
      every: steps between rebases (the paper's K, 100).
      project_every: every so many rebases the base is also sent to the nearest orthogonal matrix.

    Returns:
      Params with the same weights to rounding.
    """
    move = cell.rebase
    if move is None:
        return params
    project = step % (every * project_every) == 0

    def moved(params):
        return jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(move(params, project)))

    return jax.lax.cond(step % every == 0, moved, lambda params: params, params)
