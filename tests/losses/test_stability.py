"""The penalties on Lyapunov exponents and singular values: closed forms of linear cells, finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from asrnn_jax import cells, losses
from tests.analysis.test_jacobian import linear, random_matrix
from tests.test_laws import inputs

GRU = cells.gru(2, 4, dtype=jnp.float64)
ASRNN = cells.asrnn(2, 4, a=0.5, b=2.0, dtype=jnp.float64)
SPIKES = cells.stack([cells.lru(2, 2, dtype=jnp.float64), cells.lif(2, 3, dtype=jnp.float64)])


def test_of_a_linear_map_they_are_the_squares_of_the_logarithms_of_its_eigenvalues():
    W = np.diag([1.2, 0.9, 0.5]) + np.triu(np.full((3, 3), 0.4), 1)
    cell, weights = linear(W)
    xs, exponents = jnp.zeros((2, 400, 3)), np.log([1.2, 0.9])

    def penalty(weights, **options):
        return losses.lyapunov_penalty(cell, weights, xs, warm_up=200, every=4, **options)

    np.testing.assert_allclose(penalty(weights, k=2, target=0.05), ((exponents - 0.05) ** 2).mean(), rtol=1e-6)
    np.testing.assert_allclose(penalty(weights, k=2, side="above"), exponents[0] ** 2 / 2, rtol=1e-6)
    values, right = np.linalg.eig(W)
    i = values.argmax()
    first = np.outer(np.linalg.inv(right)[i], right[:, i])  # the derivative of 1.2, the largest, by the matrix
    found = jax.grad(lambda weights: penalty(weights)[0])(weights).W_hh.T
    np.testing.assert_allclose(found, 2 * exponents[0] * first / 1.2, atol=1e-6)


def test_a_direction_that_is_lost_does_not_count_and_has_no_derivative():
    cell, weights = linear(np.diag([1.5, 0.0, 0.0]))
    value, gradient = jax.value_and_grad(
        lambda w: losses.lyapunov_penalty(cell, w, jnp.zeros((30, 3)), k=3, every=2, warm_up=4)
    )(weights)
    np.testing.assert_allclose(value, np.log(1.5) ** 2 / 3, rtol=1e-12)
    np.testing.assert_allclose(gradient.W_hh, np.diag([2 * np.log(1.5) / 1.5 / 3, 0, 0]), atol=1e-9)
    gradient = jax.grad(lambda w: losses.jacobian_penalty(cell, w, jnp.zeros((30, 3)), of="largest"))
    assert np.isfinite(gradient(linear(np.zeros((3, 3)))[1]).W_hh).all()


def test_of_a_linear_map_singular_values_are_known():
    W = random_matrix(5)
    cell, weights = linear(W)
    xs = jnp.zeros((2, 8, 5))
    U, sigma, Vh = np.linalg.svd(W)
    largest = losses.jacobian_penalty(cell, weights, xs, of="largest", target=0.7, iterations=500)
    np.testing.assert_allclose(largest, (sigma[0] - 0.7) ** 2, rtol=1e-9)
    gradient = jax.grad(lambda w: losses.jacobian_penalty(cell, w, xs, of="largest", side="above", iterations=500)[0])
    np.testing.assert_allclose(gradient(weights).W_hh.T, 2 * (sigma[0] - 1) * np.outer(U[:, 0], Vh[0]), atol=1e-8)
    mean = losses.jacobian_penalty(cell, weights, xs, target=0.7, projections=20_000)
    expected = (np.mean(sigma**2) - 0.49) ** 2 + 2 / 7 * np.var(sigma**2)
    np.testing.assert_allclose(mean, expected, rtol=0.03)
    assert (losses.jacobian_penalty(cell, weights, xs, target=10.0, side="above") == 0).all()


def penalties(cell, params, xs):
    """All of them, ``(3,)``; at least as many iterations as it takes to find the largest singular value to 1e-9."""
    lyapunov = losses.lyapunov_penalty(cell, params, xs, k=2, target=0.1, every=2)
    mean = losses.jacobian_penalty(cell, params, xs, projections=2, every=3)
    largest = losses.jacobian_penalty(cell, params, xs, of="largest", iterations=300, every=3)
    return jnp.stack([lyapunov, mean, largest]).sum(axis=1)


@pytest.mark.parametrize(
    "cell", [ASRNN, *(pytest.param(cell, marks=pytest.mark.slow) for cell in (GRU, SPIKES))], ids=lambda cell: cell.name
)
def test_gradients_are_finite_differences(cell):
    params, xs = cell.init(jax.random.key(0)), inputs(2, 9, 2)
    flat, back = ravel_pytree(params)
    along = jax.random.normal(jax.random.key(1), flat.shape, jnp.float64)

    @jax.jit
    def at(e):
        return jax.vjp(lambda e: penalties(cell, back(flat + e * along), xs), e)

    _, pullback = at(0.0)
    found = [pullback(row)[0] for row in jnp.eye(3)]
    assert np.isfinite(found).all()
    if cell is not SPIKES:  # whose surrogate's derivative is not the difference quotient of a spike
        np.testing.assert_allclose(found, (at(1e-5)[0] - at(-1e-5)[0]) / 2e-5, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"k": 5}, "k=5"), ({"warm_up": 9}, "warm_up=9"), ({"every": 0}, "every=0"), ({"side": "below"}, "side='below'")],
)
def test_wrong_calls_say_what_is_wrong(wrong, said, without_type_checks):
    params, xs = GRU.init(jax.random.key(0)), inputs(2, 9, 2)
    with pytest.raises((ValueError, TypeError), match=said):
        losses.lyapunov_penalty(GRU, params, xs, **wrong)
    for options in ({"of": "least"}, {"every": 10}, {"projections": 0}):
        with pytest.raises((ValueError, TypeError), match=next(iter(options))):
            losses.jacobian_penalty(GRU, params, xs, **options)
