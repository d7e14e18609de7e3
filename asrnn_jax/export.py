"""A trained network as a file that runs without this library: StableHLO for JAX, ONNX for everything else.

    >>> import jax, numpy as np
    >>> from asrnn_jax import cells, export
    >>> model = cells.with_output(cells.asrnn(3, 4), 5)
    >>> file = export.stablehlo(model, model.init(jax.random.key(0)), weights="int8")  # bytes: weights and one step

From here on without this library, on CPU, GPU or TPU:

    >>> advance = jax.export.deserialize(bytearray(file)).call
    >>> state, reset = (np.zeros((2, 4), "float32"),), np.ones(2, bool)  # reset: True at the very first call
    >>> state, y = advance(state, np.ones((2, 3), "float32"), reset)
    >>> y.shape
    (2, 5)

`onnx` makes the same for onnxruntime (``pip install '.[onnx]'``). Every cell can go both ways: one step at a time, or
a fixed number of steps (``steps=``; for StableHLO also any number), for any batch, with matrices in float32, bfloat16,
int16 or int8. Making a file needs none of the devices it is to run on. Exported files were run on CPUs only.

**Which type.** int8 is enough for gated cells, and for asRNN over tens of steps. A network whose memory must not fade
over hundreds of steps, like the ones of pixels, keeps its accuracy in int16, and loses some in bfloat16 (8 bits of
precision) and all of it in int8; see `asrnn_jax.narrowed` for what its params bear.

``python -m experiments export NETWORK --formats stablehlo onnx`` writes the files of a trained network and compares
them with it. Programs of a dozen lines that run such a file: ``experiments/examples/stream_stablehlo.py`` with JAX,
``experiments/examples/stream_onnx.py`` with onnxruntime.

## The function in the file

Both formats hold one function, with the prepared weights in it:

    (state, x, reset) -> (state, y)

    state   a tuple of arrays (B, ...), float32; complex ones as (B, ..., 2), real and imaginary part
    x       (B, I) float32: one step; or (B, T, I) where the file was made for T steps at a time, or for any number
    reset   (B,) bool: where True that stream starts afresh before x; all True at the very first call,
            whatever the state then holds
    y       (B, O) or (B, T, O)

In ONNX the inputs are called state_0, state_1, ..., x and reset, the outputs next_0, next_1, ... and y.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from asrnn_jax.cell import Cell, Params, PyTree, Weights, as_weights
from asrnn_jax.dtypes import cast
from asrnn_jax.narrowed import Narrow, Scaled, narrow, widen
from asrnn_jax.pairs import from_stacked, is_complex, stacked
from asrnn_jax.real_only import real_only
from asrnn_jax.run import run, step

__all__ = ["Scaled", "narrow", "onnx", "stablehlo", "widen"]


def stablehlo(
    cell: Cell,
    params: Params | Weights,
    *,
    steps: int | np.integer | Literal["any"] | None = None,
    weights: Narrow = "float32",
    batch: int | None = None,
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu"),
) -> bytes:
    """The network as StableHLO, for ``jax.export.deserialize``; see the head of this module for the function.

    Args:
      cell: made by a factory of `asrnn_jax.cells`, or a model of `asrnn_jax.pretrained`.
      params: its params or prepared weights.
      steps: T of a function that takes so many steps at a time; "any": one that takes any number of them; None: one
        that takes one.
      weights: type that matrices are kept in, see `narrow`; everything is computed in float32.
      batch: B; None: any.
      platforms: where it is to run. Making it needs none of them.

    Returns:
      What to write to a file. JAX promises to load it for six months of later versions at least.

    Raises:
      ValueError: params of another cell, a bidirectional cell without `steps`, an unknown option.
      ImportError: flatbuffers is not installed.

    Example:
      >>> import jax, numpy as np
      >>> from asrnn_jax import cells, export
      >>> model = cells.with_output(cells.gru(inputs=3, hidden=8), 10)
      >>> file = export.stablehlo(model, model.init(jax.random.key(0)))
      >>> advance = jax.export.deserialize(file).call
      >>> state, y = advance((np.zeros((2, 8), "float32"),), np.ones((2, 3), "float32"), np.ones(2, bool))
      >>> y.shape
      (2, 10)
    """
    _needs("flatbuffers", "export")
    b, t = jax_export.symbolic_shape("b, t")
    function = _function(cell, params, steps, weights)
    arguments = _arguments(cell, params, t if steps == "any" else steps, b if batch is None else batch)
    exported = jax_export.export(jax.jit(function), platforms=platforms)(*arguments)
    return bytes(exported.serialize())


def onnx(
    cell: Cell,
    params: Params | Weights,
    *,
    steps: int | np.integer | Literal["any"] | None = None,
    weights: Narrow = "float32",
    batch: int | None = None,
) -> bytes:
    """The network as ONNX, for onnxruntime; see the head of this module for the function.

    Args:
      cell, params, steps, weights, batch: as in `stablehlo`, but for steps "any".

    Returns:
      What to write to a file.

    Raises:
      ValueError: as `stablehlo`.
      NotImplementedError: an operation on complex numbers that cannot be written out in real ones.
      ImportError: jax2onnx is not installed.
    """
    if steps == "any":
        raise ValueError("steps='any' is of StableHLO files: give ONNX a number of steps, or None for one at a time.")
    with _quiet("jax2onnx"):
        _needs("jax2onnx", "onnx")
        import jax2onnx

    (b,) = (batch,) if batch is not None else jax_export.symbolic_shape("B")
    state, x, reset = _arguments(cell, params, steps, b)
    # Traced here, so that only operations of JAX's own are left to translate, and none of complex numbers.
    traced = jax.make_jaxpr(_function(cell, params, steps, weights))(state, x, reset)
    with _quiet("jax2onnx", "onnx_ir"):  # they tell of every optional library of theirs that is not there
        model = jax2onnx.to_onnx(
            real_only(traced),
            [*state, x, reset],
            model_name=cell.name,
            input_names=[*(f"state_{i}" for i in range(len(state))), "x", "reset"],
            output_names=[*(f"next_{i}" for i in range(len(state))), "y"],
        )
    return model.SerializeToString()


@contextmanager
def _quiet(*loggers: str):
    before = {logger: logger.level for logger in map(logging.getLogger, loggers)}
    for logger in before:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


def _needs(module: str, extra: str) -> None:
    try:
        __import__(module)
    except ImportError as e:
        raise ImportError(f"{module} is not installed: pip install 'asrnn_jax[{extra}]'.") from e


def _function(
    cell: Cell, params: Params | Weights, steps: int | np.integer | Literal["any"] | None, weights: Narrow
) -> Any:
    """``(state, x, reset) -> (state, y)`` with the weights in it, of which only those that are used."""
    if steps not in (None, "any") and not (isinstance(steps, int | np.integer) and steps >= 1):
        raise ValueError(f"steps={steps!r}: give at least 1, 'any' for StableHLO, or None for one step at a time.")
    if cell.both_directions and steps is None:
        raise ValueError(f"cell {cell.name!r} runs in both directions: give the number of steps.")
    prepared = cast(as_weights(cell, params), jnp.float32)
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, narrow(prepared, weights)))
    begin = cell.start(prepared, (1,), jnp.float32)
    fresh = [np.asarray(leaf) for leaf in _packed(begin)]  # real numbers: ONNX cannot choose between complex ones
    like = jax.eval_shape(lambda: begin)

    def function(leaves, state, x, reset):
        wide = widen(jax.tree.unflatten(structure, leaves))
        state = [jnp.where(reset.reshape(-1, *(1,) * (f.ndim - 1)), f, s) for f, s in zip(fresh, state, strict=True)]
        carry = _unpacked(state, like)
        if steps is None:
            after, y = step(cell, wide, carry, x)
        else:
            block = x.shape[1] if isinstance(x.shape[1], int) else None
            after, y = run(cell, wide, x, carry=carry, method="sequential", gradient="autodiff", block=block)
        return _packed(after), y

    trial = jax_export.export(jax.jit(function))(leaves, *_arguments(cell, params, 1 if steps == "any" else steps, 1))

    def with_weights(state, x, reset):
        kept = [
            jnp.asarray(leaf) if i in trial.module_kept_var_idx else jnp.zeros(leaf.shape, leaf.dtype)
            for i, leaf in enumerate(leaves)
        ]
        return function(kept, state, x, reset)

    return with_weights


def _arguments(cell: Cell, params: Params | Weights, steps: Any, b: Any) -> tuple[Any, Any, Any]:
    def start():
        return _packed(cell.start(cast(as_weights(cell, params), jnp.float32), (1,), jnp.float32))

    state = tuple(jax.ShapeDtypeStruct((b, *leaf.shape[1:]), leaf.dtype) for leaf in jax.eval_shape(start))
    shape = (b, cell.inputs) if steps is None else (b, steps, cell.inputs)
    return state, jax.ShapeDtypeStruct(shape, jnp.float32), jax.ShapeDtypeStruct((b,), jnp.bool_)


def _packed(carry: PyTree) -> tuple[jax.Array, ...]:
    """The leaves of a carry, complex ones as real and imaginary parts."""
    return tuple(stacked(leaf) if is_complex(leaf) else leaf for leaf in jax.tree.leaves(carry))


def _unpacked(state: Sequence[jax.Array], like: PyTree) -> PyTree:
    leaves = [from_stacked(array) if is_complex(leaf) else array for array, leaf in zip(state, jax.tree.leaves(like))]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
