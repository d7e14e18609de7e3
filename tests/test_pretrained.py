"""Trained networks go to a file and back with the same bits; what does not fit is refused and named."""

import errno
import io
import json
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

import asrnn_jax
from asrnn_jax import cells, pretrained, saved
from asrnn_jax.names import named
from experiments.folder import write_json

ARGUMENTS = {"cell": "asrnn", "inputs": 2, "hidden": 5, "outputs": 3, "options": {"a": 0.3, "b": 0.9}}


@pytest.fixture
def file(tmp_path):
    model = cells.network(**ARGUMENTS)
    params = model.init(jax.random.key(0))
    pretrained.save(tmp_path / "a.safetensors", ARGUMENTS, params, {"task": "none", "result": {"test_accuracy": 0.5}})
    return tmp_path / "a.safetensors", model, params


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"layers": 2, "trained_start": True},
        {"residual": True, "layers": 2, "dropout": 0.1},
        {"hidden": 4, "residual": True, "layers": 2, "convolution": 3, "attention_every": 2, "trained_start": True},
        pytest.param({"embedding": 4, "options": {}}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("cell", ["asrnn", *(pytest.param(c, marks=pytest.mark.slow) for c in ("lstm", "lru", "alif"))])
def test_there_and_back(tmp_path, cell, options):
    arguments = {"cell": cell, "inputs": 2, "hidden": 5, "outputs": 3, **options}
    model = cells.network(**arguments)
    params = model.init(jax.random.key(1))
    pretrained.save(tmp_path / "a.safetensors", arguments, params, {"task": "none"})
    again, loaded, card = pretrained.load(tmp_path / "a.safetensors")
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    xs = jax.random.normal(jax.random.key(2), (3, 7, 2))
    np.testing.assert_array_equal(asrnn_jax.run(again, loaded, xs)[1], asrnn_jax.run(model, params, xs)[1])
    assert (card["task"], card["network"]) == ("none", arguments)


@pytest.mark.slow
def test_every_network_of_the_package_loads_and_is_small():
    from importlib import resources

    assert {"copy-asrnn", "smnist-asrnn", "fashion-asrnn", "keyword-asrnn"} <= set(pretrained.names())
    for name in pretrained.names():
        model, params, card = pretrained.load(name)
        xs = jnp.zeros((1, 3, model.inputs))
        assert np.isfinite(asrnn_jax.run(model, params, xs)[1]).all()
        assert {"task", "config", "result", "date", "versions", "parameters"} <= set(card)
        assert card["command"].startswith(f"python -m experiments {card['config']['command']} ")
        assert "/" not in json.dumps(card["config"])  # no paths of the machine it was trained on
        assert (resources.files(pretrained) / f"{name}.safetensors").stat().st_size < 1_000_000


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
        pretrained.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(ValueError, match=r"ends in \.safetensors"):
        pretrained.save(tmp_path / "a.zip", ARGUMENTS, params, {})
    with pytest.raises(ValueError, match=r"params are not those.*D_f: \(6,\) is needed, \(5,\) is there"):
        pretrained.save(tmp_path / "b.safetensors", {**ARGUMENTS, "hidden": 6}, params, {})
    whole = jax.tree.map(lambda p: jnp.round(p).astype(jnp.int32), params)
    with pytest.raises(ValueError, match="has dtype int32, no floating-point type"):
        pretrained.save(tmp_path / "b.safetensors", ARGUMENTS, whole, {})
    good = path.read_bytes()
    arrays, _ = saved.read(path, "file")
    for changes, message in (
        ({"format": 9}, "use the version that wrote it"),
        ({"network": {**ARGUMENTS, "cell": "asrnnn"}}, "perhaps you meant asrnn"),
        ({"network": {**ARGUMENTS, "speed": 3}}, "speed"),
        ({"network": {**ARGUMENTS, "hidden": 6}}, "does not hold the params"),
        ({"arrays": dict([*arrays.items()][:-1])}, "nothing is there"),
        ({"arrays": arrays | {"W_xx": np.zeros(3)}}, "nothing is needed"),
        ({"arrays": {name: a.astype(np.int8) for name, a in arrays.items()}}, "no floating-point type"),
        ({"network": {**ARGUMENTS, "hidden": 10**6}}, "cannot make|does not hold the params"),
    ):
        path.write_bytes(good)
        rewritten(path, **changes)
        with pytest.raises(ValueError, match=message):
            pretrained.load(path)


def test_a_file_of_an_earlier_version_is_called_so(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, about=np.zeros(3, np.uint8), array0=np.ones(3))
    with pytest.raises(ValueError, match=r"before 0\.1, when they were \.npz files: load it with the version"):
        pretrained.load(path)


def header(file, **entries):
    text = json.dumps(entries).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    return file


@pytest.mark.parametrize(
    "entries",
    [
        {"W": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}},
        {"W": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}},
        {"W": {"dtype": "F8_E4M3", "shape": [0], "data_offsets": [0, 0]}},
        {"__metadata__": {"about": "[" * 100_000, "sha256": "", "complex128": "[]"}},
        {"__metadata__": {"about": "{}", "sha256": "", "complex128": '["W"]'}},
        {"__metadata__": {"about": "[]", "sha256": "0", "complex128": "{}"}},
        {},
    ],
)
def test_a_header_is_not_believed(tmp_path, entries):
    with pytest.raises(ValueError, match="damaged") as e:
        pretrained.load(header(tmp_path / "a.safetensors", **entries))
    assert "\n" not in str(e.value)
    (tmp_path / "b.safetensors").write_bytes((2**60).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="damaged"):
        pretrained.load(tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("cell", "dtype"),
    [
        pytest.param("asrnn", jnp.float16, marks=pytest.mark.slow),
        ("lru", jnp.bfloat16),
        pytest.param("asrnn", jnp.float32, marks=pytest.mark.slow),
        ("urnn", jnp.float64),
    ],
)
def test_every_dtype_of_params_goes_there_and_back(tmp_path, cell, dtype):
    arguments = {**ARGUMENTS, "cell": cell, "options": {}}
    model = cells.network(**arguments)
    params = jax.tree.map(lambda p: p.astype(dtype), model.init(jax.random.key(0)))
    path = tmp_path / "a.safetensors"
    pretrained.save(path, arguments, params, {"task": "none"})
    again, loaded, _ = pretrained.load(path)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded)} == {jnp.dtype(dtype)}
    assert np.isfinite(asrnn_jax.run(again, loaded, jnp.ones((2, 5, 2), dtype))[1]).all()
    with safe_open(path, framework="np") as theirs:  # what everybody reads
        assert set(theirs.keys()) == {name for name, _ in named(params)}
        assert json.loads(theirs.metadata()["about"])["network"] == arguments
    with jax.enable_x64(False):
        if dtype == jnp.float64:
            with pytest.raises(ValueError, match=r"is float64, which JAX would make float32.*jax_enable_x64"):
                pretrained.load(path)
        else:
            jax.tree.map(np.testing.assert_array_equal, pretrained.load(path)[1], params)


def test_mixed_dtypes_and_foreign_byte_orders(tmp_path):
    model = cells.network(**ARGUMENTS)
    params = model.init(jax.random.key(0))
    mixed = {**params, "output": jax.tree.map(lambda p: np.asarray(p, ">f8"), params["output"])}
    pretrained.save(tmp_path / "a.safetensors", ARGUMENTS, mixed, {})
    _, loaded, _ = pretrained.load(tmp_path / "a.safetensors")
    jax.tree.map(np.testing.assert_array_equal, loaded, mixed)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(loaded)} == {"float32", "float64"}


ARRAYS = {
    **{f"float{i}": np.arange(6).reshape(2, 3).astype(t) for i, t in enumerate("efd")},
    **{"bf16": np.arange(3).astype(jnp.bfloat16), "c64": np.arange(3) * np.complex64(1j), "bool": np.arange(3) > 1},
    **{"c128": np.array([[1 + 2j, complex(0, np.inf)], [complex(np.nan, -0.0), -1]])},
    **{"scalar": np.float64(3), "c scalar": np.complex128(3 + 1j)},
    **{"none": np.zeros((0, 3)), "c none": np.zeros((0, 3), np.complex128), "int": np.int64(2**40)},
    **{"columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "big": np.arange(3, dtype=">i4")},
}


def test_any_array_of_a_state_goes_there_and_back(tmp_path):
    for target in (tmp_path / "a", io.BytesIO()):
        saved.write(target, ARRAYS, {"name": "λ"})
        source = target if not isinstance(target, io.BytesIO) else io.BytesIO(target.getvalue())
        found, about = saved.read(source, "file")
        assert about == {"name": "λ"}
        assert found.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype.newbyteorder("="), name
            assert found[name].shape == array.shape


def test_two_writers_of_one_path_both_succeed(tmp_path):
    """One in the middle of the other: each has a file of its own, the last to end wins, and none is left."""
    path = tmp_path / "a"
    with saved.replacing(path) as first, saved.replacing(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first"
    with pytest.raises(RuntimeError), saved.replacing(path) as file:  # noqa: PT012
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"first"
    big = {name: np.full(10**5, value) for value, name in enumerate("abcdefgh")}

    def many(name):
        for _ in range(10):
            saved.write(path, {name: big[name]}, {"name": name})
            write_json(tmp_path / "b.json", [name] * 1000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(many, big))
    found, about = saved.read(path, "file")
    np.testing.assert_array_equal(found[about["name"]], big[about["name"]])
    assert len(set(json.loads((tmp_path / "b.json").read_text()))) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b.json"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError("no room")])
def test_errors_of_the_system_are_no_damage(file, monkeypatch, error):
    def failing(self):
        raise error

    monkeypatch.setattr("pathlib.Path.read_bytes", failing)
    with pytest.raises(type(error)):
        pretrained.load(file[0])
