"""Laws about where and how JAX runs: meshes, shard_map, symbolic shapes, strict types, debugging, pickling."""

import pickle
from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import asrnn_jax
import asrnn_jax.linen
import asrnn_jax.nnx
from asrnn_jax import analysis, cells, streaming
from tests.quick import quickly
from tests.test_laws import (
    LOOP_SUBJECTS,
    REPRESENTATIVES,
    I,
    T,
    close,
    flags,
    inputs,
    make,
    scalar,
    some_carry,
)


def mesh_of(axis):
    return jax.make_mesh((2,), ("data",), axis_types=(axis,))


def everything(cell):
    """``(params, xs, carry, mask, reset) ->`` results and gradients with respect to params, inputs and start."""

    def f(params, xs, carry, mask, reset):
        def loss(params, xs, carry):
            end, ys = asrnn_jax.run(cell, params, xs, carry=carry, mask=mask, reset=reset)
            last = asrnn_jax.run(cell, params, xs, mask=mask, outputs="last")[1]
            return scalar((end, ys, last)), (end, ys, last)

        (_, result), gradients = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(params, xs, carry)
        return result, gradients

    return jax.jit(f)


def given_to(cell, *batch):
    return (
        inputs(*batch, T, I),
        some_carry(cell, batch),
        flags(5, shape=(*batch, T)),
        flags(6, 0.2, (*batch, T)),
    )


@quickly("subject", ["lstm"], LOOP_SUBJECTS)
def test_a_batch_sharded_over_a_mesh_with_explicit_axes_equals_one_that_is_not(subject):
    cell, params = make(subject)
    f, given = everything(cell), given_to(cell, 4)
    sharded = jax.device_put(given, NamedSharding(mesh_of(AxisType.Explicit), P("data")))
    close(jax.device_get(f(params, *sharded)), jax.device_get(f(params, *given)))


@quickly("subject", [], REPRESENTATIVES)
def test_sharded_in_other_ways_equals_unsharded(subject):
    """Auto axes, a mesh that is set, params on the mesh, two batch axes of which the second is sharded."""
    cell, params = make(subject)
    f, given = everything(cell), given_to(cell, 4)
    expected = jax.device_get(f(params, *given))
    auto, explicit = mesh_of(AxisType.Auto), mesh_of(AxisType.Explicit)
    close(jax.device_get(f(params, *jax.device_put(given, NamedSharding(auto, P("data"))))), expected)
    with jax.set_mesh(explicit):
        everywhere = jax.device_put(params, NamedSharding(explicit, P()))
        close(jax.device_get(f(everywhere, *jax.device_put(given, NamedSharding(explicit, P("data"))))), expected)
    given = given_to(cell, 3, 2)
    sharded = jax.device_put(given, NamedSharding(explicit, P(None, "data")))
    close(jax.device_get(f(params, *sharded)), jax.device_get(f(params, *given)))


@quickly("subject", ["lstm"], REPRESENTATIVES)
def test_shard_map_with_its_checks_equals_unsharded(subject):
    cell, params = make(subject)
    given = given_to(cell, 4)

    def loss(params, xs, carry, mask, reset):
        end, ys = asrnn_jax.run(cell, params, xs, carry=carry, mask=mask, reset=reset)
        return sum(jnp.sum(jnp.sin(part.real)) for part in jax.tree.leaves((end, ys)))

    def in_parts(*arguments):
        return jax.lax.psum(loss(*arguments), "data")

    specs = (P(), *[P("data")] * 4)
    mapped = jax.shard_map(in_parts, mesh=mesh_of(AxisType.Auto), in_specs=specs, out_specs=P())
    close(
        jax.jit(jax.value_and_grad(mapped, (0, 1, 2)))(params, *given),
        jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(params, *given),
    )


@pytest.mark.slow
def test_gradients_within_shard_map_of_an_ensemble():
    """Params that differ from device to device, inputs that do not."""
    cell, _ = make(LOOP_SUBJECTS[0])
    params = jax.vmap(cell.init)(jax.random.split(jax.random.key(0), 2))
    xs = inputs(4, T, I)

    def gradient(params, xs):
        mine = jax.tree.map(lambda p: p[0], params)
        found = jax.grad(lambda p: scalar(asrnn_jax.run(cell, p, xs)[1]))(mine)
        return jax.tree.map(lambda g: g[None], found)

    mapped = jax.shard_map(gradient, mesh=mesh_of(AxisType.Auto), in_specs=(P("data"), P()), out_specs=P("data"))
    expected = jax.vmap(jax.grad(lambda p: scalar(asrnn_jax.run(cell, p, xs)[1])))(params)
    close(jax.jit(mapped)(params, xs), expected)


@pytest.mark.slow
@pytest.mark.parametrize("axis", [AxisType.Explicit, AxisType.Auto])
def test_adapters_and_spectra_on_a_mesh(axis):
    cell = cells.asrnn(I, 6, dtype=jnp.float64)
    params = cell.init(jax.random.key(0))
    xs = inputs(4, T, I)
    sharded = jax.device_put(xs, NamedSharding(mesh_of(axis), P("data")))
    module, other = asrnn_jax.linen.RNN(cell), asrnn_jax.nnx.RNN(cell, params=params)

    def in_linen(xs):
        return jax.value_and_grad(lambda p: scalar(module.apply({"params": p}, xs)[1]))(params)

    @nnx.jit
    def in_nnx(module, xs):
        return nnx.value_and_grad(lambda m: scalar(m(xs)[1]))(module)

    def inside(xs):
        spectrum = analysis.jacobian_spectrum(cell, params, xs)
        return spectrum, analysis.gradient_norms(cell, params, xs, lambda ys: ys[..., -1, :].sum())

    for f in (jax.jit(in_linen), partial(in_nnx, other), jax.jit(inside)):
        found, expected = (jax.tree.leaves(jax.device_get(f(x))) for x in (sharded, xs))
        close(found, expected)


@quickly("subject", ["lstm"], LOOP_SUBJECTS)
def test_a_symbolic_batch_and_symbolic_time_lower_and_equal_known_ones(subject):
    """A user's own `jax.export`, gradient included, for platforms that are not here."""
    cell, params = make(subject, jnp.float32)

    def f(params, xs, mask, reset, lengths):
        whole = asrnn_jax.run(cell, params, xs, mask=mask, reset=reset)
        last = asrnn_jax.run(cell, params, xs, lengths=lengths, outputs="last")[1]
        return whole, last, jax.grad(lambda p: asrnn_jax.run(cell, p, xs)[1].sum())(params)

    b, t = export.symbolic_shape("b, t")
    shape = jax.ShapeDtypeStruct
    given = (inputs(4, T, I).astype(jnp.float32), flags(5), flags(6, 0.2), jnp.array([0, 5, T, 2], jnp.int32))
    unknown = [shape((b, t, I), jnp.float32), shape((b, t), bool), shape((b, t), bool), shape((b,), jnp.int32)]
    exported = export.export(jax.jit(f), platforms=("cpu", "cuda", "tpu"))(params, *unknown)
    chex.assert_trees_all_close(exported.call(params, *given), jax.jit(f)(params, *given), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("option", "remedy"), [({"method": "associative_scan"}, "method='associative_scan'"), ({"remat": True}, "remat")]
)
def test_what_needs_a_known_number_of_steps_says_so(option, remedy):
    cell = cells.lru(I, 4)
    xs = jax.ShapeDtypeStruct((2, *export.symbolic_shape("t"), I), jnp.float32)
    with pytest.raises(ValueError, match=remedy):
        jax.eval_shape(lambda p, xs: asrnn_jax.run(cell, p, xs, **option), cell.init(jax.random.key(0)), xs)


@quickly("subject", ("s5", "asrnn"), LOOP_SUBJECTS)
def test_strict_promotion(subject):
    cell, params = make(subject, jnp.float32)
    xs, mask, reset = inputs(2, T, I).astype(jnp.float32), flags(5, shape=(2, T)), flags(6, 0.2, (2, T))

    def results():
        cell.init(jax.random.key(0))
        ends = [asrnn_jax.run(cell, params, xs, lengths=jnp.array([1, 2]), outputs="last")]
        for option in (
            {},
            {"gradient": "autodiff"},
            {"dtype": jnp.bfloat16},
            *([{"method": "associative_scan"}] * subject.linear),
        ):

            def loss(params, option=option):
                return asrnn_jax.run(cell, params, xs, mask=mask, reset=reset, **option)[1].sum()

            ends.append(jax.value_and_grad(loss)(params))
        if subject.streams:
            ends.append(asrnn_jax.step(cell, params, cell.initial_carry((2,)), xs[:, 0], reset=reset[:, 0]))
        return ends

    with jax.numpy_dtype_promotion("strict"):  # an error of tracing
        jax.eval_shape(results)


@quickly("subject", ["lstm"], REPRESENTATIVES)
def test_debugging_modes_find_nothing_in_clean_data(subject):
    cell, params = make(subject, jnp.float32)
    xs, lengths = inputs(2, 3, I).astype(jnp.float32), jnp.array([3, 2])
    options = {"mask": flags(5, shape=(2, 3)), "reset": flags(6, 0.3, (2, 3)), "lengths": lengths}

    def loss(params):
        return asrnn_jax.run(cell, params, xs, **options)[1].sum()

    expected = jax.jit(jax.value_and_grad(loss))(params)
    with jax.disable_jit(), jax.debug_nans(True):
        found = jax.value_and_grad(loss)(params)
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-4)
    with jax.checking_leaks():
        jax.jit(jax.value_and_grad(lambda params: loss(params)))(params)


def test_debug_nans_still_finds_nan():
    cell, params = make(LOOP_SUBJECTS[0], jnp.float32)
    xs = inputs(2, 4, I).astype(jnp.float32).at[0, 1].set(jnp.nan)
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        asrnn_jax.run(cell, params, xs, reset=jnp.zeros((2, 4), bool))


@quickly("subject", ("lstm", "s5", "asrnn", "deep"), REPRESENTATIVES)
def test_cells_can_be_pickled(subject):
    cell, params = make(subject)
    again = pickle.loads(pickle.dumps(cell))
    assert again == cell
    assert hash(again) == hash(cell)
    xs = inputs(2, 5, I)
    close(asrnn_jax.run(again, params, xs), asrnn_jax.run(cell, params, xs))


@pytest.mark.slow
def test_modules_can_be_pickled():
    cell = cells.stack([cells.gru(I, 4), cells.lru(4, 3)])
    xs = jnp.ones((2, 5, I))
    module = asrnn_jax.linen.RNN(cell, options={"outputs": "last"})
    variables = module.init(jax.random.key(0), xs)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(module)).apply(variables, xs)[1], module.apply(variables, xs)[1]
    )
    other = asrnn_jax.nnx.RNN(cell, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(other))(xs)[1], other(xs)[1])


POLICIES = {
    "never": streaming.never(),
    "oracle": streaming.oracle(),
    "periodic": streaming.periodic(7),
    "on_energy": streaming.on_energy(jnp.float32(-2.0)),
    "on_entropy": streaming.on_entropy(0.8),
    "on_saturation": streaming.on_saturation(patience=3),
}


@quickly("name", ["on_entropy"], POLICIES)
def test_policies_and_sessions_can_be_pickled(name):
    """A session goes on where it was, with its monitors."""
    policy = POLICIES[name]
    assert pickle.loads(pickle.dumps(policy)) == policy
    model = cells.with_output(cells.asrnn(I, 4), 5)
    params, xs = model.init(jax.random.key(0)), np.random.default_rng(0).normal(size=(2, 40, I)).astype(np.float32)
    session = streaming.Session(
        model, params, batch=2, policy=policy, reference=streaming.reference(model, params, xs), monitor_every=8
    )
    session.push(xs[:, :15])
    again = pickle.loads(pickle.dumps(session))
    np.testing.assert_array_equal(again.push(xs[:, 15:]), session.push(xs[:, 15:]))
    assert again.steps == session.steps == 40
    chex.assert_trees_all_equal(again.readings, session.readings)


def test_a_changed_cell_says_that_it_cannot_be_pickled():
    with pytest.raises(pickle.PicklingError, match="make it again"):
        pickle.dumps(cells.gru(2, 3).replace(name="another"))


def test_a_flax_loop_over_an_explicit_mesh():
    """One step in flax's own loop, which makes its start without seeing where the inputs lie."""
    module = nn.RNN(asrnn_jax.linen.RNNCell(cells.gru(I, 4)))
    xs = jnp.asarray(inputs(4, T, I), jnp.float32)
    variables = module.init(jax.random.key(0), xs)
    sharded = jax.device_put(xs, NamedSharding(mesh_of(AxisType.Explicit), P("data")))
    np.testing.assert_allclose(jax.jit(module.apply)(variables, sharded), module.apply(variables, xs), atol=1e-6)
