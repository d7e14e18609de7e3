"""What repairs a network that was trained on separate samples? A few hundred more steps from other states."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from asrnn_jax import pretrained, streaming
from asrnn_jax.saved import replacing
from experiments.choices import check_choices
from experiments.config import Regime, Stream, from_json
from experiments.config.checks import counts
from experiments.config.commands import Samples, Start
from experiments.data.samples import gaps_of, load_samples
from experiments.errors import DivergedError, UsageError
from experiments.folder import begun
from experiments.report.coverage_page import written
from experiments.tasks.scores import measure
from experiments.tools.audited import audited
from experiments.tools.never_reset import GRID_CELLS, NeverReset, recipe
from experiments.training.train import train, trained

BASE = {"digits": (1000, 0.985), "mnist": (6000, 0.985), "fashion_mnist": (6000, 0.985), "speech": (4000, 0.99)}
"""Steps of the first training and the target of entropy in gaps, as in the pages of never-reset."""
NEED_NONE = {
    "fashion_mnist": ("fashion-asrnn", "fashion-gru", "fashion-lstm"),
    "speech": ("keyword-asrnn", "keyword-gru", "keyword-lstm"),
}
"""Networks of the package that were trained on streams: an audit must not accuse them."""
BEFORE, NAMED = "before", "package"


@dataclass(frozen=True)
class Coverage:
    """Train networks on separate samples, which fail without resets; go on for some steps with every kind of start.

    Each network is measured with and without resets, and audited, before and after. A line of the file coverage.jsonl
    is one network; what has a line is not done again, so that the command continues where it was stopped, also with
    nothing but this file in the folder. The page is made of all its lines, also those of other data sets and seeds.
    """

    out: str = "runs/coverage"
    """Folder for run folders, coverage.jsonl, the page README.md and figure.png."""
    dataset: Samples = "digits"
    """What the streams are made of; see the command stream."""
    data_dir: str | None = None
    """Folder with the IDX or WAV files."""
    cells: tuple[str, ...] = GRID_CELLS
    """Names of cells."""
    regimes: tuple[Regime, ...] = ("ignored", "full", "separate")
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

    def __post_init__(self):
        check_choices(self)
        _never_reset(self)  # checks cells and numbers
        counts(self, "base_steps", "audited")
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
    """The run that goes on, at the rate of the first training, which begins low because Adam knows no gradient yet."""
    steps = config.steps
    optim = replace(run.optim, warmup=steps // 20)
    training = replace(run.training, eval_every=steps, checkpoint_every=steps)
    samples = min(config.samples, 50)  # they are measured on more, below
    return replace(run, starts=kind, network=str(network), steps=steps, optim=optim, training=training, samples=samples)


def coverage(config: Coverage) -> str:
    """Carries out what is not finished and returns the page, which is also written.

    Raises:
      UsageError: data that are missing, a folder with runs or lines of other settings.
    """
    file = Path(config.out, "coverage.jsonl")
    rows = read_rows(file)
    settings = {name: getattr(config, name) for name in ("hidden", "steps", "samples", "audited")}
    settings["base_steps"] = _never_reset(config).steps
    every = 0.5 if sys.stderr.isatty() else 30
    for job in tqdm(jobs(config), desc="coverage", unit="network", mininterval=every):
        if job.name in rows:
            _same(rows[job.name], settings, file)
            continue
        begin = time.perf_counter()
        try:
            found = _carried_out(config, job)
        except DivergedError as e:
            print(e, file=sys.stderr)
            found = {"diverged": str(e).split(";")[0]}
        about = {"dataset": config.dataset, **job._asdict(), "settings": settings}
        seconds = round(time.perf_counter() - begin, 1)
        _keep(
            file,
            rows,
            {name: value for name, value in about.items() if name not in ("run", "first")}
            | found
            | {"seconds": seconds},
        )
    for name in NEED_NONE.get(config.dataset, ()):
        if name not in rows:
            _keep(file, rows, _of_the_package(config, name) | {"settings": settings})
    return written(list(rows.values()), Path(config.out))


def read_rows(file: Path) -> dict[str, dict[str, Any]]:
    """The lines of the file by name. No file, no lines.

    Raises:
      UsageError: a damaged line.
    """
    try:
        found = map(json.loads, file.read_text().splitlines() if file.exists() else [])
        return {row["name"]: row for row in found}
    except (ValueError, TypeError, KeyError) as e:
        raise UsageError(f"{file} is damaged ({e}): restore it, or give another --out.") from e


def _keep(file: Path, rows: dict[str, dict[str, Any]], row: dict[str, Any]) -> None:
    """Adds a line; the whole file is written or nothing."""
    rows[row["name"]] = row
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file, "w") as lines:
        lines.writelines(json.dumps(each) + "\n" for each in rows.values())


def _same(row: dict[str, Any], settings: dict[str, Any], file: Path) -> None:
    differ = [f"{name} {row['settings'][name]} -> {value}" for name, value in settings.items()]
    differ = [each for each, (name, value) in zip(differ, settings.items()) if row["settings"][name] != value]
    if differ:
        raise UsageError(f"{file} has {row['name']} with other settings ({', '.join(differ)}): give another --out.")


def _carried_out(config: Coverage, job: Job) -> dict[str, Any]:
    """Trains what is not trained yet, measures it, audits it."""
    if job.run.network and not Path(job.run.network).exists():
        _train(job.first)  # it has a line, but its folder is gone
    _train(job.run)
    cell, params = trained(job.run)
    return _measured(config, job.run, cell, params)


def _train(run: Stream) -> None:
    folder = Path(run.training.out or "")
    resume = begun(folder, run)
    if not (folder / "result.json").exists():
        train(replace(run, training=replace(run.training, resume=resume)))


def _of_the_package(config: Coverage, name: str) -> dict[str, Any]:
    cell, params, card = pretrained.load(name)
    run = from_json(card["config"] | {"data_dir": config.data_dir})
    assert isinstance(run, Stream)
    about = {"dataset": config.dataset, "name": name, "cell": run.model.cell, "regime": run.regime, "starts": NAMED}
    return about | {"seed": run.training.seed} | _measured(config, run, cell, params)


def _measured(config: Coverage, run: Stream, cell: Any, params: Any) -> dict[str, Any]:
    train_samples, test, _ = load_samples(run)
    gaps = gaps_of(run, train_samples)
    quiet = replace(gaps, kinds=("silence",))
    scores = {
        policy.name: _rounded(measure(cell, params, test, gaps, config.samples, policy))
        for policy in (streaming.never(), streaming.oracle())
    }
    silence = _rounded(measure(cell, params, test, quiet, config.samples, streaming.never()))
    silence = {name: silence[name] for name in ("accuracy", "gap_entropy")}
    verdict = audited(run, cell, params, config.audited)
    return {"scores": scores, "silence": silence, "audit": verdict}


def _rounded(scores: dict[str, float]) -> dict[str, float | None]:
    """None is a mean of nothing, which JSON has no number for."""
    return {name: None if value != value else round(value, 5) for name, value in scores.items()}
