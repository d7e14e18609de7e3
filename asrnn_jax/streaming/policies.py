"""When to reset a running network: policies as pairs of pure functions, as optax has optimisers.

    policy = on_energy(threshold=-2.0)
    state  = policy.init(batch_shape)
    reset, state = policy.update(signals, state)       before each step; True starts that element afresh

A network trained with `asrnn_jax.losses.reset_free` needs none: `never`. The others are what one compares with, and
what `asrnn_jax.streaming.Session` falls back on when a monitor trips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from asrnn_jax.cells import checks
from asrnn_jax.made import Made, remembered
from asrnn_jax.typing import Array, Bool, Float, Int

MOST_STEPS = np.iinfo(np.int32).max


class Signals(NamedTuple):
    """What a policy can know before a step, each ``(*B,)``."""

    energy: Float[Array, "*B"]
    """log10 of the mean square of the input that comes now."""
    boundary: Bool[Array, "*B"]
    """bool: a sample begins here. Only the oracle has it."""
    entropy: Float[Array, "*B"]
    """Entropy share of the output before, in [0, 1]; 1 at the start."""
    saturated: Float[Array, "*B"]
    """Share of the units that the step before left saturated; 0 at the start."""


@dataclass(frozen=True, eq=False)
class Policy(Made):
    """Policies of equal arguments are equal, have one hash and can be pickled."""

    name: str
    init: Callable[[tuple[int, ...]], Any]
    """``batch_shape -> state``, leaves ``(*B,)``."""
    update: Callable[[Signals, Any], tuple[Bool[Array, "*B"], Any]]
    """``(signals, state) -> (reset (*B,) bool, state)``"""
    looks_back: bool = False
    """Whether it needs the output or the units of the step before, so that steps have to be taken one by one."""


def _steps(name: str, value: int) -> int:
    """A number of steps to count up to."""
    checks.sizes(**{name: value})
    if value > MOST_STEPS:
        raise ValueError(f"{name}={value}: give at most {MOST_STEPS} steps, what 32 bits count.")
    return int(value)


def _no_steps(batch: tuple[int, ...]) -> Int[Array, "*B"]:
    return jnp.zeros(batch, jnp.int32)


def _counted(count: Int[Array, "*B"], enough: int) -> Int[Array, "*B"]:
    """One step more, up to `enough`: a policy runs for ever, and a counter that only grows ends up negative."""
    return jnp.where(count < enough, count + 1, enough)


@remembered
def never() -> Policy:
    """No reset, ever."""
    return Policy("never", lambda batch: (), lambda signals, state: (jnp.zeros_like(signals.boundary), state))


@remembered
def oracle() -> Policy:
    """At the true beginning of every sample, which in real life nobody knows."""
    return Policy("oracle", lambda batch: (), lambda signals, state: (signals.boundary, state))


@remembered
def periodic(k: int) -> Policy:
    """Every k steps.

    Raises:
      TypeError: k that is no whole number.
      ValueError: k below 1, or above what 32 bits count.
    """
    k = _steps("k", k)

    def update(signals, count):
        reset = count >= k
        return reset, jnp.where(reset, 1, _counted(count, k))

    return Policy(f"periodic({k})", _no_steps, update)


@remembered
def on_energy(threshold: ArrayLike, quiet: int = 5) -> Policy:
    """When something comes after silence: the energy rises above a threshold after at least so many steps below it.

    Args:
      threshold: log10 of the mean square, see `asrnn_jax.losses.energy` and `quantile_threshold`.
      quiet: steps below it that make a silence.

    Raises:
      TypeError: quiet that is no whole number.
      ValueError: quiet below 1, or above what 32 bits count.
    """
    quiet = _steps("quiet", quiet)

    def update(signals, count):
        loud = signals.energy > threshold
        return loud & (count >= quiet), jnp.where(loud, 0, _counted(count, quiet))

    return Policy(f"on_energy({threshold!r}, {quiet})", _no_steps, update)


def _when_high(name: str, signal: str, threshold: float, patience: int) -> Policy:
    """Once, when a signal has stayed above a threshold for `patience` steps; again only after it fell below."""
    patience = _steps("patience", patience)
    if not 0 < threshold < 1:
        raise ValueError(f"threshold={threshold}: give a share in (0, 1).")

    def update(signals, count):
        high = getattr(signals, signal) > threshold
        reset = high & (count == patience - 1)
        return reset, jnp.where(high, _counted(count, patience), 0)

    return Policy(f"{name}({threshold!r}, {patience})", _no_steps, update, looks_back=True)


@remembered
def on_entropy(threshold: float = 0.9, patience: int = 5) -> Policy:
    """When the network has not known what to say for some steps: the entropy share of its outputs stays high.

    Raises:
      TypeError: patience that is no whole number.
      ValueError: patience below 1, or above what 32 bits count; a threshold outside (0, 1).
    """
    return _when_high("on_entropy", "entropy", threshold, patience)


@remembered
def on_saturation(threshold: float = 0.5, patience: int = 5) -> Policy:
    """When the share of saturated units stays high. Cells without saturating units are never reset.

    Raises:
      TypeError: patience that is no whole number.
      ValueError: patience below 1, or above what 32 bits count; a threshold outside (0, 1).
    """
    return _when_high("on_saturation", "saturated", threshold, patience)
