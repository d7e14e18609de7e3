"""The loop over training steps: logs, evaluations, probes, checkpoints, and the ways in which it ends."""

from __future__ import annotations

import math
import shlex
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from tqdm import tqdm

from asrnn_jax import parallel
from asrnn_jax.cell import Cell
from experiments import machine
from experiments.config import Config, command
from experiments.folder import Clock, Metrics
from experiments.tasks.task import Task
from experiments.training import divergence, recovery
from experiments.training.checkpoints import Checkpoints
from experiments.training.outcome import Best
from experiments.training.probes import Probes
from experiments.training.signals import caught_signals
from experiments.training.steps import State, of_shares
from experiments.training.watch import Watch


class Run(NamedTuple):
    """What a run is made of."""

    config: Config
    task: Task
    cell: Cell
    optimizer: optax.GradientTransformation
    folder: Path
    checkpoints: Checkpoints
    train_step: Callable[[State, Any], tuple[State, dict[str, jax.Array]]]
    evaluate: Callable[[Any], dict[str, float]]
    result: Callable[[State], Any]
    """See `experiments.training.steps`, as these two."""

    @property
    def eval_every(self) -> int:
        """Steps between evaluations."""
        return self.config.training.eval_every or self.task.epoch or max(1, self.task.steps // 10)

    def again(self) -> str:
        """The command that goes on with it."""
        return f"python -m experiments {command(self.config)} --out {shlex.quote(str(self.folder))} --resume"


class Records(NamedTuple):
    """What a run writes while it trains."""

    metrics: Metrics
    probes: Probes
    clock: Clock
    watch: Watch


def loop(run: Run, state: State, records: Records) -> State:
    """Trains from a state to the last step.

    Raises:
      divergence.NotFiniteError: a number is not finite, or too many batches were left out.
      SystemExit: after a signal, with the run saved.
    """
    config, task, metrics, log_every = run.config, run.task, records.metrics, run.config.training.log_every
    step, logged = int(state.step), int(state.step) // log_every * log_every
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
        best = Best(config, task, run.folder, step)
        records.probes.at(step, state.params)
        while step < task.steps:
            batch = jax.block_until_ready(parallel.replicate(task.batch(step)))
            # One program at a time: XLA's CPU devices, which share threads, can block each other in two of them.
            state, now = jax.block_until_ready(run.train_step(state, batch))
            step += 1
            bar.update()
            last = step == task.steps
            stop = machine.any_process(bool(caught)) if step % log_every == 0 or machine.processes() == 1 else False
            tests = step % run.eval_every == 0 or last
            saves = step % config.training.checkpoint_every == 0 or last or stop
            # A run that goes back must not go behind an evaluation, which may have written the best network.
            saves |= tests and config.stability.on_divergence == "rollback"
            skipped = bool(now.get("skipped", False))
            if skipped:
                _skipped(run, state, now, step, metrics)
            elif machine.first():
                records.watch.norm(float(now["gradient_norm"]), step)
                records.watch.params(state.params, step)
            if step % log_every == 0 or last:
                counted = step - logged - int(state.sums.get("skipped", 0))
                means = {
                    name: float(total) / max(counted, 1) for name, total in state.sums.items() if name != "skipped"
                }
                divergence.check(means, step)
                means = of_shares(means, task) if counted else {}
                if not skipped:
                    divergence.check_gradient(float(now["gradient_norm"]), step)
                metrics.write(step, **{f"train_{name}": value for name, value in means.items()}, **recovery.told(state))
                state, logged = state._replace(sums=jax.tree.map(jnp.zeros_like, state.sums)), step
                shown |= {name: f"{value:.4g}" for name, value in means.items()}
                bar.set_postfix(shown, refresh=False)
            if saves:
                now = {} if skipped else now
                divergence.check({f"{name} of the batch": value for name, value in now.items()}, step)
                divergence.check(divergence.broken(state), step)
            if tests:
                kept = run.result(state)
                tested = run.evaluate(kept)
                divergence.check(tested, step)
                metrics.write(step, **tested)
                best.offer(step, tested, kept)
                shown |= {f"test_{task.metric}": f"{tested[f'test_{task.metric}']:.4g}"}
                bar.set_postfix(shown, refresh=False)
            records.probes.at(step, state.params)
            if saves:
                metrics.sync()
                records.probes.sync()
                run.checkpoints.save(step, state)
                records.clock.save()
            if stop and not last:
                bar.close()
                by = caught[0] if caught else signal.SIGTERM  # which another process was sent
                if machine.first():
                    said = f"stopped by {by.name} and saved at step {step} of {task.steps}; go on with: {run.again()}"
                    print(said, file=sys.stderr)
                raise SystemExit(128 + by)
    return state


def _skipped(run: Run, state: State, now: dict[str, Any], step: int, metrics: Metrics) -> None:
    """Logs a batch that was left out.

    Raises:
      divergence.NotFiniteError: it is one too many.
    """
    number, norm = int(state.recovery.skipped), float(now["gradient_norm"])
    usual = float(jnp.exp(state.recovery.log_norm))
    metrics.write(step, skipped=number, gradient_norm=norm if math.isfinite(norm) else None, usual_norm=usual)
    said = f"its gradient has norm {norm:.3g}, usual is {usual:.3g}"
    warnings.warn(f"the batch of step {step} is left out: {said}", stacklevel=2)
    if number > recovery.most(run.config.stability):
        raise divergence.NotFiniteError(
            f"gradient_norm is {norm}, {number - 1} batches have been left out before", step
        )
