"""Complex arithmetic written out in real numbers, for formats without complex numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from asrnn_jax.pairs import Pair, is_complex, parts


def real_only(jaxpr: core.ClosedJaxpr) -> Callable[..., list[Any]]:
    """A function of real arrays that computes what a jaxpr with real inputs and outputs does, without complex numbers.

    Raises:
      NotImplementedError: when called, for an operation on complex numbers that is not in the table below.
    """
    return lambda *arguments: _evaluate(jaxpr, arguments)


def _evaluate(closed: core.ClosedJaxpr, arguments: Any) -> list[Any]:
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, map(_pair, closed.consts))) | dict(zip(jaxpr.invars, arguments))

    def read(atom):
        return _pair(atom.val) if isinstance(atom, core.Literal) else known[atom]

    for eqn in jaxpr.eqns:
        outs = _one(eqn, [read(atom) for atom in eqn.invars])
        known |= dict(zip(eqn.outvars, outs))
    return [read(atom) for atom in jaxpr.outvars]


def _pair(value: Any) -> Any:
    return parts(value) if jnp.iscomplexobj(value) else value


def _one(eqn: Any, values: list[Any]) -> list[Any]:
    name, inner = eqn.primitive.name, eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
    if name == "scan":
        return _scan(eqn.params, values)
    if inner is not None and name in ("jit", "custom_jvp_call", "custom_vjp_call"):
        return _evaluate(inner, values)
    complex_out = [is_complex(v.aval) for v in eqn.outvars]
    if not any(isinstance(value, Pair) for value in values) and not any(complex_out):
        found = eqn.primitive.bind(*values, **eqn.params)
        return found if eqn.primitive.multiple_results else [found]
    if name in PARTWISE:

        def of(part):
            arrays = [_part(value, part) for value in values]
            return eqn.primitive.bind(*arrays, **eqn.params)

        return [Pair(of(0), of(1))]
    if name == "convert_element_type":
        dtype, (value,) = jnp.finfo(eqn.params["new_dtype"]).dtype, values
        pair = value if isinstance(value, Pair) else (value, jnp.zeros_like(value))
        return [Pair(*(jnp.asarray(part, dtype) for part in pair))]
    if name not in RULES:
        raise NotImplementedError(f"{name} of complex numbers")
    return [RULES[name](*values)]


def _part(value: Any, part: int) -> Any:
    """Real or imaginary part; choices and indices are the same for both, another real number has no imaginary part."""
    if isinstance(value, Pair):
        return value[part]
    return jnp.zeros_like(value) if part and jnp.issubdtype(value.dtype, jnp.floating) else value


PARTWISE = (
    *("add", "sub", "neg", "reshape", "broadcast_in_dim", "slice", "squeeze", "transpose", "concatenate"),
    *("select_n", "gather", "dynamic_slice"),
)


def _product(a: Any, b: Any) -> Any:
    return Pair(a.real * b.real - a.imag * b.imag, a.real * b.imag + a.imag * b.real)


RULES: dict[str, Callable[..., Any]] = {
    "mul": _product,
    "real": lambda a: a.real,
    "imag": lambda a: a.imag,
    "complex": Pair,
    "conj": lambda a: Pair(a.real, -a.imag),
    "abs": lambda a: jnp.sqrt(a.real * a.real + a.imag * a.imag),
    "eq": lambda a, b: (a.real == b.real) & (a.imag == b.imag),
}


def _scan(params: dict[str, Any], values: list[Any]) -> list[Any]:
    """The loop over time with pairs in its carry and its inputs."""
    fixed, start, xs = _parts(params, values)

    def body(carry, x):
        outs = _evaluate(params["jaxpr"], [*fixed, *carry, *x])
        return outs[: len(start)], outs[len(start) :]

    end, ys = jax.lax.scan(body, start, xs, length=params["length"], reverse=params["reverse"])
    return [*end, *ys]


def _parts(params: dict[str, Any], values: list[Any]) -> list[list[Any]]:
    """The inputs of a scan: constants, the carry at its start, and what it goes over."""
    if "ft_in" in params:  # jax from 0.11 on keeps the inputs as a tree
        return [list(part) for part in params["ft_in"].update(values).unpack()]
    constants, others = params["num_consts"], params["num_consts"] + params["num_carry"]
    return [values[:constants], values[constants:others], values[others:]]
