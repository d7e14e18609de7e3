"""Configs: what earlier versions wrote is read, options are added to those of a preset, flags list their choices."""

import json
from typing import get_args

import pytest

from asrnn_jax.streaming import streams
from experiments.__main__ import parse
from experiments.config import Config, CopyMemory, Model, Optimizer, Schedule, differences, from_json, parts, to_json
from experiments.config.commands import Gap, Images
from experiments.data.images import DATASETS
from experiments.errors import UsageError
from experiments.presets import PRESETS, command_line
from experiments.training.model import cell_options, make_model
from experiments.training.optimizer import OPTIMIZERS, SCHEDULES

FIELDS = ("map", "init", "dynamic", "rho", "saturation", "a", "b", "eps", "slope", "kappa", "activation", "forget_bias")


def earlier(config: Config, options: list[str], **fields) -> dict:
    """The JSON values of a config as versions with a field for each of some options wrote it."""
    stored = json.loads(json.dumps(to_json(config)))
    stored["model"] |= dict.fromkeys(FIELDS) | fields | {"options": options}
    return stored


def test_what_earlier_versions_wrote_is_read():
    now = CopyMemory(model=Model("asrnn", 16, {"map": "expm", "dynamic": False, "a": 0.0, "readout": "carry"}))
    then = earlier(now, ["readout=carry"], map="expm", dynamic=False, a=0.0)
    assert from_json(then) == now == from_json(to_json(now))
    assert differences(then, now) == []
    other = CopyMemory(model=Model("asrnn", 16, {"map": "expm", "dynamic": False, "a": 0.5, "kappa": 3}))
    assert differences(then, other) == [
        "option a 0.0 -> 0.5",
        "option kappa None -> 3",
        "option readout 'carry' -> None",
    ]
    assert from_json(earlier(CopyMemory(), [])) == CopyMemory()


def test_options_are_added_to_those_of_a_preset_or_a_run(tmp_path):
    preset = PRESETS["paper-copy-1000"].config
    found = parse("copy-memory", ["--preset", "paper-copy-1000", "--options", "kappa=30", "map=cayley"])
    assert found.model.options == preset.model.options | {"kappa": 30, "map": "cayley"}
    assert command_line(found) == (
        "python -m experiments copy-memory --preset paper-copy-1000 --options map=cayley kappa=30"
    )
    assert parse("copy-memory", ["--preset", "paper-copy-1000"]).model == preset.model
    (tmp_path / "config.json").write_text(json.dumps(earlier(CopyMemory(), ["kappa=3"], map="expm")))
    resumed = parse("copy-memory", ["--resume", "--out", str(tmp_path)])
    assert resumed.model.options == {"map": "expm", "kappa": 3}


def test_a_command_leaves_out_a_preset_whose_options_it_cannot_take_back():
    """The words name all settings then, and give the same run."""
    preset = PRESETS["paper-copy-1000"].config
    config = from_json(to_json(preset) | {"model": {"cell": "asrnn", "hidden": 138, "options": {"map": "expm"}}})
    words = command_line(config).split()
    assert "--preset" not in words
    assert differences(to_json(config), parse(words[3], words[4:])) == []


def test_options_have_the_types_of_the_factory():
    model = Model("asrnn", 8, {"map": "expm", "dynamic": True, "kappa": 30, "b": 0.5})
    options = cell_options(model)
    assert options == model.options
    assert [type(value) for value in options.values()] == [str, bool, float, float]
    make_model(model, 2, 3)
    with pytest.raises(UsageError, match="--options a=inf: give a finite number"):
        Model(options={"a": float("inf")})
    with pytest.raises(UsageError, match="--options kappa=true: give a number"):
        cell_options(Model(options={"kappa": True}))


def test_choices_are_those_that_there_are():
    assert get_args(parts.OptimizerName) == tuple(OPTIMIZERS)
    assert get_args(Schedule) == tuple(SCHEDULES)
    assert get_args(Gap) == (*streams.NOISES, streams.DISTRACTOR)
    assert set(get_args(Images)) == set(DATASETS)
    with pytest.raises(UsageError, match="perhaps you meant adam or nadam"):
        Optimizer("adamm")  # pyright: ignore[reportArgumentType]


def test_help_lists_the_choices(cli):
    text = " ".join(cli("stream", "--help").stdout.split())
    for flag in ("--by {rows,pixels}", "--regime {full,ignored,separate}", "--schedule {constant,cosine,linear}"):
        assert flag in text
    assert "--options NAME=VALUE ..." in text
