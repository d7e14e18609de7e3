"""Images as sequences, pixel by pixel or row by row, with a teacher or without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import asrnn_jax
from asrnn_jax import features
from experiments.config import Pixels
from experiments.data.images import LABELS, load_images
from experiments.errors import UsageError
from experiments.tasks.task import Batch, Task, cross_entropy


def pixels_task(config: Pixels) -> Task:
    """Images ``(B, height, width)`` of bytes as ``(B, T, I)`` in [0, 1], classified after the last step.

    Raises:
      UsageError: data that are missing or damaged, too few images, a teacher of another task.
    """
    images = load_images(config.dataset, config.data_dir, config.download)
    height, width = images.train_images.shape[1:]
    permutation = features.PAPERS_PERMUTATION if config.permute else None
    settings = {"kind": "pixels", "rows": config.rows, "permutation": permutation, "scale": 255.0}
    # Batches have their pixels in this order already, so that both orders are one program (`training.together`).
    make = features.of({"features": settings | {"permutation": None}})
    order = None if permutation is None else np.random.RandomState(permutation).permutation(height * width)
    size, total = config.training.batch, len(images.train_labels)
    if config.shift >= min(height, width):
        raise UsageError(f"--shift {config.shift}: images have {height} x {width} pixels; give less.")
    if total - config.validation < size:
        raise UsageError(
            f"--batch {size} --validation {config.validation}: {config.dataset} has only {total} training images; "
            "give at most that together."
        )
    mixed = np.random.default_rng(0).permutation(total)  # the same whatever the seed
    kept, held_out = np.sort(mixed[config.validation :]), np.sort(mixed[: config.validation])
    train = len(kept)
    epoch = train // size

    @lru_cache(maxsize=2)
    def shuffled(number: int) -> np.ndarray:
        return np.random.default_rng([config.training.seed, number]).permutation(train)

    def batch(step):
        mine = shuffled(step // epoch)[(step % epoch) * size : (step % epoch + 1) * size]
        chosen = kept[np.sort(mine)]
        seed = [config.training.seed, 1, step]
        return ordered(moved(images.train_images[chosen], config.shift, seed)), images.train_labels[chosen]

    def ordered(images):
        return images if order is None else images.reshape(len(images), -1)[:, order].reshape(images.shape)

    def all_of(images, labels):
        return (((ordered(rows), some), weights) for (rows, some), weights in _in_order(images, labels))

    def valid():
        return all_of(images.train_images[held_out], images.train_labels[held_out])

    def xs(batch):
        return make(batch[0])

    teacher = _teacher(config, width if config.rows else 1, images.classes)

    def loss(apply, params, batch, memory=(), control=(), teacher=teacher, smoothing=config.label_smoothing):
        labels = batch[1]
        _, logits = apply(params, xs(batch), outputs="last")
        ce = cross_entropy(logits, labels, smoothing)
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
        tests=lambda: all_of(images.test_images, images.test_labels),
        valid=valid if config.validation else None,
        xs=xs,
        loss=loss,
        test_loss=partial(loss, teacher=None, smoothing=0.0),
        metric="accuracy",
        better="max",
        baseline=("chance", 1 / images.classes),
        features=settings,
        labels=LABELS[config.dataset],
    )


def moved(images: np.ndarray, most: int, seed: list[int]) -> np.ndarray:
    """Images ``(B, height, width)``, each moved by up to `most` pixels along both axes; 0 comes in."""
    if most == 0:
        return images
    size = 2 * most + 1
    padded = np.pad(images, ((0, 0), (most, most), (most, most)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:], axis=(1, 2))  # (B, size, size, h, w)
    down, right = np.random.default_rng(seed).integers(0, size, (2, len(images)))
    return windows[np.arange(len(images)), down, right]


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
    """Batches of one size over all images. Rows that only fill up the last batch have weight 0."""
    number = len(labels)
    rows = min(1000, number)
    for start in range(0, number, rows):
        chosen = np.arange(start, start + rows)
        weights = (chosen < number).astype(np.float32)
        chosen = np.minimum(chosen, number - 1)
        yield (images[chosen], labels[chosen]), weights
