"""Names of params are found in whatever holds them, and names of mesh axes are flax's own."""

from collections import namedtuple
from functools import partial

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.core import FrozenDict
from jax.sharding import PartitionSpec as P

import asrnn_jax
import asrnn_jax.linen
import asrnn_jax.nnx
from asrnn_jax import cells, optim
from tests.test_laws import close, inputs

I, H = 3, 6  # noqa: E741
CELL = cells.with_output(cells.asrnn(I, H, dynamic=True, a=0.5, b=1.5), 2)
PARAMS = CELL.init(jax.random.key(0))
ORTHOGONAL, FROZEN = PARAMS["cell"]["W_hh"]["skew"], [PARAMS["cell"]["W_hh"]["base"]]
NAMES = {"cell.W_xh": (None, "model"), "cell.W_hh.skew": ("model",), "output.kernel": ("model", None)}


def attributes(params):
    """Params as attributes, all the way down."""
    made = {name: attributes(value) if isinstance(value, dict) else value for name, value in params.items()}
    return namedtuple("Attributes", made)(**made)


class Model(eqx.Module):
    rnn: tuple
    bias: jax.Array


def box(kind):
    return lambda params: jax.tree.map(lambda leaf: kind(leaf, names=(None,) * leaf.ndim), params)


def module(params):
    return asrnn_jax.nnx.RNN(CELL, params=params)


HOLDERS = {
    "dict": dict,
    "FrozenDict": FrozenDict,
    "in a list": lambda params: [{"a": 1.0 * jnp.ones(4)}, (params, jnp.zeros(2))],
    "Partitioned": box(nn.Partitioned),
    "LogicallyPartitioned": box(nn.LogicallyPartitioned),
    "Partitioned in variables": lambda params: {"params": {"rnn": box(nn.Partitioned)(params)}},
    "nnx module": module,
    "nnx.State": lambda params: nnx.state(module(params)),
    "nnx.Params of it": lambda params: nnx.state(module(params), nnx.Param),
    "nnx.split": lambda params: nnx.split(module(params)),
    "nnx.to_pure_dict": lambda params: nnx.to_pure_dict(nnx.state(module(params))),
    "dict of nnx.Param": lambda params: jax.tree.map(nnx.Param, params),
    "attributes": attributes,
    "equinox": lambda params: Model(attributes(params), jnp.zeros(4)),
    "equinox of boxes": lambda params: Model(attributes(box(nn.Partitioned)(params)), jnp.zeros(4)),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_labels_are_found_in_every_holder(holder):
    """By the values of the leaves, whatever their names."""
    held = HOLDERS[holder](PARAMS)
    labels = optim.labels(held)
    assert jax.tree.structure(labels) == jax.tree.structure(held)
    found = {"orthogonal": [], "frozen": [], "other": []}
    for label, leaf in zip(jax.tree.leaves(labels), jax.tree.leaves(held)):
        found[label].append(leaf)
    (skew,) = found["orthogonal"]
    np.testing.assert_array_equal(skew, ORTHOGONAL)
    bases = [] if holder == "nnx.Params of it" else FROZEN
    assert sorted(leaf.sum() for leaf in found["frozen"]) == sorted(base.sum() for base in bases)
    extra = {"in a list": 6, "equinox": 4, "equinox of boxes": 4}.get(holder, 0)
    assert optim.count(held) == optim.count(PARAMS) + extra


@pytest.mark.parametrize("holder", HOLDERS)
def test_separate_rates_move_each_at_its_own(holder):
    held = HOLDERS[holder](PARAMS)
    tx = optim.separate_rates(optax.sgd(1.0), optax.sgd(10.0))
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, held), tx.init(held), held)
    for label, update in zip(jax.tree.leaves(optim.labels(held)), jax.tree.leaves(updates)):
        np.testing.assert_array_equal(update, {"orthogonal": -10.0, "frozen": 0.0, "other": -1.0}[label])


def test_names_that_only_look_alike_are_other():
    trap = {"skew": jnp.ones(2), "base": {"value": jnp.ones(2)}, "W_hh": {"base": jnp.ones(3), "skewed": jnp.ones(3)}}
    assert set(jax.tree.leaves(optim.labels(trap))) == {"other"}
    assert optim.labels({"W_hh": {"skew": {"value": jnp.ones(3)}}}) == {"W_hh": {"skew": {"value": "other"}}}


@pytest.mark.slow
def test_a_model_of_nnx_trains_its_orthogonal_matrices_at_their_rate():
    cell = cells.asrnn(I, H)
    model = asrnn_jax.nnx.RNN(cell, rngs=nnx.Rngs(0), return_carry=False)
    before = model.params
    optimizer = nnx.Optimizer(model, optim.separate_rates(optax.sgd(0.0), optax.sgd(0.1)), wrt=nnx.Param)
    gradient = nnx.grad(lambda model: model(inputs(2, 5, I).astype(jnp.float32)).sum())(model)
    optimizer.update(model, gradient)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, model.params)
    assert moved["W_hh"]["skew"]
    assert sum(jax.tree.leaves(moved)) == 1


def test_rebasing_goes_through_boxes():
    boxed = box(nn.Partitioned)(PARAMS)
    moved = optim.rebase(CELL, boxed, jnp.asarray(100), 100)
    assert jax.tree.structure(moved) == jax.tree.structure(boxed)
    close(nn.unbox(moved), optim.rebase(CELL, PARAMS, jnp.asarray(100), 100))
    assert (nn.unbox(moved)["cell"]["W_hh"]["skew"] == 0).all()


def specs(params):
    """What NAMES say of each param."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    names = [NAMES.get(jax.tree_util.keystr(path, simple=True, separator=".")) for path, _ in leaves]
    return jax.tree.unflatten(structure, [P() if name is None else P(*name) for name in names])


@pytest.mark.parametrize("how", [NAMES, lambda name, leaf: NAMES.get(name)], ids=["names", "function"])
def test_linen_params_carry_the_names_of_mesh_axes(how):
    xs = inputs(4, 5, I).astype(jnp.float32)
    plain, named = asrnn_jax.linen.RNN(CELL), asrnn_jax.linen.RNN(CELL, partition=how)
    variables = named.init(jax.random.key(1), xs)
    assert nn.get_partition_spec(variables) == {"params": specs(PARAMS)}
    unboxed = nn.unbox(variables)
    jax.tree.map(np.testing.assert_array_equal, unboxed, plain.init(jax.random.key(1), xs))
    close(named.apply(variables, xs), plain.apply(unboxed, xs))
    close(named.apply(unboxed, xs), plain.apply(unboxed, xs))
    close(plain.apply(variables, xs), plain.apply(unboxed, xs))
    loss = lambda module: lambda variables: module.apply(variables, xs)[1].sum()  # noqa: E731
    close(nn.unbox(jax.grad(loss(named))(variables)), jax.grad(loss(plain))(unboxed))
    assert optim.count(variables) == optim.count(PARAMS)
    loop = nn.RNN(asrnn_jax.linen.RNNCell(CELL, partition=how))
    boxed = loop.init(jax.random.key(1), xs)
    assert nn.get_partition_spec(boxed) == {"params": {"cell": specs(PARAMS)}}
    expected = plain.apply({"params": nn.unbox(boxed)["params"]["cell"]}, xs)[1]
    np.testing.assert_allclose(loop.apply(boxed, xs), expected, atol=1e-5)


def test_linen_logical_names_and_layers_of_a_vmap():
    logical = {"W_xh": partial(nn.LogicallyPartitioned, names=("embed", "hidden"))}
    cell, xs = cells.tanh_rnn(I, H), inputs(4, 5, I).astype(jnp.float32)
    spec = nn.get_partition_spec(asrnn_jax.linen.RNN(cell, partition=logical).init(jax.random.key(0), xs))
    rules = (("embed", None), ("hidden", "model"))
    assert nn.logical_to_mesh(spec, rules)["params"]["W_xh"] == P(None, "model")
    many = nn.vmap(
        asrnn_jax.linen.RNN,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None,
        axis_size=3,
        metadata_params={nn.PARTITION_NAME: "ensemble"},
    )(cell, partition={"W_hh": (None, "model")})
    variables = many.init(jax.random.key(0), xs)
    assert nn.get_partition_spec(variables)["params"]["W_hh"] == P("ensemble", None, "model")
    assert many.apply(variables, xs)[1].shape == (3, 4, 5, H)


@pytest.mark.parametrize("kind", [asrnn_jax.nnx.RNN, asrnn_jax.nnx.RNNCell])
def test_nnx_params_carry_the_names_of_mesh_axes(kind):
    mesh = jax.make_mesh((1,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh):
        made = kind(CELL, params=PARAMS, partition=NAMES)
    found = nnx.to_pure_dict(nnx.get_partition_spec(nnx.state(made)))["variables"]
    leaves = lambda tree: jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, P))  # noqa: E731
    assert leaves(found) == leaves(specs(PARAMS))
    jax.tree.map(np.testing.assert_array_equal, made.params, PARAMS)
    assert jax.tree.leaves(optim.labels(nnx.state(made))) == jax.tree.leaves(optim.labels(PARAMS))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"W_xx": (None,)}, r"partition has \['W_xx'\]: the cell's params are W_hh, W_xh, b"),
        ({"W_xh": ("model",)}, r"partition\['W_xh'\]=\('model',\): give one name, or None, an axis of \(3, 6\)"),
    ],
)
def test_names_that_do_not_fit_are_named(names, message):
    cell = cells.tanh_rnn(I, H)
    with pytest.raises(ValueError, match=message):
        asrnn_jax.nnx.RNN(cell, rngs=nnx.Rngs(0), partition=names)
    with pytest.raises(ValueError, match=message):
        asrnn_jax.linen.RNN(cell, partition=names).init(jax.random.key(0), inputs(2, 5, I))
