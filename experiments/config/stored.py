"""Configs as JSON values, of this version and of earlier ones, and where two differ."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from experiments.config.commands import COMMANDS, Config, command
from experiments.config.options import current
from experiments.config.parts import Model, Optimizer, Stability, Training
from experiments.errors import UsageError

# Fields that say where and how a run is carried out, not what it computes.
RUNTIME_FIELDS = (
    *("out", "resume", "data_dir", "download", "checkpoint_every", "preset"),
    *("devices", "coordinator", "processes", "process", "probe", "probe_every"),
)


def to_json(config: Config) -> dict[str, Any]:
    """The config as JSON values: ``{"command": ..., field: ...}``."""
    return {"command": command(config), **json.loads(json.dumps(dataclasses.asdict(config)))}


def from_json(values: dict[str, Any]) -> Config:
    """Inverse of `to_json`; it also reads what earlier versions wrote.

    Raises:
      UsageError: not such values, or a field this version does not know.
    """
    parts = {"model": Model, "optim": Optimizer, "stability": Stability, "training": Training}
    try:
        kind = COMMANDS[values["command"]]
        fields = {name: value for name, value in values.items() if name != "command"}
        if "model" in fields:
            fields["model"] = current(fields["model"])
        made = {name: parts[name](**_tuples(value)) if name in parts else value for name, value in fields.items()}
        return kind(**_tuples(made))
    except (TypeError, KeyError, AttributeError) as e:
        raise UsageError(f"config.json was made by another version or program ({e}).") from e


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the dataclasses have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def numerics(config: Config) -> dict[str, Any]:
    """The config flattened to what decides the numbers of a run: ``{field: value}``."""
    flat: dict[str, Any] = {}
    for name, value in to_json(config).items():
        flat |= value if isinstance(value, dict) else {name: value}
    return {name: value for name, value in flat.items() if name not in RUNTIME_FIELDS}


def differences(stored: dict[str, Any], config: Config) -> list[str]:
    """Where a stored config (JSON values) would give other numbers than `config`: ``["hidden 64 -> 128"]``.

    Fields that are not stored, because they came later, have their defaults. Each option of the cell is one field.

    Raises:
      UsageError: as `from_json`.
    """
    before, now = (_flat(numerics(each)) for each in (from_json(stored), config))
    differ = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return [f"{name} {before.get(name)!r} -> {now.get(name)!r}" for name in differ]


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    options = {f"option {name}": value for name, value in fields["options"].items()}
    return {name: value for name, value in fields.items() if name != "options"} | options
