"""--trained-start learns in every task, also where the state is carried from window to window."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from experiments.config import Adding, CopyMemory, Model, Optimizer, Pixels, Stream, Text, Training
from experiments.tasks import make_task
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.steps import initial, make_step
from tests.quick import quickly

COMMON = {"model": Model("gru", 5, trained_start=True), "optim": Optimizer("adam"), "training": Training(batch=4)}
STREAM = {"window": 12, "shortest": 3, "longest": 6, **COMMON}
CONFIGS = {
    "copy-memory": CopyMemory(symbols=3, delay=4, **COMMON),
    "adding": Adding(length=10, **COMMON),
    "pixels": Pixels(rows=True, **COMMON),
    "text": Text(window=20, epochs=2, **COMMON),
    "full": Stream(regime="full", **STREAM),
    "ignored": Stream(regime="ignored", **STREAM),
    "separate": Stream(regime="separate", **STREAM),
    "deep": Stream(regime="full", **{**STREAM, "model": Model("lru", 4, layers=2, residual=True, trained_start=True)}),
}


@pytest.fixture
def config(request, tmp_path):
    if request.param != "text":
        return CONFIGS[request.param]
    for part in ("train", "valid", "test"):
        (tmp_path / f"a.{part}.txt").write_text("the cat sat on the mat. " * 20)
    return replace(CONFIGS["text"], data_dir=str(tmp_path))


def parts(config):
    task = make_task(config)
    cell = make_model(config.model, task.inputs, task.outputs)
    optimizer = make_optimizer(config.optim, task.steps)
    return task, cell, optimizer, initial(config, task, cell, optimizer)


def starts(params):
    found = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path): leaf for path, leaf in found if "['start']" in jax.tree_util.keystr(path)}


@quickly("config", ["full"], CONFIGS, indirect=True)
def test_the_start_moves(config):
    task, cell, optimizer, state = parts(config)
    step = make_step(config, task, cell, optimizer)
    assert all((start == 0).all() for start in starts(state.params).values())
    for i in range(3):
        state, _ = step(state, task.batch(i))
    assert starts(state.params)
    assert all((start != 0).any() for start in starts(state.params).values())


@quickly("config", ("adding", "text", "full"), CONFIGS, indirect=True)
def test_its_gradient_is_that_of_finite_differences(config):
    """In the first window and in a later one, with a state that is carried in."""
    task, cell, _, state = parts(config)
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64) + 0.1, state.params)
    epoch = task.epoch or 3
    memory = jax.tree.map(lambda leaf: leaf.astype(jnp.result_type(leaf, jnp.float64)) + 0.2, state.memory)
    for step in (0, epoch):
        batch = task.batch(step)

        def loss(params, batch=batch):
            return task.loss(partial(asrnn_jax.run, cell), params, batch, memory, state.control)[0].mean()

        slopes = starts(jax.jit(jax.grad(loss))(params))
        direction = jax.tree.map(lambda p: np.random.default_rng(0).normal(size=p.shape), params)
        only = starts(direction)
        rest, names = jax.tree_util.tree_flatten_with_path(params)

        def moved(by, rest=rest, names=names, only=only):
            leaves = [leaf + by * only.get(jax.tree_util.keystr(path), 0) for path, leaf in rest]
            return float(jax.jit(loss)(jax.tree.unflatten(names, leaves)))

        found = sum(float((slopes[name] * only[name]).sum()) for name in only)
        expected = (moved(1e-5) - moved(-1e-5)) / 2e-5
        assert abs(expected) > 1e-6
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@quickly("config", ["text"], ("text", "full"), indirect=True)
def test_sequences_begin_at_the_start_and_go_on_from_the_carry(config):
    """By runs of single sequences, with a carry where they go on and without where they begin."""
    task, cell, _, state = parts(config)
    params = jax.tree.map(lambda p: p + 0.3, state.params)
    memory = jax.tree.map(lambda leaf: leaf + 0.5, state.memory)
    for step in (0, 1, 2, task.epoch or 4):
        batch = task.batch(step)
        _, _, end = task.loss(partial(asrnn_jax.run, cell), params, batch, memory, state.control)
        begins = step % task.epoch == 0 if task.epoch else None
        for row in range(4):
            begin = step % 4 == row if begins is None else begins
            carry = None if begin else jax.tree.map(lambda leaf, row=row: leaf[row], memory)
            expected, _ = asrnn_jax.run(cell, params, task.xs(batch)[row], carry=carry)
            jax.tree.map(lambda a, b, row=row: np.testing.assert_allclose(a[row], b, atol=1e-5), end, expected)
