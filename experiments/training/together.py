"""Several runs at once on one accelerator: those that are the same program take each of their steps as one.

A recurrent network with 16,000 parameters leaves an accelerator nearly idle: its step is a chain of small kernels. In
one program the runs of a table, with other seeds, starts, rates or data, share the time between them. On an H200
fourteen of them took about seven times as long as one: `experiments/results/bench/accelerator`.

Each run is a thread with the loop, folder and checkpoints that it has alone. Only the training step is replaced: it
waits until the other runs of the same program are there as well, and one of them takes the step for all.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import jax
import jax.numpy as jnp
import optax

from asrnn_jax.cell import Cell
from experiments.config import Config, Optimizer
from experiments.tasks.task import Task
from experiments.training.optimizer import make_optimizer
from experiments.training.signals import caught_signals
from experiments.training.steps import MakeStep, State, TrainStep, make_step


def together(runs: Sequence[Callable[[MakeStep], Any]]) -> None:
    """Carries out runs, each of which gets the function that makes its training step.

    An error in a run is its own: the others go on. The first one is raised when all have ended.
    """
    meeting = _Meeting(len(runs))
    errors: list[BaseException] = []

    def carry_out(run: Callable[[MakeStep], Any]) -> None:
        member = _Member(meeting)
        try:
            run(member.make_step)
        except BaseException as e:  # also SystemExit, by which a run says that a signal has stopped it
            errors.append(e)
            print(f"{type(e).__name__}: {e}", file=sys.stderr)
        finally:
            member.leave()

    threads = [threading.Thread(target=carry_out, args=(run,), daemon=True) for run in runs]
    with caught_signals():  # which only the main thread gets
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


class _Member:
    """One run. It comes to the meeting with its first step, and leaves it at its end, or early without a step."""

    def __init__(self, meeting: _Meeting):
        self._meeting, self._group = meeting, None

    def make_step(self, config: Config, task: Task, cell: Cell, optimizer: optax.GradientTransformation) -> TrainStep:
        stepped, varied = _with_rates(config, task, cell, optimizer)

        def step(state: State, batch: Any) -> tuple[State, dict[str, jax.Array]]:
            if self._group is None:
                self._group = self._meeting.join(self, stepped, (varied, state, batch))
            return self._group.step(self, (varied, state, batch))

        return step

    def leave(self) -> None:
        self._meeting.leave(self, self._group)


def _with_rates(
    config: Config, task: Task, cell: Cell, optimizer: optax.GradientTransformation
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """``((rate, rate of orthogonal params, key), state, batch) -> (state, metrics)`` and these three: runs with other
    learning rates and seeds are the same program."""

    def stepped(varied: tuple[jax.Array, ...], state: State, batch: Any):
        *rates, key = varied
        optim: Optimizer = copy(config.optim)
        for name, rate in zip(("lr", "lr_orthogonal"), rates, strict=True):
            object.__setattr__(optim, name, rate)  # a new config would check it, and here it has no value yet
        made = make_step(config, task, cell, make_optimizer(optim, task.steps), devices=1)
        return made.program(state, batch, key)

    key = make_step(config, task, cell, optimizer, devices=1).key
    slow = config.optim.lr_orthogonal
    return stepped, (config.optim.lr, config.optim.lr / 10 if slow is None else slow, key)


class _Meeting:
    """Waits until every run has come or left, then each group knows its members."""

    def __init__(self, runs: int):
        self._missing = runs
        self._all_here = threading.Condition()
        self._groups: dict[str, _Group] = {}

    def join(self, member: _Member, stepped: Callable[..., Any], arguments: Any) -> _Group:
        program = jax.jit(stepped).lower(*arguments).as_text()
        with self._all_here:
            group = self._groups.setdefault(program, _Group(stepped))
            group.members[member] = arguments
            group.active.add(member)
            self._came()
            self._all_here.wait_for(lambda: not self._missing)
        return group

    def leave(self, member: _Member, group: _Group | None) -> None:
        if group is not None:
            group.leave(member)
            return
        with self._all_here:
            self._came()

    def _came(self) -> None:
        self._missing -= 1
        if not self._missing and self._groups:
            sizes = [len(group.members) for group in self._groups.values()]
            programs = "one program" if len(sizes) == 1 else f"{len(sizes)} programs of {', '.join(map(str, sizes))}"
            print(f"{sum(sizes)} runs take their steps together, in {programs}", file=sys.stderr)
        self._all_here.notify_all()


class _Group:
    """Runs that are the same program. The last one to come to a step takes it for all."""

    def __init__(self, stepped: Callable[..., Any]):
        self.members: dict[_Member, Any] = {}
        """What each came with last. One that has left stays in the program, which need not be compiled again."""
        self.active: set[_Member] = set()
        self._waiting: set[_Member] = set()
        self._found: dict[_Member, Any] = {}
        self._changed = threading.Condition()
        self._step = jax.jit(_side_by_side(stepped))

    def step(self, member: _Member, arguments: Any) -> Any:
        with self._changed:
            self.members[member] = arguments
            self._waiting.add(member)
            self._take()
            self._changed.wait_for(lambda: member in self._found)
            found = self._found.pop(member)
        if isinstance(found, Exception):
            raise found
        return found

    def leave(self, member: _Member) -> None:
        with self._changed:
            self.active.remove(member)
            self._take()

    def _take(self) -> None:
        if not self._waiting or self._waiting != self.active:
            return
        try:
            results = self._step(tuple(self.members.values()))
        except Exception as e:
            results = [e] * len(self.members)
        self._found |= {each: found for each, found in zip(self.members, results, strict=True) if each in self._waiting}
        self._waiting = set()
        self._changed.notify_all()


def _side_by_side(stepped: Callable[..., Any]) -> Callable[[tuple[Any, ...]], list[Any]]:
    """``(arguments of each) -> [results of each]``, all in one program."""

    def step(each: tuple[Any, ...]) -> list[Any]:
        new = jax.vmap(stepped)(*jax.tree.map(lambda *leaves: jnp.stack(leaves), *each))
        return [jax.tree.map(lambda leaf, i=i: leaf[i], new) for i in range(len(each))]

    return step
