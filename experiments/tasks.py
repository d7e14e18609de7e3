"""The tasks: where batches come from, what the loss is, what counts as a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import asrnn_jax
from asrnn_jax.cell import Cell
from experiments.config import Adding, Config, CopyMemory, Pixels, Stream, Text
from experiments.data import load_images
from experiments.errors import UsageError

Batch = Any
Memory = Any
Apply = Callable[..., tuple[Any, jax.Array]]  # (params, xs (B, T, I), **options of run) -> (carry, logits)


class Control(NamedTuple):
    """What follows the metrics of each step, a pair of pure functions."""

    init: Callable[[], Any]
    """``() -> control``"""
    update: Callable[[dict[str, jax.Array], Any], Any]
    """``(metrics, control) -> control``"""


class Task(NamedTuple):
    """A task for the training loop. `loss` is jitted; the rest runs on the host."""

    title: str
    inputs: int
    outputs: int
    length: int
    """Steps of a sequence."""
    steps: int
    """Optimiser steps in all."""
    epoch: int | None
    """Steps an epoch, None for tasks without one."""
    batch: Callable[[int], Batch]
    """The batch of a step, a function of seed and step alone, so that a resumed run sees the same data."""
    tests: Callable[[], Iterator[tuple[Batch, np.ndarray]]]
    """Test batches, all of one shape, with weights ``(B,)`` that are 0 for padding."""
    xs: Callable[[Batch], jax.Array]
    """The network's inputs ``(B, T, I)`` of a batch."""
    loss: Callable[..., tuple[jax.Array, dict[str, jax.Array], Memory]]
    """``(apply, params, batch, memory, control) -> (loss (B,), metrics {name: (B,)}, memory)``, per sequence. Memory
    and control are () for tasks without them."""
    metric: str
    """The result metric, "loss" or a name in metrics."""
    better: str
    """"max" or "min" of it."""
    baseline: tuple[str, float] | None
    """What not remembering gives, in `metric`: (name, value)."""
    valid: Callable[[], Iterator[tuple[Batch, np.ndarray]]] | None = None
    """Like `tests`, of held-out training data, on which the epoch to report is chosen."""
    memory: Callable[[Cell, Any], Memory] | None = None
    """``(cell, params) -> memory``: what is carried from batch to batch, leaves ``(B, ...)``."""
    control: Control | None = None
    """What the loss is given beside the batch and follows the metrics, for example a weight that sets itself."""
    test_loss: Callable[..., tuple[jax.Array, dict[str, jax.Array], Memory]] | None = None
    """`loss` as it is evaluated, where that is not as it is trained."""
    evaluate: Callable[[Cell, Any], dict[str, float]] | None = None
    """``(cell, params) -> {"test_metric": value}``, also "valid_metric", in place of the means of `loss` over `tests`
    and `valid`."""


def make_task(config: Config) -> Task:
    """The task of a config.

    Raises:
      UsageError: data that is missing or damaged.
    """
    if isinstance(config, CopyMemory):
        return _copy_memory(config)
    if isinstance(config, Adding):
        return _adding(config)
    if isinstance(config, Pixels):
        return _pixels(config)
    if isinstance(config, Text):
        from experiments.text import text_task

        return text_task(config)
    if isinstance(config, Stream):
        from experiments.streams import stream_task

        return stream_task(config)
    raise TypeError(f"no task for {type(config).__name__}")


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy ``(...)`` in nats of logits ``(..., O)`` and labels ``(...)``.

    With one-hot labels, because the gradient of picking by index is a scatter, slow to compile and to run on CPU.
    """
    return optax.softmax_cross_entropy(logits, jax.nn.one_hot(labels, logits.shape[-1]))


def _synthetic(sample: Callable[[jax.Array], Batch], config: Config, tests: int = 4) -> dict[str, Any]:
    """Batches drawn from keys; the test set is drawn from keys no training step uses."""
    root = jax.random.key(config.training.seed)
    sample = jax.jit(sample)

    def test_batches():
        for i in range(tests):
            key = jax.random.fold_in(jax.random.fold_in(root, 2), i)
            yield sample(key), np.ones(config.training.batch, np.float32)

    return {"batch": lambda step: sample(jax.random.fold_in(jax.random.fold_in(root, 1), step)), "tests": test_batches}


# ---------------------------------------------------------------------------------------------- copying


def copy_batch(key: jax.Array, batch: int, symbols: int, delay: int) -> tuple[jax.Array, jax.Array]:
    """Input and target symbols of the copying task, each ``(B, T)`` int32 with T = delay + 2 symbols.

    Input: K symbols from 1..8, L blanks (0), a marker (9), K - 1 blanks. Target: K + L blanks, the K symbols.
    """
    shown = jax.random.randint(key, (batch, symbols), 1, 9)
    blanks = partial(jnp.zeros, dtype=shown.dtype)
    marker = jnp.full((batch, 1), 9, shown.dtype)
    inputs = jnp.concatenate([shown, blanks((batch, delay)), marker, blanks((batch, symbols - 1))], axis=1)
    return inputs, jnp.concatenate([blanks((batch, symbols + delay)), shown], axis=1)


def _copy_memory(config: CopyMemory) -> Task:
    def xs(batch):
        return jax.nn.one_hot(batch[0], 10)

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
        loss=loss,
        metric="loss",
        better="min",
        baseline=("memoryless", config.symbols * float(np.log(8)) / (config.delay + 2 * config.symbols)),
        **_synthetic(sample, config),
    )


# ----------------------------------------------------------------------------------------------- adding


def adding_batch(key: jax.Array, batch: int, length: int) -> tuple[jax.Array, jax.Array]:
    """Inputs ``(B, T, 2)``: numbers U(0, 1) and two marks, one in each half. Target ``(B,)``: their sum."""
    k_value, k_first, k_second = jax.random.split(key, 3)
    values = jax.random.uniform(k_value, (batch, length))
    half = length // 2
    first = jax.random.randint(k_first, (batch,), 0, half)
    second = jax.random.randint(k_second, (batch,), half, length)
    marks = jax.nn.one_hot(first, length) + jax.nn.one_hot(second, length)
    return jnp.stack([values, marks], axis=-1), (values * marks).sum(-1)


def _adding(config: Adding) -> Task:
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


# ----------------------------------------------------------------------------------------------- pixels


def _pixels(config: Pixels) -> Task:
    images = load_images(config.dataset, config.data_dir, config.download)
    height, width = images.train_images.shape[1:]
    order = np.arange(height * width)
    if config.permute:
        order = np.random.RandomState(92916).permutation(height * width)
    size, total = config.training.batch, len(images.train_labels)
    if total - config.validation < size:
        raise UsageError(
            f"--batch {size} --validation {config.validation}: {config.dataset} has only {total} training images; "
            "give at most that together."
        )
    mixed = np.random.default_rng(0).permutation(total)  # the same whatever the seed
    kept, held_out = np.sort(mixed[config.validation :]), np.sort(mixed[: config.validation])
    train = len(kept)
    epoch = train // size

    def batch(step):
        shuffled = np.random.default_rng([config.training.seed, step // epoch]).permutation(train)
        chosen = kept[np.sort(shuffled[(step % epoch) * size : (step % epoch + 1) * size])]
        return images.train_images[chosen], images.train_labels[chosen]

    def valid():
        return _in_order(images.train_images[held_out], images.train_labels[held_out])

    def xs(batch):
        pixels = batch[0].reshape(len(batch[0]), -1)[:, order].astype(jnp.float32) / 255
        return pixels.reshape(len(pixels), -1, width if config.rows else 1)

    teacher = _teacher(config, width if config.rows else 1, images.classes)

    def loss(apply, params, batch, memory=(), control=(), teacher=teacher):
        labels = batch[1]
        _, logits = apply(params, xs(batch), outputs="last")
        ce = cross_entropy(logits, labels)
        if teacher is not None:
            ce = distilled(ce, logits, teacher(xs(batch)), config.teach, config.temperature)
        return ce, {"accuracy": (logits.argmax(-1) == labels).astype(jnp.float32)}, memory

    kind, unit = "permuted" if config.permute else "sequential", "rows" if config.rows else "pixels"
    return Task(
        title=f"{kind} {config.dataset} by {unit}",
        inputs=width if config.rows else 1,
        outputs=images.classes,
        length=height if config.rows else height * width,
        steps=config.epochs * epoch,
        epoch=epoch,
        batch=batch,
        tests=lambda: _in_order(images.test_images, images.test_labels),
        valid=valid if config.validation else None,
        xs=xs,
        loss=loss,
        test_loss=partial(loss, teacher=None),
        metric="accuracy",
        better="max",
        baseline=("chance", 1 / images.classes),
    )


def _teacher(config: Pixels, inputs: int, classes: int) -> Callable[[jax.Array], jax.Array] | None:
    """``xs (B, T, I) -> logits (B, C)`` of the trained network that teaches."""
    if config.teacher is None:
        return None
    try:
        cell, params, _ = asrnn_jax.pretrained.load(config.teacher)
    except (ValueError, OSError) as e:
        raise UsageError(f"--teacher {config.teacher}: {e}") from e
    if (cell.inputs, cell.outputs) != (inputs, classes):
        raise UsageError(
            f"--teacher {config.teacher} has {cell.inputs} inputs and {cell.outputs} outputs, the task {inputs} and "
            f"{classes}: give a network of this task."
        )
    return lambda xs: asrnn_jax.run(cell, params, xs, outputs="last")[1]


def distilled(ce: jax.Array, logits: jax.Array, teachers: jax.Array, share: float, temperature: float) -> jax.Array:
    """``(1 - share) ce + share T^2 KL(teacher || student)``, both softened by the temperature T (Hinton et al. 2015,
    arXiv:1503.02531)."""
    student, teacher = (jax.nn.log_softmax(each / temperature, axis=-1) for each in (logits, teachers))
    return (1 - share) * ce + share * temperature**2 * optax.losses.kl_divergence_with_log_targets(student, teacher)


def _in_order(images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[Batch, np.ndarray]]:
    """Batches of one size over all images, with weight 0 for what fills up the last."""
    number = len(labels)
    rows = min(1000, number)
    for start in range(0, number, rows):
        chosen = np.arange(start, start + rows)
        weights = (chosen < number).astype(np.float32)
        chosen = np.minimum(chosen, number - 1)
        yield (images[chosen], labels[chosen]), weights
