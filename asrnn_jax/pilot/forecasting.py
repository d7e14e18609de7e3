"""All numbers of a pilot that forecasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from asrnn_jax.estimators import Preparation
from asrnn_jax.pilot import disturbances, forecast_scores, monitors, naive
from asrnn_jax.pilot.concatenated import Joined, join, outputs
from asrnn_jax.pilot.contributions import contributions
from asrnn_jax.pilot.forecast_scores import Wanted
from asrnn_jax.pilot.naive import Forecast
from asrnn_jax.pilot.networks import Network, microseconds
from asrnn_jax.pilot.options import Options
from asrnn_jax.pilot.reading import Data
from asrnn_jax.pilot.stability import stability

SCORE, SIGN = "error", -1
"""What methods are compared by; -1: lower is better."""
LEVEL = 0.9
"""Of the intervals."""
AFTER = 50
"""Steps after a disturbance in which recovery is measured."""
LENGTH = 200
"""Steps of a disturbance."""


def grown(data: Data, options: Options, preparation: Preparation) -> dict[str, Forecast]:
    """What the methods without recurrence say along the test streams."""
    train, test = ([one for one in preparation.apply(t) if len(one.xs)] for t in (data.split.train, data.split.test))
    every = naive.period(train)
    methods: dict[str, Callable[[Any], np.ndarray]] = {
        "persistence": lambda one: naive.persistence(one, options.horizon)
    }
    if every is not None:
        methods["seasonal"] = lambda one: naive.persistence(one, options.horizon, every)
    if len(options.target) <= naive.MOST_TARGETS:
        methods["boosting"] = naive.Trees(options.horizon, options.seed).fit(train).predict
    truth = np.concatenate([naive.ahead(one.targets, options.horizon) for one in train if one.targets is not None])
    return {
        name: naive.with_interval(
            [method(one) for one in test], truth - np.concatenate([method(one) for one in train]), LEVEL
        )
        for name, method in methods.items()
    }


def baseline(said: Forecast, network: Network, data: Data, options: Options) -> tuple[dict[str, Any], np.ndarray]:
    """Scores of a method without recurrence, and its forecasts."""
    targets = network.estimator.preparation.fitted.targets
    return forecast_scores.scored(_test(network, data), said, targets.names, targets.scale, LEVEL), said.mean


def difference(network: Network, a: np.ndarray, b: np.ndarray, data: Data, options: Options) -> dict[str, float]:
    """By which share the error of forecasts `a` is below that of `b`."""
    return forecast_scores.difference(_test(network, data), a, b)


def about(network: Network, methods: dict[str, Any], data: Data, options: Options) -> dict[str, Any]:
    """What the scores are to be read by."""
    train = network.estimator.preparation.apply(data.split.train)
    rules = {
        "pieces": len(forecast_scores.pieces(_test(network, data).joined)),
        "sets": forecast_scores.SETS,
        "period": naive.period([one for one in train if len(one.xs)]),
    }
    return {"rules": rules, "simplest": methods["persistence"]["error"]["value"]}


def modes(found: dict[str, Any]) -> tuple[float, float]:
    """With oracle resets and without any: by which share of the error the latter is worse."""
    return 0.0, 1 - found["modes"]["never"]["error"] / found["modes"]["oracle"]["error"]


def _test(network: Network, data: Data) -> Wanted:
    model = network.estimator
    series = model.preparation.apply(data.split.test)
    longest = max(len(one.xs) for one in series)
    if longest <= model.horizon:
        raise ValueError(f"--horizon {model.horizon}: the longest test stream has {longest} steps: take fewer.")
    return forecast_scores.wanted(series, model.horizon, model.preparation.fitted.rule.step)


def _said(model: Any, what: Wanted, ys: np.ndarray) -> tuple[Forecast, np.ndarray]:
    """The forecasts of outputs along joined streams, scaled, and how surprising each step was."""
    mean, half, surprise = model.say(what.now, ys)
    near = what.joined.starts.copy()  # the first steps of a stream were forecast from the stream before it
    for i in range(1, min(model.horizon, len(near))):
        near[i:] |= what.joined.starts[: len(near) - i]
    return Forecast(mean, mean - half, mean + half), np.where(near, np.nan, surprise)


def tested(network: Network, data: Data, options: Options) -> tuple[dict[str, Any], np.ndarray]:
    """Scores of a network, and its forecasts where it is never reset."""
    model, what = network.estimator, _test(network, data)
    targets, step = model.preparation.fitted.targets, data.about["step_seconds"]
    said = {mode: _said(model, what, ys) for mode, ys in outputs(model.network, model.params, what.joined).items()}
    each = {}
    for mode, (forecast, _) in said.items():
        error = forecast_scores.errors(what.truth, forecast.mean)
        along = forecast_scores.scores.along(np.arange(len(error)), error)
        each[mode] = {"error": forecast_scores.mean_error(error), "along": along}
    forecast, surprise = said["never"]
    found = forecast_scores.scored(what, forecast, targets.names, targets.scale, LEVEL)
    count, worst = forecast_scores.alarms(surprise, model.threshold_, what.joined)
    known = surprise[np.isfinite(surprise)]
    found["anomalies"] = {
        "runs": count,
        "per_hour": count / max(len(known) * step / 3600, 1e-9),
        "share": forecast_scores.mean_error((known >= model.threshold_).astype(float)),
        "expected": model.false_alarms,
        "threshold": model.threshold_,
        "worst": [{**run, **_where(run["start"], what, data)} for run in worst],
    }
    found |= {"kind": "network", "modes": each, "seconds": network.seconds}
    return {**found, **network.about(), "microseconds": microseconds(model)}, forecast.mean


def _where(step: int, what: Wanted, data: Data) -> dict[str, Any]:
    """Stream and time of a step, as they are written in the table."""
    table, row = data.split.test, int(what.now.rows[step])
    if row < 0:
        return {"stream": "", "time": ""}
    time = "" if table.times is None else str(table.how.write(table.times[row : row + 1])[0])
    return {"stream": str(table.stream.values[table.stream.codes[row]]), "time": time}


def inside(best: Network, data: Data, options: Options) -> dict[str, Any]:
    """What is shown of the best network."""
    model, what = best.estimator, _test(best, data)
    cell, params, preparation = model.network, model.params, model.preparation
    train = join(preparation.apply(data.split.train))
    disturbances, streams = _disturbances(best, data, what, options)

    def minus_error(ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
        mean = np.asarray(model.reader_.distribution(ys, xs).location)
        return -forecast_scores.errors(what.truth[: ys.shape[-2]], mean)

    forecast, surprise = _said(model, what, outputs(cell, params, what.joined, ["never"])["never"])
    drop = contributions(
        cell,
        params,
        what.joined,
        preparation.inputs,
        len(preparation.fitted.roles["channels"]),
        minus_error,
        changes=np.nan_to_num(surprise) >= 2,
    )
    part, targets = slice(drop.start, drop.start + drop.stretch.shape[1]), preparation.fitted.targets
    in_units = {"truth": what.truth, **forecast._asdict()}
    shown = {name: v[part, 0] * targets.scale[0] + targets.median[0] for name, v in in_units.items()}
    return {
        "disturbed": disturbances,
        "stability": stability(cell, params, what.joined.xs),
        "contributions": drop._asdict(),
        "stretch": {"start": drop.start, "target": targets.names[0], **shown},
        "monitors": monitors.watched(cell, params, train, False, {"test": what.joined, **streams}),
    }


def _disturbances(
    best: Network, data: Data, what: Wanted, options: Options
) -> tuple[dict[str, Any], dict[str, Joined]]:
    """What happens in and after stretches of silence and the like, and with channels that drift or fail."""
    model, table = best.estimator, data.split.test
    preparation, step = model.preparation, model.preparation.fitted.rule.step
    stretches, streams, changed = {}, {}, {}

    def run(table: Any) -> tuple[Wanted, Forecast, np.ndarray]:
        there = forecast_scores.wanted(preparation.apply(table), model.horizon, step)
        return there, *_said(model, there, outputs(model.network, model.params, there.joined, ["never"])["never"])

    usual = forecast_scores.mean_error(_width(run(table)[1]))
    for kind in disturbances.STRETCHES:
        found = disturbances.insert(table, preparation, kind, LENGTH, seed=options.seed)
        there, said, surprise = run(found.table)
        rows = there.now.rows
        inside = (rows >= 0) & found.inside[rows]
        error = forecast_scores.errors(there.truth, said.mean)
        stretches[kind] = {
            "width": forecast_scores.mean_error(_width(said)[inside]) / usual,
            "error_after": forecast_scores.mean_error(error[disturbances.after(inside, AFTER)]),
            "error": forecast_scores.mean_error(error[~inside]),
            "anomalies": forecast_scores.mean_error((surprise[inside] >= model.threshold_).astype(float)),
            "steps": int(inside.sum()),
        }
        streams[kind] = there.joined
    for kind, one in disturbances.throughout(table, preparation, seed=options.seed).items():
        there, said, _ = run(one)
        drift = kind.startswith("drift")
        moved = float(kind.split()[1]) if drift else 0.0
        offset = moved * _scales(preparation) if drift else 0.0  # what is to be forecast drifts with its channel
        changed[kind] = {"error": forecast_scores.mean_error(forecast_scores.errors(what.truth + offset, said.mean))}
        if drift:
            streams[kind] = there.joined
    return {"length": LENGTH, "after": AFTER, "stretches": stretches, "changed": changed}, streams


def _width(said: Forecast) -> np.ndarray:
    return (said.high - said.low).mean(-1)


def _scales(preparation: Preparation) -> np.ndarray:
    """How far a channel's deviation moves each target that is a channel, in the target's own deviations, ``(K,)``."""
    fitted = preparation.fitted
    scale = dict(zip(fitted.roles["channels"], fitted.rule.scale.tolist()))
    return np.array([scale.get(name, 0.0) / s for name, s in zip(fitted.targets.names, fitted.targets.scale)])
