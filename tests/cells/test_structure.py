"""What makes each cell what it is: spectra, bounds, initial values; checked with NumPy alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import cells
from asrnn_jax.cells.matrices import solve_unit_lower
from asrnn_jax.cells.s5 import hippo
from asrnn_jax.cells.surrogate import SURROGATES, spike
from tests.naive.spiking import soft

F64 = jnp.float64


def moved(cell, scale=0.5):
    params = cell.init(jax.random.key(0))
    return jax.tree.map(lambda p: p + scale * jax.random.normal(jax.random.key(p.size), p.shape, p.dtype), params)


def test_urnn_is_unitary_for_any_params():
    cell = cells.urnn(3, 7, dtype=F64)
    (re, im), _ = (np.split(half, 2, axis=1) for half in np.split(np.asarray(cell.prepare(moved(cell)).W), 2))
    W = re + 1j * im
    np.testing.assert_allclose(W @ W.conj().T, np.eye(7), atol=1e-12)


@pytest.mark.parametrize("n", [6, 7])
def test_nnrnn_has_the_eigenvalues_of_its_blocks(n):
    cell = cells.nnrnn(3, n, dtype=F64)
    params = moved(cell)
    W = np.asarray(cell.prepare(params).W_hh)
    theta, gamma = np.asarray(params["theta"]), np.asarray(params["gamma"])
    expected = np.concatenate([gamma[: n // 2] * np.exp(1j * theta), gamma[: n // 2] * np.exp(-1j * theta)])
    expected = expected if n % 2 == 0 else np.append(expected, gamma[-1])
    np.testing.assert_allclose(np.sort_complex(np.linalg.eigvals(W)), np.sort_complex(expected), atol=1e-10)
    start = np.asarray(cell.prepare(cell.init(jax.random.key(0))).W_hh)
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(start)), np.ones(n), atol=1e-10)


def test_antisymmetric_eigenvalues_have_one_real_part():
    cell = cells.antisymmetric(3, 7, gamma=0.2, dtype=F64)
    M = np.asarray(cell.prepare(moved(cell)).W_hh)
    np.testing.assert_allclose(np.linalg.eigvals(M).real, np.full(7, -0.2), atol=1e-12)


def test_lipschitz_without_symmetric_part_is_shifted_by_gamma():
    cell = cells.lipschitz(3, 7, beta=1.0, gamma=0.3, dtype=F64)
    for matrix in cell.prepare(moved(cell)).W_hh:
        np.testing.assert_allclose(np.linalg.eigvals(matrix).real, np.full(7, -0.3), atol=1e-12)


def test_lru_starts_on_its_ring_and_never_leaves_the_disc():
    cell = cells.lru(3, 4000, outputs=2, r_min=0.4, r_max=0.9, max_phase=1.0)
    decay = np.asarray(cell.prepare(cell.init(jax.random.key(0))).decay)
    assert 0.4 <= np.abs(decay).min() < 0.41
    assert 0.89 < np.abs(decay).max() <= 0.9
    assert np.angle(decay).min() > 0
    assert np.angle(decay).max() < 1.0
    # uniform on the ring: the share inside radius r is its share of the area
    inside = (np.abs(decay) < 0.7).mean()
    assert abs(inside - (0.7**2 - 0.4**2) / (0.9**2 - 0.4**2)) < 0.03
    small = cells.lru(3, 6, dtype=F64)
    assert np.abs(np.asarray(small.prepare(moved(small, 5.0)).decay)).max() <= 1


def test_s5_forgets_whatever_is_learned():
    cell = cells.s5(3, 6, dtype=F64)
    params = cell.init(jax.random.key(0))
    params["Lambda_re"] = jnp.linspace(-2.0, 3.0, 6)
    assert np.abs(np.asarray(cell.prepare(params).decay)).max() < 1


def test_s5_starts_at_the_spectrum_of_hippo():
    """HiPPO-LegS as its authors write it, plus its rank-one term."""
    n = 10
    k = np.arange(n)
    A = -np.sqrt(np.outer(2 * k + 1, 2 * k + 1))
    A = np.tril(A, -1) - np.diag(k + 1)
    P = np.sqrt(k + 0.5)
    normal = A + np.outer(P, P)
    eigenvalues, V = hippo(n // 2)
    expected = np.linalg.eigvals(normal)
    np.testing.assert_allclose(np.sort(eigenvalues.imag), np.sort(expected.imag)[n // 2 :], atol=1e-10)
    np.testing.assert_allclose(normal @ V, V * eigenvalues[None], atol=1e-10)


@pytest.mark.parametrize("steps", [pytest.param(64, marks=pytest.mark.slow), 67])
def test_s4d_in_pieces_is_its_recurrence(steps):
    """Two pieces of the same length; three of which the last is shorter. Outputs, the end, and gradients of all."""
    cell = cells.s4d(2, 3, states=4, dt_max=0.5, dtype=F64)
    params, keys = moved(cell), jax.random.split(jax.random.key(1), 3)
    xs, start = jax.random.normal(keys[0], (2, steps, 2)), jax.random.normal(keys[1], (2, 3, 4), jnp.complex128)
    weigh = jax.random.normal(keys[2], (2, steps, 3))

    def loss(method, params, xs, start):
        end, ys = asrnn_jax.run(cell, params, xs, carry=start, method=method)
        return (weigh * ys).sum() + jnp.abs(end - 1).sum(), (end, ys)

    found = [
        jax.jit(jax.value_and_grad(partial(loss, method), (0, 1, 2), has_aux=True))(params, xs, start)
        for method in ("chunked", "sequential")
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), *found)


@pytest.mark.parametrize("make", [cells.lstm, cells.gru])
def test_chrono_starts_with_memories_of_two_to_t_max_steps(make):
    """A gate that keeps a share f of the state forgets after 1 / (1 - f) steps."""
    hidden = 4000
    params = make(3, hidden, t_max=300.0).init(jax.random.key(0))
    steps = 1 / (1 - np.asarray(jax.nn.sigmoid(params["b"][hidden : 2 * hidden].astype(F64))))
    assert 2 <= steps.min() < 3
    assert 299 < steps.max() <= 300
    assert abs(steps.mean() - 151) < 3  # uniformly
    first = params["b"][:hidden]
    np.testing.assert_array_equal(first, -params["b"][hidden : 2 * hidden] if make is cells.lstm else 0)
    without = make(3, hidden).init(jax.random.key(0))
    np.testing.assert_array_equal(params["W_hh"], without["W_hh"])
    with pytest.raises(ValueError, match=r"t_max=2.0: give a number above 2\."):
        make(3, 4, t_max=2.0)


@pytest.mark.slow
def test_rg_lru_starts_with_memories_of_ten_to_a_thousand_steps():
    cell = cells.rg_lru(3, 4000)
    rate = np.asarray(cell.prepare(cell.init(jax.random.key(0))).rate)
    assert 0.9 <= np.exp(-rate).min() < 0.905
    assert 0.995 < np.exp(-rate).max() <= 0.999


def test_indrnn_keeps_its_bound_and_learns_at_it():
    cell = cells.indrnn(3, 5, bound=0.5, dtype=F64)
    params = cell.init(jax.random.key(0))
    params["u"] = jnp.array([-2.0, -0.5, 0.1, 0.5, 2.0])
    np.testing.assert_allclose(cell.prepare(params).W_hh, [-0.5, -0.5, 0.1, 0.5, 0.5])
    gradient = jax.grad(lambda p: jnp.sum(jnp.sin(cell.prepare(p).W_hh)))(params)["u"]
    np.testing.assert_allclose(gradient, np.cos([-0.5, -0.5, 0.1, 0.5, 0.5]))


def test_lipschitz_cornn_and_antisymmetric_stay_bounded_for_10000_steps():
    xs = jax.random.normal(jax.random.key(1), (10_000, 3))
    for name in ("antisymmetric", "lipschitz", "cornn"):
        cell = cells.make(name, 3, 16)
        ys = asrnn_jax.run(cell, cell.init(jax.random.key(0)), xs)[1]
        assert float(jnp.abs(ys).max()) < 100, name


def test_input_gated_holds_its_state_where_the_gate_is_shut():
    cell = cells.input_gated(3, 5, gate_bias=-100.0, dtype=F64)
    carry = jax.random.normal(jax.random.key(1), (2, 5), F64)
    end, _ = asrnn_jax.run(cell, cell.init(jax.random.key(0)), jnp.ones((2, 50, 3), F64), carry=carry)
    np.testing.assert_allclose(end, carry, rtol=1e-12)


def test_surprisal_is_the_loss_of_its_prediction():
    """With V = e, only the surprisal moves a gate: the first step's is log I for a prediction that knows nothing."""
    cell = cells.surprisal(4, 2, dtype=F64)
    params = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0)))
    params["V"] = jnp.zeros(8, F64).at[4:6].set(1.0)  # candidate gates
    carry, _ = asrnn_jax.run(cell, params, jax.nn.one_hot(jnp.array([[2]]), 4, dtype=F64))
    np.testing.assert_allclose(carry.c, np.full((1, 2), 0.5 * np.tanh(np.log(4))), rtol=1e-12)


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("slope", [None, 3.0])
def test_surrogate_derivatives_are_those_of_their_smooth_steps(name, slope):
    k = SURROGATES[name].slope if slope is None else slope
    v = jnp.concatenate([jnp.linspace(-1.7, 1.7, 301) + 1e-3, jnp.array([1e-4, -1e-4])])
    step = 1e-6
    measured = (soft(name, k, v + step) - soft(name, k, v - step)) / (2 * step)
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda v: spike(v, name, k)))(v), measured, rtol=2e-4, atol=1e-6)
    forward = jax.vmap(lambda v: jax.jvp(lambda v: spike(v, name, k), (v,), (2.0,))[1])(v)
    np.testing.assert_allclose(forward, 2 * measured, rtol=2e-4, atol=1e-6)
    np.testing.assert_array_equal(spike(v, name, k), np.asarray(v) > 0)


def test_a_constant_current_makes_a_neuron_fire_as_often_as_the_closed_form_says():
    """Without leak (large tau), soft reset: one spike every threshold / current steps."""
    cell = cells.lif(1, 1, recurrent=False, tau=1e9, dtype=F64)
    params = cell.init(jax.random.key(0))
    params["W_xh"] = jnp.full((1, 1), 0.13)
    spikes = asrnn_jax.run(cell, params, jnp.ones((1000, 1), F64))[1]
    assert abs(float(spikes.sum()) - 130) <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cells.lif(3, 5, surrogate="atn"), "surrogate='atn'"),
        (lambda: cells.lif(3, 5, reset="none"), "reset='none'"),
        (lambda: cells.lif(3, 5, slope=0.0), "slope=0.0"),
        (lambda: cells.alif(3, 5, tau_adapt=-1.0), "tau_adapt=-1.0"),
        (lambda: cells.alif(3, 5, adaptation=-1.0), "adaptation=-1.0"),
        (lambda: cells.lru(3, 5, r_min=0.9, r_max=0.5), "r_min=0.9, r_max=0.5"),
        (lambda: cells.lru(3, 5, outputs=0), "outputs=0"),
        (lambda: cells.s5(3, 5, blocks=2), "blocks=2"),
        (lambda: cells.s5(3, 5, dt_min=0.0), "dt_min=0.0"),
        (lambda: cells.rg_lru(3, 5, c=0.0), "c=0.0"),
        (lambda: cells.nnrnn(3, 5, map="schur"), "map='schur'"),
        (lambda: cells.exprnn(3, 5, init="zero"), "init='zero'"),
        (lambda: cells.scornn(3, 5, rho=1.5), "rho=1.5"),
        (lambda: cells.lipschitz(3, 5, beta=2.0), "beta=2.0"),
        (lambda: cells.cornn(3, 5, dt=-0.1), "dt=-0.1"),
        (lambda: cells.antisymmetric(3, 5, epsilon=float("nan")), "epsilon=nan"),
        (lambda: cells.indrnn(3, 5, activation="sin"), "activation='sin'"),
        (lambda: cells.irnn(3, 5, scale=-1.0), "scale=-1.0"),
        (lambda: cells.indrnn(3, 5, least=1.5), "least=1.5"),
        (lambda: cells.min_gru(3, 5, candidate="log"), "candidate='log'"),
        (lambda: cells.surprisal(3, 5, prediction="mse"), "prediction='mse'"),
        (lambda: cells.gru(0, 5), "inputs=0"),
        (lambda: cells.urnn(3, -5), "hidden=-5"),
    ],
)
def test_factories_name_what_they_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", cells.CELLS)
def test_factories_refuse_sizes_that_are_none(name):
    for inputs, hidden in ((0, 5), (3, 0), (3, -1)):
        with pytest.raises(ValueError, match="give at least 1"):
            cells.CELLS[name](inputs, hidden)


@pytest.mark.parametrize("n", [9, 45])
def test_triangular_systems_equal_a_dense_solution(n):
    """At 9 by powers, at 45 by halves of odd sizes; values, and the gradient by the adjoint system."""
    rng = np.random.default_rng(n)
    L, b, weight = np.tril(rng.uniform(-1, 1, (2, n, n)), -1), *rng.standard_normal((2, 2, n, 3))
    x, pullback = jax.vjp(solve_unit_lower, jnp.asarray(L), jnp.asarray(b))
    dense = np.eye(n) + L
    scale = np.abs(np.linalg.inv(dense)).max()
    np.testing.assert_allclose(x / scale, np.linalg.solve(dense, b) / scale, atol=1e-12)
    d_L, d_b = pullback(jnp.asarray(weight))
    adjoint = np.linalg.solve(np.swapaxes(dense, -1, -2), weight)
    np.testing.assert_allclose(d_b / scale, adjoint / scale, atol=1e-12)
    np.testing.assert_allclose(d_L / scale**2, -adjoint @ np.swapaxes(np.asarray(x), -1, -2) / scale**2, atol=1e-12)
