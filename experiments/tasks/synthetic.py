"""Copying memory and adding: batches that are drawn from keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import features
from experiments.config import Adding, Config, CopyMemory
from experiments.tasks.task import Batch, Task, cross_entropy


def _synthetic(sample: Callable[[jax.Array], Batch], config: Config, tests: int = 4) -> dict[str, Any]:
    """Batches drawn from keys; the test set is drawn from keys no training step uses."""
    root = jax.random.key(config.training.seed)
    sample = jax.jit(sample)

    def test_batches():
        for i in range(tests):
            key = jax.random.fold_in(jax.random.fold_in(root, 2), i)
            yield sample(key), np.ones(config.training.batch, np.float32)

    return {"batch": lambda step: sample(jax.random.fold_in(jax.random.fold_in(root, 1), step)), "tests": test_batches}


def copy_batch(key: jax.Array, batch: int, symbols: int, delay: int) -> tuple[jax.Array, jax.Array]:
    """Input and target symbols of the copying task, each ``(B, T)`` int32 with T = delay + 2 symbols.

    Input: K symbols from 1..8, L blanks (0), a marker (9), K - 1 blanks. Target: K + L blanks, the K symbols.
    """
    shown = jax.random.randint(key, (batch, symbols), 1, 9)
    blanks = partial(jnp.zeros, dtype=shown.dtype)
    marker = jnp.full((batch, 1), 9, shown.dtype)
    inputs = jnp.concatenate([shown, blanks((batch, delay)), marker, blanks((batch, symbols - 1))], axis=1)
    return inputs, jnp.concatenate([blanks((batch, symbols + delay)), shown], axis=1)


def copy_memory_task(config: CopyMemory) -> Task:
    """Cross-entropy over all T = delay + 2 symbols steps, 10 inputs and 9 outputs (one-hot); accuracy of the recall."""

    settings = {"kind": "one_hot", "count": 10}

    def xs(batch):
        return features.of({"features": settings})(batch[0])

    def loss(apply, params, batch, memory=(), control=()):
        targets = batch[1]
        _, logits = apply(params, xs(batch))
        ce = cross_entropy(logits, targets).mean(-1)
        recalled = (logits.argmax(-1) == targets)[:, -config.symbols :].mean(-1)
        return ce, {"accuracy": recalled}, memory

    sample = partial(copy_batch, batch=config.training.batch, symbols=config.symbols, delay=config.delay)
    return Task(
        title=f"copy memory K={config.symbols} L={config.delay}",
        inputs=10,
        outputs=9,
        length=config.delay + 2 * config.symbols,
        steps=config.steps,
        epoch=None,
        xs=xs,
        features=settings,
        loss=loss,
        metric="loss",
        better="min",
        baseline=("memoryless", config.symbols * float(np.log(8)) / (config.delay + 2 * config.symbols)),
        **_synthetic(sample, config),
    )


def adding_batch(key: jax.Array, batch: int, length: int) -> tuple[jax.Array, jax.Array]:
    """Inputs ``(B, T, 2)``: numbers U(0, 1) and two marks, one in each half. Target ``(B,)``: their sum."""
    k_value, k_first, k_second = jax.random.split(key, 3)
    values = jax.random.uniform(k_value, (batch, length))
    half = length // 2
    first = jax.random.randint(k_first, (batch,), 0, half)
    second = jax.random.randint(k_second, (batch,), half, length)
    marks = jax.nn.one_hot(first, length) + jax.nn.one_hot(second, length)
    return jnp.stack([values, marks], axis=-1), (values * marks).sum(-1)


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
        **_synthetic(partial(adding_batch, batch=config.training.batch, length=config.length), config),
    )
