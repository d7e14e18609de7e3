"""The benchmark compares the same computation, and says what it cannot compare."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import pytest

import asrnn_jax
from experiments.errors import UsageError
from experiments.tools import baselines
from experiments.tools.baselines import Shape
from experiments.tools.bench import Bench
from tests.quick import quickly


@quickly("outputs", ["last"], ("last", "all"))
@pytest.mark.parametrize("name", ["asrnn", "lstm", "lru"])
def test_the_naive_baseline_computes_the_same_state(name, outputs):
    cell = asrnn_jax.cells.make(name, 2, 6, dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (3, 9, 2), jnp.float64)
    naive = baselines.naive_asrnn if name == "asrnn" else partial(baselines.naive, cell)
    found = naive(params, xs, outputs=outputs)
    assert jnp.allclose(found, asrnn_jax.run(cell, params, xs, outputs=outputs)[1], rtol=0, atol=1e-10)


def test_products_of_a_step_are_counted():
    counts = {"tanh_rnn": 1, "asrnn": 1, "gru": 3, "lstm": 4, "lipschitz": 2, "lru": 0}
    assert {name: baselines.products(asrnn_jax.cells.make(name, 1, 16)) for name in counts} == counts


@pytest.mark.parametrize("devices", [1, 2])
def test_the_limit_does_all_the_products_it_stands_for(devices):
    """None is left out by the compiler: time cannot be tested, the floating-point operations can."""
    shape = Shape(24, 16, 32)
    subject = baselines.limit(2, shape, devices)
    subject.train(), subject.infer()
    jaxpr = str(jax.make_jaxpr(lambda: baselines.limit(2, shape, 1).train())())
    assert jaxpr.count("dot_general") == 6
    assert jaxpr.count("length=24") == 2
    assert jaxpr.count("length=3") == 1


@pytest.mark.slow
def test_bench_prints_writes_and_draws(cli, tmp_path):
    done = cli("bench", "--cells", "tanh_rnn", "lru", "--shapes", "8x16x4x2", "--repeats", "1", "--out", "b")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "b" / "bench.json").read_text())["rows"]
    who = {(row["cell"], row["who"]) for row in rows if row["outputs"] == "last"}
    assert ("tanh_rnn", "flax") in {(row["cell"], row["who"]) for row in rows if row["outputs"] == "all"}
    assert {("tanh_rnn", name) for name in ("ours", "naive", "flax", "nnx", "limit")} <= who
    assert {name for cell, name in who if cell == "lru"} == {"ours", "naive"}
    assert all(row["train_ms"] > 0 and row["infer_ms"] > 0 for row in rows)
    assert (tmp_path / "b" / "bench.png").stat().st_size > 10_000
    for text in ("| tanh_rnn | last    | flax", "ours / it", "cores"):
        assert text in done.stdout
        assert text in (tmp_path / "b" / "bench.md").read_text()
    assert ("not installed" in done.stdout) != baselines.installed("torch")
    (tmp_path / "b" / "bench.md").unlink()  # as after an interruption: what was measured is kept
    cli("bench", "--cells", "lru", "indrnn", "--shapes", "8x16x4x2", "--repeats", "1", "--out", "b")
    again = json.loads((tmp_path / "b" / "bench.json").read_text())["rows"]
    assert again[: len(rows)] == rows
    assert {row["cell"] for row in again[len(rows) :]} == {"indrnn"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shapes": ("784x128",)}, "--shapes 784x128"),
        ({"shapes": ("0x1x1",)}, "--shapes 0x1x1"),
        ({"cells": ("lstn",)}, "lstm"),
        ({"against": ("keras",)}, "--against"),
        ({"repeats": 0}, "--repeats 0"),
    ],
)
def test_wrong_flags_are_named(values, message):
    with pytest.raises(UsageError, match=message):
        Bench(**values)
