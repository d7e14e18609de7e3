"""Data as the files say: IDX, TFDS, the embedded digits."""

import gzip
import importlib.util
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

import asrnn_jax
from asrnn_jax import cells
from experiments.config import Pixels, Training
from experiments.data.images import FIRST_LABELS, load_images, read_idx
from experiments.errors import UsageError
from experiments.tasks import make_task
from experiments.training.steps import make_evaluate
from tests.experiments.conftest import environment


def arrays():
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": rng.integers(0, 256, (40, 6, 5), np.uint8),
        "train-labels-idx1-ubyte": rng.integers(0, 10, 40).astype(np.uint8),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (12, 6, 5), np.uint8),
        "t10k-labels-idx1-ubyte": rng.integers(0, 10, 12).astype(np.uint8),
    }


def write_one(path, array):
    """One IDX file, byte by byte from its description."""
    data = bytes([0, 0, 8, array.ndim]) + b"".join(int(d).to_bytes(4, "big") for d in array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_idx(folder, zipped=False):
    """Writes a tiny data set in the format of MNIST."""
    folder.mkdir(parents=True)
    for name, array in arrays().items():
        write_one(folder / (name + ".gz" if zipped else name), array)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_idx_files_are_read_as_written(tmp_path, zipped, inside):
    folder = tmp_path / "data"
    write_idx(folder / "fashion_mnist" if inside else folder, zipped)
    images = load_images("fashion_mnist", str(folder))
    for ours, written in zip(images[:4], arrays().values()):
        np.testing.assert_array_equal(ours, written)


def test_a_header_that_lies_about_its_size_is_not_believed(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"data")
    with pytest.raises(UsageError, match="claims to hold"):
        read_idx(path, 3)


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    images = load_images("digits", None)
    assert len(images.train_labels) + len(images.test_labels) == 1797
    both = np.concatenate([images.train_images, images.test_images]).reshape(1797, 64)
    labels = np.concatenate([images.train_labels, images.test_labels])
    reference = load_digits()
    rows = {(tuple(np.round(x * 255 / 16)), y) for x, y in zip(reference.data, reference.target)}
    assert {(tuple(x), y) for x, y in zip(both.astype(float), labels)} == rows


@pytest.mark.skipif(importlib.util.find_spec("tensorflow_datasets") is None, reason="needs tensorflow_datasets")
@pytest.mark.slow
def test_prepared_tfds_data_sets_are_read(tmp_path):
    """A data set prepared by TFDS itself, in its array_record files; reading needs no TensorFlow."""
    made = arrays()
    np.savez(tmp_path / "arrays.npz", **made)
    # In its own process: TFDS warns in many places, and warnings are errors here.
    command = [sys.executable, "-c", f"from tests.references.make_tfds import main; main({str(tmp_path)!r})"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    read = np.load(tmp_path / "read.npz")
    for split, (x, y) in {"train": (0, 1), "t10k": (2, 3)}.items():
        ours = sorted((tuple(i.ravel()), int(label)) for i, label in zip(read[f"arr_{x}"], read[f"arr_{y}"]))
        theirs = sorted(
            (tuple(i.ravel()), int(label))
            for i, label in zip(*(made[f"{split}-{k}"] for k in ("images-idx3-ubyte", "labels-idx1-ubyte")))
        )
        assert ours == theirs


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("permute", [False, True])
def test_pixels_reach_the_network_in_the_papers_order(tmp_path, rows, permute):
    write_idx(tmp_path / "data")
    plain = Pixels(dataset="mnist", data_dir=str(tmp_path / "data"), rows=rows, training=Training(batch=8))
    task = make_task(replace(plain, permute=permute))
    seen = {}

    def apply(params, xs, outputs):
        seen["xs"] = xs
        return None, np.zeros((8, 10))

    task.loss(apply, None, task.batch(3))
    flat = make_task(plain).batch(3)[0].reshape(8, 30) / 255
    if permute:
        flat = flat[:, np.random.RandomState(92916).permutation(30)]
    np.testing.assert_allclose(seen["xs"], flat.reshape(8, 6, 5) if rows else flat[..., None], rtol=1e-6)


def test_held_out_images_are_never_trained_on(tmp_path):
    write_idx(tmp_path / "data")
    config = Pixels(dataset="mnist", data_dir=str(tmp_path / "data"), validation=13, training=Training(batch=8))
    task = make_task(config)
    assert task.epoch == 3
    shown = {tuple(image) for step in range(30) for image in task.batch(step)[0].reshape(8, 30)}
    held_out = [images.reshape(len(images), 30)[w > 0] for (images, _), w in task.valid()]
    held_out = {tuple(image) for image in np.concatenate(held_out)}
    assert len(held_out) == 13
    assert not held_out & shown
    again = make_task(replace(config, training=Training(batch=8, seed=5)))
    np.testing.assert_array_equal(next(again.valid())[0][0], next(task.valid())[0][0])
    with pytest.raises(UsageError, match="--batch 8 --validation 33"):
        make_task(replace(config, validation=33))


def test_an_epoch_shows_every_image_once_and_epochs_differ(tmp_path):
    write_idx(tmp_path / "data")
    task = make_task(Pixels(dataset="mnist", data_dir=str(tmp_path / "data"), training=Training(batch=8)))
    epochs = [np.concatenate([task.batch(epoch * 5 + i)[0] for i in range(5)]).reshape(40, 30) for epoch in range(2)]
    everything = sorted(map(tuple, arrays()["train-images-idx3-ubyte"].reshape(40, 30)))
    assert [sorted(map(tuple, epoch)) for epoch in epochs] == [everything] * 2
    assert not np.array_equal(*epochs)
    weights = np.concatenate([w for _, w in task.tests()])
    assert weights.sum() == 12


def test_what_fills_up_the_last_test_batch_does_not_count(tmp_path):
    write_idx(tmp_path / "data")
    rng = np.random.default_rng(0)
    for kind, some in (("images-idx3", rng.integers(0, 256, (1100, 6, 5))), ("labels-idx1", rng.integers(0, 10, 1100))):
        write_one(tmp_path / "data" / f"t10k-{kind}-ubyte", some.astype(np.uint8))
    task = make_task(Pixels(dataset="mnist", data_dir=str(tmp_path / "data"), rows=True, training=Training(batch=8)))
    assert [len(w) for _, w in task.tests()] == [1000, 1000]
    cell = cells.network("gru", 5, 4, 10)
    params = cell.init(jax.random.key(0))
    images = load_images("mnist", str(tmp_path / "data"))
    logits = asrnn_jax.run(cell, params, images.test_images.astype(np.float32) / 255, outputs="last")[1]
    found = make_evaluate(task, cell)(params)
    right = np.asarray(logits).argmax(-1) == images.test_labels
    assert found["test_accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    ce = optax.softmax_cross_entropy_with_integer_labels(logits, images.test_labels)
    assert found["test_loss"] == pytest.approx(float(ce.mean()), rel=1e-5)


def test_files_of_another_data_set_are_noticed(tmp_path):
    write_idx(tmp_path / "mnist")
    labels = np.resize(FIRST_LABELS["fashion_mnist"], 40).astype(np.uint8)
    write_one(tmp_path / "mnist" / "train-labels-idx1-ubyte", labels)
    with pytest.raises(UsageError, match=r"the files in .* are fashion_mnist; give --dataset fashion_mnist"):
        load_images("mnist", str(tmp_path))
    assert len(load_images("fashion_mnist", str(tmp_path / "mnist")).train_labels) == 40
