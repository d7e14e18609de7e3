"""A network fitted within a budget of time: a rate, the number of steps by held-out streams, then all streams."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np

from asrnn_jax.cell import Cell, Params
from asrnn_jax.estimators.learning.endless import Mixing, Recording, streams
from asrnn_jax.estimators.learning.training import Loop, Measured

RATES = (1e-3, 3e-3, 1e-2)
"""Rates that are tried in short runs."""
TRIED, FEWEST, SEARCH = 60, 15, 0.25
"""Steps of such a run: at most, at least, and the share of the time that all of them may take."""
WARM_UP = 20
LOGGED = 10
"""Steps between two entries of the history."""
RESERVE = 0.1
"""Share of the budget that is kept for what comes after training."""


class Plan(NamedTuple):
    """What `fit` is asked to do."""

    batch: int
    window: int
    steps: int
    rate: float | None
    """None: found by short runs."""
    refit: bool
    patience: int
    """Looks at the held-out streams without a better score after which a training ends."""
    every: int
    """Training steps between two looks."""
    seed: int
    verbose: int


class Fitted(NamedTuple):
    """What came of it."""

    params: Params
    measured: Params
    """Those that never saw what is held out."""
    rate: float
    steps: int
    """Training steps behind these params."""
    history: dict[str, list[float]]
    notes: tuple[str, ...]
    """What did not go as planned."""


class Clock:
    """A budget of minutes for training, which begins when it is made or started again; None: endless."""

    def __init__(self, minutes: float | None):
        self._begin = time.monotonic()
        self._seconds = math.inf if minutes is None else 60 * minutes * (1 - RESERVE)

    @property
    def left(self) -> float:
        """Seconds."""
        return self._seconds - (time.monotonic() - self._begin)

    def restart(self) -> None:
        """What was before takes none of the time."""
        self._begin = time.monotonic()


class Run(NamedTuple):
    """One training."""

    best: Params | None
    best_step: int
    score: float
    end: str
    """"done", "early", "time", "diverged" or "interrupted"."""


def fit(
    cell: Cell,
    loop: Loop,
    recordings: Sequence[Recording],
    learned: Sequence[Recording],
    mixing: Mixing,
    score: Callable[[Params], float] | None,
    plan: Plan,
    clock: Clock,
    params: Params | None = None,
) -> Fitted:
    """Fits a network.

    Args:
      cell: the network.
      loop: its training step.
      recordings: all of them.
      learned: those that are not held out.
      mixing: how they become streams.
      score: of params on what is held out, higher is better; None: nothing is.
      plan: the rest.
      clock: when to stop.
      params: where to start; None: afresh.
    """
    first = cell.init(jax.random.key(plan.seed)) if params is None else params
    history: dict[str, list[float]] = {
        name: [] for name in ("step", "loss", "gradient_norm", "rate", "gap_share", "weight", "score")
    }
    notes: list[str] = []
    trainer = _Trainer(loop, mixing, plan, clock, history)
    try:
        trainer.compile(first, learned, score)
        rate = plan.rate or trainer.find_rate(first, learned, notes)
    except KeyboardInterrupt:
        return Fitted(first, first, RATES[0], 0, history, ("Interrupted before anything was learned.",))
    again = plan.refit and score is not None
    steps = trainer.affordable(plan.steps, 2.0 if again else 1.0)
    if steps < plan.steps:
        notes.append(f"Time for {steps} of {plan.steps} steps only: give more minutes.")
    found = trainer.train(first, learned, rate, steps, score)
    notes += _said(found)
    measured = found.best if found.best is not None else first
    params, count = measured, found.best_step
    if again and found.end in ("done", "early") and found.best is not None:
        number = max(found.best_step, steps // 2)
        if trainer.affordable(number, 1.0) < number:
            notes.append("No time was left to train on the held-out streams as well.")
        else:
            whole = trainer.train(first, recordings, rate, number, None)
            if whole.end == "done" and whole.best is not None:
                params, count = whole.best, number
            else:
                notes.append(f"The training on all streams ended early ({whole.end}): kept what was before it.")
    return Fitted(params, measured, rate, count, history, tuple(notes))


def _said(found: Run) -> list[str]:
    return {
        "time": ["Stopped because the time was up."],
        "interrupted": ["Interrupted: kept the best so far."],
        "diverged": [f"Training diverged: stopped, with the weights of step {found.best_step}. Try a lower rate."],
    }.get(found.end, [])


class _Trainer:
    def __init__(self, loop: Loop, mixing: Mixing, plan: Plan, clock: Clock, history: dict[str, list[float]]):
        self._loop, self._mixing, self._plan, self._clock, self._history = loop, mixing, plan, clock, history
        self._seconds = 0.0  # of a training step
        self._done = 0

    def compile(self, params: Params, recordings: Sequence[Recording], score: Callable[[Params], float] | None) -> None:
        """Compiles, which takes none of the time, and measures what a step takes."""
        windows = self._windows(recordings)
        state, measured = self._loop.step(self._loop.start(params), next(windows), 0.0)
        if score is not None:
            score(jax.device_get(state.params))
        jax.block_until_ready(measured)
        self._clock.restart()
        begin = time.monotonic()
        jax.block_until_ready(self._loop.step(state, next(windows), 0.0))
        self._seconds = time.monotonic() - begin

    def find_rate(self, params: Params, recordings: Sequence[Recording], notes: list[str]) -> float:
        """The rate with the lowest loss at the end of a short run; the same windows for each."""
        steps = self.affordable(TRIED, len(RATES) / SEARCH)
        if steps < FEWEST:
            notes.append(f"No time to look for a rate: took {RATES[1]:g}.")
            return RATES[1]
        found = {}
        for rate in RATES:
            state, seen = self._loop.start(params), []
            for i, window in zip(range(steps), self._windows(recordings)):
                state, measured = self._loop.step(state, window, rate * min(1, (i + 1) / WARM_UP))
                seen.append(measured.loss)
            losses = np.array(jax.device_get(seen[-steps // 3 :]))
            found[rate] = float(losses.mean()) if np.isfinite(losses).all() else math.inf
        return min(found, key=lambda rate: found[rate])

    def affordable(self, steps: int, trainings: float) -> int:
        """So many of these steps fit into what is left of the time."""
        if not math.isfinite(self._clock.left) or not self._seconds:
            return steps
        return max(1, min(steps, int(self._clock.left / trainings / self._seconds / 1.1)))

    def train(
        self,
        params: Params,
        recordings: Sequence[Recording],
        rate: float,
        steps: int,
        score: Callable[[Params], float] | None,
    ) -> Run:
        """Steps with a rate that warms up and falls to 0 as a cosine; keeps the best params by score, or the last."""
        plan, state = self._plan, self._loop.start(params)
        best, best_step, best_score = None, 0, -math.inf
        seen: list[Measured] = []
        end, bar, i, begin = "done", _bar(plan.verbose, steps), 0, time.monotonic()
        try:
            for i, window in zip(range(1, steps + 1), self._windows(recordings)):
                now = rate * _schedule(i, steps)
                state, measured = self._loop.step(state, window, now)
                seen.append(measured)
                bar.update(1)
                looks = i % plan.every == 0 or i == steps
                if i % LOGGED == 0 or looks:
                    if not self._log(seen, i, now):
                        end = "diverged"
                        break
                    seen = []
                if looks:
                    now_params = jax.device_get(state.params)
                    found = score(now_params) if score is not None else math.nan
                    self._history["score"][-1] = found
                    if score is None or found >= best_score:
                        best, best_step, best_score = now_params, i, found
                    elif i - best_step >= plan.patience * plan.every:
                        end = "early"
                        break
                if self._clock.left < 0:
                    end = "time" if i < steps else "done"
                    break
        except KeyboardInterrupt:
            end = "interrupted"
        bar.close()
        self._done += i
        self._seconds = (time.monotonic() - begin) / max(i, 1) if i > 10 else self._seconds
        if end in ("time", "interrupted") and (best is None or score is None):
            best, best_step = jax.device_get(state.params), i
        return Run(best, best_step, best_score, end)

    def _windows(self, recordings: Sequence[Recording]) -> Iterator[Recording]:
        plan = self._plan
        return streams(recordings, self._mixing, batch=plan.batch, window=plan.window, seed=plan.seed)

    def _log(self, seen: list[Measured], step: int, rate: float) -> bool:
        """Writes means over some steps into the history; says whether losses and gradients are finite."""
        loss, norm, share, weight = (np.array([float(value) for value in of]) for of in zip(*seen))
        there = share[np.isfinite(share)]
        entry = {
            "step": self._done + step,
            "loss": float(loss.mean()),
            "gradient_norm": float(norm.mean()),
            "rate": rate,
            "gap_share": float(there.mean()) if len(there) else math.nan,
            "weight": float(weight.mean()),
            "score": math.nan,
        }
        for name, value in entry.items():
            self._history[name].append(value)
        return bool(np.isfinite(loss).all() and np.isfinite(norm).all())


def _schedule(step: int, steps: int) -> float:
    """The share of the rate at a step from 1 on: up over `WARM_UP` steps, down as a cosine."""
    return min(1.0, step / WARM_UP) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps)))


def _bar(verbose: int, steps: int) -> Any:
    with contextlib.suppress(ImportError):
        if verbose:
            from tqdm.auto import tqdm

            return tqdm(total=steps, unit="step")
    return SimpleNamespace(update=lambda steps: None, close=lambda: None)
