"""The page of results says what the run folders say."""

import json
from pathlib import Path

import pytest

from experiments.config import CopyMemory, Model, Pixels, Training, to_json
from experiments.errors import UsageError
from experiments.folder import placeless
from experiments.papers import runs
from experiments.report.report import Report, report
from experiments.report.summary import collect, load_runs, summary


def fold(folder, name, config, lines, result=None, seconds=75.0):
    path = folder / name
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(to_json(config)))
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "timing.json").write_text(json.dumps({"seconds": seconds}))
    if result is None:
        (path / "diverged.txt").write_text("loss is nan, its batch is in /home/me/blown/diverged.npz")
        return
    common = {"cell": "asrnn", "hidden": 7, "parameters": 1234, "seed": 0, "epochs": None, "selected": None}
    (path / "result.json").write_text(json.dumps({**common, "task": name, **result}))


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "made"
    older = tmp_path / "results" / "runs" / "smnist-lstm"  # a finished run of this name, collected before
    older.mkdir(parents=True)
    (older / "result.json").write_text("{}")
    copying = {"metric": "loss", "better": "min", "baseline": ["memoryless", 0.02], "steps": 2000}
    lines = [
        {"step": s, "train_loss": v} for s, v in ((10, 1.0), (90, 0.0199), (240, 0.019), (1500, 3e-5), (2000, 2e-8))
    ]
    lines.append({"step": 2000, "test_loss": 5e-8})
    here = CopyMemory(training=Training(out="/home/me/run"))
    fold(folder, "copy-1000-asrnn", here, lines, {**copying, "best": lines[-1], "final": lines[-1]})
    fold(folder, "copy-1000-lstm", CopyMemory(model=Model("lstm", 68)), lines[:1])
    tests = [{"step": 10 * e, "test_accuracy": a} for e, a in ((1, 0.5), (20, 0.9), (21, 0.97), (22, 0.96))]
    pixels = {"metric": "accuracy", "better": "max", "baseline": ["chance", 0.1], "steps": 220, "epochs": 22}
    chosen = {"selected": tests[3], "best": tests[2], "final": tests[3]}
    fold(folder, "smnist-asrnn", Pixels(), tests, {**pixels, **chosen})
    fold(folder, "smnist-lstm", Pixels(training=Training(out="/home/me/blown")), tests[:2])
    for seed, accuracy in enumerate((0.8, 0.9)):
        line = {"step": 220, "test_accuracy": accuracy}
        for name in ("ablation-rows-bounded-kappa", "distill-taught"):
            fold(folder, f"{name}-{seed}", Pixels(), [line], {**pixels, "best": line, "final": line})
    line = {"step": 220, "test_accuracy": 0.42}
    fold(folder, "sensitivity-lstm-0.001", Pixels(), [line], {**pixels, "best": line, "final": line})
    fold(folder, "sensitivity-asrnn-0.1-0.01", Pixels(), [])  # diverged
    bits = {"step": 9, "test_bpc": 2.1, "valid_bpc": 2.2}
    text = {"metric": "bpc", "better": "min", "baseline": None, "steps": 9, "epochs": 3, "selected": bits, "best": bits}
    for name in ("text-lstm", "text-rate-lstm-0.004"):
        fold(folder, name, runs()[name], [bits], {**text, "final": bits})
    (folder / "unfinished").mkdir()
    return folder


def test_the_page_has_the_numbers(made, tmp_path):
    results = tmp_path / "results"
    for name in ("mnist", "unknown"):
        (results / "remarks").mkdir(exist_ok=True)
        (results / "remarks" / f"{name}.md").write_text(f"What we read in {name}.\n")
    text = report(Report(collect=str(made), results=str(results)))
    assert (results / "README.md").read_text() == text + "\n"
    lines = [line.split("|") for line in text.splitlines() if "|" in line]
    rows = {line[1].strip(): [value.strip() for value in line[2:-1]] for line in lines}
    assert rows["copy-1000-asrnn"] == ["7", "1,234", "240", "3e-05", "2e-08", "5e-08", "1:15"]
    assert rows["copy-1000-lstm"][-2] == "diverged"
    assert rows["smnist-asrnn"] == ["7", "1,234", "0", "98.89", "97.00 (21)", "96.00 (22)", "22", "1:15", "90.00"]
    assert rows["smnist-lstm"] == ["128", "-", "0", "81.90", "90.00, then diverged", "-", "2", "1:15", "-"]
    assert rows["bounded kappa"] == ["-", "-", "0", "85.00 ± 7.07", "2"]
    assert rows["asrnn, taught"] == ["7", "1,234", "85.00 ± 7.07", "2"]
    assert rows["text-lstm"] == ["7", "1,234", f"{runs()['text-lstm'].optim.lr:g}", "2.200", "2.100", "3", "1:15"]
    assert rows["lstm"][3] == "2.200"
    assert "](mnist.png)\n\nWhat we read in mnist.\n\n## What adaptivity" in text
    assert "unknown" not in text
    for figure in ("copy-1000.png", "mnist.png", "sensitivity.png"):
        assert (results / figure).stat().st_size > 5000
    assert not (results / "runs" / "unfinished").exists()
    assert "/home/me" not in (results / "runs" / "copy-1000-asrnn" / "config.json").read_text()
    assert (results / "runs" / "smnist-lstm" / "diverged.txt").read_text() == (
        "loss is nan, its batch is in smnist-lstm/diverged.npz"
    )
    assert summary(results) == text  # from the copies alone


def test_a_run_that_was_never_tested_is_told_without_a_figure(tmp_path):
    fold(tmp_path / "runs", "pmnist-lstm", Pixels(), [])
    assert "| pmnist-lstm |" in summary(tmp_path)
    assert not (tmp_path / "mnist.png").exists()


def test_a_collected_config_names_no_folder_of_the_machine():
    teacher = str(Path("/somewhere/runs/large/best.safetensors"))
    stored = placeless(to_json(Pixels(data_dir="/data", teacher=teacher, training=Training(out="/somewhere/runs/a"))))
    assert stored["teacher"] == "large/best.safetensors"
    assert "/somewhere" not in json.dumps(stored)
    assert "/data" not in json.dumps(stored)


def test_runs_are_not_collected_onto_themselves(made):
    before = sorted(made.rglob("*"))
    with pytest.raises(UsageError, match="kept there already"):
        collect(made, made)
    assert sorted(made.rglob("*")) == before


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(UsageError, match="no finished runs"):
        report(Report(results=str(tmp_path)))
    with pytest.raises(UsageError, match="--collect"):
        collect(tmp_path, tmp_path / "into")
    assert load_runs(tmp_path) == {}


def test_a_run_that_cannot_be_read_does_not_cost_the_one_collected_before(tmp_path, monkeypatch):
    fold(tmp_path / "runs", "one", CopyMemory(), [{"step": 1, "test_loss": 1.0}], {"metric": "loss"})
    collect(tmp_path / "runs", tmp_path / "kept")
    before = {path.name: path.read_text() for path in (tmp_path / "kept" / "one").iterdir()}

    def failing(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("shutil.copyfile", failing)
    with pytest.raises(OSError, match="Input/output"):
        collect(tmp_path / "runs", tmp_path / "kept")
    assert {path.name: path.read_text() for path in (tmp_path / "kept" / "one").iterdir()} == before
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["one"]
