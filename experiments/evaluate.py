"""Trained networks: from a run into the package, and back to their test result."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import tyro

import asrnn_jax
from asrnn_jax import pretrained
from asrnn_jax.optim import count
from experiments.config import Config, Pixels, command, from_json
from experiments.errors import UsageError
from experiments.folder import read_json
from experiments.report import table
from experiments.steps import make_evaluate
from experiments.summary import placeless
from experiments.tasks import make_task


@dataclass(frozen=True)
class Evaluate:
    """Test a trained network on its task, beside the result on its card."""

    pretrained: str
    """Name of a network that comes with the package, or the path of one, for example of a run's best.npz."""
    data_dir: str | None = None
    """Folder with the data of its task."""


@dataclass(frozen=True)
class Save:
    """Make the best network of a finished run one that comes with the package."""

    run: tyro.conf.Positional[str]
    """Run folder."""
    name: str
    """What it will be called."""
    data_dir: str | None = None
    """Folder with the data of its task. None: where the run had them."""
    to: str | None = None
    """Folder for the file. None: that of the package."""
    about: str = ""
    """A line for its card."""


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
    names = [Path(n).resolve().parent.name if Path(n).name == "best.npz" else Path(n).stem for n in networks]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"NETWORK {name}: two are called that; copy one to a file of another name.")
    return names


def config_of(card: dict[str, Any], data_dir: str | None) -> Config:
    """The config that a network is tested with: that of its card, without its teacher, with a folder of data."""
    config = from_json(card["config"])
    config = replace(config, training=replace(config.training, out=None, resume=False, devices=None))
    config = replace(config, teacher=None) if isinstance(config, Pixels) else config
    return replace(config, data_dir=data_dir) if hasattr(config, "data_dir") else config


def evaluate(settings: Evaluate) -> str:
    """Tests a network and returns a table of its results beside those of its card.

    Raises:
      UsageError: an unknown name, a damaged file, data that are missing.
    """
    model, params, card = loaded(settings.pretrained)
    found = tested(config_of(card, settings.data_dir), model, params)
    rows = [("result", "now", "card", "equal")]
    for name, value in found.items():
        before = card["result"].get(name)
        rows.append((name, f"{value:.6g}", "-" if before is None else f"{before:.6g}", str(value == before)))
    return table(rows)


def tested(config: Config, model: Any, params: Any) -> dict[str, float]:
    """Results on the test set, and on held-out data where the config has some."""
    return make_evaluate(make_task(config), model)(params)


def save(settings: Save) -> str:
    """Tests the best network of a run, writes it with its card and says where.

    Raises:
      UsageError: no finished run, data that are missing, a file that cannot be written.
    """
    folder = Path(settings.run)
    result = read_json(folder / "result.json")
    model, params, card = loaded(str(folder / "best.npz"))
    stored = from_json(card["config"])
    config = config_of(card, settings.data_dir or getattr(stored, "data_dir", None))
    timing = folder / "timing.json"
    card |= {
        "name": settings.name,
        "about": settings.about,
        "task": result["task"],
        "command": command(config),
        "parameters": count(params),
        "seed": config.training.seed,
        "result": tested(config, model, params),
        "best_by": "held-out data" if result.get("selected") else "test data",
        "seconds": read_json(timing)["seconds"] if timing.exists() else None,
        "date": datetime.date.today().isoformat(),
        "versions": {"asrnn_jax": asrnn_jax.__version__, "jax": jax.__version__},
    }
    card["config"] = placeless(card["config"])
    to = Path(settings.to or str(resources.files(pretrained))) / f"{settings.name}{pretrained.SUFFIX}"
    arguments = card.pop("network")
    try:
        pretrained.save(to, arguments, params, card)
    except OSError as e:
        raise UsageError(f"--to {to} cannot be written ({e}): give another folder.") from e
    rows = [("result", "value"), *((name, f"{value:.6g}") for name, value in card["result"].items())]
    return table(rows) + f"\n\n{to} ({to.stat().st_size:,} bytes)"
