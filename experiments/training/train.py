"""The training loop: one run from a config to its folder, resumable bit for bit."""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from tqdm import tqdm

from asrnn_jax import parallel
from asrnn_jax.cell import Cell
from experiments import machine
from experiments.config import Config, command, differences, to_json
from experiments.errors import DivergedError, StoppedError, UsageError, disk_full
from experiments.folder import Clock, Metrics, alone, made, read_json, write_json
from experiments.tasks import make_task
from experiments.tasks.task import Task
from experiments.training import divergence
from experiments.training.checkpoints import Checkpoints
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.outcome import Best, finish
from experiments.training.probes import Probes
from experiments.training.signals import caught_signals
from experiments.training.steps import State, exchanged, initial, make_evaluate, make_step, of_shares, shards


def default_folder(config: Config) -> str:
    return f"runs/{command(config)}-{config.model.cell}-{config.model.hidden}-seed{config.training.seed}"


def train(config: Config) -> dict[str, Any]:
    """Carries out a run and returns its result.

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
            return _train(replace(config, training=training), task, cell, optimizer)
    return _train(config, task, cell, optimizer)


def _train(config: Config, task: Task, cell: Cell, optimizer) -> dict[str, Any]:
    folder = _folder(config)
    with alone(folder):
        _begin(config, folder)
        return _carry_out(config, task, cell, optimizer, folder)


def _carry_out(config: Config, task: Task, cell: Cell, optimizer, folder: Path) -> dict[str, Any]:
    state = initial(config, task, cell, optimizer)
    checkpoints = Checkpoints(folder / "checkpoints", config)
    try:
        found = _restored(checkpoints, folder, state, resuming=True) if config.training.resume else None
        step, state = machine.broadcast_from_process_0(found or (0, state))
        with _accounted(config, task, folder, checkpoints):
            metrics = Metrics(folder / "metrics.jsonl", step)
            if machine.first() and max(metrics.last, 0) < step // config.training.log_every * config.training.log_every:
                what = f"{folder}/metrics.jsonl ends before the checkpoint of step {step}"
                raise UsageError(f"{what}: lines have been lost.")
            wanted = config.training.probe if machine.first() else ()
            probes = Probes(wanted, config.training.probe_every, task, cell, folder / "probes.jsonl", step)
            try:
                state = _loop(config, task, cell, optimizer, state, folder, checkpoints, metrics, probes)
            except divergence.NotFiniteError as e:
                raise _diverged(e, config, task, cell, optimizer, folder, checkpoints) from e
            finally:
                probes.close()
                metrics.close()
            return finish(config, task, state, folder)
    finally:
        checkpoints.close()


def _restored(checkpoints: Checkpoints, folder: Path, like: State, resuming: bool = False) -> tuple[int, State] | None:
    try:
        return checkpoints.restore(like, resuming=resuming)
    except (OSError, MemoryError) as e:
        raise StoppedError(f"{folder}: {e}. Nothing was changed: try again.") from e


@contextmanager
def _accounted(config: Config, task: Task, folder: Path, checkpoints: Checkpoints):
    """Says up to which step a run is saved when anything ends it early.

    Raises:
      StoppedError: a disk that is full or cannot be written or read, another process of the run that is gone.
    """
    try:
        yield
    except (UsageError, DivergedError, SystemExit):  # which have said so
        raise
    except BaseException as e:
        last = checkpoints.latest()
        kept = f"saved up to step {last} of {task.steps}" if last else "not saved"
        again = f"go on with: python -m experiments {command(config)} --out {shlex.quote(str(folder))} --resume"
        said = f"the run is {kept}; {again}" if last else f"the run is {kept}: start it again"
        if isinstance(e, OSError):
            remedy = "Make room: " if disk_full(e) else ""
            raise StoppedError(f"{folder}: {e}. {remedy}{said}") from e
        if isinstance(e, jax.errors.JaxRuntimeError) and machine.processes() > 1:
            said = f"{said}, in all processes" if machine.first() else "the first process says how to go on"
            raise StoppedError(f"another process of this run is gone ({str(e).splitlines()[0][:100]}): {said}") from e
        print(f"{type(e).__name__}: {said}", file=sys.stderr)
        raise


def _diverged(
    e: divergence.NotFiniteError, config: Config, task: Task, cell: Cell, optimizer, folder: Path, checkpoints
) -> DivergedError:
    last = checkpoints.latest()
    kept = "no checkpoint had been saved" if last is None else f"the checkpoint of step {last} is kept"
    what, again = str(e), ""
    if machine.processes() == 1:
        state = initial(config, task, cell, optimizer)
        start, state = checkpoints.restore(state) or (0, state)
        train_step = make_step(config, task, cell, optimizer)
        what = divergence.replay(start, state, e.step, train_step, task.batch, folder) or what
        out = shlex.quote(str(folder))
        again = f", its batch is in {folder / divergence.FILE}"
        if last is not None:
            again += f", python -m experiments {command(config)} --out {out} --resume replays it"
    return DivergedError(
        f"{what}: training has diverged; {kept}{again}. Start again with a smaller --lr, a smaller --clip, or for "
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
    return cell, found[1].params


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
        return
    if any(folder.iterdir()):
        remedy = "add --resume to go on with it, or give" if stored.exists() else "give"
        raise UsageError(f"--out {folder} exists and is not empty: {remedy} another --out.")
    try:
        write_json(stored, to_json(config))
        (folder / "figures").mkdir()
    except OSError as e:
        raise UsageError(f"--out {folder} cannot be written ({e.strerror}): give another folder.") from e


def _loop(
    config, task: Task, cell: Cell, optimizer, state: State, folder: Path, checkpoints, metrics: Metrics, probes: Probes
) -> State:
    train_step, evaluate = make_step(config, task, cell, optimizer), make_evaluate(task, cell)
    log_every = config.training.log_every
    eval_every = config.training.eval_every or task.epoch or max(1, task.steps // 10)
    step, logged = int(state.step), int(state.step) // log_every * log_every
    devices = shards(config.training.batch, task, cell)
    about = {"devices": devices, "bytes_exchanged_a_step": exchanged(state, devices)}
    clock = Clock(folder / "timing.json", about)
    shown: dict[str, str] = {}
    with (
        caught_signals() as caught,
        tqdm(
            total=task.steps,
            initial=step,
            desc=config.model.cell,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not machine.first(),
        ) as bar,
    ):
        best = Best(config, task, folder, step)
        probes.at(step, state.params)
        while step < task.steps:
            batch = jax.block_until_ready(parallel.replicate(task.batch(step)))
            # One program at a time: XLA's CPU devices, which share threads, can block each other in two of them.
            state, now = jax.block_until_ready(train_step(state, batch))
            step += 1
            bar.update()
            last = step == task.steps
            stop = machine.any_process(bool(caught)) if step % log_every == 0 or machine.processes() == 1 else False
            if step % log_every == 0 or last:
                means = {name: float(total) / (step - logged) for name, total in state.sums.items()}
                divergence.check(means, step)
                means = of_shares(means, task)
                divergence.check_gradient(float(now["gradient_norm"]), step)
                metrics.write(step, **{f"train_{name}": value for name, value in means.items()})
                state, logged = state._replace(sums=jax.tree.map(jnp.zeros_like, state.sums)), step
                shown |= {name: f"{value:.4g}" for name, value in means.items()}
                bar.set_postfix(shown, refresh=False)
            if step % eval_every == 0 or last:
                tested = evaluate(state.params)
                divergence.check(tested, step)
                metrics.write(step, **tested)
                best.offer(step, tested, state.params)
                shown |= {f"test_{task.metric}": f"{tested[f'test_{task.metric}']:.4g}"}
                bar.set_postfix(shown, refresh=False)
            probes.at(step, state.params)
            if step % config.training.checkpoint_every == 0 or last or stop:
                divergence.check({f"{name} of the batch": value for name, value in now.items()}, step)
                divergence.check(divergence.broken(state), step)
                metrics.sync()
                probes.sync()
                checkpoints.save(step, state)
                clock.save()
            if stop and not last:
                bar.close()
                by = caught[0] if caught else signal.SIGTERM  # which another process was sent
                if not machine.first():
                    raise SystemExit(128 + by)
                print(
                    f"stopped by {by.name} and saved at step {step} of {task.steps}; go on with: python -m "
                    f"experiments {command(config)} --out {shlex.quote(str(folder))} --resume",
                    file=sys.stderr,
                )
                raise SystemExit(128 + by)
    return state
