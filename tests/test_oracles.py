"""LSTM and tanh RNN against torch and flax: values, carries and gradients, with the same weights."""

import importlib.util
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax.cells import lstm, tanh_rnn

STORED = Path(__file__).with_name("references") / "torch.npz"


def live(kind):
    from tests.references.make_torch import reference

    return reference(kind)


@pytest.fixture(params=["stored", "live"])
def torch_reference(request):
    if request.param == "stored":
        arrays = np.load(STORED)
        return lambda kind: {name: arrays[name] for name in arrays.files if name.startswith(kind)}
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed (extra 'oracles')")
    return live


@pytest.mark.parametrize(("kind", "factory"), [("lstm", lstm), ("rnn", tanh_rnn)])
@pytest.mark.parametrize("gradient", ["fused", "plain"])
def test_equals_torch(torch_reference, kind, factory, gradient):
    ref = {name.split(".", 1)[1]: a for name, a in torch_reference(kind).items()}
    cell = factory(3, 5, dtype=jnp.float64)
    params = {
        "W_xh": jnp.asarray(ref["weight_ih_l0"].T),
        "W_hh": jnp.asarray(ref["weight_hh_l0"].T),
        "b": jnp.asarray(ref["bias_ih_l0"] + ref["bias_hh_l0"]),
    }
    start = [jnp.asarray(ref[name]) for name in sorted(ref) if name.startswith("start")]
    carry = jax.tree.unflatten(jax.tree.structure(cell.initial_carry((4,))), start)

    def loss(params, xs):
        end, ys = asrnn_jax.run(cell, params, xs, carry=carry, gradient=gradient)
        return jnp.sum(ref["weight"] * ys), (end, ys)

    (d_params, d_xs), (end, ys) = jax.grad(loss, (0, 1), has_aux=True)(params, jnp.asarray(ref["xs"]))
    close = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(ys, ref["ys"], **close)
    for i, leaf in enumerate(jax.tree.leaves(end)):
        np.testing.assert_allclose(leaf, ref[f"end{i}"], **close)
    np.testing.assert_allclose(d_xs, ref["d_xs"], **close)
    np.testing.assert_allclose(d_params["W_xh"], ref["d_weight_ih_l0"].T, **close)
    np.testing.assert_allclose(d_params["W_hh"], ref["d_weight_hh_l0"].T, **close)
    np.testing.assert_allclose(d_params["b"], ref["d_bias_ih_l0"], **close)


def test_lstm_equals_flax():
    theirs = nn.RNN(nn.OptimizedLSTMCell(5, param_dtype=jnp.float64), return_carry=True)
    xs = jax.random.normal(jax.random.key(0), (4, 30, 3), jnp.float64)
    variables = theirs.init(jax.random.key(1), xs)
    variables = jax.tree.map(lambda v: v + 0.1 * jax.random.normal(jax.random.key(v.size), v.shape, v.dtype), variables)
    (kernels,) = variables["params"].values()
    params = {
        "W_xh": jnp.concatenate([kernels[f"i{gate}"]["kernel"] for gate in "ifgo"], axis=1),
        "W_hh": jnp.concatenate([kernels[f"h{gate}"]["kernel"] for gate in "ifgo"], axis=1),
        "b": jnp.concatenate([kernels[f"h{gate}"]["bias"] for gate in "ifgo"]),
    }
    lengths = jnp.array([30, 12, 1, 29])
    with jax.numpy_rank_promotion("allow"):
        (c, h), ys = theirs.apply(variables, xs, seq_lengths=lengths)
    carry, ours = asrnn_jax.run(lstm(3, 5, dtype=jnp.float64), params, xs, lengths=lengths)
    valid = jnp.arange(30)[None, :, None] < lengths[:, None, None]
    np.testing.assert_allclose(jnp.where(valid, ours, 0), jnp.where(valid, ys, 0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(carry.h, h, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(carry.c, c, rtol=1e-10, atol=1e-12)


def test_tanh_rnn_equals_flax():
    theirs = nn.RNN(nn.SimpleCell(5, param_dtype=jnp.float64))
    xs = jax.random.normal(jax.random.key(0), (4, 30, 3), jnp.float64)
    with jax.numpy_rank_promotion("allow"):
        variables = theirs.init(jax.random.key(1), xs)
        expected = theirs.apply(variables, xs)
    (kernels,) = variables["params"].values()
    params = {"W_xh": kernels["i"]["kernel"], "W_hh": kernels["h"]["kernel"], "b": kernels["i"]["bias"]}
    np.testing.assert_allclose(
        asrnn_jax.run(tanh_rnn(3, 5, dtype=jnp.float64), params, xs)[1], expected, rtol=1e-10, atol=1e-12
    )
