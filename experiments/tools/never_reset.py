"""Are resets needed? Cells, training regimes and seeds, on streams as in training and on others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from asrnn_jax.cells import CELLS
from experiments.choices import check_choices
from experiments.config import Model, Optimizer, Regime, Stream, Training
from experiments.config.commands import Gap, Samples
from experiments.errors import DivergedError, UsageError, unknown
from experiments.folder import begun, read_json, unchanged, write_json
from experiments.packed import Run, portable, read_run, read_runs, write_runs
from experiments.report.stream_report import alarm_unit, measurements
from experiments.report.tables import shown, spread, table, typed
from experiments.tools.long_run import PARTS, long_run, tenths
from experiments.training.train import train, trained

GRID_CELLS = ("tanh_rnn", "gru", "lstm", "asrnn", "lru", "alif")
DEEP = ("lru",)  # linear in its state: two residual blocks of half the width, with gated outputs, as in its paper
WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
GAPS: dict[str, tuple[Gap, ...]] = {
    "noise": ("white",),
    "silence": ("silence",),
    "noise, silence": ("white", "silence"),
    "noise, silence, walk, clicks": ("silence", "white", "walk", "clicks"),
    "these and distractors": ("silence", "white", "walk", "clicks", "distractor"),
}
REGIMES: tuple[Regime, ...] = ("full", "ignored", "separate")


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
    """Names of cells. The studies of one cell take the first that is not tanh_rnn."""
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

    def __post_init__(self):
        check_choices(self)
        for name in self.cells:
            if name not in CELLS:
                raise unknown("--cells", name, CELLS)
        if not 0 < self.target < 1:
            raise UsageError(f"--target {self.target}: give a share of log(classes), between 0 and 1.")
        if not self.cells or not self.regimes:
            raise UsageError("--cells and --regimes: give at least one of each.")
        for name in ("seeds", "hidden", "steps", "samples", "length"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} {getattr(self, name)}: give at least 1.")


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
        model=_model(cell, config.hidden),
        optim=Optimizer("adam", lr=2e-3, lr_orthogonal=4e-4, clip=1.0, schedule="cosine"),
        training=Training(
            batch=32, seed=seed, log_every=50, eval_every=config.steps, checkpoint_every=500, out=str(folder)
        ),
    )


def _model(cell: str, hidden: int) -> Model:
    return Model(cell, max(1, hidden // 2), residual=True, layers=2) if cell in DEEP else Model(cell, hidden)


def jobs(config: NeverReset) -> list[tuple[tuple[str, str], Stream]]:
    """All runs of a study as ``((first column, second column), run)``. The columns have the names of cell and regime,
    or what the study varies."""
    seeds = range(config.seeds)
    if config.study == "long":
        return [((c, "full"), recipe(config, c, "full", 0)) for c in config.cells]
    if config.study == "cells":
        return [((c, r), recipe(config, c, r, s)) for c in config.cells for r in config.regimes for s in seeds]
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
    for names, run in tqdm(jobs(config), desc="never reset", unit="run", mininterval=every):
        try:
            done = _carried_out(config, run, runs)
            runs[done["name"]] = done
            rows.append({"names": names, **done["measured"]})
        except DivergedError as e:
            print(e, file=sys.stderr)
    if not rows:
        raise UsageError("never-reset: no run could be trained.")
    text = _long_table(config, rows) if config.study == "long" else tables(config, rows)
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
    measured = folder / ("long.json" if long else "streams.json")
    found = read_json(measured) if measured.exists() else {}
    if found.get("asked") != asked:
        cell, params = trained(run)
        found = long_run(run, cell, params, config.length) if long else measurements(run, cell, params, config.samples)
        write_json(measured, {"asked": asked, **found})
    return portable(read_run(folder)) | {"measured": read_json(measured), "metrics": []}  # no table has the curves


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


def _long_table(config: NeverReset, rows: Sequence[dict[str, Any]]) -> str:
    lines = [("cell", "in % where a share", *(f"{10 * i + 10} %" for i in range(PARTS)))]
    for row in rows:
        lines += tenths(row["names"][0], row)
    finite = "all finite" if all(row["finite"] for row in rows) else "NOT all finite"
    return "\n\n".join(
        [
            f"# One stream of {config.dataset}, {rows[0]['steps']:,} steps without a reset",
            f"{config.hidden} units, full objective, seed 0; outputs {finite}. A column a tenth of it; the norm "
            "is the largest in it, over the largest in the first 10,000 steps.",
            f"    {typed('never-reset', config)}",
            table(lines),
        ]
    )


COLUMNS = {"cells": ("cell", "trained"), "weight": ("cell", "weight"), "gaps": ("gaps in training", "trained")}


def tables(config: NeverReset, rows: Sequence[dict[str, Any]]) -> str:
    """Means over seeds, with the standard deviation where there are several."""
    policies, settings = list(rows[0]["policies"]), list(rows[0]["conditions"])
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["names"], []).append(row)

    def block(columns: Sequence[str], value: Callable[[dict[str, Any], str], float], form=percent) -> str:
        lines = [
            (*names, *(form([value(row, c) for row in group]) for c in columns)) for names, group in groups.items()
        ]
        return table([(*COLUMNS[config.study], *columns), *lines])

    deep = [cell for cell in config.cells if cell in DEEP]
    blocks = f" {', '.join(deep)}: two residual blocks of half as many units." if deep else ""
    unit, steps = alarm_unit(config.dataset)
    shares = {"first tenth": "first", "last tenth": "last", "best moment": "best_accuracy"}
    shares |= {"precision": "precision", "recall": "recall"}
    counts = {"delay": ("delay", 1.0), f"false alarms / {unit}": ("false_alarms", steps)}
    return "\n\n".join(
        [
            f"# Streams of {config.dataset}: with and without resets",
            f"{config.seeds} seed{'s' * (config.seeds > 1)}, {config.hidden} units, {config.steps:,} steps of 32 "
            f"windows of 100; test streams of {config.samples:,} unseen samples. Accuracy in % at the last step of "
            "each sample, mean ± standard deviation of the seeds. Entropy in gaps in % of the uniform distribution's. "
            "Each network was trained with cross-entropy on separate samples, on streams with the gaps ignored, or "
            f"with the full objective.{blocks}",
            f"    {typed('never-reset', config)}",
            *_claim(groups),
            "## Accuracy by reset policy, on streams as in training",
            block(policies, lambda row, name: row["policies"][name]["accuracy"]),
            "## Accuracy without any reset, on streams as in training and on others",
            block(settings, lambda row, name: row["conditions"][name]["never"]["accuracy"]),
            "## Entropy in gaps without any reset",
            block(settings, lambda row, name: row["conditions"][name]["never"]["gap_entropy"]),
            "## Without any reset: along the stream, and the claim to know something as a detector of samples",
            block(list(shares), lambda row, name: row["policies"]["never"][shares[name]]),
            block(list(counts), lambda row, name: row["policies"]["never"][counts[name][0]] * counts[name][1], spread),
        ]
    )


def _claim(groups: dict[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    """Compares no resets with oracle resets, of the same networks and of networks that were trained for resets."""
    header = "cell|full, no reset|full, oracle|ignored, no reset|separate, oracle|separate, no reset"
    header += "|full, no reset - separate, oracle|gap entropy of full|of ignored"
    lines: list[tuple[str, ...]] = [tuple(header.split("|"))]
    for cell in dict.fromkeys(cell for cell, _ in groups):
        if not all((cell, regime) in groups for regime in REGIMES):
            continue

        def of(regime: str, policy: str, key: str = "accuracy", cell: str = cell) -> list[float]:
            return [row["policies"][policy][key] for row in groups[cell, regime]]

        accuracies = [of("full", "never"), of("full", "oracle"), of("ignored", "never")]
        accuracies += [of("separate", "oracle"), of("separate", "never")]
        difference = 100 * float(np.mean(accuracies[0]) - np.mean(accuracies[3]))
        entropies = (percent(of(regime, "never", "gap_entropy")) for regime in ("full", "ignored"))
        lines.append((cell, *map(percent, accuracies), shown(difference, "+.1f"), *entropies))
    return ["## With and without resets", table(lines)] if len(lines) > 1 else []


def percent(values: Sequence[float]) -> str:
    return spread([100 * value for value in values])
