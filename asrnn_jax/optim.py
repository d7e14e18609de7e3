"""Helpers for optax: which parameters are which, own rates for them, moving dynamic bases, averages over steps.

`separate_rates` gives the orthogonal parameters a rate of their own, `rebase` moves the base of a dynamic
parametrisation, `average` keeps the mean of the params over training steps, `count` counts what is trained. They take
params of a cell, of a Flax module, or any tree that contains some. The guide to orthogonal parameters is
`asrnn_jax.orthogonal`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from asrnn_jax.cell import Cell, Params, PyTree
from asrnn_jax.dtypes import at_least_float32, promoted

__all__ = ["FROZEN", "ORTHOGONAL", "OTHER", "Average", "average", "count", "labels", "rebase", "separate_rates"]

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
    names = [jax.tree_util.keystr((entry,), simple=True) for entry in path]
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
    if cell.training.rebase is None:
        return params
    project = (step % every == 0) & (step // every % project_every == 0)  # of both, the product could overflow
    return jax.lax.cond(step % every == 0, lambda p: _moved(cell, p, project), lambda p: p, params)


def _moved(cell: Cell, params: Params, project: Any) -> Params:
    """The params with their dynamic bases moved to the current matrices; as they are where there are none."""
    if cell.training.rebase is None:
        return params
    plain = jax.tree.structure(jax.eval_shape(cell.init, jax.random.key(0)))  # without boxes, leaves in one order
    new = cell.training.rebase(jax.tree.unflatten(plain, jax.tree.leaves(params)), project)
    return jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(new))


class Average(NamedTuple):
    """The mean of params over training steps, as pure functions; made by `average`."""

    init: Callable[[Params], PyTree]
    """``params -> state``, before the first step."""
    update: Callable[[Params, PyTree], PyTree]
    """``(params, state) -> state``, after each step (and after `rebase`); works under jit."""
    params: Callable[[PyTree], Params]
    """``state -> params``, the mean so far, for evaluation and to be saved; NaN before the first update."""


def average(cell: Cell, decay: float) -> Average:
    """An exponential moving average of the params of `cell`, whose orthogonal matrices are orthogonal.

    The last ``1 / (1 - decay)`` steps or so count. As by `optax.ema` the mean is debiased: the start does not count.
    What is averaged of a matrix are its skew-symmetric numbers, and any such numbers make an orthogonal matrix. With
    a dynamic base these mean something else after each `rebase`; there the matrices are averaged, and the mean is the
    orthogonal matrix nearest to theirs, wherever the base was. That costs one more such matrix a step.

    Args:
      cell: whose params they are.
      decay: in [0, 1), for example 0.999. 0 is the last step alone.

    Raises:
      ValueError: a decay outside [0, 1).

    Example:
      >>> import jax, asrnn_jax
      >>> cell = asrnn_jax.cells.dtriv(inputs=1, hidden=6)
      >>> params = cell.init(jax.random.key(0))
      >>> average = asrnn_jax.optim.average(cell, 0.999)
      >>> state = average.init(params)
      >>> state = average.update(params, state)  # in each step
      >>> mean = average.params(state)  # for `asrnn_jax.run`
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay={decay}: give a number in [0, 1).")
    ema = optax.ema(decay, debias=False)

    def weighted(params):
        # Next to the params goes a 1, whose average is the sum of the weights in the same rounding.
        wide = jax.tree.map(lambda p: p.astype(at_least_float32(p.dtype)), params)
        return _moved(cell, wide, False), jnp.ones((), promoted(*jax.tree.leaves(wide)))

    def mean(state):
        sums, weight = state.ema
        return _moved(cell, jax.tree.map(lambda leaf: leaf / weight.astype(leaf.dtype), sums), True)

    return Average(
        init=lambda params: ema.init(weighted(params)),
        update=lambda params, state: ema.update(weighted(params), state)[1],
        params=mean,
    )
