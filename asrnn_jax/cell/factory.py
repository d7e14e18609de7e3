"""What makes a function that returns a cell a factory of cells."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, cast

import jax
import jax.numpy as jnp

from asrnn_jax.cell.arguments import check_key, check_sizes
from asrnn_jax.cell.contract import Cell, Params
from asrnn_jax.dtypes import at_least_float32, precisely
from asrnn_jax.made import remembered
from asrnn_jax.names import named

Options = ParamSpec("Options")


def factory(make: Callable[Options, Cell]) -> Callable[Options, Cell]:
    """Makes a function that returns a cell a factory: cells of equal arguments are equal, and can be pickled.

    Cells are static arguments of jitted functions: the same cell made twice must not compile twice. A function with a
    `dtype` draws in at least float32 (values near a limit, like logarithms of decays, do not survive narrow arithmetic)
    and its params are cast at the end. Params are drawn and prepared in full matrix precision on every device.
    The sizes `inputs`, `hidden` and `outputs` are checked before it is called.
    """
    parameters = inspect.signature(make).parameters
    own_params = "dtype" in parameters and "cell" not in parameters

    def build(**arguments: Any) -> Cell:
        dtype = arguments.get("dtype")
        if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"dtype={dtype}: params are floating-point numbers, for example jnp.float32.")
        given = {name: arguments[name] for name in ("inputs", "hidden", "outputs") if name in arguments}
        check_sizes(**{name: size for name, size in given.items() if size is not parameters[name].default})
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
        for name, p in named(cell.init(jax.random.key(0))):
            if not bool(jnp.isfinite(p).all()):
                raise ValueError(
                    f"dtype={p.dtype}: {name} of cell {cell.name!r} with hidden={cell.hidden} starts beyond the "
                    f"largest number of this type, {float(jnp.finfo(p.dtype).max):g}: use bfloat16 or float32."
                )
