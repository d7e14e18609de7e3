"""ONNX files: by their names, with constants, a context, one stream at a time; and the command."""

import json
import re
import subprocess
import sys
import wave

import jax
import numpy as np
import pytest

from asrnn_jax import audit, cells, export, pretrained, streaming
from asrnn_jax.__main__ import main
from asrnn_jax.audit import Settings
from asrnn_jax.audit.models import of_cell
from asrnn_jax.audit.recordings import from_table
from experiments.__main__ import main as experiments

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402

RNG = np.random.default_rng(0)
W_XH, W_HH, W_HY = RNG.normal(size=(6, 4)) / 3, RNG.normal(size=(4, 4)) / 3, RNG.normal(size=(4, 1))
OPTIONS = {"policies": [streaming.oracle(), streaming.periodic(7)], "settings": Settings(pasts=(0, 5))}


def step(h, x):
    """The equation of the file: a tanh RNN with the state in the second axis; x is scaled by a constant."""
    h = np.tanh(2 * x @ W_XH + h @ W_HH)
    return h, 1 / (1 + np.exp(-h @ W_HY))


def write(path, batch="batch", state="state", then="stateN"):
    """``h (1, B, 4)``, ``x (B, 6)``, ``scale ()``."""
    names = {"W_xh": W_XH, "W_hh": W_HH, "W_hy": W_HY}
    given = [helper.make_tensor(n, TensorProto.FLOAT, v.shape, v.astype("float32").ravel()) for n, v in names.items()]
    given.append(helper.make_tensor("axis", TensorProto.INT64, (1,), [0]))
    nodes = [
        ("Mul", ["input", "scale"], ["n1"]),
        ("MatMul", ["n1", "W_xh"], ["n2"]),
        ("Squeeze", [state, "axis"], ["n3"]),
        ("MatMul", ["n3", "W_hh"], ["n4"]),
        ("Add", ["n2", "n4"], ["n5"]),
        ("Tanh", ["n5"], ["n6"]),
        ("Unsqueeze", ["n6", "axis"], [then]),
        ("MatMul", ["n6", "W_hy"], ["n7"]),
        ("Sigmoid", ["n7"], ["output"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(*node) for node in nodes],
        "rnn",
        [
            info("input", TensorProto.FLOAT, [batch, 6]),
            info(state, TensorProto.FLOAT, [1, batch, 4]),
            info("scale", TensorProto.FLOAT, []),
        ],
        [info("output", TensorProto.FLOAT, [batch, 1]), info(then, TensorProto.FLOAT, [1, batch, 4])],
        given,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def data(width=6):
    rng = np.random.default_rng(1)
    labels = np.repeat(rng.integers(-1, 1, size=(5, 20)), 4, axis=1)
    xs = rng.normal(size=(5, 80, width)) * (0.3 + (labels >= 0)[..., None])
    return xs.astype("float32"), labels


def same(one, other):
    np.testing.assert_allclose(one.by_part, other.by_part, atol=1e-6)
    np.testing.assert_allclose(one.memory.fresh, other.memory.fresh, atol=1e-5)
    np.testing.assert_allclose(one.state.norm, other.state.norm, atol=1e-5)
    for a, b in zip(one.gaps, other.gaps):
        np.testing.assert_allclose(a.score, b.score, atol=1e-6)


@pytest.mark.parametrize(("batch", "names"), [("batch", ("state", "stateN")), (None, ("h", "h_out")), (1, ("a", "b"))])
def test_a_file_gives_what_its_equation_gives(tmp_path, batch, names):
    path = write(tmp_path / "rnn.onnx", batch, *names)
    states = {"a": "b"} if names[0] == "a" else None
    model = audit.onnx(path, constants={"scale": 2.0}, states=states)
    same(audit.resets(model, None, *data(), **OPTIONS), audit.resets(step, np.zeros(4), *data(), **OPTIONS))


def test_the_context_is_the_end_of_the_x_before_and_gone_after_a_reset(tmp_path):
    model = audit.onnx(write(tmp_path / "rnn.onnx"), constants={"scale": 2.0}, context=2)

    def with_context(state, x):
        h, tail = state
        h, y = step(h, np.concatenate([tail, x], axis=-1))
        return (h, x[..., -2:]), y

    start = (np.zeros(4), np.zeros(2))
    xs, labels = data(4)
    ours = audit.resets(model, None, xs, labels, **OPTIONS)
    theirs = audit.resets(with_context, start, xs, labels, **OPTIONS)
    np.testing.assert_allclose(ours.by_part, theirs.by_part, atol=1e-6)
    np.testing.assert_allclose(ours.memory.fresh, theirs.memory.fresh, atol=1e-5)


@pytest.mark.slow  # jax2onnx takes its time
def test_a_file_of_this_library_takes_the_resets_itself(tmp_path):
    pytest.importorskip("jax2onnx")
    cell = cells.with_output(cells.gru(4, 5), 3)
    params = cell.init(jax.random.key(0))
    (tmp_path / "gru.onnx").write_bytes(export.onnx(cell, params))
    xs, labels = data(4)
    ours = audit.resets(str(tmp_path / "gru.onnx"), None, xs, labels, score="accuracy", **OPTIONS)
    theirs = audit.resets(cell, params, xs, labels, score="accuracy", **OPTIONS)
    np.testing.assert_allclose(ours.by_part, theirs.by_part, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "'scale' has no value: give constants={'scale': ...}"),
        (
            {"constants": {"scale": 1}, "states": {"state": "next"}},
            "no output 'next': rnn.onnx has inputs input, state",
        ),
        ({"constants": {"scale": 1}, "x": "audio"}, "no input 'audio'"),
        ({"constants": {"scale": 1}, "y": "logits"}, "no output 'logits'"),
    ],
)
def test_what_a_file_does_not_have(tmp_path, options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        audit.onnx(write(tmp_path / "rnn.onnx"), **options)
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no")
    with pytest.raises(ValueError, match="no ONNX file that onnxruntime can run"):
        audit.onnx(tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="no such file"):
        audit.onnx(tmp_path / "y.onnx")


def write_wav(path, sound, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((sound * 32767).astype("<i2").tobytes())


def recordings(folder, number=24):
    folder.mkdir()
    rng = np.random.default_rng(2)
    for i in range(number):
        tone = np.sin(2 * np.pi * (300 + 200 * (i % 3)) * np.arange(rng.integers(1600, 2400)) / 8000)
        write_wav(folder / f"{i % 3}_a_{i}.wav", 0.5 * tone)
    return folder


def test_the_command_on_a_detector_and_a_folder_of_sound(tmp_path, capsys):
    """Chunks of four samples with a context of two; the table says what the numbers in the run folder are."""
    path, folder = write(tmp_path / "rnn.onnx"), recordings(tmp_path / "wav")
    flags = f"--data {folder} --constants scale=2.0 --context 2 --chunk 4 --gaps 0.01 0.02 --streams 4 --steps 300"
    assert main(["audit", str(path), *flags.split(), "--every", "9", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    kept = json.loads((tmp_path / "out" / "found.json").read_text())
    assert kept["verdict"]["text"] in said
    assert [row["policy"].split("(")[0] for row in kept["policies"]] == ["never", "oracle", "periodic", "on_energy"]
    assert f"{100 * kept['policies'][0]['score']['value']:.1f} %" in said
    assert (tmp_path / "out" / "audit.png").stat().st_size > 10_000
    assert kept["verdict"]["text"] in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("name", "score"),
    [("keyword-gru", "accuracy at end"), pytest.param("voice-gru", "recall", marks=pytest.mark.slow)],
)
def test_the_command_on_a_network_of_the_package(name, score, tmp_path, capsys):
    folder = recordings(tmp_path / "wav", 6)
    flags = ["--data", str(folder), "--streams", "2", "--steps", "60", "--every", "20", "--out", str(tmp_path / "out")]
    assert experiments(["audit", name, *flags]) == 0
    assert score in capsys.readouterr().out


def test_a_table_is_its_streams_in_order_of_time(tmp_path):
    rng = np.random.default_rng(0)
    xs, labels = rng.normal(size=(2, 9, 2)).astype("float32"), rng.integers(-1, 3, size=(2, 9))
    rows = [(b, t, *map(float, xs[b, t]), "" if labels[b, t] < 0 else labels[b, t]) for b in (0, 1) for t in range(9)]
    lines = ["machine,t,u,v,state", *(",".join(map(str, rows[i])) for i in rng.permutation(18))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    found = from_table(tmp_path / "rows.csv", label="state", stream="machine", time="t", detector=False)
    np.testing.assert_array_equal(np.stack(found.streams), xs)
    np.testing.assert_array_equal(np.stack(found.labels), labels)


@pytest.mark.slow
def test_the_command_on_a_table(tmp_path, capsys):
    """A saved network and rows of two streams, not in order: the numbers are those of the arrays."""
    arguments = {"cell": "gru", "inputs": 2, "hidden": 4, "outputs": 3}
    model = cells.network(**arguments)
    params = model.init(jax.random.key(0))
    pretrained.save(tmp_path / "mine.safetensors", arguments, params, {})
    rng = np.random.default_rng(0)
    xs, labels = rng.normal(size=(2, 40, 2)).astype("float32"), np.repeat(rng.integers(-1, 3, size=(2, 8)), 5, axis=1)
    rows = [(b, t, *map(float, xs[b, t]), "" if labels[b, t] < 0 else labels[b, t]) for b in (0, 1) for t in range(40)]
    lines = ["machine,t,u,v,state", *(",".join(map(str, rows[i])) for i in rng.permutation(80))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    flags = ["--label", "state", "--stream", "machine", "--time", "t", "--every", "6", "--score", "accuracy"]
    out = ["--out", str(tmp_path / "out")]
    assert main(["audit", str(tmp_path / "mine.safetensors"), "--data", str(tmp_path / "rows.csv"), *flags, *out]) == 0
    kept = json.loads((tmp_path / "out" / "found.json").read_text())
    settings = Settings(every=(6,), pasts=())
    found = audit.resets(of_cell(model, params), None, xs, labels, score="accuracy", settings=settings)
    for row, theirs in zip(found.rows, kept["policies"]):
        assert (row.policy, row.score.value) == (theirs["policy"], pytest.approx(theirs["score"]["value"]))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["nothing-here", "--data", "."], "name='nothing-here': there is"),
        (["keyword-gru", "--data", "nowhere"], "nowhere"),
        (["keyword-gru", "--data", "{empty}"], "no WAV files found"),
        (["fashion-gru", "--data", "{wav}"], "takes pixels, not sound"),
        (["{onnx}", "--data", "{wav}", "--constants", "scale=1"], "--chunk: say how many samples"),
        (["{onnx}", "--data", "{wav}", "--constants", "scale"], "give NAME=NUMBER"),
        (["{onnx}", "--data", "{wav}", "--states", "state"], "give IN>OUT"),
        (["{onnx}", "--data", "{wav}", "--constants", "scale=1", "--chunk", "99999"], "no recording has so many"),
        (
            ["{onnx}", "--data", "{wav}", "--constants", "scale=1", "--chunk", "5"],
            "onnxruntime refused state (1, 10, 4), input (10, 5)",
        ),
    ],
)
def test_what_the_command_refuses_is_one_line(tmp_path, capsys, flags, message):
    (tmp_path / "empty").mkdir()
    places = {"empty": tmp_path / "empty", "wav": recordings(tmp_path / "wav", 12), "onnx": write(tmp_path / "r.onnx")}
    assert main(["audit", *(flag.format(**places) for flag in flags), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_audit_needs_no_matplotlib_and_no_onnx():
    code = (
        "import sys, asrnn_jax.audit; print(sorted({'matplotlib', 'onnxruntime', 'tqdm', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
