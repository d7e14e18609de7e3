"""The page of results says what the run folders say, from one file of them."""

import json
import shutil
from pathlib import Path

import pytest

from experiments.catalogue import runs
from experiments.config import CopyMemory, Model, Pixels, Training, to_json
from experiments.errors import UsageError
from experiments.folder import placeless, read_metrics
from experiments.packed import portable, read_run, read_runs, write_runs
from experiments.report.report import Report, report
from experiments.report.summary import collect, summary


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
    (tmp_path / "results").mkdir()
    older = {"name": "smnist-lstm", "config": {}, "result": {}, "metrics": []}  # collected before
    write_runs(tmp_path / "results" / "runs.jsonl", [older])
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
    remarks = (f"# {name}\n\nWhat we read in {name}.\n" for name in ("mnist", "unknown"))
    (results / "remarks.md").write_text("\n".join(remarks))
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
    kept = read_runs(results / "runs.jsonl")
    assert "/home/me" not in str([run["config"] for run in kept.values()])
    assert list(kept) == sorted(path.name for path in made.iterdir() if path.name != "unfinished")
    assert kept["smnist-lstm"]["diverged"] == "loss is nan, its batch is in smnist-lstm/diverged.npz"
    shutil.rmtree(made)
    assert summary(results) == text  # from the file alone


def test_a_run_that_was_never_tested_is_told_without_a_figure(tmp_path):
    fold(tmp_path / "made", "pmnist-lstm", Pixels(), [])
    collect(tmp_path / "made", tmp_path / "runs.jsonl")
    assert "| pmnist-lstm |" in summary(tmp_path)
    assert not (tmp_path / "mnist.png").exists()


def test_a_collected_config_names_no_folder_of_the_machine():
    teacher = str(Path("/somewhere/runs/large/best.safetensors"))
    stored = placeless(to_json(Pixels(data_dir="/data", teacher=teacher, training=Training(out="/somewhere/runs/a"))))
    assert stored["teacher"] == "large/best.safetensors"
    assert "/somewhere" not in json.dumps(stored)
    assert "/data" not in json.dumps(stored)


def test_a_run_comes_out_of_the_file_as_it_went_in(made, tmp_path):
    names = [path.name for path in made.iterdir() if path.name != "unfinished"]
    given = {name: portable(read_run(made / name)) for name in names}
    write_runs(tmp_path / "file.jsonl", given.values())
    before = (tmp_path / "file.jsonl").read_bytes()
    back = read_runs(tmp_path / "file.jsonl")
    assert back == given
    for name, run in back.items():
        assert run["config"] == placeless(json.loads((made / name / "config.json").read_text()))
        assert run["metrics"] == read_metrics(made / name / "metrics.jsonl")
    write_runs(tmp_path / "file.jsonl", back.values())
    assert (tmp_path / "file.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        '{"step": 1}\n',
        '["step"]\n[1]\n',
        '{"name": "a"}\n{"step"\n',
        '{"name": "a"}\n7\n',
        '{"name": "a"}\n[]\n',
        '{"name": "a"}\n[1]\n',
        '{"name": "a"}\n["step"]\n[1, 2]\n',
        '{"name": "a"}\n["step"]\n[1]\n{"name": "b"}\n[1]\n',
    ],
)
def test_a_damaged_file_of_runs_is_told_by_its_line(text, tmp_path):
    (tmp_path / "runs.jsonl").write_text(text)
    with pytest.raises(UsageError, match=f"runs.jsonl, line {text.count(chr(10))} is damaged"):
        read_runs(tmp_path / "runs.jsonl")


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(UsageError, match="no finished runs"):
        report(Report(results=str(tmp_path)))
    with pytest.raises(UsageError, match="--collect"):
        collect(tmp_path, tmp_path / "runs.jsonl")
    assert read_runs(tmp_path / "runs.jsonl") == {}


def test_a_run_that_cannot_be_read_does_not_cost_the_one_collected_before(tmp_path, monkeypatch):
    fold(tmp_path / "made", "one", CopyMemory(), [{"step": 1, "test_loss": 1.0}], {"metric": "loss"})
    collect(tmp_path / "made", tmp_path / "kept" / "runs.jsonl")
    before = (tmp_path / "kept" / "runs.jsonl").read_bytes()
    (tmp_path / "made" / "one" / "result.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        collect(tmp_path / "made", tmp_path / "kept" / "runs.jsonl")

    def failing(_):
        raise OSError(5, "Input/output error")

    (tmp_path / "made" / "one" / "result.json").write_text("{}")
    monkeypatch.setattr("os.fsync", failing)
    with pytest.raises(OSError, match="Input/output"):
        collect(tmp_path / "made", tmp_path / "kept" / "runs.jsonl")
    assert (tmp_path / "kept" / "runs.jsonl").read_bytes() == before
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["runs.jsonl"]
