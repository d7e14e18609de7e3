"""asRNN against its equation with three products a step, its limits and its bounds."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import asrnn_jax
from asrnn_jax.cells import asrnn, orthogonal, tanh_rnn
from tests import naive


def random_params(cell, key, dtype, low=0.05, high=3.0):
    """Random skew matrices, D_f within [low, high] and biases: no term of the equation is special."""
    keys = iter(jax.random.split(key, 6))
    params = cell.init(next(keys))
    for name in ("W_hh", "U_f"):
        skew = params[name]["skew"]
        params[name] = {"skew": jax.random.normal(next(keys), skew.shape, dtype) / cell.hidden**0.5}
    params["D_f"] = jax.random.uniform(next(keys), (cell.hidden,), dtype, low - 0.01, high - 0.01)
    params["b"] = 0.1 * jax.random.normal(next(keys), (cell.hidden,), dtype)
    return params


def naive_outputs(cell, params, xs):
    """h_t by the three-product equation, xs (T, B, I)."""
    W_xh, W_hh, b, W_f, W_f_inv = naive.asrnn(params, cell.hidden)

    def body(h, x):
        h = W_f_inv @ jnp.tanh(W_f @ (W_xh @ x + W_hh @ h + b))
        return h, h

    run = lambda xs: lax.scan(body, jnp.zeros(cell.hidden, xs.dtype), xs)[1]  # noqa: E731
    return jax.vmap(run, in_axes=1, out_axes=1)(xs)


@pytest.mark.parametrize(
    ("dtype", "low", "tolerance"),
    [(jnp.float64, 0.05, 1e-10), pytest.param(jnp.float32, 0.5, 1e-4, marks=pytest.mark.slow)],
)
def test_conjugated_form_equals_the_equation_over_1000_steps(dtype, low, tolerance):
    """Values and all gradients; errors are relative to the largest entry of each array.

    D_f spans a factor of 60 in float64. In float32 it spans 2: beyond that the random cell is chaotic, and rounding
    grows to order 1 within 1000 steps in either form.
    """
    cell = asrnn(inputs=2, hidden=12, dtype=dtype)
    params = random_params(cell, jax.random.key(0), dtype, low, 60 * low if dtype == jnp.float64 else 2 * low)
    xs = jax.random.normal(jax.random.key(1), (1000, 3, 2), dtype)
    weight = jax.random.normal(jax.random.key(2), (1000, 3, 12), dtype)

    def value_and_gradients(f):
        return jax.jit(jax.value_and_grad(lambda p, xs: jnp.sum(weight * f(p, xs)), (0, 1)))(params, xs)

    def ours(params, xs):
        return asrnn_jax.run(cell, params, xs, time_major=True)[1]

    def equation(params, xs):
        return naive_outputs(cell, params, xs)

    pairs = [
        (jax.jit(ours)(params, xs), jax.jit(equation)(params, xs)),
        *zip(jax.tree.leaves(value_and_gradients(ours)), jax.tree.leaves(value_and_gradients(equation))),
    ]
    for a, b in pairs:
        assert float(jnp.abs(a - b).max()) <= tolerance * float(jnp.abs(b).max())


@pytest.mark.parametrize(("hidden", "thousands"), [(122, 16), (257, 69), (364, 137)])
def test_parameter_counts_are_those_of_the_papers_table(hidden, thousands):
    model = asrnn_jax.cells.with_output(asrnn(inputs=1, hidden=hidden), 10)
    count = asrnn_jax.optim.count(jax.eval_shape(model.init, jax.random.key(0)))
    by_hand = 2 * hidden * (hidden - 1) // 2 + 3 * hidden + 10 * hidden + 10
    assert count == by_hand
    assert round(count / 1000) == thousands


def test_identity_saturation_is_the_tanh_rnn():
    cell, plain = asrnn(3, 7, a=0.0, b=0.0, eps=1.0, dtype=jnp.float64), tanh_rnn(3, 7, dtype=jnp.float64)
    params = cell.init(jax.random.key(0))
    W_hh = naive.orthogonal_matrix(params["W_hh"]["skew"], 7, "cayley")
    xs = jax.random.normal(jax.random.key(1), (5, 20, 3), jnp.float64)
    expected = asrnn_jax.run(plain, {"W_xh": params["W_xh"], "W_hh": W_hh.T, "b": params["b"]}, xs)[1]
    chex.assert_trees_all_close(asrnn_jax.run(cell, params, xs)[1], expected, rtol=1e-12, atol=1e-12)


def test_small_saturation_is_the_linear_orthogonal_rnn():
    cell = asrnn(3, 7, a=0.0, b=0.0, eps=1e-6, dtype=jnp.float64)
    linear = orthogonal(3, 7, init="cayley", activation="linear", dtype=jnp.float64)
    params = cell.init(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (5, 20, 3), jnp.float64)
    expected = asrnn_jax.run(linear, {k: params[k] for k in ("W_xh", "W_hh", "b")}, xs)[1]
    chex.assert_trees_all_close(asrnn_jax.run(cell, params, xs)[1], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
def test_jacobian_spectrum_lies_within_the_bounds():
    """sigma_max <= kappa max(1 - g^2) and sigma_min >= min(1 - g^2) / kappa, at random states (PAPERS, section 1)."""
    cell = asrnn(2, 9, dtype=jnp.float64)
    for seed in range(5):
        params = random_params(cell, jax.random.key(seed), jnp.float64)
        weights, D_f = cell.prepare(params), jnp.abs(params["D_f"]) + 0.01
        h, x = jax.random.normal(jax.random.key(seed + 10), (9,)), jax.random.normal(jax.random.key(seed + 20), (2,))

        def step(h):
            return cell.to_state(weights, asrnn_jax.step(cell, weights, cell.to_carry(weights, h), x)[0])  # noqa: B023

        sigma = jnp.linalg.svd(jax.jacfwd(step)(h), compute_uv=False)
        slope, kappa = 1 - cell.to_carry(weights, step(h)) ** 2, D_f.max() / D_f.min()
        assert sigma[0] <= kappa * slope.max() * (1 + 1e-9)
        assert sigma[-1] >= slope.min() / kappa * (1 - 1e-9)


def test_without_rotation_no_singular_value_passes_1():
    """h = tanh(d z) / d unit by unit, from its formula, and the Jacobian of a step at states anywhere."""
    cell = asrnn(2, 9, rotate=False, saturation="bounded", kappa=100.0, a=0.05, b=5.0, dtype=jnp.float64)
    params = cell.init(jax.random.key(0))
    weights, W_hh = cell.prepare(params), naive.orthogonal_matrix(params["W_hh"]["skew"], 9, "cayley")
    d = jnp.diag(weights.W_f)
    assert d.max() / d.min() > 5
    for seed in range(5):
        h, x = 3 * jax.random.normal(jax.random.key(seed), (9,)), jax.random.normal(jax.random.key(seed + 20), (2,))

        def step(h):
            return cell.to_state(weights, asrnn_jax.step(cell, weights, cell.to_carry(weights, h), x)[0])  # noqa: B023

        z = x @ params["W_xh"] + W_hh @ h + params["b"]
        np.testing.assert_allclose(step(h), jnp.tanh(d * z) / d, rtol=1e-10)
        assert jnp.linalg.svd(jax.jacfwd(step)(h), compute_uv=False)[0] <= 1 + 1e-12


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_derivative_of_the_papers_saturation(slope):
    cell = asrnn(1, 3, a=-1.0, b=1.0, slope=slope, dtype=jnp.float64)
    params = cell.init(jax.random.key(0))

    def diagonal(s):
        W_f = cell.prepare({**params, "D_f": s}).W_f  # U_f starts at the identity, so W_f = D_f
        return jnp.diag(W_f)

    s = jnp.array([-0.5, 0.0, 2.0])
    np.testing.assert_allclose(diagonal(s), [0.51, 0.01, 2.01], atol=1e-15)
    np.testing.assert_allclose(jnp.diag(jax.jacobian(diagonal)(s)), [-1.0, slope, 1.0], atol=1e-15)


def test_bounded_saturation_keeps_its_bound_and_starts_where_asked():
    cell = asrnn(1, 50, saturation="bounded", kappa=4.0, a=0.1, b=0.15, eps=0.0, dtype=jnp.float64)
    params = cell.init(jax.random.key(0))
    start = jnp.diag(cell.prepare(params).W_f)
    assert start.min() >= 0.1 - 1e-12
    assert start.max() <= 0.15 + 1e-12
    for scale in (1.0, 100.0):
        wild = {"p": jnp.asarray(-scale), "s": scale * jax.random.normal(jax.random.key(1), (50,), jnp.float64)}
        D_f = jnp.diag(cell.prepare({**params, "D_f": wild}).W_f)
        assert D_f.min() > 0
        assert D_f.max() / D_f.min() <= 4.0 * (1 + 1e-12)


@pytest.mark.slow
def test_bounded_saturation_trains_from_a_small_start_where_the_papers_form_cannot_move():
    """From D_f = 1e-5 on a task that needs saturation: D_f of the paper's recipe stays, the bounded one grows."""
    import optax

    xs = jax.random.normal(jax.random.key(0), (32, 8, 1), jnp.float64)
    target = jnp.sign(xs.sum((1, 2)))

    def grown(saturation):
        cell = asrnn_jax.cells.with_output(
            asrnn(1, 8, a=0.0, b=0.0, eps=1e-5, saturation=saturation, kappa=10.0, gain=1.0, dtype=jnp.float64),
            1,
            dtype=jnp.float64,
        )
        params = cell.init(jax.random.key(1))
        tx = optax.rmsprop(1e-2)

        @jax.jit
        def update(params, state):
            loss = lambda p: jnp.square(asrnn_jax.run(cell, p, xs, outputs="last")[1][:, 0] - target).mean()  # noqa: E731
            value, gradient = jax.value_and_grad(loss)(params)
            updates, state = tx.update(gradient, state, params)
            return optax.apply_updates(params, updates), state, value

        state = tx.init(params)
        for _ in range(300):
            params, state, loss = update(params, state)
            assert jnp.isfinite(loss)
        return params["cell"]["D_f"], loss

    (stuck, loss_stuck), (moved, loss_moved) = grown("abs"), grown("bounded")
    np.testing.assert_array_equal(stuck, 0.0)
    assert abs(moved["p"]) > 0.1
    assert loss_moved < 0.3 * loss_stuck


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": 0}, "inputs=0"),
        ({"hidden": -3}, "hidden=-3"),
        ({"map": "cayly"}, "map='cayly'"),
        ({"init": "he"}, "init='he'"),
        ({"a": 1.0, "b": 0.5}, "a=1.0, b=0.5"),
        ({"a": 0.0, "b": 0.0, "eps": 0.0}, "eps=0.0"),
        ({"eps": float("nan")}, "eps=nan"),
        ({"kappa": 0.5}, "kappa=0.5"),
        ({"gain": 0.0}, "gain=0.0"),
        ({"angle_scale": 1.5}, "angle_scale=1.5"),
        ({"map": "scaled_cayley", "rho": 2.0}, "rho=2.0"),
    ],
)
def test_bad_options_name_the_argument(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        asrnn(**{"inputs": 1, "hidden": 4, **options})
