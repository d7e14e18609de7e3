"""One batch shared among devices and processes gives what one device gives."""

import json
import shlex
import socket

import jax
import jax.numpy as jnp
import pytest

from experiments import machine
from experiments.config import CopyMemory, Model, Training
from experiments.errors import UsageError
from experiments.model import make_model
from experiments.optimizer import make_optimizer
from experiments.tasks import make_task
from experiments.train import initial, make_evaluate, make_step


def after_three_steps(monkeypatch, devices):
    monkeypatch.setattr(machine, "shards", lambda rows, work: devices)
    config = CopyMemory(delay=5, symbols=2, steps=3, model=Model("gru", hidden=7), training=Training(batch=6))
    task = make_task(config)
    cell, optimizer = make_model(config.model, task.inputs, task.outputs), make_optimizer(config.optim, task.steps)
    step, state = make_step(config, task, cell, optimizer), initial(config, task, cell, optimizer)
    for i in range(3):
        state, metrics = jax.block_until_ready(step(state, task.batch(i)))
    return jax.device_get((state.params, metrics)), make_evaluate(task, cell)(state.params)


def test_two_devices_equal_one(monkeypatch):
    assert jax.device_count() == 2
    one, two = (after_three_steps(monkeypatch, devices) for devices in (1, 2))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two)):
        assert jnp.allclose(a, b, rtol=0, atol=2e-6)


def test_gradients_are_exchanged_once_a_step_not_in_the_loop():
    cell = make_model(Model("tanh_rnn", hidden=5), 3, 2)
    xs, params = jnp.ones((16, 300, 3)), cell.init(jax.random.key(0))

    def gradient(params, xs):
        from asrnn_jax import run

        return jax.grad(lambda p: run(cell, p, xs)[1].sum())(params)

    shared = machine.shared(gradient, 2, lambda tree: jax.lax.pmean(tree, "batch"))
    text = jax.jit(shared).lower(params, xs).compile().as_text()
    entry = text[text.index("\nENTRY") :]
    assert text.count("all-reduce(") == entry.count("all-reduce(") > 0


@pytest.mark.parametrize(("rows", "devices"), [(128, 2), (16, 2), (17, 1), (15, 1), (8, 1), (1, 1)])
def test_devices_have_equal_shares_that_are_worth_it(rows, devices):
    assert machine.shards(rows, 10**9) == devices
    assert machine.shards(rows, 10**5) == 1


def test_several_processes_must_share_evenly(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert machine.shards(6, 1) == 2
    with pytest.raises(UsageError, match="--batch 7"):
        machine.shards(7, 10**9)


def test_two_processes_equal_one(cli, start, tmp_path):
    task = "copy-memory --delay 5 --symbols 2 --steps 6 --batch 16 --log-every 2"
    run = shlex.split(f"{task} --cell tanh_rnn --hidden 8")
    one = cli(*run, "--out", "one")
    assert one.returncode == 0, one.stderr
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = s.getsockname()[1]
    together = [*run, "--devices", "1", "--coordinator", f"localhost:{port}", "--processes", "2", "--out", "two"]
    both = [start(*together, "--process", str(k)) for k in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert ["best test" in out for out, _ in outputs] == [True, False]

    def metrics(name):
        return [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]

    assert len(metrics("one")) == len(metrics("two")) > 3
    for a, b in zip(metrics("one"), metrics("two")):
        assert a == pytest.approx(b, abs=1e-6)


def test_a_process_alone_needs_a_coordinator(cli):
    refused = cli("adding", "--process", "1")
    assert refused.returncode == 2
    assert "--coordinator" in refused.stderr
