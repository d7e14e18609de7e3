"""Any Python function ``(state, x) -> (state, y)`` as a model of the audit: NumPy, JAX, torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np

from asrnn_jax.audit.models import Model, rows

Step = Callable[[Any, Any], tuple[Any, Any]]


def function(step: Step, start: Any, *, name: str = "", context: int = 0) -> Model:
    """A function as the audit runs it.

    The state is any tree of arrays of NumPy, JAX or torch; x comes as a NumPy array, or as a torch tensor where the
    state has one.

    Args:
      step: ``(state, x) -> (state, y)``.
      start: what to start from. A function ``start(B)`` says that the model takes B streams at once, x ``(B, I)``. A
        tree of arrays is the state of one stream, x ``(I,)``; if the function also takes streams along a new first
        axis, and gives the same numbers, it gets all of them at once.
      name: for the report.
      context: so many last numbers of the x before stand before each x, zeros after a reset.

    Raises:
      ValueError: a state without arrays, one without an axis for the streams.
    """
    name = name or getattr(step, "__name__", type(step).__name__)
    several = start if callable(start) else None
    one = several(1) if several else start
    if not jax.tree.leaves(one):
        raise ValueError(f"start={one!r} holds no array: a model without a state has nothing to reset.")
    axes = _axes(one, several(2)) if several else jax.tree.map(lambda leaf: 0, one)
    if several is None:
        several = lambda batch: jax.tree.map(lambda leaf: _like(np.stack([_numpy(leaf)] * batch), leaf), start)  # noqa: E731
        return stepped(_either(step, start, name), several, axes, name, context)
    return stepped(step, several, axes, name, context)


def stepped(step: Step, start: Callable[[int], Any], axes: Any, name: str, context: int = 0) -> Model:
    """A model that is called step by step; `axes` says which axis of each leaf of its state is that of the streams."""
    kinds = jax.tree.leaves(start(1))

    def begin(batch: int) -> Any:
        return start(batch), np.zeros((batch, context), np.float32)

    def advance(state: Any, xs: np.ndarray, resets: np.ndarray) -> tuple[Any, np.ndarray]:
        (own, tail), ys = state, []
        for t in range(xs.shape[1]):
            if resets[:, t].any():
                own = _mixed(resets[:, t], start(len(xs)), own, axes)
                tail = np.where(resets[:, t, None], np.zeros_like(tail), tail)
            x = np.concatenate([tail, xs[:, t]], axis=-1) if context else xs[:, t]
            with _no_gradient():
                after, y = _called(step, own, _as_input(x, kinds), name)
            own, tail = _same(own, after, name), x[:, x.shape[1] - context :]
            ys.append(_numpy(y).reshape(len(xs), -1))
        return (own, tail), np.stack(ys, axis=1)

    def vector(state: Any) -> np.ndarray:
        return rows(jax.tree.map(lambda leaf, axis: np.moveaxis(_numpy(leaf), axis, 0), state[0], axes))

    def take(state: Any, index: np.ndarray) -> Any:
        chosen = jax.tree.map(lambda leaf, axis: _like(np.take(_numpy(leaf), index, axis), leaf), state[0], axes)
        return chosen, state[1][index]

    return Model(name, begin, advance, vector, take)


def _either(step: Step, start: Any, name: str) -> Step:
    """`step` for all streams at once where it can take them, else one by one; found out at its first call."""
    known: list[bool] = []

    def one_by_one(state: Any, x: Any) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten(state)
        states = [jax.tree.unflatten(tree, [leaf[b] for leaf in leaves]) for b in range(len(x))]
        done = [_called(step, each, x[b], name) for b, each in enumerate(states)]
        ys = np.stack([_numpy(y) for _, y in done])
        for after, _ in done:
            _same(start, after, name)
        columns = zip(*(jax.tree.leaves(after) for after, _ in done))
        merged = [_like(np.stack([_numpy(leaf) for leaf in each]), leaves[i]) for i, each in enumerate(columns)]
        return jax.tree.unflatten(tree, merged), ys

    def call(state: Any, x: Any) -> tuple[Any, Any]:
        if not known:
            known.append(_takes_batches(step, one_by_one, state, x))
        return step(state, x) if known[0] else one_by_one(state, x)

    return call


def _takes_batches(step: Step, one_by_one: Step, state: Any, x: Any) -> bool:
    """Whether a call with several streams gives what one call for each gives, in two steps on random numbers."""
    if len(x) == 1:  # with one stream nearly everything agrees
        state, x = jax.tree.map(_twice, state), _twice(x)
    rng, (alone, together) = np.random.default_rng(0), (state, state)
    for _ in range(2):
        drawn = _like(rng.normal(size=tuple(x.shape)).astype(np.float32), x)
        alone, one = one_by_one(alone, drawn)
        try:
            together, every = step(together, drawn)
            leaves = ([_numpy(leaf) for leaf in jax.tree.leaves(tree)] for tree in ((alone, one), (together, every)))
            pairs = zip(*leaves, strict=True)
            same = [a.shape == b.shape and np.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in pairs]
        except Exception:  # whatever a function says to shapes that it was not made for
            return False
        if not same or not all(same):
            return False
    return True


def _called(step: Step, state: Any, x: Any, name: str) -> tuple[Any, Any]:
    found = step(state, x)
    if not isinstance(found, tuple) or len(found) != 2:
        raise ValueError(f"model {name!r} returned {type(found).__name__}: return two things, (state, y).")
    return found


def _same(before: Any, after: Any, name: str) -> Any:
    """`after`, if it is a state as `before` was."""
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise ValueError(
            f"model {name!r} returned a state of another structure: {_shape(before)} became {_shape(after)}."
        )
    for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after)):
        if np.shape(old) != np.shape(new):
            where = jax.tree_util.keystr(path) or "it"
            raise ValueError(
                f"model {name!r} returned a state of another shape: {where} had {tuple(np.shape(old))}, has "
                f"{tuple(np.shape(new))}; return (state, y) with the state as it came."
            )
    return after


def _shape(state: Any) -> str:
    return str(jax.tree.structure(state)).removeprefix("PyTreeDef")


def _axes(one: Any, two: Any) -> Any:
    """Which axis of each leaf grows with the number of streams."""

    def axis(a: Any, b: Any) -> int:
        grown = [i for i, (m, n) in enumerate(zip(np.shape(a), np.shape(b))) if (m, n) == (1, 2)]
        if np.ndim(a) != np.ndim(b) or len(grown) != 1:
            raise ValueError(f"start(1) and start(2) give {np.shape(a)} and {np.shape(b)}: one axis has to be B.")
        return grown[0]

    return jax.tree.map(axis, one, two)


def _mixed(mask: np.ndarray, fresh: Any, state: Any, axes: Any) -> Any:
    def mixed(new: Any, old: Any, axis: int) -> Any:
        shape = [1] * np.ndim(old)
        shape[axis] = len(mask)
        return _like(np.where(mask.reshape(shape), _numpy(new), _numpy(old)), old)

    return jax.tree.map(mixed, fresh, state, axes)


def _twice(leaf: Any) -> Any:
    return _like(np.repeat(_numpy(leaf), 2, axis=0), leaf)


def _is_torch(leaf: Any) -> bool:
    return type(leaf).__module__.partition(".")[0] == "torch"


def _numpy(leaf: Any) -> np.ndarray:
    return np.asarray(leaf.detach().cpu().numpy() if _is_torch(leaf) else leaf)


def _like(values: np.ndarray, leaf: Any) -> Any:
    """NumPy's values as an array of the library of `leaf`."""
    if _is_torch(leaf):
        return sys.modules["torch"].as_tensor(np.ascontiguousarray(values), dtype=leaf.dtype, device=leaf.device)
    return jax.numpy.asarray(values) if isinstance(leaf, jax.Array) else values


def _as_input(x: np.ndarray, kinds: list[Any]) -> Any:
    """x as a tensor of torch where the state has one, of its floating-point type and on its device."""
    tensors = [leaf for leaf in kinds if _is_torch(leaf)]
    floats = [leaf for leaf in tensors if leaf.dtype.is_floating_point]
    return _like(x, floats[0]) if floats else sys.modules["torch"].as_tensor(x) if tensors else x


def _no_gradient() -> AbstractContextManager:
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch.no_grad()
