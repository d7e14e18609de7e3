"""The page of state coverage, made of the rows that `experiments.tools.coverage` stored."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from experiments.packed import read_runs
from experiments.report.coverage_figure import draw
from experiments.report.coverage_rows import (
    AIM,
    MARGIN,
    REGIMES,
    STARTS,
    TITLES,
    Row,
    accuracy,
    cells_of,
    chosen,
    entropy,
    gain,
    lost,
    needs,
)
from experiments.report.tables import spread, table

STREAMS = Path(__file__).parents[1] / "results" / "never_reset"
"""Networks that were trained on streams from the beginning, for comparison."""
SEEDS, CELLS = 3, 6
"""What is planned."""
PASTS = ("silence", "noise", "samples")
"""What an audit puts before samples."""
HELPS, NONE, HARM, UNCLEAR = "resets help", "needs none", "resets do harm", "too little data to say"


CHOSEN = (
    "## What was chosen with a look at these numbers",
    "**The rate**, 2e-3, is that of the first training. It was compared with others on 10,000 training images that "
    "neither training saw then (Fashion-MNIST, seed 0, GRU, LSTM, asRNN and tanh RNN, passed and zero, gaps ignored; "
    "3,000 samples): below oracle resets before were, on average, 8.8 points at 5e-4, 6.7 at 1e-3, 6.0 at 2e-3, 5.8 at "
    "4e-3, 6.7 at 8e-3. Two rates that differ by less than half a point were not told apart, so that 2e-3 stays. "
    "By cell the best are 4e-3 (GRU, by 0.8 points over 2e-3), 8e-3 (LSTM, 0.7), 1e-3 to 2e-3 (asRNN), 1e-3 to 4e-3 "
    "(tanh RNN); none of them reaches the aim there. Before that, four rates had been tried on the test streams.",
    "**The size of the audit** was 300 samples at first. Of the first 14 networks after, it then said of 4 that "
    "they need none, of 9 that there is too little data, of 1 that resets help; with 3,000 samples, of 13 and of 1, "
    "the same one. The 3 networks before were found with both.",
    "**The best kind** is chosen by the accuracy that is shown for it: with one seed, kinds within a point of each "
    "other are not told apart.",
)


def written(rows: Sequence[Row], folder: Path) -> str:
    """Writes README.md and figure.png into the folder and returns the page."""
    text = page(rows)
    (folder / "README.md").write_text(text + "\n")
    draw(rows, folder / "figure.png")
    return text


def page(rows: Sequence[Row]) -> str:
    """The page of these rows."""
    settings = rows[0]["settings"]
    blocks = [
        "# State coverage: what repairs a network that was trained on separate samples",
        "Training on separate samples only visits states near the start; a stream visits others, and there these "
        f"networks fail. Each was trained on separate samples, then for {settings['steps']:,} steps more with one kind "
        "of start for its windows (`asrnn_jax.streaming.starts`). Accuracy in % at the last step "
        f"of each of {settings['samples']:,} unseen samples in ten streams; entropy in gaps in % of the uniform "
        "distribution's. Mean ± standard deviation of the seeds; one seed is known to about one point. **Bold**: "
        "without any reset within one point of what the network had before with oracle resets, or better.",
        "`python -m experiments coverage` makes this page and its figure from [coverage.jsonl](coverage.jsonl), one "
        "line a network:",
        *_commands(rows),
        "![accuracy without resets, before and after](figure.png)",
    ]
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        blocks += _of_dataset(dataset, [row for row in rows if row["dataset"] == dataset])
    return "\n\n".join([*blocks, *_audits(rows), *CHOSEN])


def _commands(rows: Sequence[Row]) -> list[str]:
    found = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        own = [row for row in rows if row["dataset"] == dataset and "cell" in row and row["starts"] != "package"]
        seeds = {cell: len({row["seed"] for row in own if row["cell"] == cell}) for cell in cells_of(own)}
        found.append(f"    python -m experiments coverage --dataset {dataset} --seeds {max(seeds.values())}")
    return ["\n".join(found)]


def _percent(values: Sequence[float]) -> str:
    return spread([100 * value for value in values])


def _of_dataset(dataset: str, rows: Sequence[Row]) -> list[str]:
    base_steps = rows[0]["settings"]["base_steps"]
    blocks = [
        f"## {TITLES.get(dataset, dataset)}: which remedy for which cell",
        *_unfinished(rows),
        f"First {base_steps:,} steps on separate samples. Of each way to go on: the best kind of start by accuracy "
        "without resets, and all kinds within one point of what the network had with oracle resets.",
        "\n".join(f"- {_sentence(rows, cell)}" for cell in cells_of(rows)),
        "All cells together, means over cells; lost: points below oracle resets before.",
        _together(rows),
    ]
    for regime, title in REGIMES.items():
        if any(chosen(rows, regime=regime, starts=kind) for kind in STARTS):
            blocks += [f"### {title}", "Accuracy without any reset:", _accuracies(dataset, rows, regime)]
            blocks += ["Entropy in gaps:", _entropies(dataset, rows, regime)]
    return blocks


def _unfinished(rows: Sequence[Row]) -> list[str]:
    """What is missing of the networks that are planned: before, and after every kind of start, in each way there is."""
    done = len({row["name"] for row in rows if row["starts"] != "package"})
    ways = {row["regime"] for row in rows if row["starts"] not in ("package", "before")}
    after = sum(len(STARTS) - (way == "separate") for way in ways)  # shuffled is passed where samples are separate
    planned = SEEDS * CELLS * (1 + after)
    missing = f"{done} of {planned} networks are measured so far; a dash stands for what is missing."
    return [missing] if done < planned else []


def _together(rows: Sequence[Row]) -> str:
    lines: list[tuple[str, ...]] = [("trained on", "starts", "cells within the aim", "lost", "most", "entropy in gaps")]
    for regime in REGIMES:
        for kind in STARTS:
            by_cell = {c: chosen(rows, cell=c, regime=regime, starts=kind) for c in cells_of(rows)}
            by_cell = {cell: found for cell, found in by_cell.items() if found}
            if not by_cell:
                continue
            points = [lost(chosen(rows, cell=cell, starts="before"), found) for cell, found in by_cell.items()]
            share = f"{sum(each <= AIM for each in points)} of {len(points)}"
            quiet = _percent([statistics.fmean(entropy(found)) for found in by_cell.values()])
            most, where = max(zip(points, by_cell))
            told = f"{100 * most:.1f} ({where})"
            lines.append((regime, kind, share, _percent(points), told, quiet))
    return table(lines)


def _sentence(rows: Sequence[Row], cell: str) -> str:
    """What a reader does with this cell."""
    before = chosen(rows, cell=cell, starts="before")
    if not before:
        return f"**{cell}**: nothing was measured."
    seeds = len({row["seed"] for row in before})
    text = (
        f"**{cell}** ({seeds} seed{'s' * (seeds > 1)}): {_percent(accuracy(before, 'oracle'))} % with oracle resets, "
    )
    text += f"{_percent(accuracy(before))} without."
    for regime, name in (("ignored", "cross-entropy on streams"), ("full", "reset_free"), ("separate", "separate")):
        text += _remedies(rows, cell, regime, before, name)
    return text


def _remedies(rows: Sequence[Row], cell: str, regime: str, before: Sequence[Row], name: str) -> str:
    by_kind = {kind: chosen(rows, cell=cell, regime=regime, starts=kind) for kind in STARTS}
    by_kind = {kind: found for kind, found in by_kind.items() if found}
    if not by_kind:
        return ""
    best = max(by_kind, key=lambda kind: statistics.fmean(accuracy(by_kind[kind])))
    good = [kind for kind, found in by_kind.items() if lost(before, found) <= AIM]
    words = "separate samples again" if regime == "separate" else name
    text = f" After {words}: best {best} with {_percent(accuracy(by_kind[best]))} %, entropy in gaps "
    text += f"{_percent(entropy(by_kind[best]))} %; "
    return text + (f"within the aim: {', '.join(good)}." if good else "no kind reaches the aim.")


def _accuracies(dataset: str, rows: Sequence[Row], regime: str) -> str:
    head = ("cell", "before, oracle", "before", *STARTS, "on streams from the beginning: ignored", "full")
    lines: list[tuple[str, ...]] = [head]
    for cell in cells_of(rows):
        before = chosen(rows, cell=cell, starts="before")
        values = [_percent(accuracy(before, policy)) for policy in ("oracle", "never")]
        for kind in STARTS:
            after = chosen(rows, cell=cell, regime=regime, starts=kind)
            text = _percent(accuracy(after))
            values.append(f"**{text}**" if lost(before, after) <= AIM else text)
        lines.append((cell, *values, *_from_the_beginning(dataset, cell, "accuracy")))
    return table(lines)


def _entropies(dataset: str, rows: Sequence[Row], regime: str) -> str:
    lines: list[tuple[str, ...]] = [("cell", "before", *STARTS, "on streams from the beginning: ignored", "full")]
    for cell in cells_of(rows):
        kinds = [_percent(entropy(chosen(rows, cell=cell, regime=regime, starts=kind))) for kind in STARTS]
        before = _percent(entropy(chosen(rows, cell=cell, starts="before")))
        lines.append((cell, before, *kinds, *_from_the_beginning(dataset, cell, "gap_entropy")))
    return table(lines)


def _from_the_beginning(dataset: str, cell: str, what: str) -> tuple[str, ...]:
    """Of never-reset's networks of this cell, which were trained on streams: gaps ignored, full objective."""
    runs = read_runs(STREAMS / f"{dataset}.jsonl").values()
    found = []
    for regime in ("ignored", "full"):
        own = [r for r in runs if (r["config"]["model"]["cell"], r["config"]["regime"]) == (cell, regime)]
        found.append(_percent([run["measured"]["policies"]["never"][what] for run in own]))
    return tuple(found)


def _audits(rows: Sequence[Row]) -> list[str]:
    """What the audit says, beside what was measured."""
    groups: dict[str, list[Row]] = {}
    for row in chosen(rows):
        name = {"before": "before", "package": "of the package, trained on streams"}.get(row["starts"])
        groups.setdefault(name or f"after, {row['regime']}, {row['starts']}", []).append(row)
    head = ("networks", "number", "need resets as measured", *(HELPS, NONE, HARM, UNCLEAR), "collapse after silence")
    lines: list[tuple[str, ...]] = [(*head, "noise", "other samples")]
    for name, group in groups.items():
        said = [row["audit"]["need"] for row in group]
        kinds = [sum(row["audit"]["collapses"].get(k) is not None for row in group) for k in PASTS]
        counts = (len(group), sum(map(needs, group)), *(said.count(need) for need in (HELPS, NONE, HARM, UNCLEAR)))
        lines.append((name, *map(str, counts), *map(str, kinds)))
    before = chosen(rows, starts="before")
    found = sum(row["audit"]["need"] == HELPS for row in before if needs(row))
    fine = [row for row in chosen(rows) if not needs(row)]
    accused_of = [row for row in fine if row["audit"]["need"] == HELPS]
    later = [row for row in accused_of if any(at is not None for at in row["audit"]["collapses"].values())]
    gains = sorted(100 * gain(row) for row in accused_of if row not in later)
    spans = f" (with resets {gains[0]:+.1f} to {gains[-1]:+.1f} points on the streams of the tables)" if gains else ""
    package = chosen(rows, starts="package")
    accused = sum(row["audit"]["need"] == HELPS for row in package)
    audited = rows[0]["settings"]["audited"]
    return [
        "## The audit, before and after",
        f"`asrnn_jax.audit` of each network, on {audited:,} samples. A network needs resets as measured if "
        f"it loses more than {100 * MARGIN:.0f} points to its own oracle on the streams of the tables. Collapses are "
        "those after a past of up to 1,000 steps, ten times as long as a training window.",
        f"Of the {sum(map(needs, before))} networks before that need resets, the audit finds **{found}**. Of the "
        f"{len(fine)} networks that need none as measured, it says of **{len(later)}** that they get worse after a "
        f"past that these streams do not have, and of **{len(gains)}** that resets help on its own streams{spans}. Of "
        f"{len(package)} networks of the package, which were trained on streams, it accuses **{accused}**.",
        table(lines),
    ]
