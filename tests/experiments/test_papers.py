"""The runs behind the results: what they are, that finished ones stay and broken ones are told."""

import shlex
from dataclasses import replace

import jax
import pytest

from asrnn_jax.optim import count
from experiments import papers as module
from experiments.__main__ import parse
from experiments.catalogue import runs
from experiments.config import CopyMemory, Model, Optimizer, Pixels, Text, Training, numerics
from experiments.errors import UsageError
from experiments.papers import Papers, papers, placed
from experiments.presets import command_line
from experiments.training.model import make_model


def test_every_run_is_there_with_a_model_that_can_be_made():
    found = runs()
    count = {part: sum(name.startswith(part) for name in found) for part in ("copy-", "smnist", "pmnist", "ablation")}
    assert count == {"copy-": 7, "smnist": 28, "pmnist": 24, "ablation": 6 * 2 * 3}
    for config in found.values():
        make_model(config.model, 3, 2)
    asrnn = found["smnist-asrnn"]
    assert isinstance(asrnn, Pixels)
    assert (asrnn.epochs, asrnn.validation, asrnn.model.hidden) == (70, 5000, 122)
    frozen = found["ablation-copy-D_f-stays-at-1-2"]
    assert (frozen.optim.freeze, frozen.model.options["a"], frozen.training.seed) == (("D_f",), 1.0, 2)


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "params"),
    [
        ("text-asrnn", 90, 90, 300e3),
        ("text-lstm", 90, 90, 300e3),
        ("distill-taught-0", 28, 10, 16.2e3),
        ("smnist-lstm-16k", 1, 10, 16e3),
    ],
)
def test_models_have_as_many_params_as_they_are_compared_at(name, inputs, outputs, params):
    cell = make_model(runs()[name].model, inputs, outputs)
    assert abs(count(jax.eval_shape(cell.init, jax.random.key(0))) / params - 1) < 0.05


def test_data_folders_reach_the_runs():
    settings = Papers(data_dir="data", out="here")
    assert placed(Text(), "a", settings).data_dir == "data"
    assert placed(Pixels(dataset="mnist"), "a", settings).data_dir == "data"
    assert placed(Pixels(dataset="digits"), "a", settings).data_dir is None
    assert placed(CopyMemory(), "a", settings).training.out == "here/a"
    taught = placed(runs()["distill-taught-1"], "a", settings)
    assert isinstance(taught, Pixels)
    assert taught.teacher == "here/distill-0-teacher/best.safetensors"


@pytest.mark.parametrize("name", [name for name in runs() if name[-2:] not in ("-1", "-2", "-3", "-4")])  # seeds
def test_every_run_can_be_typed(name):
    config = placed(runs()[name], name, Papers(data_dir="FOLDER", out="here"))
    words = shlex.split(command_line(config))
    assert words[:3] == ["python", "-m", "experiments"]
    typed = parse(words[3], words[4:])
    assert numerics(typed) == numerics(config)
    assert getattr(typed, "data_dir", None) == getattr(config, "data_dir", None)


def test_no_student_starts_before_its_teacher_has_finished(tmp_path, monkeypatch, capsys):
    student = Pixels(teacher="teacher/best.safetensors", rows=True, epochs=1, training=Training(batch=4))
    monkeypatch.setattr(module, "runs", lambda: {"student": student})
    monkeypatch.setattr(module, "placed", lambda config, name, _: replace(config, training=Training(out=str(tmp_path))))
    assert "finished" not in papers(Papers(out=str(tmp_path)))
    assert "its teacher teacher is not finished" in capsys.readouterr().err


@pytest.mark.slow
def test_finished_runs_stay_broken_ones_are_told_and_workers_share(tmp_path, monkeypatch):
    tiny = CopyMemory(delay=5, symbols=2, steps=4, model=Model("gru", 4), training=Training(batch=4, log_every=2))
    broken = replace(tiny, optim=Optimizer("sgd", lr=3e38, clip=None), steps=20)
    monkeypatch.setattr(module, "runs", lambda: {"a-gru": tiny, "b-broken": broken, "a-other": tiny})
    settings = Papers(out=str(tmp_path), only=("a-*", "b-*"))
    text = papers(replace(settings, worker=1, workers=2))
    assert [line.split("|")[2].strip() for line in text.splitlines()[2:]] == ["-", "diverged", "-"]
    text = papers(settings)
    assert [line.split("|")[2].strip() for line in text.splitlines()[2:]] == ["finished", "diverged", "finished"]
    stamp = (tmp_path / "a-gru" / "result.json").stat().st_mtime_ns
    assert papers(settings) == text == papers(replace(settings, list=True))
    assert (tmp_path / "a-gru" / "result.json").stat().st_mtime_ns == stamp
    monkeypatch.setattr(module, "runs", lambda: {"a-gru": replace(tiny, steps=5)})
    with pytest.raises(UsageError, match="steps 4 -> 5"):
        papers(settings)
    with pytest.raises(UsageError, match="--only zzz"):
        papers(replace(settings, only=("zzz",)))
    with pytest.raises(UsageError, match="--worker 2"):
        Papers(worker=2, workers=2)
