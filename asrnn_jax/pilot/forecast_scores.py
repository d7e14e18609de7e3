"""How good forecasts are along test streams: errors, intervals, and both along time, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.estimators import Series
from asrnn_jax.pilot.concatenated import Joined, join, pieces
from asrnn_jax.pilot.naive import Forecast, ahead
from asrnn_jax.streaming import scores

SETS = 200
"""Sets that intervals are drawn from."""
JUMP = 5.0
"""Usual intervals between two rows from which on the state would have to start afresh."""


class Wanted(NamedTuple):
    """Test streams one after the other, and what is to be forecast at each step."""

    joined: Joined
    truth: np.ndarray
    """(T, K): scaled, NaN where a stream has ended or a value is missing."""
    now: Series
    """The same streams as a single one."""


def wanted(series: Sequence[Series], horizon: int, step: float) -> Wanted:
    """What is to be forecast; ``joined.begins`` is where data go on after a gap."""
    series = [one for one in series if len(one.xs)]
    joined = join(series)
    parts = [one.targets for one in series if one.targets is not None]
    begins = []
    for one in series:
        jump = np.zeros(len(one.xs), bool)
        if one.times is not None:
            jump[1:] = np.diff(one.times) > JUMP * step
        jump[1:] |= one.valid[1:] & ~one.valid[:-1]
        begins.append(jump)
    single = Series(
        name="",
        xs=joined.xs,
        labels=joined.labels,
        valid=joined.valid,
        targets=np.concatenate(parts),
        rows=np.concatenate([one.rows for one in series]),
        times=None,
    )
    truth = np.concatenate([ahead(part, horizon) for part in parts])
    return Wanted(joined._replace(begins=np.concatenate(begins)), truth, single)


def errors(truth: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Absolute errors in deviations, mean over the targets that came, ``(T,)``; NaN where none did."""
    apart = np.abs(truth - mean)
    there = np.isfinite(apart)
    count = there.sum(-1)
    return np.where(count > 0, np.where(there, apart, 0).sum(-1) / np.maximum(count, 1), np.nan)


def mean_error(values: np.ndarray) -> float:
    """Of errors, without NaN; NaN of nothing."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def scored(what: Wanted, said: Forecast, names: Sequence[str], scale: np.ndarray, level: float) -> dict[str, Any]:
    """All scores of one method, with intervals of 90 %."""
    error = errors(what.truth, said.mean)
    cuts = pieces(what.joined)
    drawn = [error[a:b] for a, b in cuts]
    found = scores.bootstrap(lambda parts: mean_error(np.concatenate(parts)), (drawn,), number=SETS)
    each = np.abs(what.truth - said.mean) * scale
    inside = scores.coverage(said.low, said.high, what.truth)
    targets = {
        name: {
            "error": mean_error(each[:, k]),
            "rmse": float(np.sqrt(mean_error(each[:, k] ** 2))),
            "coverage": float(inside[k]),
            "width": mean_error(((said.high - said.low) * scale)[:, k]),
        }
        for k, name in enumerate(names)
    }
    return {
        "error": {"value": found.value, "low": found.low, "high": found.high},
        "coverage": float(np.mean(inside)),
        "level": level,
        "targets": targets,
        "along": scores.along(np.arange(len(error)), error),
    }


def difference(what: Wanted, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """By which share the error of forecasts `a` is below that of `b` on the same streams, with its interval of 90 %."""
    cuts = pieces(what.joined)
    both = [[errors(what.truth, mean)[start:stop] for start, stop in cuts] for mean in (a, b)]

    def gain(one, other):
        below = mean_error(np.concatenate(other))
        return 1 - mean_error(np.concatenate(one)) / below if below else float("nan")

    found = scores.bootstrap(gain, both, number=5 * SETS)
    return {"value": found.value, "low": found.low, "high": found.high}


def alarms(surprise: np.ndarray, threshold: float, joined: Joined, most: int = 10) -> tuple[int, list[dict[str, Any]]]:
    """Runs of steps that are surprising: how many, and the most surprising ones."""
    marked = np.nan_to_num(surprise, nan=-1) >= threshold
    found = scores.events(np.where(marked, 0, -1), joined.starts)
    runs = [
        {"start": int(start), "stop": int(stop), "surprise": float(np.nanmax(surprise[start:stop]))}
        for start, stop in zip(found.start, found.stop)
    ]
    return len(runs), sorted(runs, key=lambda run: -run["surprise"])[:most]
