"""The network of a config: recurrent cells and a linear output layer, which together are a cell again."""

from __future__ import annotations

import inspect
from typing import Any

import asrnn_jax
from asrnn_jax.cell import Cell
from asrnn_jax.cells import CELLS
from experiments.config import Model, Option
from experiments.config.options import words
from experiments.errors import UsageError, unknown


def make_model(model: Model, inputs: int, outputs: int) -> Cell:
    """The network of a config.

    Raises:
      UsageError: an unknown cell, an option the cell does not have, a value its factory refuses.
    """
    if model.cell not in CELLS:
        raise unknown("--cell", model.cell, CELLS)
    try:
        return asrnn_jax.cells.network(**network(model, inputs, outputs))
    except (ValueError, TypeError) as e:
        raise UsageError(f"--cell {model.cell}: {e}") from e


def network(model: Model, inputs: int, outputs: int) -> dict[str, Any]:
    """The arguments of `asrnn_jax.cells.network`, JSON values.

    Raises:
      UsageError: as `cell_options`.
    """
    own = ("cell", "hidden", "embedding", "layers", "residual", "dropout", "trained_start")
    later = {name: getattr(model, name) for name in ("convolution", "attention_every")}
    return {
        "inputs": inputs,
        "outputs": outputs,
        "options": cell_options(model),
        **{name: getattr(model, name) for name in own},
        **{name: value for name, value in later.items() if value},  # earlier versions read a network without them
    }


def cell_options(model: Model) -> dict[str, Any]:
    """The options for the cell's factory, each of the type that the factory has it in.

    Raises:
      UsageError: an option the cell does not have, or a value of another type.
    """
    accepted = inspect.signature(CELLS[model.cell]).parameters
    names = [name for name in accepted if name not in ("inputs", "hidden", "dtype")]
    options = {}
    for word, (name, value) in zip(words(model.options), model.options.items()):
        if name not in names:
            has = f"has {', '.join(names)}" if names else "has none"
            raise UsageError(f"--options {word}: give NAME=VALUE with an option of cell {model.cell}, which {has}.")
        options[name] = _typed(word, value, accepted[name].default)
    return options


def _typed(word: str, value: Option, default: Any) -> Option:
    """`value` as the type of `default`; a number where the default is None."""
    if isinstance(default, str):
        return str(value)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise UsageError(f"--options {word}: give true or false.")
        return value
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(default, int) and not whole:
        raise UsageError(f"--options {word}: give a whole number.")
    if not (whole or isinstance(value, float)):
        raise UsageError(f"--options {word}: give a number.")
    return float(value) if isinstance(default, float) else value
