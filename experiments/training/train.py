"""One run from a config to its folder, resumable bit for bit."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax

from asrnn_jax.cell import Cell
from experiments import machine
from experiments.config import Config, command, differences, to_json
from experiments.errors import DivergedError, StoppedError, UsageError, disk_full
from experiments.folder import Clock, Metrics, alone, made, read_json, write_json
from experiments.tasks import make_task
from experiments.tasks.task import Task
from experiments.training import divergence, recovery
from experiments.training.checkpoints import Checkpoints
from experiments.training.loop import Records, Run, loop
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.outcome import finish
from experiments.training.probes import Probes
from experiments.training.steps import (
    MakeStep,
    State,
    exchanged,
    initial,
    make_evaluate,
    make_result,
    make_step,
    shards,
)
from experiments.training.watch import Watch


def default_folder(config: Config) -> str:
    return f"runs/{command(config)}-{config.model.cell}-{config.model.hidden}-seed{config.training.seed}"


def train(config: Config, make_step: MakeStep = make_step) -> dict[str, Any]:
    """Carries out a run and returns its result.

    Args:
      config: all that the run depends on.
      make_step: makes its training step; see `experiments.training.together`.

    Raises:
      UsageError: the folder, data, names or values cannot be used; nothing was changed then.
      DivergedError: a metric stopped being finite.
      StoppedError: the disk is full, another process of the run is gone; the message says up to where it is saved.
      SystemExit: 130, 143 or 138 after Ctrl-C, SIGTERM or SIGUSR1, with the run saved.
    """
    task = make_task(config)
    cell = make_model(config.model, task.inputs, task.outputs)
    optimizer = make_optimizer(config.optim, task.steps)
    if task.params is not None:
        task.params(cell)  # a network that does not fit is refused before anything is written
    devices = shards(config.training.batch, task, cell) // machine.processes()
    config = replace(config, training=replace(config.training, devices=devices))
    if not machine.first():  # this process only computes: what it writes goes into a folder that is thrown away
        with tempfile.TemporaryDirectory() as folder:
            training = replace(config.training, out=str(Path(folder) / "run"), resume=False)
            return _train(replace(config, training=training), task, cell, optimizer, make_step)
    return _train(config, task, cell, optimizer, make_step)


def _train(config: Config, task: Task, cell: Cell, optimizer, make_step: MakeStep) -> dict[str, Any]:
    folder = _folder(config)
    with alone(folder):
        _begin(config, folder)
        return _carry_out(config, task, cell, optimizer, folder, make_step)


def _carry_out(config: Config, task: Task, cell: Cell, optimizer, folder: Path, make_step: MakeStep) -> dict[str, Any]:
    checkpoints = Checkpoints(folder / "checkpoints", config)
    programs = make_step(config, task, cell, optimizer), make_evaluate(task, cell), make_result(config, cell)
    run = Run(config, task, cell, optimizer, folder, checkpoints, *programs)
    try:
        step, state = _at_checkpoint(run, resuming=config.training.resume)
        with _accounted(run):
            state = _trained(run, step, state)
            return finish(config, task, run.result(state), folder)
    finally:
        checkpoints.close()


def _at_checkpoint(run: Run, resuming: bool) -> tuple[int, State]:
    """The newest checkpoint, if the run goes on with one; else the start."""
    state = initial(run.config, run.task, run.cell, run.optimizer)
    found = _restored(run.checkpoints, run.folder, state, resuming=True) if resuming else None
    return machine.broadcast_from_process_0(found or (0, state))


def _trained(run: Run, step: int, state: State) -> State:
    """The state after the last step, after rollbacks if need be.

    Raises:
      UsageError: lines of the metrics have been lost.
      DivergedError: it has diverged.
    """
    log_every = run.config.training.log_every
    devices = shards(run.config.training.batch, run.task, run.cell)
    about = {"devices": devices, "bytes_exchanged_a_step": exchanged(state, devices)}
    clock, file = Clock(run.folder / "timing.json", about), run.folder / "rollbacks.jsonl"
    rollbacks = recovery.Rollbacks(run.config.stability, file, run.checkpoints, run.eval_every)
    watch = Watch(run.cell)
    while True:
        metrics = Metrics(run.folder / "metrics.jsonl", step)
        if machine.first() and max(metrics.last, 0) < step // log_every * log_every:
            what = f"{run.folder}/metrics.jsonl ends before the checkpoint of step {step}"
            raise UsageError(f"{what}: lines have been lost.")
        wanted = run.config.training.probe if machine.first() else ()
        every, path = run.config.training.probe_every, run.folder / "probes.jsonl"
        probes = Probes(wanted, every, run.task, run.cell, path, step)
        rate = recovery.rate(state)
        try:
            return loop(run, state, Records(metrics, probes, clock, watch))
        except divergence.NotFiniteError as e:
            first = _replayed(run, e) or e
            if not rollbacks.possible(rate):
                raise _diverged(run, first) from e
            step, state = rollbacks.back(first, rate, partial(_at_checkpoint, run, resuming=True))
        finally:
            probes.close()
            metrics.close()


def _restored(checkpoints: Checkpoints, folder: Path, like: State, resuming: bool = False) -> tuple[int, State] | None:
    try:
        return checkpoints.restore(like, resuming=resuming)
    except (OSError, MemoryError) as e:
        raise StoppedError(f"{folder}: {e}. Nothing was changed: try again.") from e


@contextmanager
def _accounted(run: Run):
    """Says up to which step a run is saved when anything ends it early.

    Raises:
      StoppedError: a disk that is full or cannot be written or read, another process of the run that is gone.
    """
    try:
        yield
    except (UsageError, DivergedError, SystemExit):  # which have said so
        raise
    except BaseException as e:
        last = run.checkpoints.latest()
        kept = f"saved up to step {last} of {run.task.steps}" if last else "not saved"
        said = f"the run is {kept}; go on with: {run.again()}" if last else f"the run is {kept}: start it again"
        if isinstance(e, OSError):
            remedy = "Make room: " if disk_full(e) else ""
            raise StoppedError(f"{run.folder}: {e}. {remedy}{said}") from e
        if isinstance(e, jax.errors.JaxRuntimeError) and machine.processes() > 1:
            said = f"{said}, in all processes" if machine.first() else "the first process says how to go on"
            raise StoppedError(f"another process of this run is gone ({str(e).splitlines()[0][:100]}): {said}") from e
        print(f"{type(e).__name__}: {said}", file=sys.stderr)
        raise


def _replayed(run: Run, e: divergence.NotFiniteError) -> divergence.NotFiniteError | None:
    """The first number that is not finite after the last checkpoint, and its step; None where that cannot be found."""
    if machine.processes() > 1:
        return None
    state = initial(run.config, run.task, run.cell, run.optimizer)
    start, state = run.checkpoints.restore(state) or (0, state)
    return divergence.replay(start, state, e.step, run.train_step, run.task.batch, run.folder)


def _diverged(run: Run, e: divergence.NotFiniteError) -> DivergedError:
    last, again = run.checkpoints.latest(), ""
    kept = "no checkpoint had been saved" if last is None else f"the checkpoint of step {last} is kept"
    if machine.processes() == 1:
        again = f", its batch is in {run.folder / divergence.FILE}"
        again += "" if last is None else f", {run.again()} replays it"
    helps = "" if run.config.stability.on_divergence != "stop" else ", --on-divergence rollback"
    return DivergedError(
        f"{e}: training has diverged; {kept}{again}. Start again with a smaller --lr, a smaller --clip{helps}, or for "
        "asRNN --options saturation=bounded."
    )


def trained(config: Config) -> tuple[Any, Any]:
    """The cell and the trained params of a finished config.

    Raises:
      UsageError: no checkpoint of it.
      StoppedError: the system could not read it now.
    """
    task = make_task(config)
    cell = make_model(config.model, task.inputs, task.outputs)
    checkpoints = Checkpoints(Path(config.training.out or "") / "checkpoints", config)
    try:
        like = initial(config, task, cell, make_optimizer(config.optim, task.steps))
        found = _restored(checkpoints, Path(config.training.out or ""), like)
    finally:
        checkpoints.close()
    if found is None:
        raise UsageError(f"{config.training.out} has no checkpoint: train it again.")
    return cell, make_result(config, cell)(found[1])


def _folder(config: Config) -> Path:
    """The run folder, which exists."""
    out = config.training.out or default_folder(config)
    if not config.training.resume:
        return made(out)
    read_json(Path(out) / "config.json")
    return Path(out)


def _begin(config: Config, folder: Path) -> None:
    """Checks that a resumed run is the one that was begun; begins a new one."""
    stored = folder / "config.json"
    if config.training.resume:
        changes = differences(read_json(stored), config)
        if changes:
            raise UsageError(
                f"--resume: {folder} was made by another configuration ({', '.join(changes)}); leave these flags out, "
                "or start in a new folder."
            )
        for unfinished in folder.glob("*.part"):  # of a process that was killed while it wrote
            unfinished.unlink()
        (folder / "figures").mkdir(exist_ok=True)  # empty folders get lost on the way through archives
        return
    if any(folder.iterdir()):
        remedy = "add --resume to go on with it, or give" if stored.exists() else "give"
        raise UsageError(f"--out {folder} exists and is not empty: {remedy} another --out.")
    try:
        write_json(stored, to_json(config))
        (folder / "figures").mkdir()
    except OSError as e:
        raise UsageError(f"--out {folder} cannot be written ({e.strerror}): give another folder.") from e
