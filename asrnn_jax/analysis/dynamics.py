"""A cell as a map of vectors, ``s_t = F(s_{t-1}, x_t)``: what every analysis of it starts from."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from asrnn_jax.cell import Carry, Cell, Params, PyTree, Weights, as_inputs, as_weights, check_carry
from asrnn_jax.dtypes import Function, at_least_float32, compute_dtype, precisely
from asrnn_jax.dtypes import cast as cast_weights
from asrnn_jax.names import named
from asrnn_jax.pairs import is_complex, joined, parts
from asrnn_jax.placement import beside
from asrnn_jax.typing import Array, Float, Given

Coordinates = Literal["state", "carry"]


def compiled(*static: str) -> Callable[[Function], Function]:
    """`jax.jit` with the cell and these arguments static, in full matrix precision; to type checkers as it was."""
    return lambda function: cast("Function", jax.jit(precisely(function), static_argnames=("cell", *static)))


class Dynamics(NamedTuple):
    """A cell with its weights, one batch element, as functions of plain vectors of D real numbers."""

    size: int
    """D: all leaves of the state side by side, complex ones as real and imaginary parts."""
    advance: Callable[[Float[Array, " D"], Float[Array, " I"]], Float[Array, " D"]]
    """``(s (D,), x (I,)) -> s (D,)``, one step."""
    trajectory: Callable[[Carry, Float[Array, "T I"]], Float[Array, "T+1 D"]]
    """``(carry, xs (T, I)) -> (T + 1, D)``: the start, then where each step ends."""
    read: Callable[[Float[Array, "T D"], Float[Array, "T I"]], Float[Array, "T O"]]
    """``(states (T, D), xs (T, I)) -> ys (T, O)``."""


class Driven(NamedTuple):
    """A cell driven by inputs with N batch elements."""

    dynamics: Dynamics
    start: Carry
    """The carry before the first step, leaves ``(N, ...)``."""
    xs: Float[Array, "N T I"]
    """``(N, T, I)``"""
    batch: tuple[int, ...]

    def unbatched(self, result: Any) -> Any:
        """The result for N elements in the shape of the batch."""
        return jax.tree.map(lambda leaf: leaf.reshape(*self.batch, *leaf.shape[1:]), result)

    def states(self) -> Float[Array, "N steps D"]:
        """``(N, T + 1, D)``"""
        return jax.vmap(self.dynamics.trajectory)(self.start, self.xs)


def driven(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    carry: Carry | None,
    coordinates: Coordinates,
    surrogate: bool = True,
) -> Driven:
    """Checks what a user passed to an analysis, and puts it together.

    Raises:
      ValueError, TypeError: as `asrnn_jax.run`; coordinates that are not "state" or "carry"; a cell that runs in both
        directions; spikes without `surrogate`.
    """
    xs = as_inputs(cell, xs, 2, "pass (*B, T, I)")
    check_coordinates(coordinates)
    check_derivative(cell, surrogate)
    *batch, steps, _ = xs.shape
    weights = as_weights(cell, params)
    dtype = at_least_float32(compute_dtype(weights, xs))  # decompositions have no narrower type
    weights, xs = cast_weights(weights, dtype), xs.astype(dtype).reshape(math.prod(batch), steps, cell.inputs)
    _, weights, start = beside(jnp.moveaxis(xs, 1, 0), weights, (cell.start(weights, (len(xs),), dtype), 0))
    if carry is not None:
        check_carry(cell, carry, tuple(batch), dtype)
        start = jax.tree.map(lambda c, s: jnp.reshape(c, s.shape).astype(s.dtype), carry, start)
    return Driven(_dynamics(cell, weights, dtype, coordinates), start, xs, tuple(batch))


def check_coordinates(coordinates: str) -> None:
    """Raises for coordinates that there are none of."""
    if coordinates not in ("state", "carry"):
        raise ValueError(
            f"coordinates={coordinates!r}: choose 'state' (the paper's h) or 'carry' (what the loop keeps)."
        )


def check_derivative(cell: Cell, surrogate: bool) -> None:
    """Raises for a cell whose state has no derivative by the state before."""
    if cell.both_directions:
        raise ValueError(
            f"cell {cell.name!r} runs in both directions, so it has no state that goes forward in time: analyse its "
            "parts, cell.parts."
        )
    if not (cell.gradient.differentiable or surrogate):
        raise ValueError(
            f"cell {cell.name!r} spikes, and a spike has no derivative: pass surrogate=True for the Jacobian with the "
            "surrogate in its place, which is what training sees."
        )


def _dynamics(cell: Cell, weights: Weights, dtype: Any, coordinates: Coordinates) -> Dynamics:
    to_state = cell.to_state if coordinates == "state" else lambda weights, carry: carry
    to_carry = cell.to_carry if coordinates == "state" else lambda weights, state: state
    like = jax.eval_shape(lambda: to_state(weights, cell.start(weights, (), dtype)))

    def flat(carry):
        return flatten(to_state(weights, carry), like)

    def advance(s, x):
        return flat(cell.step(weights, to_carry(weights, unflatten(s, like)), cell.project(weights, x)))

    def trajectory(carry, xs):
        def body(carry, z):
            end = jax.tree.map(lambda e, c: e.astype(c.dtype), cell.step(weights, carry, z), carry)
            return end, flat(end)

        _, states = jax.lax.scan(body, carry, cell.project(weights, xs))
        return jnp.concatenate([flat(carry)[None], states])

    def read(states, xs):
        return cell.readout(weights, to_carry(weights, unflatten(states, like)), xs)

    size = sum(math.prod(leaf.shape) * (1 + is_complex(leaf)) for leaf in jax.tree.leaves(like))
    return Dynamics(size, advance, trajectory, read)


def flatten(state: PyTree, like: PyTree) -> Float[Array, "*B D"]:
    """All numbers of a state ``(*B, ...)`` side by side, ``(*B, D)``; `like` has the shapes without batch axes."""

    def flat(leaf, one):
        return [part.reshape(*leaf.shape[: leaf.ndim - len(one.shape)], -1) for part in parts(leaf)]

    found = jax.tree.map(flat, state, like)
    return jnp.concatenate(jax.tree.leaves(found), axis=-1)


def unflatten(s: Float[Array, "*B D"], like: PyTree) -> PyTree:
    """Inverse of `flatten`."""
    leaves, structure = jax.tree.flatten(like)
    shapes = [leaf.shape for leaf in leaves for _ in range(2 if is_complex(leaf) else 1)]
    pieces = jnp.split(s, list(itertools.accumulate(map(math.prod, shapes)))[:-1], axis=-1)
    shaped = iter(piece.reshape(*s.shape[:-1], *shape) for piece, shape in zip(pieces, shapes))
    return jax.tree.unflatten(structure, [joined(leaf, shaped) for leaf in leaves])


def coordinate_names(cell: Cell, coordinates: Coordinates = "state") -> tuple[str, ...]:
    """The names of the D coordinates that analyses of this cell work in, for example ``h[0]``.

    A state of one array is called h (carry: "carry"); others by the names of their parts.

    Raises:
      ValueError: coordinates that are not "state" or "carry".
    """
    check_coordinates(coordinates)
    weights = jax.eval_shape(lambda key: cell.prepare(cell.init(key)), jax.random.key(0))
    kind = cell.to_state if coordinates == "state" else lambda weights, carry: carry
    like = jax.eval_shape(lambda w: kind(w, cell.start(w)), weights)
    names: list[str] = []
    for path, leaf in named(like):
        name = path or ("h" if coordinates == "state" else "carry")
        for part in (f"Re {name}", f"Im {name}") if is_complex(leaf) else (name,):
            names += [f"{part}[{', '.join(map(str, index))}]" for index in np.ndindex(leaf.shape)]
    return tuple(names)


def check_memory(name: str, d: Driven, other: str, each: int = 1) -> None:
    """Raises: MemoryError when `each` matrices ``(D, D)`` an element do not fit on this machine or device."""
    shape = (len(d.xs), *((each,) if each > 1 else ()), d.dynamics.size, d.dynamics.size)
    needed, there = math.prod(shape) * d.xs.dtype.itemsize, _memory()
    if there is not None and needed > there:
        raise MemoryError(
            f"{name} of {' x '.join(map(str, shape))} needs {needed / 2**30:,.1f} GiB, of {there / 2**30:,.1f} GiB "
            f"there are: pass fewer batch elements at a time, or take {other}."
        )


def _memory() -> int | None:
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not a POSIX system: nothing is known
        return None
