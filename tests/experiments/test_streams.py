"""Training on streams carries the state on, resumes to the same bits, and is scored as it says."""

import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import losses, streaming
from experiments.config import Model, Optimizer, Stream, Training, differences, from_json, to_json
from experiments.data.samples import Samples, load_samples, stream_of
from experiments.errors import UsageError
from experiments.folder import read_metrics
from experiments.report.stream_report import scored, summary
from experiments.tasks import make_task
from experiments.tasks.scores import GRACE, score
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.steps import initial, make_step
from experiments.training.train import train

CONFIG = Stream(
    model=Model("gru", 12),
    optim=Optimizer("adam", lr=1e-2, clip=1.0),
    training=Training(batch=8, log_every=10, checkpoint_every=50, eval_every=150),
    window=25,
    longest=20,
    steps=150,
    samples=30,
)


def parts(config):
    task = make_task(config)
    cell = make_model(config.model, task.inputs, task.outputs)
    optimizer = make_optimizer(config.optim, task.steps)
    return task, cell, optimizer, initial(config, task, cell, optimizer)


def test_the_state_goes_on_from_window_to_window():
    task, cell, _, state = parts(CONFIG)
    memory, logits = state.memory, []
    for step in range(3):
        xs, labels = task.batch(step)
        apply = lambda params, xs, carry: (lambda c, y: (logits.append(y), (c, y))[1])(  # noqa: E731
            *asrnn_jax.run(cell, params, xs, carry=carry)
        )
        each, metrics, memory = task.loss(apply, state.params, (xs, labels), memory, state.control)
        m = losses.has_label(labels)
        expected = losses.reset_free(logits[-1], labels, m, weight=1.0).mean(-1)
        np.testing.assert_allclose(each, expected, rtol=1e-6)
        np.testing.assert_allclose(metrics["gaps"], (labels < 0).mean(-1), rtol=1e-6)
    whole = np.concatenate([task.batch(step)[0] for step in range(3)], axis=1)
    straight = asrnn_jax.run(cell, state.params, whole)[1]
    np.testing.assert_allclose(np.concatenate(logits, axis=1), straight, atol=1e-5)


def test_regimes_differ_in_what_they_ask():
    losses_of = {}
    for regime in ("full", "ignored", "separate"):
        task, cell, _, state = parts(replace(CONFIG, regime=regime, weight=2.0 if regime == "full" else None))
        apply = lambda params, xs, carry=None, cell=cell: asrnn_jax.run(cell, params, xs, carry=carry)  # noqa: E731
        each, metrics, memory = task.loss(apply, state.params, task.batch(0), state.memory, state.control)
        losses_of[regime] = float(each.mean())
        assert isinstance(memory, tuple) == (regime == "separate")
        assert (float(metrics["gaps"].mean()) == 0) == (regime == "separate")
    assert losses_of["full"] > losses_of["ignored"]


def test_the_weight_follows_the_entropy_in_gaps():
    config = replace(CONFIG, target=0.999)
    task, cell, optimizer, state = parts(config)
    step = make_step(config, task, cell, optimizer)
    dual = losses.entropy_target(0.999)
    control = dual.init()
    for i in range(5):
        state, metrics = step(state, task.batch(i))
        _, control = dual.update(metrics["gap_entropy"] / metrics["gaps"], control)
    np.testing.assert_allclose(state.control.log_weight, control.log_weight, rtol=1e-5)
    assert state.control.log_weight != 0


@pytest.mark.slow
def test_a_run_learns_and_resumes_to_the_same_bits(tmp_path):
    config = replace(CONFIG, training=replace(CONFIG.training, out=str(tmp_path / "straight")))
    result = train(config)
    lines = [json.loads(line) for line in (tmp_path / "straight" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["test_accuracy"] == result["final"]["test_accuracy"]
    trained = [line["train_loss"] for line in lines if "train_loss" in line]
    assert trained[-1] < 0.95 * trained[0]
    shutil.copytree(tmp_path / "straight", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "150")
    (tmp_path / "again" / "result.json").unlink()
    (tmp_path / "again" / "timing.json.0.part").write_text("{")  # of a process that was killed while it wrote
    train(replace(config, training=replace(config.training, out=str(tmp_path / "again"), resume=True)))
    for name in ("result.json", "metrics.jsonl"):
        assert (tmp_path / "again" / name).read_text() == (tmp_path / "straight" / name).read_text()
    assert not list((tmp_path / "again").glob("*.part"))
    stored = to_json(config)
    assert from_json(stored) == config
    del stored["by"]  # a run from before this flag
    assert differences(stored, config) == []
    assert differences(stored, replace(config, by="pixels")) == ["by 'rows' -> 'pixels'"]
    text = scored(config)
    found = json.loads((tmp_path / "straight" / "streams.json").read_text())
    assert found["conditions"]["as trained"]["never"]["accuracy"] == lines[-1]["test_accuracy"]
    assert f"{100 * found['conditions']['gaps 40 x longer']['oracle']['accuracy']:.1f}" in text
    assert (tmp_path / "straight" / "figures" / "stream.png").stat().st_size > 10_000


def test_images_come_by_rows_or_by_pixels():
    rows, pixels = (load_samples(replace(CONFIG, by=by))[0] for by in ("rows", "pixels"))
    assert (rows.xs.shape[1:], pixels.xs.shape[1:]) == ((8, 8), (64, 1))
    np.testing.assert_array_equal(rows.xs.reshape(pixels.xs.shape), pixels.xs)
    task = make_task(replace(CONFIG, by="pixels"))
    assert task.inputs == 1


def perfect(window, classes, sharpness=20.0):
    """Logits of a network that knows the label from the first step of a sample, and nothing in gaps."""
    known = jax.nn.one_hot(window.labels, classes) * sharpness
    return np.where(window.labels[..., None] >= 0, known, 0.0)


def test_scores_of_a_perfect_a_deaf_and_a_nervous_network():
    rng = np.random.default_rng(0)
    samples = Samples(rng.uniform(size=(20, 9, 2)), rng.integers(5, size=20), np.full(20, 9))
    stream = stream_of(samples, 0, streaming.Gaps(5, 15))
    window = streaming.windows([stream], 3, 4000)
    found = score(window, perfect(window, 5))
    assert {found[k] for k in ("accuracy", "best_accuracy", "first", "last", "gap_entropy", "precision", "recall")} == {
        1
    }
    assert found["delay"] == found["false_alarms"] == 0
    assert found["loss"] < 1e-6
    assert abs(found["samples"] - int(window.starts.sum())) <= 1
    deaf = score(window, np.zeros((1, 4000, 5)))
    assert deaf["recall"] == 0
    np.testing.assert_allclose(deaf["loss"], np.log(5), rtol=1e-6)
    late = perfect(window, 5)
    onset = np.flatnonzero(window.starts[0])
    for k in range(3):
        late[0, np.minimum(onset + k, 3999)] = 0
    assert score(window, late)["delay"] == 3
    nervous = perfect(window, 5)
    gap = window.labels[0] < 0
    count, since = 0, []
    for quiet in gap:
        count = count + 1 if quiet else 0
        since.append(count - 1)  # steps of the gap before this one
    since = np.array(since)
    alarms = np.flatnonzero(since == GRACE)[::3]  # the first step of a gap that counts, in every third
    nervous[0, alarms, 1] = 20
    nervous[0, since == 2, 1] = 20  # still about the sample before
    found = score(window, nervous)
    np.testing.assert_allclose(found["false_alarms"], 1000 * len(alarms) / gap.sum(), rtol=1e-6)
    claims = len(alarms) + (since == 2).sum() + (~gap).sum()
    np.testing.assert_allclose(found["precision"], (~gap).sum() / claims, rtol=1e-6)
    always = score(window, perfect(window, 5) + 20 * np.eye(5)[0])
    assert always["recall"] == 1
    np.testing.assert_allclose(always["precision"], (~gap).mean(), atol=0.2)
    assert always["false_alarms"] * gap.sum() / 1000 >= 0.9 * (np.diff(gap.astype(int)) == 1).sum()
    half = perfect(window, 5)
    half[:, 2000:] = half[:, 2000:, ::-1]
    scored = score(window, half)
    assert scored["first"] == 1
    np.testing.assert_allclose(scored["last"], (window.labels[0][window.ends[0]][-20:] == 2).mean(), atol=0.1)


@pytest.mark.filterwarnings("error")
def test_what_is_of_nothing_is_not_a_number_and_is_shown_as_a_dash():
    """No claim has no precision, no gap no entropy, no sample no accuracy: 1, 1 and 0 would be read as results."""
    labels = np.repeat([2, 0, 1], 10)[None]
    ends = np.arange(30)[None] % 10 == 9
    samples = streaming.Window(np.zeros((1, 30, 2)), labels, labels >= 0, np.roll(ends, 1, 1), ends, ends | True)
    nothing = samples._replace(labels=np.full((1, 30), -1), starts=ends & False, ends=ends & False)
    unsure, sure = np.zeros((1, 30, 5)), perfect(samples, 5)

    def missing(found):
        return {name for name, value in found.items() if np.isnan(value)}

    assert missing(score(samples, sure)) == {"gap_entropy", "false_alarms"}
    assert missing(score(samples, unsure)) == {"gap_entropy", "false_alarms", "precision", "delay"}
    of_samples = {"accuracy", "best_accuracy", "first", "last", "recall", "delay", "loss"}
    assert missing(score(nothing, unsure)) == {*of_samples, "precision"}
    assert missing(score(nothing, sure)) == of_samples
    found = {"policies": {"never": score(samples, unsure)}}
    found["conditions"] = {"here": dict.fromkeys(("never", "oracle"), found["policies"]["never"])}
    text = summary(CONFIG, found)
    assert "nan" not in text
    row = next(line for line in text.splitlines() if line.startswith("| here"))
    assert [cell.strip() for cell in row.split("|")[2:-1]][5:] == ["-", "-", "0.0", "-", "-"]


@pytest.mark.slow
def test_metrics_that_are_shares_are_shares_of_all_there_was(tmp_path):
    """Of the logits of a run of their own: right steps over steps with samples, and entropy over steps of gaps."""
    gap = replace(CONFIG, shortest=60, longest=60, window=8, steps=30)  # most windows of a stream have no sample
    gap = replace(gap, training=replace(gap.training, batch=2, log_every=1, eval_every=30, out=str(tmp_path / "run")))
    train(gap)
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    task, cell, _, state = parts(gap)
    xs, labels = task.batch(0)
    logits = asrnn_jax.run(cell, state.params, xs)[1]
    first = {name: value for name, value in lines[0].items() if name.startswith("train_")}
    assert ("train_accuracy" in first) == bool((labels >= 0).any())
    entropy = np.asarray(losses.entropy_share(logits))[labels < 0].mean()
    np.testing.assert_allclose(first["train_gap_entropy"], entropy, rtol=1e-5)
    for line in lines:
        there = (task.batch(line["step"] - 1)[1] >= 0).any()
        assert ("train_accuracy" in line) == there
        assert np.isfinite(list(line.values())).all()
    assert 0 < sum("train_accuracy" in line for line in lines) < 30
    none = replace(CONFIG, shortest=0, longest=0, steps=20)  # and no gaps at all are no reason to stop
    train(replace(none, training=replace(none.training, eval_every=20, out=str(tmp_path / "none"))))
    assert not [line for line in read_metrics(tmp_path / "none" / "metrics.jsonl") if "test_gap_entropy" in line]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"by": "columns"}, "--by"),
        ({"regime": "ful"}, "perhaps you meant full"),
        ({"kl": "reverse"}, "--kl"),
        ({"weight": -1.0}, "--weight"),
        ({"target": 1.0}, "--target"),
        ({"longest": 5}, "--longest"),
        ({"window": 0}, "--window"),
    ],
)
def test_wrong_flags_are_named(wrong, message):
    with pytest.raises(UsageError, match=message):
        replace(CONFIG, **wrong)


def test_unknown_kinds_are_named():
    with pytest.raises(UsageError, match="--kinds"):
        make_task(replace(CONFIG, kinds=("pink",)))
