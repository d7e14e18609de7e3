"""Carries out the runs behind the results (`experiments.catalogue`): those that are not finished, alone or together."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.catalogue import runs
from experiments.config import Config, Pixels, Text
from experiments.errors import DivergedError, UsageError
from experiments.folder import begun
from experiments.report.tables import table

if TYPE_CHECKING:
    from experiments.training.steps import MakeStep


@dataclass(frozen=True)
class Papers:
    """Carry out the runs behind the results, one after another. Finished runs are kept, and others are continued."""

    data_dir: str | None = None
    """Folder with the subfolders mnist (IDX files) and text."""
    out: str = "runs/papers"
    """Folder for the run folders."""
    only: tuple[str, ...] = ("*",)
    """Names or patterns of runs, for example copy-* smnist-asrnn."""
    list: bool = False
    """Carry out nothing; list the runs and how far each of them is."""
    worker: int = 0
    """With --workers: the number of this process, from 0."""
    workers: int = 1
    """Number of processes that share the runs. Start each of them, on cores of its own."""
    together: bool = False
    """Carry out all chosen runs at the same time; those that differ in seeds, starts or rates alone take their steps in
    one program. For an accelerator, which one small network leaves nearly idle."""

    def __post_init__(self):
        if not 0 <= self.worker < self.workers:
            raise UsageError(f"--worker {self.worker}: give a number from 0, below --workers {self.workers}.")


def placed(config: Config, name: str, settings: Papers) -> Config:
    """The config with its run folder and data folder."""
    config = replace(config, training=replace(config.training, out=str(Path(settings.out) / name)))
    if isinstance(config, Text):
        return replace(config, data_dir=settings.data_dir)
    if isinstance(config, Pixels) and config.dataset != "digits":
        teacher = config.teacher and str(Path(settings.out) / config.teacher)
        return replace(config, data_dir=settings.data_dir, teacher=teacher)
    return config


def papers(settings: Papers) -> str:
    """Carries out the runs that are not finished and returns a table with the state of each.

    Raises:
      UsageError: no run of these names, data that are missing, a folder of another configuration.
    """
    chosen = {n: c for n, c in runs().items() if any(fnmatch(n, pattern) for pattern in settings.only)}
    if not chosen:
        raise UsageError(f"--only {' '.join(settings.only)}: no run has such a name; --list shows them.")
    mine = [placed(chosen[name], name, settings) for name in list(chosen)[settings.worker :: settings.workers]]
    if settings.together and not settings.list:
        from experiments.training.together import together

        together([partial(_carry_out, config) for config in mine])
    elif not settings.list:
        for config in mine:
            _carry_out(config)
    return table([("run", "state"), *((name, _state(Path(settings.out) / name)) for name in chosen)])


def _carry_out(config: Config, make_step: MakeStep | None = None) -> None:
    from experiments.training import steps  # jax is imported only for work that needs it
    from experiments.training.train import train

    folder = Path(config.training.out or "")
    resume = begun(folder, config)
    if (folder / "result.json").exists() or (folder / "diverged.txt").exists():
        return
    teacher = getattr(config, "teacher", None)
    if teacher and not (Path(teacher).parent / "result.json").exists():
        print(f"{folder}: left for later, its teacher {Path(teacher).parent} is not finished", file=sys.stderr)
        return
    try:
        train(replace(config, training=replace(config.training, resume=resume)), make_step or steps.make_step)
    except DivergedError as e:  # a result too: it is told in the report
        (folder / "diverged.txt").write_text(f"{e}\n")
        print(f"{folder}: {e}", file=sys.stderr)


def _state(folder: Path) -> str:
    if (folder / "result.json").exists():
        return "finished"
    if (folder / "diverged.txt").exists():
        return "diverged"
    return "begun" if (folder / "config.json").exists() else "-"
