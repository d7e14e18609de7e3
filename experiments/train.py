"""The training loop: one run from a config to its folder, resumable bit for bit."""

from __future__ import annotations

import hashlib
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

import asrnn_jax
from asrnn_jax import pretrained
from asrnn_jax.cell import Cell
from experiments import divergence, figures, machine
from experiments.checkpoints import Checkpoints
from experiments.config import Config, command, differences, to_json
from experiments.errors import DivergedError, StoppedError, UsageError, disk_full
from experiments.folder import Metrics, alone, made, read_json, read_metrics, write_json
from experiments.model import make_model, network
from experiments.optimizer import make_optimizer
from experiments.probes import Probes
from experiments.tasks import Task, make_task


class State(NamedTuple):
    """All that a run carries from step to step; random numbers and data follow from the seed and `step`."""

    params: Any
    opt_state: Any
    step: jax.Array
    sums: dict[str, jax.Array]  # of the metrics since the last log line
    memory: Any = ()  # what a task carries from batch to batch
    control: Any = ()  # what follows the metrics


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
        found = checkpoints.restore(state) if config.training.resume else None
        step, state = machine.from_first(found or (0, state))
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
            return _finish(config, task, state, folder)
    finally:
        checkpoints.close()


@contextmanager
def _accounted(config: Config, task: Task, folder: Path, checkpoints: Checkpoints):
    """Whatever ends a run before its end, it is said up to where it is saved.

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
        "asRNN --saturation bounded."
    )


def trained(config: Config) -> tuple[Any, Any]:
    """The cell and the trained params of a finished config.

    Raises:
      UsageError: no checkpoint of it.
    """
    task = make_task(config)
    cell = make_model(config.model, task.inputs, task.outputs)
    checkpoints = Checkpoints(Path(config.training.out or "") / "checkpoints", config)
    try:
        found = checkpoints.restore(initial(config, task, cell, make_optimizer(config.optim, task.steps)))
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
        return
    if any(folder.iterdir()):
        remedy = "add --resume to go on with it, or give" if stored.exists() else "give"
        raise UsageError(f"--out {folder} exists and is not empty: {remedy} another --out.")
    try:
        write_json(stored, to_json(config))
        (folder / "figures").mkdir()
    except OSError as e:
        raise UsageError(f"--out {folder} cannot be written ({e.strerror}): give another folder.") from e


def initial(config: Config, task: Task, cell: Cell, optimizer: optax.GradientTransformation) -> State:
    """What a run starts from."""
    params = cell.init(jax.random.key(config.training.seed))
    apply = partial(asrnn_jax.run, cell)
    memory = () if task.memory is None else task.memory(cell, params)
    control = () if task.control is None else task.control.init()
    _, metrics, _ = jax.eval_shape(partial(task.loss, apply), params, task.batch(0), memory, control)
    sums = {name: jnp.zeros(()) for name in ("loss", *metrics)}
    return State(params, optimizer.init(params), jnp.zeros((), jnp.int32), sums, memory, control)


def shards(rows: int, task: Task, cell: Cell) -> int:
    """Devices that a batch of this many sequences is shared among."""
    params = jax.eval_shape(cell.init, jax.random.key(0))
    return machine.shards(rows, rows * task.length * asrnn_jax.optim.count(params))


def exchanged(state: State, devices: int) -> int:
    """Bytes that each of several devices hands to the others in a step: the gradient and the sums of the metrics."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves((state.params, state.sums))) if devices > 1 else 0


def make_step(
    config: Config, task: Task, cell: Cell, optimizer: optax.GradientTransformation, devices: int | None = None
):
    """The jitted training step ``(state, batch) -> (state, metrics of the batch)``; devices: None, as many as pay."""
    root = jax.random.fold_in(jax.random.key(config.training.seed), 3)
    devices = devices or shards(config.training.batch, task, cell)

    def mean_loss(params, batch, memory, step, control):
        dropout = None
        if config.model.dropout:
            dropout = jax.random.fold_in(root, step)
            dropout = jax.random.fold_in(dropout, jax.lax.axis_index("batch")) if devices > 1 else dropout
        apply = partial(asrnn_jax.run, cell, key=dropout)
        loss, metrics, memory = task.loss(apply, params, batch, memory, control)
        metrics = {name: value.mean() for name, value in {"loss": loss, **metrics}.items()}
        return metrics["loss"], (metrics, memory)

    def value_and_gradient(params, *others):
        (_, (metrics, memory)), gradient = jax.value_and_grad(mean_loss, has_aux=True)(params, *others)
        return (metrics, gradient), memory

    gradients = machine.carried(value_and_gradient, devices, lambda tree: jax.lax.pmean(tree, "batch"))

    @partial(jax.jit, donate_argnums=0)
    def step(state: State, batch) -> tuple[State, dict[str, jax.Array]]:
        (metrics, gradient), memory = gradients(state.params, batch, state.memory, state.step, state.control)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        done = state.step + 1
        params = asrnn_jax.optim.rebase(cell, params, done, config.optim.rebase_every, config.optim.project_every)
        sums = {name: state.sums[name] + metrics[name] for name in state.sums}
        metrics = metrics | {"gradient_norm": optax.tree.norm(gradient)}
        control = state.control if task.control is None else task.control.update(metrics, state.control)
        return State(params, opt_state, done, sums, memory, control), metrics

    return step


def make_evaluate(task: Task, cell: Cell) -> Callable[[Any], dict[str, float]]:
    """``params -> {"test_loss": mean over the test set, ...}``, with "valid_" too where data are held out."""
    if task.evaluate is not None:
        return partial(task.evaluate, cell)
    apply, task_loss = partial(asrnn_jax.run, cell), task.test_loss or task.loss

    def sums(params, weighted):
        batch, weights = weighted
        loss, metrics, _ = task_loss(apply, params, batch)
        return {name: (value * weights).sum() for name, value in {"loss": loss, **metrics}.items()}

    @jax.jit
    def sums_of(params, weighted):
        devices = shards(len(weighted[1]), task, cell)
        return machine.shared(sums, devices, lambda tree: jax.lax.psum(tree, "batch"))(params, weighted)

    def means(params, prefix, batches) -> dict[str, float]:
        totals: dict[str, float] = {}
        count = 0.0
        for batch, weights in batches:
            for name, value in sums_of(params, machine.everywhere((batch, weights))).items():
                totals[prefix + name] = totals.get(prefix + name, 0.0) + float(value)
            count += float(weights.sum())
        return {name: value / count for name, value in totals.items()}

    def evaluate(params) -> dict[str, float]:
        found = means(params, "test_", task.tests())
        return found if task.valid is None else found | means(params, "valid_", task.valid())

    return evaluate


def _loop(
    config, task: Task, cell: Cell, optimizer, state: State, folder: Path, checkpoints, metrics: Metrics, probes: Probes
) -> State:
    train_step, evaluate = make_step(config, task, cell, optimizer), make_evaluate(task, cell)
    log_every = config.training.log_every
    eval_every = config.training.eval_every or task.epoch or max(1, task.steps // 10)
    step, logged = int(state.step), int(state.step) // log_every * log_every
    devices = shards(config.training.batch, task, cell)
    about = {"devices": devices, "bytes_exchanged_a_step": exchanged(state, devices)}
    clock = _Clock(folder / "timing.json", about)
    shown: dict[str, str] = {}
    with (
        _signals() as caught,
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
            batch = jax.block_until_ready(machine.everywhere(task.batch(step)))
            # One program at a time: XLA's CPU devices, which share threads, can block each other in two of them.
            state, now = jax.block_until_ready(train_step(state, batch))
            step += 1
            bar.update()
            last = step == task.steps
            stop = machine.any_process(bool(caught)) if step % log_every == 0 or machine.processes() == 1 else False
            if step % log_every == 0 or last:
                means = {name: float(total) / (step - logged) for name, total in state.sums.items()}
                divergence.check(means, step)
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


class Best:
    """The params with the best result so far, in best.npz: by held-out data where there are some, else by the test."""

    def __init__(self, config: Config, task: Task, folder: Path, step: int):
        self._config, self._task, self._file = config, task, folder / "best.npz"
        lines = [line for line in read_metrics(folder / "metrics.jsonl") if line["step"] <= step]
        values = [line[key] for line in lines if (key := self._key(line)) in line]
        self._best = (max if task.better == "max" else min)(values) if values else None

    def _key(self, tested: dict[str, Any]) -> str:
        valid = f"valid_{self._task.metric}"
        return valid if valid in tested else f"test_{self._task.metric}"

    def offer(self, step: int, tested: dict[str, float], params: Any) -> None:
        """Keeps these params if they are the best."""
        key = self._key(tested)
        value, before = tested[key], self._best
        better = before is None or (value > before if self._task.better == "max" else value < before)
        if not better or not machine.first():
            return
        self._best = value
        arguments = network(self._config.model, self._task.inputs, self._task.outputs)
        card = {"config": to_json(self._config), "step": step, "result": tested}
        pretrained.save(self._file, arguments, jax.device_get(params), card)


def _finish(config: Config, task: Task, state: State, folder: Path) -> dict[str, Any]:
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if f"test_{task.metric}" in line]
    pick = max if task.better == "max" else min
    best = pick(lines, key=lambda line: line[f"test_{task.metric}"])
    chosen = [line for line in lines if f"valid_{task.metric}" in line]  # without a look at the test set
    selected = pick(chosen, key=lambda line: line[f"valid_{task.metric}"]) if chosen else None
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(state.params):
        digest.update(np.asarray(leaf).tobytes())
    result = {
        "task": task.title,
        "cell": config.model.cell,
        "hidden": config.model.hidden,
        "parameters": asrnn_jax.optim.count(state.params),
        "seed": config.training.seed,
        "steps": task.steps,
        "epochs": None if task.epoch is None else task.steps // task.epoch,
        "metric": task.metric,
        "better": task.better,
        "baseline": task.baseline,
        "best": best,
        "selected": selected,
        "final": lines[-1],
        "params_sha256": digest.hexdigest(),
        "versions": {"asrnn_jax": asrnn_jax.__version__, "jax": jax.__version__},
    }
    write_json(folder / "result.json", result)
    figures.learning_curves([folder], folder / "figures" / "learning.png")
    if config.training.probe and machine.first():
        figures.probes(folder, folder / "figures" / "probes.png")
    return result


class _Clock:
    """Seconds spent on a run, over all its sessions, in a file; and on what."""

    def __init__(self, path: Path, about: dict[str, int]):
        self._path, self._about = path, about
        self._before = float(read_json(path).get("seconds", 0.0)) if path.exists() else 0.0
        self._start = time.perf_counter()

    def save(self) -> None:
        seconds = round(self._before + time.perf_counter() - self._start, 2)
        write_json(self._path, {"seconds": seconds} | self._about)


ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


@contextmanager
def _signals():
    """Collects the signals that ask for an end, so that the step in hand is finished and saved.

    A second one is not held back. SIGUSR1 is what schedulers send some time before they take a machine away.
    """
    caught: list[signal.Signals] = []

    def handle(number, frame):
        if caught:
            raise KeyboardInterrupt
        caught.append(signal.Signals(number))

    before = {s: signal.signal(s, handle) for s in ENDS}
    try:
        yield caught
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
