"""The objective for numbers against scipy.stats, scipy's quadrature and its exact limits."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from scipy.integrate import quad

import asrnn_jax
from asrnn_jax import losses
from asrnn_jax.losses import Gaussian, StudentT, student

KLS = ("marginal_first", "model_first")
AROUND = {
    "gaussian": Gaussian(jnp.array([0.5, -3.0]), jnp.array([0.2, 1.0])),
    "student": StudentT(jnp.array([0.5, -3.0]), jnp.array([0.2, 1.0]), jnp.array([4.0, 30.0])),
}
FAMILIES = ("gaussian", "learned")  # "learned": Student t whose degrees of freedom are learned too

regression = jax.jit(losses.reset_free_regression, static_argnames="kl")  # one program instead of a hundred

divergence = jax.jit(lambda p, q: losses.distributions.whole(p).divergence(q))


def around(family, dtype=jnp.float64):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), AROUND[family.replace("learned", "student")])


def outputs(family, *shape, seed=0):
    return jax.random.normal(jax.random.key(seed), (*shape, 6 if family == "learned" else 4), jnp.float64)


def decoded(family, outputs):
    return (losses.gaussian if family == "gaussian" else losses.student_t)(outputs, around(family))


def frozen(distribution, *index):
    """The same of scipy.stats, of single numbers."""
    location, log_scale, *degrees = (float(np.asarray(leaf)[index]) for leaf in distribution)
    scale = np.exp(log_scale)
    return scipy.stats.t(degrees[0], location, scale) if degrees else scipy.stats.norm(location, scale)


def integrated(p, q):
    """KL(p || q) by adaptive quadrature."""
    center, scale = p.median(), p.std() if np.isfinite(p.std()) else p.ppf(0.84) - p.median()
    other = np.arcsinh((q.median() - center) / scale)  # where q may be a spike

    def integrand(u):  # x = center + scale sinh(u): heavy tails fall exponentially
        x = center + scale * np.sinh(u)
        density = p.pdf(x) * scale * np.cosh(u)
        return density * (p.logpdf(x) - q.logpdf(x)) if density > 0 else 0.0

    places = np.unique([-30.0, -5.0, 0.0, other, 5.0, 30.0])
    return sum(quad(integrand, a, b, epsabs=1e-11, limit=500)[0] for a, b in itertools.pairwise(places))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kl", KLS)
def test_it_is_likelihood_and_divergence(family, kl):
    z = outputs(family, 3)
    y, m = jax.random.normal(jax.random.key(1), (3, 2), jnp.float64), jnp.array([0.0, 0.4, 1.0])
    p, whole = decoded(family, z), jax.tree.map(lambda a: jnp.broadcast_to(a, (3, 2)), around(family))
    expected = []
    for step in range(3):
        nats = sum(-frozen(p, step, k).logpdf(float(y[step, k])) for k in range(2))
        pairs = [(frozen(p, step, k), frozen(whole, step, k)) for k in range(2)]
        apart = sum(integrated(*(pair if kl == "model_first" else pair[::-1])) for pair in pairs)
        expected.append(m[step] * nats + 0.3 * (1 - m[step]) * apart)
    found = regression(z, y, m, marginal=around(family), weight=0.3, kl=kl)
    np.testing.assert_allclose(found, expected, rtol=1e-7 if family == "gaussian" else 2e-5)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 2.0, 20.0])
@pytest.mark.parametrize(("nu", "other"), [(1.1, 5.0), (3.0, 3.0), (5.0, 200.0), (1e6, 2.0)])
def test_the_quadrature_is_exact_where_it_says_so(ratio, nu, other):
    p = StudentT(jnp.zeros(1), jnp.zeros(1), jnp.full(1, nu))
    q = StudentT(jnp.full(1, 0.7), jnp.full(1, np.log(ratio)), jnp.full(1, other))
    expected = integrated(frozen(p, 0), frozen(q, 0))
    np.testing.assert_allclose(divergence(p, q), expected, rtol=2e-3 if ratio < 0.5 else 1e-5)


def test_the_quadrature_is_near_where_the_other_is_a_spike():
    p = StudentT(jnp.zeros(1), jnp.zeros(1), jnp.full(1, 5.0))
    for place, width in itertools.product((0.0, 0.3, 2.0), (1e-2, 1e-3)):
        q = StudentT(jnp.full(1, place), jnp.full(1, np.log(width)), jnp.full(1, 5.0))
        np.testing.assert_allclose(divergence(p, q), integrated(frozen(p, 0), frozen(q, 0)), rtol=0.05)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kl", KLS)
def test_gradients_are_finite_differences(family, kl):
    y, m = jnp.array([[0.1, np.nan], [1.0, -2.0], [np.nan, np.nan]]), jnp.array([1.0, 0.5, 0.0])

    def loss(z):
        where = jnp.isfinite(y) | (m == 0)[:, None]
        return regression(z, y, m, marginal=around(family), kl=kl, where=where).sum()

    z = outputs(family, 3, seed=4)
    steps = 1e-6 * np.eye(z.size).reshape(-1, *z.shape)
    numeric = [(loss(z + e) - loss(z - e)) / 2e-6 for e in steps]
    np.testing.assert_allclose(jax.grad(loss)(z).ravel(), numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, *(pytest.param(d, marks=pytest.mark.slow) for d in (jnp.float32, jnp.float64))]
)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kl", KLS)
def test_outputs_of_zero_are_exactly_dont_know(family, kl, dtype):
    z, known = jnp.zeros((5, outputs(family).shape[-1]), dtype), around(family, jnp.float32)
    lost = lambda z: losses.reset_free_regression(z, jnp.full((5, 2), jnp.nan), 0.0, marginal=known, kl=kl).sum()  # noqa: E731
    loss, gradient = lost(z), jax.jit(jax.grad(lost))(z)
    assert loss == 0
    assert loss.dtype == (jnp.float64 if dtype == jnp.float64 else jnp.float32)
    np.testing.assert_allclose(gradient.astype(jnp.float32), 0, atol=3e-6)
    assert (losses.width_share(z, known) == 1).all()
    assert losses.gap_width(z, jnp.zeros(5), known) == 1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, pytest.param(jnp.float32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kl", KLS)
def test_it_stays_finite_where_outputs_are_extreme(family, kl, dtype):
    extremes = (0.0, 1e2, -1e2, 1e4, -1e4, 1e30, -1e30)
    size = 3 if family == "learned" else 2
    z = jnp.array([np.repeat(values, 2) for values in itertools.product(extremes, repeat=size)], dtype)
    y = jnp.array([[-1e30, 0.0]] * len(z), jnp.float32)

    @partial(jax.value_and_grad, has_aux=True)
    def lost(z, m):
        loss = losses.reset_free_regression(z, y, m, marginal=around(family, jnp.float32), kl=kl)
        return (loss / 1e6).sum(), loss

    lost = jax.jit(lost)
    for m in (0.0, 0.5, 1.0):
        (_, loss), gradient = lost(z, m)
        assert jnp.isfinite(loss).all()
        assert jnp.isfinite(gradient).all()


def test_limits_of_scale_and_distance():
    sure = losses.gaussian(jnp.array([0.0, -1e5], jnp.float64), floor=1e-3)
    np.testing.assert_allclose(np.exp(sure.log_scale), 1e-3, rtol=1e-9)
    far = regression(Gaussian(jnp.zeros(1), jnp.zeros(1)), jnp.array([1e9]), 1.0)
    np.testing.assert_allclose(far, 5e17, rtol=1e-12)
    few = StudentT(jnp.zeros(1), jnp.zeros(1), jnp.full(1, 3.0))
    np.testing.assert_allclose(regression(few, jnp.array([1e9]), 1.0), -scipy.stats.t(3).logpdf(1e9), rtol=1e-12)
    many = StudentT(jnp.full(1, 0.3), jnp.full(1, 0.5), jnp.full(1, 1e9))
    gaussian, y = Gaussian(many.location, many.log_scale), jnp.array([2.5])
    for m in (0.0, 1.0):
        of = [regression(p, y, m) for p in (many, gaussian)]
        np.testing.assert_allclose(*of, rtol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_informative_does_not_look_at_its_target(family):
    z, m = outputs(family, 4), jnp.array([1.0, 0.0, 0.0, 0.5])
    known = jnp.array([[1.0, 2.0], [0.0, 0.0], [1.0, 1.0], [0.3, 0.1]])
    unknown = known.at[1].set(jnp.nan).at[2].set(jnp.inf)
    of = jax.jit(lambda y: jax.value_and_grad(lambda z: regression(z, y, m, marginal=around(family)).sum())(z))
    (loss, gradient), (other, same) = of(known), of(unknown)
    assert loss == other
    np.testing.assert_array_equal(gradient, same)


@pytest.mark.parametrize("family", ["gaussian", "student"])
def test_targets_that_do_not_count_are_as_if_they_were_not_there(family):
    z, m = outputs(family, 3), jnp.array([1.0, 0.3, 0.0])
    y = jnp.array([[1.0, np.nan], [0.2, np.nan], [0.0, np.nan]])
    one = jax.tree.map(lambda leaf: leaf[:1], around(family))
    both = regression(z, y, m, marginal=around(family), where=jnp.array([True, False]))
    alone = regression(z[:, ::2], y[:, :1], m, marginal=one)
    np.testing.assert_allclose(both, alone, rtol=1e-12)


def test_all_informative_is_the_gaussian_loss_of_flax_and_optax_conventions():
    z, y = outputs("gaussian", 5, 7), jax.random.normal(jax.random.key(2), (5, 7, 2), jnp.float64)
    fixed = z.at[..., 2:].set(0.0)
    loss = regression(fixed, y, jnp.ones((5, 7)))
    expected = optax.l2_loss(fixed[..., :2], y).sum(-1) + np.log(2 * np.pi)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    whole = regression(z, y, jnp.linspace(0, 1, 35).reshape(5, 7))
    mapped = jax.jit(jax.vmap(losses.reset_free_regression))(z, y, jnp.linspace(0, 1, 35).reshape(5, 7))
    np.testing.assert_allclose(mapped, whole, rtol=1e-12)


@pytest.mark.parametrize("nu", [1.0, 3.0, 49.0, 51.0, 1e6])
def test_the_student_distribution_is_scipys(nu):
    ours, theirs, t = jnp.asarray(nu), scipy.stats.t(nu), np.r_[0.0, np.geomspace(1e-3, 30, 12)]
    np.testing.assert_allclose(student.log_density(jnp.asarray(t), ours), theirs.logpdf(t), rtol=1e-11, atol=1e-12)
    with np.errstate(divide="ignore"):
        tails = np.log(2) + theirs.logsf(t)
    found = jax.jit(student.log_two_tails)(jnp.asarray(t), jnp.full(t.shape, nu))
    np.testing.assert_allclose(found[np.isfinite(tails)], tails[np.isfinite(tails)], rtol=1e-6, atol=1e-9)
    assert (np.diff(found) < 0).all()
    for q in (1e-4, 0.3, 0.999):
        np.testing.assert_allclose(student.quantile(q, ours), theirs.ppf(q), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_and_surprise_are_those_of_the_distribution(family):
    p = decoded(family, outputs(family, 3))
    low, high = losses.interval(p, 0.8)
    surprises = losses.surprise(p, high)
    for step, k in itertools.product(range(3), range(2)):
        np.testing.assert_allclose((low[step, k], high[step, k]), frozen(p, step, k).ppf([0.1, 0.9]), rtol=1e-8)
        np.testing.assert_allclose(losses.quantile(p, 0.3)[step, k], frozen(p, step, k).ppf(0.3), rtol=1e-8)
    np.testing.assert_allclose(surprises, -np.log10(0.2), rtol=1e-6)
    far = losses.surprise(p, p.location + 1e6 * jnp.exp(p.log_scale))
    assert jnp.isfinite(far).all()
    assert jnp.isnan(losses.surprise(p, jnp.full((3, 2), jnp.nan))).all()
    assert losses.interval(jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), p), 0.8)[0].dtype == jnp.float32


def test_surprise_is_calibrated():
    rng = np.random.default_rng(0)
    p = StudentT(jnp.ones(20_000), jnp.full(20_000, 0.3), jnp.full(20_000, 4.0))
    found = jax.jit(losses.surprise)(p, 1 + np.exp(0.3) * rng.standard_t(4, size=20_000))
    for s in (0.5, 1, 2):
        np.testing.assert_allclose((found >= s).mean(), 10.0**-s, rtol=0.15)


def test_width_share_is_one_at_the_marginal_alone():
    share = lambda location, scale: float(  # noqa: E731
        losses.width_share(Gaussian(jnp.array([location]), jnp.log(jnp.array([scale]))))
    )
    assert share(0.0, 1.0) == 1
    np.testing.assert_allclose(share(0.0, 1e-2), np.exp(0.5) * 1e-2, rtol=1e-3)
    np.testing.assert_allclose(share(1.0, 1.0), np.exp(-0.5), rtol=1e-6)
    assert share(0.0, 1.5) < 1


@pytest.mark.parametrize("family", ["gaussian", "student"])
def test_the_weight_finds_the_target_without_tuning(family):
    """One output must serve steps whose target is far from the marginal and gaps; the weight decides its width."""
    dual, m, y = losses.entropy_target(0.9, rate=0.1), jnp.repeat(jnp.array([1.0, 0.0]), 5), jnp.full((10, 1), 1.5)
    known = None if family == "gaussian" else StudentT(jnp.zeros(1), jnp.zeros(1), jnp.full(1, 5.0))
    ends = []
    for start in (10.0, 0.1):

        @jax.jit
        def step(z, state):
            over = jnp.broadcast_to(z, (10, 2))
            weight, state = dual.update(losses.gap_width(over, m, known), state)
            lost = lambda z: regression(  # noqa: E731
                jnp.broadcast_to(z, (10, 2)), y, m, weight=weight, marginal=known
            ).mean()
            return z - 0.1 * jax.grad(lost)(z), state

        z, state = jnp.zeros(2), losses.entropy_target(0.9, rate=0.1, start=start).init()
        for _ in range(500):
            z, state = step(z, state)
        ends.append((float(losses.width_share(z, known)), float(jnp.exp(state.log_weight))))
    np.testing.assert_allclose([end[0] for end in ends], 0.9, atol=0.01)
    np.testing.assert_allclose(ends[0][1], ends[1][1], rtol=0.05)


def test_the_marginal_is_that_of_informative_targets():
    rng = np.random.default_rng(0)
    y = np.stack([rng.normal(3, 2, size=(4, 5000)), -1 + 0.5 * rng.standard_t(4, size=(4, 5000))], axis=-1)
    m = np.ones((4, 5000))
    m[:, :100], y[:, :50], y[:, 50:100] = 0, np.nan, 1e6
    y[0, 200, 1] = np.nan
    found = losses.marginal(y, m)
    np.testing.assert_allclose(found.location, [np.mean(y[:, 100:, 0]), np.nanmean(y[:, 100:, 1])], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found.log_scale), np.nanstd(y[:, 100:], axis=(0, 1)), rtol=1e-5)
    heavy = losses.marginal(y, m, degrees=None)
    own = y[:, 100:, 1][np.isfinite(y[:, 100:, 1])]
    nu, location, scale = scipy.stats.t.fit(own)
    np.testing.assert_allclose([heavy.location[1], np.exp(heavy.log_scale[1])], [location, scale], atol=0.01)
    np.testing.assert_allclose(heavy.degrees[1], nu, rtol=0.1)
    assert heavy.degrees[0] > 50
    fixed = losses.marginal(y, m, degrees=4.0)
    _, location, scale = scipy.stats.t.fit(own, f0=4)
    np.testing.assert_allclose([fixed.location[1], np.exp(fixed.log_scale[1])], [location, scale], rtol=1e-3)


def wrong_calls():
    z, y, m, loss = jnp.zeros((2, 3, 4)), jnp.zeros((2, 3, 2)), jnp.ones((2, 3)), losses.reset_free_regression
    g = Gaussian(jnp.zeros(2), jnp.zeros(2))
    t = StudentT(*g, jnp.full(2, 5.0))
    return {
        "m above 1": (lambda: loss(z, y, 1.5 * m), "informative has 1.5"),
        "target": (lambda: loss(z, y * jnp.nan, 0.1 * m), "targets has nan"),
        "targets' shape": (lambda: loss(z, y[..., 0], m), "targets has shape"),
        "m's shape": (lambda: loss(z, y, m[:, :2]), "informative has shape"),
        "odd outputs": (lambda: loss(z[..., :3], y, m), "outputs has dtype.* 2 K"),
        "integers": (lambda: loss(y.astype(int), y, m), "outputs has dtype int"),
        "kl": (lambda: loss(z, y, m, kl="x"), "kl='x'"),
        "families": (lambda: loss(losses.gaussian(z), y, m, marginal=t), "give both of one family"),
        "marginal's shape": (lambda: loss(z, y, m, marginal=Gaussian(jnp.zeros(3), jnp.zeros(3))), "marginal.location"),
        "floor": (lambda: losses.gaussian(z, floor=0.0), "floor=0"),
        "level": (lambda: losses.interval(g, 1.0), "level=1"),
        "q": (lambda: losses.quantile(g, 0.0), "q=0"),
        "constant": (lambda: losses.marginal(np.ones((5, 1))), "target 0"),
        "no axis": (lambda: losses.marginal(np.ones(5)), "targets has shape"),
        "degrees": (lambda: losses.marginal(np.ones((5, 1)), degrees=1.0), "degrees=1"),
    }


@pytest.mark.parametrize("name", wrong_calls())
def test_wrong_calls_say_what_is_wrong(name, without_type_checks):
    call, message = wrong_calls()[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_under_jit_what_cannot_be_raised_is_nan():
    y, m = jnp.array([[0.0], [jnp.nan], [jnp.nan], [0.0]]), jnp.array([1.0, 0.5, 0.0, 1.2])
    loss = jax.jit(losses.reset_free_regression)(jnp.zeros((4, 2)), y, m)
    np.testing.assert_array_equal(jnp.isnan(loss), [False, True, False, True])
    with pytest.raises(ValueError, match="targets has nan where informative > 0"):
        asrnn_jax.checked(losses.reset_free_regression)(jnp.zeros((4, 2)), y, jnp.minimum(m, 1))
    second = jax.jit(lambda *a: losses.reset_free_regression(*a).sum())
    second(jnp.zeros((4, 2)), y, m)
    second(jnp.ones((4, 2)), y, m)
    assert second._cache_size() == 1
