"""An overflow born in the state, not in the inputs, stays before the next reset: values and gradients."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import cells
from tests.quick import quickly
from tests.test_laws import KINDS, LOOP_ROWS, B, H, I, T, close, inputs, of, scalar

BURST, RESET = 3, 7  # steps


def planted(cell):
    """The cell with a state that becomes infinite by itself in a step whose first input is beyond 50."""

    def burst(trigger, tree):
        scale = jnp.where(jnp.abs(trigger) > 50, 0.0, 1.0)
        return jax.tree.map(lambda leaf: leaf / jnp.expand_dims(scale, tuple(range(scale.ndim, leaf.ndim))), tree)

    keep, own_pullback = cell.gradient.keep, cell.gradient.pullback

    def pullback(prev, carry, kept, ct):
        (z, trigger), rest = kept if keep is None else ((None, kept[1]), None)
        own = (z, rest) if keep is None else kept[0]
        ct = burst(trigger, ct)
        if own_pullback is None:
            d_prev, d_z, d_a = jax.vjp(cell.update, prev, *own)[1](ct)
        else:
            d_prev, d_z, d_a = own_pullback(prev, carry, own, ct)
        return d_prev, (d_z, jnp.zeros_like(trigger)), d_a

    return cell.replace(
        project=lambda weights, xs: (cell.project(weights, xs), xs[..., :1]),
        update=lambda carry, z, a: burst(z[1], cell.update(carry, z[0], a)),
        gradient=replace(
            cell.gradient, keep=None if keep is None else lambda z, a: (keep(z[0], a), z[1]), pullback=pullback
        ),
        elements=None,
        chunk=None,
        activity=None,
    )


def simple(row):
    return lambda: planted(of(row).build(jnp.float64))


def build(name, *sizes, **options):
    return planted(cells.make(name, *sizes, dtype=jnp.float64, **options))


SUBJECTS = {
    **{row.id: simple(row) for row in LOOP_ROWS},
    "stack": lambda: cells.stack([build("lstm", I, H), build("lru", H, 5)]),
    "residual": lambda: cells.residual(build("gru", I, H), norm="none", dtype=jnp.float64),
    "deep": lambda: cells.with_output(
        cells.with_input(
            cells.stack(
                [cells.residual(build("lru", 4, H, outputs=4), norm="none", dtype=jnp.float64) for _ in range(2)]
            ),
            I,
            dtype=jnp.float64,
        ),
        2,
        dtype=jnp.float64,
    ),
    "bidirectional": lambda: cells.bidirectional(build("gru", I, H), build("asrnn", I, 4)),
    "started": lambda: cells.with_trained_start(build("asrnn", I, H), dtype=jnp.float64),
    "with_output": lambda: cells.with_output(build("lif", I, H), 2, dtype=jnp.float64),
}


CASES = [*((name, "fused") for name in SUBJECTS), *((name, "autodiff") for name in KINDS)]
QUICK = {("asrnn", "fused"), ("lstm", "fused"), ("s5", "fused"), ("asrnn", "autodiff")}


@pytest.mark.parametrize(
    ("name", "gradient"), [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES]
)
def test_an_overflow_of_the_state_reaches_nothing_after_a_reset(name, gradient):
    cell = SUBJECTS[name]()
    params = jax.jit(cell.init)(jax.random.key(0))
    clean = inputs(B, T, I)
    dirty = clean.at[0, BURST, 0].set(1e6)
    reset = jnp.zeros((B, T), bool).at[:, RESET].set(True)
    run = partial(asrnn_jax.run, cell, gradient=gradient)
    ends = jax.tree.leaves(run(params, dirty[:, : BURST + 1])[0])
    assert not all(np.isfinite(end[0]).all() for end in ends)  # the plant works

    @jax.jit
    def result(params, xs):
        def loss(params, xs):
            ys = run(params, xs, reset=reset)[1]
            # The last output of the backward cell is that of its own last step, before the reset.
            both = name in ("asrnn", "deep")
            last = run(params, xs, reset=reset, outputs="last")[1] if both else ()
            return scalar((ys[:, RESET:], last)), ys

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, xs)

    (found, ys), (d_params, d_xs) = result(params, dirty)
    (expected, ys_clean), (d_params_clean, d_xs_clean) = result(params, clean)
    close((found, ys[:, RESET:], ys[1:]), (expected, ys_clean[:, RESET:], ys_clean[1:]))
    close(d_params, d_params_clean)
    close(d_xs[:, RESET:], d_xs_clean[:, RESET:])
    np.testing.assert_array_equal(d_xs[:, :RESET], 0)


@quickly("gradient", ["fused"], ("fused", "autodiff"))
def test_a_growing_relu_network_that_overflows_before_a_reset(gradient):
    """60 growing steps to infinity, then a reset; the loss is of the last 3 steps."""
    cell = cells.irnn(1, 4)
    params = cell.init(jax.random.key(0))
    params = {**params, "W_hh": 50 * params["W_hh"], "W_xh": jnp.ones_like(params["W_xh"])}
    xs = jnp.ones((2, 70, 1), jnp.float32)
    reset = jnp.zeros((2, 70), bool).at[:, 62].set(True)

    def loss(params, xs, **options):
        return asrnn_jax.run(cell, params, xs, gradient=gradient, **options)[1][:, -3:].sum()

    assert not np.isfinite(asrnn_jax.run(cell, params, xs[:, :60])[1]).all()
    found = jax.value_and_grad(loss)(params, xs, reset=reset)
    close(found, jax.value_and_grad(loss)(params, xs[:, 62:]), rtol=1e-5)


def test_a_linear_cell_that_overflows_in_parallel():
    cell = cells.lru(1, 4)
    params = cell.init(jax.random.key(0))
    xs = jnp.ones((2, 12, 1), jnp.float32).at[0, :6].set(3e38)
    reset = jnp.zeros((2, 12), bool).at[:, 8].set(True)

    def loss(params, method):
        return asrnn_jax.run(cell, params, xs, reset=reset, method=method)[1][:, 8:].sum()

    found = jax.value_and_grad(loss)(params, "associative_scan")
    expected = jax.value_and_grad(lambda p: asrnn_jax.run(cell, p, xs[:, 8:])[1].sum())(params)
    close(found, expected, rtol=1e-4, atol=1e-5)
    close(jax.value_and_grad(loss)(params, "sequential"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "large"), [("mlstm", 1e200), pytest.param("attention", 1e100, marks=pytest.mark.slow)]
)
def test_numbers_that_are_too_large_for_products_over_many_steps_stay_before_a_reset(name, large):
    cell = cells.make(name, I, H, dtype=jnp.float64)
    params, clean = cell.init(jax.random.key(0)), inputs(B, T, I)
    dirty = clean.at[0, BURST].set(large)
    reset = jnp.zeros((B, T), bool).at[:, RESET].set(True)

    @jax.jit
    def gradient(params, xs):
        return jax.grad(lambda p, xs: scalar(asrnn_jax.run(cell, p, xs, reset=reset)[1][:, RESET:]), (0, 1))(params, xs)

    close(gradient(params, dirty), gradient(params, clean))
