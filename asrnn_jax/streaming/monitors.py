"""What to watch in a network that runs for ever, and when to warn."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from asrnn_jax.analysis.dynamics import driven, flatten
from asrnn_jax.analysis.saturation import saturated_share
from asrnn_jax.cell import Carry, Cell, Params, Weights
from asrnn_jax.losses import energy, quantile_threshold
from asrnn_jax.losses.informative import LEAST
from asrnn_jax.losses.objective import share_of
from asrnn_jax.typing import Array, Bool, Float, Given, Int


class Reference(NamedTuple):
    """Statistics of the training streams, which running is compared with; made by `reference`."""

    x_mean: Float[Array, " I"]
    """``(I,)``"""
    x_std: Float[Array, " I"]
    """``(I,)``"""
    norm: Float[Array, ""]
    """``()``: largest norm of the state."""
    gap_energy: Float[Array, ""]
    """``()``: energy that 99 % of the gaps' steps stay below; +inf where no gaps were marked."""


class Readings(NamedTuple):
    """What the monitors read, NumPy arrays ``(*B,)``. Means are running ones, over about ten readings."""

    norm: Float[np.ndarray, "*B"]
    """Norm of the state over the largest in training."""
    saturated: Float[np.ndarray, "*B"]
    """Share of units that are saturated if the last input comes once more."""
    entropy: Float[np.ndarray, "*B"]
    """Mean entropy share of the outputs."""
    gap_entropy: Float[np.ndarray, "*B"]
    """Mean entropy share of the outputs where the input's energy is that of a gap; NaN before there was one."""
    drift: Float[np.ndarray, "*B"]
    """Distance of the running mean of the input from that of training, in its standard deviations, largest channel."""


@dataclass(frozen=True)
class Limits:
    """Where a monitor trips. None: never.

    Raises:
      ValueError: a limit that is not a positive number.
    """

    norm: float | None = 3.0
    """Times the largest norm of the state in training."""
    saturated: float | None = 0.9
    """Share of units."""
    gap_entropy: float | None = 0.5
    """Least entropy share in gaps."""
    drift: float | None = 3.0
    """Standard deviations."""

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}={value}: give a positive number, or None for no limit.")

    def tripped(self, readings: Readings) -> dict[str, Any]:
        """``{name: bool (*B,)}`` of the monitors that have a limit. A reading that is NaN trips all but gap_entropy."""
        high = {name: getattr(self, name) for name in ("norm", "saturated", "drift")}
        found = {name: ~(getattr(readings, name) <= limit) for name, limit in high.items() if limit is not None}
        if self.gap_entropy is not None:
            found["gap_entropy"] = readings.gap_entropy < self.gap_entropy
        return found


def reference(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    informative: Given[ArrayLike, "*B T"] | None = None,
) -> Reference:
    """The statistics of training streams that a session's monitors compare with.

    Args:
      cell, params: the trained model.
      xs: ``(*B, T, I)`` of training streams; steps that are not finite are left out (the state sees zeros there).
      informative: ``(*B, T)``, 0 in gaps; None where they are not known.

    Raises:
      ValueError, TypeError: as `asrnn_jax.run`; informative of another shape.
    """
    xs = jnp.asarray(xs)
    there = jnp.isfinite(xs).all(-1)
    clean = jnp.where(there[..., None], xs, 0)
    d = driven(cell, params, clean, None, "state")
    norm = jnp.linalg.norm(d.states(), axis=-1).max()
    kept = jnp.where(there[..., None], xs, jnp.nan).reshape(-1, cell.inputs)
    threshold = jnp.asarray(jnp.inf, xs.dtype)
    if informative is not None:
        informative = jnp.asarray(informative)
        if informative.shape != xs.shape[:-1]:
            raise ValueError(f"informative has shape {informative.shape}: pass one number a step, {xs.shape[:-1]}.")
        gaps = there & (informative == 0)
        if bool(gaps.any()):
            threshold = quantile_threshold(jnp.where(gaps, energy(clean), jnp.nan))
    std = jnp.maximum(jnp.nanstd(kept, axis=0), 1e-6)
    return Reference(jnp.nanmean(kept, axis=0), std, jnp.maximum(norm, 1e-6), threshold)


class Watched(NamedTuple):
    """What the monitors carry on, NumPy arrays in float64: running means, and sums since the last reading."""

    x: Float[np.ndarray, "*B I"]
    """``(*B, I)``"""
    entropy: Float[np.ndarray, "*B"]
    """``(*B,)``"""
    gap_entropy: Float[np.ndarray, "*B"]
    """``(*B,)``"""
    steps: Int[np.ndarray, ""]
    """``()``: since the last reading, and so are those below."""
    count: Int[np.ndarray, "*B"]
    """``(*B,)``: steps that were not missing."""
    x_sum: Float[np.ndarray, "*B I"]
    """``(*B, I)``"""
    entropy_sum: Float[np.ndarray, "*B"]
    """``(*B,)``"""
    gaps: Int[np.ndarray, "*B"]
    """``(*B,)``: steps with the energy of a gap."""
    gap_entropy_sum: Float[np.ndarray, "*B"]
    """``(*B,)``"""
    tripped: Bool[np.ndarray, " monitors *B"]
    """bool ``(monitors, *B)``"""


class Event(NamedTuple):
    """Something a program may want to act on."""

    step: int
    """Steps pushed when it was noticed."""
    kind: str
    """"tripped" or "recovered" (a monitor), or "non_finite"."""
    monitor: str
    """Name of the monitor; "" for non-finite samples."""
    streams: tuple[int, ...]
    """Flat indices of the streams that it is about."""
    value: float
    """The worst reading among them; for non-finite samples, how many steps had them."""


class Watch:
    """The monitors of a session, on the host: they take in every step and are read every so many.

    They work in NumPy, because chunks have any length, and a program for each would have to be compiled.
    """

    def __init__(self, ref: Reference, every: int, batch: tuple[int, ...]):
        self._ref = Reference(*(np.asarray(leaf, np.float64) for leaf in ref))  # pyright: ignore[reportArgumentType]
        self._every = every
        self._recent: list[tuple[Any, Any, Any]] = []
        self._waiting = 0  # steps in it
        self._batch, self._inputs = batch, len(ref.x_mean)
        x = np.broadcast_to(self._ref.x_mean, (*batch, self._inputs))
        tripped = np.zeros((len(dataclasses.fields(Limits)), *batch), bool)
        self._state = Watched(x, np.ones(batch), np.full(batch, np.nan), *self._no_sums(), tripped)

    def _no_sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        none = np.zeros(self._batch)
        return np.zeros(()), none, np.zeros((*self._batch, self._inputs)), none, none, none

    def add(self, xs: Any, ys: Any, there: np.ndarray | None) -> bool:
        """Takes in a piece ``xs (*B, T, I)``, ``ys (*B, T, O)``; `there` ``(*B, T)`` is False where a step is missing.

        Returns whether the monitors are due to be read.
        """
        self._recent.append((np.array(xs), ys, there))  # a copy: callers reuse their buffers
        self._waiting += xs.shape[-2]
        return bool(self._state.steps + self._waiting >= self._every)

    @property
    def state(self) -> Watched:
        """All there is to save."""
        for piece in self._recent:  # waits for outputs that are still being computed: once a reading, not once a push
            self._state = self._with(*piece)
        self._recent, self._waiting = [], 0
        return self._state

    @state.setter
    def state(self, state: Watched) -> None:
        self._recent, self._waiting, self._state = [], 0, state

    def _with(self, xs: np.ndarray, ys: Any, there: np.ndarray | None) -> Watched:
        xs, s = xs.astype(np.float64), self._state
        there = np.ones(xs.shape[:-1], bool) if there is None else there
        clean = np.where(there[..., None], xs, 0)
        with np.errstate(over="ignore", invalid="ignore"):  # NaN and infinity make NaN
            entropy = share_of(np, np.asarray(ys).astype(np.float64))
            quiet = there & (np.log10((clean**2).mean(-1) + LEAST) <= self._ref.gap_energy)
        return s._replace(
            steps=s.steps + xs.shape[-2],
            count=s.count + there.sum(-1),
            x_sum=s.x_sum + clean.sum(-2),
            entropy_sum=s.entropy_sum + entropy.sum(-1),
            gaps=s.gaps + quiet.sum(-1),
            gap_entropy_sum=s.gap_entropy_sum + np.where(quiet, entropy, 0).sum(-1),
        )

    def read(self, norm: ArrayLike, saturated: ArrayLike, limits: Limits, step: int) -> tuple[Readings, list[Event]]:
        """The readings, and what tripped or recovered; `norm` ``(*B,)`` of the state, `saturated` ``(*B,)``."""
        s, ref = self.state, self._ref
        keep = np.exp(-s.steps / (10 * self._every))

        def mean(before, total, count):
            new = total / np.maximum(count, 1)
            before = np.where(np.isnan(before), new, before)
            return np.where(count > 0, keep * before + (1 - keep) * new, before)

        x = mean(s.x, s.x_sum, s.count[..., None])
        entropy = mean(s.entropy, s.entropy_sum, s.steps)
        gap_entropy = np.where(s.gaps > 0, mean(s.gap_entropy, s.gap_entropy_sum, s.gaps), s.gap_entropy)
        drift = (np.abs(x - ref.x_mean) / ref.x_std).max(-1)
        readings = Readings(np.asarray(norm) / ref.norm, np.asarray(saturated), entropy, gap_entropy, drift)
        flags = limits.tripped(readings)
        names = [field.name for field in dataclasses.fields(Limits)]
        now = np.stack([flags.get(name, np.zeros_like(s.tripped[0])) for name in names])
        events = []
        for name, before, after in zip(names, s.tripped, now):
            for kind, changed in (("tripped", after & ~before), ("recovered", before & ~after)):
                if changed.any():
                    values = getattr(readings, name)[changed]
                    worst = values.min() if name == "gap_entropy" else values.max()
                    events.append(Event(step, kind, name, tuple(map(int, np.flatnonzero(changed))), float(worst)))
        self._state = Watched(x, entropy, gap_entropy, *self._no_sums(), now)
        return readings, events


@partial(jax.jit, static_argnums=0)
def vitals(
    cell: Cell, weights: Weights, carry: Carry, x: Given[ArrayLike, "*B I"]
) -> tuple[Float[Array, "*B"], Float[Array, "*B"]]:
    """Norm of the state, and the share of units that a step with ``x (*B, I)`` from here saturates, ``(*B,)`` each."""
    like = jax.eval_shape(lambda: cell.to_state(weights, cell.start(weights, ())))
    norm = jnp.linalg.norm(flatten(cell.to_state(weights, carry), like), axis=-1)
    return norm, saturated_share(cell, weights, carry, jnp.asarray(x))
