"""Broken and hostile files and command lines: an error that says so, no traceback, no hang, no memory on their word."""

import gzip
import json
import pickle
import tracemalloc
import wave
from contextlib import suppress

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrnn_jax import cells, pretrained, streaming
from experiments import __main__ as command_line
from experiments import machine
from experiments.config import COMMANDS, CopyMemory, from_json, to_json
from experiments.data.audio import read_wav
from experiments.data.images import read_idx
from experiments.errors import UsageError
from experiments.folder import read_json, read_metrics
from experiments.tasks.text import load_text

BOUND = 32 << 20  # bytes that reading a file of some kilobytes may take
MODEL = cells.network("gru", 2, 3, 2)
PARAMS = MODEL.init(jax.random.key(0))


def idx(path):
    path.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + bytes(range(24)))


def idx_gz(path):
    with gzip.open(path, "wb") as file:
        file.write(bytes([0, 0, 8, 1, 0, 0, 0, 50]) + bytes(50))


def wav(path):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.arange(400, dtype=np.int16).tobytes())


def texts(path):
    for part in ("train", "valid", "test"):
        (path.parent / f"a.{part}.txt").write_text("so it goes " * 9)
    (path.parent / "a.train.txt").replace(path)


def metrics(path):
    path.write_text("".join(json.dumps({"step": i, "loss": 1 / (i + 1)}) + "\n" for i in range(9)))


def config(path):
    path.write_text(json.dumps(to_json(CopyMemory())))


def session(path):
    streaming.Session(MODEL, PARAMS).save(path)


def network(path):
    arguments = {"cell": "gru", "inputs": 2, "hidden": 3, "outputs": 2}
    pretrained.save(path, arguments, PARAMS, {"name": "mine"})


# How a whole one is written, under which name, how it is read, which errors say that it is broken.
FILES = {
    "IDX": (idx, "images-idx3-ubyte", lambda path: read_idx(path, 3), UsageError),
    "IDX, gzip": (idx_gz, "labels-idx1-ubyte.gz", lambda path: read_idx(path, 1), UsageError),
    "WAV": (wav, "0_a_1.wav", read_wav, UsageError),
    "text": (texts, "b.train.txt", lambda path: load_text(str(path.parent)), UsageError),
    "metrics": (metrics, "metrics.jsonl", read_metrics, UsageError),
    "config": (config, "config.json", lambda path: from_json(read_json(path)), UsageError),
    "session": (session, "session.safetensors", lambda path: streaming.Session(MODEL, PARAMS).load(path), ValueError),
    "network": (network, "network.safetensors", pretrained.load, ValueError),
}

MUTATIONS = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["flip", "cut", "drop", "double", "ones", "zeros"]), st.integers(0, 255)
    ),
    min_size=1,
    max_size=3,
)


def mutated(data, mutations):
    """The bytes with changes at relative places."""
    for where, how, value in mutations:
        at = int(where * len(data))
        data = {
            "flip": data[:at] + bytes([value]) + data[at + 1 :],
            "cut": data[:at],
            "drop": data[:at] + data[at + 1 + value :],
            "double": data[:at] + data[at : at + 40] * 3 + data[at:],
            "ones": data[:at] + b"\xff" * 4 + data[at + 4 :],
            "zeros": data[:at] + b"\0" * 8 + data[at + 8 :],
        }[how]
    return data


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_said_to_be_broken_and_takes_no_memory(name, tmp_path):
    write, file, read, error = FILES[name]
    path = tmp_path / file
    write(path)
    read(path)  # whole
    whole, said = path.read_bytes(), []

    @settings(max_examples=120, deadline=5000, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(MUTATIONS)
    def check(mutations):
        path.write_bytes(mutated(whole, mutations))
        tracemalloc.start()
        try:
            read(path)
        except error as e:
            said.append(str(e))
            assert "\n" not in said[-1]
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < BOUND

    check()
    assert said  # some were noticed; a changed pixel or letter cannot be


def test_nothing_is_unpickled(tmp_path):
    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "done"), "w"))

    pickled = pickle.dumps(Bad())
    for name, (write, file, read, error) in FILES.items():
        write(tmp_path / file)
        (tmp_path / file).write_bytes(pickled)
        with suppress(error):  # of metrics.jsonl it is a torn last line
            read(tmp_path / file)
        assert not (tmp_path / "done").exists(), name


def test_a_header_that_claims_much_costs_nothing(tmp_path):
    """Of trained networks and sessions this is in test_pretrained.py."""
    (tmp_path / "idx").write_bytes(bytes([0, 0, 8, 3]) + b"\x7f\xff\xff\xff" * 3 + bytes(10))
    with pytest.raises(UsageError, match="claims to hold"):
        read_idx(tmp_path / "idx", 3)


@pytest.mark.parametrize("name", ["../secret", "a/b", "/etc/passwd", ".", "", "asrnn\0", "..\\x"])
def test_a_name_of_a_trained_network_leads_nowhere_else(name):
    with pytest.raises(ValueError, match="name="):
        pretrained.load(name)


FLAGS = [f"--{flag}" for flag in ("hidden", "steps", "batch", "lr", "cell", "out", "seed", "clip", "delay", "options")]
VALUES = [
    "-1",
    "0",
    "nan",
    "inf",
    "1e400",
    "",
    " ",
    "None",
    "../..",
    "\0",
    "99999999999999999999",
    "gru",
    "λ",
    "{}",
    "--",
    "-",
]
LINES = st.lists(
    st.sampled_from([*FLAGS, *VALUES, "--resume", "--preset=x", "--help", "--by=", "--data-dir"]), max_size=6
)


@pytest.mark.slow
def test_no_command_line_ends_in_a_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "prepare", lambda *_: None)
    monkeypatch.setattr(
        "experiments.training.train._train", lambda *_: {"best": {"step": 1, "test_x": 1.0}, "metric": "x"}
    )
    monkeypatch.setattr("experiments.report.stream_report.scored", lambda *_: "")
    names = [*COMMANDS, "report", "evaluate", "save", "robustness", "export", "nonsense", ""]

    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(names), LINES)
    def check(name, rest):
        capsys.readouterr()
        try:
            code = command_line.main([name, *rest])
        except SystemExit as e:  # the parser's own
            code = e.code
        assert code in (0, 1, 2), (name, rest)
        assert "Traceback" not in capsys.readouterr().err

    check()
