"""A model over all streams with one reset policy, in chunks; sums of the score on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.audit.measures import Measure, Sums, measured
from asrnn_jax.audit.models import Model
from asrnn_jax.audit.sources import Piece, Source
from asrnn_jax.loop import where
from asrnn_jax.losses import energy, entropy_share
from asrnn_jax.streaming.policies import Policy, Signals, never


class Chunk(NamedTuple):
    """What a model said to a piece of the streams."""

    at: int
    """The first step."""
    piece: Piece
    ys: np.ndarray
    """``(B, T, O)``"""
    since: np.ndarray
    """``(B, T)``: steps since the last reset, or since the beginning."""
    resets: np.ndarray
    """bool ``(B, T)``"""
    state: Any
    """After it."""


class Tally(NamedTuple):
    """Sums of the scores of one policy."""

    policy: str
    resets: float
    """How many in 1,000 steps."""
    by_part: dict[str, Sums]
    """By the name of the score; a place is a stretch of the stream."""
    by_since: Sums
    """Of the first score; a place is a time since the last reset: 0, 1, 2-3, 4-7, 8-15, ..."""


def walk(model: Model, source: Source, policy: Policy, chunk: int) -> Iterator[Chunk]:
    """Runs a model over the streams.

    Raises:
      ValueError: outputs that are not finite: in which stream, since when.
    """
    batch = source.streams
    fresh, own = model.start(batch), policy.init((batch,))
    state = fresh
    since, entropy = np.full(batch, -1), np.ones(batch, np.float32)
    saturated = np.zeros(batch, np.float32)
    for at in range(0, source.steps, chunk):
        piece = source.piece(at, min(chunk, source.steps - at))
        if policy.looks_back:
            chosen, said = [], []
            for t in range(piece.labels.shape[1]):
                x = piece.xs[:, t]
                reset, own = _decide(policy, own, x, piece.starts[:, t], entropy, saturated)
                reset = np.asarray(reset)
                if model.saturated is not None:  # a cell, whose leaves have the batch first
                    before = where(jnp.asarray(reset), fresh, state) if reset.any() else state
                    saturated = model.saturated(before, x)
                state, y = model.advance(state, piece.xs[:, t : t + 1], reset[:, None])
                entropy = np.asarray(_entropy(y[:, 0])) if y.shape[-1] > 1 else entropy
                chosen.append(reset)
                said.append(y[:, 0])
            resets, ys = np.stack(chosen, axis=1), np.stack(said, axis=1)
        else:
            resets = np.zeros(piece.labels.shape, bool)
            if policy != never():
                decided, own = _decide_all(policy, own, piece.xs, piece.starts)
                resets = np.asarray(decided)
            state, ys = model.advance(state, piece.xs, resets)
        _check(model, policy, ys, piece, at)
        times = np.arange(piece.labels.shape[1])
        last = np.maximum.accumulate(np.where(resets, times, -1), axis=1)
        counted = np.where(last >= 0, times - last, since[:, None] + 1 + times)
        since = counted[:, -1]
        yield Chunk(at, piece, ys, counted, resets, state)


@partial(jax.jit, static_argnums=0)
def _decide(policy: Policy, own: Any, x: Any, starts: Any, entropy: Any, saturated: Any) -> tuple[Any, Any]:
    return policy.update(Signals(energy(x), starts, entropy, saturated), own)


@partial(jax.jit, static_argnums=0)
def _decide_all(policy: Policy, own: Any, xs: Any, starts: Any) -> tuple[Any, Any]:
    nothing = jnp.zeros(starts.shape[0], jnp.float32)

    def body(own: Any, at: Any) -> tuple[Any, Any]:
        power, begins = at
        reset, own = policy.update(Signals(power, begins, nothing + 1, nothing), own)
        return own, reset

    own, resets = jax.lax.scan(body, own, (energy(xs).T, jnp.asarray(starts).T))
    return resets.T, own


_entropy = jax.jit(entropy_share)


def _check(model: Model, policy: Policy, ys: np.ndarray, piece: Piece, at: int) -> None:
    if ys.shape[:2] != piece.labels.shape:
        raise ValueError(f"model {model.name!r} gave outputs {ys.shape} for {piece.labels.shape} steps.")
    bad = ~np.isfinite(ys).all(-1) & piece.there
    if bad.any():
        t = bad.any(0).argmax()
        which = np.flatnonzero(bad[:, t])
        raise ValueError(
            f"model {model.name!r}, policy {policy.name}: outputs are not finite in stream "
            f"{', '.join(map(str, which[:5]))} since step {at + t}."
        )


def tally(
    model: Model,
    source: Source,
    policy: Policy,
    scores: dict[str, Measure],
    *,
    chunk: int,
    parts: int,
    visit: Callable[[Chunk], None] = lambda chunk: None,
    advanced: Callable[[int], Any] = lambda steps: None,
) -> Tally:
    """The scores of a model with a policy.

    Args:
      scores: the first is also taken by the time since the last reset.
      chunk: steps at a time.
      parts: places along the stream.
      visit: called with each chunk.
      advanced: called with the number of steps done.
    """
    size = -(-source.steps // parts)
    by_part = {name: Sums.zeros(source.streams, parts) for name in scores}
    by_since = Sums.zeros(source.streams, int(np.log2(source.steps)) + 2)
    resets = steps = 0
    for found in walk(model, source, policy, chunk):
        number = found.ys.shape[1]
        place = np.broadcast_to((found.at + np.arange(number)) // size, found.since.shape)
        for i, (name, score) in enumerate(scores.items()):
            part, whole = measured(score, found.piece.labels, found.ys, found.piece.ends, found.piece.there)
            by_part[name].add(place, part, whole)
            if i == 0:
                by_since.add(np.log2(np.maximum(found.since, 1)).astype(int) + (found.since > 0), part, whole)
        resets += int((found.resets & found.piece.there).sum())
        steps += int(found.piece.there.sum())
        visit(found)
        advanced(number)
    return Tally(policy.name, 1000 * resets / steps, by_part, by_since)


def times_since(places: int) -> np.ndarray:
    """The shortest time of each place of `Tally.by_since`: 0, 1, 2, 4, 8, ..."""
    return np.concatenate([[0], 2 ** np.arange(places - 1)])
