"""The synthetic tasks are those of the papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asrnn_jax import tasks


def test_copying_memory_is_the_papers():
    xs, targets = (np.asarray(a) for a in tasks.copy_memory(jax.random.key(0), 50, symbols=10, delay=30))
    assert xs.shape == targets.shape == (50, 30 + 20)
    for x, target in zip(xs, targets):
        assert set(x[:10]) <= set(range(1, 9))
        assert list(x[10:]) == [0] * 30 + [9] + [0] * 9
        assert list(target) == [0] * 40 + list(x[:10])
    assert set(xs[:, :10].ravel()) == set(range(1, 9))


def test_adding_marks_one_number_in_each_half():
    xs, targets = (np.asarray(a) for a in tasks.adding(jax.random.key(0), 50, length=21))
    marks = xs[..., 1]
    np.testing.assert_array_equal(marks[:, :10].sum(1), 1)
    np.testing.assert_array_equal(marks[:, 10:].sum(1), 1)
    np.testing.assert_allclose([x[m == 1].sum() for x, m in zip(xs[..., 0], marks)], targets, rtol=1e-6)
    assert xs[..., 0].min() >= 0
    assert xs[..., 0].max() < 1


def test_no_network_without_memory_is_below_the_baseline_of_copying():
    """The best of them knows the step alone: its outputs are how often each target stands there."""
    _, targets = tasks.copy_memory(jax.random.key(1), 20_000, symbols=3, delay=5)
    share = jax.nn.one_hot(targets, tasks.COPY_OUTPUTS).mean(0)
    entropy = float(-jnp.where(share > 0, share * jnp.log(jnp.where(share > 0, share, 1)), 0).sum(-1).mean())
    np.testing.assert_allclose(entropy, tasks.copy_memory_baseline(symbols=3, delay=5), rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda key: tasks.copy_memory(key, 0), "batch=0: give at least 1"),
        (lambda key: tasks.copy_memory(key, 2, symbols=0), "symbols=0"),
        (lambda key: tasks.copy_memory_baseline(delay=0), "delay=0"),
        (lambda key: tasks.adding(key, 2, length=1), "length=1: give at least 2"),
    ],
)
def test_wrong_sizes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jax.random.key(0))


def test_batches_can_be_made_under_jit():
    batch = jax.jit(lambda key: tasks.copy_memory(key, 4, symbols=2, delay=3))
    for ours, other in zip(batch(jax.random.key(0)), tasks.copy_memory(jax.random.key(0), 4, symbols=2, delay=3)):
        np.testing.assert_array_equal(ours, other)
