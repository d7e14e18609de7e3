"""What devices exchange is counted in the compiled program; predictions follow from it by formulas known elsewhere."""

import json
import math
import re

import jax
import pytest

from experiments.config import CopyMemory, Model, Training
from experiments.tasks import make_task
from experiments.tools.scaling import Scaling, exchange_seconds, scaling
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.steps import exchanged, initial, make_step
from tests.quick import quickly

KINDS = {"f32": 4, "bf16": 2}
OTHERS = r" (?:all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast|send|recv)[\w-]*\("


def reduced_bytes(program: str) -> int:
    """Bytes that a compiled program adds up between devices, once: no other exchange, and none in a loop or branch."""
    assert not re.search(OTHERS, program)
    total, entry = 0, False
    for line in program.splitlines():
        entry = line.startswith("ENTRY") or (entry and not line.startswith("}"))
        result = re.search(r"= (.*?) all-reduce(?:-start)?\(", line)
        for kind, shape in re.findall(r"(\w+)\[([\d,]*)\]", result[1]) if result else ():
            assert entry, f"{line.strip()[:200]} may be carried out more than once"
            total += KINDS[kind] * math.prod(int(size) for size in shape.split(",") if size)
    return total


@quickly("cell", ["lstm"], ("asrnn", "lstm", "urnn"))
def test_a_step_exchanges_the_gradient_once(cell):
    """Nothing inside the loop over time, nothing twice: what the compiler makes has the bytes of the params."""
    config = CopyMemory(delay=30, symbols=2, model=Model(cell, 6), training=Training(batch=16))
    with jax.enable_x64(False):
        task = make_task(config)
        network = make_model(config.model, task.inputs, task.outputs)
        optimizer = make_optimizer(config.optim, task.steps)
        state, batch = initial(config, task, network, optimizer), task.batch(0)
        for devices in (1, 2):
            program = make_step(config, task, network, optimizer, devices).compiled(state, batch).program.as_text()
            assert reduced_bytes(program) == exchanged(state, devices)
    assert exchanged(state, 2) > 4 * 6 * 6
    assert exchanged(state, 1) == 0


def test_a_program_with_known_sums():
    program = """
ENTRY %main (a: f32[3,4]) -> f32[100] {
    %all-reduce.1 = (f32[3,4]{1,0}, bf16[5]{0}) all-reduce(%a, %b), channel_id=1
    %x = f32[] all-reduce-start(%c), channel_id=2
    %y = f32[100]{0} add(%all-reduce.1, %d)
}
"""
    assert reduced_bytes(program) == 48 + 10 + 4
    with pytest.raises(AssertionError, match="more than once"):
        reduced_bytes(program.replace("ENTRY ", ""))
    with pytest.raises(AssertionError):
        reduced_bytes(program.replace("add(", "all-gather("))


def test_the_time_of_an_exchange():
    """Large ones are bound by the bandwidth, 2 (N - 1) / N of the size; small ones by the delays of a tree."""
    assert exchange_seconds(10**12, 64, 1e9, 1e-5) == pytest.approx(2 * 63 / 64 * 1000, rel=1e-3)
    assert exchange_seconds(1, 1024, 1e9, 1e-5) == pytest.approx(2 * 10 * 1e-5, rel=1e-3)
    assert exchange_seconds(10**6, 1, 1e9, 1e-5) == 0


@pytest.mark.slow
def test_the_command_writes_its_page(tmp_path):
    with jax.enable_x64(False):
        text = scaling(Scaling(cells=("gru",), steps=40, batch=16, repeats=1, out=str(tmp_path)))
    assert "Predicted, not measured" in text
    found = json.loads((tmp_path / "scaling.json").read_text())["networks"]
    assert set(found[0]["seconds"]) == {"1", "2"}
    assert text in (tmp_path / "scaling.md").read_text()
