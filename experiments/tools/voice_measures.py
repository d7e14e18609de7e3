"""What a voice detector is worth on streams of `experiments.data.rooms`: its audit, and what an operator pays for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax import audit, streaming
from asrnn_jax.features import log_mel
from asrnn_jax.losses import energy
from asrnn_jax.saved import replacing
from asrnn_jax.streaming import scores
from experiments.data.rooms import FEATURES, GRID, RATE, STEP, Heard, Room, chunked, featured, heard

GRACE = 0.25  # seconds after a word in which an answer may still be about it
APART = 0.5  # seconds between two alarms; nearer ones are one
EVERY = (1, 5, 30, 300)  # seconds between resets
GAPS = (0.3, 15.0)
KNOWN, UNSEEN = ("tones", "burst", "knocks"), ("siren", "buzz")
ROOMS = (
    Room("silence"),
    Room("silence"),
    Room("noise -60 dB", (-60.0, -60.0)),
    Room("noise -60 dB", (-60.0, -60.0), (1.0, 1.0)),
    Room("noise -45 dB", (-45.0, -45.0)),
    Room("noise -45 dB", (-45.0, -45.0), (1.0, 1.0)),
    Room("noise -30 dB", (-30.0, -30.0)),
    Room("noise -30 dB", (-30.0, -30.0), (1.0, 1.0)),
    Room("other sounds", (-60.0, -60.0), sounds=KNOWN),
    Room("unseen sounds", (-60.0, -60.0), sounds=UNSEEN),
)
"""One a stream; noise is white in one of two, pink in the other."""


class Steps(NamedTuple):
    """B streams as a detector takes them, T steps each."""

    xs: np.ndarray
    """``(B, T, I)``"""
    speech: np.ndarray
    """bool ``(B, T)``"""
    starts: np.ndarray
    """bool ``(B, T)``"""
    seconds: float
    """Of a step."""


def streams(recordings: Sequence[np.ndarray], seconds: float, seed: int, rooms: Sequence[Room] = ROOMS) -> list[Heard]:
    """One of each room."""
    given: dict[str, Any] = {"seconds": seconds, "gaps": GAPS}
    return [heard(recordings, [room], **given, seed=(seed, i)) for i, room in enumerate(rooms)]


def by_features(sound: Sequence[Heard]) -> Steps:
    """Streams as features, 16 ms a step."""
    xs = np.stack([featured(each.sound) for each in sound])
    speech, starts = (np.stack([each[i] for each in sound]) for i in (1, 2))
    return Steps(xs, speech, starts, STEP / RATE)


def by_chunks(sound: Sequence[Heard]) -> Steps:
    """Streams in chunks of 32 ms."""
    xs, speech, starts = (np.stack(leaves) for leaves in zip(*map(chunked, sound)))
    return Steps(xs, speech, starts, GRID / RATE)


class Said(NamedTuple):
    """What a detector said, by policy, on B streams of T steps."""

    outputs: dict[str, np.ndarray]
    """``(B, T)`` each"""
    speech: np.ndarray
    """bool ``(B, T)``"""
    starts: np.ndarray
    """bool ``(B, T)``"""
    seconds: float
    """Of a step."""

    def save(self, path: Path) -> None:
        """Writes a file, whole or not at all."""
        with replacing(path) as file:
            about: dict[str, Any] = {"speech": self.speech, "starts": self.starts, "seconds": self.seconds}
            np.savez_compressed(file, **self.outputs, **about)

    @staticmethod
    def load(path: Path) -> Said:
        """What `save` wrote."""
        with np.load(path) as file:
            found = dict(file)
        speech, starts, seconds = (found.pop(name) for name in ("speech", "starts", "seconds"))
        return Said(found, speech, starts, float(seconds))


def audited(model: audit.Model, on: Steps, threshold: float) -> tuple[audit.Found, Said]:
    """The audit: never, oracle, every so many seconds, by energy; and all that was said on the way."""
    labels = np.where(on.speech, 0, -1).astype(np.int32)
    loud = np.asarray(energy(on.xs[-1][:2000]))[on.speech[-1][:2000]]
    every = [round(seconds / on.seconds) for seconds in EVERY if seconds <= on.xs.shape[1] * on.seconds / 2]
    policies = [streaming.oracle(), *map(streaming.periodic, every)]
    policies += [streaming.on_energy(round(float(np.median(loud)) - 1, 3))]
    names = ["never", "oracle", *(f"every {seconds} s" for seconds in EVERY), "by energy"]
    said: dict[str, list[np.ndarray]] = {}

    def visit(policy: str, chunk: audit.Chunk) -> None:
        said.setdefault(policy, []).append(chunk.ys[..., 0].astype(np.float32))

    settings = audit.Settings(threshold=threshold)
    given: dict[str, Any] = {"starts": on.starts, "score": "recall", "policies": policies, "settings": settings}
    found = audit.resets(model, None, on.xs, labels, **given, visit=visit)
    names = [*names[: 2 + len(every)], names[-1]]
    outputs = {name: np.concatenate(pieces, axis=1) for name, pieces in zip(names, said.values(), strict=True)}
    return found, Said(outputs, on.speech, on.starts, on.seconds)


def running(model: audit.Model, on: Steps, every: Sequence[float | None] = (None, 5)) -> Said:
    """What a detector says that is reset every so many seconds (None: never), without an audit."""
    outputs = {}
    for seconds in every:
        state, pieces = model.start(len(on.xs)), []
        period = on.xs.shape[1] if seconds is None else round(seconds / on.seconds)
        for at in range(0, on.xs.shape[1], 500):
            piece = on.xs[:, at : at + 500]
            due = (at + np.arange(piece.shape[1])) % period == 0
            state, ys = model.advance(state, piece, np.broadcast_to(due, piece.shape[:2]).copy())
            pieces.append(ys[..., 0])
        outputs["never" if seconds is None else f"every {seconds:g} s"] = np.concatenate(pieces, axis=1)
    return Said(outputs, on.speech, on.starts, on.seconds)


def scored(said: Said, policy: str, threshold: float, rows: Sequence[int] | None = None) -> dict[str, float]:
    """Words found, delay and false alarms per hour of gaps, and shares of steps; of some of the streams."""
    rows = range(len(said.speech)) if rows is None else rows
    index = list(rows)
    speech, starts = said.speech[index], said.starts[index]
    heard = said.outputs[policy][index] > threshold
    steps: dict[str, Any] = {"grace": round(GRACE / said.seconds), "apart": round(APART / said.seconds)}
    labels, answers = np.where(speech, 0, -1), np.where(heard, 0, -1)
    found = scores.event_scores(labels, answers, step_seconds=said.seconds, starts=starts, **steps)
    shares = {"recall": float(heard[speech].mean()), "false share": float(heard[~speech].mean())}
    return {
        "words": found.events,
        "found": found.found,
        "delay": found.delay,
        "alarms": found.false_alarms_per_hour,
        **shares,
    }


def along(said: Said, policy: str, threshold: float, parts: int = 10) -> list[float]:
    """Share of the words found, by tenth of the streams."""
    there = scores.events(np.where(said.speech, 0, -1), said.starts)
    late = scores.delays(there, np.where(said.outputs[policy] > threshold, 0, -1))
    place = there.start * parts // said.speech.shape[1]
    found = [np.isfinite(late[place == k]) for k in range(parts)]
    return [float(each.mean()) if len(each) else float("nan") for each in found]


def by_room(said: Said, policy: str, threshold: float) -> dict[str, dict[str, float]]:
    """`scored` of each kind of room."""
    names = [room.name for room in ROOMS[: len(said.speech)]]
    return {
        n: scored(said, policy, threshold, [i for i, m in enumerate(names) if m == n]) for n in dict.fromkeys(names)
    }


def threshold_for(said: Said, policy: str, alarms: float, candidates: np.ndarray) -> float:
    """The lowest of the thresholds, ascending, with so many false alarms per hour at most; the highest if none has."""
    low, high = 0, len(candidates) - 1
    while low < high:  # alarms hardly ever grow with the threshold
        middle = (low + high) // 2
        enough = scored(said, policy, float(candidates[middle]))["alarms"] <= alarms
        low, high = (low, middle) if enough else (middle + 1, high)
    return float(candidates[low])


def cost(push: Callable[[np.ndarray], Any], size: int, seconds: float = 20.0, repeats: int = 5) -> float:
    """Microseconds of CPU time for a second of sound that comes in chunks of so many samples, the least of repeats."""
    number = max(2, round(seconds * RATE / size))
    chunks = np.random.default_rng(0).normal(scale=0.01, size=(number, size)).astype(np.float32)
    for chunk in chunks[:10]:
        push(chunk)
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        for chunk in chunks:
            push(chunk)
        found.append((time.process_time() - begin) / (number * size / RATE))
    return 1e6 * min(found)


def their_cost(model: audit.Model) -> dict[str, float]:
    """Of a detector that takes chunks of 32 ms."""
    state, no = [model.start(1)], np.zeros((1, 1), bool)

    def push(chunk: np.ndarray) -> None:
        state[0], _ = model.advance(state[0], chunk[None, None], no)

    return {"32 ms": cost(push, GRID)}


def our_cost(cell: Any, params: Any) -> dict[str, float]:
    """Features and network, in chunks of 32 ms and of 1 s."""
    settings = {name: value for name, value in FEATURES.items() if name not in ("kind", "rate")}

    def timed(size: int) -> float:
        session, before = (
            streaming.Session(cell, params),
            [np.zeros(round(FEATURES["frame"] * RATE) - STEP, np.float32)],
        )

        def push(chunk: np.ndarray) -> None:
            sound = np.concatenate([before[0], chunk])
            before[0] = sound[len(chunk) :]
            session.push(log_mel(sound, RATE, **settings, pad=False))

        return cost(push, size)

    return {"32 ms": timed(GRID), "1 s": timed(RATE // GRID * GRID)}
