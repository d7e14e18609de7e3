"""A file that runs elsewhere gives what the network gives here; narrow weights are what their bits can hold."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import cells, export
from asrnn_jax.real_only import real_only
from experiments.__main__ import main
from tests.quick import quickly

EXAMPLES = Path(__file__).parents[1] / "experiments" / "examples"
XS = np.random.default_rng(0).uniform(size=(2, 9, 3)).astype(np.float32)
# One of each kind of carry: real, a pair, complex, with spikes, layers, a trained start.
MODELS = {
    "asrnn": cells.with_output(cells.asrnn(3, 6), 4),
    "lstm": cells.with_output(cells.lstm(3, 6), 4),
    "lru": cells.with_output(cells.lru(3, 6), 4),
    "alif": cells.with_output(cells.alif(3, 6), 4),
    "blocks": cells.network("gru", 3, 6, 4, layers=2, residual=True, trained_start=True),
}


def made(model):
    return model.init(jax.random.key(1))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))


def states(exported, batch):
    *found, _, _ = exported.in_avals
    return tuple(np.full((batch, *aval.shape[1:]), 7, aval.dtype) for aval in found)


@quickly("name", ("lru", "blocks"), MODELS)
def test_stablehlo_steps_through_a_stream_and_starts_afresh_where_told(name):
    model, params = MODELS[name], made(MODELS[name])
    exported = jax.export.deserialize(bytearray(export.stablehlo(model, params)))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    reset = np.zeros((2, 9), bool)
    reset[:, 0], reset[1, 4] = True, True
    state, ys = states(exported, 2), []
    for t in range(9):
        state, y = jax.jit(exported.call)(state, XS[:, t], reset[:, t])
        ys.append(y)
    close(np.stack(ys, axis=1), asrnn_jax.run(model, params, XS, reset=reset)[1])
    _, y = exported.call(states(exported, 5), np.tile(XS[:1, 0], (5, 1)), np.ones(5, bool))  # any batch
    close(y, np.tile(ys[0][:1], (5, 1)))


@quickly("name", ["lru"], ("asrnn", "lru", "blocks"))
def test_stablehlo_of_many_steps_at_a_time_goes_on_from_call_to_call(name):
    model, params = MODELS[name], made(MODELS[name])
    exported = jax.export.deserialize(bytearray(export.stablehlo(model, params, steps=3)))
    state, ys = states(exported, 2), []
    for t in range(0, 9, 3):
        state, y = exported.call(state, XS[:, t : t + 3], np.full(2, t == 0))
        ys.append(y)
    close(np.concatenate(ys, axis=1), asrnn_jax.run(model, params, XS)[1])


@quickly("name", ["lru"], ("asrnn", "lru", "blocks"))
def test_stablehlo_of_any_number_of_steps(name):
    model, params = MODELS[name], made(MODELS[name])
    exported = jax.export.deserialize(bytearray(export.stablehlo(model, params, steps="any")))
    state, first = exported.call(states(exported, 2), XS[:, :4], np.ones(2, bool))
    _, second = exported.call(state, XS[:, 4:], np.zeros(2, bool))
    close(np.concatenate([first, second], axis=1), asrnn_jax.run(model, params, XS)[1])
    with pytest.raises(ValueError, match="give ONNX a number"):
        export.onnx(model, params, steps="any")


def test_both_directions_only_for_a_whole_sequence():
    model = cells.bidirectional(cells.gru(3, 4))
    params = made(model)
    exported = jax.export.deserialize(bytearray(export.stablehlo(model, params, steps=9)))
    _, ys = exported.call(states(exported, 2), XS, np.ones(2, bool))
    close(ys, asrnn_jax.run(model, params, XS)[1])
    with pytest.raises(ValueError, match="both directions: give the number of steps"):
        export.stablehlo(model, params)


@pytest.mark.slow
def test_10_000_steps_in_a_process_without_this_library(tmp_path):
    model, params = MODELS["asrnn"], made(MODELS["asrnn"])
    xs = np.random.default_rng(1).uniform(size=(10_000, 3)).astype(np.float32)
    (tmp_path / "network").write_bytes(export.stablehlo(model, params))
    close(elsewhere("stream_stablehlo.py", tmp_path, xs), asrnn_jax.run(model, params, xs)[1])


def elsewhere(example, folder, xs, without=("asrnn_jax", "flax")):
    """What an example makes of a stream, where some modules cannot be imported."""
    np.save(folder / "xs.npy", xs)
    hide = "; ".join(f"sys.modules['{name}'] = None" for name in without)
    code = f"import sys, runpy; {hide}; runpy.run_path({str(EXAMPLES / example)!r}, run_name='__main__')"
    files = [str(folder / name) for name in ("network", "xs.npy", "ys.npy")]
    subprocess.run([sys.executable, "-c", code, *files], check=True, timeout=300)
    return np.load(folder / "ys.npy")


@quickly("kind", ["int8"], ("bfloat16", "int8"))
def test_narrow_weights_make_a_smaller_file_with_the_same_numbers(kind):
    model = cells.with_output(cells.gru(3, 64), 4)
    params = made(model)
    file, whole = export.stablehlo(model, params, weights=kind), export.stablehlo(model, params)
    assert len(file) < {"bfloat16": 0.65, "int8": 0.45}[kind] * len(whole)
    exported = jax.export.deserialize(bytearray(file))
    narrowed = export.widen(export.narrow(model.prepare(params), kind))
    expected = asrnn_jax.run(model, narrowed, XS[:, :1])[1][:, 0]
    close(exported.call(states(exported, 2), XS[:, 0], np.ones(2, bool))[1], expected)


@pytest.mark.parametrize("bits", [12, 8, 4])
def test_whole_numbers_of_so_many_bits(bits):
    leaf = jax.random.normal(jax.random.key(0), (50, 3)) * jnp.array([[1.0, 10.0, 0.1]])
    tree = {"a": leaf, "zero": jnp.zeros((4, 4)), "vector": leaf[:, 0], "complex": leaf * 1j}
    narrow = export.narrow(tree, bits)
    assert narrow["a"].values.dtype == (jnp.int8 if bits <= 8 else jnp.int16)
    assert np.abs(narrow["a"].values).max() == 2 ** (bits - 1) - 1
    wide = export.widen(narrow)
    for column, found in zip(leaf.T, wide["a"].T):
        scale = np.abs(column).max() / (2 ** (bits - 1) - 1)
        np.testing.assert_allclose(found / scale, np.rint(found / scale), atol=1e-3)
        assert np.abs(found - column).max() <= scale / 2 * (1 + 1e-3)
    assert (wide["zero"] == 0).all()
    for name in ("vector", "complex"):
        np.testing.assert_allclose(wide[name], tree[name], rtol=1e-6)
    with pytest.raises(ValueError, match="to=17"):
        export.narrow(tree, 17)


def test_narrow_params_of_a_rotation_are_whole_numbers_times_a_scale_a_diagonal():
    A = np.triu(np.random.default_rng(0).normal(size=(7, 7)), 1)
    A[range(6), range(1, 7)] *= 100  # as at the start: the angles, beside what was learned
    params = {"W_hh": {"skew": jnp.asarray(A[np.triu_indices(7, 1)], jnp.float32)}, "b": jnp.ones(7)}
    narrow = export.narrow(params, 8)
    wide = export.widen(narrow)
    assert narrow["W_hh"]["skew"].values.dtype == jnp.int8
    found = np.zeros((7, 7))
    found[np.triu_indices(7, 1)] = wide["W_hh"]["skew"]
    for k in range(1, 7):
        scale = np.abs(np.diagonal(A, k)).max() / 127
        np.testing.assert_allclose(np.diagonal(found, k), scale * np.rint(np.diagonal(A, k) / scale), rtol=1e-5)
    assert (wide["b"] == 1).all()
    assert export.widen(export.narrow(params, "int16"))["W_hh"]["skew"] == pytest.approx(
        np.asarray(params["W_hh"]["skew"]), abs=3e-3
    )


@quickly("name", ["urnn"], ("lru", "s5", "urnn"))
@pytest.mark.parametrize("steps", [None, 5])
def test_complex_numbers_written_out_as_real_ones(name, steps):
    model = cells.with_output(cells.make(name, 3, 6), 4)
    function = export._function(model, made(model), steps, "float32")
    state, _, _ = export._arguments(model, made(model), steps, 2)
    x = XS[:, 0] if steps is None else XS[:, :5]
    given = [np.full(leaf.shape, 0.3, leaf.dtype) for leaf in state]
    flags = np.array([True, False])
    traced = jax.make_jaxpr(function)(tuple(given), x, flags)
    written = jax.make_jaxpr(real_only(traced))(*given, x, flags)
    assert "c64" in str(traced)
    assert "c64" not in str(written)
    after, y = function(tuple(given), x, flags)
    for found, expected in zip(real_only(traced)(*given, x, flags), (*after, y), strict=True):
        close(found, expected)


def test_what_cannot_be_written_out_is_named():
    traced = jax.make_jaxpr(lambda x: jnp.sin(x * 1j).real)(1.0)
    with pytest.raises(NotImplementedError, match="sin of complex numbers"):
        real_only(traced)(1.0)


ONNX_OF_EVERY_CELL = """
import sys
import jax, numpy as np, onnxruntime
import asrnn_jax
from asrnn_jax import cells, export

xs = np.random.default_rng(0).uniform(size=(2, 8, 3)).astype("float32")
for name in cells.CELLS:
    model = cells.with_output(cells.make(name, 3, 6), 4)
    params = model.init(jax.random.key(1))
    expected = np.asarray(asrnn_jax.run(model, params, xs)[1])
    for steps in (None, 4) if name in ("asrnn", "lru", "gru") else (None,):
        network = onnxruntime.InferenceSession(export.onnx(model, params, steps=steps))
        *given, _, _ = network.get_inputs()
        state = [np.full((2, *one.shape[1:]), 7, "float32") for one in given]
        ys = []
        for t in range(0, 8, steps or 1):
            x = xs[:, t] if steps is None else xs[:, t : t + steps]
            inputs = {f"state_{i}": s for i, s in enumerate(state)} | {"x": x, "reset": np.full(2, t == 0)}
            *state, y = network.run(None, inputs)
            ys.append(y if y.ndim == 3 else y[:, None])
        worst = np.abs(np.concatenate(ys, 1) - expected).max() / max(1, np.abs(expected).max())
        assert worst < 1e-5, (name, steps, worst)
        print(name, steps)
open(sys.argv[1], "wb").write(export.onnx(*(lambda m: (m, m.init(jax.random.key(1))))(
    cells.with_output(cells.asrnn(3, 6), 4)), weights="int8"))
"""


@pytest.mark.skipif(importlib.util.find_spec("jax2onnx") is None, reason="the extra onnx is not installed")
@pytest.mark.slow
def test_onnx_of_every_cell_and_10_000_steps_with_onnxruntime_alone(tmp_path):
    code = [sys.executable, "-c", ONNX_OF_EVERY_CELL, str(tmp_path / "network")]
    done = subprocess.run(code, capture_output=True, text=True, timeout=600)  # it changes JAX while it translates
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split("\n")) == len(cells.CELLS) + 4
    xs = np.random.default_rng(1).uniform(size=(10_000, 3)).astype(np.float32)
    model, params = MODELS["asrnn"], made(MODELS["asrnn"])
    weights = export.widen(export.narrow(model.prepare(jax.tree.map(lambda p: p.astype(jnp.float32), params)), "int8"))
    found = elsewhere("stream_onnx.py", tmp_path, xs, without=("jax", "asrnn_jax", "flax"))
    close(found, asrnn_jax.run(model, weights, xs)[1])


def test_one_command_writes_runs_and_compares(tmp_path, capsys):
    arguments = {"cell": "gru", "inputs": 3, "hidden": 6, "outputs": 4}
    model = cells.network(**arguments)
    asrnn_jax.pretrained.save(tmp_path / "mine.safetensors", arguments, made(model), {})
    out = tmp_path / "out"
    call = [
        "export",
        str(tmp_path / "mine.safetensors"),
        "--out",
        str(out),
        "--check",
        "200",
        "--weights",
        "float32",
        "int8",
    ]
    assert main(call) == 0
    table = capsys.readouterr().out
    for kind in ("float32", "int8"):
        (line,) = [line for line in table.split("\n") if f"mine-{kind}.stablehlo" in line]
        assert float(line.split("|")[4]) < 1e-5
        assert (out / f"mine-{kind}.stablehlo").stat().st_size > 1000
    page = (out / "export.md").read_text()
    assert table in page
    assert "    python -m experiments export mine.safetensors --weights float32 int8 --check 200\n" in page
    assert main(["export", str(tmp_path / "mine.safetensors"), "--check", "0"]) == 2
    assert main(["export", "nothing", "--out", str(out)]) == 2
