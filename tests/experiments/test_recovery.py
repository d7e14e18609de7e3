"""Batches that are left out, and runs that go back and on at half the rate: what it comes to, interrupted or not."""

import re
import warnings
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.config import Adding, Model, Optimizer, Stability, Training
from experiments.errors import DivergedError, StoppedError, UsageError
from experiments.folder import read_metrics
from experiments.tasks import make_task
from experiments.training import train as module
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.steps import initial, make_step
from experiments.training.train import train, trained

FILES = ("metrics.jsonl", "result.json", "probes.jsonl")
LINEAR = Model("orthogonal", 6, {"activation": "linear"})
SKIP = Adding(
    length=10,
    steps=60,
    model=LINEAR,
    optim=Optimizer("adam", lr=1e-2, clip=None, ema=0.9),
    stability=Stability("skip"),
    training=Training(batch=8, log_every=5, checkpoint_every=8, eval_every=20, probe=("norm",), probe_every=10),
)
ROLLBACK = replace(SKIP, optim=Optimizer("sgd", lr=8.0, clip=None), stability=Stability("rollback"))
BROKEN = {30: np.nan, 31: np.inf, 44: 1e4}  # batches by step, and what their inputs are multiplied with
STEPS = ["31", "32", "45"]  # as they are counted


@pytest.fixture
def runs(tmp_path, monkeypatch, without_type_checks):
    """Carries out a run with broken batches, interrupted once or not, and returns its folder and what it said."""

    def call(config, name, broken=(), interrupted=None):
        def task_of(config):
            task = make_task(config)

            def batch(step):
                if step == interrupted and not config.training.resume:
                    raise OSError("interrupted")
                xs, targets = task.batch(step)
                return xs * BROKEN[step] if step in broken else xs, targets

            return task._replace(batch=batch)

        monkeypatch.setattr(module, "make_task", task_of)
        config = replace(config, training=replace(config.training, out=str(tmp_path / name)))
        with jax.enable_x64(False), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if interrupted is not None:
                with pytest.raises(StoppedError, match="interrupted"):
                    train(config)
                config = replace(config, training=replace(config.training, resume=True))
            train(config)
        return tmp_path / name, [str(each.message) for each in said if each.category is UserWarning]

    return call


def same(a, b):
    for name in FILES:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


@pytest.mark.slow
def test_a_run_without_its_broken_batches_is_the_run_that_never_saw_them(runs):
    straight, said = runs(SKIP, "straight", BROKEN)
    assert [re.match(r"the batch of step (\d+) is left out: its gradient has norm", each)[1] for each in said] == STEPS
    interrupted, said = runs(SKIP, "interrupted", BROKEN, interrupted=42)
    same(interrupted, straight)
    assert len(said) == 3
    lines = read_metrics(straight / "metrics.jsonl")
    skipped = [line for line in lines if "skipped" in line]
    assert [(str(line["step"]), line["skipped"]) for line in skipped] == list(zip(STEPS, (1, 2, 3)))
    assert [line["gradient_norm"] for line in skipped[:2]] == [None, None]
    assert skipped[2]["gradient_norm"] > 10 * skipped[2]["usual_norm"] > 0
    assert all(np.isfinite(line["train_loss"]) for line in lines if "train_loss" in line)
    stops = replace(SKIP, stability=Stability())
    with jax.enable_x64(False):
        task = make_task(stops)
        cell, optimizer = make_model(stops.model, task.inputs, task.outputs), make_optimizer(stops.optim, task.steps)
        step, state = make_step(stops, task, cell, optimizer), initial(stops, task, cell, optimizer)
        losses = {}
        for i in range(task.steps):
            if i not in BROKEN:
                state, metrics = step(state, task.batch(i))
                losses[i] = float(metrics["loss"])
        _, found = trained(replace(SKIP, training=replace(SKIP.training, out=str(straight))))
    average = jax.tree.map(lambda sums: sums / state.average.ema[1], state.average.ema[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, average)
    logged = next(line["train_loss"] for line in lines if line["step"] == 35 and "train_loss" in line)
    np.testing.assert_allclose(logged, np.mean([losses[i] for i in (32, 33, 34)]), rtol=1e-5)


def test_one_batch_too_many_stops_the_run(runs):
    settings = replace(SKIP, stability=Stability("skip", recoveries=2))
    with pytest.raises(DivergedError) as said:
        runs(settings, "run", BROKEN)
    assert "2 batches have been left out before at step 45: training has diverged; the checkpoint of" in str(said.value)
    with pytest.raises(UsageError, match="--recoveries 2: add --on-divergence"):
        Stability(recoveries=2)


@pytest.mark.slow
def test_a_run_goes_back_and_on_at_half_the_rate(runs):
    straight, said = runs(ROLLBACK, "straight")
    lines, back = (read_metrics(straight / f"{name}.jsonl") for name in ("metrics", "rollbacks"))
    assert [line["rate"] for line in back] == [0.5 ** (i + 1) for i in range(len(back))]
    assert all(line["step"] > line["back_to"] for line in back)
    assert said[-1] == (
        f"{back[-1]['because']} at step {back[-1]['step']}: back to step {back[-1]['back_to']}, and on at "
        f"{back[-1]['rate']:g} of the rate"
    )
    logged = [line for line in lines if "train_loss" in line]
    assert {line["rate"] for line in logged} == {back[-1]["rate"]}  # it went back to the start
    assert logged[-1]["train_loss"] < logged[0]["train_loss"]
    assert [path.name for path in (straight / "checkpoints").glob("*.diverged")] == ["8.diverged"]
    for at in (back[-1]["step"] + 1, 50):
        same(runs(ROLLBACK, f"interrupted{at}", interrupted=at)[0], straight)
    few = replace(ROLLBACK, stability=Stability("rollback", recoveries=len(back) - 1))
    with pytest.raises(DivergedError, match="training has diverged"):
        runs(few, "few")
