"""Weights from and to torch and flax: round trips to the bit, and the same function as theirs."""

import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import asrnn_jax
from asrnn_jax import cells
from asrnn_jax.interop import from_flax, from_torch, to_flax, to_torch
from tests.quick import quickly
from tests.test_laws import close, inputs

STORED = Path(__file__).with_name("references") / "torch.npz"
I, H = 3, 5  # noqa: E741


def stored(kind):
    arrays = np.load(STORED)
    return {name.split(".", 1)[1]: arrays[name] for name in arrays.files if name.startswith(f"{kind}.")}


def weights_of(reference):
    return {name: a for name, a in reference.items() if name.startswith(("weight_", "bias_"))}


def random_like(tree):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda s: jnp.asarray(0.5 * rng.normal(size=s.shape), s.dtype), tree)


def some_params(cell):
    return random_like(dict(jax.eval_shape(cell.init, jax.random.key(0))))


def same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x).view(np.uint8), np.asarray(y).view(np.uint8))


def cell_of(name, dtype=jnp.float64):
    return cells.make(name, I, H, dtype=dtype)


def deep(name, dtype=jnp.float64):
    layers = [cells.make(name, inputs, H, dtype=dtype) for inputs in (I, 2 * H)]
    return cells.stack([cells.bidirectional(layer) for layer in layers])


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "lstm-deep", "gru-deep"])
def test_stored_torch_layers_give_the_same_outputs(kind):
    reference = stored(kind)
    cell, params = from_torch(weights_of(reference))
    start = [jnp.asarray(reference[name]) for name in sorted(reference) if name.startswith("start")]
    if kind.endswith("deep"):  # torch: (layers * directions, B, H), one array of h and one of c
        start = [s[k] for k in range(4) for s in start]
    carry = jax.tree.unflatten(jax.tree.structure(cell.initial_carry()), start)
    end, ys = asrnn_jax.run(cell, params, reference["xs"], carry=carry)
    close(ys, jnp.asarray(reference["ys"]))
    ends = [jnp.asarray(reference[name]) for name in sorted(reference) if name.startswith("end")]
    if kind.endswith("deep"):
        ends = [e[k] for k in range(4) for e in ends]
    close(jax.tree.leaves(end), ends)


@pytest.mark.parametrize("name", ["lstm", "gru", "tanh_rnn", "irnn"])
@pytest.mark.parametrize("make", [cell_of, deep])
@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.float64, marks=pytest.mark.slow)])
def test_torch_round_trip(name, make, dtype):
    cell = make(name, dtype)
    params = some_params(cell)
    params = jax.tree.map(lambda p: p.at[0].set(-0.0), params)
    state_dict = to_torch(cell, params)
    assert all(isinstance(a, np.ndarray) for a in state_dict.values())
    again, back = from_torch(state_dict, nonlinearity="relu" if name == "irnn" else "tanh")
    same_bits(back, params)
    assert again.name == cell.name
    assert jax.eval_shape(again.init, jax.random.key(0)) == jax.eval_shape(cell.init, jax.random.key(0))


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "lstm-deep"])
def test_torch_to_ours_to_torch_keeps_the_sum_of_biases(kind):
    given = weights_of(stored(kind))
    returned = to_torch(*from_torch(given))
    assert returned.keys() == given.keys()
    for name in given:
        if name.startswith("weight"):
            np.testing.assert_array_equal(returned[name], given[name])
        else:
            other = name.replace("_ih_", "_hh_") if "_ih_" in name else name.replace("_hh_", "_ih_")
            np.testing.assert_array_equal(returned[name] + returned[other], given[name] + given[other])
    if kind == "gru":  # in the n part the two are not interchangeable
        for name in ("bias_ih_l0", "bias_hh_l0"):
            np.testing.assert_array_equal(returned[name][2 * H :], given[name][2 * H :])


def test_no_biases_are_zero_biases():
    for name in ("lstm", "gru", "tanh_rnn"):
        cell = cell_of(name)
        params = {key: p if key.startswith("W") else jnp.zeros_like(p) for key, p in some_params(cell).items()}
        state_dict = {key: a for key, a in to_torch(cell, params).items() if key.startswith("weight")}
        again, back = from_torch(state_dict)
        same_bits(back, params)
        assert again.name == name


def torch_layer(torch, kind, **options):
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[kind]
    torch.manual_seed(0)
    return layer(I, H, batch_first=True, **options).double()


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "relu"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"num_layers": 3, "bias": False}])
def test_live_torch_both_ways(kind, options):
    torch = pytest.importorskip("torch")
    nonlinearity = "relu" if kind == "relu" else "tanh"
    if kind == "relu":
        kind, options = "rnn", {**options, "nonlinearity": "relu"}
    theirs = torch_layer(torch, kind, **options)
    cell, params = from_torch(theirs.state_dict(), kind, nonlinearity=nonlinearity)
    xs = inputs(4, 11, I)
    ys = asrnn_jax.run(cell, params, xs)[1]

    def outputs(layer):
        with torch.no_grad():
            return layer(torch.as_tensor(np.array(xs)))[0].numpy()

    close(ys, jnp.asarray(outputs(theirs)))
    empty = torch_layer(torch, kind, **{**options, "bias": True})
    empty.load_state_dict({name: torch.as_tensor(a) for name, a in to_torch(cell, params).items()})
    close(ys, jnp.asarray(outputs(empty)))


def test_only_the_adapters_import_flax_and_nothing_imports_torch():
    code = "import sys, asrnn_jax, asrnn_jax.interop; sys.exit(bool({'flax', 'torch'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)


def without(state_dict, *names):
    return {name: a for name, a in state_dict.items() if name not in names}


def test_torch_errors_say_what_was_found():
    good, double = (
        to_torch(cell_of("lstm"), some_params(cell_of("lstm"))),
        to_torch(deep("gru"), some_params(deep("gru"))),
    )
    for state_dict, options, message in (
        ({}, {}, "empty"),
        ({**good, "fc.weight": np.ones(3)}, {}, "'fc.weight'.*that layer alone"),
        ({**good, "weight_hr_l0": np.ones((2, H))}, {}, "'weight_hr_l0'.*proj_size"),
        ({**good, "weight_hh_l0": np.ones((10, H))}, {}, r"\(20, 3\) and weight_hh_l0 \(10, 5\): expected"),
        ({**good, "weight_hh_l0": np.ones((20, 4))}, {}, r"weight_hh_l0 \(20, 4\): expected"),
        ({**good, "weight_hh_l0": np.ones(20)}, {}, r"weight_hh_l0 \(20,\): expected"),
        ({**good, "bias_hh_l0": np.ones(5)}, {}, r"\(20,\), \(5,\): expected \(20,\)"),
        (without(good, "weight_ih_l0"), {}, "both weight_ih and weight_hh"),
        (without(double, *(name for name in double if name.endswith("l0_reverse"))), {}, "layer 0, direction 1"),
        (without(double, *(name for name in double if "l0" in name)), {}, "layer 0, direction 0"),
        (good, {"kind": "gru"}, "kind='gru'.*which is 'lstm'"),
        (good, {"nonlinearity": "relu"}, "only RNN has a choice"),
        (good, {"nonlinearity": "elu"}, "choose tanh or relu"),
    ):
        with pytest.raises(ValueError, match=message):
            from_torch(state_dict, **options)


@pytest.mark.parametrize(
    "cell",
    [
        cells.mgu(I, H),
        cells.with_output(cells.lstm(I, H), 2),
        cells.stack([cells.lstm(I, H), cells.gru(H, H)]),
        cells.stack([cells.bidirectional(cells.gru(I, H)), cells.gru(2 * H, H)]),
        cells.stack([cells.gru(I, H), cells.gru(H, 4)]),
        cells.bidirectional(cells.tanh_rnn(I, H), cells.irnn(I, H)),
        cells.residual(cells.gru(I, H)),
    ],
    ids=lambda cell: cell.name,
)
def test_cells_that_torch_does_not_have(cell):
    with pytest.raises(ValueError, match=r"cell='.*torch"):
        to_torch(cell, some_params(cell))


def test_params_of_another_cell():
    with pytest.raises(ValueError, match="params this cell's init made"):
        to_torch(cell_of("lstm"), some_params(cell_of("gru")))
    with pytest.raises(ValueError, match="LSTMCell needs those of lstm"):
        to_flax("LSTMCell", some_params(cell_of("gru")))


FLAX = {"LSTMCell": "lstm", "OptimizedLSTMCell": "lstm", "GRUCell": "gru", "MGUCell": "mgu", "SimpleCell": "tanh_rnn"}


@quickly("name", ("OptimizedLSTMCell", "GRUCell", "MGUCell", "SimpleCell"), FLAX)
def test_linen_cells(name):
    theirs = nn.RNN(getattr(nn, name)(H, param_dtype=jnp.float64))
    xs = inputs(4, 11, I)
    with jax.numpy_rank_promotion("allow"):
        variables = random_like(jax.eval_shape(theirs.init, jax.random.key(0), xs))
        expected = theirs.apply(variables, xs)
    (given,) = variables["params"].values()
    cell, params = from_flax(name, given)
    assert cell.name == FLAX[name]
    close(asrnn_jax.run(cell, params, xs)[1], expected)
    same_bits(to_flax(name, params), dict(given))


@pytest.mark.parametrize("name", [name for name in FLAX if name != "MGUCell"])
def test_nnx_cells(name):
    zeros = nnx.initializers.zeros_init()
    options = {"dtype": jnp.float64, "param_dtype": jnp.float64, "kernel_init": zeros, "recurrent_kernel_init": zeros}
    theirs = getattr(nnx, name)(I, H, **options, rngs=nnx.Rngs(0))
    state = random_like(nnx.state(theirs, nnx.Param))
    nnx.update(theirs, state)
    xs = inputs(4, 11, I)
    with jax.numpy_rank_promotion("allow"):
        expected = nnx.RNN(theirs)(xs)
    cell, params = from_flax(name, state)
    close(asrnn_jax.run(cell, params, xs)[1], expected)
    pure = nnx.to_pure_dict(state)
    same_bits(from_flax(name, pure)[1], params)
    same_bits(to_flax(name, params, api="nnx"), pure)


@pytest.mark.slow
def test_flax_round_trip_from_our_side():
    for name, ours in FLAX.items():
        cell = cell_of(ours, jnp.float32)
        params = some_params(cell)
        again, back = from_flax(name, to_flax(name, params))
        same_bits(back, params)
        assert again.name == ours
        assert jax.eval_shape(again.init, jax.random.key(0)) == jax.eval_shape(cell.init, jax.random.key(0))


def test_flax_errors_say_what_was_found():
    params = some_params(cell_of("gru"))
    for f, message in (
        (lambda: from_flax("ConvLSTMCell", {}), "'ConvLSTMCell'.*LSTMCell, OptimizedLSTMCell"),
        (
            lambda: from_flax("GRUCell", {"cell": to_flax("GRUCell", params)}),
            r"\['cell'\] have no \['ir'\]\['kernel'\]",
        ),
        (lambda: from_flax("LSTMCell", to_flax("GRUCell", params)), r"no \['ii'\]\['kernel'\]"),
        (lambda: to_flax("GRUCell", params, api="nnx"), "b_hn.*api='linen'"),
        (lambda: to_flax("GRUCell", params, api="haiku"), "api='haiku'"),
        (lambda: to_flax("MGUCell", some_params(cell_of("mgu")), api="nnx"), "api='nnx' for MGUCell"),
    ):
        with pytest.raises(ValueError, match=message):
            f()
    unreset = nn.MGUCell(H, reset_gate=False)
    with jax.numpy_rank_promotion("allow"):
        variables = unreset.init(jax.random.key(0), jnp.zeros(H), jnp.zeros(I))
    with pytest.raises(ValueError, match=r"no \['hn'\]\['bias'\], which a MGUCell with default options"):
        from_flax("MGUCell", variables["params"])
