"""The report of a stream run: with and without resets, and with gaps and disturbances that training did not have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

import asrnn_jax
from asrnn_jax import analysis, losses, streaming
from asrnn_jax.cell import Cell
from experiments.config import Stream
from experiments.data import audio
from experiments.data.samples import Samples, gaps_of, load_samples, stream_of
from experiments.folder import write_json
from experiments.report.drawing import pyplot, save
from experiments.report.tables import shown, table
from experiments.tasks.scores import measure
from experiments.training.train import trained


def conditions(gaps: streaming.Gaps) -> dict[str, dict[str, Any]]:
    """Streams to run on, by name: their gaps, those of training among them, and their disturbances."""
    longer = replace(gaps, shortest=40 * gaps.shortest, longest=40 * gaps.longest)
    return {
        "as trained": {"gaps": gaps},
        "gaps 40 x longer": {"gaps": longer},
        "silence only": {"gaps": replace(gaps, kinds=("silence",))},
        "unseen noise": {"gaps": replace(gaps, kinds=("uniform", "hum"))},
        "distractors": {"gaps": replace(gaps, kinds=(streaming.DISTRACTOR,))},
        "missing 20 %": {"gaps": gaps, "missing": 0.2},
        "drift": {"gaps": gaps, "drift": 0.2},
    }


def policies(train: Samples, gaps: streaming.Gaps) -> tuple[streaming.Policy, ...]:
    """The reset policies to compare. Their settings are taken from the training samples."""
    lengths = train.lengths[:200]
    there = np.arange(train.xs.shape[1]) < lengths[:, None]
    floor = float(np.median(losses.energy(train.xs[:200])[there])) - 1
    return (
        streaming.never(),
        streaming.oracle(),
        streaming.periodic(int(np.mean(lengths) + (gaps.shortest + gaps.longest) / 2)),
        streaming.on_energy(floor),
        streaming.on_entropy(),
        streaming.on_saturation(),
    )


def measurements(config: Stream, cell: Cell, params: Any, number: int) -> dict[str, Any]:
    """Scores on streams of `number` unseen samples each, a fifth of it where gaps are 40 times longer.

    Returns: ``{"policies": {policy: scores}, "conditions": {condition: {"never": scores, "oracle": scores}}}``, the
    policies on streams as in training.
    """
    train, test, _ = load_samples(config)
    gaps, params = gaps_of(config, train), jax.device_get(params)
    by_policy = {
        policy.name.split("(")[0]: measure(cell, params, test, gaps, number, policy) for policy in policies(train, gaps)
    }
    by_condition = {}
    for name, setting in conditions(gaps).items():
        if name == "as trained":  # measured above
            by_condition[name] = {policy: by_policy[policy] for policy in ("never", "oracle")}
            continue
        many = number if "40" not in name else max(1, number // 5)
        by_condition[name] = {
            policy.name: measure(cell, params, test, number=many, policy=policy, **setting)
            for policy in (streaming.never(), streaming.oracle())
        }
    return {"policies": by_policy, "conditions": by_condition}


def alarm_unit(dataset: str) -> tuple[str, float]:
    """The unit of time for false alarms, and how many thousands of steps it has."""
    return ("hour", 3600 / audio.HOP / 1000) if dataset == "speech" else ("1,000 steps", 1.0)


def summary(config: Stream, found: dict[str, Any]) -> str:
    """The tables of what `measurements` returned."""
    unit, steps = alarm_unit(config.dataset)
    header = "stream|accuracy|with oracle resets|best moment|first tenth|last tenth|gap entropy|precision|recall|delay"
    rows = [(*header.split("|"), f"false alarms / {unit}")]
    for name, scores in found["conditions"].items():
        never, oracle = scores["never"], scores["oracle"]
        keys = ("best_accuracy", "first", "last", "gap_entropy", "precision", "recall")
        shares = (never["accuracy"], oracle["accuracy"], *(never[key] for key in keys))
        last = (never["delay"], steps * never["false_alarms"])
        rows.append((name, *(shown(100 * share) for share in shares), *map(shown, last)))
    named = found["policies"]
    accuracies = tuple(shown(100 * scores["accuracy"]) for scores in named.values())
    return "\n\n".join(
        [
            f"Without any reset, in % (delay in steps; samples {named['never']['samples']:,}):",
            table(rows),
            "Accuracy by reset policy, on the stream as trained, in %:",
            table([tuple(named), accuracies]),
        ]
    )


def scored(config: Stream) -> str:
    """Scores a finished run into its folder, with a figure, and returns the tables.

    Raises:
      UsageError: it has no checkpoint, a file cannot be written.
    """
    folder = Path(config.training.out or "")
    cell, params = trained(config)
    found = measurements(config, cell, params, config.samples)
    write_json(folder / "streams.json", found)
    draw(config, cell, params, folder / "figures" / "stream.png")
    return summary(config, found)


def draw(config: Stream, cell: Cell, params: Any, out: Path, after: int = 5000, steps: int = 300) -> None:
    """Draws a stretch of a stream of unseen samples and the outputs of a network that was never reset, `after` steps
    from the start."""
    pyplot()
    from asrnn_jax import plot

    train, test, _ = load_samples(config)
    endless = stream_of(test, 10**6, gaps_of(config, train))
    carry, _ = asrnn_jax.run(cell, params, endless.window(0, after).xs)
    window = endless.window(after, steps)
    _, logits = asrnn_jax.run(cell, params, window.xs, carry=carry)
    norm = analysis.norm_drift(cell, params, window.xs, carry=carry).norm
    probabilities = jax.nn.softmax(logits, axis=-1)
    axes = plot.stream(window.xs, probabilities, labels=window.labels, informative=window.informative, norm=norm)
    axes[0].set_title(f"{config.dataset}, {config.model.cell} after {after:,} steps without a reset")
    save(axes[0].figure, out)
