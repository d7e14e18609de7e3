"""A tiny pilot from the command line to the page, what it leaves behind, and what it refuses."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from asrnn_jax import __main__
from asrnn_jax.pilot import numbers, pipeline
from asrnn_jax.pilot.command import main
from asrnn_jax.pilot.page import page
from tests.pilot.test_parts import streams

FLAGS = ["--stream", "id", "--time", "t"]
SMALL = ["--minutes", "0.5", "--cells", "gru", "--hidden", "8"]


def write(path, columns, separator=",", encoding="utf-8"):
    rows = [list(columns), *zip(*(np.asarray(values, object).tolist() for values in columns.values()))]
    lines = [separator.join("" if value is None else str(value) for value in row) for row in rows]
    if separator == ";":
        lines = [line.replace(".", ",") for line in lines]
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return str(path)


def called(*arguments, **options):
    clean = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=clean, timeout=500, **options
    )


# ----------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("columns", "flags", "said"),
    [
        ({"x": [1.0] * 30, "state": ["a", "b"] * 15}, ["--label", "stat"], "perhaps you meant 'state'"),
        ({"x": [], "state": []}, ["--label", "state"], "no row below the names of the columns"),
        ({"x": [1.0, 2.0], "state": ["a", "b"]}, ["--label", "state"], "2 usable rows"),
        ({"x": list(range(30)), "state": ["a"] * 30}, ["--label", "state"], "--target COLUMN instead of --label"),
        ({"x": list(range(30)), "state": [None] * 30}, ["--label", "state"], "no row has a label"),
        ({"x": list(range(30)), "state": ["a"] * 29 + ["b"]}, ["--label", "state"], "once only"),
        ({"x": [1.0] * 30, "state": ["a", "b"] * 15}, ["--label", "state"], "no channel varies"),
        ({"x": list(range(30))}, ["--target", "y"], "no column 'y'"),
        ({"x": list(range(30))}, ["--target", "x", "--label", "x"], "one of both"),
    ],
)
def test_what_cannot_be_learned_from_ends_in_one_line(tmp_path, capsys, columns, flags, said):
    data = write(tmp_path / "data.csv", columns)
    assert main(["--data", data, "--out", str(tmp_path / "out"), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error


def test_files_that_are_not_there_end_in_one_line(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "no.csv"), "--label", "x"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_the_command_says_what_there_is(capsys, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert __main__.main(["--help"]) == 0
    assert "pilot" in capsys.readouterr().out
    assert __main__.main(["pilott"]) == 2
    assert "unknown: choose pilot or audit" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        __main__.main(["pilot", "--help"])
    assert "--horizon" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------- the whole of it


@pytest.fixture(scope="module", params=["classification", "forecast"])
def made(request, tmp_path_factory):
    """The folder of a tiny pilot on a German spreadsheet with a row that stands twice."""
    folder = tmp_path_factory.mktemp(request.param)
    columns = {name: np.append(values, values[-1:]) for name, values in streams(number=6).items()}
    if request.param == "forecast":
        del columns["state"]
    data = write(folder / "messung.csv", columns, ";", "latin-1")
    what = ["--label", "state"] if request.param == "classification" else ["--target", "x", "--horizon", "2"]
    arguments = ["--data", data, *what, *FLAGS, *SMALL, "--out", str(folder / "out")]
    done = called("-m", "asrnn_jax", "pilot", *arguments)
    assert done.returncode == 0, done.stderr
    return folder / "out", arguments, done


@pytest.mark.slow
def test_the_pages_numbers_are_those_of_the_result(made):
    out, _, _ = made
    result, text = json.loads((out / "result.json").read_text()), (out / "report.html").read_text()
    found = re.findall(r'<data value="([^"]*)" data-key="([^"]*)" data-kind="([^"]*)">([^<]*)</data>', text)
    assert len(found) > 100
    for raw, key, kind, shown in found:
        value = numbers.look_up(result, key)
        assert raw == ("" if value is None else str(value)), key
        assert shown == numbers.shown(value, kind), key
    assert page(result) == text
    assert any("stood twice" in finding["text"] for finding in result["findings"])
    assert all(finding["text"].replace("'", "&#39;") in text for finding in result["findings"])


@pytest.mark.slow
def test_the_page_needs_nothing_from_outside(made):
    text = (made[0] / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "<script" not in text
    assert "@import" not in text
    assert text.count("data:image/svg+xml;base64,") >= 5


@pytest.mark.slow
def test_it_goes_on_with_what_is_trained(made, monkeypatch, capsys):
    out, arguments, _ = made
    before = json.loads((out / "result.json").read_text())

    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("asrnn_jax.estimators.StreamClassifier.fit", never)
    monkeypatch.setattr("asrnn_jax.estimators.StreamForecaster.fit", never)
    monkeypatch.setattr(pipeline, "_write", lambda *_: None)
    assert main(arguments) == 0
    assert main([*arguments, "--seed", "1"]) == 2
    assert "has a pilot with other seed" in capsys.readouterr().err
    assert before["methods"]["gru"]["steps"] > 0


@pytest.mark.slow
def test_the_script_runs_the_network_without_what_trained_it(made, tmp_path):
    out, arguments, _ = made
    source = Path(arguments[1]).read_bytes().decode("latin-1")  # with semicolons and decimal commas
    script = (out / "stream.py").read_text()
    assert len(script.splitlines()) <= 25
    check = "import atexit\natexit.register(lambda: print(sorted({'experiments', 'sklearn'} & set(sys.modules))))\n"
    (tmp_path / "stream.py").write_text(script + check)
    (tmp_path / "model.safetensors").write_bytes((out / "model.safetensors").read_bytes())
    lines = source.splitlines()[:60]
    done = called(str(tmp_path / "stream.py"), input="\n".join(lines) + "\n")
    assert done.returncode == 0, done.stderr
    *answers, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    assert len(answers) == 59
    assert json.loads(answers[0])["stream"] == "s0"
    from asrnn_jax.estimators import StreamClassifier, StreamForecaster

    kind = StreamClassifier if "--label" in arguments else StreamForecaster
    columns = dict(zip(lines[0].split(";"), zip(*(line.split(";") for line in lines[1:]))))
    model = kind.load(out / "model.safetensors")
    if kind is StreamClassifier:
        table = model.predict_proba(columns)
        wanted = np.stack([table[name] for name in model.classes_], axis=1)
        np.testing.assert_allclose([json.loads(line)["probabilities"] for line in answers], wanted, atol=1e-5)
    else:
        wanted = model.predict(columns)["x"]
        np.testing.assert_allclose([json.loads(line)["mean"][0] for line in answers], wanted, atol=1e-4)


@pytest.mark.slow
def test_a_pilot_that_is_killed_goes_on(tmp_path):
    out, data = tmp_path / "out", write(tmp_path / "data.csv", streams(number=6))
    arguments = ["-m", "asrnn_jax", "pilot", "--data", data, "--label", "state", *FLAGS, "--out", str(out)]
    arguments += ["--minutes", "0.4", "--cells", "gru", "lru", "--hidden", "8"]
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300
    while not (out / "networks" / "gru.json").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.wait()
    kept = (out / "networks" / "gru.safetensors").read_bytes()
    assert not (out / "result.json").exists()
    done = called(*arguments)
    assert done.returncode == 0, done.stderr
    assert (out / "networks" / "gru.safetensors").read_bytes() == kept
    assert json.loads((out / "result.json").read_text())["methods"].keys() == {"gru", "lru", "boosting", "majority"}
