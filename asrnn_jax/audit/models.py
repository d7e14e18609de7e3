"""What the audit sees of a model: a state to start from, and a function that advances it. Cells are made one here."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.analysis.saturation import saturated_share
from asrnn_jax.cell import Cell, Params, Weights, as_weights
from asrnn_jax.dtypes import cast, compute_dtype
from asrnn_jax.run import run


class Model(NamedTuple):
    """A model as the audit runs it, on B streams at once."""

    name: str
    start: Callable[[int], Any]
    """``B -> state``: what B streams start from."""
    advance: Callable[[Any, np.ndarray, np.ndarray], tuple[Any, np.ndarray]]
    """``(state, xs (B, T, I), resets (B, T)) -> (state, ys (B, T, O))``; True starts afresh before that step."""
    vector: Callable[[Any], np.ndarray]
    """``state -> (B, N)``: all its numbers."""
    take: Callable[[Any, np.ndarray], Any]
    """``(state, indices) -> state``: of the streams chosen."""
    saturated: Callable[[Any, np.ndarray], np.ndarray] | None = None
    """``(state, x (B, I)) -> (B,)``: share of units that this step saturates; None: the model does not say."""
    inputs: int | None = None
    """I, where the model says it."""


def as_model(model: Any, start: Any = None) -> Model:
    """A `Model` of whatever `asrnn_jax.audit.resets` takes.

    Args:
      model: a Cell, a function ``(state, x) -> (state, y)``, the path of an ONNX file, or a `Model`.
      start: of a Cell its params or weights; of a function what it starts from, see `asrnn_jax.audit.function`; of the
        others None.

    Raises:
      TypeError, ValueError: something else; a start that is missing or too many.
    """
    from asrnn_jax.audit.callables import function
    from asrnn_jax.audit.onnx_files import onnx

    if isinstance(model, Cell):
        if start is None:
            raise ValueError("start=None: give the params of the cell.")
        return of_cell(model, start)
    if isinstance(model, Model | str | os.PathLike):
        if start is not None:
            raise ValueError("start: such a model knows what it starts from; give None.")
        return model if isinstance(model, Model) else onnx(model)
    if callable(model):
        step: Any = model
        return function(step, start)
    raise TypeError(f"model is {type(model).__name__}: give a Cell, a function (state, x) -> (state, y) or a file.")


def of_cell(cell: Cell, params: Params | Weights, name: str = "") -> Model:
    """A cell with its params or weights, as the audit runs it.

    Raises:
      ValueError: params of another cell, a cell without a state.
    """
    weights = as_weights(cell, params)
    dtype = compute_dtype(weights, jnp.zeros((), jnp.float32))
    weights = cast(weights, dtype)

    def start(batch: int) -> Any:
        return cell.start(weights, (batch,), dtype)

    def advance(state: Any, xs: np.ndarray, resets: np.ndarray) -> tuple[Any, np.ndarray]:
        state, ys = _program(cell, weights, state, xs, resets)
        return state, np.asarray(ys)

    if not jax.tree.leaves(start(1)):
        raise ValueError(f"cell {cell.name!r} has no state: there is nothing to reset.")
    return Model(
        name=name or cell.name,
        start=start,
        advance=advance,
        vector=lambda state: rows(jax.device_get(state)),
        take=lambda state, index: jax.tree.map(lambda leaf: leaf[index], state),
        saturated=lambda state, x: np.asarray(_share(cell, weights, state, jnp.asarray(x))),
        inputs=cell.inputs,
    )


@partial(jax.jit, static_argnums=0)
def _program(cell: Cell, weights: Weights, state: Any, xs: Any, resets: Any) -> tuple[Any, Any]:
    return run(cell, weights, xs, carry=state, reset=resets)


_share = jax.jit(saturated_share, static_argnums=0)


def rows(state: Any) -> np.ndarray:
    """All numbers of a state whose leaves have the batch first, ``(B, N)``; complex ones as two."""
    flat = []
    for each in jax.tree.leaves(state):
        leaf: Any = np.asarray(each)
        leaf = leaf.reshape(len(leaf), -1)
        flat += [leaf.real, leaf.imag] if np.iscomplexobj(leaf) else [leaf]
    return np.concatenate(flat, axis=1).astype(np.float64)
