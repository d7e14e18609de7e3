"""From the outputs of a forecaster to distributions, intervals and surprises: what is learned, what is said."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import losses
from asrnn_jax.estimators.learning.endless import Recording
from asrnn_jax.estimators.learning.training import Objective
from asrnn_jax.estimators.preparing.series import Series
from asrnn_jax.losses.distributions import Gaussian, StudentT, spread, whole


class Forecasts(NamedTuple):
    """What a forecaster says at T steps of a session, or of a batch of them, (*B, T)."""

    mean: np.ndarray
    """(T, K), in the units of the K targets."""
    low: np.ndarray
    """(T, K): the interval's lower bound."""
    high: np.ndarray
    """(T, K)"""
    surprise: np.ndarray
    """(T,): of each step to the forecast that was made for it, see `StreamForecaster.anomaly`; NaN without one."""
    anomaly: np.ndarray
    """bool (T,): whether it reached the threshold."""


class Said(NamedTuple):
    """What was said about T steps, scaled."""

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
    def marginal(self) -> np.ndarray:
        """(K,): half of the width of the marginal distribution's interval."""
        low, high = losses.interval(self.around, self.level)
        return np.broadcast_to(np.asarray(high - low) / 2, (len(self.now),))

    @property
    def outputs(self) -> int:
        """How many numbers the network gives."""
        return (4 if isinstance(self.around, StudentT) else 3) * len(self.now)

    def distribution(self, outputs: Any, xs: Any) -> Gaussian | StudentT:
        """Of the targets, (..., K), from outputs (..., O) and inputs (..., I)."""
        return _distribution(self.around, self.now, jnp.asarray(outputs), jnp.asarray(xs))

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
        return ahead(targets, self.horizon)

    def density(self, series: Sequence[Series], outputs: Sequence[np.ndarray]) -> float:
        """Mean logarithm of the density of what came."""
        found = []
        for one, ys in zip(series, outputs):
            wanted = self.ahead(one)
            there = np.isfinite(wanted) & one.valid[:, None]
            longer = [_longer(values, _more(len(wanted))) for values in (ys, one.xs, np.where(there, wanted, 0))]
            found.append(np.asarray(_density(self.around, *longer, now=self.now))[: len(wanted)][there])
        return float(np.concatenate(found).mean())

    def start(self, batch: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
        """What `read` needs of the past: the last `horizon` forecasts, NaN for those that were not made."""
        return {name: np.full((*batch, self.horizon, len(self.now)), np.nan) for name in self.around._fields}

    def read(
        self, past: dict[str, np.ndarray], outputs: np.ndarray, xs: np.ndarray, came: np.ndarray
    ) -> tuple[dict[str, np.ndarray], Said]:
        """What the outputs of the next steps of a stream say, or of a batch of streams.

        Args:
          past: what the steps before left.
          outputs, xs: (*B, T, O) and (*B, T, I).
          came: (*B, T, K), the targets' values at these steps, NaN where missing.
        """
        steps = xs.shape[-2]
        longer = [_longer(values, _more(steps)) for values in (outputs, xs, came)]
        before = tuple(past[name].astype(np.float32) for name in self.around._fields)
        made, half, surprise = _read(self.around, before, *longer, now=self.now, level=self.level)
        made = {name: np.asarray(leaf)[..., :steps, :] for name, leaf in made._asdict().items()}
        following = {name: np.concatenate([past[name], leaf], axis=-2)[..., steps:, :] for name, leaf in made.items()}
        said = (np.asarray(half)[..., :steps, :], np.asarray(surprise)[..., :steps])
        return following, Said(made["location"], *said)

    def said(self, one: Series, outputs: np.ndarray) -> Said:
        """What the outputs of a whole stream say."""
        assert one.targets is not None
        return self.read(self.start(), outputs, one.xs, one.targets)[1]


def ahead(targets: np.ndarray, horizon: int) -> np.ndarray:
    """What the targets ``(T, K)`` of one stream are so many steps later, NaN where it has ended.

    Example:
      >>> ahead(np.array([[1.0], [2.0], [3.0]]), 2).ravel().tolist()
      [3.0, nan, nan]
    """
    found = np.full_like(targets, np.nan)
    found[: max(len(targets) - horizon, 0)] = targets[horizon:]
    return found


def measured(
    y: np.ndarray, now: np.ndarray, mean: np.ndarray, low: np.ndarray, high: np.ndarray
) -> dict[str, float] | None:
    """Error, coverage, width and skill of one target, all (T,); None: there is nothing to compare with."""
    there = np.isfinite(y) & np.isfinite(now) & np.isfinite(mean)
    if not there.any():
        return None
    y, now, mean, low, high = (values[there] for values in (y, now, mean, low, high))
    error, persistence = np.abs(mean - y).mean(), np.abs(now - y).mean()
    return {
        "error": float(error),
        "coverage": float(((low <= y) & (y <= high)).mean()),
        "width": float((high - low).mean()),
        "skill": float(1 - error / persistence) if persistence else float("nan"),
    }


def _more(steps: int) -> int:
    """So many steps are missing to a power of two: programs are compiled for few lengths."""
    return (1 << max(steps - 1, 0).bit_length()) - steps


def _longer(values: np.ndarray, more: int) -> np.ndarray:
    """With so many steps more at the end of the axis before the last."""
    return np.pad(values, [(0, 0)] * (values.ndim - 2) + [(0, more), (0, 0)])


def _distribution(around: Any, now: tuple[int, ...], outputs: jax.Array, xs: jax.Array) -> Any:
    number = len(now)
    place, there = np.maximum(now, 0), np.array(now) >= 0
    around = spread(around, (*xs.shape[:-1], number), jnp.float32, "marginal")
    away = (xs[..., place] - around.location) * jnp.exp(-around.log_scale)
    factors = jnp.where(jnp.broadcast_to(there, away.shape), outputs[..., number : 2 * number], 0)
    location = outputs[..., :number] + factors * away
    return losses.predict(jnp.concatenate([location, outputs[..., 2 * number :]], axis=-1), around)


@partial(jax.jit, static_argnames="now")
def _density(around: Any, outputs: Any, xs: Any, wanted: Any, *, now: tuple) -> jax.Array:
    return whole(_distribution(around, now, outputs, xs)).log_density(wanted)


@partial(jax.jit, static_argnames=("now", "level"))
def _read(around: Any, before: tuple, outputs: Any, xs: Any, came: Any, *, now: tuple, level: float):
    """Distributions (*B, T, K), half of their intervals' widths, and surprises."""
    made = whole(_distribution(around, now, outputs, xs))
    low, high = losses.interval(made, level)
    steps = outputs.shape[-2]
    then = [jnp.concatenate([old, new], axis=-2)[..., :steps, :] for old, new in zip(before, made)]
    forecast = jnp.isfinite(then[0])
    safe = type(made)(*(jnp.where(forecast, leaf, 1.0 + i) for i, leaf in enumerate(then)))
    each = jnp.where(forecast, losses.surprise(safe, came), jnp.nan)
    worst = jnp.where(jnp.isnan(each), -jnp.inf, each).max(-1)
    return made, (high - low) / 2, jnp.where(worst > -jnp.inf, worst, jnp.nan)
