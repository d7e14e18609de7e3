"""The table of cells, every cell from the command line, and deep networks that resume."""

import json

import jax
import numpy as np
import pytest

from asrnn_jax.cells import CELLS
from experiments.config import Model
from experiments.tools.zoo import family, source
from experiments.training.model import make_model


def test_list_names_every_cell_with_size_and_source(cli):
    done = cli("list")
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    rows = {line.split("|")[1].strip(): [part.strip() for part in line.split("|")[2:-1]] for line in lines[2:]}
    assert list(rows) == list(CELLS)
    assert rows["gru"] == ["gru", f"{128 * (3 + 3 * 128 + 3 + 1):,}", "sequential", source("gru")]
    assert rows["asrnn"][1] == f"{128 * 127 + 3 * 128:,}"
    assert rows["lru"][2] == "sequential, parallel"
    assert all(source(name) != "-" and family(name) for name in CELLS)


@pytest.mark.slow
def test_zoo_trains_goes_on_and_writes_its_table(cli, tmp_path):
    arguments = ("zoo", "--cells", "gru", "--copy-steps", 3, "--epochs", 1, "--out", "zoo")
    done = cli(*arguments)
    assert done.returncode == 0, done.stderr
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    assert len(before) == 2
    table = (tmp_path / "zoo/zoo.md").read_text()
    assert "3 steps of batch 64" in table
    (row,) = (line for line in table.splitlines() if line.startswith("| gru"))
    result = json.loads((tmp_path / "zoo/copy-gru/result.json").read_text())
    assert [part.strip() for part in row.split("|")][3:5] == [
        f"{result['parameters']:,}",
        f"{result['best']['test_loss']:.2g}",
    ]
    (tmp_path / "zoo/digits-gru/result.json").unlink()  # a run that was stopped
    assert cli(*arguments).returncode == 0
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    assert [path.parent.name for path in after if after[path] != before[path]] == ["digits-gru"]
    done = cli("zoo", "--cells", "gru", "--copy-steps", 4, "--epochs", 1, "--out", "zoo")
    assert done.returncode == 2
    assert "steps 3 -> 4" in done.stderr  # not the old result under a new heading


def test_models_of_several_layers():
    plain = make_model(Model("gru", 6, layers=3), 4, 2).init(jax.random.key(0))
    assert {name: p["W_xh"].shape for name, p in plain["cell"].items()} == {
        "layers_0": (4, 18),
        "layers_1": (6, 18),
        "layers_2": (6, 18),
    }
    deep = make_model(Model("lru", 6, layers=2, residual=True, trained_start=True), 4, 2).init(jax.random.key(0))
    assert deep["cell"]["input"]["kernel"].shape == (4, 6)
    assert deep["cell"]["cell"]["layers_1"]["cell"]["start"]["0"].shape == (6, 2)
    assert deep["output"]["kernel"].shape == (6, 2)


@pytest.mark.slow
def test_a_deep_network_with_dropout_resumes_to_the_same_bits(cli, tmp_path):
    network = ("--cell", "lru", "--hidden", 8, "--residual", "--layers", 2, "--dropout", 0.2, "--trained-start")
    task = ("copy-memory", "--symbols", 2, "--delay", 5, "--batch", 4, "--checkpoint-every", 2, "--log-every", 1)
    assert cli(*task, *network, "--steps", 6, "--out", "whole").returncode == 0
    assert cli(*task, *network, "--steps", 6, "--out", "part").returncode == 0
    for step in ("4", "6"):  # as if it had been killed after step 2
        for path in sorted((tmp_path / "part/checkpoints").rglob("*"), reverse=True):
            if step in path.relative_to(tmp_path / "part/checkpoints").parts:
                path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "part/result.json").unlink()
    assert cli("copy-memory", "--out", "part", "--resume").returncode == 0
    whole, part = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "part"))
    assert whole["params_sha256"] == part["params_sha256"]
    losses = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert np.isfinite([line["train_loss"] for line in losses if "train_loss" in line]).all()
