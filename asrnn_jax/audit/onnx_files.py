"""ONNX files with explicit states as models of the audit, run by onnxruntime (the extra "onnx")."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asrnn_jax.audit.callables import stepped
from asrnn_jax.audit.models import Model

_TYPES = {"float": np.float32, "double": np.float64, "float16": np.float16, "int64": np.int64, "int32": np.int32}
_TYPES |= {"bool": np.bool_}


def onnx(
    path: str | os.PathLike,
    *,
    x: str | None = None,
    y: str | None = None,
    states: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
    context: int = 0,
    threads: int = 1,
) -> Model:
    """An ONNX file that takes its state and returns the next one.

    What is not named is found where there is only one possibility: a state by names such as ``state`` and ``stateN``,
    ``h`` and ``h_out``, ``state_0`` and ``next_0``; x and y as what is then left. States start as zeros. A boolean
    input ``reset (B,)``, which the files of `asrnn_jax.export` have, is given the resets.

    Args:
      path: of the file.
      x, y: names of the input and of the output that is scored. x is ``(B, I)``, or ``(B, 1, I)`` a step.
      states: names of inputs, each with the output that it is next time.
      constants: values of other inputs, for example ``{"sr": 8000}``.
      context: so many last numbers of the x before stand before each x, zeros after a reset.
      threads: that onnxruntime may use.

    Raises:
      ImportError: onnxruntime is not installed.
      ValueError: no such file, names that it does not have, an input without a value.
    """
    session = _session(path, threads)
    ins = {each.name: each for each in session.get_inputs()}
    outs = {each.name: each for each in session.get_outputs()}
    constants, told = dict(constants or {}), f"{Path(path).name} has inputs {', '.join(ins)}; outputs {', '.join(outs)}"
    pairs = dict(states) if states else _pairs(ins, outs)
    for name in [*pairs, *constants, *([x] if x else [])]:
        if name not in ins:
            raise ValueError(f"no input {name!r}: {told}.")
    for name in [*pairs.values(), *([y] if y else [])]:
        if name not in outs:
            raise ValueError(f"no output {name!r}: {told}.")
    if not pairs:
        raise ValueError(f"{told}: no state found; name it by states={{'INPUT': 'OUTPUT'}}.")
    flag = "reset" if "reset" in ins and "reset" not in constants and ins["reset"].type == "tensor(bool)" else None
    rest = [name for name in ins if name not in pairs and name not in constants and name not in (x, flag)]
    x = x or _only(rest, "input x", "x", told, ins)
    y = y or _only([name for name in outs if name not in pairs.values()], "output y", "y", told, outs)
    if left := [name for name in rest if name != x]:
        raise ValueError(f"input {left[0]!r} has no value: give constants={{{left[0]!r}: ...}}.")
    fixed = {name: np.asarray(value, _type(ins[name])) for name, value in constants.items()}
    axes = {name: _axis(ins[name], ins[x]) for name in pairs}
    wide = len(ins[x].shape) == 3
    start = lambda batch: {name: _zeros(ins[name], axes[name], batch) for name in pairs} | _first(flag, batch)  # noqa: E731

    def step(state: dict[str, np.ndarray], at: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        at = at.astype(_type(ins[x]), copy=False)
        given = {**state, x: at[:, None] if wide else at, **fixed}
        results = dict(zip((y, *pairs.values()), _run(session, [y, *pairs.values()], given)))
        after = {name: results[then] for name, then in pairs.items()}
        return after | ({flag: np.zeros(len(at), bool)} if flag else {}), results[y]

    single = isinstance(ins[x].shape[0], int)  # a file that was made for one stream
    if single and ins[x].shape[0] != 1:
        raise ValueError(f"{told}: x takes {ins[x].shape[0]} streams at once; make the file for 1 or for any number.")
    each = _one_by_one(step, axes) if single else step
    known = axes | ({flag: 0} if flag else {})
    return stepped(each, start, known, Path(path).name, context)


def _session(path: str | os.PathLike, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as e:
        raise ImportError("onnxruntime is needed for ONNX files: pip install 'asrnn_jax[onnx]'.") from e
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime has classes of its own for each way
        raise ValueError(f"{path} is no ONNX file that onnxruntime can run ({_line(e)}).") from e


def _run(session: Any, names: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
    try:
        return session.run(names, given)
    except Exception as e:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in given.items())
        raise ValueError(f"onnxruntime refused {shapes}: {_line(e)}.") from e


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")


def _pairs(ins: Mapping[str, Any], outs: Mapping[str, Any]) -> dict[str, str]:
    """States by their names: what is left of both without what says "in", "out", "next"."""

    def stem(name: str) -> str:
        words = re.sub(r"(?<=[a-z0-9])N$", "", name).lower()
        words = re.sub(r"^(next|new|prev|previous|last|initial|state)_|_(in|out|next|new|n|prev|initial|0)$", "", words)
        return words or name.lower()

    left = {stem(name): name for name in outs}
    found = {name: left[stem(name)] for name in ins if stem(name) in left}
    return {name: other for name, other in found.items() if ins[name].type == outs[other].type}


def _only(names: list[str], what: str, argument: str, told: str, nodes: Mapping[str, Any]) -> str:
    names = [name for name in names if len(nodes[name].shape) > 1]  # with an axis for streams and one for numbers
    floats = [name for name in names if "float" in nodes[name].type or "double" in nodes[name].type]
    if len(floats) != 1:
        raise ValueError(f"{what} could be {' or '.join(floats) or 'none'}: name it by {argument}=; {told}.")
    return floats[0]


def _type(node: Any) -> Any:
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    if kind not in _TYPES:
        raise ValueError(f"input {node.name!r} is of type {kind}: only {', '.join(_TYPES)} are known.")
    return _TYPES[kind]


def _axis(state: Any, x: Any) -> int:
    """Which axis of a state is that of the streams: the one named as x's first, else the only one of any size."""
    free = [i for i, size in enumerate(state.shape) if not isinstance(size, int)]
    named = [i for i in free if state.shape[i] is not None and state.shape[i] == x.shape[0]]
    chosen = named or free
    if not chosen and isinstance(x.shape[0], int):  # all sizes are fixed: one stream
        chosen = [i for i, size in enumerate(state.shape) if size == 1][:1]
    if len(chosen) != 1:
        raise ValueError(
            f"state {state.name!r} has shape {state.shape}: which axis is that of the streams is not clear."
        )
    return chosen[0]


def _zeros(state: Any, axis: int, batch: int) -> np.ndarray:
    sizes = [batch if i == axis else size for i, size in enumerate(state.shape)]
    if unknown := [size for size in sizes if not isinstance(size, int)]:
        raise ValueError(f"state {state.name!r} has shape {state.shape}: the size {unknown[0]} is not known.")
    return np.zeros(sizes, _type(state))


def _first(flag: str | None, batch: int) -> dict[str, np.ndarray]:
    return {flag: np.ones(batch, bool)} if flag else {}


def _one_by_one(step: Any, axes: Mapping[str, int]) -> Any:
    def call(state: dict[str, np.ndarray], x: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        axis = {name: axes.get(name, 0) for name in state}
        done = [
            step({name: np.take(leaf, [b], axis[name]) for name, leaf in state.items()}, x[b : b + 1])
            for b in range(len(x))
        ]
        merged = {name: np.concatenate([after[name] for after, _ in done], axis[name]) for name in state}
        return merged, np.concatenate([y for _, y in done])

    return call
