"""Laws that every cell obeys. A new row of tests/naive.py inherits all of them."""

from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import asrnn_jax
from tests.naive import TABLE

I, H, B, T = 3, 6, 4, 13  # noqa: E741
ROWS = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
# How W_hh comes about does not matter to the loop: one row a kind of loop for the laws that are all about it.
ENGINE = ("tanh_rnn", "asrnn-saturated", "orthogonal", "orthogonal-linear", "lstm")
ENGINE_ROWS = pytest.mark.parametrize("row", [row for row in TABLE if row.id in ENGINE], ids=lambda row: row.id)
close = partial(chex.assert_trees_all_close, rtol=1e-10, atol=1e-10)


def make(row, dtype=jnp.float64):
    """A cell with params moved off their special starting points, so that every term of the equation counts."""
    cell = asrnn_jax.cells.make(row.cell, I, H, dtype=dtype, **dict(row.options))
    params = cell.init(jax.random.key(0))
    moved = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(jax.random.key(p.size), p.shape, p.dtype), params)
    if "W_hh" in params and isinstance(params["W_hh"], dict) and "base" in params["W_hh"]:
        moved["W_hh"]["base"] = params["W_hh"]["base"]
    return cell, moved


def inputs(*shape, seed=1):
    return jax.random.normal(jax.random.key(seed), shape, jnp.float64)


def some_carry(cell, batch, seed=2):
    carry = cell.initial_carry(batch, jnp.float64)
    return jax.tree.map(lambda c: 0.3 * jax.random.normal(jax.random.key(seed + c.ndim), c.shape, c.dtype), carry)


@partial(jax.jit, static_argnums=(0, 1), static_argnames="reverse")
def naive_run(row, cell, params, xs, carry=None, mask=None, reset=None, reverse=False):
    """The equation stepped over time for one element, states in, states out; xs (B, T, I)."""
    matrices = row.matrices(params, H, **dict(row.options))
    weights = cell.prepare(params)
    fresh = cell.to_state(weights, cell.initial_carry((), xs.dtype))
    ones = jnp.ones(xs.shape[:2], bool)
    mask, reset = ones if mask is None else mask, ~ones if reset is None else reset

    def one(start, xs, mask, reset):
        def body(state, inputs):
            x, valid, afresh = inputs
            state = jax.tree.map(lambda f, s: jnp.where(afresh, f, s), fresh, state)
            new, _ = row.step(matrices, state, x)
            new = jax.tree.unflatten(jax.tree.structure(state), jax.tree.leaves(new))
            state = jax.tree.map(lambda n, s: jnp.where(valid, n, s), new, state)
            return state, row.output(state)

        return lax.scan(body, start, (xs, mask, reset), reverse=reverse)

    start = jax.tree.map(lambda f: jnp.broadcast_to(f, (len(xs), *f.shape)), fresh)
    start = start if carry is None else cell.to_state(weights, carry)
    return jax.vmap(one)(start, xs, mask, reset)


@partial(jax.jit, static_argnums=0, static_argnames=("reverse",))
def state_run(cell, params, xs, **options):
    carry, ys = asrnn_jax.run(cell, params, xs, **options)
    return cell.to_state(cell.prepare(params), carry), ys


def scalar(tree):
    """A loss that every number of a tree enters differently."""
    return sum(jnp.sum(jnp.sin(leaf + jnp.arange(leaf.size).reshape(leaf.shape))) for leaf in jax.tree.leaves(tree))


def flags(seed, probability=0.6, shape=(B, T)):
    return jax.random.bernoulli(jax.random.key(seed), probability, shape)


@ROWS
@pytest.mark.parametrize("reverse", [False, True])
def test_run_equals_the_naive_loop_of_the_equation(row, reverse):
    cell, params = make(row)
    xs, carry = inputs(B, T, I), some_carry(cell, (B,))
    mask, reset = flags(5), flags(6, 0.2)
    for options in ({"carry": carry}, {"mask": mask, "reset": reset}):
        ours = state_run(cell, params, xs, reverse=reverse, **options)
        close(ours, naive_run(row, cell, params, xs, reverse=reverse, **options))


@ROWS
def test_gradients_equal_those_of_the_naive_loop(row):
    cell, params = make(row)
    xs, mask, reset = inputs(2, 5, I), flags(5, shape=(2, 5)), flags(6, 0.3, (2, 5))

    def loss(f, params, xs):
        return scalar(f(cell, params, xs, mask=mask, reset=reset))

    ours = jax.jit(jax.grad(partial(loss, state_run), (0, 1)))(params, xs)
    naive = jax.jit(jax.grad(partial(loss, partial(naive_run, row)), (0, 1)))(params, xs)
    close((trained(ours[0]), ours[1]), (trained(naive[0]), naive[1]))


def trained(gradient):
    """Without dynamic bases, which get no gradient by design."""
    labels = asrnn_jax.optim.labels(gradient)
    return jax.tree.map(lambda g, label: jnp.zeros_like(g) if label == "frozen" else g, gradient, labels)


@ENGINE_ROWS
@pytest.mark.parametrize("block", [None, 5])
@pytest.mark.parametrize(("outputs", "reverse"), [("all", False), ("all", True), ("last", True)])
@pytest.mark.parametrize("flagged", [False, True])
def test_fused_gradient_equals_autodiff_of_the_scan(row, block, outputs, reverse, flagged):
    cell, params = make(row)
    xs, carry = inputs(B, T, I), some_carry(cell, (B,))
    options = {"mask": flags(5), "reset": flags(6, 0.2)} if flagged else {}

    @partial(jax.jit, static_argnums=0)
    def value_and_gradient(gradient, *arguments):
        def loss(params, xs, carry):
            run = partial(asrnn_jax.run, cell, reverse=reverse, outputs=outputs, block=block, **options)
            return scalar(run(params, xs, carry=carry, gradient=gradient))

        return jax.value_and_grad(loss, (0, 1, 2))(*arguments)

    close(value_and_gradient("fused", params, xs, carry), value_and_gradient("plain", params, xs, carry))


@ROWS
def test_fused_gradient_under_vmap_over_an_ensemble(row):
    cell, _ = make(row)
    params = jax.vmap(cell.init)(jax.random.split(jax.random.key(3), 3))
    xs = inputs(B, T, I)
    gradient = jax.grad(lambda p: scalar(asrnn_jax.run(cell, p, xs)))
    each = [gradient(jax.tree.map(lambda p: p[i], params)) for i in range(3)]  # noqa: B023
    close(jax.vmap(gradient)(params), jax.tree.map(lambda *g: jnp.stack(g), *each))


@ROWS
def test_gradients_equal_finite_differences(row):
    cell, params = make(row)
    xs = inputs(2, 4, I)
    flat, unflatten = jax.flatten_util.ravel_pytree(params)
    direction = jax.random.normal(jax.random.key(9), flat.shape, flat.dtype)
    free = jax.flatten_util.ravel_pytree(
        jax.tree.map(lambda p, label: jnp.full(p.shape, label != "frozen"), params, asrnn_jax.optim.labels(params))
    )[0]
    direction = direction * free

    @jax.jit
    def loss(flat):
        return scalar(asrnn_jax.run(cell, unflatten(flat), xs))

    step = 1e-6
    measured = (loss(flat + step * direction) - loss(flat - step * direction)) / (2 * step)
    np.testing.assert_allclose(jax.grad(loss)(flat) @ direction, measured, rtol=1e-6)


@ENGINE_ROWS
@pytest.mark.parametrize("cut", [0, 1, 5, T])
def test_chunks_equal_the_whole(row, cut):
    cell, params = make(row)
    xs = inputs(B, T, I)
    carry, first = asrnn_jax.run(cell, params, xs[:, :cut])
    carry, second = asrnn_jax.run(cell, params, xs[:, cut:], carry=carry)
    close((carry, jnp.concatenate([first, second], axis=1)), asrnn_jax.run(cell, params, xs))


@ROWS
def test_step_by_step_equals_run(row):
    cell, params = make(row)
    xs, mask, reset = inputs(B, T, I), flags(5), flags(6, 0.2)
    weights, carry = cell.prepare(params), cell.initial_carry((B,), jnp.float64)
    ys = []
    for t in range(T):
        carry, y = asrnn_jax.step(cell, weights, carry, xs[:, t], mask=mask[:, t], reset=reset[:, t])
        ys.append(y)
    close((carry, jnp.stack(ys, axis=1)), asrnn_jax.run(cell, params, xs, mask=mask, reset=reset))


@ENGINE_ROWS
def test_lengths_equal_truncation(row):
    cell, params = make(row)
    xs, lengths = inputs(B, T, I), jnp.array([0, 1, 7, T])
    for reverse in (False, True):
        carry, ys = asrnn_jax.run(cell, params, xs, lengths=lengths, reverse=reverse)
        last = asrnn_jax.run(cell, params, xs, lengths=lengths, reverse=reverse, outputs="last")[1]
        for e, length in enumerate(lengths):
            one, y = asrnn_jax.run(cell, params, xs[e, :length], reverse=reverse)
            close(jax.tree.map(lambda c: c[e], carry), one)  # noqa: B023
            close(ys[e, :length], y)
            if length:
                close(last[e], y[0 if reverse else -1])
    close(jax.tree.map(lambda c: c[0], carry), cell.initial_carry((), jnp.float64))


@ENGINE_ROWS
def test_packed_sequences_with_resets_equal_separate_ones(row):
    cell, params = make(row)
    xs, starts = inputs(T, I), [0, 4, 9]
    reset = jnp.zeros(T, bool).at[jnp.array(starts)].set(True)
    _, packed = asrnn_jax.run(cell, params, xs, carry=some_carry(cell, ()), reset=reset)
    separate = [asrnn_jax.run(cell, params, xs[a:b])[1] for a, b in zip(starts, [*starts[1:], T])]
    close(packed, jnp.concatenate(separate))


@ENGINE_ROWS
@pytest.mark.parametrize("batch", [(), (2, 3), (1, 2, 2)])
def test_any_number_of_batch_axes_and_both_layouts(row, batch):
    cell, params = make(row)
    xs = inputs(*batch, T, I)
    mask, reset, carry = flags(5, shape=(*batch, T)), flags(6, 0.2, (*batch, T)), some_carry(cell, batch)
    lengths = jax.random.randint(jax.random.key(7), batch, 0, T + 1)
    end, ys = asrnn_jax.run(cell, params, xs, carry=carry, mask=mask, reset=reset, lengths=lengths)
    rows = int(np.prod(batch))
    flat = jax.tree.map(lambda c: c.reshape(rows, *c.shape[len(batch) :]), carry)
    end_flat, ys_flat = asrnn_jax.run(
        cell,
        params,
        xs.reshape(rows, T, I),
        carry=flat,
        mask=mask.reshape(rows, T),
        reset=reset.reshape(rows, T),
        lengths=lengths.reshape(rows),
    )
    close(ys, ys_flat.reshape(*batch, T, cell.outputs))
    close(end, jax.tree.map(lambda e: e.reshape(*batch, *e.shape[1:]), end_flat))
    first = partial(jnp.moveaxis, source=-1, destination=0)
    major = asrnn_jax.run(
        cell,
        params,
        jnp.moveaxis(xs, -2, 0),
        carry=carry,
        mask=first(mask),
        reset=first(reset),
        lengths=lengths,
        time_major=True,
    )
    close(major, (end, jnp.moveaxis(ys, -2, 0)))


@cache
def _gradient_where(cell, reverse):
    """Gradients of a loss over the outputs at `clean` steps only, and all outputs."""

    def loss(params, xs, mask, reset, clean):
        ys = asrnn_jax.run(cell, params, xs, mask=mask, reset=reset, reverse=reverse)[1]
        return scalar(jnp.where(clean[..., None], ys, 0.0)), ys

    return jax.jit(jax.grad(loss, (0, 1), has_aux=True))


@ENGINE_ROWS
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_nan_crosses_neither_padding_nor_resets(row, data):
    """Values and gradients of what comes after are those of clean inputs, bit for bit."""
    cell, params = make(row)
    xs = inputs(2, T, I)
    bools = st.lists(st.booleans(), min_size=2 * T, max_size=2 * T)
    mask = np.array(data.draw(bools)).reshape(2, T)
    reset = np.array(data.draw(bools)).reshape(2, T)
    reset[:, data.draw(st.integers(1, T - 1))] = True
    reverse = data.draw(st.booleans())
    bad = np.array(data.draw(bools)).reshape(2, T)
    # A step is reached by a bad input if one lies at or before it since the last reset, among valid steps.
    reached, order = np.zeros((2, T), bool), sorted(range(T), reverse=reverse)
    for e in range(2):
        dirty = False
        for t in order:
            dirty = (dirty and not reset[e, t]) or (bad[e, t] and mask[e, t])
            reached[e, t] = dirty
    dirt = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    dirty_xs = jnp.where(bad[..., None], dirt, xs)
    clean = jnp.asarray(~reached)

    gradient = _gradient_where(cell, reverse)
    dirty_gradient, dirty_ys = gradient(params, dirty_xs, mask, reset, clean)
    clean_gradient, ys = gradient(params, jnp.where(bad[..., None], 0.0, xs), mask, reset, clean)
    chex.assert_trees_all_equal(dirty_gradient, clean_gradient)
    np.testing.assert_array_equal(jnp.isnan(dirty_ys).any(-1), reached)
    np.testing.assert_array_equal(dirty_ys[clean], ys[clean])


@ENGINE_ROWS
def test_a_nan_carry_is_gone_after_a_reset(row):
    cell, params = make(row)
    xs = inputs(B, T, I)
    carry = jax.tree.map(lambda c: jnp.full_like(c, jnp.nan), some_carry(cell, (B,)))
    reset = jnp.zeros((B, T), bool).at[:, 0].set(True)
    gradient = jax.grad(lambda p: scalar(asrnn_jax.run(cell, p, xs, carry=carry, reset=reset)))(params)
    close(gradient, jax.grad(lambda p: scalar(asrnn_jax.run(cell, p, xs)))(params))


@ENGINE_ROWS
def test_forward_mode_through_the_plain_path(row):
    cell, params = make(row)
    xs = inputs(2, 4, I)

    def f(xs, gradient="plain"):
        return asrnn_jax.run(cell, params, xs, gradient=gradient)[1]

    close(jax.jacfwd(f)(xs), jax.jacrev(partial(f, gradient="fused"))(xs))


@ROWS
def test_jacobian_of_step_equals_that_of_the_equation(row):
    cell, params = make(row)
    weights, x = cell.prepare(params), inputs(I)
    state = cell.to_state(weights, some_carry(cell, ()))

    def ours(state):
        return cell.to_state(weights, asrnn_jax.step(cell, weights, cell.to_carry(weights, state), x)[0])

    def naive(state):
        new = row.step(row.matrices(params, H, **dict(row.options)), state, x)[0]
        return jax.tree.unflatten(jax.tree.structure(state), jax.tree.leaves(new))

    close(jax.jacfwd(ours)(state), jax.jacfwd(naive)(state))


@ROWS
def test_to_carry_is_the_inverse_of_to_state(row):
    cell, params = make(row)
    weights, carry = cell.prepare(params), some_carry(cell, (B,))
    close(cell.to_carry(weights, cell.to_state(weights, carry)), carry)


@ENGINE_ROWS
def test_empty_time_returns_the_carry(row):
    cell, params = make(row)
    carry = some_carry(cell, (B,))
    end, ys = asrnn_jax.run(cell, params, inputs(B, 0, I), carry=carry, reset=jnp.zeros((B, 0), bool))
    close(end, carry)
    assert ys.shape == (B, 0, cell.outputs)


@ROWS
def test_second_call_does_not_compile(row, caplog):
    _, params = make(row)

    def compiled(steps):
        caplog.clear()
        with jax.log_compiles():
            again = asrnn_jax.cells.make(row.cell, I, H, dtype=jnp.float64, **dict(row.options))
            asrnn_jax.run(again, params, inputs(B, steps, I, seed=steps))
        return [r.getMessage() for r in caplog.records if "XLA compilation of jit(_run)" in r.getMessage()]

    assert compiled(T + 20)
    assert not compiled(T + 20)


def primitives_in_scans(jaxpr, inside=False):
    """Names of all primitives inside any scan of a jaxpr."""
    for eqn in jaxpr.eqns:
        if inside:
            yield eqn.primitive.name
        for value in jax.tree.leaves(
            list(eqn.params.values()), is_leaf=lambda v: hasattr(v, "jaxpr") or hasattr(v, "eqns")
        ):
            sub = getattr(value, "jaxpr", value)
            if hasattr(sub, "eqns"):
                yield from primitives_in_scans(sub, inside or eqn.primitive.name in ("scan", "while"))


SOLVES = {
    "lu",
    "triangular_solve",
    "custom_linear_solve",
    "linear_solve",
    "qr",
    "svd",
    "eigh",
    "lu_pivots_to_permutation",
}


@ROWS
def test_scan_contains_no_solve(row):
    cell, params = make(row)
    xs = inputs(B, T, I)
    gradient = jax.grad(lambda p: scalar(asrnn_jax.run(cell, p, xs)))
    found = set(primitives_in_scans(jax.make_jaxpr(gradient)(params).jaxpr))
    assert "dot_general" in found  # the walk does reach the loop
    assert not found & SOLVES


def test_the_walk_would_find_a_solve():
    def solves_inside(A, xs):
        return lax.scan(lambda c, x: (jnp.linalg.solve(A, c) + x, None), xs[0], xs)[0]

    found = set(primitives_in_scans(jax.make_jaxpr(solves_inside)(jnp.eye(3), jnp.ones((4, 3))).jaxpr))
    assert found & SOLVES


@ROWS
def test_bfloat16_activations_stay_near_float32(row):
    """Weights are prepared in float32, so the error is that of rounding activations, 2^-8 a step."""
    cell, params = make(row, jnp.float32)
    xs = inputs(B, T, I).astype(jnp.float32)
    exact = asrnn_jax.run(cell, params, xs)[1]
    rough = asrnn_jax.run(cell, params, xs, dtype=jnp.bfloat16)[1]
    assert rough.dtype == jnp.bfloat16
    scale = jnp.abs(exact).max()
    assert float(jnp.abs(exact - rough.astype(jnp.float32)).max() / scale) < 0.1


@ROWS
def test_lowers_for_every_platform(row):
    cell, params = make(row, jnp.float32)
    xs = jnp.ones((B, T, I), jnp.float32)
    exported = jax.export.export(jax.jit(lambda p, x: asrnn_jax.run(cell, p, x)[1]), platforms=("cpu", "cuda", "tpu"))
    assert set(exported(params, xs).platforms) == {"cpu", "cuda", "tpu"}
