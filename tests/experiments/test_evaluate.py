"""What evaluate and save say of networks, and what they refuse."""

import jax
import pytest

import asrnn_jax
from asrnn_jax import pretrained
from experiments.config import Pixels, to_json
from experiments.errors import UsageError
from experiments.tasks import make_task
from experiments.tools import evaluate as module
from experiments.tools.evaluate import Evaluate, Save, evaluate, save


def written(path, card, inputs=8):
    arguments = {"cell": "gru", "inputs": inputs, "hidden": 3, "outputs": 10}
    model = asrnn_jax.cells.network(**arguments)
    params = model.init(jax.random.key(0))
    pretrained.save(path, arguments, params, card)
    return model, params


def test_a_result_is_equal_to_the_last_bit_or_to_rounding_or_not(tmp_path):
    config = Pixels(rows=True)
    model, params = written(tmp_path / "a.safetensors", {})
    found = module.tested(make_task(config), model, params)
    loss = found["test_loss"]
    for was, said in ((loss, "yes"), (loss * (1 + 3e-6), "to rounding"), (loss * 1.001, "no"), (None, "-")):
        written(tmp_path / "a.safetensors", {"config": to_json(config), "result": {**found, "test_loss": was}})
        rows = [line.split("|") for line in evaluate(Evaluate(str(tmp_path / "a.safetensors"))).splitlines()[2:]]
        equal = {row[1].strip(): row[4].strip() for row in rows}
        assert equal == {"test_accuracy": "yes", "test_loss": said}


def test_networks_that_have_no_test_are_named(tmp_path):
    file = str(tmp_path / "a.safetensors")
    written(file, {})
    with pytest.raises(UsageError, match="does not say how it was trained"):
        evaluate(Evaluate(file))
    written(file, {"config": to_json(Pixels(rows=True))}, inputs=5)
    with pytest.raises(UsageError, match="5 inputs and 10 outputs"):
        evaluate(Evaluate(file))


def test_no_network_is_overwritten_and_no_name_leaves_its_folder(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "mine.safetensors").write_text("precious")
    with pytest.raises(UsageError, match=r"--name mine: there is .* add --replace"):
        save(Save(str(tmp_path), "mine", to=str(tmp_path)))
    assert (tmp_path / "mine.safetensors").read_text() == "precious"
    for name in ("", "../mine", "a b", "a.safetensors"):
        with pytest.raises(UsageError, match="--name"):
            Save(str(tmp_path), name)
