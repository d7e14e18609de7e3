"""What `--lyapunov-penalty` and `--jacobian-penalty` add to the loss of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from asrnn_jax import losses
from asrnn_jax.cell import Cell
from experiments.config import Config
from experiments.tasks.task import Batch, Task

SEQUENCES = 8  # of each batch, or of each device's part of it

Penalty = Callable[[Any, Batch, jax.Array], jax.Array]


def make_penalty(config: Config, task: Task, cell: Cell) -> Penalty | None:
    """``(params, batch, step) -> ()``, weighted, 0 in the steps without; None for a run without penalties."""
    settings = config.stability
    if not (settings.lyapunov_penalty or settings.jacobian_penalty):
        return None
    root = jax.random.fold_in(jax.random.key(config.training.seed), 4)

    def lyapunov(params, xs):
        bound = settings.lyapunov_bound
        side, target = ("both", 0.0) if bound is None else ("above", bound)
        k = settings.lyapunov_exponents
        # The exponents of both coordinates are equal, and a step of the carry costs less.
        return losses.lyapunov_penalty(cell, params, xs, k=k, target=target, side=side, coordinates="carry").mean()

    def jacobian(params, xs, step):
        bound, key, every = settings.jacobian_bound, jax.random.fold_in(root, step), min(8, xs.shape[1])
        if bound is None:
            return losses.jacobian_penalty(cell, params, xs, every=every, key=key).mean()
        options: Any = {"of": "largest", "target": bound, "side": "above"}
        return losses.jacobian_penalty(cell, params, xs, every=every, key=key, **options).mean()

    def penalty(params, batch, step):
        xs, total = task.xs(batch)[:SEQUENCES], jnp.zeros(())
        if settings.lyapunov_penalty:
            total += settings.lyapunov_penalty * lyapunov(params, xs)
        if settings.jacobian_penalty:
            total += settings.jacobian_penalty * jacobian(params, xs, step)
        return total

    every = settings.penalty_every
    if every == 1:
        return penalty
    return lambda params, batch, step: jax.lax.cond(
        step % every == 0, penalty, lambda *_: jnp.zeros(()), params, batch, step
    )
