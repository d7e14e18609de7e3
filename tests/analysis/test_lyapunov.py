"""Lyapunov exponents with known values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asrnn_jax import analysis, cells
from asrnn_jax.cell import Cell
from asrnn_jax.cells.vanilla import Weights
from tests.analysis.test_jacobian import linear, random_matrix
from tests.test_laws import inputs


def test_of_a_linear_map_they_are_the_logarithms_of_its_eigenvalues():
    W = np.diag([1.1, 0.9, 0.5, -0.3]) + np.triu(np.full((4, 4), 0.4), 1)
    cell, weights = linear(W)
    found = analysis.lyapunov_spectrum(cell, weights, jnp.zeros((2, 600, 4)), warm_up=200)
    np.testing.assert_allclose(found.exponents[0], np.log([1.1, 0.9, 0.5, 0.3]), atol=1e-6)
    assert found.running.shape == (2, 400, 4)
    few = analysis.lyapunov_spectrum(cell, weights, jnp.zeros((600, 4)), k=2, every=4, warm_up=200)
    np.testing.assert_allclose(few.exponents, np.log([1.1, 0.9]), atol=1e-6)


def test_of_an_orthogonal_map_they_are_zero_and_of_a_singular_one_nothing():
    cell, weights = linear(np.linalg.qr(random_matrix())[0])
    np.testing.assert_allclose(analysis.lyapunov_spectrum(cell, weights, jnp.zeros((300, 6))).exponents, 0, atol=1e-10)
    cell, weights = linear(np.diag([1.0, 0.0]))
    assert analysis.lyapunov_spectrum(cell, weights, jnp.zeros((100, 2))).exponents[1] < -1e29


def test_of_a_driven_scalar_tanh_it_is_the_average_of_its_slope():
    w = 1.7
    cell = cells.tanh_rnn(1, 1)
    weights = Weights(jnp.ones((1, 1)), jnp.zeros(1), jnp.full((1, 1), w))
    xs = inputs(4000, 1)
    h, slopes = 0.0, []
    for x in np.asarray(xs)[:, 0]:
        h = np.tanh(w * h + x)
        slopes.append(np.log(w * (1 - h**2)))
    found = analysis.lyapunov_spectrum(cell, weights, xs, warm_up=400)
    np.testing.assert_allclose(found.exponents[0], np.mean(slopes[400:]), rtol=1e-10)
    assert 0 < found.standard_error[0] < 0.1
    assert abs(found.exponents[0] - np.mean(slopes)) < 4 * found.standard_error[0]


def test_of_the_henon_map_written_as_a_cell():
    a, b = 1.4, 0.3
    henon = Cell(
        name="henon",
        inputs=1,
        hidden=2,
        outputs=2,
        init=lambda key: {"a": jnp.array(a)},
        prepare=lambda params: (params["a"],),
        initial_carry=lambda batch_shape=(), dtype=jnp.float64: jnp.zeros((*batch_shape, 2), dtype) + 0.1,
        project=lambda weights, xs: xs,
        mix=lambda weights, carry: weights[0],
        update=lambda s, z, a: jnp.stack([1 - a * s[..., 0] ** 2 + s[..., 1] + z[..., 0], b * s[..., 0]], -1),
        readout=lambda weights, carries, xs: carries,
    )
    found = analysis.lyapunov_spectrum(henon, {"a": jnp.array(a)}, jnp.zeros((20000, 1)))
    np.testing.assert_allclose(found.exponents[0], 0.419, atol=0.01)  # Wolf et al. 1985: 0.603 bits = 0.418 nats
    np.testing.assert_allclose(found.exponents.sum(), np.log(b), rtol=1e-6)  # the Jacobian's determinant is -b


def test_both_coordinates_of_asrnn_have_the_same_exponents():
    cell = cells.asrnn(1, 5, a=0.5, b=2.0, dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0)), inputs(3000, 1)
    found = [
        analysis.lyapunov_spectrum(cell, params, xs, k=2, coordinates=c, every=2).exponents for c in ("state", "carry")
    ]
    np.testing.assert_allclose(*found, atol=2e-3)  # up to what the change of coordinates adds once


@pytest.mark.parametrize("wrong", [{"k": 5}, {"k": 0}, {"warm_up": 15}, {"every": 0}, {"warm_up": -1}])
def test_wrong_calls_say_what_is_wrong(wrong):
    cell, weights = linear(np.eye(4))
    with pytest.raises(ValueError, match=r"k=|warm_up="):
        analysis.lyapunov_spectrum(cell, weights, jnp.zeros((20, 4)), **wrong)
