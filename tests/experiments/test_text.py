"""Character text: files in both formats, windows that follow each other, bits per character by hand."""

import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from experiments.config import Model, Optimizer, Text, Training
from experiments.errors import UsageError
from experiments.presets import PRESETS
from experiments.tasks import make_task
from experiments.tasks.text import bits_per_character, load_text
from experiments.training.model import make_model
from experiments.training.train import train

PLAIN = "the cat sat on the mat. " * 40


@pytest.fixture
def plain(tmp_path):
    for part, text in (("train", PLAIN), ("valid", "the mat sat. " * 5), ("test", "a zebra on the mat. " * 5)):
        (tmp_path / f"cats.{part}.txt").write_text(text)
    (tmp_path / "latest.txt").write_text("neither a train nor a test")
    return tmp_path


def penn(folder):
    """A tiny folder in the format of Penn Treebank's characters, beside its word files."""
    for part, text in (("train", "a e r _ b a n k"), ("valid", "b a n k _ r a n"), ("test", "r a n _ b a n _ x")):
        (folder / f"ptb.char.{part}.txt").write_text(f" {text} \n" * 30)
        (folder / f"ptb.{part}.txt").write_text("aer banknote \n")
    return folder


def test_both_formats(plain, tmp_path_factory):
    corpus = load_text(str(plain))
    assert "".join(corpus.characters[i] for i in corpus.train) == PLAIN
    unknown = len(corpus.characters)
    assert [int(i) == unknown for i in corpus.test[:8]] == [c in "zbr" for c in "a zebra "]
    data = tmp_path_factory.mktemp("data")
    (data / "text").mkdir()
    corpus = load_text(str(penn(data / "text")))
    assert corpus.characters == load_text(str(data)).characters
    assert "".join(corpus.characters[i] for i in corpus.train[:18]) == "aer bank\naer bank\n"
    assert corpus.characters == ("\n", " ", "a", "b", "e", "k", "n", "r")
    assert corpus.test[8] == 8  # x


def test_windows_follow_each_other_and_predict_the_next_character(plain):
    config = Text(data_dir=str(plain), window=7, training=Training(batch=4), epochs=2)
    task = make_task(config)
    corpus = load_text(str(plain))
    inputs, targets = (np.concatenate(parts, axis=1) for parts in zip(*map(task.batch, range(task.epoch))))
    length = task.epoch * 7
    assert length == (len(PLAIN) - 1) // 4 // 7 * 7
    for b in range(4):
        np.testing.assert_array_equal(inputs[b], corpus.train[b * length : (b + 1) * length])
        np.testing.assert_array_equal(targets[b], corpus.train[b * length + 1 : (b + 1) * length + 1])
    np.testing.assert_array_equal(task.batch(task.epoch)[0], task.batch(0)[0])


@pytest.mark.parametrize("embedding", [pytest.param(None, marks=pytest.mark.slow), 5])
def test_bits_per_character_are_those_of_one_long_run(plain, embedding):
    task = make_task(Text(data_dir=str(plain), window=7, training=Training(batch=4)))
    cell = make_model(Model("lstm", 6, embedding=embedding), task.inputs, task.outputs)
    params = cell.init(jax.random.key(0))
    text = np.random.default_rng(0).integers(task.inputs, size=1201)
    found = bits_per_character(cell, params, text, 2, task.inputs)
    total = 0.0
    for part in (slice(0, 600), slice(600, 1200)):
        _, logits = asrnn_jax.run(cell, params, jnp.eye(task.inputs)[text[part]])
        p = np.exp(np.asarray(logits, np.float64))
        p /= p.sum(-1, keepdims=True)
        total -= np.log2(p[np.arange(600), text[part.start + 1 : part.stop + 1]]).sum()
    np.testing.assert_allclose(found, total / 1200, rtol=1e-5)


@pytest.mark.slow
def test_a_run_learns_and_says_which_epoch_validation_chose(plain, tmp_path):
    config = Text(
        data_dir=str(plain),
        window=16,
        epochs=6,
        eval_batch=2,
        model=Model("asrnn", 16, embedding=8),
        optim=Optimizer("adam", lr=1e-2, clip=1.0),
        training=Training(batch=4, log_every=10, out=str(tmp_path / "run")),
    )
    result = train(config)
    assert result["metric"] == "bpc"
    assert result["selected"]["valid_bpc"] < 0.7 * result["baseline"][1]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    scored = [line for line in lines if "valid_bpc" in line]
    assert len(scored) == 6
    assert result["selected"] == min(scored, key=lambda line: line["valid_bpc"])


def test_the_papers_presets_read_penn_treebank(tmp_path):
    for name in ("paper-ptb-150", "paper-ptb-300"):
        config = PRESETS[name].config
        assert isinstance(config, Text)
        assert config.window == int(name[-3:])
        small = replace(config, data_dir=str(penn(tmp_path)), window=9, training=replace(config.training, batch=2))
        task = make_task(small)
        cell = make_model(replace(small.model, hidden=8, embedding=4), task.inputs, task.outputs)
        params = cell.init(jax.random.key(0))
        memory = task.memory(cell, params)
        loss, metrics, _ = task.loss(partial(asrnn_jax.run, cell), params, task.batch(0), memory)
        np.testing.assert_allclose(metrics["bpc"], loss / np.log(2), rtol=1e-6)


def test_folders_that_will_not_do_are_named(tmp_path):
    def expect(message, **changes):
        with pytest.raises(UsageError, match=message):
            make_task(Text(data_dir=str(tmp_path), **changes))

    with pytest.raises(UsageError, match="--data-dir None"):
        make_task(Text())
    expect("one file .train.* there is none")
    for part in ("train", "valid", "test"):
        (tmp_path / f"a.{part}.txt").write_text("abc" * 20)
    expect("--batch 128 --window 150")
    (tmp_path / "b.train.txt").write_text("abc")
    expect("there is a.train.txt, b.train.txt")
    (tmp_path / "b.train.txt").unlink()
    (tmp_path / "a.valid.txt").write_bytes(b"\xff\xfe\x00abc")
    expect("a.valid.txt is no UTF-8")
    (tmp_path / "a.valid.txt").write_text("")
    expect("a.valid.txt has 0 characters")
    with pytest.raises(UsageError, match="--window 0"):
        Text(window=0)
    with pytest.raises(UsageError, match="--embedding"):
        Model(embedding=3, residual=True)
