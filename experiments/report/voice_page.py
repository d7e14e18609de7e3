"""The part of the audit's page that is about voice detectors, made of the rows of `experiments.tools.voice`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrnn_jax.saved import replacing
from experiments.report.drawing import pyplot, save
from experiments.report.tables import shown, spread, table

Row = dict[str, Any]
RECIPES = {
    "reset-free": "ours: state coverage and the objective",
    "covered": "state coverage, cross-entropy",
    "usual": "fresh states, cross-entropy",
}
QUIET = ("silence", "noise -60 dB", "noise -45 dB", "noise -30 dB")
NEVER, OFTEN = "never", "every 5 s"


def add(found: dict[str, Any], folder: Path) -> str:
    """Adds the results to audit.json in the folder, where there is one, writes the page and the figure there.

    Returns:
      The part of the page.
    """
    file = folder / "audit.json"
    if file.exists():
        from experiments.tools.audit_checks import page

        whole = json.loads(file.read_text()) | {"voice": found}
        for path, text in ((file, json.dumps(whole, indent=1)), (folder / "README.md", page(whole))):
            with replacing(path, "w") as out:
                out.write(text + "\n")
    draw(found["rows"], folder / "voice.png")
    return section(found)


def section(found: dict[str, Any]) -> str:
    """The tables."""
    config, rows = found["config"], found["rows"]
    theirs, ours = split(rows)
    unseen = " and ".join(config["unseen"])
    words, more = (ours["reset-free"][0][kind][NEVER]["all"]["words"] for kind in ("minutes", "hour"))
    seeds = "One seed." if config["seeds"] == 1 else f"Mean ± standard deviation of {config['seeds']} seeds."
    flag = " --detector FILE.onnx" if theirs else ""
    compared = (
        " The detector of others was made for all languages, rooms and noises, ours for this kind of sound, with the "
        "same synthetic noise in training; that it finds more here says nothing of other sound. What can be compared "
        "is what a reset is worth to each."
    )
    firsts = [own[0] for own in ours.values()]
    return "\n\n".join(
        [
            "## A voice detector of our own",
            f"`python -m experiments voice --data-dir FOLDER{flag}` trains and measures it; "
            "[the network](../../../asrnn_jax/pretrained/__init__.py) is `voice-gru`. Ten streams of "
            f"{config['seconds'] // 60} minutes with {words:,} words of {unseen}, whom it never heard (four others "
            "trained it), gaps of 0.3 to 15 s, words at -32 to -20 dB: two streams in digital silence, two each in "
            "noise (white, pink) of -60, -45, -30 dB, two with other sounds as loud as speech in half of the gaps: "
            "tones, bursts, knocks, which training had too, and sirens and buzzes, which it had not. Recordings are "
            "cut to what is within 35 dB of their loudest 16 ms; speech is where a recording lies. A word is found if "
            "one step in it says speech; alarms within 0.5 s are one; 0.25 s after a word do not count. Chosen: the "
            "threshold that costs 10 false alarms an hour on the training speakers, without sirens and buzzes; ours "
            f"always is. {seeds}",
            table([HEAD, *_lines(theirs, ours, "minutes")]),
            "Words found in % and, in brackets, false alarms per hour of gaps, in each room:",
            table(_rooms(theirs, ours["reset-free"])),
            "The audits of these streams: speech found in % of the steps (false alarms in %).",
            table(_policies([*theirs, *firsts])),
            *(f"- {_name(row)}: {row['audit']['verdict']['text']}" for row in [*theirs, *firsts]),
            *_of_usual(ours),
            f"For {config['length'] // 60} minutes, ten streams with {more:,} words; cost is microseconds of CPU time "
            "for a second of sound in chunks of 32 ms:",
            table(_with_costs([HEAD, *_lines(theirs, ours, "hour")], theirs, ours["reset-free"][0])),
            _costs(ours["reset-free"][0]),
            "Limits: digits of six speakers are not the world; recordings of two of them are all that was tested, with "
            f"synthetic noise and without echo, music or babble.{compared if theirs else ''}",
            "![words found along the streams, by room, false alarms by room, speech found after a past](voice.png)",
        ]
    )


def split(rows: Sequence[Row]) -> tuple[list[Row], dict[str, list[Row]]]:
    """Detectors of others, and ours by recipe."""
    ours = {recipe: [row for row in rows if row.get("recipe") == recipe] for recipe in RECIPES}
    return [row for row in rows if "recipe" not in row], {recipe: own for recipe, own in ours.items() if own}


def _of_usual(ours: dict[str, list[Row]]) -> list[str]:
    """Whether networks that were trained as usual collapse too, and what the other way to train is then worth."""
    needs = {row["audit"]["verdict"]["need"] for row in ours.get("usual", [])}
    if not needs or not needs <= {"needs none", "resets do harm"}:
        return []

    def of(recipe: str, key: str, factor: float = 1.0) -> str:
        return spread([factor * row["hour"][NEVER]["all"][key] for row in ours[recipe]])

    return [
        "The networks trained from fresh states do not collapse either, so what state coverage and the objective are "
        "worth here is no reset saved, but words found: never reset, over the long streams below, "
        f"{of('reset-free', 'found', 100)} % of them instead of {of('usual', 'found', 100)} %, at "
        f"{of('reset-free', 'alarms')} false alarms an hour instead of {of('usual', 'alarms')}."
    ]


HEAD = ("detector", "resets", "words found, %", "steps, %", "alarms / h", "without other sounds", "delay, ms")
HEAD += ("first tenth, %", "last tenth, %")


def _lines(theirs: Sequence[Row], ours: dict[str, list[Row]], kind: str) -> list[tuple[str, ...]]:
    """All detectors, for "minutes" or for the "hour"."""
    lines = []
    for row in theirs:
        lines += [_line(f"{row['name']}, 0.5", policy, [row[kind]]) for policy in (NEVER, OFTEN)]
        for policy, found in row["chosen"].items():
            at = found["hour"] if kind == "hour" else found
            numbers = (100 * at["found"], 100 * at["recall"], at["alarms"])
            name = f"{row['name']}, chosen {found['threshold']:.2f}"
            lines.append((name, policy, *map(shown, numbers), "", shown(1000 * at["delay"], ".0f"), "", ""))
    return lines + [
        _line(RECIPES[recipe], policy, [row[kind] for row in own])
        for recipe, own in ours.items()
        for policy in (NEVER, OFTEN)
    ]


def _with_costs(lines: Sequence[tuple[str, ...]], theirs: Sequence[Row], ours: Row) -> list[tuple[str, ...]]:
    """The table with one more column. All of ours are of one size, so they cost the same."""
    costs = {row["name"]: row["cost"]["32 ms"] for row in theirs}
    known = [costs.get(line[0].split(",")[0], ours["cost"]["32 ms"]) for line in lines[1:]]
    return [(*lines[0], "cost, µs / s"), *((*line, f"{cost:,.0f}") for line, cost in zip(lines[1:], known))]


def _line(name: str, policy: str, found: Sequence[Row]) -> tuple[str, ...]:
    measured = [each[policy] for each in found]

    def of(key: str, factor: float = 1.0, form: str = ".1f") -> str:
        return spread([factor * each["all"][key] for each in measured], form)

    quiet = [sum(each["rooms"][room]["alarms"] for room in QUIET) / len(QUIET) for each in measured]
    ends = (spread([100 * each["along"][k] for each in measured]) for k in (0, -1))
    counts = (of("found", 100), of("recall", 100), of("alarms"), spread(quiet), of("delay", 1000, ".0f"))
    return (name, policy, *counts, *ends)


def _rooms(theirs: Sequence[Row], ours: Sequence[Row]) -> list[tuple[str, ...]]:
    columns = [(f"{row['name']}, {policy}", policy, [row]) for row in theirs for policy in (NEVER, OFTEN)]
    columns.append((f"ours, {NEVER}", NEVER, list(ours)))
    lines: list[tuple[str, ...]] = [("room", *(name for name, _, _ in columns))]
    for room in ours[0]["minutes"][NEVER]["rooms"]:
        cells = []
        for _, policy, rows in columns:
            at = [row["minutes"][policy]["rooms"][room] for row in rows]
            found, alarms = (sum(each[key] for each in at) / len(at) for key in ("found", "alarms"))
            cells.append(f"{100 * found:.1f} ({alarms:.1f})")
        lines.append((room, *cells))
    return lines


def _policies(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    names = list(rows[-1]["policies"])
    lines: list[tuple[str, ...]] = [("detector", *names)]
    for row in rows:
        at = (row["policies"][name] for name in names)
        cells = (f"{100 * each['recall']:.1f} ({100 * each['false share']:.1f})" for each in at)
        lines.append((_name(row), *cells))
    return lines


def _name(row: Row) -> str:
    return RECIPES[row["recipe"]] if "recipe" in row else row["name"]


def _costs(ours: Row) -> str:
    own = ours["cost"]
    return (
        f"The cost of ours, {own['32 ms']:,.0f}, is that of features and of a Session, in Python and JAX; in chunks of "
        f"1 s it is {own['1 s']:,.0f}. Ours has {ours['parameters']:,} parameters."
    )


def draw(rows: Sequence[Row], out: Path) -> None:
    """Along the streams, by room, and after a past."""
    plt = pyplot()
    from asrnn_jax.plot.style import COLOURS, tidy

    theirs, ours = split(rows)
    shown_ = [(f"{row['name']}, {policy}", policy, [row]) for row in theirs for policy in (NEVER, OFTEN)]
    shown_.append(("ours, never", NEVER, ours["reset-free"]))
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    rooms = list(rows[0]["minutes"][NEVER]["rooms"])
    for i, (name, policy, group) in enumerate(shown_):
        style = {"color": COLOURS[i], "label": name}
        for k, row in enumerate(group):
            part = row["minutes"][policy]
            label = name if k == 0 else None
            tenths = range(1, 1 + len(part["along"]))
            axes[0, 0].plot(tenths, [100 * v for v in part["along"]], "o-", color=COLOURS[i], label=label, ms=3)
            place = [at + 0.15 * (i - 1) for at in range(len(rooms))]
            marks = {"marker": "o", "linestyle": "", "color": COLOURS[i], "label": label, "markersize": 5}
            axes[0, 1].plot(place, [100 * part["rooms"][room]["found"] for room in rooms], **marks)
            axes[1, 1].plot(place, [part["rooms"][room]["alarms"] for room in rooms], **marks)
        if policy == NEVER:
            seconds = 0.032 if "recipe" not in group[0] else 0.016
            for gap, dash in zip(group[0]["audit"]["after_gaps"], ("-", "--", ":")):
                times = [max(seconds * n, 0.05) for n in gap["lengths"]]
                axes[1, 0].plot(
                    times,
                    [100 * v for v in gap["score"]],
                    dash,
                    **style | {"label": f"{name.split(',')[0]}, {gap['kind']}"},
                )
    tidy(axes[0, 0], "tenth of the streams of ten minutes", "words found, %")
    tidy(axes[1, 0], "seconds of a past of one kind (0.05: none)", "speech found in the word after it, %")
    axes[1, 0].set_xscale("log")
    for ax, label in ((axes[0, 1], "words found, %"), (axes[1, 1], "false alarms per hour")):
        ax.set_xticks(range(len(rooms)), [room.replace(" ", "\n", 1) for room in rooms], fontsize=8)
        tidy(ax, "", label, legend=False)
    axes[1, 1].set_yscale("symlog", linthresh=1)
    axes[1, 1].set_ylim(-0.3, 500)
    for ax in (axes[0, 0], axes[0, 1], axes[1, 0]):
        ax.set_ylim(min(ax.get_ylim()[0], 70), 101)
    save(figure, out)
