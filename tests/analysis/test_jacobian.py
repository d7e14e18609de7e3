"""Jacobians and their spectra against the naive equations, dense NumPy, finite differences and closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asrnn_jax import analysis, cells
from asrnn_jax.analysis import dynamics, products
from asrnn_jax.cells.orthogonal import Weights
from asrnn_jax.streaming import monitors
from tests.quick import quickly
from tests.test_laws import FIRST_ROWS, KINDS, inputs, make, some_carry

N = 6


def linear(W):
    """``h_t = W h_{t-1} + x_t`` as a cell of the zoo with weights of its own."""
    n = len(W)
    return cells.orthogonal(n, n, activation="linear"), Weights(jnp.eye(n), jnp.zeros(n), jnp.asarray(W).T)


def random_matrix(n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n)) / math.sqrt(n)


def flat(tree):
    return dynamics.flatten(tree, tree)


@quickly(
    "row", ["asrnn", "mlstm"], [row for row in FIRST_ROWS if row.id in (*KINDS, "s4d", "s6", "mlstm", "gated_delta")]
)
def test_the_jacobian_of_a_step_is_that_of_the_equation(row):
    cell, params = make(row)
    weights, carry, x = cell.prepare(params), some_carry(cell, (2,)), inputs(2, 3)
    matrices = row.matrices(params, cell.hidden, **dict(row.options))
    states = cell.to_state(weights, carry)
    like = jax.tree.map(lambda leaf: leaf[0], states)

    def naive(s, x):
        state = dynamics.unflatten(s, like)
        return flat(row.step(matrices, state, x)[0])

    found = analysis.step_jacobian(cell, params, carry, x, surrogate=True)
    for i in range(2):
        J = jax.jacfwd(naive)(flat(jax.tree.map(lambda leaf, i=i: leaf[i], states)), x[i])
        np.testing.assert_allclose(found[i], J, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(  # of a sequence of one step, by singular values
        analysis.jacobian_spectrum(cell, weights, x[:, None], carry=carry, surrogate=True)[:, 0],
        np.linalg.svd(np.asarray(found), compute_uv=False),
        atol=1e-9,
    )


@quickly("row", ["asrnn", "mlstm", "s4d"], FIRST_ROWS)
def test_names_and_norms_are_of_all_numbers_of_a_state(row):
    cell, params = make(row)
    weights, carry, x = cell.prepare(params), some_carry(cell, (2,)), inputs(2, 3)
    numbers = [np.asarray(leaf).reshape(2, -1) for leaf in jax.tree.leaves(cell.to_state(weights, carry))]
    norm, _ = monitors.vitals(cell, weights, carry, x)
    np.testing.assert_allclose(norm, np.sqrt(sum((np.abs(each) ** 2).sum(1) for each in numbers)), rtol=1e-6)
    names = analysis.coordinate_names(cell)
    assert len(set(names)) == sum(each.shape[1] * (2 if np.iscomplexobj(each) else 1) for each in numbers)


def test_step_jacobian_is_finite_differences_in_both_coordinates():
    cell = cells.asrnn(2, N, a=0.5, b=2.0, dtype=jnp.float64)
    weights = cell.prepare(cell.init(jax.random.key(0)))
    carry, x = some_carry(cell, ()), inputs(2)
    ends = {}
    for coordinates, to, back in (("state", cell.to_state, cell.to_carry), ("carry", lambda w, c: c, lambda w, c: c)):
        s = to(weights, carry)

        def advance(s, to=to, back=back):
            return to(weights, cell.step(weights, back(weights, s), cell.project(weights, x)))

        columns = [(advance(s + e) - advance(s - e)) / 2e-6 for e in 1e-6 * jnp.eye(N)]
        ends[coordinates] = analysis.step_jacobian(cell, weights, carry, x, coordinates=coordinates)
        np.testing.assert_allclose(ends[coordinates], jnp.stack(columns, axis=1), atol=1e-8)
    assert not np.allclose(*(np.linalg.svd(J, compute_uv=False) for J in ends.values()), atol=1e-2)


def test_chunks_and_jit_change_nothing():
    cell = cells.gru(3, N, dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0)), inputs(2, 3, 9, 3)  # two batch axes
    whole = analysis.jacobian_spectrum(cell, params, xs)
    chunked = jax.jit(lambda p, xs: analysis.jacobian_spectrum(cell, p, xs, chunk=5))(params, xs)
    assert whole.shape == (2, 3, 9, N)
    np.testing.assert_allclose(analysis.jacobian_spectrum(cell, params, xs, every=4), whole[:, :, 3::4], atol=1e-12)
    np.testing.assert_allclose(whole, chunked, atol=1e-12)
    assert analysis.jacobian_spectrum(cell, params, xs[:, :, :0]).shape == (2, 3, 0, N)


def test_temporal_jacobian_is_the_product_of_the_steps():
    cell = cells.lstm(3, N, dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0)), inputs(2, 12, 3)
    weights = cell.prepare(params)
    carry, product = cell.initial_carry((2,), jnp.float64), np.stack([np.eye(2 * N)] * 2)
    for t in range(9):
        if t >= 4:
            product = np.asarray(analysis.step_jacobian(cell, weights, carry, xs[:, t])) @ product
        carry = cell.step(weights, carry, cell.project(weights, xs[:, t]))
    np.testing.assert_allclose(analysis.temporal_jacobian(cell, params, xs, 4, 9), product, atol=1e-12)
    logs = analysis.temporal_spectrum(cell, params, xs, 4, [4, 9])
    np.testing.assert_allclose(logs[:, 0], 0, atol=1e-12)
    sigma = np.linalg.svd(product, compute_uv=False)
    np.testing.assert_allclose(np.exp(logs[:, 1, :8]), sigma[:, :8], rtol=1e-9)  # NumPy's small ones are rounding


def test_spectra_over_thousands_of_steps_neither_overflow_nor_underflow():
    Q = np.linalg.qr(random_matrix())[0]
    sigma = np.array([2.0, 1.5, 1.0, 1.0, 0.5, 1e-3])
    cell, weights = linear(Q @ np.diag(sigma) @ Q.T)  # normal: powers have powers of the singular values
    xs = jnp.zeros((3000, N))
    logs = analysis.temporal_spectrum(cell, weights, xs, 0, [1000, 3000])
    expected = np.log(sigma) * np.array([[1000], [3000]])
    np.testing.assert_allclose(logs, expected, rtol=1e-10, atol=1e-9)
    narrow = analysis.temporal_spectrum(cell, jax.tree.map(jnp.float32, weights), xs.astype(jnp.float32), 0, [3000])
    np.testing.assert_allclose(narrow[0], expected[1], rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("steps", [1, 2000])
def test_spectra_of_a_non_normal_product_keep_the_small_values(steps):
    a, b, c = 0.9, 0.8, 5.0
    cell, weights = linear(np.array([[a, c], [0.0, b]]))
    logs = analysis.temporal_spectrum(cell, weights, jnp.zeros((steps, 2)), 0, [steps])[0]
    corner = c * (a**steps - b**steps) / (a - b)  # of W^t; the product of both singular values is (a b)^t
    squares = a ** (2 * steps) + b ** (2 * steps) + corner**2
    determinant = steps * math.log(a * b)
    share = math.sqrt(max(1 - 4 * math.exp(2 * determinant - 2 * math.log(squares)), 0))
    largest = 0.5 * (math.log(squares) + math.log((1 + share) / 2))
    np.testing.assert_allclose(logs, [largest, determinant - largest], rtol=1e-9)


def test_a_singular_product_has_nothing_for_its_zeros():
    cell, weights = linear(np.diag([2.0, 0.0, 1.0]))
    logs = analysis.temporal_spectrum(cell, weights, jnp.zeros((40, 3)), 0, [40])[0]
    np.testing.assert_allclose(logs[:2], [40 * math.log(2), 0], atol=1e-10)
    assert logs[2] < -1e29


def test_graded_products_equal_dense_ones():
    rng = np.random.default_rng(3)
    for n in (1, 5):
        product, dense, log_determinant = products.Graded.identity(n, jnp.float64), np.eye(n), 0.0
        for _ in range(12):
            J = rng.normal(size=(n, n)) * np.logspace(0, -1, n)[rng.permutation(n)]
            product, dense = products.times(lambda Q, J=J: J @ Q, product), J @ dense
            log_determinant += np.linalg.slogdet(J)[1]
        again = product.Q @ (jnp.exp(product.log_scale)[:, None] * product.T)
        np.testing.assert_allclose(again, dense, atol=1e-12 * np.abs(dense).max())
        sigma = np.linalg.svd(dense, compute_uv=False)
        logs = products.log_singular_values(product)
        np.testing.assert_allclose(np.exp(logs), sigma, atol=1e-12 * sigma[0])
        np.testing.assert_allclose(logs.sum(), log_determinant, atol=1e-9)  # the small ones too, which dense loses


def test_gradient_norms_are_those_of_moved_states():
    cell = cells.asrnn(2, N, a=0.5, b=1.5, dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0)), inputs(2, 7, 2)
    weights = cell.prepare(params)

    def loss(ys):
        return (ys[-1] ** 2).sum() + ys[3].sum()

    def moved(pushes):  # (8, N), added to h_0 .. h_7
        h, ys = cell.to_state(weights, cell.initial_carry((), jnp.float64)) + pushes[0], []
        for x, push in zip(xs[1], pushes[1:]):
            g = cell.step(weights, cell.to_carry(weights, h), cell.project(weights, x))
            h = cell.to_state(weights, g) + push
            ys.append(h)
        return loss(jnp.stack(ys))

    expected = jnp.linalg.norm(jax.grad(moved)(jnp.zeros((8, N))), axis=-1)
    np.testing.assert_allclose(analysis.gradient_norms(cell, params, xs, loss)[1], expected, rtol=1e-10)


def test_gradients_of_a_linear_orthogonal_cell_reach_all_the_way():
    cell, weights = linear(np.linalg.qr(random_matrix())[0])
    norms = analysis.gradient_norms(cell, weights, inputs(200, N), lambda ys: ys[-1, 0])
    np.testing.assert_allclose(norms, 1, rtol=1e-10)


def test_top_singular_values_without_the_matrix():
    cell = cells.gru(2, 40, dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0)), inputs(2, 8, 2)
    found = analysis.top_singular_values(cell, params, xs, 2, 6, k=4)
    dense = np.linalg.svd(analysis.temporal_jacobian(cell, params, xs, 2, 6), compute_uv=False)
    np.testing.assert_allclose(found.values, dense[:, :4], rtol=1e-5)
    assert found.residuals.max() < 1e-4
    rough = analysis.top_singular_values(cell, params, xs, 2, 6, k=4, iterations=1)
    assert rough.residuals.max() > 1e-3  # and says that it has not converged


@pytest.mark.parametrize(
    ("dtype", "a", "b"), [pytest.param(jnp.float32, 0.02, 0.02, marks=pytest.mark.slow), (jnp.float64, 0.05, 4.0)]
)
def test_every_singular_value_of_asrnn_is_inside_its_bounds(dtype, a, b):
    cell = cells.asrnn(2, 20, a=a, b=b, dtype=dtype)
    params, xs = cell.init(jax.random.key(1)), 3 * inputs(3, 25, 2).astype(dtype)
    found = analysis.asrnn_bounds(cell, params, xs)
    assert found.inside == 1
    D = np.abs(np.asarray(params["D_f"])) + 0.01
    np.testing.assert_allclose(found.kappa, D.max() / D.min(), rtol=1e-5)
    spectrum = analysis.jacobian_spectrum(cell, params, xs)
    assert (spectrum[..., 0] <= found.upper * 1.001).all()
    assert (spectrum[..., -1] >= found.lower * 0.999 - 1e-6 * found.upper).all()
    outside = analysis.asrnn_bounds(cell, params, xs, spectrum=spectrum.at[0, 0, 0].set(2 * found.upper[0, 0]))
    np.testing.assert_allclose(outside.inside, 1 - 1 / spectrum.size, rtol=1e-5)


def test_half_precision_is_widened_and_no_step_is_the_identity():
    cell = cells.gru(2, 4, dtype=jnp.bfloat16)
    params, xs = cell.init(jax.random.key(0)), inputs(12, 2).astype(jnp.bfloat16)
    wide = jax.tree.map(jnp.float32, params)
    logs = analysis.temporal_spectrum(cell, params, xs, 0, np.array([0, 3]))
    np.testing.assert_allclose(
        logs, analysis.temporal_spectrum(cell, wide, xs.astype(jnp.float32), 0, [0, 3]), atol=1e-5
    )
    assert analysis.lyapunov_spectrum(cell, params, xs, warm_up=0).exponents.dtype == jnp.float32
    empty = analysis.temporal_spectrum(cell, params, xs[:0], 0, [0])
    np.testing.assert_array_equal(empty, np.zeros((1, 4)))
    asrnn = cells.asrnn(2, 4)
    assert analysis.asrnn_bounds(asrnn, asrnn.init(jax.random.key(0)), jnp.ones((0, 2))).inside == 1


def test_coordinates_have_names():
    assert analysis.coordinate_names(cells.lstm(1, 2)) == ("h[0]", "h[1]", "c[0]", "c[1]")
    assert analysis.coordinate_names(cells.lru(1, 1)) == ("Re h[0]", "Im h[0]")
    assert analysis.coordinate_names(cells.asrnn(1, 2), "carry") == ("carry[0]", "carry[1]")
    assert len(analysis.coordinate_names(cells.stack([cells.gru(1, 2), cells.lstm(2, 3)]))) == 8


def wrong_calls():
    cell, xs = cells.asrnn(2, 4), jnp.ones((5, 2))
    params, spiking = cell.init(jax.random.key(0)), cells.lif(2, 4)
    both, ones = cells.bidirectional(cells.gru(2, 4)), cells.gru(2, 4)
    p = {c.name: c.init(jax.random.key(0)) for c in (spiking, both, ones)}
    return {
        "span": (lambda: analysis.temporal_jacobian(cell, params, xs, 3, 6), "h_0 to h_5"),
        "negative": (lambda: analysis.temporal_spectrum(cell, params, xs, -1, [3]), "s=-1"),
        "unsorted": (lambda: analysis.temporal_spectrum(cell, params, xs, 0, [3, 2]), "ascending"),
        "width": (lambda: analysis.jacobian_spectrum(cell, params, jnp.ones((5, 3))), "inputs=2"),
        "coordinates": (lambda: dynamics.check_coordinates("g"), "coordinates='g'"),
        "chunk": (lambda: analysis.jacobian_spectrum(cell, params, xs, chunk=0), "chunk=0"),
        "spikes": (lambda: analysis.jacobian_spectrum(spiking, p["lif"], xs), "surrogate=True"),
        "both": (lambda: analysis.jacobian_spectrum(both, p[both.name], xs), "both directions"),
        "k": (lambda: analysis.top_singular_values(cell, params, xs, 0, 1, k=1), "k=1"),
        "loss": (lambda: analysis.gradient_norms(cell, params, xs, lambda ys: ys), "one number"),
        "no asRNN": (lambda: analysis.asrnn_bounds(ones, p["gru"], xs), "no asRNN"),
        "carry": (lambda: analysis.jacobian_spectrum(cell, params, xs, carry=jnp.zeros(3)), "carry"),
    }


@pytest.mark.parametrize("name", wrong_calls())
def test_wrong_calls_say_what_is_wrong(name):
    call, message = wrong_calls()[name]
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        call()


def test_a_matrix_that_cannot_fit_says_how_much_it_needs(monkeypatch):
    monkeypatch.setattr(dynamics, "_memory", lambda: 2**20)
    cell = cells.tanh_rnn(1, 300)
    with pytest.raises(MemoryError, match=r"0\.0 GiB.*top_singular_values"):
        analysis.temporal_jacobian(cell, cell.init(jax.random.key(0)), jnp.ones((4, 5, 1)), 0, 5)
