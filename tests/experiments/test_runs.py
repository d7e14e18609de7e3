"""Runs as folders: they train, survive being killed with the same bits, stop cleanly, and report."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import hashes, pretrained
from experiments.config import CopyMemory, Model, Optimizer, Training, from_json
from experiments.data.images import load_images
from experiments.errors import DivergedError
from experiments.folder import alone, read_metrics
from experiments.packed import read_run
from experiments.tasks import make_task
from experiments.training.divergence import check_gradient
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.steps import initial, make_step
from experiments.training.train import train, trained
from tests.experiments.conftest import environment

TINY = (
    "copy-memory",
    "--symbols",
    3,
    "--delay",
    12,
    "--hidden",
    16,
    "--batch",
    16,
    "--steps",
    120,
    "--log-every",
    7,
    "--eval-every",
    50,
    "--checkpoint-every",
    9,
    "--options",
    "map=expm",
    "dynamic=true",
    "--rebase-every",
    10,
    "--project-every",
    3,
    "--ema",
    0.8,
    "--probe",
    "norm",
    "--probe-every",
    10,
)


def wait_for(folder, step, process):
    """Waits until a run has logged `step`."""
    for _ in range(1500):
        lines = read_metrics(folder / "metrics.jsonl")
        if lines and lines[-1]["step"] >= step:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    raise AssertionError("the run does not get there")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """One run never stopped, shared by the tests of this module."""
    folder = tmp_path_factory.mktemp("straight")
    command = [sys.executable, "-m", "experiments", *map(str, TINY), "--out", "run"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def same(a, b):
    for name in ("result.json", "metrics.jsonl", "probes.jsonl"):
        assert (a / name).read_text() == (b / name).read_text(), name
    (_, one, _), (_, other, _) = (pretrained.load(folder / "best.safetensors") for folder in (a, b))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_run_is_a_folder(straight):
    assert {path.name for path in straight.iterdir()} == {
        "config.json",
        "best.safetensors",
        "metrics.jsonl",
        "probes.jsonl",
        "checkpoints",
        "figures",
        "result.json",
        "timing.json",
    }
    result = json.loads((straight / "result.json").read_text())
    losses = [line["train_loss"] for line in read_metrics(straight / "metrics.jsonl") if "train_loss" in line]
    assert losses[-1] < 0.5 * losses[0]
    assert result["best"]["test_loss"] == min(
        line["test_loss"] for line in read_metrics(straight / "metrics.jsonl") if "test_loss" in line
    )
    assert result["steps"] == 120
    for name in ("learning", "probes"):
        assert (straight / "figures" / f"{name}.png").stat().st_size > 5000
    assert [line["step"] for line in read_metrics(straight / "probes.jsonl")] == list(range(0, 121, 10))


@pytest.mark.parametrize("after", [8, 63])
def test_killed_and_resumed_ends_with_the_same_bits(straight, tmp_path, start, cli, after):
    """SIGKILL twice, at moments nobody chose; result.json holds the SHA-256 of all parameters."""
    for resume in ((), ("--resume",)):
        process = start(*TINY, "--out", "run", *resume)
        steps = [line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")]
        wait_for(tmp_path / "run", min(max([0, *steps]) + after, 113), process)
        time.sleep(np.random.default_rng().uniform(0, 0.15))
        process.kill()
        process.communicate()
    done = cli("copy-memory", "--out", "run", "--resume")  # the folder knows its settings
    assert done.returncode == 0, done.stderr
    same(tmp_path / "run", straight)


@pytest.mark.slow
def test_two_runs_cannot_be_in_one_folder(straight, cli, tmp_path):
    shutil.copytree(straight, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "120")
    before = {path: path.read_bytes() for path in sorted((tmp_path / "run").rglob("*")) if path.is_file()}
    with alone(tmp_path / "run"):
        for flags in (("--resume",), ()):
            done = cli("copy-memory", "--out", "run", *flags)
            assert done.returncode == 2
            assert "another process is at work in it" in done.stderr
    assert {path: path.read_bytes() for path in sorted((tmp_path / "run").rglob("*")) if path.is_file()} == before
    assert cli("copy-memory", "--out", "run", "--resume").returncode == 0
    same(tmp_path / "run", straight)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_and_say_how_to_go_on(straight, tmp_path, start, cli, number):
    process = start(*TINY, "--out", "run")
    wait_for(tmp_path / "run", 14, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    assert "--out run --resume" in err
    assert cli("copy-memory", "--out", "run", "--resume").returncode == 0
    same(tmp_path / "run", straight)


def test_resuming_a_finished_run_repeats_its_result(straight, cli, tmp_path):
    shutil.copytree(straight, tmp_path / "run", ignore=shutil.ignore_patterns("figures"))
    done = cli("copy-memory", "--out", "run", "--resume")
    assert done.returncode == 0, done.stderr
    same(tmp_path / "run", straight)
    assert (tmp_path / "run" / "figures" / "learning.png").exists()


@pytest.mark.slow
def test_an_unreadable_newest_checkpoint_costs_only_its_steps(straight, cli, tmp_path):
    shutil.copytree(straight, tmp_path / "run")
    newest = max((tmp_path / "run" / "checkpoints").iterdir(), key=lambda p: int(p.name))
    for path in newest.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])
    (tmp_path / "run" / "checkpoints" / "999").mkdir()
    # Another rhythm of checkpoints: a step below the unreadable one must be saved all the same.
    done = cli("copy-memory", "--out", "run", "--resume", "--checkpoint-every", 2)
    assert done.returncode == 0, done.stderr
    assert "is damaged" in done.stderr
    same(tmp_path / "run", straight)


def test_averages_are_what_is_evaluated_and_saved(straight):
    """The debiased weights 0.2 0.8^k, of a walk that is taken here once more."""
    config = from_json(json.loads((straight / "config.json").read_text()))
    config = replace(config, training=replace(config.training, out=str(straight)))
    with jax.enable_x64(False):
        task = make_task(config)
        cell, optimizer = make_model(config.model, task.inputs, task.outputs), make_optimizer(config.optim, task.steps)
        step, state = make_step(config, task, cell, optimizer, 1), initial(config, task, cell, optimizer)
        sums, weight, kernels = 0.0, 0.0, {}
        for i in range(task.steps):
            state, _ = step(state, task.batch(i))
            sums, weight = 0.8 * sums + 0.2 * np.asarray(state.params["output"]["kernel"], float), 0.8 * weight + 0.2
            kernels[i + 1] = sums / weight
        _, last = trained(config)
    _, best, card = pretrained.load(straight / "best.safetensors")
    for params, at in ((last, task.steps), (best, card["step"])):
        np.testing.assert_allclose(params["output"]["kernel"], kernels[at], atol=1e-4)
        assert np.abs(kernels[at] - state.params["output"]["kernel"]).max() > 1e-3
    assert json.loads((straight / "result.json").read_text())["params_sha256"] == hashes.of_values(last)


@pytest.mark.slow
def test_report_prints_an_aligned_table_and_draws_a_figure(straight, cli, tmp_path):
    done = cli("adding", "--length", 10, "--steps", 20, "--hidden", 8, "--cell", "lstm", "--batch", 8, "--out", "add")
    assert done.returncode == 0, done.stderr
    done = cli("report", straight, "add", "--figure", "figure.png")
    assert done.returncode == 0, done.stderr
    table = done.stdout.strip().split("\n\n")[0].split("\n")
    assert len({len(line) for line in table}) == 1
    assert len(table) == 4
    assert "asrnn" in table[2]
    assert "copy memory K=3 L=12" in table[2]
    assert "lstm" in table[3]
    assert (tmp_path / "figure.png").stat().st_size > 5000
    for damaged in ("{}", "[]"):
        (tmp_path / "add" / "result.json").write_text(damaged)
        done = cli("report", "add")
        assert done.returncode == 2
        assert "its result is damaged" in done.stderr


@pytest.mark.slow
def test_divergence_stops_and_keeps_the_last_good_checkpoint(cli, tmp_path):
    done = cli(
        "adding",
        "--length",
        10,
        "--steps",
        500,
        "--hidden",
        8,
        "--batch",
        8,
        "--optimizer",
        "sgd",
        "--lr",
        "1e6",
        "--clip",
        "None",
        "--cell",
        "orthogonal",
        "--options",
        "activation=linear",
        "--checkpoint-every",
        1,
        "--log-every",
        1,
        "--out",
        "run",
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    found = re.search(r"error: (.*) is (nan|inf) at step (\d+): training has diverged; the checkpoint", done.stderr)
    assert found, done.stderr
    step = int(found[3])
    assert max(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()) < step
    assert "--out run --resume replays it" in done.stderr
    again = cli("adding", "--out", "run", "--resume")
    assert again.stderr.splitlines()[-1] == done.stderr.splitlines()[-1]  # the same quantity at the same step
    with np.load(tmp_path / "run" / "diverged.npz") as file:
        assert file["step"] == step
        config = from_json(json.loads((tmp_path / "run" / "config.json").read_text()))
        with jax.enable_x64(False):
            batch = make_task(config).batch(step - 1)
        for saved, leaf in zip((file[name] for name in file.files if name != "step"), batch):
            np.testing.assert_array_equal(saved, leaf)


@pytest.mark.slow
def test_a_gradient_that_overflows_under_a_finite_loss_stops_the_run(tmp_path):
    """Clipped by an infinite norm every update is zero: training would go on and learn nothing."""
    model = Model("orthogonal", 8, {"activation": "linear"})
    optim = Optimizer("sgd", lr=1e18, lr_orthogonal=1e-3, clip=1.0)
    training = Training(batch=8, log_every=1, out=str(tmp_path / "run"))
    with pytest.raises(DivergedError, match=r"gradient_norm is inf at step 2: training has diverged"):
        train(CopyMemory(symbols=2, delay=5, steps=20, model=model, optim=optim, training=training))
    with pytest.warns(UserWarning, match="the gradient of step 7 is exactly zero"):
        check_gradient(0.0, 7)


@pytest.mark.slow
def test_a_run_that_ends_diverged_is_no_result(cli, tmp_path):
    """One step takes the parameters to infinity: neither a checkpoint nor a result may come of it."""
    done = cli(
        "copy-memory",
        "--symbols",
        2,
        "--delay",
        5,
        "--hidden",
        4,
        "--batch",
        4,
        "--steps",
        1,
        "--lr",
        "1e38",
        "--optimizer",
        "sgd",
        "--clip",
        "None",
        "--out",
        "run",
    )
    assert done.returncode == 1, done.stderr
    assert "no checkpoint had been saved, its batch is in run/diverged.npz. Start again" in done.stderr
    assert " at step 1: training has diverged" in done.stderr
    assert not (tmp_path / "run" / "result.json").exists()


def test_lost_metrics_are_not_passed_over(straight, cli, tmp_path):
    shutil.copytree(straight, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").unlink()
    done = cli("copy-memory", "--out", "run", "--resume")
    assert done.returncode == 2
    assert "lines have been lost" in done.stderr


@pytest.mark.slow
def test_a_preset_with_another_cell_leaves_the_cell_options_behind(cli, tmp_path):
    done = cli(
        "copy-memory",
        "--preset",
        "paper-copy-1000",
        "--cell",
        "lstm",
        "--hidden",
        4,
        "--delay",
        5,
        "--steps",
        2,
        "--batch",
        4,
        "--out",
        "run",
    )
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["model"]["cell"], config["model"]["options"], config["optim"]["lr"]) == ("lstm", {}, 2e-4)


def test_report_keeps_runs_of_one_name_apart_and_names_what_it_cannot_use(straight, cli, tmp_path):
    for parent in ("a", "b"):
        shutil.copytree(straight, tmp_path / parent / "run")
    shutil.copytree(straight, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "result.json").unlink()
    from experiments.report.curves import learning_curves

    labels = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr("asrnn_jax.plot.learning_curves", lambda curves, ax, **_: labels.extend(curves))
        learning_curves([read_run(Path(name), name) for name in ("a/run", "b/run")], tmp_path / "figure.png")
    assert len(set(labels)) == 2
    done = cli("report", "a/run", "unfinished")
    assert done.returncode == 0
    assert "unfinished is not finished" in done.stderr
    assert cli("report", "a").returncode == 2
    done = cli("report", "a/run", "--figure", "nowhere/x.png")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_pixels_learns_the_embedded_digits(cli, tmp_path):
    done = cli(
        "pixels",
        "--dataset",
        "digits",
        "--rows",
        "--hidden",
        24,
        "--epochs",
        8,
        "--batch",
        32,
        "--lr",
        "3e-3",
        "--validation",
        200,
        "--out",
        "run",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["best"]["test_accuracy"] > 0.8
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    chosen = max((line for line in lines if "valid_accuracy" in line), key=lambda line: line["valid_accuracy"])
    assert result["selected"] == chosen
    done = cli("save", "run", "--name", "digits-rows", "--to", ".", "--about", "small")
    assert done.returncode == 0, done.stderr
    model, params, card = pretrained.load(tmp_path / "digits-rows.safetensors")
    assert (card["about"], card["best_by"], card["seed"]) == ("small", "held-out data", 0)
    assert card["result"]["valid_accuracy"] == chosen["valid_accuracy"]
    assert card["parameters"] == result["parameters"]
    assert "/" not in json.dumps(card["config"])  # no folder of this machine
    done = cli("evaluate", "--pretrained", "digits-rows.safetensors")
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    assert {row[0]: row[3] for row in rows}["test_accuracy"] == "yes"
    images = load_images("digits", None)  # the accuracy by hand
    _, logits = asrnn_jax.run(model, params, images.test_images.astype(np.float32) / 255, outputs="last")
    right = np.asarray(logits).argmax(-1) == images.test_labels
    np.testing.assert_allclose(card["result"]["test_accuracy"], right.mean(), rtol=1e-6)
    assert cli("evaluate", "--pretrained", "nothing").returncode == 2
    assert cli("save", "nowhere", "--name", "x").returncode == 2
