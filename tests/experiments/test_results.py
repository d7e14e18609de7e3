"""The pages under experiments/results are what the files beside them say."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import tyro
from matplotlib.pyplot import imread

from experiments.catalogue import runs
from experiments.config import differences
from experiments.packed import read_runs, write_runs
from experiments.report import coverage_page
from experiments.report.summary import summary
from experiments.tools import robustness, scaling
from experiments.tools.accelerator.page import page
from experiments.tools.bench import comparison
from experiments.tools.lines import read_rows
from experiments.tools.never_reset import NeverReset, never_reset

RESULTS = Path(__file__).parents[2] / "experiments" / "results"


def asked(settings, page, *more):
    """The settings of the command that a page names."""
    command = re.search(r"^    python -m experiments [\w-]+(.*)$", page.read_text(), re.MULTILINE)
    assert command is not None
    return tyro.cli(settings, args=[*shlex.split(command[1]), *more])


def test_the_page_of_results_and_its_figures_come_from_its_file(tmp_path):
    made = tmp_path / "results"
    shutil.copytree(RESULTS, made)
    figures = ("copy-1000.png", "copy-2000.png", "mnist.png", "sensitivity.png")
    for name in ("README.md", *figures):
        (made / name).unlink()
    summary(made)
    assert (made / "README.md").read_text() == (RESULTS / "README.md").read_text()
    for name in figures:  # fonts differ a little between versions of matplotlib
        now, kept = (imread(folder / name)[..., :3] for folder in (made, RESULTS))
        assert now.shape == kept.shape
        assert np.abs(now - kept).mean() < 0.02
    write_runs(made / "runs.jsonl", read_runs(made / "runs.jsonl").values())
    assert (made / "runs.jsonl").read_bytes() == (RESULTS / "runs.jsonl").read_bytes()


def test_its_runs_are_those_that_papers_carries_out():
    for name, run in read_runs(RESULTS / "runs.jsonl").items():
        changes = differences(run["config"], runs()[name])
        assert [change for change in changes if not change.startswith("teacher ")] == []  # its file was a .npz then
        assert (run["result"] or {"seed": run["config"]["training"]["seed"]})["seed"] == runs()[name].training.seed
        assert (run["result"] is None) == (run["diverged"] is not None)


TABLES = sorted(file.with_suffix(".md") for file in (RESULTS / "never_reset").rglob("*.jsonl"))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_a_table_of_never_reset_comes_from_its_file(table, tmp_path):
    file = table.with_suffix(".jsonl")
    shutil.copy(file, tmp_path)
    assert never_reset(asked(NeverReset, table, "--finished", "--out", str(tmp_path))) + "\n" == table.read_text()
    assert (tmp_path / table.name).read_text() == table.read_text()
    assert (tmp_path / file.name).read_bytes() == file.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2  # nothing was trained


def test_the_page_of_coverage_comes_from_its_file():
    folder = RESULTS / "coverage"
    rows = list(read_rows(folder / "coverage.jsonl").values())
    assert coverage_page.page(rows) + "\n" == (folder / "README.md").read_text()
    assert all(row["name"].startswith(row["dataset"]) or row["starts"] == "package" for row in rows)


@pytest.mark.parametrize("name", ["fashion", "keyword", "pixels"])
def test_a_table_of_robustness_comes_from_its_file(name):
    table, measured = RESULTS / "robustness" / name / "robustness.md", RESULTS / "robustness" / name / "robustness.json"
    settings = asked(robustness.Robustness, table)
    text = robustness.page(settings, json.loads(measured.read_text()))
    assert f"# Robustness\n\n{text}\n" == table.read_text()


def test_the_table_of_devices_comes_from_its_file():
    table = RESULTS / "bench" / "scaling" / "scaling.md"
    text = scaling.page(asked(scaling.Scaling, table), json.loads(table.with_suffix(".json").read_text()))
    assert table.read_text().endswith(f"\n\n{text}\n")


@pytest.mark.parametrize("name", ["shapes", "cells", "studies"])
def test_a_table_of_contenders_comes_from_its_file(name):
    table = RESULTS / "bench" / name / "bench.md"
    assert comparison(json.loads(table.with_suffix(".json").read_text())["rows"]) in table.read_text()


def test_the_page_of_an_accelerator_comes_from_its_file():
    folder = RESULTS / "bench" / "accelerator"
    assert page(json.loads((folder / "h200.json").read_text())) + "\n" == (folder / "h200.md").read_text()


def test_no_run_folder_is_kept():
    assert not list(RESULTS.rglob("config.json"))
