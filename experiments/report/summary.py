"""The page of results, made from the file of finished runs alone."""

from __future__ import annotations

import re
from pathlib import Path

from experiments.errors import UsageError
from experiments.folder import made
from experiments.packed import portable, read_run, read_runs, write_runs
from experiments.report import mnist, recommended, sections, sensitivity

RUNS, REMARKS = "runs.jsonl", "remarks.md"


def collect(folder: Path, into: Path) -> int:
    """Adds every finished run to a file, without its weights, and returns how many there are.

    Raises:
      UsageError: no finished run in the folder.
    """
    found = [path for path in sorted(folder.glob("*")) if _finished(path)]
    if not found:
        raise UsageError(f"--collect {folder}: no finished run in it.")
    made(str(into.parent), "--results")
    # All are read before the file is written: what cannot be read costs nothing that was collected before.
    runs = read_runs(into) | {path.name: portable(read_run(path)) for path in found}
    write_runs(into, runs.values())
    return len(found)


def _finished(folder: Path) -> bool:
    return (folder / "result.json").exists() or (folder / "diverged.txt").exists()


def summary(folder: Path) -> str:
    """Writes README.md and the figures of a results folder from its runs, and returns the text.

    Raises:
      UsageError: no finished runs in it.
    """
    runs = read_runs(folder / RUNS)
    if not runs:
        raise UsageError(f"{folder / RUNS} has no finished runs: --collect them, or name run folders.")
    found = {
        "copying": sections.copying(runs, folder),
        "mnist": mnist.mnist(runs, folder),
        "recommended": recommended.recommended(runs),
        "ablation": sections.ablation(runs),
        "sensitivity": sensitivity.sensitivity(runs, folder),
        "stability": sections.stability(runs),
        "text": sections.text(runs),
        "distillation": sections.distillation(runs),
    }
    parts = [
        "# Results",
        f"`python -m experiments report` makes this page from the runs in [{RUNS}]({RUNS}); `python -m experiments "
        "papers --data-dir FOLDER` carries the runs out. Times are of one or two CPU cores, on which other "
        "work ran too.",
    ]
    remarks = _remarks(folder / REMARKS)
    for name, section in found.items():
        parts += [*section, *([remarks[name]] if section and name in remarks else [])]
    parts += _others(folder)
    text = "\n\n".join(parts)
    (folder / "README.md").write_text(text + "\n")
    return text


def _remarks(path: Path) -> dict[str, str]:
    """The remarks that a person wrote, by section. In the file each has the name of its section as a heading."""
    _, *parts = re.split(r"^# (\w+)$", path.read_text() if path.exists() else "", flags=re.MULTILINE)
    return dict(zip(parts[::2], map(str.strip, parts[1::2])))


def _others(folder: Path) -> list[str]:
    found = sorted(path.relative_to(folder).as_posix() for path in (*folder.glob("*.md"), *folder.glob("*/*.md")))
    others = sorted(set(found) - {"README.md", REMARKS}, key=lambda name: ("/" in name, name))
    lines = [f"- [{name}]({name})" for name in others]
    return ["## More", "\n".join(lines)] if lines else []
