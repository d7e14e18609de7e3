"""What repairs a network that was trained on separate samples? A few hundred more steps from other states."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from experiments.choices import check_choices
from experiments.config import Regime, Stream
from experiments.config.checks import above_zero, counts
from experiments.config.commands import Samples, Start
from experiments.errors import DivergedError, UsageError
from experiments.folder import begun
from experiments.report.coverage_page import written
from experiments.report.coverage_rows import BEFORE, NAMED, REGIMES, STARTS
from experiments.tools.coverage_measures import measured, of_the_package
from experiments.tools.lines import Lines
from experiments.tools.never_reset import GRID_CELLS, NeverReset, recipe
from experiments.training.train import train, trained

BASE = {"digits": (1000, 0.985), "mnist": (6000, 0.985), "fashion_mnist": (6000, 0.985), "speech": (4000, 0.99)}
"""Steps of the first training and the target of entropy in gaps, as in the pages of never-reset."""
NEED_NONE = {
    "fashion_mnist": ("fashion-asrnn", "fashion-gru", "fashion-lstm"),
    "speech": ("keyword-asrnn", "keyword-gru", "keyword-lstm"),
}
"""Networks of the package that were trained on streams: an audit must not accuse them."""


@dataclass(frozen=True)
class Coverage:
    """Train networks on separate samples, which fail without resets; go on for some steps with every kind of start.

    Each network is measured with and without resets, and audited, before and after. A line of the file coverage.jsonl
    is one network; what has a line is not done again, so that the command continues where it was stopped, also with
    nothing but this file in the folder. The page is made of all its lines, also those of other data sets and seeds.

    Started several times at once, on cores of their own (taskset), these processes share the work.
    """

    out: str = "runs/coverage"
    """Folder for run folders, coverage.jsonl, the page README.md and figure.png."""
    dataset: Samples = "digits"
    """What the streams are made of; see the command stream."""
    data_dir: str | None = None
    """Folder with the IDX or WAV files."""
    cells: tuple[str, ...] = GRID_CELLS
    """Names of cells."""
    regimes: tuple[Regime, ...] = ("ignored", "full")
    """Ways to go on; see the command stream. separate: on separate samples again, the states are all that is new."""
    starts: tuple[Start, ...] = ("zero", "passed", "shuffled", "noise", "mixture")
    """What windows start from; see the command stream."""
    hidden: int = 128
    """Number of hidden units."""
    seeds: int = 3
    """Number of networks of each cell, with seeds 0, 1, ..."""
    steps: int = 500
    """Optimiser steps after the first training."""
    base_steps: int | None = None
    """Optimiser steps of the first training. None: as many as in the page of never-reset."""
    samples: int = 1000
    """Number of unseen samples in the stream that each network is measured on."""
    audited: int = 3000
    """Number of unseen samples in the streams of an audit."""
    lr: float = 2e-3
    """Learning rate of the further steps; orthogonal matrices have a fifth of it."""

    def __post_init__(self):
        check_choices(self)
        _never_reset(self)  # checks cells and numbers
        counts(self, "base_steps", "audited")
        above_zero(self, "lr")
        if "auto" in self.starts or not self.starts:
            raise UsageError(f"--starts {' '.join(self.starts)}: name the kinds of start, for example passed.")


class Job(NamedTuple):
    """One network."""

    name: str
    cell: str
    regime: str
    starts: str
    seed: int
    run: Stream
    first: Stream
    """The training on separate samples."""

    @property
    def first_name(self) -> str:
        """The name of the network that it goes on from."""
        return Path(self.first.training.out or "").name

    @property
    def lacks_first(self) -> bool:
        """Whether there is no file of it."""
        return self.run.network is not None and not Path(self.run.network).exists()


def _never_reset(config: Coverage) -> NeverReset:
    steps, target = BASE[config.dataset]
    return NeverReset(
        out=config.out,
        dataset=config.dataset,
        data_dir=config.data_dir,
        cells=config.cells,
        regimes=config.regimes,
        hidden=config.hidden,
        seeds=config.seeds,
        steps=config.base_steps or steps,
        target=target,
        samples=config.samples,
    )


def jobs(config: Coverage) -> list[Job]:
    """All networks, each after the one that it goes on from."""
    base, found = _never_reset(config), []
    for seed in range(config.seeds):
        for cell in config.cells:
            first = recipe(base, cell, "separate", seed)
            folder = Path(first.training.out or "")
            found.append(Job(folder.name, cell, "separate", BEFORE, seed, first, first))
            for regime in config.regimes:
                for kind in config.starts:
                    if regime == "separate" and kind == "shuffled":
                        continue  # a separate sample goes on from another one already when states are passed
                    run = _after(config, recipe(base, cell, regime, seed, kind), kind, folder / "best.safetensors")
                    found.append(Job(Path(run.training.out or "").name, cell, regime, kind, seed, run, first))
    return found


def _after(config: Coverage, run: Stream, kind: Start, network: Path) -> Stream:
    """The run that goes on. Its rate begins low because Adam knows no gradient yet."""
    steps = config.steps
    optim = replace(run.optim, lr=config.lr, lr_orthogonal=config.lr / 5, warmup=steps // 20)
    training = replace(run.training, eval_every=steps, checkpoint_every=steps)
    samples = min(config.samples, 50)  # they are measured on more, below
    return replace(run, starts=kind, network=str(network), steps=steps, optim=optim, training=training, samples=samples)


def coverage(config: Coverage) -> str:
    """Carries out what is not finished and returns the page, which is also written.

    Raises:
      UsageError: data that are missing, a folder with runs or lines of other settings.
    """
    lines = Lines(Path(config.out, "coverage.jsonl"), _place)
    settings = {name: getattr(config, name) for name in ("hidden", "steps", "samples", "audited", "lr")}
    settings["base_steps"] = _never_reset(config).steps
    every = 0.5 if sys.stderr.isatty() else 30
    planned = jobs(config)
    for row in map(lines.read().get, (job.name for job in planned)):
        if row is not None:
            _same(row, settings, lines.file)
    with tqdm(total=len(planned), desc="coverage", unit="network", mininterval=every) as bar:
        _work(config, planned, lines, settings, bar)
    for name in NEED_NONE.get(config.dataset, ()):
        with lines.free(name) as mine:
            if mine and name not in lines.read():
                found = of_the_package(name, config.data_dir, config.samples, config.audited)
                lines.add({"dataset": config.dataset, "starts": NAMED, **found, "settings": settings})
    rows = lines.read()
    elsewhere = {job.name for job in planned} - rows.keys()
    if elsewhere:
        return f"other processes are at work on {', '.join(sorted(elsewhere))}; the last of them writes the page"
    return written(list(rows.values()), Path(config.out))


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    """Where a line stands: first the data; networks of the package last; a network before those that go on from it."""

    def place(order: Iterable[str], name: str) -> int:
        return list(order).index(row[name]) if row[name] in order else 0

    kind = (row["starts"] == NAMED, row["seed"], place(GRID_CELLS, "cell"), row["cell"], row["starts"] != BEFORE)
    return (place(BASE, "dataset"), *kind, place(REGIMES, "regime"), place(STARTS, "starts"), row["name"])


def _work(config: Coverage, planned: list[Job], lines: Lines, settings: dict[str, Any], bar: tqdm) -> None:
    """Makes rows until all are made, or other processes are at work on the last ones."""
    group = None
    while True:
        rows = lines.read()
        bar.update(sum(job.name in rows for job in planned) - bar.n)
        left = [job for job in planned if job.name not in rows]
        ready = [job for job in left if job.starts == BEFORE or job.first_name in rows]
        # What others wait for, then what goes on from the network at hand: its programs are compiled.
        ready.sort(key=lambda job: (job.starts != BEFORE, job.seed, (job.seed, job.cell) != group))
        for job in ready:
            with ExitStack() as held:
                if _claimed(job, lines, held):
                    lines.add(_row(config, job, settings))
                    group = job.seed, job.cell
                    break
        else:
            if all(job.first_name in rows and not job.lacks_first for job in left if job.starts != BEFORE):
                return
            time.sleep(1)  # until another process has trained what these go on from


def _claimed(job: Job, lines: Lines, held: ExitStack) -> bool:
    """Whether the job is for this process to do, which then has it until `held` ends."""
    names = [job.name, *([job.first_name] if job.lacks_first else [])]
    return all(held.enter_context(lines.free(name)) for name in names) and job.name not in lines.read()


def _row(config: Coverage, job: Job, settings: dict[str, Any]) -> dict[str, Any]:
    begin = time.perf_counter()
    try:
        found = _carried_out(config, job)
    except DivergedError as e:
        print(e, file=sys.stderr)
        found = {"diverged": str(e).split(";")[0]}
    about = {"dataset": config.dataset, "name": job.name, "cell": job.cell, "regime": job.regime}
    about |= {"starts": job.starts, "seed": job.seed, "settings": settings}
    return about | found | {"seconds": round(time.perf_counter() - begin, 1)}


def _same(row: dict[str, Any], settings: dict[str, Any], file: Path) -> None:
    then = row["settings"]
    differ = [f"{name} {then.get(name)} -> {value}" for name, value in settings.items() if then.get(name) != value]
    if differ:
        raise UsageError(f"{file} has {row['name']} with other settings ({', '.join(differ)}): give another --out.")


def _carried_out(config: Coverage, job: Job) -> dict[str, Any]:
    """Trains what is not trained yet, measures it, audits it."""
    if job.lacks_first:
        _train(job.first)  # it has a line, but its folder is gone
    _train(job.run)
    cell, params = trained(job.run)
    return measured(job.run, cell, params, config.samples, config.audited)


def _train(run: Stream) -> None:
    folder = Path(run.training.out or "")
    resume = begun(folder, run)
    if not (folder / "result.json").exists():
        train(replace(run, training=replace(run.training, resume=resume)))
