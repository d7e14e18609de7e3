"""Trained networks: add the best of a run to the package, and test one again."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import tyro

import asrnn_jax
from asrnn_jax import pretrained
from asrnn_jax.optim import count
from experiments.config import Config, Pixels, from_json
from experiments.errors import UsageError
from experiments.folder import placeless, read_json
from experiments.presets import command_line
from experiments.report.tables import table
from experiments.tasks import make_task
from experiments.tasks.task import Task
from experiments.training.steps import make_evaluate


@dataclass(frozen=True)
class Evaluate:
    """Test a trained network on its task and compare with the result on its card."""

    pretrained: str
    """Name of a network that comes with the package, or path of a file, for example of a run's best.safetensors."""
    data_dir: str | None = None
    """Folder with the data of its task."""


@dataclass(frozen=True)
class Save:
    """Add the best network of a finished run to those that come with the package."""

    run: tyro.conf.Positional[str]
    """Run folder."""
    name: str
    """The network's name: letters, digits, - and _."""
    data_dir: str | None = None
    """Folder with the data of its task. None: the folder that the run had."""
    to: str | None = None
    """Folder for the file. None: the package's own."""
    about: str = ""
    """A line of text for its card."""
    replace: bool = False
    """Replace a network of the same name."""

    def __post_init__(self):
        if not re.fullmatch(r"[\w-]+", self.name):
            raise UsageError(f"--name {self.name!r}: give letters, digits, - and _.")


def loaded(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """`asrnn_jax.pretrained.load`.

    Raises:
      UsageError: what it raises.
    """
    try:
        return pretrained.load(name)
    except (ValueError, OSError) as e:
        raise UsageError(f"--pretrained {name}: {e}") from e


def file_names(networks: tuple[str, ...]) -> list[str]:
    """A name for each network's results: that of a file, or of the run folder it is in.

    Raises:
      UsageError: two of one name.
    """
    names = [Path(n).resolve().parent.name if Path(n).name == "best.safetensors" else Path(n).stem for n in networks]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"NETWORK {name}: two are called that; copy one to a file of another name.")
    return names


def config_of(card: dict[str, Any], data_dir: str | None) -> Config:
    """The config to test a network with: that of its card, without the teacher, and with a folder of data.

    Raises:
      UsageError: a card without one.
    """
    if not isinstance(card.get("config"), dict):
        raise UsageError("--pretrained: the card of this network does not say how it was trained, so it has no test.")
    if card["config"].get("command") == "voice":
        raise UsageError(f"--pretrained: a voice detector is measured by {card['command']}; give another network.")
    config = from_json(card["config"])
    config = replace(config, training=replace(config.training, out=None, resume=False, devices=None))
    config = replace(config, teacher=None) if isinstance(config, Pixels) else config
    return replace(config, data_dir=data_dir) if hasattr(config, "data_dir") else config


def evaluate(settings: Evaluate) -> str:
    """Tests a network and returns a table of its results beside those of its card.

    Accuracies are counts and come out the same on every machine; losses are sums of floats, whose order and so whose
    last digits depend on the processor and on how many cores share the work.

    Raises:
      UsageError: an unknown name, a damaged file, a network that is not of its card's task, data that are missing.
    """
    model, params, card = loaded(settings.pretrained)
    found = tested(make_task(config_of(card, settings.data_dir)), model, params)
    before = card.get("result") or {}
    rows = [("result", "now", "card", "equal")]
    for name, value in found.items():
        was = before.get(name)
        rows.append((name, f"{value:.6g}", "-" if was is None else f"{was:.6g}", _equal(value, was)))
    return table(rows)


def _equal(value: float, was: float | None) -> str:
    if was is None or value == was:
        return "-" if was is None else "yes"
    return "to rounding" if math.isclose(value, was, rel_tol=1e-5) else "no"


def tested(task: Task, model: Any, params: Any) -> dict[str, float]:
    """Results on the test set, and on held-out data where the task has some."""
    if (model.inputs, model.outputs) != (task.inputs, task.outputs):
        raise UsageError(
            f"--pretrained: the network has {model.inputs} inputs and {model.outputs} outputs, but its card's task "
            f"({task.title}) has {task.inputs} and {task.outputs} with these data."
        )
    return make_evaluate(task, model)(params)


def save(settings: Save) -> str:
    """Tests the best network of a run, writes it with its card and says where.

    Raises:
      UsageError: no finished run, data that are missing, a file that cannot be written or that is there already.
    """
    folder = Path(settings.run)
    to = Path(settings.to or str(resources.files(pretrained))) / f"{settings.name}{pretrained.SUFFIX}"
    if to.exists() and not settings.replace:
        raise UsageError(f"--name {settings.name}: there is {to}; give another name, or add --replace.")
    result = read_json(folder / "result.json")
    model, params, card = loaded(str(folder / "best.safetensors"))
    stored = from_json(card["config"])
    config = config_of(card, settings.data_dir or getattr(stored, "data_dir", None))
    task = make_task(config)
    timing = folder / "timing.json"
    card |= {
        "name": settings.name,
        "about": settings.about,
        "task": result["task"],
        "command": command_line(stored),
        "parameters": count(params),
        "seed": config.training.seed,
        "result": tested(task, model, params),
        "features": task.features,
        "labels": task.labels,
        "best_by": "held-out data" if result.get("selected") else "test data",
        "seconds": read_json(timing)["seconds"] if timing.exists() else None,
        "date": datetime.date.today().isoformat(),
        "versions": {"asrnn_jax": asrnn_jax.__version__, "jax": jax.__version__},
    }
    card["config"] = placeless(card["config"])
    arguments = card.pop("network")
    try:
        pretrained.save(to, arguments, params, card)
    except OSError as e:
        raise UsageError(f"--to {to} cannot be written ({e}): give another folder.") from e
    rows = [("result", "value"), *((name, f"{value:.6g}") for name, value in card["result"].items())]
    return table(rows) + f"\n\n{to} ({to.stat().st_size:,} bytes)"
