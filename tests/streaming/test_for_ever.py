"""What runs for ever does not wear off: no counter overflows, whatever it has counted to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asrnn_jax import cells, streaming
from asrnn_jax.streaming import Limits, Session
from asrnn_jax.streaming.monitors import Reference, Watch
from asrnn_jax.streaming.policies import Signals

POLICIES = {
    "never": streaming.never(),
    "oracle": streaming.oracle(),
    "periodic": streaming.periodic(7),
    "on_energy": streaming.on_energy(0.5, quiet=3),
    "on_entropy": streaming.on_entropy(0.5, 3),
    "on_saturation": streaming.on_saturation(0.5, 3),
}
BIG = 2**31 - 1


def test_the_table_has_every_policy():
    def is_policy(name):
        return getattr(getattr(streaming, name), "__annotations__", {}).get("return") == "Policy"

    assert {name for name in streaming.__all__ if is_policy(name)} == POLICIES.keys()


def signals(steps):
    """The same value for long stretches of every length, and then noise."""
    rng = np.random.default_rng(0)
    value = np.concatenate([np.zeros(steps // 3), np.ones(steps // 3), rng.uniform(size=steps // 3) > 0.7])
    value = value.astype(np.float32)
    return Signals(jnp.asarray(value), jnp.asarray(value > 0), jnp.asarray(value), jnp.asarray(value))


def resets(policy, state, given):
    return jax.lax.scan(lambda state, now: policy.update(now, state)[::-1], state, given)[::-1]


@pytest.mark.parametrize("name", POLICIES)
def test_counters_of_eight_bits_decide_as_those_of_thirty_two(name):
    """After 127 steps a counter of 8 bits is where one of 32 bits is after 2^31."""
    policy = POLICIES[name]
    wide = policy.init(())
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.int8), wide)
    given = signals(3000)
    found, end = resets(policy, narrow, given)
    np.testing.assert_array_equal(found, resets(policy, wide, given)[0])
    assert all(leaf.dtype == jnp.int8 for leaf in jax.tree.leaves(end))


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_that_has_counted_to_the_limit_goes_on(name):
    """Once something else has come, it decides as a new one does."""
    policy = POLICIES[name]
    full = jax.tree.map(lambda leaf: jnp.full_like(leaf, BIG - 2), policy.init(()))
    given = signals(300)
    found, end = resets(policy, full, given)
    assert all((leaf >= 0).all() for leaf in jax.tree.leaves(end))
    if name != "periodic":  # which differs in where it begins
        tail = slice(110, None)  # from the first loud steps on
        np.testing.assert_array_equal(found[tail], resets(policy, policy.init(()), given)[0][tail])
    else:
        assert set(np.diff(np.flatnonzero(found))) == {7}
    if name == "on_energy":
        assert found[100]  # the first loud step after silence without end


@pytest.mark.parametrize("make", [streaming.periodic, lambda n: streaming.on_energy(0.5, n)])
def test_the_longest_count_there_is_works_and_more_is_refused(make):
    policy = make(BIG)
    _, end = resets(policy, jnp.int32(BIG - 2), jax.tree.map(lambda leaf: jnp.zeros_like(leaf[:9]), signals(30)))
    assert (end >= 0).all()
    with pytest.raises(ValueError, match=f"={BIG + 1}: give at most"):
        make(BIG + 1)


def test_monitors_read_the_same_whatever_has_been_counted():
    """Sums are since the last reading, so that only one far too late counts as far as 2^31."""
    reference = Reference(jnp.zeros(2), jnp.ones(2), jnp.float32(1), jnp.float32(-3))
    watch = Watch(reference, 2**31, (3,))
    s = watch.state
    many = float(BIG - 2)
    watch.state = s._replace(steps=np.array(many), count=np.full(3, many), gaps=np.full(3, many))
    xs, ys = np.zeros((3, 5, 2), np.float32), np.zeros((3, 5, 4), np.float32)
    assert watch.add(xs, ys, None)
    assert (watch.state.steps, *watch.state.count) == (many + 5,) * 4
    readings, changes = watch.read(np.ones(3), np.zeros(3), Limits(), step=0)
    assert all(np.isfinite(reading).all() for reading in readings)
    assert watch.state.steps == 0
    assert [change.monitor for change in changes] == ["gap_entropy"]  # of gaps that added nothing to its sum


def test_a_session_that_has_run_for_longer_than_32_bits_count(tmp_path):
    model = cells.with_output(cells.gru(2, 3), 4)
    params = model.init(jax.random.key(0))
    s = Session(model, params, policy=streaming.on_energy(-1.0, 3))
    s.steps = 2**40
    s.push(np.ones((5, 2), np.float32))
    s.save(tmp_path / "session")
    other = Session(model, params, policy=streaming.on_energy(-1.0, 3))
    other.load(tmp_path / "session")
    assert other.steps == 2**40 + 5
