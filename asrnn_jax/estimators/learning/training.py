"""The training loop of the estimators: windows of endless streams, by default with the state carried on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from asrnn_jax import losses, optim
from asrnn_jax.cell import Cell, Params
from asrnn_jax.estimators.learning.endless import Recording
from asrnn_jax.losses.dual import gap_mean
from asrnn_jax.run import run
from asrnn_jax.streaming.starts import Starts

SLOWER = 0.1
"""Rate of the orthogonal recurrent matrix over that of the rest, as in the asRNN paper."""
REBASE = 100
MOST = 10.0
"""Bound of the weight of the gaps."""


class Objective(NamedTuple):
    """What is learned, as pure functions of a network's outputs ``(..., O)``."""

    outputs: int
    loss: Callable[[jax.Array, Recording, jax.Array], jax.Array]
    """``(outputs (B, T, O), what they are for, weight of the gaps) -> (B, T)``"""
    share: Callable[[jax.Array, Recording], jax.Array]
    """How near an answer is to "don't know", ``(B, T)`` in [0, 1]."""


class State(NamedTuple):
    """What a training step hands to the next."""

    params: Params
    moments: Any
    carry: Any
    starts: Any
    """Memory of what windows start from."""
    dual: Any
    step: jax.Array


class Measured(NamedTuple):
    """What was seen in a training step."""

    loss: jax.Array
    gradient_norm: jax.Array
    gap_share: jax.Array
    """Entropy (of numbers: width) in gaps over that of "don't know"; NaN without gaps."""
    weight: jax.Array


class Loop(NamedTuple):
    """The two programs of a training, compiled once each."""

    start: Callable[[Params], State]
    step: Callable[[State, Recording, ArrayLike], tuple[State, Measured]]


def make_loop(
    cell: Cell,
    objective: Objective,
    *,
    batch: int,
    clip: float,
    target: float,
    settle: int = 0,
    starts: Starts,
    seed: int,
) -> Loop:
    """The training step of a network.

    Args:
      cell: the network.
      objective: what it learns.
      batch: number of streams.
      clip: largest norm of a gradient.
      target: what the share of "don't know" in gaps is held at, see `asrnn_jax.losses.entropy_target`.
      settle: so many steps at the beginning of a gap are left out of that share: nobody knows at once that it is one.
      starts: what windows start from.
      seed: of what is random in that.
    """
    key = jax.random.key(seed)
    dual = losses.entropy_target(target, most=MOST)
    adam = partial(optax.adam, b2=0.99)
    optimizer = optax.chain(optax.clip_by_global_norm(clip), optim.separate_rates(adam(1.0), adam(SLOWER)))

    @jax.jit
    def start(params: Params) -> State:
        carry = cell.start(cell.prepare(params), (batch,), jnp.float32)
        moments, first = optimizer.init(params), starts.init(carry)
        return State(params, moments, carry, first, dual.init(), jnp.zeros((), jnp.int32))

    def mean_loss(params: Params, state: State, window: Recording):
        fresh = cell.start(cell.prepare(params), (batch,), jnp.float32)
        begin, memory = starts.draw(state.starts, jax.random.fold_in(key, state.step), state.carry, fresh)
        carry, outputs = run(cell, params, window.xs, carry=begin, mask=window.valid, reset=window.reset)
        weight = jnp.exp(state.dual.log_weight)
        counted = window.counted
        each = objective.loss(outputs, window, weight)
        loss = jnp.where(counted > 0, counted * each, 0).sum() / jnp.maximum(counted.sum(), 1)
        gap = (counted > 0) & (_since(window.informative > 0) > settle)
        share = gap_mean(objective.share(outputs, window), jnp.where(gap, window.informative, 1))
        return loss, (jax.lax.stop_gradient(carry), memory, share, weight)

    @partial(jax.jit, donate_argnums=0)
    def step(state: State, window: Recording, rate: ArrayLike) -> tuple[State, Measured]:
        value_and_gradient = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, (carry, memory, share, weight)), gradient = value_and_gradient(state.params, state, window)
        norm = optax.tree.norm(gradient)
        updates, moments = optimizer.update(gradient, state.moments, state.params)
        params: Any = optax.apply_updates(state.params, jax.tree.map(lambda u: u * jnp.asarray(rate, u.dtype), updates))
        done = state.step + 1
        params = optim.rebase(cell, params, done, REBASE)
        _, following = dual.update(share, state.dual)
        return State(params, moments, carry, memory, following, done), Measured(loss, norm, share, weight)

    return Loop(start, step)


def _since(event: jax.Array) -> jax.Array:
    """int (B, T): how many steps ago, at each, something last happened in this window, or before it."""
    step = jnp.broadcast_to(jnp.arange(1, event.shape[-1] + 1), event.shape)
    return step - jax.lax.cummax(jnp.where(event, step, 0), axis=event.ndim - 1)
