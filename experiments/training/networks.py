"""Trained networks that a run goes on from: ``--from NETWORK``."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import Any

from experiments.config import Model, Stream
from experiments.errors import UsageError


def from_network(config: Stream, name: str) -> Stream:
    """The config with the cell, the size and so on of a trained network.

    Raises:
      UsageError: no such network, or a damaged file.
    """
    return replace(config, network=name, model=_model(_read("card", name)["network"]))


def params_of(config: Stream, cell: Any) -> Any:
    """The params of the network that a run goes on from, which has to be the network of the run.

    Raises:
      UsageError: no such network, a damaged file, another network.
    """
    found, params, card = _read("load", config.network or "")
    if found == cell:
        return params
    its, here = _model(card["network"]), config.model
    flags = [f"--{field.name}" for field in fields(Model) if getattr(its, field.name) != getattr(here, field.name)]
    sizes = (found.inputs, found.outputs)
    if sizes != (cell.inputs, cell.outputs):
        what = f"has {sizes[0]} inputs and {sizes[1]} outputs, {config.dataset} by {config.by} {cell.inputs} and"
        raise UsageError(f"--from {config.network} {what} {cell.outputs}: give the --dataset that it was trained on.")
    raise UsageError(f"--from {config.network} is {_said(its)}, the run {_said(here)}: leave out {' '.join(flags)}.")


def _read(what: str, name: str) -> Any:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `machine.prepare`, which comes after the command line
    from asrnn_jax import pretrained

    try:
        return getattr(pretrained, what)(name)
    except (ValueError, OSError) as e:
        raise UsageError(f"--from {name}: {e}") from e


def _model(arguments: dict[str, Any]) -> Model:
    """From the arguments of `asrnn_jax.cells.network` to the flags."""
    names = {field.name for field in fields(Model)}
    return Model(**{name: value for name, value in arguments.items() if name in names})


def _said(model: Model) -> str:
    default = Model()
    told = {field.name: getattr(model, field.name) for field in fields(Model)}
    more = [f"{name} {value}" for name, value in told.items() if name != "cell" and value != getattr(default, name)]
    return ", ".join([model.cell, *more])
