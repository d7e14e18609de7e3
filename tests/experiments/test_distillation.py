"""A teacher's answers and smooth labels are learned by the formulas, and a wrong teacher is named."""

import jax
import numpy as np
import optax
import pytest

import asrnn_jax
from asrnn_jax import pretrained
from experiments.config import Pixels, Training
from experiments.errors import UsageError
from experiments.tasks import make_task
from experiments.tasks.pixels import distilled

TEACHER = {"cell": "gru", "inputs": 8, "hidden": 6, "outputs": 10}


def test_the_loss_is_the_formula(tmp_path):
    rng = np.random.default_rng(0)
    logits, teachers, ce = rng.normal(size=(4, 10)), 3 * rng.normal(size=(4, 10)), rng.uniform(size=4)
    p, q = (np.exp(each / 2.5) / np.exp(each / 2.5).sum(-1, keepdims=True) for each in (teachers, logits))
    expected = 0.3 * ce + 0.7 * 2.5**2 * (p * np.log(p / q)).sum(-1)
    np.testing.assert_allclose(distilled(ce, logits, teachers, 0.7, 2.5), expected, rtol=1e-5)


def test_the_task_asks_its_teacher_and_smooths_in_training_and_not_in_the_test(tmp_path):
    model = asrnn_jax.cells.network(**TEACHER)
    params = model.init(jax.random.key(0))
    pretrained.save(tmp_path / "t.safetensors", TEACHER, params, {})
    config = Pixels(
        rows=True, teacher=str(tmp_path / "t.safetensors"), teach=0.6, temperature=2.0, training=Training(batch=4)
    )
    task = make_task(config)
    batch = task.batch(0)
    student = jax.random.normal(jax.random.key(1), (4, 10))
    loss, _, _ = task.loss(lambda params, xs, outputs: (None, student), None, batch)
    xs = batch[0].reshape(4, 8, 8) / 255
    teachers = asrnn_jax.run(model, params, np.asarray(xs, np.float32), outputs="last")[1]
    ce = optax.softmax_cross_entropy_with_integer_labels(student, batch[1])
    np.testing.assert_allclose(loss, distilled(ce, student, teachers, 0.6, 2.0), rtol=1e-5)
    assert task.test_loss is not None
    loss, _, _ = task.test_loss(lambda params, xs, outputs: (None, student), None, batch)
    np.testing.assert_allclose(loss, ce, rtol=1e-5)
    smooth = make_task(Pixels(rows=True, label_smoothing=0.3, training=Training(batch=4)))
    losses = [
        each(lambda params, xs, outputs: (None, student), None, batch)[0] for each in (smooth.loss, smooth.test_loss)
    ]
    np.testing.assert_allclose(losses, [0.7 * ce - 0.3 * jax.nn.log_softmax(student).mean(-1), ce], rtol=1e-5)


def test_wrong_teachers_are_named(tmp_path):
    arguments = {**TEACHER, "inputs": 3}
    pretrained.save(
        tmp_path / "t.safetensors", arguments, asrnn_jax.cells.network(**arguments).init(jax.random.key(0)), {}
    )
    for teacher, message in (
        ("nobody", "--teacher nobody"),
        (str(tmp_path / "t.safetensors"), "has 3 inputs and 10 outputs"),
    ):
        with pytest.raises(UsageError, match=message):
            make_task(Pixels(rows=True, teacher=teacher, training=Training(batch=4)))
    with pytest.raises(UsageError, match="--teach 2"):
        Pixels(teacher="t.safetensors", teach=2.0)
    with pytest.raises(UsageError, match="--temperature 0"):
        Pixels(teacher="t.safetensors", temperature=0.0)
    with pytest.raises(UsageError, match=r"--teach 0\.5: it belongs to --teacher"):
        Pixels(teach=0.5)
