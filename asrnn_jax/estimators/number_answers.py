"""From the outputs of a forecaster to distributions, intervals and surprises: what is learned, how it is calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import losses
from asrnn_jax.estimators.endless import Recording
from asrnn_jax.estimators.series import Series
from asrnn_jax.estimators.training import Objective
from asrnn_jax.losses.distributions import Gaussian, StudentT, spread, whole


class Forecasts(NamedTuple):
    """What a forecaster says at T steps of a session, in the units of the K targets."""

    mean: np.ndarray
    """(T, K)"""
    low: np.ndarray
    """(T, K): the interval's lower bound."""
    high: np.ndarray
    """(T, K)"""


class Said(NamedTuple):
    """What was said about a stream of T steps, scaled."""

    mean: np.ndarray
    """(T, K)"""
    half: np.ndarray
    """(T, K): half of the interval's width."""
    surprise: np.ndarray
    """(T,): of each step to the forecast made for it, the largest of its targets; NaN where there is none."""


class Reader(NamedTuple):
    """What the outputs mean.

    They are those of `asrnn_jax.losses.gaussian` or `student_t`, with K factors more, after the locations: on how far
    each target is from its marginal now. So "as now" is as easy to say as "don't know", which outputs of 0 mean.
    """

    around: Gaussian | StudentT
    """The marginal distribution of the targets."""
    now: tuple[int, ...]
    """Which input is the present value of each target, -1: none."""
    horizon: int
    level: float

    @property
    def outputs(self) -> int:
        """How many numbers the network gives."""
        return (4 if isinstance(self.around, StudentT) else 3) * len(self.now)

    def distribution(self, outputs: jax.Array, xs: jax.Array) -> Gaussian | StudentT:
        """Of the targets, (..., K), from outputs (..., O) and inputs (..., I)."""
        number = len(self.now)
        place, there = np.maximum(self.now, 0), np.array(self.now) >= 0
        around = spread(self.around, (*xs.shape[:-1], number), jnp.float32, "marginal")
        away = (jnp.asarray(xs)[..., place] - around.location) * jnp.exp(-around.log_scale)
        factors = jnp.where(jnp.broadcast_to(there, away.shape), outputs[..., number : 2 * number], 0)
        location = outputs[..., :number] + factors * away
        return losses.predict(jnp.concatenate([location, outputs[..., 2 * number :]], axis=-1), self.around)

    def objective(self) -> Objective:
        """Likelihood where there is a target, "don't know" in gaps."""

        def loss(outputs, window: Recording, weight):
            there = jnp.isfinite(window.wanted)
            gap = jnp.broadcast_to((window.informative == 0)[..., None], there.shape)
            return losses.reset_free_regression(
                self.distribution(outputs, window.xs),
                jnp.where(there, window.wanted, 0),
                window.informative,
                marginal=self.around,
                weight=weight,
                where=there | gap,
            )

        def share(outputs, window: Recording):
            return losses.width_share(self.distribution(outputs, window.xs), self.around)

        return Objective(self.outputs, loss, share)

    def record(self, one: Series) -> Recording:
        """What is learned from a stream."""
        wanted = self.ahead(one)
        learned = one.valid & np.isfinite(wanted).any(-1)
        steps = len(one.xs)
        fresh = np.zeros(steps, bool)
        return Recording(one.xs, one.valid, wanted, np.ones(steps, np.float32), learned.astype(np.float32), fresh)

    def ahead(self, one: Series) -> np.ndarray:
        """What the targets (T, K) are `horizon` steps later, NaN where the stream has ended."""
        targets = np.zeros((len(one.xs), 0), np.float32) if one.targets is None else one.targets
        after = np.full((min(self.horizon, len(targets)), targets.shape[1]), np.nan, np.float32)
        return np.concatenate([targets[self.horizon :], after])

    def density(self, series: Sequence[Series], outputs: Sequence[np.ndarray]) -> float:
        """Mean logarithm of the density of what came."""
        found = []
        for one, ys in zip(series, outputs):
            wanted = self.ahead(one)
            there = np.isfinite(wanted)
            predicted = whole(self.distribution(jnp.asarray(ys), jnp.asarray(one.xs)))
            found.append(np.asarray(predicted.log_density(jnp.where(there, wanted, 0)))[there])
        return float(np.concatenate(found).mean())

    def said(self, one: Series, outputs: np.ndarray) -> Said:
        """What the outputs of a stream say."""
        predicted = self.distribution(jnp.asarray(outputs), jnp.asarray(one.xs))
        low, high = losses.interval(predicted, self.level)
        ahead = np.asarray(losses.surprise(predicted, jnp.asarray(self.ahead(one))))
        worst = np.where(np.isnan(ahead), -np.inf, ahead).max(-1)
        surprise = np.full(len(worst), np.nan)
        surprise[self.horizon :] = np.where(worst > -np.inf, worst, np.nan)[: max(len(worst) - self.horizon, 0)]
        return Said(np.asarray(predicted.location), np.asarray(high - low) / 2, surprise)


class Calibration(NamedTuple):
    """What is true of the answers on data that the network has not seen."""

    widening: np.ndarray
    """(K,): factor on the widths with which intervals hold what they say."""
    surprises: np.ndarray
    """(N,), from the least on."""
    levels: np.ndarray
    """(N,): -log10 of the share of steps that reach each."""

    def surprise(self, raw: np.ndarray) -> np.ndarray:
        """From what the distributions say to what was seen; beyond the largest that was seen it goes on by itself."""
        return np.interp(raw, self.surprises, self.levels) + np.maximum(raw - self.surprises[-1], 0)


def calibrate(reader: Reader, series: Sequence[Series], outputs: Sequence[np.ndarray]) -> Calibration:
    """Measures streams."""
    said = [reader.said(one, ys) for one, ys in zip(series, outputs)]
    ratios = np.concatenate([np.abs(reader.ahead(one) - found.mean) / found.half for one, found in zip(series, said)])
    found = np.concatenate([one.surprise for one in said])
    found = np.sort(found[np.isfinite(found)])
    reach = np.arange(len(found), 0, -1)  # so many steps reach each
    levels = np.log10((len(found) + 1) / reach)
    widening = np.nanquantile(ratios, reader.level, axis=0)
    return Calibration(*(values.astype(np.float32) for values in (widening, found, levels)))


def measured(y: np.ndarray, now: np.ndarray, answers: Forecasts) -> dict[str, float] | None:
    """Error, coverage, width and skill of one target, all (T,); None: there is nothing to compare with."""
    there = np.isfinite(y) & np.isfinite(now) & np.isfinite(answers.mean)
    if not there.any():
        return None
    y, now, mean, low, high = (values[there] for values in (y, now, *answers))
    error, persistence = np.abs(mean - y).mean(), np.abs(now - y).mean()
    return {
        "error": float(error),
        "coverage": float(((low <= y) & (y <= high)).mean()),
        "width": float((high - low).mean()),
        "skill": float(1 - error / persistence) if persistence else float("nan"),
    }
