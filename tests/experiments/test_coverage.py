"""A network that exists is trained further from states that running visits: --from, --starts, and the page of both."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jax
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import pretrained
from experiments.config import Model, Optimizer, Stream, Training
from experiments.errors import UsageError
from experiments.tasks import make_task
from experiments.tools.coverage import Coverage, coverage, jobs
from experiments.tools.lines import Lines, read_rows
from experiments.training.model import make_model, network
from experiments.training.optimizer import make_optimizer
from experiments.training.steps import initial, make_step

SMALL = (
    *("--batch", 4, "--window", 10, "--samples", 5, "--steps", 4),
    *("--log-every", 2, "--checkpoint-every", 2, "--eval-every", 4),
)
CONFIG = Stream(
    model=Model("gru", 6), optim=Optimizer("adam"), training=Training(batch=16), window=8, shortest=2, longest=9
)


def parts(config):
    task = make_task(config)
    cell = make_model(config.model, task.inputs, task.outputs)
    optimizer = make_optimizer(config.optim, task.steps)
    return task, cell, optimizer, initial(config, task, cell, optimizer)


@pytest.mark.slow
def test_a_network_goes_on_from_the_command_line_and_resumes_to_the_same_bits(cli, tmp_path):
    assert (
        cli("stream", "--cell", "lstm", "--hidden", 5, "--regime", "separate", *SMALL, "--out", "first").returncode == 0
    )
    file = "first/best.safetensors"
    said = cli("stream", "--from", file, "--starts", "mixture", *SMALL, "--lr", "1e-30", "--out", "second")
    assert (said.returncode, said.stderr.count("error")) == (0, 0)
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert (config["network"], config["starts"]) == (file, "mixture")
    assert (config["model"]["cell"], config["model"]["hidden"]) == ("lstm", 5)  # nobody said so again
    before, after = (pretrained.load(tmp_path / run / "best.safetensors")[1] for run in ("first", "second"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), before, after)
    kept = {name: (tmp_path / "second" / name).read_bytes() for name in ("result.json", "metrics.jsonl")}
    shutil.rmtree(tmp_path / "second" / "checkpoints" / "4")
    (tmp_path / "second" / "result.json").unlink()
    assert cli("stream", "--out", "second", "--resume").returncode == 0
    assert {name: (tmp_path / "second" / name).read_bytes() for name in kept} == kept


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--from", "keyword-gru"), "has 40 inputs and 10 outputs, digits by rows 8 and 10: give the --dataset"),
        (("--from", "keyword-gruu"), "--from keyword-gruu: name='keyword-gruu': there is"),
        (("--from", "gru.safetensors"), "--from gru.safetensors: "),
        (("--from", "mine.safetensors", "--hidden", 6), "is gru, hidden 5, the run gru, hidden 6: leave out --hidden."),
        (("--from", "mine.safetensors", "--cell", "lstm"), "leave out --cell"),
        (("--starts", "shuffled", "--batch", 1), "--starts shuffled: one stream has no other"),
        (("--starts", "pased"), "perhaps you meant passed"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_in_one_line(cli, tmp_path, wrong, message):
    arguments = network(Model("gru", 5), 8, 10)
    params = asrnn_jax.cells.network(**arguments).init(jax.random.key(0))
    pretrained.save(tmp_path / "mine.safetensors", arguments, params, {})
    said = cli("stream", *SMALL, *wrong, "--out", "run")
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert message in said.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_windows_start_as_they_say_and_devices_share_them():
    """The carries of a step by run, from what draw gives; the same numbers on one device and on two."""
    task, cell, optimizer, state = parts(replace(CONFIG, starts="mixture"))
    found = []
    for devices in (1, 2):
        now, step = jax.tree.map(jax.numpy.copy, state), make_step(CONFIG, task, cell, optimizer, devices)
        for i in range(2):
            fresh = task.memory(cell, now.params)
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 4), i)
            carry, _ = task.starts.draw(now.memory.starts, key, now.memory.last, fresh)
            xs, params = task.batch(i)[0], jax.tree.map(jax.numpy.copy, now.params)
            now, metrics = step(now, task.batch(i))
            np.testing.assert_allclose(now.memory.last, asrnn_jax.run(cell, params, xs, carry=carry)[0], atol=1e-5)
        found.append(float(metrics["loss"]))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    assert float(now.memory.starts[3].weight) == pytest.approx(16 * (1 + 0.95))  # of noise, the last in the mixture
    task, cell, _, state = parts(replace(CONFIG, regime="separate", starts="passed"))
    xs, labels = task.batch(0)
    carry = jax.tree.map(lambda leaf: leaf + 0.5, state.memory)
    end = task.loss(lambda p, x, **more: asrnn_jax.run(cell, p, x, **more), state.params, (xs, labels), carry)[2]
    np.testing.assert_allclose(end, asrnn_jax.run(cell, state.params, xs, carry=carry)[0], atol=1e-6)


@pytest.mark.slow
def test_the_command_trains_measures_and_goes_on(tmp_path):
    tiny = {"cells": ("gru",), "regimes": ("ignored",), "starts": ("noise",), "seeds": 1, "hidden": 6}
    tiny |= {"steps": 20, "base_steps": 20, "samples": 30, "audited": 30}
    config = Coverage(out=str(tmp_path), **tiny)
    text = coverage(config)
    rows = read_rows(tmp_path / "coverage.jsonl")
    assert list(rows) == [job.name for job in jobs(config)]
    assert [row["starts"] for row in rows.values()] == ["before", "noise"]
    for row in rows.values():
        assert f"{100 * row['scores']['never']['accuracy']:.1f}" in text
        assert set(row["audit"]["collapses"]) == {"silence", "noise", "samples"}
    shutil.rmtree(tmp_path / "digits-gru-noise-ignored-0")
    kept = (tmp_path / "coverage.jsonl").read_bytes()
    assert coverage(config) == text  # of the lines that are there; nothing is trained again
    assert (tmp_path / "coverage.jsonl").read_bytes() == kept
    assert not (tmp_path / "digits-gru-noise-ignored-0").exists()
    one, two = rows.values()
    (tmp_path / "coverage.jsonl").write_text(json.dumps(one) + "\n")
    for folder in tmp_path.glob("digits-*"):
        shutil.rmtree(folder)
    assert coverage(config) == text  # of the same network, made again to go on from it
    again = read_rows(tmp_path / "coverage.jsonl")[two["name"]]
    assert again | {"seconds": 0} == two | {"seconds": 0}
    with pytest.raises(UsageError, match=r"other settings \(samples 30 -> 31\)"):
        coverage(replace(config, samples=31))


def test_several_writers_lose_no_line_and_share_the_work(tmp_path):
    writers = [Lines(tmp_path / "lines.jsonl", lambda row: -row["number"]) for _ in range(3)]

    def write(i):
        for number in range(i, 60, 3):
            writers[i].add({"name": f"row {number}", "number": number})

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(3)))
    assert [row["number"] for row in writers[0].read().values()] == list(range(59, -1, -1))
    with writers[0].free("a") as one, writers[1].free("a") as other, writers[1].free("b") as third:
        assert (one, other, third) == (True, False, True)
    with writers[1].free("a") as again:
        assert again


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"starts": ("auto",)}, "--starts auto"),
        ({"base_steps": 0}, "--base-steps 0"),
        ({"cells": ("gruu",)}, "gru"),
        ({"lr": 0.0}, "--lr 0"),
    ],
)
def test_wrong_flags_are_named(wrong, message):
    with pytest.raises(UsageError, match=message):
        Coverage(**wrong)
