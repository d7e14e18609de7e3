"""One batch shared among devices and processes gives what one device gives."""

import ctypes
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from experiments import machine
from experiments.config import CopyMemory, Model, Training
from experiments.errors import UsageError
from experiments.folder import read_metrics
from experiments.tasks import make_task
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.steps import initial, make_evaluate, make_step
from tests.experiments.conftest import environment


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


@pytest.mark.parametrize(("rows", "devices"), [(128, 2), (16, 2), (17, 1), (15, 1), (8, 1), (1, 1)])
def test_devices_have_equal_shares_that_are_worth_it(rows, devices):
    assert machine.shards(rows, 10**9) == devices
    assert machine.shards(rows, 10**5) == 1


def test_several_processes_must_share_evenly(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert machine.shards(6, 1) == 2
    with pytest.raises(UsageError, match="--batch 7"):
        machine.shards(7, 10**9)


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same(one, other):
    assert len(metrics(one)) == len(metrics(other)) > 2
    for a, b in zip(metrics(one), metrics(other)):
        assert a == pytest.approx(b, abs=1e-6)


def test_four_devices_equal_one(process, tmp_path):
    run = shlex.split(
        "copy-memory --delay 120 --symbols 5 --steps 3 --batch 64 --log-every 1 --cell tanh_rnn --hidden 48"
    )
    for devices in (1, 4):
        done = process(*run, "--devices", devices, "--out", f"on{devices}")
        assert done.returncode == 0, done.stderr
        config = json.loads((tmp_path / f"on{devices}" / "config.json").read_text())
        assert config["training"]["devices"] == devices  # as many as were used
    same(tmp_path / "on1", tmp_path / "on4")


RUN = shlex.split("copy-memory --delay 5 --symbols 2 --steps 6 --batch 16 --log-every 2 --cell tanh_rnn --hidden 8")


def together(start, *arguments):
    """Two processes of one run."""
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = s.getsockname()[1]
    where = ["--devices", "1", "--coordinator", f"localhost:{port}", "--processes", "2"]
    return [start(*arguments, *where, "--process-id", str(k)) for k in range(2)]


def test_two_processes_equal_one(process, start, tmp_path):
    one = process(*RUN, "--out", "one")
    assert one.returncode == 0, one.stderr
    both = together(start, *RUN, "--out", "two")
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert ["best test" in out for out, _ in outputs] == [True, False]
    same(tmp_path / "one", tmp_path / "two")


def test_what_two_processes_saved_one_goes_on_with_and_the_other_way_round(process, start, tmp_path):
    """A process that dies ends the other, which says so; then one alone goes on, and then two again."""
    run = [*RUN, "--steps", "500", "--checkpoint-every", "10", "--log-every", "10", "--out", "run"]
    first, second = together(start, *run)
    wait_for(20, tmp_path / "run")
    second.kill()
    _, said = first.communicate(timeout=60)
    second.communicate()
    assert first.returncode == 1
    line = said.strip().splitlines()[-1]
    assert re.search(r"error: another process of this run is gone .*saved up to step \d+ of 500; go on with", line), (
        said
    )
    alone = start("copy-memory", "--out", "run", "--resume")
    wait_for(120, tmp_path / "run")
    alone.send_signal(signal.SIGTERM)
    alone.communicate(timeout=60)
    assert alone.returncode == 143
    again = together(start, "copy-memory", "--out", "run", "--resume")
    wait_for(250, tmp_path / "run")
    again[1].send_signal(signal.SIGTERM)  # one is told, both stop
    outputs = [process.communicate(timeout=60) for process in again]
    assert [process.returncode for process in again] == [143, 143], outputs
    straight = process(*[part if part != "run" else "straight" for part in run], timeout=300)
    assert straight.returncode == 0, straight.stderr
    assert process("copy-memory", "--out", "run", "--resume", timeout=300).returncode == 0
    same(tmp_path / "straight", tmp_path / "run")


def reached(folder):
    lines = read_metrics(folder / "metrics.jsonl")
    return lines[-1]["step"] if lines else 0


def wait_for(step, folder):
    deadline = time.monotonic() + 90
    while reached(folder) < step:
        assert time.monotonic() < deadline, f"step {step} did not come"
        time.sleep(0.005)


def test_a_scheduler_says_who_is_who(start, tmp_path, monkeypatch):
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    both = []
    for k in range(2):
        for name, value in {
            **job,
            "SLURM_PROCID": str(k),
            "SLURM_LOCALID": str(k),
            "SLURM_STEP_NUM_NODES": "1",
        }.items():
            monkeypatch.setenv(name, value)
        both.append(start(*RUN, "--devices", "1", "--coordinator", "auto", "--out", "run"))
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert ["best test" in out for out, _ in outputs] == [True, False]


def test_a_process_alone_needs_a_coordinator(process):
    refused = process("adding", "--process", "1")
    assert refused.returncode == 2
    assert "--coordinator" in refused.stderr


def test_without_linux_the_machine_says_its_cores_and_memory_stays_as_it_is(monkeypatch):
    """macOS has no affinity of processes; other C libraries than glibc have no mallopt."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert machine.cores() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cores() == 1

    def no_library(name):
        raise OSError("no C library to be opened")

    for library in (no_library, lambda name: object()):
        monkeypatch.setattr(ctypes, "CDLL", library)
        monkeypatch.setattr(sys, "platform", "linux")
        machine._keep_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", None)
    machine._keep_memory()


# macOS has no affinity, mallopt or /proc; locks of files are missing elsewhere.
OTHER_SYSTEM = """
import ctypes, os, pathlib, sys
del os.sched_getaffinity
os.process_cpu_count = os.cpu_count  # as Python 3.13 has it there
library = ctypes.CDLL
ctypes.CDLL = lambda name, *rest, **options: object() if name is None else library(name, *rest, **options)
sys.modules["fcntl"] = sys.modules["resource"] = None
exists = pathlib.Path.exists
pathlib.Path.exists = lambda path, **options: not str(path).startswith("/proc") and exists(path, **options)
from experiments.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "command",
    [
        "copy-memory --delay 5 --symbols 2 --steps 2 --batch 16 --log-every 1 --cell tanh_rnn --hidden 8 --out run",
        "bench --cells tanh_rnn --shapes 8x16x4 --repeats 1 --against naive --out bench",
    ],
)
@pytest.mark.slow
def test_commands_on_a_system_without_what_only_linux_has(command, tmp_path):
    line = [sys.executable, "-c", OTHER_SYSTEM, *shlex.split(command)]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
