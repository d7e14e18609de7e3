"""Saturation, drift and settling against the equations; matrix properties against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import analysis, cells
from tests.naive.row import gates, sigma
from tests.quick import quickly
from tests.test_laws import FIRST_ROWS, inputs, make

N = 6
# One of each kind of nonlinearity.
QUICK = ("tanh_rnn", "irnn", "lstm", "gru", "urnn", "asrnn", "alif", "surprisal", "cornn")


def test_lstm_gates_are_those_of_the_equation():
    cell = cells.lstm(3, N, dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0)), inputs(2, 5, 3)
    found = analysis.saturation(cell, params, xs, threshold=0.2)
    h, c = np.zeros(N), np.zeros(N)
    for t, x in enumerate(xs[1]):
        i, f, g, o = (W @ x + U @ h + b for W, U, b in gates(params, N, 4))
        c = sigma(f) * c + sigma(i) * np.tanh(g)
        h = sigma(o) * np.tanh(c)
        for name, value in {"input": sigma(i), "forget": sigma(f), "output": sigma(o)}.items():
            np.testing.assert_allclose(found[name].value[1, t], value, rtol=1e-12)
            np.testing.assert_allclose(found[name].slope[1, t], 4 * value * (1 - value), rtol=1e-12)
        np.testing.assert_allclose(found["cell"].slope[1, t], 1 - np.tanh(c) ** 2, rtol=1e-12)
        np.testing.assert_allclose(found["candidate"].value[1, t], np.tanh(g), rtol=1e-12)
    forget = found["forget"]
    assert (forget.saturated == (forget.slope < 0.2)).all()
    np.testing.assert_allclose(forget.by_unit().value, forget.value.mean((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(forget.over_time().slope, forget.slope.mean((0, 2)), rtol=1e-12)


@quickly("row", QUICK, FIRST_ROWS)
def test_slopes_are_the_derivative_of_the_output_by_its_sums(row):
    """Where one nonlinearity ends the step, its slope is the derivative of `update` by a, which is elementwise."""
    cell, params = make(row)
    xs = inputs(2, 4, 3)
    found = analysis.saturation(cell, params, xs)
    for group in found.values():
        assert group.value.shape[:2] == (2, 4)
        assert (group.slope >= 0).all()
        assert (group.slope <= 1).all()
    if set(found) not in ({"tanh"}, {"relu"}) or cell.name in ("antisymmetric", "lipschitz", "cornn"):
        return
    (group,) = found.values()
    weights = cell.prepare(params)
    carry = cell.initial_carry((2,), jnp.float64)
    for t in range(4):
        z, a = cell.project(weights, xs[:, t]), cell.mix(weights, carry)
        tangent = jax.tree.map(lambda leaf, z=z: jnp.zeros_like(leaf), a)
        first, structure = jax.tree.leaves(tangent), jax.tree.structure(tangent)
        tangent = jax.tree.unflatten(structure, [jnp.ones_like(first[0]), *first[1:]])
        carry, slope = jax.jvp(lambda a, z=z, carry=carry: cell.update(carry, z, a), (a,), (tangent,))
        np.testing.assert_allclose(group.slope[:, t], slope, atol=1e-12)


def test_parts_of_a_composite_have_names_of_their_own():
    cell = cells.with_output(cells.stack([cells.lstm(3, 4), cells.bidirectional(cells.gru(4, 2))]), 2)
    params, xs = cell.init(jax.random.key(0)), inputs(2, 5, 3).astype(jnp.float32)
    found = analysis.saturation(cell, params, xs)
    assert found["0 lstm: forget"].value.shape == (2, 5, 4)
    assert "1 gru: candidate" in found
    # of the second direction, by hand: a GRU over the first layer's outputs, backwards
    lstm, gru = cell.parts[0], cell.parts[1].parts[1]
    p = params["cell"]
    _, hs = asrnn_jax.run(lstm, p["layers_0"], xs)
    alone = analysis.saturation(gru, p["layers_1"]["backward"], hs[:, ::-1])["candidate"].value[:, ::-1]
    np.testing.assert_allclose(found["2 gru: candidate"].value, alone, atol=1e-6)


def test_asrnn_slopes_in_the_directions_of_its_diagonal():
    cell = cells.asrnn(2, N, a=0.5, b=3.0, dtype=jnp.float64)
    params = cell.init(jax.random.key(0))
    params = {**params, "U_f": {"skew": 0.3 * inputs(N * (N - 1) // 2)}}
    xs = inputs(3, 4, 2)
    found = analysis.asrnn_saturation(cell, params, xs)
    np.testing.assert_allclose(found.D_f, np.abs(params["D_f"]) + 0.01, rtol=1e-10)
    weights = cell.prepare(params)
    _, hs = asrnn_jax.run(cell, params, xs)
    gs = np.asarray(hs) @ np.asarray(weights.W_f).T
    for t in range(4):
        middle = np.linalg.inv(weights.W_f) @ np.diag(1 - gs[1, t] ** 2) @ np.asarray(weights.W_f)
        np.testing.assert_allclose(found.slope[1, t], np.diag(middle), rtol=1e-8)


def test_a_contracting_cell_settles_when_its_rate_says():
    cell, rate = cells.indrnn(1, 2, activation="tanh", dtype=jnp.float64), 0.8
    params = {"W_xh": jnp.full((1, 2), 1e-3), "u": jnp.full(2, rate), "b": jnp.zeros(2)}
    xs = jnp.ones((2, 200, 1))  # so small that tanh is linear: h_t = r (1 - rate^t), distance shrinks by the rate
    found = analysis.settling(cell, params, xs, tolerance=1e-3, other=jnp.full((2, 2), 1e-2))
    t = np.arange(1, 201)
    speed = (1 - rate) * rate ** (t - 1) / (1 - rate**t)
    np.testing.assert_allclose(found.speed[0], speed, rtol=1e-2, atol=1e-8)
    assert abs(int(found.settled[0]) - np.argmax(speed < 1e-3)) <= 1
    distance = 1e-2 * rate**t / (1e-3 * (1 - rate**t) / (1 - rate))
    assert abs(int(found.forgotten[1]) - np.argmax(distance < 1e-3)) <= 1


def test_an_orthogonal_cell_neither_settles_nor_forgets():
    cell = cells.orthogonal(1, N, activation="linear", dtype=jnp.float64)
    found = analysis.settling(cell, cell.init(jax.random.key(0)), inputs(100, 1), carry=jnp.ones(N))
    assert found.settled == 100
    assert found.forgotten == 100


def test_drift_of_a_growing_and_of_a_steady_state():
    cell = cells.irnn(1, 1, dtype=jnp.float64)
    grown = analysis.norm_drift(
        cell, {"W_xh": jnp.ones((1, 1)), "W_hh": jnp.ones((1, 1)), "b": jnp.zeros(1)}, jnp.ones((100, 1))
    )
    np.testing.assert_allclose(grown.norm, np.arange(1, 101), rtol=1e-12)
    np.testing.assert_allclose(grown.growth, np.mean(np.arange(92, 101)) / np.mean(np.arange(11, 20)), rtol=1e-12)
    steady = analysis.norm_drift(
        cell, {"W_xh": jnp.ones((1, 1)), "W_hh": jnp.zeros((1, 1)), "b": jnp.zeros(1)}, jnp.ones((100, 1))
    )
    np.testing.assert_allclose(steady.growth, 1)


def test_matrix_properties_have_their_known_values():
    n = 5
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    shift = np.diag(np.ones(n - 1), 1)
    both = jnp.stack([Q, shift])
    np.testing.assert_allclose(analysis.orthogonality_error(both), [0, 1], atol=1e-14)
    np.testing.assert_allclose(analysis.non_normality(both), [0, 1], atol=1e-7)
    np.testing.assert_allclose(analysis.spectral_radius(both), [1, 0], atol=1e-3)
    jordan = np.array([[0.0, 2.0], [0.0, 0.0]])  # its numerical range is the unit disc
    turns = np.exp(2j * np.pi * np.arange(12) / 12)  # a point of the circle each
    np.testing.assert_allclose(turns * analysis.numerical_range(jordan, 12), 1, atol=1e-10)
    normal = np.diag([1.0, -2.0, 3.0])  # the hull of the eigenvalues
    points = np.asarray(analysis.numerical_range(normal, 32))
    assert set(np.round(points, 12)) <= {1, -2, 3}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, p, xs: analysis.saturation(c, p, xs, threshold=0.0), "threshold=0"),
        (lambda c, p, xs: analysis.settling(c, p, xs, tolerance=-1.0), "tolerance=-1"),
        (lambda c, p, xs: analysis.settling(c, p, xs[:0]), "at least one step"),
        (lambda c, p, xs: analysis.norm_drift(c, p, xs[:5]), "at least 10"),
        (lambda c, p, xs: analysis.saturation(c, p, xs[:, :1]), "inputs=2"),
        (lambda c, p, xs: analysis.saturation(c, p, xs, carry=jnp.zeros(3)), "carry"),
        (lambda c, p, xs: analysis.non_normality(xs), "square"),
        (lambda c, p, xs: analysis.numerical_range(jnp.eye(2), angles=0), "angles=0"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, message):
    cell = cells.gru(2, 4)
    with pytest.raises(ValueError, match=message):
        call(cell, cell.init(jax.random.key(0)), jnp.ones((12, 2)))
