"""What decides informativeness, and the weight that sets itself."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import asrnn_jax
from asrnn_jax import losses


def test_scores_are_what_their_formulas_say():
    xs = jax.random.normal(jax.random.key(0), (2, 6, 3))
    np.testing.assert_allclose(losses.energy(xs), np.log10((np.asarray(xs) ** 2).mean(-1)), rtol=1e-5)
    assert losses.energy(jnp.zeros(3)) == -12
    change = losses.change(xs)
    assert (change[:, 0] == -12).all()
    np.testing.assert_allclose(change[:, 1:], np.log10((np.diff(xs, axis=1) ** 2).mean(-1)), rtol=1e-5)
    np.testing.assert_allclose(
        losses.change(xs[:, 3:], xs[:, 2]), change[:, 3:], rtol=1e-5
    )  # live, from chunk to chunk
    np.testing.assert_allclose(losses.change(xs[:, 3], xs[:, 2]), change[:, 3], rtol=1e-5)  # and from step to step
    np.testing.assert_allclose(losses.energy(jnp.full(3, 1000, jnp.int16)), 6, rtol=1e-6)
    np.testing.assert_allclose(losses.surprisal(xs + 0.1, xs), -2, atol=1e-4)
    certain = losses.surprisal(1e3 * jnp.eye(3), jnp.eye(3), prediction="softmax")
    np.testing.assert_allclose(certain, 0, atol=1e-6)
    np.testing.assert_array_equal(losses.has_label(jnp.array([-1, 0, 4])), [0, 1, 1])


def test_thresholds_hard_soft_and_by_quantile():
    scores = jnp.linspace(-1, 1, 201)
    np.testing.assert_array_equal(losses.exceeds(scores, 0.5), np.asarray(scores) > 0.5)
    np.testing.assert_allclose(losses.exceeds(scores, 0.5, 0.1), jax.nn.sigmoid((scores - 0.5) / 0.1), rtol=1e-6)
    assert jax.grad(lambda t: losses.exceeds(scores, t, 0.1).sum())(0.5) < 0  # a threshold that can be trained
    background = jax.random.normal(jax.random.key(0), (1000,)).at[7].set(jnp.nan)
    q = losses.quantile_threshold(background, 0.9)
    np.testing.assert_allclose((background > q).mean(), 0.1, atol=0.01)


def test_a_detector_learns_to_tell_bursts_from_noise():
    key = jax.random.key(0)
    on = jnp.repeat(jax.random.bernoulli(key, 0.5, (16, 8)), 10, axis=1)
    xs = 0.3 * jax.random.normal(jax.random.key(1), (16, 80, 2)) + jnp.where(on[..., None], 1.0, 0.0)
    cell = losses.detector(2, 4)
    params, optimizer = cell.init(key), optax.adam(0.03)
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        def loss(p):
            return optax.sigmoid_binary_cross_entropy(asrnn_jax.run(cell, p, xs)[1][..., 0], on).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    for _ in range(60):
        params, state = step(params, state)
    m = jax.nn.sigmoid(asrnn_jax.run(cell, params, xs)[1][..., 0])
    assert ((m > 0.5) == on).mean() > 0.95


def test_the_weight_finds_the_target_without_tuning():
    """A toy: one logit vector must serve steps of class 0 and gaps, and the weight decides its entropy."""
    dual, m = losses.entropy_target(0.9, rate=0.1), jnp.array([1.0] * 5 + [0.0] * 5)
    labels = jnp.zeros(10, int)

    def entropy_after(start):
        z, state = jnp.zeros(4), losses.entropy_target(0.9, rate=0.1, start=start).init()

        @jax.jit
        def step(z, state):
            logits = jnp.broadcast_to(z, (10, 4))
            weight, state = dual.update(losses.gap_entropy(logits, m), state)
            loss = lambda z: losses.reset_free(jnp.broadcast_to(z, (10, 4)), labels, m, weight=weight).mean()  # noqa: E731
            return z - 0.5 * jax.grad(loss)(z), state

        for _ in range(400):
            z, state = step(z, state)
        return float(losses.entropy_share(z)), float(jnp.exp(state.log_weight))

    (high, w_high), (low, w_low) = entropy_after(20.0), entropy_after(0.05)
    np.testing.assert_allclose([high, low], 0.9, atol=0.01)
    np.testing.assert_allclose(w_high, w_low, rtol=0.05)


def test_a_batch_without_gaps_or_with_broken_logits_leaves_the_weight():
    dual = losses.entropy_target()
    state = dual.init()
    for logits, m in ((jnp.ones((3, 4)), jnp.ones(3)), (jnp.full((3, 4), jnp.nan), jnp.zeros(3))):
        weight, after = dual.update(losses.gap_entropy(logits, m), state)
        assert weight == 1
        assert after.log_weight == state.log_weight


@pytest.mark.parametrize(
    "call",
    [
        lambda: losses.exceeds(jnp.ones(3), 0.0, -1.0),
        lambda: losses.quantile_threshold(jnp.ones(3), 1.0),
        lambda: losses.surprisal(jnp.ones((3, 2)), jnp.ones((3, 3))),
        lambda: losses.entropy_target(1.0),
        lambda: losses.entropy_target(least=2.0),
        lambda: losses.detector(0),
    ],
)
def test_wrong_calls_say_what_is_wrong(call):
    with pytest.raises(ValueError, match=r"=|shape"):
        call()
