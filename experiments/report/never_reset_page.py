"""The tables of never-reset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.report.stream_report import alarm_unit
from experiments.report.tables import shown, spread, table, typed
from experiments.tools.long_run import PARTS, tenths
from experiments.tools.stream_networks import said

if TYPE_CHECKING:
    from experiments.tools.never_reset import NeverReset

REGIMES = ("full", "ignored", "separate")


def long_table(config: NeverReset, rows: Sequence[dict[str, Any]]) -> str:
    lines = [("cell", "in % where a share", *(f"{10 * i + 10} %" for i in range(PARTS)))]
    for row in rows:
        lines += tenths(row["names"][0], row)
    finite = "all finite" if all(row["finite"] for row in rows) else "NOT all finite"
    return "\n\n".join(
        [
            f"# One stream of {config.dataset}, {rows[0]['steps']:,} steps without a reset",
            f"{config.hidden} units, full objective, seed 0; outputs {finite}. A column a tenth of it; the norm "
            "is the largest in it, over the largest in the first 10,000 steps.",
            f"    {typed('never-reset', alone(config))}",
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

    blocks = "".join(f" {sentence}" for sentence in said(config.cells))
    unit, steps = alarm_unit(config.dataset)
    shares = {"first tenth": "first", "last tenth": "last", "best moment": "best_accuracy"}
    shares |= {"precision": "precision", "recall": "recall"}
    counts = {"delay": ("delay", 1.0), f"false alarms / {unit}": ("false_alarms", steps)}
    return "\n\n".join(
        [
            f"# Streams of {config.dataset}: with and without resets",
            f"{_seeds(config, groups)}, {config.hidden} units, {config.steps:,} steps of 32 "
            f"windows of 100; test streams of {config.samples:,} unseen samples. Accuracy in % at the last step of "
            "each sample, mean ± standard deviation of the seeds. Entropy in gaps in % of the uniform distribution's. "
            "Each network was trained with cross-entropy on separate samples, on streams with the gaps ignored, or "
            f"with the full objective.{blocks}",
            f"    {typed('never-reset', alone(config))}",
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
            *_audits(config, groups),
        ]
    )


def _seeds(config: NeverReset, groups: dict[tuple[str, str], list[dict[str, Any]]]) -> str:
    """How many seeds there are, and which rows have fewer so far."""
    fewer = {first: len(group) for (first, _), group in groups.items() if len(group) < config.seeds}
    exceptions = f" (so far {', '.join(f'{first} {number}' for first, number in fewer.items())})" if fewer else ""
    return f"{config.seeds} seed{'s' * (config.seeds > 1)}{exceptions}"


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


def _audits(config: NeverReset, groups: dict[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    """What the reset audit says of the networks that were audited."""
    lines: list[tuple[str, ...]] = [
        (*COLUMNS[config.study], "verdict", "fresh and carried state agree after, steps", "collapses in")
    ]
    for names, group in groups.items():
        audits = [row["audit"] for row in group if "audit" in row]
        if not audits:
            continue
        needs = Counter(each["need"] for each in audits)
        verdict = ", ".join(f"{need} ({number})" for need, number in needs.items())
        agrees = ", ".join("never" if each["agrees"] is None else f"{each['agrees']}" for each in audits)
        kinds = Counter(kind for each in audits for kind, collapses in each["collapses"].items() if collapses)
        lines.append((*names, verdict, agrees, ", ".join(f"{kind} ({n})" for kind, n in kinds.items()) or "none"))
    return ["## The reset audit of each network (number of seeds)", table(lines)] if len(lines) > 1 else []


def alone(config: NeverReset) -> NeverReset:
    """The settings of a table, whoever carried out its runs."""
    return replace(config, worker=0, workers=1, finished=False)
