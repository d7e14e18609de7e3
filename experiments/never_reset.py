"""Is a reset needed? Cells x training regimes x seeds, each on streams as in training and on streams that are not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from asrnn_jax.cells import CELLS
from experiments.config import REGIMES, Model, Optimizer, Stream, Training
from experiments.errors import DivergedError, UsageError, unknown
from experiments.folder import read_json, write_json
from experiments.report import table
from experiments.stream_report import alarm_unit, measurements
from experiments.train import differences, train, trained

GRID_CELLS = ("tanh_rnn", "gru", "lstm", "asrnn", "lru", "alif")
DEEP = ("lru",)  # linear in its state: two residual blocks with gated outputs between them, as in its paper


@dataclass(frozen=True)
class NeverReset:
    """Train every cell in three regimes on streams, then run each with six reset policies and under six conditions.

    Runs and measurements that are finished are kept, so that the command goes on where it was stopped.
    """

    out: str = "runs/never_reset"
    """Folder of the run folders and of the tables, DATASET.md."""
    dataset: str = "digits"
    """digits, mnist, fashion_mnist or speech."""
    data_dir: str | None = None
    """Folder with the IDX or WAV files."""
    cells: tuple[str, ...] = GRID_CELLS
    """Which cells."""
    regimes: tuple[str, ...] = REGIMES
    """Which training regimes."""
    seeds: int = 3
    """Runs of each."""
    hidden: int = 128
    """Hidden units."""
    steps: int = 3000
    """Optimiser steps."""
    samples: int = 1000
    """Samples of each test stream."""

    def __post_init__(self):
        for name in self.cells:
            if name not in CELLS:
                raise unknown("--cells", name, CELLS)
        for name in self.regimes:
            if name not in REGIMES:
                raise unknown("--regimes", name, REGIMES)
        for name in ("seeds", "hidden", "steps", "samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} {getattr(self, name)}: give at least 1.")


def recipe(config: NeverReset, cell: str, regime: str, seed: int) -> Stream:
    """The training run of one cell."""
    folder = Path(config.out) / f"{config.dataset}-{cell}-{regime}-{seed}"
    return Stream(
        dataset=config.dataset,
        data_dir=config.data_dir,
        regime=regime,
        steps=config.steps,
        samples=min(config.samples, 300),
        model=Model(cell, config.hidden, **({"residual": True, "layers": 2} if cell in DEEP else {})),
        optim=Optimizer("adam", lr=2e-3, lr_orthogonal=4e-4, clip=1.0, schedule="cosine"),
        training=Training(
            batch=32, seed=seed, log_every=50, eval_every=config.steps, checkpoint_every=500, out=str(folder)
        ),
    )


def never_reset(config: NeverReset) -> str:
    """Carries out what is not finished and returns the tables, which are also written to DATASET.md.

    Raises:
      UsageError: data that are missing, a folder of another configuration.
    """
    jobs = [(c, r, s) for c in config.cells for r in config.regimes for s in range(config.seeds)]
    rows = []
    for cell, regime, seed in tqdm(
        jobs, desc="never reset", unit="run", mininterval=0.5 if sys.stderr.isatty() else 30
    ):
        run = recipe(config, cell, regime, seed)
        folder = Path(run.training.out or "")
        try:
            _check_folder(folder, run)
            if not (folder / "result.json").exists():
                resume = (folder / "config.json").exists()
                train(replace(run, training=replace(run.training, resume=resume)))
            if not (folder / "streams.json").exists():
                write_json(folder / "streams.json", measurements(run, *trained(run), config.samples))
        except DivergedError as e:
            print(e, file=sys.stderr)
            continue
        rows.append({"cell": cell, "regime": regime, "seed": seed, **read_json(folder / "streams.json")})
    if not rows:
        raise UsageError("never-reset: no run could be trained.")
    text = tables(config, rows)
    Path(config.out, f"{config.dataset}.md").write_text(text + "\n")
    return text


def _check_folder(folder: Path, run: Stream) -> None:
    changes = differences(folder, run) if (folder / "config.json").exists() else []
    if changes:
        raise UsageError(f"--out: {folder} was made with other settings ({', '.join(changes)}); give another folder.")


def tables(config: NeverReset, rows: Sequence[dict[str, Any]]) -> str:
    """Means over seeds, with the range where there are several."""
    policies, settings = rows[0]["policies"], rows[0]["conditions"]
    pairs = list(dict.fromkeys((row["cell"], row["regime"]) for row in rows))

    def of(cell: str, regime: str, *path: str) -> str:
        values = []
        for row in rows:
            if (row["cell"], row["regime"]) == (cell, regime):
                value: Any = row
                for key in path:
                    value = value[key]
                values.append(value)
        mean = 100 * float(np.mean(values))
        return f"{mean:.1f}" if len(values) == 1 else f"{mean:.1f} ± {50 * np.ptp(values):.1f}"

    by_policy: list[tuple[str, ...]] = [("cell", "trained", *policies, "gap entropy")]
    by_condition: list[tuple[str, ...]] = [("cell", "trained", *settings)]
    silence: list[tuple[str, ...]] = [("cell", "trained", *settings)]
    for cell, regime in pairs:
        by_policy.append(
            (
                cell,
                regime,
                *(of(cell, regime, "policies", name, "accuracy") for name in policies),
                of(cell, regime, "policies", "never", "gap_entropy"),
            )
        )
        by_condition.append((cell, regime, *(of(cell, regime, "conditions", s, "never", "accuracy") for s in settings)))
        silence.append((cell, regime, *(of(cell, regime, "conditions", s, "never", "gap_entropy") for s in settings)))
    unit, steps = alarm_unit(config.dataset)
    names = "cell|trained|first tenth|last tenth|best moment|precision|recall|delay"
    detection: list[tuple[str, ...]] = [(*names.split("|"), f"false alarms / {unit}")]
    for cell, regime in pairs:
        chosen = [row["policies"]["never"] for row in rows if (row["cell"], row["regime"]) == (cell, regime)]
        mean = {key: float(np.mean([c[key] for c in chosen])) for key in chosen[0]}
        shares = (f"{100 * mean[key]:.1f}" for key in ("first", "last", "best_accuracy", "precision", "recall"))
        detection.append((cell, regime, *shares, f"{mean['delay']:.1f}", f"{steps * mean['false_alarms']:.1f}"))
    command = f"python -m experiments never-reset --dataset {config.dataset}"
    return "\n\n".join(
        [
            f"# Streams of {config.dataset}: with and without resets",
            f"{config.seeds} seeds, {config.hidden} units, {config.steps:,} steps of 32 windows of 100; test streams "
            f"of {config.samples:,} unseen samples. Accuracy in % at the last step of each sample, mean over seeds "
            "± half their range. Entropy in gaps in % of the uniform distribution's.",
            f"    {command}",
            "## Accuracy by reset policy, on streams as in training",
            table(by_policy),
            "## Accuracy without any reset, on streams that training did not contain",
            table(by_condition),
            "## Entropy in gaps without any reset",
            table(silence),
            "## Without any reset: drift over the stream, and the claim to know something as a detector",
            table(detection),
        ]
    )
