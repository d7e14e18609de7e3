"""What to watch in a network that runs for ever, and when to warn."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax.analysis.dynamics import driven, flatten
from asrnn_jax.analysis.saturation import saturated_share
from asrnn_jax.cell import Cell, Params, PyTree, Weights
from asrnn_jax.losses import energy, entropy_share, quantile_threshold


class Reference(NamedTuple):
    """Statistics of the training streams, which running is compared with; made by `reference`."""

    x_mean: jax.Array
    """``(I,)``"""
    x_std: jax.Array
    """``(I,)``"""
    norm: jax.Array
    """``()``: largest norm of the state."""
    gap_energy: jax.Array
    """``()``: energy that 99 % of the gaps' steps stay below; +inf where no gaps were marked."""


class Readings(NamedTuple):
    """What the monitors read, each ``(*B,)``."""

    norm: jax.Array
    """Norm of the state over the largest in training."""
    saturated: jax.Array
    """Share of saturated units."""
    entropy: jax.Array
    """Mean entropy share of the outputs."""
    gap_entropy: jax.Array
    """Mean entropy share of the outputs where the input's energy is that of a gap; NaN before there was one."""
    drift: jax.Array
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


def reference(cell: Cell, params: Params | Weights, xs: ArrayLike, informative: ArrayLike | None = None) -> Reference:
    """The statistics of training streams that a session's monitors compare with.

    Args:
      cell, params: the trained model.
      xs: ``(*B, T, I)`` of training streams; steps that are not finite are left out.
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


class Averages(NamedTuple):
    """What the monitors carry on, running means."""

    x: jax.Array
    """``(*B, I)``"""
    entropy: jax.Array
    """``(*B,)``"""
    gap_entropy: jax.Array
    """``(*B,)``"""

    @staticmethod
    def start(ref: Reference, batch: tuple[int, ...], dtype: Any) -> Averages:
        x = jnp.broadcast_to(ref.x_mean, (*batch, len(ref.x_mean))).astype(dtype)
        return Averages(x, jnp.ones(batch, dtype), jnp.full(batch, jnp.nan, dtype))


def read(
    cell: Cell, weights: Weights, ref: Reference, averages: Averages, carry: PyTree, xs, ys, there, passed
) -> tuple[Averages, Readings]:
    """Reads the monitors after a piece ``xs (T, *B, I)``, ``ys (T, *B, O)`` that ended in `carry`.

    ``there (T, *B)`` is False where a step is missing; `passed` is the time since the last reading, in time constants
    of the averages: the piece stands for all of it.
    """
    keep = jnp.exp(-passed).astype(xs.dtype)
    count = there.sum(0)
    clean = jnp.where(there[..., None], xs, 0)
    mean = jnp.where(count[..., None] > 0, clean.sum(0) / jnp.maximum(count, 1)[..., None], averages.x)
    entropy = entropy_share(ys)
    quiet = there & (energy(clean) <= ref.gap_energy)
    gaps = quiet.sum(0)
    gap_mean = jnp.where(quiet, entropy, 0).sum(0) / jnp.maximum(gaps, 1)
    before = jnp.where(jnp.isnan(averages.gap_entropy), gap_mean, averages.gap_entropy)
    new = Averages(
        keep * averages.x + (1 - keep) * mean,
        keep * averages.entropy + (1 - keep) * entropy.mean(0),
        jnp.where(gaps > 0, keep * before + (1 - keep) * gap_mean, averages.gap_entropy),
    )
    state = flatten(cell.to_state(weights, carry))
    z = jnp.abs(new.x - jnp.broadcast_to(ref.x_mean, new.x.shape)) / jnp.broadcast_to(ref.x_std, new.x.shape)
    readings = Readings(
        jnp.linalg.norm(state, axis=-1) / ref.norm,
        saturated_share(cell, weights, carry, clean[-1]),
        new.entropy,
        new.gap_entropy,
        z.max(-1),
    )
    return new, readings
