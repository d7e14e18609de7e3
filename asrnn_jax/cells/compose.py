"""Cells made of cells: stacks, both directions, residual blocks. Each is again a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.composite import composite, rebase_within
from asrnn_jax.cells.dense import affine, per_unit
from asrnn_jax.dtypes import at_least_float32


def stack(cells: Sequence[Cell]) -> Cell:
    """Cells one on top of the other: each takes the outputs of the one below; again a cell.

    `asrnn_jax.run` takes one layer after the other through the whole sequence, `asrnn_jax.step` all of them one step.

    Args:
      cells: from the bottom up; each one's inputs are the outputs of the one below.

    Params: ``{"layers_0": the first cell's, "layers_1": ...}``. The carry is a tuple with one of each.

    Raises:
      TypeError: no cells. ValueError: none at all, or sizes that do not fit.

    Example:
      A deep LRU as in its paper, on pixels, with ten classes:

      >>> import jax, jax.numpy as jnp, asrnn_jax
      >>> from asrnn_jax import cells
      >>> blocks = [cells.residual(cells.lru(32, 64, outputs=32), dropout=0.1) for _ in range(4)]
      >>> model = cells.with_output(cells.with_input(cells.stack(blocks), 1), 10)
      >>> params = model.init(jax.random.key(0))
      >>> carry, ys = asrnn_jax.run(model, params, jnp.ones((2, 64, 1)), key=jax.random.key(1))
      >>> ys.shape
      (2, 64, 10)
    """
    return _stack(tuple(cells))


@factory
def _stack(cells: tuple[Cell, ...]) -> Cell:
    if not cells:
        raise ValueError("cells=(): give at least one cell.")
    for i, cell in enumerate(cells):
        checks.cell(f"cells[{i}]", cell)
        if i and cell.inputs != cells[i - 1].outputs:
            raise ValueError(
                f"cells[{i}] takes inputs={cell.inputs}, but cells[{i - 1}] gives outputs={cells[i - 1].outputs}: make "
                "them equal."
            )
    names = [f"layers_{i}" for i in range(len(cells))]

    def apply_parts(run_part, weights, carry, xs, key):
        keys = [None] * len(cells) if key is None else jax.random.split(key, len(cells))
        end = []
        for i, (cell, w, c, k) in enumerate(zip(cells, weights, carry, keys)):
            c, xs = run_part(cell, w, c, xs, k, top=i == len(cells) - 1)
            end.append(c)
        return tuple(end), xs

    name = f"stack of {', '.join(cell.name for cell in cells)}"
    return _of_several(name, names, cells, (cells[0].inputs, cells[-1].outputs), apply_parts)


def bidirectional(forward: Cell, backward: Cell | None = None) -> Cell:
    """One cell forward and one backward in time, outputs side by side (forward first); again a cell for `run`.

    It has no single step. A reset marks where a sequence begins; the backward cell starts afresh at the step before it,
    where the sequence to the left ends.

    Args:
      forward: cell from the first step to the last.
      backward: cell from the last step to the first; None: one like `forward`, with params of its own.

    Params: ``{"forward": ..., "backward": ...}``. The carry is ``(forward's, backward's)``, each after its own last
    step.

    Raises:
      TypeError: no cells. ValueError: different inputs.
    """
    return _bidirectional(forward, forward if backward is None else backward)


@factory
def _bidirectional(forward: Cell, backward: Cell) -> Cell:
    checks.cell("forward", forward)
    checks.cell("backward", backward)
    if forward.inputs != backward.inputs:
        raise ValueError(f"forward takes inputs={forward.inputs}, backward inputs={backward.inputs}: make them equal.")
    cells = (forward, backward)

    def apply_parts(run_part, weights, carry, xs, key):
        k_forward, k_backward = (None, None) if key is None else jax.random.split(key)
        one, ys_forward = run_part(forward, weights[0], carry[0], xs, k_forward, top=True)
        other, ys_backward = run_part(backward, weights[1], carry[1], xs, k_backward, reverse=True, top=True)
        return (one, other), jnp.concatenate([ys_forward, ys_backward], axis=-1)

    name = f"bidirectional {forward.name}, {backward.name}"
    sizes = (forward.inputs, forward.outputs + backward.outputs)
    return _of_several(name, ["forward", "backward"], cells, sizes, apply_parts, both_directions=True)


def _of_several(
    name: str, names: Sequence[str], cells: tuple[Cell, ...], sizes: tuple[int, int], apply_parts, **kinds: bool
) -> Cell:
    """A composite whose params are its cells' under `names`, and whose weights are a tuple of theirs."""
    moves = {name: cell.training.rebase for name, cell in zip(names, cells) if cell.training.rebase}

    def init(key):
        return {name: cell.init(k) for name, cell, k in zip(names, cells, jax.random.split(key, len(cells)))}

    def prepare(params):
        return tuple(cell.prepare(params[name]) for name, cell in zip(names, cells))

    def rebase(params, project=False):
        return {**params, **{name: move(params[name], project) for name, move in moves.items()}}

    found = rebase if moves else None
    return composite(name, cells, sizes, init, prepare, lambda weights: weights, apply_parts, rebase=found, **kinds)


class Block(NamedTuple):
    cell: Any
    norm: dict[str, Any]  # scale (D,) and bias (D,), scale alone, or nothing
    gate: dict[str, Any]  # kernel and bias, or nothing


@factory
def residual(
    cell: Cell,
    *,
    norm: str = "layer",
    gate: str = "glu",
    dropout: float = 0.0,
    dtype=jnp.float32,
) -> Cell:
    """Residual block around a cell, as deep state space models are built of; again a cell.

        y = drop(gelu(cell(norm(x))))
        x + drop((y W + b) * sigmoid(y V + c))      gate "glu", as in LRU
        x + drop(y * sigmoid(y V + c))              gate "half_glu", as in S5
        x + drop(y)                                 gate "none"

    Args:
      cell: any cell; "half_glu" and "none" need as many outputs as inputs.
      norm: over features, before the cell: "layer", "rms" or "none".
      gate: of the output.
      dropout: share dropped, outside the recurrence, when `asrnn_jax.run` is given a `key`.
      dtype: of the block's own params.

    Params: ``{"cell": ..., "norm": {"scale": (I,), "bias": (I,)}, "gate": {"kernel": (O, 2 I) or (O, I), "bias":
    ...}}``; the bias of the norm only for "layer". The carry is ``(the cell's,)``.

    Raises:
      TypeError: no cell. ValueError: an unknown name, a share outside [0, 1), sizes that do not fit.

    Source: Orvieto et al. 2023, arXiv:2303.06349; Smith et al. 2023, arXiv:2208.04933.
    """
    checks.cell("cell", cell)
    checks.choice("norm", norm, ("layer", "rms", "none"))
    checks.choice("gate", gate, ("glu", "half_glu", "none"))
    checks.between("dropout", dropout, 0.0, 0.999)
    width = cell.inputs
    if gate != "glu" and cell.outputs != width:
        raise ValueError(
            f"gate={gate!r}: the cell gives outputs={cell.outputs}, the block adds to inputs={width}: use 'glu'."
        )

    def init(key):
        k_cell, k_gate = jax.random.split(key)
        params: dict[str, Any] = {"cell": cell.init(k_cell)}
        if norm != "none":
            bias = {"bias": jnp.zeros(width, dtype)} if norm == "layer" else {}
            params["norm"] = {"scale": jnp.ones(width, dtype), **bias}
        if gate != "none":
            columns = 2 * width if gate == "glu" else width
            kernel = jax.nn.initializers.lecun_normal()(k_gate, (cell.outputs, columns), dtype)
            params["gate"] = {"kernel": kernel, "bias": jnp.zeros(columns, dtype)}
        return params

    def prepare(params):
        return Block(cell.prepare(params["cell"]), dict(params.get("norm", {})), dict(params.get("gate", {})))

    def apply_parts(run_part, weights, carry, xs, key):
        k_cell, k_inner, k_outer = (None, None, None) if key is None else jax.random.split(key, 3)
        x = normalise(xs, **weights.norm) if weights.norm else xs
        end, y = run_part(cell, weights.cell, carry[0], x, k_cell, top=True)
        y = drop(jax.nn.gelu(y), dropout, k_inner)
        if gate != "none":
            opening = affine(y, weights.gate["kernel"], weights.gate["bias"])
            y, opening = jnp.split(opening, 2, axis=-1) if gate == "glu" else (y, opening)
            y = y * jax.nn.sigmoid(opening)
        return (end,), xs + drop(y, dropout, k_outer)

    return composite(
        f"residual {cell.name}",
        (cell,),
        (width, width),
        init,
        prepare,
        weights_of=lambda weights: (weights.cell,),
        apply_parts=apply_parts,
        rebase=rebase_within(cell.training.rebase, "cell"),
        dropout=dropout > 0,
    )


def normalise(x: jax.Array, scale: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """Layer norm over the last axis, without the mean (RMS norm) where there is no bias; in at least float32."""
    wide = x.astype(at_least_float32(x.dtype))
    if bias is not None:
        wide = wide - wide.mean(-1, keepdims=True)
    y = wide * jax.lax.rsqrt(jnp.mean(wide**2, -1, keepdims=True) + 1e-6)
    y = y.astype(x.dtype) * per_unit(scale, x)
    return y if bias is None else y + per_unit(bias, x)


def drop(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Dropout: zeros with probability `rate`, the rest scaled up; x itself without a key."""
    if key is None or rate == 0:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), 0)
