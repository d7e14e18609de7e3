"""The contract of a recurrent cell: a record of pure functions, evaluated in three phases.

Legend of dimension letters used in every docstring and annotation:

    B batch (any number of leading axes)    T time    I inputs    H hidden (the paper's n)    O outputs

A cell is evaluated as

    weights = cell.prepare(params)               once a call: solves, matrix products, nothing inside the scan
    zs      = cell.project(weights, xs)          all time at once: what does not depend on the carry
    carry   = cell.step(weights, carry, z)       one step: the only sequential part
    ys      = cell.readout(weights, carries, xs) all time at once

The step itself is ``update(carry, z, mix(weights, carry))``. `mix` is everything in a step that touches
trained weights (for a dense cell: one matrix product), `update` touches none. This split is what lets
`asrnn_jax.run` compute the gradient of all weights as one product over all time, for every cell.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, ParamSpec, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from asrnn_jax.dtypes import at_least_float32, precisely
from asrnn_jax.made import Made, remembered

PyTree = Any
Shape = tuple[Any, ...]  # of ints, or of the symbolic dimensions of `jax.export`
Options = ParamSpec("Options")
Params = Mapping[str, Any]  # what is trained; always a dict (or FrozenDict)
Weights = PyTree  # what `prepare` makes of it; never a dict


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Units:
    """What a group of units does at a step, for `asrnn_jax.analysis.saturation`."""

    kind: Literal["tanh", "gate", "relu", "spike"] = field(metadata={"static": True})
    """The nonlinearity. Its range is [-1, 1], [0, 1] (a sigmoid), any number with 0 for closed, and {0, 1}."""
    value: jax.Array
    """``(..., H)``, what came out of it."""


@dataclass(frozen=True, eq=False, repr=False)
class Cell(Made):
    """A recurrent cell: pure functions on pytrees, made by a factory of `asrnn_jax.cells`.

    Every function works on any number of leading axes (batch, or time and batch), so the same
    code serves one step and a whole sequence. Carry leaves have shape ``(*B, ...)``.

    A cell is a static argument of jitted functions. Cells that a factory made of equal arguments are equal, have one
    hash and can be pickled; any other cell equals only itself.
    """

    name: str
    inputs: int
    """I, size of one input ``x``."""
    hidden: int
    """H, number of hidden units."""
    outputs: int
    """O, size of one output ``y``."""
    init: Callable[[jax.Array], Params]
    """``key -> params``. Params are a (nested) dict of arrays."""
    prepare: Callable[[Params], Weights]
    """``params -> weights``, once a call. Weights are any pytree that is not a dict."""
    initial_carry: Callable[..., PyTree]
    """``(batch_shape=(), dtype=float32) -> carry`` with leaves ``(*batch_shape, ...)``."""
    project: Callable[[Weights, jax.Array], PyTree]
    """``(weights, xs (..., I)) -> zs``, leaves ``(..., k)``."""
    mix: Callable[[Weights, PyTree], PyTree]
    """``(weights, carry) -> a``: the part of the step that uses trained weights."""
    update: Callable[[PyTree, PyTree, PyTree], PyTree]
    """``(carry, z, a) -> carry``: the rest of the step; uses no weights."""
    readout: Callable[[Weights, PyTree, jax.Array], jax.Array]
    """``(weights, carries, xs) -> ys (..., O)``."""
    to_state: Callable[[Weights, PyTree], PyTree] = lambda weights, carry: carry
    """``(weights, carry) -> state``: from what the loop keeps to the paper's hidden state."""
    to_carry: Callable[[Weights, PyTree], PyTree] = lambda weights, state: state
    """Inverse of `to_state`."""
    linear_readout: bool = False
    """Whether the carry is one array ``(*B, H)`` and `readout` one matrix times it, so that a linear layer
    behind the cell can be multiplied with it once (see `asrnn_jax.cells.with_output`)."""
    keep: Callable[[PyTree, PyTree], PyTree] | None = None
    """``(z, a) -> kept``: what of each step is kept for the backward pass, for example activated gates.

    `None` keeps nothing but the carry: z and a are computed again, which for a dense cell is one more matrix product.
    """
    pullback: Callable[..., tuple[PyTree, PyTree, PyTree]] | None = None
    """``(prev, carry, kept, ct) -> (d_prev, d_z, d_a)``: the vector-Jacobian product of `update`.

    ``kept`` is what `keep` returned, ``(z, a)`` where that is `None`. Optional. `None` derives it with `jax.vjp`,
    which evaluates `update` again; a cell whose derivative follows from the new carry alone (tanh), or from its
    activated gates, states it here and saves that work.
    """
    activity: Callable[[PyTree, PyTree, PyTree], dict[str, Units]] | None = None
    """``(z, a, carry) -> {name: Units}``: what its nonlinearities gave in the step that ended in `carry`.

    For looking inside. `None` for a cell without nonlinearity in its state, and for composites, whose parts have it.
    """
    differentiable: bool = True
    """Whether a step has a derivative; False for spikes, which have a surrogate's."""
    rebase: Callable[[Params, Any], Params] | None = None
    """``(params, project) -> params`` with the same weights and the skew parameters back at zero.

    Only cells with a dynamic base have it. `project` (bool) also sends the base to the nearest
    orthogonal matrix.
    """
    trained_start: Callable[..., PyTree] | None = None
    """``(weights, batch_shape, dtype) -> carry`` where the start is trained; `None`: `initial_carry`."""
    elements: Callable[[Weights, PyTree], PyTree] | None = None
    """``(weights, zs (T, *B, ...)) -> elements``: what each step does to the carry, for linear cells.

    An element is ``(decay, drive)``, both like the carry: ``carry = decay * carry + drive``.
    """
    apply_parts: Callable[..., tuple[PyTree, jax.Array]] | None = None
    """``(run_part, weights, carry, xs, key) -> (carry, ys)``: a cell made of cells, see `cells.composite`."""
    parts: tuple[Cell, ...] = ()
    """The cells that a cell is made of, see `cells.composite`."""
    both_directions: bool = False
    """Whether ys at a step also depend on later steps."""
    dropout: bool = False
    """Whether `asrnn_jax.run` drops anything when it is given a `key`."""

    def __repr__(self) -> str:
        return f"Cell({self.name}, inputs={self.inputs}, hidden={self.hidden}, outputs={self.outputs})"

    def replace(self, **changes: Any) -> Cell:
        """The cell with other functions or sizes, by name."""
        return dataclasses.replace(self, **{"made_by": None, **changes})

    def step(self, weights: Weights, carry: PyTree, z: PyTree) -> PyTree:
        """One step of the loop: ``(weights, carry, z) -> carry``."""
        return self.update(carry, z, self.mix(weights, carry))

    def start(self, weights: Weights, batch_shape: Shape = (), dtype: Any = jnp.float32) -> PyTree:
        """The carry a sequence starts from: the trained one, else `initial_carry`."""
        if self.trained_start is None:
            return self.initial_carry(batch_shape, dtype)
        return self.trained_start(weights, batch_shape, dtype)


def factory(make: Callable[Options, Cell]) -> Callable[Options, Cell]:
    """Makes a function that returns a cell a factory: cells of equal arguments are equal, and can be pickled.

    Cells are static arguments of jitted functions: the same cell made twice must not compile twice. A function with a
    `dtype` draws in at least float32 (values near a limit, like logarithms of decays, do not survive narrow arithmetic)
    and its params are cast at the end. Params are drawn and prepared in full matrix precision on every device.
    """
    parameters = inspect.signature(make).parameters
    own_params = "dtype" in parameters and "cell" not in parameters

    def build(**arguments: Any) -> Cell:
        dtype = arguments.get("dtype")
        if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"dtype={dtype}: params are floating-point numbers, for example jnp.float32.")
        wide = {"dtype": at_least_float32(dtype)} if own_params else {}
        cell = cast("Callable[..., Cell]", make)(**{**arguments, **wide})
        init = _checked_init(cell.init, dtype if own_params else None)
        cell = cell.replace(init=precisely(init), prepare=precisely(cell.prepare))
        if own_params and dtype == jnp.float16:  # the only type with a narrower range than float32
            _check_fits(cell)
        return cell

    return remembered(make, build)


def _checked_init(init: Callable[[jax.Array], Params], dtype: Any) -> Callable[[jax.Array], Params]:
    """`init` that looks at its key, and casts what it has drawn to `dtype`; None: as it is."""

    @functools.wraps(init)
    def checked(key):
        check_key(key)
        params = init(key)
        return params if dtype is None else jax.tree.map(lambda p: p.astype(dtype), params)

    return checked


def _check_fits(cell: Cell) -> None:
    with jax.ensure_compile_time_eval():
        for path, p in jax.tree.leaves_with_path(cell.init(jax.random.key(0))):
            if not bool(jnp.isfinite(p).all()):
                name = jax.tree_util.keystr(path, simple=True, separator=".")
                raise ValueError(
                    f"dtype={p.dtype}: {name} of cell {cell.name!r} with hidden={cell.hidden} starts beyond its "
                    f"largest number, {float(jnp.finfo(p.dtype).max):g}: use bfloat16 or float32."
                )


def check_key(key: Any) -> None:
    """Raises for what is not one PRNG key, of the new style or of the old."""
    shape, dtype = getattr(key, "shape", None), getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if shape is None or len(shape) != (0 if typed else 1):
        about = repr(key) if shape is None else f"{dtype}{list(shape)}"
        raise TypeError(f"key={about}: pass one PRNG key, for example jax.random.key(0).")


def check_cell(cell: Any) -> None:
    """Raises for what is not a cell, with what it may be instead."""
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
        expected, given = (_shapes(p) for p in (jax.eval_shape(cell.init, jax.random.key(0)), params_or_weights))
        for name in sorted(expected.keys() | given.keys()):
            if expected.get(name) != given.get(name):
                has = f"has shape {given[name]}" if name in given else "is missing"
                asks = f"has {expected[name]} there" if name in expected else "has no such param"
                raise ValueError(
                    f"params[{name!r}] {has}, but cell {cell.name!r} ({cell.inputs} inputs, {cell.hidden} hidden) "
                    f"{asks}: {_what_params_are(params_or_weights)}."
                )
        for path, leaf in jax.tree_util.tree_leaves_with_path(params_or_weights):
            if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
                raise TypeError(f"params{jax.tree_util.keystr(path)} has dtype {jnp.result_type(leaf)}: pass floats.")
        return cell.prepare(dict(params_or_weights))
    weights = jax.eval_shape(lambda key: cell.prepare(cell.init(key)), jax.random.key(0))
    if jax.tree.structure(weights) != jax.tree.structure(params_or_weights) or _shapes(weights) != _shapes(
        params_or_weights
    ):
        raise ValueError(
            f"weights have shapes {_shapes(params_or_weights)}, but cell {cell.name!r} ({cell.inputs} inputs, "
            f"{cell.hidden} hidden) prepares {_shapes(weights)}: pass its params (a dict) or its weights."
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


def _shapes(params: PyTree) -> dict[str, Shape]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="."): jnp.shape(leaf) for path, leaf in leaves}


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
            "as inputs."
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
def _carry_shapes(cell: Cell, batch: Shape, dtype: Any) -> tuple[PyTree, Any, list[Shape]]:
    expected = jax.eval_shape(lambda: cell.initial_carry(batch, dtype))
    shapes = jax.tree.map(lambda leaf: leaf.shape, expected)
    return shapes, jax.tree.structure(expected), [leaf.shape for leaf in jax.tree.leaves(expected)]


def check_carry(cell: Cell, carry: PyTree, batch: Shape, dtype: Any) -> None:
    """Raises if `carry` is not one of this cell for this batch."""
    expected, structure, shapes = _carry_shapes(cell, batch, dtype)
    leaves = jax.tree.leaves(carry)
    if jax.tree.structure(carry) != structure or [jnp.shape(leaf) for leaf in leaves] != shapes:
        raise ValueError(
            f"carry has shapes {jax.tree.map(jnp.shape, carry)}, but cell {cell.name!r} with batch {batch} keeps "
            f"{expected}: start from cell.initial_carry({batch}) or pass the "
            "carry that an earlier call with this cell and batch returned."
        )
    for leaf in leaves:
        kind = leaf.dtype if isinstance(leaf, jax.Array) else jnp.result_type(leaf)
        if not jnp.issubdtype(kind, jnp.inexact):
            raise TypeError(f"carry has dtype {kind}: start from cell.initial_carry({batch}).")
