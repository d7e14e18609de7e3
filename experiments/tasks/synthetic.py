"""Copying memory and adding as tasks of runs; `asrnn_jax.tasks` makes their batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import features, tasks
from experiments.config import Adding, Config, CopyMemory
from experiments.tasks.task import Batch, Task, cross_entropy


def _synthetic(sample: Callable[[jax.Array], Batch], config: Config, tests: int = 4) -> dict[str, Any]:
    """Batches drawn from keys; those of the test are drawn from keys that no training step uses."""
    root = jax.random.key(config.training.seed)
    sample = jax.jit(sample)

    def test_batches():
        for i in range(tests):
            key = jax.random.fold_in(jax.random.fold_in(root, 2), i)
            yield sample(key), np.ones(config.training.batch, np.float32)

    return {"batch": lambda step: sample(jax.random.fold_in(jax.random.fold_in(root, 1), step)), "tests": test_batches}


def copy_memory_task(config: CopyMemory) -> Task:
    """Cross-entropy over all T = delay + 2 symbols steps, 10 inputs and 9 outputs (one-hot); accuracy of the recall."""

    settings = {"kind": "one_hot", "count": tasks.COPY_INPUTS}

    def xs(batch):
        return features.of({"features": settings})(batch[0])

    def loss(apply, params, batch, memory=(), control=()):
        targets = batch[1]
        _, logits = apply(params, xs(batch))
        ce = cross_entropy(logits, targets).mean(-1)
        recalled = (logits.argmax(-1) == targets)[:, -config.symbols :].mean(-1)
        return ce, {"accuracy": recalled}, memory

    sample = partial(tasks.copy_memory, batch=config.training.batch, symbols=config.symbols, delay=config.delay)
    return Task(
        title=f"copy memory K={config.symbols} L={config.delay}",
        inputs=tasks.COPY_INPUTS,
        outputs=tasks.COPY_OUTPUTS,
        length=config.delay + 2 * config.symbols,
        steps=config.steps,
        epoch=None,
        xs=xs,
        features=settings,
        loss=loss,
        metric="loss",
        better="min",
        baseline=("memoryless", tasks.copy_memory_baseline(symbols=config.symbols, delay=config.delay)),
        **_synthetic(sample, config),
    )


def adding_task(config: Adding) -> Task:
    """Square error of the output after the last step; always saying 1 gives 1/6."""

    def loss(apply, params, batch, memory=(), control=()):
        xs, targets = batch
        _, ys = apply(params, xs, outputs="last")
        return jnp.square(ys[:, 0] - targets), {}, memory

    return Task(
        title=f"adding T={config.length}",
        inputs=2,
        outputs=1,
        length=config.length,
        steps=config.steps,
        epoch=None,
        xs=lambda batch: batch[0],
        loss=loss,
        metric="loss",
        better="min",
        baseline=("always 1", 1 / 6),
        **_synthetic(partial(tasks.adding, batch=config.training.batch, length=config.length), config),
    )
