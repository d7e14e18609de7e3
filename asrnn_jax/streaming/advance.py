"""What a session computes for a chunk: the programs, and all that goes on from chunk to chunk."""

from __future__ import annotations

import functools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.analysis.saturation import saturated_share
from asrnn_jax.cell import Carry, Cell, Weights, as_weights
from asrnn_jax.loop import where
from asrnn_jax.losses import energy, entropy_share
from asrnn_jax.made import KEPT
from asrnn_jax.run import run
from asrnn_jax.run import step as one_step
from asrnn_jax.streaming.policies import Policy, Signals, never
from asrnn_jax.typing import Array, Bool, Float


class State(NamedTuple):
    """All that a session carries from chunk to chunk."""

    carry: Carry
    policies: tuple[Any, Any]
    """Of the policy and of the fallback."""
    entropy: Float[Array, "*B"]
    """``(*B,)``: entropy share of the last output."""
    saturated: Float[Array, "*B"]
    """``(*B,)``: share of units saturated by the last step; kept up to date only where a policy needs it."""
    tripped: Bool[Array, "*B"]
    """bool ``(*B,)``: streams that the fallback is in charge of."""
    begins: Bool[Array, "*B"]
    """bool ``(*B,)``: a boundary came at a missing step, and no step has been processed since."""


prepare = jax.jit(as_weights, static_argnums=0)
"""``(cell, params or weights) -> weights``, once a session."""


@functools.lru_cache(KEPT)  # not for ever: each holds a cell and its programs
def plain(cell: Cell) -> Any:
    """The program of a session that never resets, ``(weights, carry, xs) -> (carry, ys)``, with as little as can be.

    It is looked up once a session: making it a static argument takes as long as a step, at every step.
    """

    @jax.jit
    def program(weights, carry, xs):
        if xs.shape[-2] > 1:
            return run(cell, weights, xs, carry=carry)
        end, y = one_step(cell, weights, carry, jnp.squeeze(jnp.asarray(xs), -2))
        return end, jnp.expand_dims(y, -2)

    return program


@partial(jax.jit, static_argnums=(0, 1))
def advance(cell: Cell, policies: tuple[Policy, Policy], weights: Weights, state: State, xs, there, boundary):
    """A chunk ``xs (*B, T, I)``; ``there (*B, T)`` False where a step is missing."""
    xs = jnp.moveaxis(jnp.asarray(xs), -2, 0)
    none = jnp.zeros(xs.shape[:-1], bool)
    there = None if there is None else jnp.moveaxis(there, -1, 0)
    boundary = none if boundary is None else jnp.moveaxis(boundary, -1, 0)
    powers = energy(xs)

    here = ~none if there is None else there

    def decide(state: State, power, begins, here):
        begins = begins | state.begins
        signals = Signals(power, begins, state.entropy, state.saturated)
        (reset, first), (other, second) = (policy.update(signals, own) for policy, own in zip(policies, state.policies))
        new = state._replace(policies=where(here, (first, second), state.policies), begins=begins & ~here)
        return here & jnp.where(state.tripped, other, reset), new

    if not any(policy.looks_back for policy in policies):

        def body(state, at):
            reset, state = decide(state, *at)
            return state, reset

        resets = None
        if any(policy != never() for policy in policies):
            state, resets = jax.lax.scan(body, state, (powers, boundary, here))
        carry, ys = run(cell, weights, xs, carry=state.carry, mask=there, reset=resets, time_major=True)
        return state._replace(carry=carry, entropy=entropy_share(ys[-1])), jnp.moveaxis(ys, 0, -2)

    fresh = cell.start(weights, xs.shape[1:-1], xs.dtype)

    def step(state: State, at):
        x, power, begins, here = at
        reset, new = decide(state, power, begins, here)
        before = where(reset, fresh, state.carry)
        after, y = one_step(cell, weights, before, x, mask=here)
        share = where(here, saturated_share(cell, weights, before, x), state.saturated)
        return new._replace(carry=after, entropy=entropy_share(y), saturated=share), y

    state, ys = jax.lax.scan(step, state, (xs, powers, boundary, here))
    return state, jnp.moveaxis(ys, 0, -2)
