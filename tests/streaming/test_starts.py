"""What windows start from: laws of each kind, on carries of every sort, by NumPy."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import asrnn_jax
from asrnn_jax import cells
from asrnn_jax.streaming import starts

KEYS = jax.random.split(jax.random.key(5), 40)


def marked(streams):
    """A carry in which every leaf of stream b holds b: complex, real, and a counter."""
    row = jnp.arange(streams)
    return {"h": row[:, None] + 1j * row[:, None], "u": row[:, None, None] * jnp.ones((1, 2, 3)), "count": row}


def own(carry):
    """Whose states these are, by each leaf; every stream's leaves are of one stream."""
    found = [np.asarray(leaf).real.reshape(len(leaf), -1) for leaf in jax.tree.leaves(carry)]
    assert all((leaf == found[0][:, :1]).all() for leaf in found)
    return found[0][:, 0]


def drawn(kind, last, key=KEYS[0]):
    fresh = jax.tree.map(lambda leaf: leaf * 0 - 1, last)
    return kind.draw(kind.init(fresh), key, last, fresh)[0]


def test_zero_is_fresh_passed_is_the_last_and_shuffled_is_never_ones_own():
    last = marked(7)
    assert (own(drawn(starts.zero(), last)) == -1).all()
    assert (own(drawn(starts.passed(), last)) == np.arange(7)).all()
    sources = np.stack([own(drawn(starts.shuffled(), last, key)) for key in KEYS])
    assert (np.sort(sources, axis=1) == np.arange(7)).all()
    assert (sources != np.arange(7)).all()
    assert all(len(set(column)) == 6 for column in sources.T)  # any other one, at some time


def test_a_mixture_has_its_shares_and_takes_whole_states():
    kinds = {starts.zero(): 0.2, starts.passed(): 0.5, starts.shuffled(): 0.3}
    source, n = own(drawn(starts.mixture(kinds), marked(4000))), np.arange(4000)
    found = [(source == -1).mean(), (source == n).mean(), ((source >= 0) & (source != n)).mean()]
    np.testing.assert_allclose(found, [0.2, 0.5, 0.3], atol=5 * 0.5 / np.sqrt(4000))
    equal = own(drawn(starts.mixture({starts.passed(): 1.0}), marked(5)))
    assert (equal == np.arange(5)).all()


@pytest.mark.parametrize("decay", [1.0, 0.8])
def test_noise_has_the_moments_of_the_carries_seen(decay):
    """Weighted by NumPy over all that was seen; then of what is drawn, within five standard errors."""
    rng, streams = np.random.default_rng(0), 4000
    kind = starts.noise(scale=1.0, decay=decay, within=False)

    def carry(i):
        shape = (streams, 3)
        h = 1e3 + i + rng.normal(scale=1 + i, size=shape) + 1j * rng.normal(-i, 0.1, size=shape)
        return {"h": jnp.asarray(h), "u": jnp.asarray(rng.gamma(2.0, size=shape)), "count": jnp.arange(streams)}

    seen = [carry(i) for i in range(4)]
    memory = kind.init(jax.tree.map(jnp.zeros_like, seen[0]))
    for last in seen:
        found, memory = jax.jit(kind.draw)(memory, KEYS[1], last, last)
    weights = np.repeat(decay ** np.arange(3, -1, -1), streams)
    assert (found["count"] == seen[-1]["count"]).all()
    for name, part in (("h", np.real), ("h", np.imag), ("u", np.real)):
        every = np.concatenate([part(np.asarray(one[name])) for one in seen])
        mean = np.average(every, axis=0, weights=weights)
        deviation = np.sqrt(np.average((every - mean) ** 2, axis=0, weights=weights))
        values = part(np.asarray(found[name]))
        np.testing.assert_allclose((values.mean(0) - mean) / deviation, 0, atol=5 / np.sqrt(streams))
        np.testing.assert_allclose(values.std(0) / deviation, 1, atol=5 / np.sqrt(2 * streams))
        correlation = np.corrcoef(values.T) - np.eye(3)
        assert np.abs(correlation).max() < 5 / np.sqrt(streams)
        index = [part is np.imag, 2][name == "u"]  # leaves in the order of their names: count, h, u
        np.testing.assert_allclose(memory.mean[index], mean, rtol=1e-6)
        np.testing.assert_allclose(np.sqrt(memory.squares[index] / memory.weight), deviation, rtol=1e-6)


def test_noise_stays_within_what_was_seen_and_follows_its_scale():
    last = jnp.where(jax.random.uniform(KEYS[2], (500, 4)) < 0.9, 1.0, -1.0)  # units at their bounds
    bounded, free, still = (drawn(starts.noise(*more), last) for more in ((1.0,), (1.0, 1.0, False), (0.0,)))
    assert np.abs(bounded).max() == 1
    assert np.abs(free).max() > 1
    np.testing.assert_allclose(still, jnp.broadcast_to(last.mean(0), last.shape), rtol=1e-6)


@pytest.mark.parametrize("name", starts.STARTS)
def test_every_start_takes_every_carry_under_jit_and_vmap(name):
    kind = starts.STARTS[name]()
    assert kind == starts.STARTS[name]()
    assert pickle.loads(pickle.dumps(kind)) == kind
    assert len({hash(kind), hash(starts.STARTS[name]())}) == 1
    for cell in (cells.lstm(2, 3), cells.lru(2, 3), cells.alif(2, 3), cells.network("asrnn", 2, 3, 4, layers=2)):
        fresh = cell.initial_carry((4,), jnp.float32)
        last = jax.tree.map(lambda leaf: leaf + 1, fresh)
        begin, memory = kind.draw(kind.init(fresh), KEYS[3], last, fresh)
        asrnn_jax.cell.check_carry(cell, begin, (4,), jnp.float32)
        assert jax.tree.map(lambda leaf: leaf.dtype, begin) == jax.tree.map(lambda leaf: leaf.dtype, fresh)
        assert jax.tree.structure(memory) == jax.tree.structure(kind.init(fresh))
        assert not jax.tree.reduce(jnp.logical_or, jax.tree.map(lambda leaf: jnp.isnan(leaf).any(), begin), False)
    two = jax.random.normal(KEYS[4], (2, 4, 3))
    memories = jax.vmap(kind.init)(0 * two)
    together, _ = jax.jit(jax.vmap(kind.draw))(memories, KEYS[:2], two, 0 * two)
    for i in range(2):
        alone, _ = kind.draw(kind.init(0 * two[i]), KEYS[i], two[i], 0 * two[i])
        np.testing.assert_allclose(together[i], alone, rtol=1e-6, atol=1e-6)


def test_a_trained_start_learns_where_windows_start_from_it():
    cell = cells.with_trained_start(cells.gru(2, 3))
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(KEYS[5], (4, 5, 2))

    def loss(params, kind):
        fresh = cell.start(cell.prepare(params), (4,), jnp.float32)
        last = jax.lax.stop_gradient(fresh) + 0.5
        begin, _ = kind.draw(kind.init(fresh), KEYS[6], last, fresh)
        return jnp.square(asrnn_jax.run(cell, params, xs, carry=begin)[1]).mean()

    slopes = {
        name: float(optax.tree.norm(jax.grad(loss)(params, starts.STARTS[name]())["start"])) for name in starts.STARTS
    }
    assert {name for name, slope in slopes.items() if slope > 0} == {"zero", "mixture"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: starts.noise(-1.0), "scale=-1.0"),
        (lambda: starts.noise(decay=0.0), "decay=0.0"),
        (lambda: starts.mixture({}), "shares="),
        (lambda: starts.mixture({starts.zero(): 0.5}), "zero: 0.5}: give each"),
        (lambda: starts.mixture({starts.zero(): 1.5, starts.passed(): -0.5}), "passed: -0.5"),
        (lambda: drawn(starts.shuffled(), jnp.ones((1, 2))), "1 stream has no other"),
    ],
)
def test_wrong_calls_say_what_to_give(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
