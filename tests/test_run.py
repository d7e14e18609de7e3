"""Wrong calls of run and step get an error that names the argument; the output layer is folded correctly."""

import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax.cells import CELLS, asrnn, lstm, tanh_rnn, with_output
from asrnn_jax.loop import choose_block
from tests.quick import quickly

CELL = asrnn(3, 5)
PARAMS = CELL.init(jax.random.key(0))
XS = jnp.ones((2, 7, 3), jnp.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: asrnn_jax.run(CELL, PARAMS, XS[0, 0]), ValueError, r"xs has shape \(3,\)"),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS[..., :2]), ValueError, "last axis 2.*inputs=3"),
        (lambda: asrnn_jax.run(CELL, PARAMS, jnp.ones((2, 7, 3), jnp.int32)), TypeError, "xs has dtype int32"),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS, mask=jnp.ones((2, 6), bool)), ValueError, r"mask has shape \(2, 6\)"),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS, mask=jnp.ones((2, 7))), TypeError, "mask has dtype"),
        (
            lambda: asrnn_jax.run(CELL, PARAMS, XS, reset=jnp.ones((7, 2), bool)),
            ValueError,
            r"reset has shape \(7, 2\)",
        ),
        (
            lambda: asrnn_jax.run(CELL, PARAMS, XS, lengths=jnp.array([1, 8])),
            ValueError,
            r"lengths range over \[1, 8\]",
        ),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS, lengths=jnp.array([3])), ValueError, r"lengths has shape \(1,\)"),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS, lengths=jnp.array([1.0, 2.0])), TypeError, "lengths has dtype float"),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS, carry=jnp.zeros((3, 5))), ValueError, "carry has shapes"),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS, carry=lstm(3, 5).initial_carry((2,))), ValueError, "carry has shapes"),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS, block=0), ValueError, "block=0"),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS, dtype=jnp.int32), TypeError, "dtype=int32"),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS, lengths=np.array([1, 9])), ValueError, r"lengths range over \[1, 9\]"),
        (lambda: jax.jit(lambda x: asrnn_jax.run(CELL, PARAMS, x, lengths=np.array([1, 9])))(XS), ValueError, "range"),
        (lambda: asrnn_jax.run(CELL, PARAMS, XS, carry=jnp.zeros((2, 5), int)), TypeError, "carry has dtype int"),
        (lambda: asrnn_jax.run(CELL, tanh_rnn(3, 5).init(jax.random.key(0)), XS), ValueError, r"params\['D_f'\]"),
        (
            lambda: asrnn_jax.run(CELL, asrnn(3, 6).init(jax.random.key(0)), XS),
            ValueError,
            r"params\['D_f'\] has shape \(6,\)",
        ),
        (lambda: asrnn_jax.step(CELL, PARAMS, CELL.initial_carry((2,)), XS), ValueError, "carry has shapes"),
        (lambda: asrnn_jax.step(CELL, PARAMS, CELL.initial_carry(()), jnp.ones(4)), ValueError, "inputs=3"),
        (lambda: asrnn_jax.cells.make("asrn", 1, 2), ValueError, "perhaps you meant asrnn"),
        (lambda: asrnn_jax.cells.make("lstm", 1, 0), ValueError, "hidden=0"),
        (lambda: with_output(CELL, 0), ValueError, "outputs=0"),
    ],
)
def test_wrong_calls_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


@quickly("name", ("asrnn", "lru"), ("tanh_rnn", "asrnn", "lstm", "urnn", "lru", "alif"))
def test_output_layer_equals_a_product_behind_run(name):
    cell = CELLS[name](3, 5, dtype=jnp.float64)
    model = with_output(cell, 4, dtype=jnp.float64)
    params = jax.jit(model.init)(jax.random.key(0))
    params["output"]["bias"] += 0.5
    xs = jax.random.normal(jax.random.key(1), (2, 7, 3), jnp.float64)

    def folded(params):
        return asrnn_jax.run(model, params, xs)[1]

    def behind(params):
        ys = asrnn_jax.run(cell, params["cell"], xs)[1]
        return jnp.einsum("bth,ho->bto", ys, params["output"]["kernel"]) + params["output"]["bias"][None, None]

    def gradient(f):
        return jax.jit(jax.grad(lambda p: (jnp.sum(jnp.sin(ys := f(p))), ys), has_aux=True))(params)

    (ours, ys), (theirs, expected) = map(gradient, (folded, behind))
    np.testing.assert_allclose(ys, expected, rtol=1e-12, atol=1e-12)
    chex.assert_trees_all_close(ours, theirs, rtol=1e-10, atol=1e-12)
    last = asrnn_jax.run(model, params, xs, outputs="last")[1]
    np.testing.assert_allclose(last, expected[:, -1], rtol=1e-12, atol=1e-12)


def test_weights_prepared_once_serve_many_calls():
    weights = CELL.prepare(PARAMS)
    np.testing.assert_array_equal(asrnn_jax.run(CELL, weights, XS)[1], asrnn_jax.run(CELL, PARAMS, XS)[1])


@pytest.mark.slow
def test_the_batch_may_be_spread_over_devices():
    """On a mesh of two devices the same call gives the same numbers, its gradient summed over both."""
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    cell = asrnn(3, 5, dtype=jnp.float64)
    params = cell.init(jax.random.key(0))
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
    xs = jax.random.normal(jax.random.key(1), (4, 9, 3), jnp.float64)
    gradient = jax.jit(jax.grad(lambda p, xs: jnp.sum(jnp.sin(asrnn_jax.run(cell, p, xs)[1]))))
    spread = gradient(params, jax.device_put(xs, NamedSharding(mesh, PartitionSpec("batch"))))
    for a, b in zip(jax.tree.leaves(spread), jax.tree.leaves(gradient(params, xs))):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_lengths_may_be_constants_of_a_jitted_function():
    lengths = jnp.array([3, 4])
    constant = jax.jit(lambda xs: asrnn_jax.run(CELL, PARAMS, xs, lengths=lengths)[1])(XS)
    np.testing.assert_array_equal(constant, asrnn_jax.run(CELL, PARAMS, XS, lengths=lengths)[1])


def test_an_empty_batch_is_no_error():
    xs, flags = jnp.zeros((0, 7, 3)), jnp.zeros((0, 7), bool)
    gradient = jax.grad(lambda p: jnp.sum(asrnn_jax.run(CELL, p, xs, mask=flags, reset=flags)[1]))(PARAMS)
    assert all(bool((leaf == 0).all()) for leaf in jax.tree.leaves(gradient))


def test_a_large_batch_goes_step_by_step_to_the_same_gradient():
    cell = tanh_rnn(2, 3, dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (64, 5, 2), jnp.float64)
    carry, time_major = cell.initial_carry((64,), xs.dtype), jnp.swapaxes(xs, 0, 1)
    assert choose_block(cell, cell.prepare(params), carry, time_major) == 1
    assert choose_block(cell, cell.prepare(params), carry[1:], time_major[:, 1:]) >= 5
    mask, reset = (jax.random.bernoulli(jax.random.key(k), p, xs.shape[:2]) for k, p in ((2, 0.7), (3, 0.2)))

    def gradient(gradient):
        run = partial(asrnn_jax.run, cell, mask=mask, reset=reset, gradient=gradient)
        return jax.jit(jax.grad(lambda p: jnp.sum(jnp.sin(run(p, xs)[1]))))(params)

    chex.assert_trees_all_close(gradient("fused"), gradient("autodiff"), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("block", [1, 16])
def test_half_precision_gradients_do_not_depend_on_the_block(block):
    """The sum over 1000 blocks is kept in float32; the rest of bfloat16's rounding is the same for every block."""
    cell = tanh_rnn(3, 16)
    params = cell.init(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (1, 1000, 3), jnp.float32)

    def bias_gradient(block):
        loss = lambda p: jnp.sum(asrnn_jax.run(cell, p, xs, dtype=jnp.bfloat16, block=block)[1].astype(jnp.float32))  # noqa: E731
        return jax.grad(loss)(params)["b"]

    whole = bias_gradient(1000)
    assert float(jnp.abs(bias_gradient(block) - whole).max() / jnp.abs(whole).max()) < 0.02


def test_a_scan_over_step_keeps_the_dtype_of_its_carry():
    carry = CELL.initial_carry((2,), jnp.bfloat16)
    weights = CELL.prepare(PARAMS)
    end, ys = jax.lax.scan(lambda c, x: asrnn_jax.step(CELL, weights, c, x), carry, jnp.swapaxes(XS, 0, 1))
    assert end.dtype == jnp.bfloat16
    assert ys.shape == (7, 2, 5)


def test_frozen_dicts_rebase_and_any_tree_gets_labels():
    from flax.core import freeze

    cell = asrnn(3, 5, map="expm", dynamic=True)
    params = freeze(cell.init(jax.random.key(0)))
    for done in (1, 10):
        moved = asrnn_jax.optim.rebase(cell, params, jnp.array(done), 10)
        assert jax.tree.structure(moved) == jax.tree.structure(params)
    labels = asrnn_jax.optim.labels
    assert labels(jnp.zeros(3)) == "other"
    assert labels({"skew": jnp.zeros(3)}) == {"skew": "other"}
    assert labels({"head": {"base": jnp.zeros(3)}}) == {"head": {"base": "other"}}
    assert labels({"W_hh": {"skew": 0, "base": 0}, "U_f": {"skew": 0}}) == {
        "W_hh": {"skew": "orthogonal", "base": "frozen"},
        "U_f": {"skew": "other"},
    }


@pytest.mark.parametrize(
    ("name", "method", "gradient", "reverse"),
    [
        pytest.param("lru", "associative_scan", "fused", False, marks=pytest.mark.slow),
        pytest.param("lru", "sequential", "autodiff", False, marks=pytest.mark.slow),
        pytest.param("lstm", "sequential", "fused", False, marks=pytest.mark.slow),
        ("cornn", "sequential", "fused", True),
    ],
)
def test_rematerialised_gradients_are_the_same(name, method, gradient, reverse):
    """With masks, resets and a number of steps that segments do not divide."""
    cell = CELLS[name](3, 4, dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (2, 11, 3), jnp.float64)
    mask, reset = (jax.random.bernoulli(jax.random.key(k), p, (2, 11)) for k, p in ((2, 0.8), (3, 0.2)))
    options = {"method": method, "gradient": gradient, "reverse": reverse, "mask": mask, "reset": reset}

    def loss(params, xs, remat):
        return jnp.sin(asrnn_jax.run(cell, params, xs, remat=remat, **options)[1]).sum()

    gradients = [jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)(params, xs, remat) for remat in (False, True)]
    chex.assert_trees_all_close(*gradients, rtol=0, atol=1e-12)


@quickly("gradient", ["fused"], ("fused", "autodiff"))
def test_remat_saves_memory(gradient):
    cell = lstm(2, 32)
    params, xs = cell.init(jax.random.key(0)), jnp.ones((4, 1024, 2))

    def temporary(remat):
        def loss(params):
            return asrnn_jax.run(cell, params, xs, outputs="last", gradient=gradient, remat=remat)[1].sum()

        return jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes

    assert temporary(True) < temporary(False) / 5


def test_forward_mode_on_the_fused_path_is_refused_with_the_words_that_the_docstring_of_run_has():
    def f(xs):
        return asrnn_jax.run(CELL, PARAMS, xs)[1]

    def of_params(params):
        return asrnn_jax.run(CELL, params, XS, outputs="last", remat=True)[1].sum()

    ways = {
        "jacfwd": lambda: jax.jacfwd(f)(XS),
        "jacfwd of jit": lambda: jax.jacfwd(jax.jit(f))(XS),
        "jit of jacfwd": lambda: jax.jit(jax.jacfwd(f))(XS),
        "jvp": lambda: jax.jvp(of_params, (PARAMS,), (PARAMS,)),
        "jvp of jit": lambda: jax.jvp(jax.jit(of_params), (PARAMS,), (PARAMS,)),
        "linearize": lambda: jax.linearize(jax.jit(of_params), PARAMS)[1](PARAMS),
        "within vmap": lambda: jax.vmap(lambda x: jax.jvp(f, (x,), (x,)))(jnp.stack([XS, XS])),
        "scan": lambda: jax.jvp(lambda x: jax.lax.scan(lambda c, _: (f(x).sum(), None), 0.0, None, 2), (XS,), (XS,)),
    }
    said = "can't apply forward-mode autodiff (jvp) to a custom_vjp function"
    assert said in " ".join((asrnn_jax.run.__doc__ or "").split())
    for way in ways.values():
        with pytest.raises(TypeError, match=re.escape(said)):
            way()


@pytest.mark.parametrize(
    "mapped",
    [
        pytest.param(mapped, id=name, marks=() if name == "ensemble" else pytest.mark.slow)
        for name, mapped in {
            "batch": lambda f, params, xs: jax.vmap(lambda x: f(params, x))(xs),
            "ensemble": lambda f, params, xs: jax.vmap(f)(jax.tree.map(lambda p: jnp.stack([p, p]), params), xs),
            "jit": lambda f, params, xs: jax.jit(jax.vmap(lambda x: f(params, 2 * x)))(xs),
            "map": lambda f, params, xs: jax.lax.map(lambda x: f(params, x), xs, batch_size=1),
            "cond": lambda f, params, xs: jax.vmap(
                lambda x: jax.lax.cond(x[0, 0] > 0, lambda: f(params, x), lambda: x.sum())
            )(xs),
            "checkpoint": lambda f, params, xs: jax.vmap(lambda x: jax.checkpoint(f)(params, x))(xs),
        }.items()
    ],
)
def test_reverse_mode_goes_through_vmap(mapped):
    def gradients(gradient):
        def f(params, x):
            return (asrnn_jax.run(CELL, params, x, gradient=gradient)[1] ** 2).sum()

        params, xs = jax.tree.map(lambda a: a.astype(jnp.float64), (PARAMS, XS))
        return jax.jit(jax.grad(lambda params, xs: mapped(f, params, xs).sum(), argnums=(0, 1)))(params, xs)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8), gradients("fused"), gradients("autodiff"))


@pytest.mark.slow
def test_forward_over_reverse_gives_the_hessian():
    def hessian(gradient):
        cell = tanh_rnn(3, 4)
        params = cell.init(jax.random.key(0))
        return jax.hessian(lambda p: (asrnn_jax.run(cell, p, XS, gradient=gradient)[1] ** 2).sum())(params)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), hessian("fused"), hessian("autodiff"))


@pytest.mark.parametrize("outputs", ["all", "last"])
def test_lengths_out_of_range_give_nan_where_nothing_can_be_raised(outputs):
    """Under jit, of their own batch elements alone."""
    lengths = jnp.array([-1, 3, 7, 8])
    xs = jnp.ones((4, 7, 3), jnp.float32)
    run = partial(asrnn_jax.run, CELL, PARAMS, outputs=outputs)
    for f in (run, lambda xs, lengths: run(jnp.moveaxis(xs, 1, 0), lengths=lengths, time_major=True)):
        end, ys = jax.jit(lambda xs, lengths, f=f: f(xs, lengths=lengths))(xs, lengths)
        if f is not run and outputs == "all":
            ys = jnp.moveaxis(ys, 0, 1)
        expected = [True, False, False, True]
        np.testing.assert_array_equal(jnp.isnan(end).all(-1), expected)
        np.testing.assert_array_equal(jnp.isnan(ys).reshape(4, -1).all(-1), expected)
        good = run(xs[1:3], lengths=lengths[1:3])
        chex.assert_trees_all_close((end[1:3], ys[1:3]), good, rtol=1e-6)


@quickly("name", ("asrnn", "urnn"), ("asrnn", "lstm", "urnn", "lru"))
def test_run_keeps_the_type_of_its_carry(name):
    """So that it can be the body of a scan, whatever it computes in."""
    cell = CELLS[name](3, 5)
    params, xs = cell.init(jax.random.key(0)), jnp.ones((4, 2, 7, 3), jnp.float32)
    for start in (jnp.float32, jnp.bfloat16, jnp.float64):
        carry = cell.initial_carry((2,), start)

        def body(carry, xs):
            return asrnn_jax.run(cell, params, xs, carry=carry, dtype=jnp.bfloat16)

        end, _ = jax.lax.scan(body, carry, xs)
        chex.assert_trees_all_equal_shapes_and_dtypes(end, carry)
    end, _ = asrnn_jax.run(cell, params, xs[0], dtype=jnp.bfloat16)
    chex.assert_trees_all_equal_dtypes(end, cell.initial_carry((2,), jnp.bfloat16))
