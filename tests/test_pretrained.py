"""Trained networks go to a file and back with the same bits; what does not fit is refused and named."""

import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import cells, pretrained, saved

ARGUMENTS = {"cell": "asrnn", "inputs": 2, "hidden": 5, "outputs": 3, "options": {"a": 0.3, "b": 0.9}}


@pytest.fixture
def file(tmp_path):
    model = cells.network(**ARGUMENTS)
    params = model.init(jax.random.key(0))
    pretrained.save(tmp_path / "a.npz", ARGUMENTS, params, {"task": "none", "result": {"test_accuracy": 0.5}})
    return tmp_path / "a.npz", model, params


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers": 2, "trained_start": True},
        {"residual": True, "layers": 2, "dropout": 0.1},
        {"embedding": 4, "options": {}},
    ],
)
@pytest.mark.parametrize("cell", ["asrnn", "lstm", "lru", "alif"])
def test_there_and_back(tmp_path, cell, options):
    arguments = {"cell": cell, "inputs": 2, "hidden": 5, "outputs": 3, **options}
    model = cells.network(**arguments)
    params = model.init(jax.random.key(1))
    pretrained.save(tmp_path / "a.npz", arguments, params, {"task": "none"})
    again, loaded, card = pretrained.load(tmp_path / "a.npz")
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    xs = jax.random.normal(jax.random.key(2), (3, 7, 2))
    np.testing.assert_array_equal(asrnn_jax.run(again, loaded, xs)[1], asrnn_jax.run(model, params, xs)[1])
    assert (card["task"], card["network"]) == ("none", arguments)


def test_every_network_of_the_package_loads_and_is_small():
    from importlib import resources

    assert {"copy-asrnn", "smnist-asrnn", "fashion-asrnn", "keyword-asrnn"} <= set(pretrained.list())
    for name in pretrained.list():
        model, params, card = pretrained.load(name)
        xs = jnp.zeros((1, 3, model.inputs))
        assert np.isfinite(asrnn_jax.run(model, params, xs)[1]).all()
        assert {"task", "config", "result", "date", "versions", "parameters"} <= set(card)
        assert card["command"].startswith(f"python -m experiments {card['config']['command']} ")
        assert "/" not in json.dumps(card["config"])  # no paths of the machine it was trained on
        assert (resources.files(pretrained) / f"{name}.npz").stat().st_size < 1_000_000


def test_the_network_of_copying_memory_recalls_after_a_thousand_steps():
    """Symbols 1 to 8, a thousand blanks, the marker 9: written down here once more, from the paper."""
    model, params, _ = pretrained.load("copy-asrnn")
    symbols = np.random.default_rng(5).integers(1, 9, size=(4, 10))
    inputs = np.concatenate([symbols, np.zeros((4, 1000), int), np.full((4, 1), 9), np.zeros((4, 9), int)], axis=1)
    _, logits = asrnn_jax.run(model, params, jnp.eye(10, dtype=jnp.float32)[inputs])
    said = np.asarray(logits).argmax(-1)
    np.testing.assert_array_equal(said[:, -10:], symbols)
    np.testing.assert_array_equal(said[:, :-10], 0)


def test_every_flipped_byte_is_noticed_or_harmless(file):
    path, _, params = file
    whole = path.read_bytes()
    for position in range(0, len(whole), 61):
        broken = bytearray(whole)
        broken[position] ^= 8
        path.write_bytes(bytes(broken))
        try:
            _, loaded, _ = pretrained.load(path)
        except ValueError:
            continue
        jax.tree.map(np.testing.assert_array_equal, loaded, params)  # a byte that carries nothing, such as a date


def rewritten(path, **changes):
    arrays, card = saved.read(path, "file")
    arrays = changes.pop("arrays", arrays)
    saved.write(path, arrays, card | changes)


def test_what_does_not_fit_is_named(file, tmp_path):
    path, _, params = file
    with pytest.raises(ValueError, match="name='asrn': there is"):
        pretrained.load("asrn")
    with pytest.raises(OSError, match="nowhere"):
        pretrained.load(tmp_path / "nowhere.npz")
    with pytest.raises(ValueError, match=r"ends in \.npz"):
        pretrained.save(tmp_path / "a.zip", ARGUMENTS, params, {})
    with pytest.raises(ValueError, match="params are not those"):
        pretrained.save(tmp_path / "b.npz", {**ARGUMENTS, "hidden": 6}, params, {})
    good = path.read_bytes()
    arrays, _ = saved.read(path, "file")
    for changes, message in (
        ({"format": 2}, "use the version that wrote it"),
        ({"network": {**ARGUMENTS, "cell": "asrnnn"}}, "perhaps you meant asrnn"),
        ({"network": {**ARGUMENTS, "speed": 3}}, "speed"),
        ({"network": {**ARGUMENTS, "hidden": 6}}, "does not hold the params"),
        ({"arrays": arrays[:-1]}, "does not hold the params"),
        ({"arrays": [a.astype(np.float64) for a in arrays]}, "does not hold the params"),
        ({"names": []}, "does not hold the params"),
        ({"names": 5}, "does not hold the params"),
        ({"names": None}, "does not hold the params"),
        ({"network": {**ARGUMENTS, "hidden": 10**6}}, "cannot make|does not hold the params"),
    ):
        path.write_bytes(good)
        rewritten(path, **changes)
        with pytest.raises(ValueError, match=message):
            pretrained.load(path)


def test_a_header_that_claims_more_than_the_file_has_is_not_believed(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("about.npy", b"0" * 10_000_000)
    with pytest.raises(ValueError, match="bytes in a file of"):
        pretrained.load(path)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }"
    with zipfile.ZipFile(path, "w") as archive:
        about = np.frombuffer(json.dumps({"sha256": ""}).encode(), np.uint8)
        with archive.open("about.npy", "w") as member:
            np.lib.format.write_array(member, about)
        archive.writestr("array0.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ValueError, match="damaged"):
        pretrained.load(path)
