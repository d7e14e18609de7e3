"""The jitted training step, the evaluation, and the state that a run carries between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

import asrnn_jax
from asrnn_jax import parallel
from asrnn_jax.cell import Cell
from experiments import machine
from experiments.config import Config
from experiments.tasks.task import Task
from experiments.training import recovery
from experiments.training.penalties import make_penalty


class State(NamedTuple):
    """All that a run carries from step to step; random numbers and data follow from the seed and `step`."""

    params: Any
    opt_state: Any
    step: jax.Array
    sums: dict[str, jax.Array]  # of the metrics since the last log line
    memory: Any = ()  # what a task carries from batch to batch, `Begun` where what a batch begins from is drawn
    control: Any = ()  # what follows the metrics
    average: Any = ()  # of the params over steps, with --ema
    recovery: Any = ()  # of --on-divergence skip and rollback


TrainStep = Callable[[State, Any], tuple[State, dict[str, jax.Array]]]


class MakeStep(Protocol):
    """How a run makes its training step; `make_step` is one."""

    def __call__(
        self, config: Config, task: Task, cell: Cell, optimizer: optax.GradientTransformation, /
    ) -> TrainStep: ...


class Begun(NamedTuple):
    """The memory of a task with starts."""

    last: Any  # where the batch before ended
    starts: Any  # the memory of the starts


def initial(config: Config, task: Task, cell: Cell, optimizer: optax.GradientTransformation) -> State:
    """The state that a run starts from."""
    params = cell.init(jax.random.key(config.training.seed)) if task.params is None else task.params(cell)
    apply = partial(asrnn_jax.run, cell)
    memory = () if task.memory is None else task.memory(cell, params)
    control = () if task.control is None else task.control.init()
    _, metrics, _ = jax.eval_shape(partial(task.loss, apply), params, task.batch(0), memory, control)
    more = [
        name for name, there in (("penalty", make_penalty(config, task, cell)), ("skipped", skips(config))) if there
    ]
    sums = {name: jnp.zeros(()) for name in ("loss", *metrics, *more)}
    memory = memory if task.starts is None else Begun(memory, task.starts.init(memory))
    averages = averaging(config, cell)
    average = () if averages is None else averages.init(params)
    kept = recovery.initial(config.stability)
    return State(params, optimizer.init(params), jnp.zeros((), jnp.int32), sums, memory, control, average, kept)


def skips(config: Config) -> bool:
    """Whether a run leaves batches out."""
    return config.stability.on_divergence == "skip"


def averaging(config: Config, cell: Cell) -> asrnn_jax.optim.Average | None:
    """The average of the params that a run keeps; None: it keeps none."""
    return None if config.optim.ema is None else asrnn_jax.optim.average(cell, config.optim.ema)


def make_result(config: Config, cell: Cell) -> Callable[[State], Any]:
    """``state -> params``: those that are evaluated and saved, the averages where a run keeps them."""
    averages = averaging(config, cell)
    if averages is None:
        return lambda state: state.params
    mean = jax.jit(averages.params)
    return lambda state: mean(state.average)


def shards(rows: int, task: Task, cell: Cell) -> int:
    """Number of devices that share a batch of this many sequences."""
    params = jax.eval_shape(cell.init, jax.random.key(0))
    return machine.shards(rows, rows * task.length * asrnn_jax.optim.count(params))


def exchanged(state: State, devices: int) -> int:
    """Bytes that each of several devices sends in a step: the gradient and the sums of the metrics."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves((state.params, state.sums))) if devices > 1 else 0


class Step(NamedTuple):
    """A jitted training step. Its random key is an argument, so that one program, once compiled, serves all seeds."""

    program: Any
    """``(state, batch, key) -> (state, metrics of the batch)``"""
    key: jax.Array

    def __call__(self, state: State, batch: Any) -> tuple[State, dict[str, jax.Array]]:
        return self.program(state, batch, self.key)

    def compiled(self, state: State, batch: Any) -> Step:
        """The same, compiled for these shapes."""
        return Step(self.program.lower(state, batch, self.key).compile(), self.key)


def make_step(
    config: Config, task: Task, cell: Cell, optimizer: optax.GradientTransformation, devices: int | None = None
) -> Step:
    """The jitted training step ``(state, batch) -> (state, metrics of the batch)``; devices: None, as many as pay."""
    root, begins = (jax.random.fold_in(jax.random.key(config.training.seed), number) for number in (3, 4))
    devices = devices or shards(config.training.batch, task, cell)

    def mean_loss(params, batch, memory, step, control):
        dropout = None
        if config.model.dropout:
            dropout = jax.random.fold_in(root, step)
            dropout = jax.random.fold_in(dropout, jax.lax.axis_index(parallel.AXIS)) if devices > 1 else dropout
        apply = partial(asrnn_jax.run, cell, key=dropout)
        loss, metrics, memory = task.loss(apply, params, batch, memory, control)
        metrics = {name: value.mean() for name, value in {"loss": loss, **metrics}.items()}
        if penalty is None:
            return metrics["loss"], (metrics, memory)
        added = penalty(params, batch, step)
        return metrics["loss"] + added, (metrics | {"penalty": added}, memory)

    def value_and_gradient(params, *others):
        (_, (metrics, memory)), gradient = jax.value_and_grad(mean_loss, has_aux=True)(params, *others)
        return (metrics, gradient), memory

    gradients = parallel.carried(value_and_gradient, devices)
    averages, penalty = averaging(config, cell), make_penalty(config, task, cell)

    def begun(state: State, begins: jax.Array) -> Begun:
        """What the batch begins from, over all its rows, before devices share them."""
        if task.starts is None or task.memory is None:
            return Begun(state.memory, ())
        key, fresh = jax.random.fold_in(begins, state.step), task.memory(cell, state.params)
        return Begun(*task.starts.draw(state.memory.starts, key, state.memory.last, fresh))

    @partial(jax.jit, donate_argnums=0)
    def step(state: State, batch, begins) -> tuple[State, dict[str, jax.Array]]:
        first, starts = begun(state, begins)
        (metrics, gradient), memory = gradients(state.params, batch, first, state.step, state.control)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        if config.stability.on_divergence == "rollback":
            updates = jax.tree.map(lambda u: u * state.recovery.rate.astype(u.dtype), updates)
        params: Any = optax.apply_updates(state.params, updates)
        done = state.step + 1
        params = asrnn_jax.optim.rebase(cell, params, done, config.optim.rebase_every, config.optim.project_every)
        average = () if averages is None else averages.update(params, state.average)
        norm = optax.tree.norm(gradient)
        control = state.control if task.control is None else task.control.update(metrics, state.control)
        sums = {name: state.sums[name] + metrics[name] for name in metrics}
        memory = memory if task.starts is None else Begun(memory, starts)
        new = State(params, opt_state, done, sums, memory, control, average, state.recovery)
        if skips(config):
            new, skipped = recovery.judged(state, new, norm)
            metrics = metrics | {"skipped": skipped}
        return new, metrics | {"gradient_norm": norm}

    return Step(step, begins)


def of_shares(means: dict[str, float], task: Task) -> dict[str, float]:
    """Means of metrics. A metric that is a share of another is divided by it, and left out if that is 0."""
    of = {name: means[task.shares[name]] if name in task.shares else 1.0 for name in means}
    return {name: value / of[name] for name, value in means.items() if of[name]}


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
        return parallel.shared(sums, devices, parallel.total)(params, weighted)

    def means(params, prefix, batches) -> dict[str, float]:
        totals: dict[str, float] = {}
        count = 0.0
        for batch, weights in batches:
            for name, value in sums_of(params, parallel.replicate((batch, weights))).items():
                totals[prefix + name] = totals.get(prefix + name, 0.0) + float(value)
            count += float(weights.sum())
        found = of_shares({name.removeprefix(prefix): value / count for name, value in totals.items()}, task)
        return {prefix + name: value for name, value in found.items()}

    def evaluate(params) -> dict[str, float]:
        found = means(params, "test_", task.tests())
        return found if task.valid is None else found | means(params, "valid_", task.valid())

    return evaluate
