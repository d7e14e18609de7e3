"""Are resets needed? Cells, training regimes and seeds, on streams as in training and on others."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from experiments.choices import check_choices
from experiments.config import Optimizer, Regime, Stream, Training
from experiments.config.checks import not_negative
from experiments.config.commands import Gap, Samples
from experiments.errors import DivergedError, UsageError
from experiments.folder import begun, read_json, unchanged, write_json
from experiments.packed import Run, portable, read_run, read_runs, write_runs
from experiments.report.never_reset_page import long_table, tables
from experiments.report.stream_report import measurements
from experiments.tools.audited import audited
from experiments.tools.long_run import long_run
from experiments.tools.stream_networks import model
from experiments.training.train import train, trained

GRID_CELLS = ("tanh_rnn", "gru", "lstm", "asrnn", "lru", "alif")
WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
GAPS: dict[str, tuple[Gap, ...]] = {
    "noise": ("white",),
    "silence": ("silence",),
    "noise, silence": ("white", "silence"),
    "noise, silence, walk, clicks": ("silence", "white", "walk", "clicks"),
    "these and distractors": ("silence", "white", "walk", "clicks", "distractor"),
}


@dataclass(frozen=True)
class NeverReset:
    """Train on streams in several ways, then test each network with six reset policies and on seven kinds of stream.

    Runs and measurements that are finished are kept, so that the command continues where it was stopped. The runs of a
    table are written to one file beside it, from which they are read when a run's folder is gone.
    """

    study: Literal["cells", "weight", "gaps", "long"] = "cells"
    """cells: every cell in every regime. weight: fixed weights of the gaps, and one that follows --target (one cell,
    full objective). gaps: what the gaps of training are made of, and a normalised block (one cell, two regimes). long:
    every cell with the full objective on one stream of a million steps."""
    out: str = "runs/never_reset"
    """Folder for the run folders and for the table, DATASET.md or DATASET-STUDY.md, with its runs in a .jsonl."""
    dataset: Samples = "digits"
    """What the streams are made of; see the command stream."""
    data_dir: str | None = None
    """Folder with the IDX or WAV files."""
    cells: tuple[str, ...] = GRID_CELLS
    """Names of cells, or hybrid: two residual blocks of rg_lru and one of attention. The studies of one cell take the
    first that is not tanh_rnn."""
    regimes: tuple[Regime, ...] = ("separate", "ignored", "full")
    """Ways to train, in the study of cells; see the command stream."""
    hidden: int = 128
    """Number of hidden units."""
    seeds: int = 3
    """Number of runs of each kind, with seeds 0, 1, ..."""
    steps: int = 6000
    """Optimiser steps of a run."""
    target: float = 0.985
    """Entropy in gaps that the weight of the gaps shall hold, as a share of log(classes)."""
    samples: int = 1000
    """Number of unseen samples in the stream that each network is tested on."""
    length: int = 1_000_000
    """Steps of the stream in the study long."""
    audited: int = 0
    """Number of unseen samples in the streams of a reset audit of each network; see the command audit. 0: no audit."""
    worker: int = 0
    """With --workers: the number of this process, from 0."""
    workers: int = 1
    """Number of processes that share the runs. Start each of them, on cores of its own, and then the command once more
    without --workers, which writes the table."""
    finished: bool = False
    """Carry out nothing: the table is of those runs that are finished."""

    def __post_init__(self):
        check_choices(self)
        for name in self.cells:
            model(name, self.hidden)
        if not 0 < self.target < 1:
            raise UsageError(f"--target {self.target}: give a share of log(classes), between 0 and 1.")
        if not self.cells or not self.regimes:
            raise UsageError("--cells and --regimes: give at least one of each.")
        for name in ("seeds", "hidden", "steps", "samples", "length"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} {getattr(self, name)}: give at least 1.")
        not_negative(self, "audited")
        if not 0 <= self.worker < self.workers:
            raise UsageError(f"--worker {self.worker}: give a number from 0, below --workers {self.workers}.")


def recipe(config: NeverReset, cell: str, regime: Regime, seed: int, name: str = "") -> Stream:
    """The training run of one cell; `name` tells runs of a study apart."""
    folder = Path(config.out) / "-".join(filter(None, (config.dataset, cell, name, regime, str(seed))))
    return Stream(
        dataset=config.dataset,
        data_dir=config.data_dir,
        regime=regime,
        steps=config.steps,
        target=config.target,
        samples=min(config.samples, 300),
        model=model(cell, config.hidden),
        optim=Optimizer("adam", lr=2e-3, lr_orthogonal=4e-4, clip=1.0, schedule="cosine"),
        training=Training(
            batch=32, seed=seed, log_every=50, eval_every=config.steps, checkpoint_every=500, out=str(folder)
        ),
    )


def jobs(config: NeverReset) -> list[tuple[tuple[str, str], Stream]]:
    """All runs of a study as ``((first column, second column), run)``. The columns have the names of cell and regime,
    or what the study varies."""
    seeds = range(config.seeds)
    if config.study == "long":
        return [((c, "full"), recipe(config, c, "full", 0)) for c in config.cells]
    if config.study == "cells":
        return [((c, r), recipe(config, c, r, s)) for s in seeds for c in config.cells for r in config.regimes]
    cell = next((name for name in config.cells if name != "tanh_rnn"), config.cells[0])
    found = []
    for seed in seeds:
        if config.study == "weight":
            for weight in (None, *WEIGHTS):
                run = recipe(config, cell, "full", seed, "" if weight is None else f"weight{weight:g}")
                found.append(((cell, "sets itself" if weight is None else f"{weight:g}"), replace(run, weight=weight)))
            continue
        for regime in ("ignored", "full"):
            for about, kinds in GAPS.items():
                standard = kinds == Stream().kinds
                run = recipe(config, cell, regime, seed, "" if standard else "gaps" + "+".join(k[:3] for k in kinds))
                found.append(((about, regime), replace(run, kinds=kinds)))
            run = recipe(config, cell, regime, seed, "gapswhi+norm")
            run = replace(run, kinds=("white",), model=replace(run.model, residual=True))
            found.append((("noise, normalised block", regime), run))
    return found


def never_reset(config: NeverReset) -> str:
    """Carries out what is not finished and returns the tables, which are also written to a file.

    Raises:
      UsageError: data that are missing, a folder of another configuration.
    """
    name = config.dataset if config.study == "cells" else f"{config.dataset}-{config.study}"
    file = Path(config.out, f"{name}.jsonl")
    runs, rows = read_runs(file), []
    every = 0.5 if sys.stderr.isatty() else 30
    share = jobs(config)[config.worker :: config.workers]
    if config.finished:
        share = [(names, run) for names, run in share if _is_finished(config, run, runs)]
    for names, run in tqdm(share, desc="never reset", unit="run", mininterval=every):
        try:
            done = _carried_out(config, run, runs)
            runs[done["name"]] = done
            rows.append({"names": names, **done["measured"]})
        except DivergedError as e:
            print(e, file=sys.stderr)
    if config.workers > 1:
        return f"{len(rows)} of {len(share)} runs are there; the command without --workers writes the table."
    if not rows:
        raise UsageError(f"never-reset: no run {'is finished' if config.finished else 'could be trained'}.")
    text = long_table(config, rows) if config.study == "long" else tables(config, rows)
    write_runs(file, runs.values())
    file.with_suffix(".md").write_text(text + "\n")
    return text


def _carried_out(config: NeverReset, run: Stream, kept: dict[str, Run]) -> Run:
    """A run with its measurements. What is missing of it is carried out first."""
    folder = Path(run.training.out or "")
    asked = {"length": config.length} if config.study == "long" else {"samples": config.samples}
    if folder.name in kept and not folder.exists():
        return _again(kept[folder.name], run, asked)
    resume = begun(folder, run)
    if not (folder / "result.json").exists():
        train(replace(run, training=replace(run.training, resume=resume)))
    long = config.study == "long"
    file = folder / MEASURED[long]
    if not _is_measured(file, asked):
        cell, params = trained(run)
        found = long_run(run, cell, params, config.length) if long else measurements(run, cell, params, config.samples)
        write_json(file, {"asked": asked, **found})
    measured = read_json(file)
    if config.audited and not long:
        measured["audit"] = _audit(config, run, folder / "audit.json")
    return portable(read_run(folder)) | {"measured": measured, "metrics": []}  # no table has the curves


MEASURED = {False: "streams.json", True: "long.json"}


def _is_measured(file: Path, asked: dict[str, int]) -> bool:
    return file.exists() and read_json(file).get("asked") == asked


def _audit(config: NeverReset, run: Stream, file: Path) -> dict[str, Any]:
    asked = {"audited": config.audited}
    if not _is_measured(file, asked):
        write_json(file, {"asked": asked, **audited(run, *trained(run), config.audited)})
    return read_json(file)


def _is_finished(config: NeverReset, run: Stream, kept: dict[str, Run]) -> bool:
    """Whether nothing is left to carry out of a run."""
    folder = Path(run.training.out or "")
    if not folder.exists():
        return folder.name in kept
    there = (folder / MEASURED[config.study == "long"]).exists()
    return there and (not config.audited or config.study == "long" or (folder / "audit.json").exists())


def _again(kept: Run, run: Stream, asked: dict[str, int]) -> Run:
    """A run from the file beside the table, if it has the settings that are asked for."""
    unchanged(kept["config"], run, str(run.training.out))
    before = kept["measured"]["asked"]
    if before != asked:
        told = ", ".join(f"--{key} {value}" for key, value in asked.items())
        then = ", ".join(f"--{key} {value}" for key, value in before.items())
        raise UsageError(
            f"{told}: {kept['name']} was measured with {then}, its network is gone; give that or another --out."
        )
    return kept
