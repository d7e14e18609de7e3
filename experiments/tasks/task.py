"""A task: its batches, its loss, and the metric that counts as its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from asrnn_jax.cell import Cell
from asrnn_jax.streaming import Starts

Batch = Any
Memory = Any
Apply = Callable[..., tuple[Any, jax.Array]]  # (params, xs (B, T, I), **options of run) -> (carry, logits)


class Control(NamedTuple):
    """A value that is updated from the metrics of each step, as a pair of pure functions."""

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
    shares: Mapping[str, str] = {}
    """``{metric: other}``: a metric that is to be divided by another, mean by mean: right steps by steps with samples.
    It is left out where the other is 0: an accuracy over windows without samples is no number."""
    valid: Callable[[], Iterator[tuple[Batch, np.ndarray]]] | None = None
    """Like `tests`, of held-out training data, on which the epoch to report is chosen."""
    memory: Callable[[Cell, Any], Memory] | None = None
    """``(cell, params) -> memory``: what is carried from batch to batch, leaves ``(B, ...)``."""
    starts: Starts | None = None
    """What each batch begins from, drawn from the memory of the one before; None: that memory itself."""
    params: Callable[[Cell], Any] | None = None
    """What training starts from, in place of ``cell.init``."""
    control: Control | None = None
    """A value for the loss that is updated from the metrics, for example the weight of the gaps."""
    test_loss: Callable[..., tuple[jax.Array, dict[str, jax.Array], Memory]] | None = None
    """`loss` as it is evaluated, where that is not as it is trained."""
    features: dict[str, Any] | None = None
    """What `asrnn_jax.features.of` makes the inputs by, for the cards of networks; None where they are made up."""
    labels: tuple[str, ...] | None = None
    """Names of the classes."""
    evaluate: Callable[[Cell, Any], dict[str, float]] | None = None
    """``(cell, params) -> {"test_metric": value}``, also "valid_metric", in place of the means of `loss` over `tests`
    and `valid`."""


def afresh(begins: Sequence[jax.Array], steps: int) -> dict[str, jax.Array]:
    """Options of `asrnn_jax.run` for windows that go on with a carry, but for sequences that begin in them.

    They begin by a reset, from the network's own start: only so has a trained one a gradient, and a carry that is
    passed in has none. `begins` is one bool ``(B,)``, or empty where none ever do.
    """
    return {"reset": begins[0][:, None] & (jnp.arange(steps) == 0)[None]} if begins else {}


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """Cross-entropy ``(...)`` in nats of logits ``(..., O)`` and labels ``(...)``.

    With one-hot labels, because the gradient of picking by index is a scatter, slow to compile and to run on CPU. A
    share `smoothing` of each is spread over all classes.
    """
    targets = jax.nn.one_hot(labels, logits.shape[-1])
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, smoothing) if smoothing else targets)
