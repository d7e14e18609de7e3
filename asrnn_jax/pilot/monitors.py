"""The monitors of a network: limits that training data do not trip, and what trips them in test and disturbed data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from asrnn_jax import streaming
from asrnn_jax.cell import Cell
from asrnn_jax.pilot.concatenated import Joined

TIGHTER, WIDER, LEAST = 3.0, 1.5, 0.01
"""A limit is the usual one, but at most `TIGHTER` and at least `WIDER` times the most extreme reading in training, and
never below `LEAST`."""
MOST_STEPS = 50_000


class Watching(NamedTuple):
    """What a session needs to watch a network."""

    reference: streaming.Reference
    limits: streaming.Limits
    every: int
    """Steps between readings."""
    fallback: int
    """Steps between resets while a monitor is tripped."""


def prepare(cell: Cell, params: Any, train: Joined, gaps: bool) -> Watching:
    """Statistics of training streams, and limits around their readings, the usual limits where these are wider."""
    some = _first(train)
    informative = (some.labels >= 0).astype(np.float32) if gaps else None
    reference = streaming.reference(cell, params, jnp.asarray(some.xs), informative)
    every = int(np.clip(len(some.xs) // 40, 16, 256))
    events = streaming.scores.events(train.labels, train.starts)
    usual = int(np.median(events.stop - events.start)) if len(events.start) else 100
    watching = Watching(reference, streaming.Limits(), every, max(10, 2 * usual))
    _, readings = watch(cell, params, some, watching._replace(limits=streaming.Limits(None, None, None, None)))
    extremes = {name: _extreme(name, readings) for name in asdict(watching.limits)}
    return watching._replace(limits=limits(extremes, gaps))


def limits(extremes: Mapping[str, float], gaps: bool) -> streaming.Limits:
    """The usual limits, tighter where training stays far below them, wider where it does not.

    Args:
      extremes: the most extreme reading of each monitor in training, NaN where there is none.
      gaps: whether gaps are known; without them there is no limit of their entropy.
    """
    found: dict[str, float | None] = {}
    for name, usual in asdict(streaming.Limits()).items():
        seen = extremes[name]
        if name == "gap_entropy":
            found[name] = min(usual, seen / WIDER) if seen > 0 else usual
        elif np.isfinite(seen):
            found[name] = max(min(usual, TIGHTER * seen), WIDER * seen, LEAST)
        else:
            found[name] = usual
    shares = found["saturated"]
    found["saturated"] = shares if shares is not None and shares < 1 else None
    found["gap_entropy"] = found["gap_entropy"] if gaps else None
    return streaming.Limits(**found)


def watch(cell: Cell, params: Any, joined: Joined, watching: Watching) -> tuple[list[streaming.Event], list[Any]]:
    """Events and readings of a session along streams that are never reset, but by the fallback."""
    session = streaming.Session(
        cell,
        params,
        reference=watching.reference,
        limits=watching.limits,
        fallback=streaming.periodic(watching.fallback),
        monitor_every=watching.every,
        non_finite="missing",
    )
    some, readings = _first(joined), []
    xs = np.where(some.valid[:, None], some.xs, np.nan).astype(np.float32)
    for at in range(0, len(xs), watching.every):
        session.push(xs[at : at + watching.every])
        if session.readings is not None:
            readings.append(session.readings)
    return list(session.events), readings


def watched(cell: Cell, params: Any, train: Joined, gaps: bool, streams: Mapping[str, Joined]) -> dict[str, Any]:
    """The limits, and for each kind of streams, by name: how often each monitor tripped, when first, and its most
    extreme reading."""
    watching, found = prepare(cell, params, train, gaps), {}
    for kind, joined in streams.items():
        events, readings = watch(cell, params, joined, watching)
        monitors = {}
        for name in asdict(watching.limits):
            trips = [event for event in events if event.kind == "tripped" and event.monitor == name]
            extreme = _extreme(name, readings)
            first = trips[0].step if trips else None
            monitors[name] = {"tripped": len(trips), "first": first, "extreme": extreme}
        found[kind] = {"steps": min(len(joined.xs), MOST_STEPS), "monitors": monitors}
        found[kind]["tripped"] = sum(one["tripped"] for one in monitors.values())
    about = {"limits": asdict(watching.limits), "every": watching.every, "fallback": watching.fallback}
    return {**about, "streams": found}


def _extreme(name: str, readings: list[Any]) -> float:
    seen = np.array([getattr(reading, name) for reading in readings], float)
    seen = seen[np.isfinite(seen)]
    if not len(seen):
        return float("nan")
    return float(seen.min() if name == "gap_entropy" else seen.max())


def _first(joined: Joined) -> Joined:
    return Joined(*(leaf[:MOST_STEPS] for leaf in joined))
