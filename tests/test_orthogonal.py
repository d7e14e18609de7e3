"""Orthogonal maps against scipy, closed forms and their own promise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import asrnn_jax
from asrnn_jax import orthogonal
from asrnn_jax.orthogonal import maps
from tests.quick import quickly

KINDS = [
    ("cayley", False),
    ("scaled_cayley", False),
    ("expm", False),
    ("cayley", True),
    ("expm", True),
    ("scaled_cayley", True),
]
QUICK = [("expm", False), ("scaled_cayley", True)]


def orthogonality(Q):
    """Largest entry of Q^T Q - I, in float64 numpy."""
    Q = np.asarray(Q, np.float64)
    return np.abs(Q.T @ Q - np.eye(len(Q))).max()


@settings(max_examples=40, deadline=None)
@given(
    n=st.sampled_from([1, 3, 24]),  # a program each
    seed=st.integers(0, 2**31),
    scale=st.floats(0.01, 30),
)
def test_maps_equal_scipy(n, seed, scale):
    v = scale * np.random.default_rng(seed).normal(size=maps.size(n)) / np.sqrt(n)
    A = np.zeros((n, n))
    A[np.triu_indices(n, 1)] = v
    A = A - A.T
    np.testing.assert_array_equal(orthogonal.skew(jnp.asarray(v), n), A)
    np.testing.assert_array_equal(orthogonal.entries(jnp.asarray(A)), v)
    np.testing.assert_allclose(jax.jit(orthogonal.expm)(jnp.asarray(A)), scipy.linalg.expm(A), atol=1e-10)
    np.testing.assert_allclose(
        orthogonal.cayley(jnp.asarray(A)), scipy.linalg.solve(np.eye(n) + A, np.eye(n) - A), atol=1e-9
    )


@pytest.mark.parametrize("map", ["cayley", "expm"])
def test_gradients_of_maps_equal_finite_differences(map):
    A = jax.random.normal(jax.random.key(0), (maps.size(6),), jnp.float64)
    f = lambda v: jnp.sum(jnp.sin(3 * getattr(orthogonal, map)(orthogonal.skew(v, 6))))  # noqa: E731
    direction = jax.random.normal(jax.random.key(1), A.shape, A.dtype)
    measured = (f(A + 1e-6 * direction) - f(A - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(jax.jit(jax.grad(f))(A) @ direction, measured, rtol=1e-7)


@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("map", "dynamic"), [pytest.param(*kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in KINDS]
)
def test_stays_orthogonal_over_1000_optimiser_steps(map, dynamic, dtype):
    """Within 10 n eps, on a target that keeps pulling; the rate is high enough to travel far."""
    n = 24
    Q = orthogonal.parametrization(n, map, "henaff", dynamic=dynamic, dtype=dtype)
    params = Q.init(jax.random.key(0))
    target = jax.random.normal(jax.random.key(1), (n, n), dtype)
    tx = optax.rmsprop(1e-2)

    @jax.jit
    def update(step, carry):
        params, state, worst = carry
        # The target turns, so the matrix never comes to rest.
        turned = jnp.roll(target, step // 50, axis=0)
        gradient = jax.grad(lambda p: jnp.sum(Q.matrix(p) * turned))(params)
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        if Q.rebase is not None:
            params = jax.lax.cond(step % 20 == 19, lambda p: Q.rebase(p, step % 200 == 199), lambda p: p, params)
        return params, state, jnp.maximum(worst, orthogonal.error(Q.matrix(params)))

    start = Q.matrix(params)
    params, _, worst = jax.lax.fori_loop(0, 1000, update, (params, tx.init(params), jnp.zeros((), dtype)))
    bound = 10 * n * float(jnp.finfo(dtype).eps)
    assert float(worst) <= bound
    assert orthogonality(Q.matrix(params)) <= bound
    assert float(jnp.abs(Q.matrix(params) - start).max()) > 0.5


def test_polish_restores_what_a_long_exponential_loses():
    """In float32 an exponential at norm 1e3 is off by more than 10 n eps without the last step."""
    A = 300 * orthogonal.skew(jax.random.normal(jax.random.key(0), (maps.size(16),), jnp.float32), 16)
    bound = 10 * 16 * float(jnp.finfo(jnp.float32).eps)
    assert orthogonality(jax.scipy.linalg.expm(A)) > bound
    assert orthogonality(orthogonal.expm(A)) <= bound


@pytest.mark.parametrize("project", [False, True])
@quickly("map", ["expm"], ("cayley", "expm", "scaled_cayley"))
def test_rebase_keeps_the_matrix_and_empties_the_skew_part(map, project):
    Q = orthogonal.parametrization(9, map, "haar", dynamic=True, dtype=jnp.float64)
    params = Q.init(jax.random.key(0))
    params["skew"] = 0.3 * jax.random.normal(jax.random.key(1), params["skew"].shape, jnp.float64)
    rebased = jax.jit(Q.rebase)(params, project)
    np.testing.assert_allclose(Q.matrix(rebased), Q.matrix(params), atol=1e-13)
    np.testing.assert_array_equal(rebased["skew"], 0.0)
    np.testing.assert_allclose(rebased["base"], Q.matrix(params), atol=1e-13)


def test_base_receives_no_gradient():
    Q = orthogonal.parametrization(5, "expm", dynamic=True, dtype=jnp.float64)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(jnp.sin(Q.matrix(p)))))(Q.init(jax.random.key(0)))
    np.testing.assert_array_equal(gradient["base"], 0.0)
    assert jnp.abs(gradient["skew"]).max() > 0


@pytest.mark.parametrize("map", ["cayley", "expm"])
@pytest.mark.parametrize("n", [7, 20])
def test_henaff_rotates_by_angles_uniform_in_a_circle(map, n):
    """Angles of the matrix are read off its eigenvalues and compared with U(0, pi) by a Kolmogorov-Smirnov test."""
    Q = orthogonal.parametrization(n, map, "henaff", dtype=jnp.float64)
    matrices = jax.jit(jax.vmap(lambda k: Q.matrix(Q.init(k))))(jax.random.split(jax.random.key(0), 2000 // n))
    angles = np.abs(np.angle(np.linalg.eigvals(np.asarray(matrices))))
    angles = np.sort(angles, axis=1)[:, n % 2 :: 2].ravel()  # one of each pair; an odd size has the angle 0 besides
    assert scipy.stats.kstest(angles, scipy.stats.uniform(0, np.pi).cdf).pvalue > 1e-3


def quarter_circle(a):
    return a / (np.pi / 2)


def of_tangents(a):  # tan(s/2) <= a where s <= 2 arctan(a)
    return 2 * np.arctan(a) / (np.pi / 2)


def log_uniform(a):
    return np.log(a / (np.pi / 1000)) / np.log(1000)


@pytest.mark.parametrize("map", ["cayley", "expm"])
@pytest.mark.parametrize(
    ("init", "cdf"),
    [("cayley", quarter_circle), ("exprnn", of_tangents), ("log", log_uniform)],
    ids=["cayley", "exprnn", "log"],
)
def test_a_name_of_a_start_means_the_same_angles_for_every_map(map, init, cdf):
    """Angles read off the eigenvalues against the distribution of their name, and scaled."""

    def angles(**options):
        Q = orthogonal.parametrization(400, map, init, dtype=jnp.float64, **options)
        return np.sort(np.abs(np.angle(np.linalg.eigvals(Q.matrix(Q.init(jax.random.key(0)))))))[::2]

    assert scipy.stats.kstest(angles(), lambda a: np.clip(cdf(a), 0, 1)).pvalue > 1e-3
    np.testing.assert_allclose(angles(angle_scale=0.3), 0.3 * angles(), rtol=1e-7)


@quickly("map", ["scaled_cayley"], ("cayley", "expm", "scaled_cayley"))
def test_haar_has_the_moments_of_uniform_rotations(map):
    """E[tr Q] = 0, E[(tr Q)^2] = 1 and E[Q_ij^2] = 1/n on SO(n), n > 2 (signs keep the last two)."""
    n, draws = 6, 4000
    Q = orthogonal.parametrization(n, map, "haar", rho=1 / 3, dtype=jnp.float64)
    matrices = jax.jit(jax.vmap(lambda k: Q.matrix(Q.init(k))))(jax.random.split(jax.random.key(0), draws))
    trace = jnp.trace(matrices, axis1=1, axis2=2)
    assert abs(trace.mean()) < 5 / np.sqrt(draws)
    assert abs((trace**2).mean() - 1) < 0.15
    np.testing.assert_allclose((matrices**2).mean(0), 1 / n, atol=0.02)
    np.testing.assert_allclose(jnp.linalg.det(matrices), 1.0, atol=1e-6)


@pytest.mark.slow
def test_haar_through_the_logarithm_gives_back_the_rotation():
    for n in (2, 11):
        key = jax.random.key(n)
        Q = jax.random.orthogonal(key, n, dtype=jnp.float64)
        Q = Q.at[:, 0].multiply(jnp.sign(jnp.linalg.det(Q)))
        np.testing.assert_allclose(scipy.linalg.expm(np.asarray(maps.logm(Q))), Q, atol=1e-7)
        np.testing.assert_allclose(maps.cayley(maps.cayley_inverse(Q)), Q, atol=1e-9)


def test_scaled_cayley_reaches_eigenvalue_minus_one():
    Q = orthogonal.parametrization(6, "scaled_cayley", "identity", rho=0.5, dtype=jnp.float64)
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(Q.matrix(Q.init(jax.random.key(0)))).real), [-1] * 3 + [1] * 3)


def test_nearest_is_the_polar_factor():
    M = jax.random.normal(jax.random.key(0), (7, 7), jnp.float64)
    np.testing.assert_allclose(orthogonal.nearest(M), scipy.linalg.polar(np.asarray(M))[0], atol=1e-12)


def test_half_precision_params_give_a_float32_matrix():
    Q = orthogonal.parametrization(8, dtype=jnp.bfloat16)
    matrix = Q.matrix(Q.init(jax.random.key(0)))
    assert matrix.dtype == jnp.float32
    assert orthogonality(matrix) <= 10 * 8 * float(jnp.finfo(jnp.float32).eps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"n": 3, "map": "qr"}, "map='qr'"),
        ({"n": 3, "init": "x"}, "init='x'"),
        ({"n": 3, "rho": -1.0}, "rho=-1.0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        orthogonal.parametrization(**arguments)


def test_dynamic_cell_rebases_in_the_training_step():
    cell = asrnn_jax.cells.asrnn(2, 6, map="expm", dynamic=True, dtype=jnp.float64)
    params = cell.init(jax.random.key(0))
    params["W_hh"]["skew"] = params["W_hh"]["skew"] + 0.2
    xs = jax.random.normal(jax.random.key(1), (3, 10, 2), jnp.float64)
    rebase = jax.jit(lambda p, step: asrnn_jax.optim.rebase(cell, p, step, every=10))
    kept, moved = rebase(params, 7), rebase(params, 20)
    np.testing.assert_array_equal(kept["W_hh"]["skew"], params["W_hh"]["skew"])
    np.testing.assert_array_equal(moved["W_hh"]["skew"], 0.0)
    np.testing.assert_allclose(asrnn_jax.run(cell, moved, xs)[1], asrnn_jax.run(cell, params, xs)[1], atol=1e-12)
