"""The speed history adds a row a release and names what got slower."""

import json

import pytest

from experiments.errors import UsageError
from experiments.tools import history


def bench(version, ratio):
    machine = {"asrnn_jax": version, "processor": "x", "cores": 2, "jax": "0.10.2"}
    rows = [
        {"shape": "8x4x2", "cell": "gru", "who": "limit", "train_ours_over": ratio},
        {"shape": "8x4x2", "cell": "lstm", "who": "limit", "train_ours_over": 1.5},
        {"shape": "8x4x2", "cell": "gru", "who": "naive", "train_ours_over": 0.5},
    ]
    return {"machine": machine, "rows": rows}


def test_what_got_slower_is_named(tmp_path, capsys):
    measured, file = tmp_path / "bench.json", tmp_path / "history.csv"
    codes = []
    for version, ratio in (("0.1.0", 1.0), ("0.2.0", 1.09), ("0.3.0", 1.3)):
        measured.write_text(json.dumps(bench(version, ratio)))
        codes.append(history.main([str(measured), "--add"], file))
    assert codes == [0, 0, 1]
    assert [row["release"] for row in history.read(file)] == ["0.1.0", "0.2.0", "0.3.0"]
    said = capsys.readouterr().out
    assert "8x4x2 gru: 1.090 of the limit in 0.2.0, 1.300 now" in said
    assert "lstm:" not in said
    assert history.main([], file) == 1


def test_a_release_measured_again_replaces_its_row_and_without_add_nothing_is_written(tmp_path):
    measured, file = tmp_path / "bench.json", tmp_path / "history.csv"
    measured.write_text(json.dumps(bench("0.1.0", 1.0)))
    assert history.main([str(measured)], file) == 0
    assert not file.exists()
    history.main([str(measured), "--add"], file)
    measured.write_text(json.dumps(bench("0.1.0", 2.0)))
    history.main([str(measured), "--add"], file)
    (row,) = history.read(file)
    assert row["8x4x2 gru"] == "2.000"


def test_a_file_without_the_limit_is_refused():
    with pytest.raises(UsageError, match="no row of the limit"):
        history.row({"machine": {}, "rows": []}, "2026-01-01")


def test_the_history_that_is_kept_can_be_read():
    rows = history.read()
    assert rows
    assert all(float(row["784x128x122 asrnn"]) > 0 for row in rows)
