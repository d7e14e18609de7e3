"""Factories: what is equal is the same, whatever type its numbers have; types of params; orthogonality for good."""

import dataclasses
import gc
import weakref

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import asrnn_jax
from asrnn_jax import analysis, cells, orthogonal
from asrnn_jax.cells import CELLS
from asrnn_jax.loop import choose_chunk
from asrnn_jax.made import KEPT
from tests.quick import quickly
from tests.test_laws import scalar

NAMES = pytest.mark.parametrize("name", CELLS)


@NAMES
def test_numbers_of_any_library_make_the_same_cell(name):
    plain = CELLS[name](3, 4)
    for three, four in ((np.int64(3), np.int32(4)), (jnp.int32(3), np.asarray(4))):
        found = CELLS[name](three, hidden=four)
        assert found == plain
        assert hash(found) == hash(plain)
        assert type(found.hidden) is int


def test_a_size_that_is_no_whole_number_is_refused_whatever_came_before():
    cells.gru(3, 17)
    with pytest.raises(TypeError, match="hidden"):
        cells.gru(3, 17.0)  # pyright: ignore[reportArgumentType]


def test_options_may_be_arrays_of_one_number():
    assert cells.asrnn(1, 4, a=jnp.float32(0.5), b=np.float64(0.5)) == cells.asrnn(1, 4, a=0.5, b=0.5)


def test_a_traced_option_is_refused():
    with pytest.raises(TypeError, match="plain number"):
        jax.jit(lambda a: cells.asrnn(1, 4, a=a, b=1.0).init(jax.random.key(0)))(0.5)


def test_cells_with_other_options_differ():
    assert cells.gru(3, 4) != cells.gru(3, 5)
    assert cells.gru(3, 4) != cells.mgu(3, 4)
    assert cells.gru(3, 4).replace(name="x") != cells.gru(3, 4)


def test_an_author_gives_eleven_fields_and_meets_no_others():
    asked = [f for f in dataclasses.fields(asrnn_jax.Cell) if f.default is f.default_factory is dataclasses.MISSING]
    assert len(asked) == 11
    gru = cells.gru(3, 4)
    cell = asrnn_jax.Cell(**{f.name: getattr(gru, f.name) for f in asked})
    params, xs = cell.init(jax.random.key(0)), jnp.ones((5, 3))
    np.testing.assert_allclose(asrnn_jax.run(cell, params, xs)[1], asrnn_jax.run(gru, params, xs)[1], rtol=1e-6)
    carry = cell.initial_carry((2,))
    assert cell.to_state(None, carry) is cell.to_carry(None, carry) is carry
    assert (cell.parts, cell.both_directions, cell.dropout) == ((), False, False)


def test_what_is_read_of_a_composition_is_what_its_parts_say():
    both = cells.bidirectional(cells.gru(3, 4))
    model = cells.with_output(cells.stack([both, cells.residual(cells.lru(8, 4), dropout=0.1)]), 2)
    assert [part.name for part in model.parts] == ["bidirectional gru, gru", "residual lru"]
    assert model.both_directions
    assert model.dropout
    with pytest.raises(AttributeError):
        model.dropout = False  # pyright: ignore[reportAttributeAccessIssue]


def test_cells_are_let_go():
    first = weakref.ref(cells.gru(2, 31))
    for hidden in range(100, 100 + KEPT + 1):
        cells.gru(2, hidden)
    gc.collect()
    assert first() is None


def test_a_forgotten_cell_made_again_does_not_compile(caplog):
    params = cells.gru(2, 29).init(jax.random.key(0))
    xs = jnp.ones((3, 4, 2), jnp.float32)
    asrnn_jax.run(cells.gru(2, 29), params, xs)
    for hidden in range(100, 100 + KEPT + 1):
        cells.gru(2, hidden)
    caplog.clear()
    with jax.log_compiles():
        asrnn_jax.run(cells.gru(2, 29), params, xs)
    assert not [r for r in caplog.records if "XLA compilation of jit(evaluate)" in r.getMessage()]


NARROW = (("asrnn", jnp.float16), ("asrnn", jnp.bfloat16), ("s5", jnp.float16))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=() if (name, dtype) in NARROW else pytest.mark.slow)
        for name in CELLS
        for dtype in (jnp.float16, jnp.bfloat16, *((jnp.float32, jnp.float64) if name == "asrnn" else ()))
    ],
)
def test_initial_values_are_finite_and_train_in_every_dtype(name, dtype):
    cell = CELLS[name](3, 16, dtype=dtype)
    wide = CELLS[name](3, 16, dtype=jnp.promote_types(dtype, jnp.float32))
    params, wide = (jax.jit(of.init)(jax.random.key(0)) for of in (cell, wide))
    xs = jax.random.normal(jax.random.key(1), (2, 20, 3), dtype)
    gradient = jax.jit(jax.grad(lambda p: asrnn_jax.run(cell, p, xs)[1].astype(jnp.float32).std()))(params)
    # surprisal starts as an LSTM: what predicts is not heard yet
    still = {"surprisal": {"W_hp", "b_p"}, "dtriv": {"base"}}.get(name, set())
    for (path, p), w, g in zip(
        jax.tree.leaves_with_path(params), jax.tree.leaves(wide), jax.tree.leaves(gradient), strict=True
    ):
        assert p.dtype == dtype
        # Drawn wide and cast at the end, but for the last bit, which two programs may round in two ways.
        chex.assert_trees_all_close(p.astype(w.dtype), w, rtol=2 * float(jnp.finfo(dtype).eps), atol=1e-6)
        assert jnp.isfinite(p).all(), path
        assert jnp.isfinite(g).all(), path
        assert (g != 0).any() or path[-1].key in still, path


@pytest.mark.parametrize("options", [{"r_min": 0.9}, {"r_min": 0.99, "r_max": 0.999}])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16], ids=lambda d: d.__name__)
def test_no_unit_of_a_narrow_lru_is_dead_or_never_forgets(options, dtype):
    cell = cells.lru(3, 64, dtype=dtype, **options)
    decay = jnp.abs(cell.prepare(cell.init(jax.random.key(0))).decay)
    assert ((decay > 0.8) & (decay < 1)).all()


def test_initial_values_that_a_type_does_not_hold_are_refused():
    for make in (cells.s5, jax.jit(lambda i, h, dtype: cells.s5(i, h, dtype=dtype), static_argnums=(0, 1, 2))):
        with pytest.raises(ValueError, match=r"dtype=float16: Lambda_im .* use bfloat16 or float32"):
            make(3, 256, dtype=jnp.float16) if make is cells.s5 else make(3, 256, jnp.float16)


def matrices(name, cell, params):
    """The orthogonal (unitary) matrices that a cell computes with, found in its weights without its own maps."""
    weights = cell.prepare(params)
    if name == "asrnn":
        U_f = weights.W_f / jnp.linalg.norm(weights.W_f, axis=0, keepdims=True)
        return [weights.W_f_inv @ weights.M.T @ weights.W_f, U_f]
    if name == "nnrnn":
        flat = {**params, "gamma": jnp.ones_like(params["gamma"]), "T": jnp.zeros_like(params["T"])}
        return [cell.prepare(flat).W_hh]
    return [weights.W if name == "urnn" else weights.W_hh]


# D_f of the "abs" form without bounds would only add rounding to the way back from M to W_hh.
ORTHOGONAL = {
    "asrnn": {"saturation": "bounded", "kappa": 2.0},
    "asrnn-dynamic": {"saturation": "bounded", "kappa": 2.0, "dynamic": True},
    "orthogonal": {},
    "orthogonal-dynamic": {"dynamic": True},
    "orthogonal-dynamic-scaled": {"dynamic": True, "map": "scaled_cayley"},
    "scornn": {},
    "exprnn": {},
    "dtriv": {},
    "urnn": {},
    "nnrnn": {},
}
TREATMENTS = {
    "adamw": optax.adamw(1e-2, weight_decay=0.1),
    "sgd with decay": optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1)),
    "lion": optax.lion(1e-2, weight_decay=0.1),
    "noise": optax.chain(optax.sgd(1e-2), optax.add_noise(1e-2, 0.0, jax.random.key(7))),
}


@quickly("row", ["orthogonal-dynamic-scaled"], ORTHOGONAL)
def test_matrices_stay_orthogonal_whatever_is_done_to_their_numbers(row):
    """To 10 n eps in float32, after optimisers with decay and noise, averages over a rebase, and narrow storage."""
    name, hidden = row.split("-")[0], 12
    cell = CELLS[name](2, hidden, **ORTHOGONAL[row])
    start = cell.init(jax.random.key(0))

    def treated(tx):
        def body(i, state):
            params, average, state = state
            updates, state = tx.update(jax.grad(lambda p: scalar(cell.prepare(p)))(params), state, params)
            params = optax.apply_updates(params, updates)
            params = asrnn_jax.optim.rebase(cell, params, i + 1, 10)
            return params, optax.incremental_update(params, average, 0.1), state

        return jax.jit(lambda: jax.lax.fori_loop(0, 30, body, (start, start, tx.init(start)))[:2])()

    found = {"start": start}
    for label, tx in TREATMENTS.items():
        found[label], found[f"{label}, average"] = treated(tx)
    found["mean of two"] = jax.tree.map(lambda a, b: (a + b) / 2, start, found["adamw"])
    found["bfloat16"] = jax.tree.map(lambda p: p.astype(jnp.bfloat16).astype(jnp.float32), start)
    for label, params in found.items():
        for Q in jax.jit(lambda p: matrices(name, cell, p))(params):
            Q = np.asarray(Q, np.float64)
            error = np.abs(Q.T @ Q - np.eye(len(Q))).max()
            assert error <= 10 * hidden * np.finfo(np.float32).eps, (label, error)


@quickly("row", ("dtriv", "scornn"), ("asrnn-dynamic", "dtriv", "scornn"))
def test_an_average_is_the_mean_of_what_is_used_wherever_the_base_was(row):
    """Of skew numbers, or with a dynamic base of the matrices themselves, by the debiased weights."""
    name, decay, steps = row.split("-")[0], 0.8, 12
    cell = CELLS[name](2, 6, **ORTHOGONAL[row])
    average, start = asrnn_jax.optim.average(cell, decay), cell.init(jax.random.key(0))
    noise = jax.tree.map(lambda p, label: 0.2 * (label != "frozen"), start, asrnn_jax.optim.labels(start))

    def walked(every):
        def body(state, i):
            params, mean = state
            keys = jax.random.split(jax.random.key(i), jax.tree.structure(params).num_leaves)
            keys = jax.tree.unflatten(jax.tree.structure(params), list(keys))
            moved = jax.tree.map(
                lambda p, s, key: p + s * jax.random.normal(key, p.shape, p.dtype), params, noise, keys
            )
            params = asrnn_jax.optim.rebase(cell, moved, i + 1, every)
            return (params, average.update(params, mean)), (params, matrices(name, cell, params))

        return jax.jit(lambda: jax.lax.scan(body, (start, average.init(start)), jnp.arange(steps)))()

    (_, state), (params, Qs) = walked(every=5)
    mean, weights = jax.jit(average.params)(state), (1 - decay) * decay ** np.arange(steps)[::-1]
    weights /= weights.sum()
    of_params = jax.tree.map(lambda p: np.tensordot(weights, p, 1), params)
    np.testing.assert_allclose(mean["b"], of_params["b"], atol=1e-6)
    found = [np.asarray(Q, np.float64) for Q in matrices(name, cell, mean)]
    for Q in found:
        np.testing.assert_allclose(Q.T @ Q, np.eye(6), atol=1e-5)
    if "base" in mean["W_hh"]:
        U, _, Vh = np.linalg.svd(np.tensordot(weights, Qs[0], 1))
        np.testing.assert_allclose(found[0], U @ Vh, atol=1e-5)
    else:
        np.testing.assert_allclose(mean["W_hh"]["skew"], of_params["W_hh"]["skew"], atol=1e-6)
    once = average.params(average.update(start, average.init(start)))  # the start does not count
    for one, other in zip(matrices(name, cell, once), matrices(name, cell, start)):
        np.testing.assert_allclose(one, other, atol=1e-6)
    with pytest.raises(ValueError, match=r"decay=1\.0: give a number"):
        asrnn_jax.optim.average(cell, 1.0)


def test_a_base_that_decay_has_shrunk_was_not_orthogonal():
    """The fault that the law above is about, where it was seen: the stored numbers, not what is computed with."""
    cell = cells.dtriv(2, 8)
    params = cell.init(jax.random.key(0))
    shrunk = {**params, "W_hh": {**params["W_hh"], "base": 0.37 * params["W_hh"]["base"]}}
    assert orthogonal.error(shrunk["W_hh"]["base"]) > 0.5
    np.testing.assert_allclose(cell.prepare(shrunk).W_hh, cell.prepare(params).W_hh, atol=1e-6)


def precisions(f, *arguments):
    """Of every matrix product that `f` computes."""

    def within(jaxpr):
        for eqn in jaxpr.eqns:
            if eqn.primitive.name == "dot_general":
                yield eqn.params["precision"]
            for inner in jax.tree.leaves(eqn.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from within(getattr(inner, "jaxpr", inner))

    return set(within(jax.make_jaxpr(f)(*arguments).jaxpr))


FULL = {(jax.lax.Precision.HIGHEST,) * 2}
"""On accelerators the default has three digits; on CPUs, where these tests run, there is no difference to see."""


def learned(cell, params):
    """A gradient through what is prepared: its products count too."""
    weights = cell.prepare(params)
    return jax.grad(lambda p: sum(jnp.sum(w.real) for w in jax.tree.leaves(cell.prepare(p))))(params), weights


@NAMES
def test_params_are_drawn_and_prepared_in_full_precision(name):
    cell = CELLS[name](3, 6)
    assert precisions(cell.init, jax.random.key(0)) <= FULL
    assert precisions(lambda p: learned(cell, p), cell.init(jax.random.key(0))) <= FULL


def test_folded_output_layers_are_prepared_in_full_precision():
    cell = cells.with_output(cells.asrnn(3, 6), 2)
    assert precisions(cell.prepare, cell.init(jax.random.key(0))) == FULL


@pytest.mark.parametrize("map", ["cayley", "scaled_cayley", "expm"])
@pytest.mark.parametrize("init", ["henaff", "haar"])
def test_orthogonal_matrices_are_computed_in_full_precision(map, init):
    for dynamic in (False, True):
        Q = orthogonal.parametrization(6, map, init, dynamic=dynamic)
        params = Q.init(jax.random.key(0))
        assert precisions(Q.init, jax.random.key(0)) <= FULL
        assert precisions(Q.matrix, params) == FULL
        if Q.rebase:
            assert precisions(lambda p, rebase=Q.rebase: rebase(p, project=True), params) == FULL


def test_public_maps_of_matrices_are_in_full_precision():
    Q = jnp.eye(6)
    for f in (orthogonal.nearest, orthogonal.polish, orthogonal.error, analysis.numerical_range):
        assert precisions(f, Q) == FULL, f


@pytest.mark.parametrize("name", ["asrnn", "lru"])
def test_spectra_are_computed_in_full_precision(name):
    cell, xs = CELLS[name](3, 6), jnp.ones((2, 12, 3))
    params = cell.init(jax.random.key(0))
    for f in (analysis.jacobian_spectrum, analysis.lyapunov_spectrum, analysis.settling):
        assert precisions(lambda p, f=f: f(cell, p, xs), params) <= FULL, f
    top = precisions(lambda p: analysis.top_singular_values(cell, p, xs, s=0, t=4, k=1), params)
    whole = precisions(lambda p: analysis.temporal_jacobian(cell, p, xs, s=0, t=4), params)
    assert (top | whole) == FULL


@pytest.mark.slow
def test_s5_holds_its_input_without_cancellation():
    """Slow units: (exp(z) - 1) / z near z = 0, values and gradients in float32 beside float64."""
    cell = cells.s5(2, 64, dt_min=1e-4, dt_max=1.0)
    params = cell.init(jax.random.key(0))
    weigh = jax.random.normal(jax.random.key(1), (2, 64), jnp.float32)

    def total(params):
        return sum((part * weigh).sum() for part in cell.prepare(params).B)

    wide = jax.tree.map(lambda p: p.astype(jnp.float64), params)
    got, want = jax.grad(total)(params), jax.grad(total)(wide)
    for name in ("Lambda_re", "Lambda_im", "log_step"):
        np.testing.assert_allclose(got[name], want[name], rtol=1e-3, err_msg=name)
    (re, im), (wide_re, wide_im) = cell.prepare(params).B, cell.prepare(wide).B
    assert float(jnp.abs((re + 1j * im) / (wide_re + 1j * wide_im) - 1).max()) < 1e-5  # phases of 200 in float32


@pytest.mark.slow
@pytest.mark.parametrize(("block", "gradient"), [(5, "fused"), (None, "autodiff")])
def test_unrolled_loops_compute_the_same(block, gradient):
    cell, xs = cells.lstm(3, 4), jax.random.normal(jax.random.key(1), (2, 13, 3), jnp.float64)
    params = CELLS["lstm"](3, 4, dtype=jnp.float64).init(jax.random.key(0))
    reset = jax.random.bernoulli(jax.random.key(2), 0.2, (2, 13))

    def loss(params, unroll):
        return (
            asrnn_jax.run(cell, params, xs, reset=reset, gradient=gradient, block=block, unroll=unroll)[1] ** 2
        ).sum()

    want = jax.grad(loss)(params, 1)
    for unroll in (np.int64(4), 100):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), jax.grad(loss)(params, unroll), want)


@pytest.mark.slow
def test_on_accelerators_loops_are_unrolled(monkeypatch):
    cell, xs = cells.lstm(3, 4), jnp.ones((2, 16, 3))
    params = cell.init(jax.random.key(0))

    def unrolled():
        jax.clear_caches()
        return "unroll=8" in str(jax.make_jaxpr(lambda p: asrnn_jax.run(cell, p, xs)[1])(params))

    assert not unrolled()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert unrolled()
    monkeypatch.undo()
    jax.clear_caches()


def test_on_accelerators_chunks_are_longer(monkeypatch):
    cell = cells.mlstm(1, 8)
    assert choose_chunk(cell, 784) == 16
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose_chunk(cell, 784) == 196
