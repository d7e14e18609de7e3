"""The measurement of an accelerator, rehearsed on the CPU: it ends in time, says what it left out, and can fail."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from experiments.tools.accelerator.budget import Budget
from experiments.tools.accelerator.program import launches
from tests.experiments.conftest import environment

SMALL = ("--shapes", "12x4x8", "--repeats", "1", "--out", "a")


@pytest.fixture
def accelerator(tmp_path):
    """Runs it in an empty folder, after `code` in the same process."""

    def call(*arguments, code=""):
        lines = ["import sys", "from experiments.tools.accelerator import __main__ as program", code]
        lines += [f"code = program.main({list(arguments)!r})"]
        lines += ["assert not {'tyro', 'orbax', 'tqdm', 'tensorflow_datasets'} & set(sys.modules)", "sys.exit(code)"]
        command = [sys.executable, "-c", "\n".join(lines)]
        return subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)

    return call


def read(folder):
    return json.loads((folder / "a" / "accelerator.json").read_text()), (folder / "a" / "accelerator.md").read_text()


@pytest.mark.slow
def test_a_rehearsal_measures_all_and_prints_the_times_last(accelerator, tmp_path):
    done = accelerator(*SMALL, "--cells", "lstm", "lru", "--budget", "200")
    assert done.returncode == 0, done.stdout + done.stderr
    results, text = read(tmp_path)
    assert done.stdout.endswith(f"\n{text}")
    assert text.rstrip().splitlines()[-1].startswith("| 12x4x8 | lru | associative_scan |")
    assert "A rehearsal on a CPU" in text
    laws = {row["law"]: row["verdict"] for row in results["laws"]}
    assert {"lstm: outputs", "lstm: gradients", "lru: associative scan = sequential"} <= laws.keys()
    assert set(laws.values()) == {"passed", "no limit"}
    for row in (*results["speed"], *results["study"]):
        assert f"| {row['shape']} | {row['cell']} | {row['who']} |" in text
        here = row["who"] not in ("torch", "jax.experimental.rnn")
        assert row["train_us"] > 0 if here else row["train_us"] or row["note"].startswith("not here: ")
    (ours,) = (row for row in results["speed"] if row["who"] == "ours")
    assert [loop["steps"] for loop in ours["launches"]["loops"]].count(12) == 2  # forward and backward
    assert "- 12x4x8, lstm, ours: " in text


@pytest.mark.slow
def test_without_time_all_is_left_out_and_said(accelerator, tmp_path):
    done = accelerator(*SMALL, "--budget", "0")
    assert done.returncode == 0, done.stderr
    results, text = read(tmp_path)
    rows = [*results["speed"], *results["study"]]
    old, new = {"lstm", "asrnn", "gru", "tanh_rnn", "lru", "rg_lru", "min_gru"}, {"s6", "linoss", "s4d", "lem", "slstm"}
    assert {row["cell"] for row in rows} == old | new | {"mlstm", "gated_delta", "attention", "short_conv"}
    assert all(row["note"].startswith("skipped: ") and row["note"] in text for row in rows)
    assert all(row["verdict"].startswith("skipped: ") for row in results["laws"])
    assert results["seconds"] < 20


@pytest.mark.slow
def test_a_wrong_output_fails(accelerator, tmp_path):
    plant = """
from asrnn_jax.cells import CELLS, gru
def wrong(inputs, hidden):
    cell = gru(inputs, hidden)
    return cell.replace(readout=lambda weights, hs, xs: 1.001 * cell.readout(weights, hs, xs))
CELLS["gru"] = wrong
"""
    done = accelerator(*SMALL, "--cells", "gru", "--budget", "100", code=plant)
    assert done.returncode == 1, done.stderr
    laws = {row["law"]: row for row in read(tmp_path)[0]["laws"]}
    assert laws["gru: outputs"]["verdict"] == laws["gru: gradients"]["verdict"] == "FAILED"
    assert laws["gru: outputs"]["error"] == pytest.approx(1e-3, rel=0.01)
    assert "2 FAILED" in done.stdout


@pytest.mark.slow
def test_a_call_that_does_not_end_is_given_up(accelerator, tmp_path):
    plant = """
import time
program.GRACE, program.LAWS_SHARE = 1.0, 0
program.contenders.contenders = lambda name, shape: {"ours": lambda: time.sleep(100)}
"""
    done = accelerator(*SMALL, "--cells", "lstm", "--budget", "3", code=plant)
    assert done.returncode == 0, done.stderr
    results, text = read(tmp_path)
    assert results["seconds"] < 20
    assert done.stdout.endswith(f"\n{text}")
    assert "a call did not end" in text
    assert "not reached" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--shapes", "784x128"), "--shapes 784x128: give TxBxN"),
        (("--cells", "lstn"), "lstm"),
        (("--repeats", "0"), "--repeats 0"),
        (("--budget", "nan"), "--budget nan"),
        (("--out", "/dev/null/a"), "--out /dev/null/a"),
    ],
)
@pytest.mark.slow
def test_wrong_flags_get_one_line(accelerator, flags, said):
    done = accelerator(*flags)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def test_what_took_long_is_expected_to_take_long_again():
    budget = Budget(100)
    budget._took["scan"] = (40.0, 30.0, 10)  # 10 s of compiling
    assert budget.refusal("scan", 20) is None
    assert budget.refusal("scan", 40) == "skipped: 130 s expected, 100 s left"
    assert budget.refusal("scan", 1) is None
    assert Budget(0).refusal("scan") == "skipped: 0 s expected, 0 s left"


def test_launches_are_counted_in_and_outside_the_loop():
    def two_products(W, x):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ W @ W), None), x, None, length=7)[0]

    compiled = jax.jit(two_products).lower(jnp.ones((64, 64)), jnp.ones((64, 64))).compile()
    found = launches(compiled.as_text())
    (loop,) = found["loops"]
    assert loop["steps"] == 7
    assert sum(count for what, count in loop["body"].items() if "dot" in what or "custom-call" in what) == 2
    assert found["outside"]["while"] == 1


def test_a_custom_call_is_counted_by_its_target_and_a_called_part_by_what_it_runs():
    text = """HloModule jit_step

%part (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  %gemm = (f32[2]{0}, s8[64]{0}) custom-call(%p), custom_call_target="__cublas$gemm"
  ROOT %g = f32[2]{0} get-tuple-element(%gemm), index=0
}

ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  ROOT %c = f32[2]{0} call(%x), to_apply=%part
}
"""
    assert launches(text) == {"outside": {"custom-call __cublas$gemm": 1}, "loops": []}
