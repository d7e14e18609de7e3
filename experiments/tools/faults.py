"""Does harm to real runs on purpose: killed processes, damaged checkpoints, a full disk, a second process."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from experiments.config import from_json
from experiments.errors import DamagedError, UsageError
from experiments.folder import made, read_json
from experiments.report.tables import table, typed
from experiments.tasks import make_task
from experiments.tools.soak import Row, soak
from experiments.training.checkpoints import Checkpoints
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.steps import initial

SAME = ("metrics.jsonl", "result.json")  # of a run that was hurt and of one that was not: byte for byte
RUN = (
    *("copy-memory", "--symbols", "3", "--delay", "12", "--hidden", "16", "--batch", "16", "--cell", "asrnn"),
    *("--log-every", "7", "--eval-every", "50", "--checkpoint-every", "20", "--devices", "1"),
)
DISKS = (60, 120, 150, 180, 210)  # kilobytes: full at the start, and after one checkpoint or two


@dataclass(frozen=True)
class Faults:
    """Hurt small runs in every way that machines do, and count what was lost."""

    out: str = "faults"
    """Folder for the runs and the table, faults.md. It must be empty, or not be there."""
    kills: int = 50
    """Number of times that a run is killed (SIGKILL) at a random moment."""
    steps: int = 400
    """Steps of each run."""
    soak: int = 1_000_000
    """Steps of a session that is fed in random chunks, with silence, broken samples, saves, loads and changes of
    policy."""
    seed: int = 0
    """Seed of the random moments and chunks."""

    def __post_init__(self):
        for name in ("kills", "steps", "soak"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} {getattr(self, name)}: give at least 1.")


def faults(settings: Faults) -> str:
    """Does all of it and returns the table, which is also written to a file.

    Raises:
      UsageError: a folder that is not empty.
    """
    out = made(settings.out)
    if any(out.iterdir()):
        raise UsageError(f"--out {out} exists and is not empty: give another --out.")
    straight = out / "straight"
    begin = time.perf_counter()
    _run(settings, straight)
    seconds = time.perf_counter() - begin
    rows = [
        _kills(settings, straight, seconds),
        *_damage(straight, out / "damaged"),
        _full_disk(settings, straight, out),
        _second_process(settings, straight, out / "twice"),
        *soak(settings.soak, settings.seed, out / "session.safetensors"),
    ]
    lines = [("fault", "tried", "survived", "lost", "what survived means"), *_aligned(rows)]
    text = (
        f"Runs of {settings.steps} steps, {platform.machine()}, {os.cpu_count()} cores, JAX {jax.__version__}. "
        f"Survived: ended with the same bytes in {', '.join(SAME)} as a run that nothing happened to, unless said "
        f"otherwise.\n\n    {typed('faults', settings)}\n\n{table(lines)}"
    )
    (out / "faults.md").write_text(f"# Faults\n\n{text}\n")
    return text


def _aligned(rows: list[Row]) -> Iterator[tuple[str, ...]]:
    for what, tried, survived, means in rows:
        yield what, str(tried), str(survived), str(tried - survived) if tried else "-", means


def _command(settings: Faults, folder: Path, resume: bool = False) -> list[str]:
    flags = ["copy-memory", "--resume"] if resume else [*RUN, "--steps", str(settings.steps)]
    return [sys.executable, "-m", "experiments", *flags, "--out", str(folder)]


def _run(settings: Faults, folder: Path, resume: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(settings, folder, resume), capture_output=True, text=True)


def _equal(folder: Path, straight: Path) -> bool:
    return all(
        (folder / name).exists() and (folder / name).read_bytes() == (straight / name).read_bytes() for name in SAME
    )


def _kills(settings: Faults, straight: Path, seconds: float) -> Row:
    """One run after the other. Each is killed up to five times before it may end."""
    rng, killed, whole, bad = np.random.default_rng(settings.seed), 0, 0, 0
    folder = straight.parent / "killed"
    with tqdm(total=settings.kills, desc="kills", unit="kill") as bar:
        while killed < settings.kills:
            shutil.rmtree(folder, ignore_errors=True)
            times = 0
            for _ in range(5):
                if killed == settings.kills:
                    break
                begun = (folder / "config.json").exists()
                process = subprocess.Popen(
                    _command(settings, folder, begun), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                try:
                    process.wait(timeout=rng.uniform(0, seconds))
                    break  # it ended before
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                killed, times = killed + 1, times + 1
                bar.update()
            if (folder / "config.json").exists():
                _run(settings, folder, resume=True)
            else:  # killed before there was anything
                shutil.rmtree(folder, ignore_errors=True)
                _run(settings, folder)
            good = _equal(folder, straight)
            whole, bad = whole + times * good, bad + times * (not good)
    return "SIGKILL at a random moment", killed, whole, "resumed to the same bytes"


def _damage(straight: Path, folder: Path) -> Iterator[Row]:
    """Damages each file of the newest checkpoint in turn. What is restored must be a saved state, bit for bit."""
    config = from_json(read_json(straight / "config.json"))
    task = make_task(config)
    cell = make_model(config.model, task.inputs, task.outputs)
    like = initial(config, task, cell, make_optimizer(config.optim, task.steps))
    saved = straight / "checkpoints"
    steps = sorted(int(path.name) for path in saved.iterdir() if path.name.isdigit())
    truth = {step: _restored(saved, config, like, step, folder) for step in steps}
    files = [path.relative_to(saved) for path in sorted((saved / str(steps[-1])).rglob("*")) if path.is_file()]
    for how in ("flipped", "truncated", "deleted"):
        survived = newest = 0
        for file in files:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(saved, folder)
            target, data = folder / file, (saved / file).read_bytes()
            middle = len(data) // 2
            if how == "deleted":
                target.unlink()
            else:
                end = data[middle + 1 :] if how == "flipped" else b""
                target.write_bytes(
                    data[:middle] + (bytes([data[middle] ^ 1]) if how == "flipped" and data else b"") + end
                )
            try:
                step, state = _restore(folder, config, like)
            except DamagedError:
                continue
            good = all(map(np.array_equal, jax.tree.leaves(state), jax.tree.leaves(truth[step])))
            survived, newest = survived + good, newest + (good and step == steps[-1])
        means = f"an undamaged state is restored: {newest} times the newest, else the one before"
        yield f"a file of a checkpoint {how}", len(files), survived, means


def _restore(folder: Path, config: Any, like: Any) -> tuple[int, Any]:
    checkpoints = Checkpoints(folder, config)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = checkpoints.restore(like)
    finally:
        checkpoints.close()
    assert found is not None
    return found


def _restored(saved: Path, config: Any, like: Any, step: int, folder: Path) -> Any:
    """The state of one step, restored from a folder without other steps."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(saved / str(step), folder / str(step))
    return _restore(folder, config, like)[1]


# A file system of a few hundred kilobytes of its own, without being the machine's administrator; then more room.
FULL = """
mount -t tmpfs -o size=$1k tmpfs $2 || exit 99
shift 2; target=$1; shift
"$@" --out $target/run > $target.log 2>&1; echo $?
mount -o remount,size=50m $target
cp $target.log $target/log
"$1" -m experiments copy-memory --out $target/run --resume > /dev/null 2>&1
mkdir $target.kept; cp $target/log $target/run/metrics.jsonl $target/run/result.json $target.kept/
"""


def _full_disk(settings: Faults, straight: Path, out: Path) -> Row:
    """Runs on disks of several sizes. A run must say up to where it is saved, with exit code 1, and go on when there is
    room."""
    what, tried, survived = "disk full", 0, 0
    for size in DISKS:
        target = out / f"disk{size}"
        target.mkdir()
        command = _command(settings, target)[:-2]
        shell = ["unshare", "-Urm", "bash", "-c", FULL, "-", str(size), str(target), str(target), *command]
        try:
            done = subprocess.run(shell, capture_output=True, text=True)
        except FileNotFoundError:
            done = None
        if done is None or done.returncode == 99 or "unshare" in done.stderr:
            return what, 0, 0, "not tried: this machine lets nobody mount a small file system"
        if done.stdout.strip() == "0":  # it fitted
            continue
        tried += 1
        kept = Path(f"{target}.kept")
        said = (kept / "log").read_text()
        told = done.stdout.strip() in ("1", "2") and any(line.startswith("error: ") for line in said.splitlines())
        survived += told and ("saved up to step" not in said or _equal(kept, straight))
    return what, tried, survived, "one line and exit code 1 or 2; resumed when there is room, where anything was saved"


def _second_process(settings: Faults, straight: Path, folder: Path) -> Row:
    first = subprocess.Popen(_command(settings, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (folder / "config.json").exists() and first.poll() is None:
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # so that it is still there when the second comes
    second = _run(settings, folder, resume=True)
    first.send_signal(signal.SIGCONT)
    first.wait()
    refused = second.returncode == 2 and "another process" in second.stderr
    return "a second run in one folder", 1, int(refused and _equal(folder, straight)), "the second is refused"
