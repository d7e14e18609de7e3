"""What users pass with a cell: keys, params, inputs and carries, as arrays of JAX or refused with the remedy."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from asrnn_jax.cell.contract import Cell, Params, PyTree, Shape, Weights
from asrnn_jax.names import named, shapes


def check_key(key: Any) -> None:
    """Raises for what is not one PRNG key, of the new style or of the old."""
    shape, dtype = getattr(key, "shape", None), getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if shape is None or len(shape) != (0 if typed else 1):
        about = repr(key) if shape is None else f"{dtype}{list(shape)}"
        raise TypeError(f"key={about}: pass one PRNG key, for example jax.random.key(0).")


def check_sizes(**values: int) -> None:
    """Raises unless every value is a positive integer."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"{name}={value!r}: give a whole number.")
        if value < 1:
            raise ValueError(f"{name}={value}: give at least 1.")


def check_cell(cell: Any) -> None:
    """Raises TypeError unless `cell` is a cell; the message guesses what was meant."""
    if isinstance(cell, Cell):
        return
    if isinstance(cell, str):
        remedy = f"make one with asrnn_jax.cells.make({cell!r}, inputs, hidden)"
    elif inspect.isfunction(cell):
        remedy = f"this is a function; if it is a factory, call it: {cell.__name__}(inputs, hidden)"
    elif hasattr(cell, "initialize_carry"):
        remedy = "this is a flax cell; make one of asrnn_jax.cells, asrnn_jax.interop takes over its weights"
    elif isinstance(getattr(cell, "cell", None), Cell):
        remedy = "this is a module; pass its .cell"
    else:
        remedy = "make one with a factory of asrnn_jax.cells"
    raise TypeError(f"cell={cell!r}: pass a cell; {remedy}.")


def as_weights(cell: Cell, params_or_weights: Params | Weights) -> Weights:
    """Prepares params (a dict); lets weights, which are never a dict, through unchanged."""
    if isinstance(params_or_weights, Mapping):
        expected, given = (shapes(p) for p in (jax.eval_shape(cell.init, jax.random.key(0)), params_or_weights))
        for name in sorted(expected.keys() | given.keys()):
            if expected.get(name) != given.get(name):
                has = f"has shape {given[name]}" if name in given else "is missing"
                asks = f"has {expected[name]} there" if name in expected else "has no such param"
                raise ValueError(
                    f"params[{name!r}] {has}, but cell {cell.name!r} ({cell.inputs} inputs, {cell.hidden} hidden) "
                    f"{asks}: {_what_params_are(params_or_weights)}."
                )
        for name, leaf in named(params_or_weights):
            if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
                raise TypeError(f"params[{name!r}] has dtype {jnp.result_type(leaf)}: pass floats.")
        return cell.prepare(dict(params_or_weights))
    weights = jax.eval_shape(lambda key: cell.prepare(cell.init(key)), jax.random.key(0))
    expected, given = ((jax.tree.structure(tree), shapes(tree)) for tree in (weights, params_or_weights))
    if given != expected:
        raise ValueError(
            f"weights have shapes {given[1]}, but cell {cell.name!r} ({cell.inputs} inputs, "
            f"{cell.hidden} hidden) prepares {expected[1]}: pass its params (a dict) or its weights."
        )
    return params_or_weights


def _what_params_are(given: Params) -> str:
    """What to pass in place of params of another shape, by what they seem to be."""
    boxes = jax.tree.leaves(dict(given), is_leaf=lambda leaf: hasattr(leaf, "unbox") or hasattr(leaf, "get_value"))
    if "params" in given:
        return "these are the variables of a module, pass variables['params']"
    if any(hasattr(leaf, "unbox") for leaf in boxes):
        return "these are boxed, pass flax.linen.meta.unbox(params)"
    if any(hasattr(leaf, "get_value") for leaf in boxes):
        return "these are variables of nnx, pass module.params"
    return "pass the params this cell's init made"


MASKED = "pass {0}.filled(0), and mask=~numpy.ma.getmaskarray({0}).any(-1)"
RAGGED = "pad them to one length and give lengths="


def as_numbers(name: str, values: Any, what: str, masked: str = MASKED, ragged: str = RAGGED) -> np.ndarray | jax.Array:
    """Floating-point numbers as a plain array of this machine, or an error that names what is wrong with them.

    The one conversion of what users pass: `asrnn_jax.run`, `asrnn_jax.step`, the analyses and streams.
    """
    if isinstance(values, np.ma.MaskedArray):
        remedy = masked.format(name)
        raise TypeError(f"{name} is a masked array, and what is masked would be taken for data: {remedy}.")
    array: Any = values
    if isinstance(values, np.ndarray) and not values.dtype.isnative:
        array = values.astype(values.dtype.newbyteorder("="))
    if not isinstance(array, np.ndarray | jax.Array):  # the conversion alone takes as long as half a step
        try:
            array = jnp.asarray(array)
        except (TypeError, ValueError) as e:
            uneven = isinstance(values, list | tuple) and len({np.shape(v)[:1] for v in _parts_of(values)}) > 1
            remedy = f"sequences of different lengths: {ragged}" if uneven else what
            raise TypeError(f"{name} is {type(values).__name__} that makes no array of numbers: {remedy}.") from e
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{name} has dtype {array.dtype}: a recurrent cell needs floating-point inputs, scaled as in training: "
            f"{name}.astype(jnp.float32), or jax.nn.one_hot for symbols; of complex ones pass real and imaginary parts "
            "as separate inputs."
        )
    return array


def _parts_of(values: Any) -> list[Any]:
    """Elements of a list of sequences, as far as they have shapes."""
    return [np.empty(len(v)) if isinstance(v, list | tuple) else v for v in values]


def as_inputs(cell: Cell, xs: ArrayLike, least_rank: int, what: str) -> jax.Array:
    """Inputs as an array of JAX, or an error that names what is wrong with them or with the cell."""
    check_cell(cell)
    xs = as_numbers("xs", xs, what)
    if xs.ndim < least_rank:
        raise ValueError(f"xs has shape {xs.shape}: {what} (at least {least_rank} axes).")
    if xs.shape[-1] != cell.inputs:
        raise ValueError(
            f"xs has shape {xs.shape}, last axis {xs.shape[-1]}, but cell {cell.name!r} was made with "
            f"inputs={cell.inputs}: {what}, or make the cell with inputs={xs.shape[-1]}."
        )
    return xs if isinstance(xs, jax.Array) else jnp.asarray(xs)


@functools.lru_cache(maxsize=128)  # a stream asks at every step
def _carry_shapes(cell: Cell, batch: Shape, dtype: Any) -> tuple[Any, list[Shape]]:
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda: cell.initial_carry(batch, dtype)))
    return structure, [leaf.shape for leaf in leaves]


def check_carry(cell: Cell, carry: PyTree, batch: Shape, dtype: Any) -> None:
    """Raises if `carry` is not one of this cell for this batch."""
    structure, each = _carry_shapes(cell, batch, dtype)
    leaves = jax.tree.leaves(carry)
    if jax.tree.structure(carry) != structure or [jnp.shape(leaf) for leaf in leaves] != each:
        raise ValueError(
            f"carry has shapes {jax.tree.map(jnp.shape, carry)}, but cell {cell.name!r} with batch {batch} keeps "
            f"{jax.tree.unflatten(structure, each)}: start from cell.initial_carry({batch}) or pass the "
            "carry that an earlier call with this cell and batch returned."
        )
    for leaf in leaves:
        kind = leaf.dtype if isinstance(leaf, jax.Array) else jnp.result_type(leaf)
        if not jnp.issubdtype(kind, jnp.inexact):
            raise TypeError(f"carry has dtype {kind}: start from cell.initial_carry({batch}).")
