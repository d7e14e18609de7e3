"""How good a classifier is along test streams: accuracy, events, and both along time, with intervals."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.pilot.baselines import Said
from asrnn_jax.pilot.concatenated import Joined, pieces
from asrnn_jax.streaming import scores
from asrnn_jax.streaming.events import mean

SETS = 200
"""Sets that intervals are drawn from."""


class Rules(NamedTuple):
    """How events are counted."""

    step_seconds: float
    """Of a step; 1 where the table has no times."""
    grace: int
    """Steps of a gap in which an answer may still be about the event before."""
    gaps: bool
    """Whether steps without a label are gaps, in which "nothing" is right."""


def rules(step_seconds: float, joined: Joined, gaps: bool) -> Rules:
    """Grace is a tenth of the usual event, and 1 step at least."""
    found = scores.events(joined.labels, joined.starts)
    usual = float(np.median(found.stop - found.start)) if len(found.start) else 1.0
    return Rules(step_seconds, max(1, round(usual / 10)), gaps and bool((joined.labels < 0).any()))


def said(logits: np.ndarray, sure: float) -> Said:
    """What a network's outputs ``(T, C)`` say: the most probable class, and "nothing" where its entropy is high.

    Args:
      sure: the entropy share from which on an answer is "nothing".
    """
    return Said(
        logits.argmax(-1), scores.answers(logits, sure=sure), logits - np.logaddexp.reduce(logits, -1, keepdims=True)
    )


def accuracy(labels: np.ndarray, best: np.ndarray) -> float:
    """Share of the labelled steps whose most probable class is right."""
    return mean((best == labels)[labels >= 0])


def whole_events(joined: Joined, log_p: np.ndarray) -> float:
    """Share of events whose class is the most probable of all their steps together."""
    found = scores.events(joined.labels, joined.starts)
    named = [log_p[start:stop].sum(0).argmax() for start, stop in zip(found.start, found.stop)]
    return mean(np.array(named) == found.label)


def scored(joined: Joined, what: Said, rule: Rules, classes: int) -> dict[str, Any]:
    """All scores of one classifier that was not reset, with intervals of 90 %."""
    cuts = pieces(joined)
    cut = [[values[a:b] for a, b in cuts] for values in (joined.labels, what.best, what.answers, joined.starts)]
    labels, best, answers, starts = cut

    def share(y, a):
        return accuracy(np.concatenate(y), np.concatenate(a))

    def macro(y, a):
        there = np.concatenate(y) >= 0
        return scores.by_class(np.concatenate(y)[there], np.concatenate(a)[there], classes=classes).macro_f1

    def events(y, a, s):
        found = scores.event_scores(y, a, step_seconds=rule.step_seconds, starts=s, grace=rule.grace, apart=rule.grace)
        return np.array([found.found, found.delay, found.false_alarms_per_hour, scores.segment_f1(y, a, starts=s).f1])

    event = scores.bootstrap(events, (labels, answers, starts), number=SETS)
    names = ("found", "delay", "false_alarms_per_hour", "segment_f1")
    found = {name: _interval(*values) for name, *values in zip(names, *event)}
    gap = joined.labels < 0
    each = scores.by_class(joined.labels, what.answers, classes=classes)
    return {
        "accuracy": _interval(*scores.bootstrap(share, (labels, best), number=SETS)),
        "macro_f1": _interval(*scores.bootstrap(macro, (labels, best), number=SETS)),
        "whole_events": whole_events(joined, what.log_p),
        "nothing_in_gaps": mean(what.answers[gap] < 0) if rule.gaps else None,
        "events": found | {"number": len(scores.events(joined.labels, joined.starts).start)},
        "by_class": {name: getattr(each, name) for name in ("precision", "recall", "f1", "support")},
        "along": along(joined, what.best),
    }


def along(joined: Joined, best: np.ndarray) -> np.ndarray:
    """Accuracy of labelled steps in tenths of the joined streams, from the first to the last."""
    there = np.flatnonzero(joined.labels >= 0)
    return scores.along(there, (best == joined.labels)[there])


def difference(joined: Joined, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """By how much the accuracy of answers `a` is above that of `b` on the same streams, with its interval of 90 %."""
    cuts = pieces(joined)
    drawn = [[values[start:stop] for start, stop in cuts] for values in (joined.labels, a, b)]

    def apart(y, one, other):
        y, one, other = (np.concatenate(each) for each in (y, one, other))
        return accuracy(y, one) - accuracy(y, other)

    return _interval(*scores.bootstrap(apart, drawn, number=5 * SETS))


def _interval(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": float(value), "low": float(low), "high": float(high)}
