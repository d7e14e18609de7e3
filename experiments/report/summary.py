"""The page of results, made from run folders alone."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from experiments.errors import UsageError
from experiments.folder import made, placeless, read_json, write_json
from experiments.report import sections
from experiments.report.sections import Run

REMARKS = "remarks"
KEPT = ("metrics.jsonl", "result.json", "timing.json")


def collect(folder: Path, into: Path) -> int:
    """Copies what results are made of, not the weights, of every finished run; returns how many there are.

    Raises:
      UsageError: no finished run in the folder.
    """
    if folder.resolve() == into.resolve():
        raise UsageError(f"--collect {folder}: the results are kept there already; give the folder of the runs.")
    found = [path for path in sorted(folder.glob("*")) if _finished(path)]
    if not found:
        raise UsageError(f"--collect {folder}: no finished run in it.")
    made(str(into), "--results")
    for path in found:
        copy = into / f"{path.name}.{uuid.uuid4().hex}.part"
        try:
            _copy(path, copy)
            shutil.rmtree(into / path.name, ignore_errors=True)  # an older run of the same name, once this one is there
            copy.rename(into / path.name)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
    return len(found)


def _copy(run: Path, into: Path) -> None:
    into.mkdir()
    for name in KEPT:
        if (run / name).exists():
            shutil.copyfile(run / name, into / name)
    config = read_json(run / "config.json")
    write_json(into / "config.json", placeless(config))
    if (run / "diverged.txt").exists():
        said = (run / "diverged.txt").read_text().replace(config["training"]["out"] or run.name, run.name)
        (into / "diverged.txt").write_text(said)


def _finished(folder: Path) -> bool:
    return (folder / "result.json").exists() or (folder / "diverged.txt").exists()


def load_runs(folder: Path) -> dict[str, Run]:
    """Finished runs by name."""
    found = {}
    for path in sorted(folder.glob("*")):
        if not (path / "config.json").exists() or not _finished(path):
            continue
        timing = path / "timing.json"
        found[path.name] = {
            "folder": path,
            "config": read_json(path / "config.json"),
            "result": read_json(path / "result.json") if (path / "result.json").exists() else None,
            "seconds": float(read_json(timing)["seconds"]) if timing.exists() else None,
        }
    return found


def summary(folder: Path) -> str:
    """Writes README.md and the figures of a results folder from its runs, and returns the text.

    Raises:
      UsageError: no finished runs in its subfolder runs.
    """
    runs = load_runs(folder / "runs")
    if not runs:
        raise UsageError(f"{folder}/runs has no finished runs: --collect them, or name run folders.")
    found = {
        "copying": sections.copying(runs, folder),
        "mnist": sections.mnist(runs, folder),
        "ablation": sections.ablation(runs),
        "sensitivity": sections.sensitivity(runs, folder),
        "text": sections.text(runs),
        "distillation": sections.distillation(runs),
    }
    parts = [
        "# Results",
        "Made by `python -m experiments report` from the run folders in [runs](runs); `python -m experiments papers "
        "--data-dir FOLDER` carries the runs out. Times are of one to two CPU cores that other work shared.",
    ]
    for name, section in found.items():
        remarks = folder / REMARKS / f"{name}.md"  # what a person read in the numbers
        parts += [*section, *([remarks.read_text().strip()] if section and remarks.exists() else [])]
    parts += _others(folder)
    text = "\n\n".join(parts)
    (folder / "README.md").write_text(text + "\n")
    return text


def _others(folder: Path) -> list[str]:
    found = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*.md") if path.parent.name != REMARKS)
    others = [name for name in (*(p.name for p in folder.glob("*.md")), *found) if name != "README.md"]
    lines = [f"- [{name}]({name})" for name in others]
    return ["## More", "\n".join(lines)] if lines else []
