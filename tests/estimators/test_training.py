"""Endless streams of recordings, and a training that keeps its time, ends when it should and never gets lost."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asrnn_jax import cells
from asrnn_jax.estimators.answering import class_answers
from asrnn_jax.estimators.learning import fitting, splits
from asrnn_jax.estimators.learning.endless import Mixing, Recording, streams
from asrnn_jax.estimators.learning.training import Loop, Measured, Objective, State, make_loop
from asrnn_jax.estimators.preparing.series import Series
from asrnn_jax.run import run
from asrnn_jax.streaming import starts
from tests.estimators.test_classifier import SMALL, StreamClassifier, recordings

PLAIN = Mixing(channels=2, flags=(1,), gaps=(3, 6), piece=1000, fresh=0.5, noise=0.0, gain=0.0)


def some(number=4):
    """Recordings 1, 2, ... that say in each step which they are and where."""
    made = []
    for i in range(1, number + 1):
        steps = 5 + i
        xs = np.stack([np.full(steps, i), np.arange(steps), np.zeros(steps)], 1).astype(np.float32)
        yes = np.ones(steps, np.float32)
        made.append(Recording(xs, yes > 0, np.full(steps, i), yes, yes, np.zeros(steps, bool)))
    return made


def joined(mixing, windows=40, steps=25, seed=0):
    found = [w for _, w in zip(range(windows), streams(some(), mixing, batch=3, window=steps, seed=seed))]
    return Recording(*(np.concatenate(leaves, axis=1) for leaves in zip(*found)))


def test_streams_are_whole_recordings_with_gaps_between():
    long = joined(PLAIN)
    for row in range(3):
        wanted = long.wanted[row]
        starts = np.flatnonzero((wanted > 0) & (np.r_[-1, wanted[:-1]] < 0))[1:]
        ends = np.flatnonzero((wanted > 0) & (np.r_[wanted[1:], 1] < 0))
        for start in starts[:-1]:
            end = ends[ends >= start][0]
            kind = wanted[start]
            assert end - start + 1 == 5 + kind
            assert (long.xs[row, start : end + 1, 0] == kind).all()
        order = wanted[starts]
        assert set(order) == {1, 2, 3, 4}
        gaps = starts[1:] - ends[ends > starts[0]][: len(starts) - 1] - 1
        assert gaps.min() >= 3
        assert gaps.max() <= 6
        assert 0.2 < long.reset[row][starts].mean() < 0.8
    assert (long.informative == (long.wanted > 0)).all()
    assert not long.reset[long.wanted < 0].any()
    assert not long.counted[~long.valid].any()
    assert (~long.valid).any()


def test_streams_follow_from_their_seed():
    first, same, other = (joined(PLAIN, windows=5, seed=seed) for seed in (0, 0, 1))
    for one, two in zip(first, same):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.xs, other.xs)


def test_flags_go_with_channels_that_fail():
    long = joined(PLAIN, windows=200)
    flagged = long.xs[..., 2] == 1
    assert flagged.any()
    stuck = flagged[:, 1:] & flagged[:, :-1]
    same = long.xs[:, 1:, 1] == long.xs[:, :-1, 1]
    assert same[stuck & (long.wanted[:, 1:] > 0) & (long.wanted[:, :-1] > 0)].mean() > 0.9


def test_windows_start_as_they_are_told():
    """From what draw gives for the carries of the window before, by run; the rate is 0, so that params stay.

    What is said in gaps is read from their third step on.
    """
    cell = cells.with_output(cells.gru(3, 4), 2)
    params, key = cell.init(jax.random.key(0)), jax.random.key(7)
    one, two = (w for _, w in zip(range(2), streams(some(), PLAIN, batch=3, window=25, seed=0)))
    objective = Objective(2, lambda ys, window, weight: jnp.square(ys).mean(-1), lambda ys, window: ys[..., 0])
    loop = make_loop(cell, objective, batch=3, clip=1.0, target=0.9, settle=2, starts=starts.mixture(), seed=7)
    state, _ = loop.step(loop.start(params), one, 0.0)
    last, seen, fresh = *jax.device_get((state.carry, state.starts)), cell.initial_carry((3,))
    state, measured = loop.step(state, two, 0.0)
    begin, memory = starts.mixture().draw(seen, jax.random.fold_in(key, 1), jnp.asarray(last), fresh)
    expected, ys = run(cell, params, two.xs, carry=begin, mask=two.valid, reset=two.reset)
    gap = np.pad(two.informative == 0, [(0, 0), (2, 0)], constant_values=False)
    third = gap[:, 2:] & gap[:, 1:-1] & gap[:, :-2] & (two.counted > 0)
    np.testing.assert_allclose(measured.gap_share, np.asarray(ys)[third][:, 0].mean(), rtol=1e-5)
    np.testing.assert_allclose(state.carry, expected, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.starts, memory)


def series(labels):
    steps = len(labels)
    return Series(
        "a", np.zeros((steps, 1), np.float32), np.array(labels), np.ones(steps, bool), None, np.arange(steps), None
    )


def test_what_is_held_out_are_streams_but_none_with_the_last_of_a_class():
    every = [series([0] * 10), series([0, 1] * 5), series([1] * 10), series([0] * 10), series([2] * 10)]
    for seed in range(5):
        learned, held, said = splits.split(every, 0.3, seed)
        assert len(learned) + len(held) == 5
        assert held
        assert any(one is every[4] for one in learned)
        assert f"{len(held)} of 5 streams" in said
    learned, held, said = splits.split(every[:2], 0.2, 0)
    assert [len(one.xs) for one in learned] == [8, 8]
    assert [len(one.xs) for one in held] == [2, 2]
    assert splits.split(every, 0.0, 0)[1] == []


def test_steps_that_are_missing_change_nothing():
    cell = cells.network("gru", 2, 4, 3)
    objective = class_answers.objective(3, None)
    loop = make_loop(cell, objective, batch=1, clip=1.0, target=0.9, starts=starts.passed(), seed=0)
    found = []
    for garbage in (5.0, -7.0):
        xs = np.random.default_rng(0).normal(size=(1, 8, 2)).astype(np.float32)
        there = np.ones((1, 8), bool)
        xs[:, 3:6], there[:, 3:6] = garbage, False
        yes = there.astype(np.float32)
        window = Recording(xs, there, np.ones((1, 8), np.int32), yes, yes, ~np.ones((1, 8), bool))
        found.append(loop.step(loop.start(cell.init(jax.random.key(0))), window, 0.1))
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_a_rate_is_found_and_the_time_is_kept():
    options = {**SMALL, "rate": None, "steps": 100_000, "minutes": 0.03, "patience": 10_000, "refit": False}
    clock = fitting.Clock(0.03)
    found = StreamClassifier(**options).fit(recordings(), label="state", stream="who", time="t")
    assert found.history["step"][-1] < 10_000
    assert "give more minutes" in found.summary()
    assert clock.left < 0.36  # of 1.8 s; a tenth is kept back when steps are planned


def test_compiling_takes_none_of_the_time_and_without_time_no_rate_is_looked_for():
    """A first step of a second, as if it were compiled, of a budget of a second."""
    rates = []

    def step(state, window, rate):
        time.sleep(0.01 if rates else 1.0)
        rates.append(rate)
        return state, Measured(*np.zeros(4, np.float32))

    cell, loop = cells.gru(3, 2), Loop(lambda params: State(params, *[None] * 5), step)
    plan = fitting.Plan(4, 5, 10, None, False, 1, 50, 0, 0)
    found = fitting.fit(cell, loop, some(), some(), PLAIN, None, plan, fitting.Clock(1 / 60), {"w": np.zeros(1)})
    assert (found.rate, found.steps) == (fitting.RATES[1], 10)
    assert found.notes == ("No time to look for a rate: took 0.003.",)


def test_a_training_that_diverges_keeps_what_was_before():
    data = recordings()
    found = StreamClassifier(**{**SMALL, "cell": "irnn", "rate": 1e30}).fit(data, label="state", stream="who")
    assert "diverged" in found.summary()
    assert all(np.isfinite(leaf).all() for leaf in map(np.asarray, found.params["output"].values()))


def test_an_interrupt_keeps_the_best_so_far(monkeypatch):
    calls = []

    def look(self, cell, params, held):
        calls.append(params)
        if len(calls) == 3:  # the first is to compile
            raise KeyboardInterrupt
        return 0.5

    monkeypatch.setattr(StreamClassifier, "_look", look)
    found = StreamClassifier(**{**SMALL, "steps": 500}).fit(recordings(), label="state", stream="who", time="t")
    assert "Interrupted" in found.summary()
    assert found.n_steps_ == 50
    np.testing.assert_array_equal(found.params["output"]["kernel"], calls[1]["output"]["kernel"])


def test_no_better_score_ends_it_early(monkeypatch):
    scores = iter([0.0, 0.5, *[0.1] * 100])  # the first is to compile
    monkeypatch.setattr(StreamClassifier, "_look", lambda *_: next(scores))
    options = {**SMALL, "steps": 1000, "patience": 2, "refit": False}
    found = StreamClassifier(**options).fit(recordings(), label="state", stream="who", time="t")
    assert found.history["step"][-1] == 150
    assert found.n_steps_ == 50
    assert found.held_out_score_ == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["asrnn", "dtriv"])
def test_orthogonal_cells_learn_with_a_rate_of_their_own(cell):
    found = StreamClassifier(**{**SMALL, "cell": cell, "steps": 120}).fit(recordings(), label="state", stream="who")
    losses = found.history["loss"]
    assert np.isfinite(losses).all()
    assert losses[11] < 0.9 * losses[0]
