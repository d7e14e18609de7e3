"""The network of every experiment: recurrent cells with a linear output layer, which is again a cell."""

from __future__ import annotations

import inspect
from typing import Any

import asrnn_jax
from asrnn_jax.cell import Cell
from asrnn_jax.cells import CELLS
from experiments.config import Model
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
    return {
        "inputs": inputs,
        "outputs": outputs,
        "options": cell_options(model),
        **{name: getattr(model, name) for name in own},
    }


def cell_options(model: Model) -> dict[str, Any]:
    """The options for the cell's factory, from flags and NAME=VALUE pairs.

    Raises:
      UsageError: an option the cell does not have, or a value of another type.
    """
    accepted = inspect.signature(CELLS[model.cell]).parameters
    names = [name for name in accepted if name not in ("inputs", "hidden", "dtype")]
    options = model.cell_flags()
    for name in options:
        if name not in names:
            raise UsageError(f"--{name.replace('_', '-')} is no option of cell {model.cell}: leave it out.")
    for pair in model.options:
        name, _, text = pair.partition("=")
        if name not in names:
            has = f"has {', '.join(names)}" if names else "has none"
            raise UsageError(f"--options {pair}: give NAME=VALUE with an option of cell {model.cell}, which {has}.")
        options[name] = _value(pair, text, accepted[name].default)
    return options


def _value(pair: str, text: str, default: Any) -> Any:
    """`text` as the type of `default`; a number where the default is None."""
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise UsageError(f"--options {pair}: give true or false.")
        return text == "true"
    kind = float if default is None else type(default)
    try:
        return int(text) if default is None and text.isdigit() else kind(text)
    except ValueError:
        raise UsageError(f"--options {pair}: give {'a whole number' if kind is int else 'a number'}.") from None
