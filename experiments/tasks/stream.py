"""The stream task: samples joined into endless streams, learned in windows that start from states of other windows."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import losses, streaming
from asrnn_jax.cell import Cell
from asrnn_jax.streaming.starts import STARTS
from experiments import machine
from experiments.config import Stream
from experiments.data.samples import Samples, kept_window, load_samples, streams_of, training_streams
from experiments.errors import UsageError
from experiments.tasks.scores import measure
from experiments.tasks.task import Control, Task, afresh
from experiments.training import networks


def stream_task(config: Stream) -> Task:
    """Windows of B training streams, by default with a state that is carried on; tests on streams of unseen samples."""
    if machine.processes() > 1:
        raise UsageError("stream trains in one process: leave out --coordinator.")
    train, test, classes = load_samples(config)
    size, seed, inputs = config.training.batch, config.training.seed, train.xs.shape[2]
    short = config.network is not None  # post-trainings: several of them on the same streams, see `coverage`
    streams = streams_of(config)
    gaps = streams.gaps
    separate = config.regime == "separate"
    starts = ("zero" if separate else "passed") if config.starts == "auto" else config.starts
    carried = starts != "zero"
    follows = config.regime == "full" and config.weight is None
    dual = losses.entropy_target(config.target)

    def batch(step):
        # Streams never begin again; a start that is trained is tried out on one of them a window, in turn.
        begins = [np.arange(size) == step % size] if config.model.trained_start and carried else []
        if separate:
            chosen = np.random.default_rng([seed, step]).integers(len(train.labels), size=size)
            there = np.arange(train.xs.shape[1]) < train.lengths[chosen, None]
            labels = np.where(there, train.labels[chosen, None], -1).astype(np.int32)
            return train.xs[chosen], labels, *begins
        place = (step * config.window, config.window)
        window = kept_window(streams, *place) if short else streaming.windows(training_streams(streams), *place)
        return window.xs, window.labels, *begins

    def loss(apply, params, batch, memory=(), control=()):
        xs, labels, *begins = batch
        m = losses.has_label(labels)
        options = {"carry": memory, **afresh(begins, xs.shape[1])} if carried else {}
        carry, logits = apply(params, xs, **options)
        weight = jnp.exp(control.log_weight) if follows else (config.weight or 0.0)
        weight = weight if config.regime == "full" else 0.0
        each = losses.reset_free(logits, labels, m, weight=weight, kl=cast("losses.KL", config.kl))
        right = (logits.argmax(-1) == labels) * m
        found = {
            "accuracy": right.mean(-1),
            "samples": m.mean(-1),
            "gap_entropy": ((1 - m) * losses.entropy_share(logits)).mean(-1),
            "gaps": (1 - m).mean(-1),
        }
        return each.mean(-1), found, jax.lax.stop_gradient(carry) if carried else ()

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
        shares={"accuracy": "samples", "gap_entropy": "gaps"},
        better="max",
        baseline=("chance", 1 / classes),
        memory=(lambda cell, params: cell.start(cell.prepare(params), (size,), jnp.float32)) if carried else None,
        starts=None if starts in ("zero", "passed") else STARTS[starts](),
        params=None if config.network is None else partial(networks.params_of, config),
        features=train.features,
        labels=train.names,
        control=Control(dual.init, follow) if follows else None,
        evaluate=partial(_evaluate, test, gaps, config.samples),
    )


def _evaluate(test: Samples, gaps: streaming.Gaps, number: int, cell: Cell, params: Any) -> dict[str, float]:
    """Accuracy at the ends of samples without any reset ("accuracy") and with resets at their true beginnings."""
    params = jax.device_get(params)
    never, oracle = (
        measure(cell, params, test, gaps, number, policy) for policy in (streaming.never(), streaming.oracle())
    )
    found = {
        "test_loss": never["loss"],
        "test_accuracy": never["accuracy"],
        "test_oracle_accuracy": oracle["accuracy"],
    }
    return found | ({"test_gap_entropy": never["gap_entropy"]} if gaps.longest else {})
