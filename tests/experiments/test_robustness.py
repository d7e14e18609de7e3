"""Disturbances do what they say, narrow weights are what their bits can hold, and the table is what was measured."""

import jax
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import pretrained
from asrnn_jax.export import narrow, widen
from experiments.config import CopyMemory, Pixels, to_json
from experiments.data.images import load_images
from experiments.errors import UsageError
from experiments.folder import read_json
from experiments.tools import robustness as module
from experiments.tools.evaluate import file_names
from experiments.tools.robustness import DISTURBANCES, Robustness, robustness

XS = np.random.default_rng(0).normal(size=(40, 200, 3)).astype(np.float32)


def saved(path, config, hidden=6, seed=0):
    arguments = {"cell": "gru", "inputs": 8, "hidden": hidden, "outputs": 10}
    model = asrnn_jax.cells.network(**arguments)
    params = model.init(jax.random.key(seed))
    pretrained.save(path, arguments, params, {"config": to_json(config)})
    return model, params


@pytest.mark.parametrize("about", DISTURBANCES)
def test_no_disturbance_at_level_0_and_the_same_for_every_network(about):
    disturb, levels = DISTURBANCES[about]
    xs, mask = disturb(np.random.default_rng(1), XS, 0.0)
    np.testing.assert_array_equal(xs, XS)
    assert mask is None or mask.all()
    one, other = (disturb(np.random.default_rng(1), XS, levels[-1]) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_steps_that_are_blank_are_those_that_are_skipped():
    blank, _ = module.blank(np.random.default_rng(1), XS, 0.2)
    _, mask = module.skipped(np.random.default_rng(1), XS, 0.2)
    np.testing.assert_array_equal((blank == 0).all(-1), ~mask)


def test_disturbances_are_as_strong_as_they_say():
    rng = np.random.default_rng(2)
    assert abs((module.noise(rng, XS, 0.3)[0] - XS).std() - 0.3) < 0.01
    assert abs((module.blank(rng, XS, 0.2)[0] == 0).all(-1).mean() - 0.2) < 0.02
    assert abs(1 - module.skipped(rng, XS, 0.2)[1].mean() - 0.2) < 0.02
    moved = module.drift(rng, XS, 0.5)[0] - XS
    np.testing.assert_allclose(np.abs(moved[:, -1]), 0.5, atol=1e-6)
    np.testing.assert_allclose(moved[:, 0], 0, atol=1e-6)
    time = np.broadcast_to(np.arange(200.0)[None, :, None], (40, 200, 1))
    warped = module.warp(rng, time, 0.4)[0][..., 0]
    assert (np.diff(warped, axis=1) >= 0).all()
    assert 5 < np.abs(warped - time[..., 0]).max() <= 0.4 * 200 / (2 * np.pi) + 1


@pytest.mark.slow
def test_the_table_is_what_was_measured(tmp_path):
    config = Pixels(rows=True)
    model, params = saved(tmp_path / "a.safetensors", config)
    saved(tmp_path / "b.safetensors", config, hidden=5, seed=1)
    files = (str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors"))
    text = robustness(Robustness(files, samples=100, out=str(tmp_path / "out")))
    found = read_json(tmp_path / "out" / "robustness.json")["accuracy"]
    images = load_images("digits", None)
    chosen = np.sort(np.random.default_rng(0).permutation(360)[:100])
    xs, labels = images.test_images[chosen].astype(np.float32) / 255, images.test_labels[chosen]

    def accuracy(params, xs):
        return float((np.asarray(asrnn_jax.run(model, params, xs)[1])[:, -1].argmax(-1) == labels).mean())

    assert found["clean"][""][0] == pytest.approx(accuracy(params, xs))
    assert found["weights"]["int4"][0] == pytest.approx(accuracy(widen(narrow(model.prepare(params), 4)), xs))
    noisy = module.noise(np.random.default_rng(0), xs, 0.05)[0]
    assert found["noise, standard deviation"]["0.05"][0] == pytest.approx(accuracy(params, noisy))
    assert f"{100 * found['clean'][''][1]:.1f}" in text
    assert (tmp_path / "out" / "robustness.png").stat().st_size > 10_000


def test_results_are_called_by_file_or_run():
    assert file_names(("keyword-gru", "a/b.safetensors", "runs/one/best.safetensors", "runs/two/best.safetensors")) == [
        "keyword-gru",
        "b",
        "one",
        "two",
    ]
    with pytest.raises(UsageError, match="two are called that"):
        file_names(("a/c.safetensors", "b/c.safetensors"))


def test_networks_that_cannot_be_compared_are_named(tmp_path):
    saved(tmp_path / "a.safetensors", Pixels(rows=True))
    saved(tmp_path / "b.safetensors", Pixels(rows=True, permute=True))
    saved(tmp_path / "c.safetensors", CopyMemory())
    a, b, c = (str(tmp_path / f"{name}.safetensors") for name in "abc")
    for names, message in (((a, b), "several tasks"), ((c,), "accuracy to lose"), (("zzz",), "--pretrained zzz")):
        with pytest.raises(UsageError, match=message):
            robustness(Robustness(names, out=str(tmp_path)))
    with pytest.raises(UsageError, match=r"a\.safetensors cannot be written"):  # before anything is measured
        robustness(Robustness((a,), out=a))
    with pytest.raises(UsageError, match="--samples 0"):
        Robustness((a,), samples=0)
    with pytest.raises(UsageError, match="--seed -1"):
        Robustness((a,), seed=-1)
