"""The reset-free objective against optax, NumPy and its exact limits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.utils.class_weight import compute_class_weight

from asrnn_jax import losses
from asrnn_jax.losses.objective import share_of
from asrnn_jax.streaming import Limits
from asrnn_jax.streaming.monitors import Reference, Watch

C = 7
reset_free = jax.jit(losses.reset_free, static_argnames=("kl", "axis", "label_smoothing"))  # one program, not a hundred


def logits(*shape, scale=3.0, seed=0):
    return scale * jax.random.normal(jax.random.key(seed), (*shape, C), jnp.float64)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def naive(z, y, m, w, kl):
    p, u = softmax(np.asarray(z)), 1 / C
    ce = -np.log(np.take_along_axis(p, np.asarray(y)[..., None], -1))[..., 0]
    d = (u * np.log(u / p)).sum(-1) if kl == "uniform_first" else (p * np.log(p / u)).sum(-1)
    return m * ce + w * (1 - m) * d


@pytest.mark.parametrize("kl", ["uniform_first", "model_first"])
def test_it_is_the_papers_formula(kl):
    z, y = logits(2, 5), jax.random.randint(jax.random.key(1), (2, 5), 0, C)
    m = jax.random.uniform(jax.random.key(2), (2, 5), jnp.float64)
    found = reset_free(z, y, m, weight=0.3, kl=kl)
    np.testing.assert_allclose(found, naive(z, y, np.asarray(m), 0.3, kl), rtol=1e-12)
    moved = reset_free(jnp.moveaxis(z, -1, 0), y, m, weight=0.3, kl=kl, axis=0)
    np.testing.assert_allclose(moved, found, rtol=1e-12)
    one_hot = reset_free(z, jax.nn.one_hot(y, C, dtype=z.dtype), m, weight=jnp.full((5,), 0.3), kl=kl)
    np.testing.assert_allclose(one_hot, found, rtol=1e-12)


def test_all_informative_is_optax_cross_entropy():
    z, y = logits(3, 4), jax.random.randint(jax.random.key(1), (3, 4), 0, C)
    ours, theirs = (
        jax.jit(jax.value_and_grad(lambda z, f=f: f(z).sum()))(z)
        for f in (
            lambda z: reset_free(z, y, jnp.ones((3, 4)), label_smoothing=0.1),
            lambda z: optax.softmax_cross_entropy(z, optax.smooth_labels(jax.nn.one_hot(y, C, dtype=z.dtype), 0.1)),
        )
    )
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-14)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-15)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("kl", ["uniform_first", "model_first"])
def test_nothing_informative_is_exactly_zero_at_the_uniform_distribution(kl, dtype):
    for level in (0.0, 0.1, -37.3, 1e4):
        z = jnp.full((2, C), level, dtype)
        loss, gradient = jax.value_and_grad(lambda z: reset_free(z, jnp.full(2, -1), 0.0, kl=kl).sum())(z)
        assert loss == 0
        np.testing.assert_allclose(gradient.astype(jnp.float32), 0, atol=1e-8)
    z = logits(2).astype(dtype)
    p = jax.nn.softmax(z.astype(jnp.float64))
    gradient = jax.jit(jax.grad(lambda z: losses.kl_to_uniform(z, kl=kl).sum()))(z)
    expected = p - 1 / C
    if kl == "model_first":
        log = jnp.log(p * C)
        expected = p * (log - (p * log).sum(-1, keepdims=True))
    np.testing.assert_allclose(gradient.astype(jnp.float64), expected, atol=1e-2 if dtype == jnp.bfloat16 else 1e-6)


@pytest.mark.parametrize("kl", ["uniform_first", "model_first"])
def test_it_stays_finite_where_logits_are_extreme(kl):
    z = jnp.array([[500.0, -500.0, 0.0], [1e30, 0.0, -1e30]], jnp.float32)
    for m in (0.0, 0.5, 1.0):
        loss, gradient = jax.value_and_grad(lambda z, m=m: reset_free(z, jnp.array([0, 0]), m, kl=kl).sum())(z)
        assert jnp.isfinite(loss)
        assert jnp.isfinite(gradient).all()


def test_a_step_that_is_not_informative_does_not_look_at_its_label():
    z, y = logits(3), jnp.array([2, -1, C + 5])
    m = jnp.array([1.0, 0.0, 0.0])
    loss, gradient = jax.value_and_grad(lambda z: reset_free(z, y, m).sum())(z)
    other, same = jax.value_and_grad(lambda z: reset_free(z, jnp.array([2, 0, 1]), m).sum())(z)
    assert loss == other
    np.testing.assert_array_equal(gradient, same)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("kl", ["uniform_first", "model_first"])
def test_classes_can_be_left_out(kl, smoothing):
    there = jnp.array([True, True, False, True, False, True, True])
    z, m = jnp.where(there, logits(4), -jnp.inf), jnp.array([0.0, 0.4, 1.0, 0.0])
    kept = z[:, np.asarray(there)]
    options = {"kl": kl, "label_smoothing": smoothing}
    ours, by = jax.value_and_grad(lambda z: reset_free(z, jnp.array([2, 3, 3, -1]), m, where=there, **options).sum())(z)
    small, same = jax.value_and_grad(lambda z: reset_free(z, jnp.array([1, 2, 2, 1]), m, **options).sum())(kept)
    np.testing.assert_allclose(ours, small, rtol=1e-12)
    np.testing.assert_allclose(by[:, np.asarray(there)], same, atol=1e-12)
    np.testing.assert_array_equal(by[:, ~np.asarray(there)], 0)
    np.testing.assert_allclose(losses.entropy_share(z, where=there), losses.entropy_share(kept), rtol=1e-12)
    narrow = reset_free(z.astype(jnp.float32), jnp.array([2, 3, 3, -1]), m, where=there, **options)
    assert narrow.dtype == jnp.float32


def test_entropy_share_runs_from_certain_to_dont_know():
    z = jnp.stack([jnp.zeros(C), jnp.full(C, -1e4).at[2].set(0.0), logits(1)[0]])
    p = softmax(np.asarray(z[2]))
    np.testing.assert_allclose(losses.entropy_share(z), [1, 0, -(p * np.log(p)).sum() / np.log(C)], atol=1e-12)
    assert jnp.isfinite(losses.entropy_share(jnp.ones((3, 1)))).all()


def wrong_calls():
    z, y, m = jnp.zeros((2, 3, C)), jnp.zeros((2, 3), int), jnp.ones((2, 3))
    return {
        "m above 1": (ValueError, lambda: losses.reset_free(z, y, 1.5 * m), "share, in"),
        "m NaN": (ValueError, lambda: losses.reset_free(z, y, m * jnp.nan), "share, in"),
        "label": (ValueError, lambda: losses.reset_free(z, y + C, m), f"labels has {C}"),
        "negative label": (ValueError, lambda: losses.reset_free(z, y - 1, 0.1 * m), "labels has -1"),
        "label left out": (ValueError, lambda: losses.reset_free(z, y, m, where=jnp.arange(C) > 0), "count by `where`"),
        "labels' shape": (ValueError, lambda: losses.reset_free(z, y[:, :2], m), "labels has shape"),
        "m's shape": (ValueError, lambda: losses.reset_free(z, y, m[:, :2]), "informative has shape"),
        "distributions": (ValueError, lambda: losses.reset_free(z, jnp.zeros((2, 3, 4)), m), "labels has shape"),
        "bool labels": (TypeError, lambda: losses.reset_free(z, y > 0, m), "labels has dtype"),
        "smoothing": (ValueError, lambda: losses.reset_free(z, y, m, label_smoothing=1.0), "label_smoothing"),
        "integer logits": (ValueError, lambda: losses.reset_free(y, y, m), "logits has dtype"),
    }


@pytest.mark.parametrize("name", wrong_calls())
def test_wrong_calls_say_what_is_wrong(name):
    error, call, message = wrong_calls()[name]
    with pytest.raises(error, match=message):
        call()


def test_under_jit_what_cannot_be_raised_is_nan():
    z, y = jnp.zeros((4, C)), jnp.array([0, C, -1, 2])
    loss = jax.jit(losses.reset_free)(z, y, jnp.array([1.0, 0.5, 0.0, 1.2]))
    np.testing.assert_array_equal(jnp.isnan(loss), [False, True, False, True])


def test_it_composes_with_jit_vmap_and_optax():
    z, y, m = logits(5, 3), jnp.zeros((5, 3), int), jnp.linspace(0, 1, 15).reshape(5, 3)
    whole = losses.reset_free(z, y, m)
    np.testing.assert_allclose(jax.jit(jax.vmap(losses.reset_free))(z, y, m), whole, rtol=1e-12)
    optimizer = optax.adam(0.3)

    @jax.jit
    def step(z, state):
        updates, state = optimizer.update(jax.grad(lambda z: losses.reset_free(z, y, m).mean())(z), state)
        return optax.apply_updates(z, updates), state

    state = optimizer.init(z)
    for _ in range(100):
        z, state = step(z, state)
    best = naive(z, y, np.asarray(m), 1.0, "uniform_first")  # at the mixture of label and uniform
    p = m[..., None] * jax.nn.one_hot(y, C) + (1 - m[..., None]) / C
    np.testing.assert_allclose(softmax(np.asarray(z)), p, atol=0.05)
    assert best.mean() < whole.mean()


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_there_is_one_entropy_share(classes):
    """The loss's, the monitors' in NumPy and the plain definition; one class alone has nothing to be sure of."""
    logits = np.random.default_rng(0).normal(scale=3, size=(50, classes))
    logits[0, 0] = -np.inf if classes > 1 else 0
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    plog = p * np.log(np.where(p > 0, p, 1))
    expected = np.ones(50) if classes == 1 else -plog.sum(-1) / np.log(classes)
    np.testing.assert_allclose(losses.entropy_share(logits), expected, rtol=1e-10)
    np.testing.assert_allclose(share_of(np, logits), expected, rtol=1e-10)
    reference = Reference(jnp.zeros(2), jnp.ones(2), jnp.float32(1), jnp.float32(0))
    watch = Watch(reference, 10, (50,))
    watch.add(np.zeros((50, 10, 2), np.float32), np.repeat(logits[:, None], 10, axis=1), None)
    readings, _ = watch.read(np.ones(50), np.zeros(50), Limits(), step=0)
    np.testing.assert_allclose(readings.gap_entropy, expected, rtol=1e-10)
    one = losses.entropy_share(logits, where=np.arange(classes) == 0)
    np.testing.assert_array_equal(one[1:], 1)


@pytest.mark.parametrize("kl", ["uniform_first", "model_first"])
def test_class_weights_weigh_the_first_term_alone(kl):
    z, y = logits(2, 5), jax.random.randint(jax.random.key(1), (2, 5), 0, C).at[0, 0].set(-1)
    m = jax.random.uniform(jax.random.key(2), (2, 5), jnp.float64).at[0, 0].set(0.0)
    w = jnp.arange(C) / 3.0
    found = reset_free(z, y, m, weight=0.3, kl=kl, class_weights=w)
    known = jnp.maximum(y, 0)
    first = reset_free(z, known, m, weight=0.0, kl=kl)
    second = reset_free(z, known, m, weight=0.3, kl=kl) - first
    np.testing.assert_allclose(found, w[known] * first + second, rtol=1e-12)
    soft = reset_free(z, jax.nn.one_hot(y, C, dtype=z.dtype), m, weight=0.3, kl=kl, class_weights=w)
    np.testing.assert_allclose(soft, found, rtol=1e-12)
    equal = reset_free(z, y, m, weight=0.3, kl=kl, class_weights=jnp.ones(C))
    np.testing.assert_allclose(equal, reset_free(z, y, m, weight=0.3, kl=kl), rtol=1e-14)


def test_class_weights_do_not_see_labels_of_gaps():
    z, w = logits(4), jnp.array([1e30, 0.0, 2.0, 1.0, 1.0, 1.0, 3.0])
    m = jnp.array([1.0, 0.0, 0.0, 0.5])
    of = lambda y: jax.value_and_grad(lambda z: reset_free(z, y, m, class_weights=w).sum())(z)  # noqa: E731
    (loss, gradient), (other, same) = of(jnp.array([2, -1, C + 3, 6])), of(jnp.array([2, 0, 1, 6]))
    assert loss == other
    np.testing.assert_array_equal(gradient, same)
    assert jnp.isfinite(gradient).all()
    numeric = [
        (reset_free(z + e, jnp.array([2, -1, 0, 6]), m, class_weights=w).sum() - loss) / 1e-6
        for e in 1e-6 * np.eye(4 * C).reshape(-1, 4, C)
    ]
    np.testing.assert_allclose(gradient.ravel(), numeric, atol=1e-5)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.repeat([0, 1, 3], [50, 7, 1])
    weights = losses.balanced_weights(np.bincount(labels, minlength=5))
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    np.testing.assert_allclose(weights[jnp.array([0, 1, 3])], expected, rtol=1e-6)
    np.testing.assert_array_equal(weights[jnp.array([2, 4])], 1)
    for power in (0.0, 0.5, 1.0):
        weights = losses.balanced_weights(np.bincount(labels, minlength=5), power=power)
        np.testing.assert_allclose(weights[labels].mean(), 1, rtol=1e-6)
        np.testing.assert_allclose(weights[3] / weights[0], 50**power, rtol=1e-6)
    np.testing.assert_array_equal(losses.balanced_weights(jnp.zeros(3)), 1)
    np.testing.assert_allclose(jax.jit(losses.balanced_weights)(jnp.array([2, 2, 4])), [4 / 3, 4 / 3, 2 / 3], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z: losses.reset_free(z, jnp.zeros(4, int), 1.0, class_weights=jnp.ones(3)), "class_weights has shape"),
        (lambda z: losses.reset_free(z, jnp.zeros(4, int), 1.0, class_weights=-jnp.ones(C)), "class_weights has -1"),
        (lambda z: losses.balanced_weights(jnp.ones((2, 2))), "counts has shape"),
        (lambda z: losses.balanced_weights(jnp.array([1.0, -2.0])), "counts has -2"),
        (lambda z: losses.balanced_weights(jnp.ones(2), power=2.0), "power=2"),
    ],
)
def test_wrong_class_weights(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((4, C)))
