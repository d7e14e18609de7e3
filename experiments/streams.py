"""The stream task: samples of images by rows, or of speech, joined into endless streams."""

from __future__ import annotations

from functools import cache, lru_cache, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import losses, streaming
from asrnn_jax.cell import Cell
from experiments import machine
from experiments.config import Stream
from experiments.data import load_images
from experiments.errors import UsageError
from experiments.tasks import Control, Task

SURE = 0.5  # entropy share below which a network claims to know something
TEST_STREAMS = 10  # that the samples of the test are spread over


class Samples(NamedTuple):
    """``(N, T, I)``, ``(N,)``, ``(N,)``"""

    xs: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray


def load_samples(config: Stream) -> tuple[Samples, Samples, int]:
    """Training samples, test samples, number of classes.

    Raises:
      UsageError: data that are missing or damaged.
    """
    return _load(config.dataset, config.data_dir, config.download)


@lru_cache(maxsize=1)
def _load(dataset: str, data_dir: str | None, download: bool) -> tuple[Samples, Samples, int]:
    if dataset == "speech":
        from experiments.audio import load_speech

        speech = load_speech(data_dir)
        train = Samples(speech.train, speech.train_labels, speech.train_lengths)
        return train, Samples(speech.test, speech.test_labels, speech.test_lengths), len(speech.classes)
    images = load_images(dataset, data_dir, download)

    def rows(pixels, labels):
        xs = pixels.astype(np.float32) / 255
        return Samples(xs, labels.astype(np.int32), np.full(len(labels), xs.shape[1]))

    train, test = rows(images.train_images, images.train_labels), rows(images.test_images, images.test_labels)
    return train, test, images.classes


def stream_of(samples: Samples, seed: int, gaps: streaming.Gaps, **disturbances: float) -> streaming.Stream:
    return streaming.Stream(samples.xs, samples.labels, lengths=samples.lengths, gaps=gaps, seed=seed, **disturbances)


def stream_task(config: Stream) -> Task:
    """Windows of B training streams, the state carried on; tested on streams of unseen samples."""
    if machine.processes() > 1:
        raise UsageError("stream trains in one process: leave out --coordinator.")
    train, test, classes = load_samples(config)
    try:
        gaps = streaming.Gaps(config.shortest, config.longest, config.kinds)
    except ValueError as e:
        raise UsageError(f"--kinds: {e}") from e
    size, seed, inputs = config.training.batch, config.training.seed, train.xs.shape[2]
    streams = cache(lambda: [stream_of(train, 1 + size * seed + i, gaps) for i in range(size)])
    separate = config.regime == "separate"
    follows = config.regime == "full" and config.weight is None
    dual = losses.entropy_target(config.target)

    def batch(step):
        if separate:
            chosen = np.random.default_rng([seed, step]).integers(len(train.labels), size=size)
            there = np.arange(train.xs.shape[1]) < train.lengths[chosen, None]
            labels = np.where(there, train.labels[chosen, None], -1).astype(np.int32)
            return train.xs[chosen], labels
        window = streaming.windows(streams(), step * config.window, config.window)
        return window.xs, window.labels

    def loss(apply, params, batch, memory=(), control=()):
        xs, labels = batch
        m = losses.given(labels)
        carry, logits = apply(params, xs, carry=None if separate else memory)
        weight = jnp.exp(control.log_weight) if follows else (config.weight or 0.0)
        weight = weight if config.regime == "full" else 0.0
        each = losses.reset_free(logits, labels, m, weight=weight, kl=cast("losses.KL", config.kl))
        right = (logits.argmax(-1) == labels) * m
        found = {
            "accuracy": right.sum(-1) / jnp.maximum(m.sum(-1), 1),
            "gap_entropy": ((1 - m) * losses.entropy_share(logits)).mean(-1),
            "gaps": (1 - m).mean(-1),
        }
        return each.mean(-1), found, () if separate else jax.lax.stop_gradient(carry)

    def follow(metrics, control):
        return dual.update(metrics["gap_entropy"] / metrics["gaps"], control)[1]

    return Task(
        title=f"stream of {config.dataset}, {config.regime}",
        inputs=inputs,
        outputs=classes,
        length=train.xs.shape[1] if separate else config.window,
        steps=config.steps,
        epoch=None,
        batch=batch,
        tests=lambda: iter([(batch(config.steps), np.ones(size, np.float32))]),
        xs=lambda batch: batch[0],
        loss=loss,
        metric="accuracy",
        better="max",
        baseline=("chance", 1 / classes),
        memory=None if separate else lambda cell, params: cell.start(cell.prepare(params), (size,), jnp.float32),
        control=Control(dual.init, follow) if follows else None,
        evaluate=partial(_evaluate, test, gaps, config.samples),
    )


def _evaluate(test: Samples, gaps: streaming.Gaps, number: int, cell: Cell, params: Any) -> dict[str, float]:
    """Accuracy at the ends of samples without any reset ("accuracy") and with resets at their true beginnings."""
    params = jax.device_get(params)
    never, oracle = (
        measure(cell, params, test, gaps, number, policy) for policy in (streaming.never(), streaming.oracle())
    )
    return {
        "loss": never["loss"],
        "accuracy": never["accuracy"],
        "oracle_accuracy": oracle["accuracy"],
        "gap_entropy": never["gap_entropy"],
    }


def measure(
    cell: Cell,
    params: Any,
    test: Samples,
    gaps: streaming.Gaps,
    number: int,
    policy: streaming.Policy,
    *,
    chunk: int = 500,
    **disturbances: float,
) -> dict[str, float]:
    """Runs a session over test streams with `number` samples in all and says how it did.

    Returns: ``accuracy`` at the last step of each sample, ``best_accuracy`` at the step where the network is surest;
    ``first`` and ``last``, the accuracy in the first and last tenth of the stream; ``gap_entropy``; ``precision``,
    ``recall`` and ``delay`` (steps) of the claim to know something as a detector of samples; ``false_alarms``, claims
    in gaps per 1,000 steps of gap; ``loss``, the mean cross-entropy over samples' steps.
    """
    streams = [stream_of(test, 10**6 + i, gaps, **disturbances) for i in range(TEST_STREAMS)]
    session = streaming.Session(cell, params, batch=(TEST_STREAMS,), policy=policy, non_finite="missing")
    windows, logits, ended = [], [], 0
    while ended < number:
        window = streaming.windows(streams, len(windows) * chunk, chunk)
        logits.append(np.asarray(session.push(window.xs, boundary=window.starts)))
        windows.append(window)
        ended += int(window.ends.sum())
    window = streaming.Window(*(np.concatenate(leaves, axis=1) for leaves in zip(*windows)))
    return score(window, np.concatenate(logits, axis=1))


def score(window: streaming.Window, logits: np.ndarray) -> dict[str, float]:
    """What `measure` returns, of logits ``(B, T, C)`` for these windows."""
    entropy = np.asarray(losses.entropy_share(logits))
    log_p = np.asarray(jax.nn.log_softmax(logits, axis=-1))
    informative, claims = window.labels >= 0, entropy < SURE
    right = logits.argmax(-1) == window.labels
    at_end, best, delays, seen, claimed = [], [], [], [], []
    for b, start, end in _whole_samples(window):
        at_end.append((end, right[b, end]))
        best.append(right[b, start + np.argmin(entropy[b, start : end + 1])])
        seen.append(claims[b, start : end + 1].any())
        if seen[-1]:
            delays.append(int(np.argmax(claims[b, start : end + 1])))
    onsets = claims & ~np.pad(claims, ((0, 0), (1, 0)))[:, :-1]
    claimed = informative[onsets]
    order = sorted(at_end)
    tenth = max(1, len(order) // 10)
    gap_steps = max(int((~informative).sum()), 1)
    nats = -np.take_along_axis(log_p, np.maximum(window.labels, 0)[..., None], -1)[..., 0][informative]
    return {
        "samples": len(order),
        "accuracy": float(np.mean([r for _, r in order])),
        "best_accuracy": float(np.mean(best)),
        "first": float(np.mean([r for _, r in order[:tenth]])),
        "last": float(np.mean([r for _, r in order[-tenth:]])),
        "gap_entropy": float(entropy[~informative].mean()) if (~informative).any() else 1.0,
        "precision": float(claimed.mean()) if len(claimed) else 1.0,
        "recall": float(np.mean(seen)),
        "delay": float(np.mean(delays)) if delays else float("nan"),
        "false_alarms": 1000 * float((~claimed).sum()) / gap_steps,
        "loss": float(nats.mean()),
    }


def _whole_samples(window: streaming.Window) -> list[tuple[int, int, int]]:
    """``(stream, first step, last step)`` of the samples that are in the window from beginning to end."""
    found = []
    for b in range(len(window.labels)):
        starts, ends = np.flatnonzero(window.starts[b]), np.flatnonzero(window.ends[b])
        ends = ends[ends >= starts[0]] if len(starts) else ends[:0]
        found += [(b, int(s), int(e)) for s, e in zip(starts, ends)]
    return found
