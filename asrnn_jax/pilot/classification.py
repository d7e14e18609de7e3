"""All numbers of a pilot that tells classes apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from asrnn_jax.estimators import Preparation
from asrnn_jax.pilot import baselines, classification_scores, disturbances, monitors
from asrnn_jax.pilot.concatenated import MODES, Joined, join, outputs
from asrnn_jax.pilot.contributions import contributions
from asrnn_jax.pilot.networks import Network, microseconds
from asrnn_jax.pilot.options import Options
from asrnn_jax.pilot.reading import Data
from asrnn_jax.pilot.stability import stability
from asrnn_jax.streaming import scores
from asrnn_jax.streaming.events import mean

SCORE, SIGN = "accuracy", 1
"""What methods are compared by; 1: higher is better."""
AFTER = 2
"""Usual events after a disturbance in which recovery is measured."""


def grown(data: Data, options: Options, preparation: Preparation) -> dict[str, baselines.Said]:
    """What the methods without recurrence say along the test streams."""
    train, test = preparation.apply(data.split.train), preparation.apply(data.split.test)
    kinds, joined = len(preparation.classes), join(test)
    trees = baselines.Boosting(nothing=options.unlabelled == "nothing", seed=options.seed).fit(train)
    return {
        "boosting": trees.predict(test, kinds),
        "majority": baselines.majority(train, len(joined.xs), kinds),
    }


def baseline(said: baselines.Said, network: Network, data: Data, options: Options) -> tuple[dict[str, Any], np.ndarray]:
    """Scores of a method without recurrence, and its most probable classes."""
    joined, rule = _test(network, data, options)
    return classification_scores.scored(joined, said, rule, len(network.estimator.preparation.classes)), said.best


def difference(network: Network, a: np.ndarray, b: np.ndarray, data: Data, options: Options) -> dict[str, float]:
    """By how much the accuracy of answers `a` is above that of `b`."""
    return classification_scores.difference(_test(network, data, options)[0], a, b)


def about(network: Network, methods: dict[str, Any], data: Data, options: Options) -> dict[str, Any]:
    """What the scores are to be read by."""
    joined, rule = _test(network, data, options)
    rules = {**rule._asdict(), "pieces": len(classification_scores.pieces(joined)), "sets": classification_scores.SETS}
    return {"rules": rules, "simplest": methods["majority"]["accuracy"]["value"]}


def modes(found: dict[str, Any]) -> tuple[float, float]:
    """Accuracy with oracle resets and without any."""
    return found["modes"]["oracle"]["accuracy"], found["modes"]["never"]["accuracy"]


def _test(network: Network, data: Data, options: Options) -> tuple[Joined, classification_scores.Rules]:
    joined = join(network.estimator.preparation.apply(data.split.test))
    gaps = options.unlabelled == "nothing"
    return joined, classification_scores.rules(data.about["step_seconds"], joined, gaps)


def tested(network: Network, data: Data, options: Options) -> tuple[dict[str, Any], np.ndarray]:
    """Scores of a network, and its most probable classes where it is never reset."""
    model, (joined, rule) = network.estimator, _test(network, data, options)
    said = {
        mode: classification_scores.said(logits, model.sure_)
        for mode, logits in outputs(model.network, model.params, joined).items()
    }
    each = {
        mode: {
            "accuracy": classification_scores.accuracy(joined.labels, said[mode].best),
            "whole_events": classification_scores.whole_events(joined, said[mode].log_p),
            "along": classification_scores.along(joined, said[mode].best),
        }
        for mode in MODES
    }
    found = classification_scores.scored(joined, said["never"], rule, len(model.preparation.classes))
    found |= {"kind": "network", "modes": each, "seconds": network.seconds, "sure": model.sure_}
    return {**found, **network.about(), "microseconds": microseconds(model)}, said["never"].best


def inside(best: Network, data: Data, options: Options) -> dict[str, Any]:
    """What is shown of the best network."""
    model = best.estimator
    cell, params, preparation = model.network, model.params, model.preparation
    joined, rule = _test(best, data, options)
    train = join(preparation.apply(data.split.train))
    disturbances, streams = _disturbances(best, data, joined, rule, options)
    drop = contributions(
        cell, params, joined, preparation.inputs, len(preparation.fitted.roles["channels"]), _likelihood(joined)
    )
    part = slice(drop.start, drop.start + drop.stretch.shape[1])
    log_p = classification_scores.said(outputs(cell, params, joined, ["never"])["never"], model.sure_).log_p
    return {
        "disturbed": disturbances,
        "stability": stability(cell, params, joined.xs),
        "contributions": drop._asdict(),
        "stretch": {"start": drop.start, "labels": joined.labels[part], "probabilities": np.exp(log_p[part]).T},
        "monitors": monitors.watched(cell, params, train, rule.gaps, {"test": joined, **streams}),
    }


def _likelihood(joined: Joined) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def of(logits: np.ndarray, xs: np.ndarray) -> np.ndarray:
        labels = joined.labels[: logits.shape[-2]]
        log_p = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
        chosen = np.take_along_axis(log_p, np.broadcast_to(np.maximum(labels, 0)[:, None], (*log_p.shape[:-1], 1)), -1)
        return np.where(labels >= 0, chosen[..., 0], np.nan)

    return of


def _disturbances(
    best: Network, data: Data, joined: Joined, rule: classification_scores.Rules, options: Options
) -> tuple[dict[str, Any], dict[str, Joined]]:
    """What happens in and after stretches of silence and the like, and with channels that drift or fail."""
    model, table = best.estimator, data.split.test
    preparation = model.preparation
    events = scores.events(joined.labels, joined.starts)
    usual = int(np.median(events.stop - events.start)) if len(events.start) else 50
    length = int(np.clip(5 * usual, 20, 2000))
    stretches, streams = {}, {}
    for kind in disturbances.STRETCHES:
        changed = disturbances.insert(table, preparation, kind, length, seed=options.seed)
        series = preparation.apply(changed.table)
        whole = join(series)
        rows = np.concatenate([one.rows for one in series if len(one.xs)])
        inside = (rows >= 0) & changed.inside[rows]
        said = classification_scores.said(outputs(model.network, model.params, whole, ["never"])["never"], model.sure_)
        after = disturbances.after(inside, AFTER * usual)
        stretches[kind] = {
            "nothing": mean(said.answers[inside] < 0),
            "alarms_per_hour": _alarms(said.answers, inside, rule),
            "accuracy_after": classification_scores.accuracy(whole.labels[after], said.best[after]),
            "accuracy": classification_scores.accuracy(whole.labels, said.best),
            "steps": int(inside.sum()),
        }
        streams[kind] = whole
    moved = {}
    for kind, changed in disturbances.throughout(table, preparation, seed=options.seed).items():
        whole = join(preparation.apply(changed))
        logits = outputs(model.network, model.params, whole, ["never"])["never"]
        moved[kind] = {"accuracy": classification_scores.accuracy(whole.labels, logits.argmax(-1))}
        if kind.startswith("drift"):
            streams[kind] = whole
    found = {"length": length, "after": AFTER * usual, "stretches": stretches, "changed": moved}
    return found, streams


def _alarms(answers: np.ndarray, inside: np.ndarray, rule: classification_scores.Rules) -> float:
    labels = np.where(inside, -1, 0)
    hours = inside.sum() * rule.step_seconds / 3600
    count = scores.false_alarms([labels], [answers], grace=rule.grace, apart=rule.grace)
    return count / hours if hours else float("nan")
