"""A batch shared among devices gives what one device gives, and is exchanged once a call."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import parallel

CELL = asrnn_jax.cells.gru(3, 5)
PARAMS = CELL.init(jax.random.key(0))
XS = jax.random.normal(jax.random.key(1), (16, 30, 3))


def gradient(params, xs):
    return jax.grad(lambda p: asrnn_jax.run(CELL, p, xs)[1].mean())(params)


def same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), a, b)


def test_means_sums_and_rows_of_two_devices_are_those_of_one():
    assert jax.device_count() == 2
    outputs = lambda params, xs: asrnn_jax.run(CELL, params, xs)[1]  # noqa: E731
    same(jax.jit(parallel.shared(gradient, 2))(PARAMS, XS), gradient(PARAMS, XS))
    sums = lambda params, xs: outputs(params, xs).sum()  # noqa: E731
    same(jax.jit(parallel.shared(sums, 2, parallel.total))(PARAMS, XS), sums(PARAMS, XS))
    same(jax.jit(parallel.shared(outputs, 2, parallel.gathered))(PARAMS, XS), outputs(PARAMS, XS))
    assert parallel.shared(gradient, 1) is gradient


def test_a_memory_stays_with_its_rows_and_others_come_whole():
    def f(params, xs, carry, scale):
        carry, ys = asrnn_jax.run(CELL, params, scale * xs, carry=carry)
        return ys.mean(), carry

    start = CELL.initial_carry((16,), XS.dtype)
    found, other = ([], [])
    for devices, results in ((1, found), (2, other)):
        step, carry = jax.jit(parallel.carried(f, devices)), start
        for _ in range(2):
            mean, carry = step(PARAMS, XS, carry, jnp.asarray(2.0))
            results.append((mean, carry))
    same(found, other)


def test_gradients_are_exchanged_once_a_call_not_in_the_loop():
    text = jax.jit(parallel.shared(gradient, 2)).lower(PARAMS, XS).compile().as_text()
    entry = text[text.index("\nENTRY") :]
    assert text.count("all-reduce(") == entry.count("all-reduce(") > 0


@pytest.mark.parametrize("devices", [0, 3])
def test_there_must_be_so_many_devices(devices):
    with pytest.raises(ValueError, match=f"devices={devices}: give a number from 1 to 2"):
        parallel.shared(gradient, devices)


def test_rows_must_be_shared_evenly():
    with pytest.raises(ValueError, match=r"shape \(15, 30, 3\): 2 devices cannot share its rows evenly"):
        parallel.shared(gradient, 2)(PARAMS, XS[:15])


def test_one_process_has_its_arrays_as_they_are(monkeypatch):
    tree = {"a": np.ones(3)}
    assert parallel.replicate(tree) is tree
    monkeypatch.setattr(jax, "process_count", lambda: 2)  # the devices are all here: the arrays come to each of them
    (leaf,) = jax.tree.leaves(parallel.replicate(tree))
    assert leaf.sharding.is_fully_replicated
    assert len(leaf.addressable_shards) == 2
    np.testing.assert_array_equal(leaf, tree["a"])
