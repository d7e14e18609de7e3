"""The flax.nnx adapters. That they compute what `run` computes, for every cell, is in test_linen.py."""

import re
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import asrnn_jax
import asrnn_jax.linen
from asrnn_jax.nnx import RNN, Base, RNNCell
from tests.test_laws import B, I, T, close, inputs, some_carry
from tests.test_linen import ASRNN, LENGTHS, LSTM, TANH, close_up_to, composite, make, random_params

DYNAMIC = asrnn_jax.cells.orthogonal(I, 6, map="cayley", dynamic=True, dtype=jnp.float64)


def both(row):
    """Our modules with the same params, and flax's own loop around the step."""
    cell, params = make(row)
    return cell, params, RNN(cell, params=params), partial(nnx.RNN, RNNCell(cell, params=params))


@pytest.mark.parametrize("kind", [RNN, RNNCell])
def test_params_are_the_pure_params(kind):
    cell, params = make(TANH)
    module = kind(cell, rngs=nnx.Rngs(3))
    close(module.params, cell.init(nnx.Rngs(3).params()))
    module = kind(cell, params=params)
    jax.tree.map(np.testing.assert_array_equal, module.params, params)
    module.set_params(jax.tree.map(jnp.zeros_like, params))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(module.params))
    assert isinstance(module.params, dict)


def test_two_modules_of_one_rngs_differ():
    cell, rngs = make(TANH)[0], nnx.Rngs(0)
    first, second = RNN(cell, rngs=rngs).params, RNN(cell, rngs=rngs).params
    assert float(jnp.abs(first["W_hh"] - second["W_hh"]).max()) > 0.01


def test_linen_and_nnx_exchange_params():
    cell, params = make(ASRNN)
    xs = inputs(B, T, I)
    variables = {"params": RNN(cell, params=params).params}
    close(asrnn_jax.linen.RNN(cell).apply(variables, xs), RNN(cell, params=variables["params"])(xs))


def test_a_loop_by_hand_equals_run():
    cell, params = make(LSTM)
    xs, module = inputs(B, 5, I), RNNCell(cell, params=params)
    carry, ys = module.initialize_carry((B, I), nnx.Rngs(0)), []
    close(carry, cell.initial_carry((B,), jnp.float64))
    for t in range(5):
        carry, y = module(carry, xs[:, t])
        ys.append(y)
    close((carry, jnp.stack(ys, axis=1)), asrnn_jax.run(cell, params, xs))
    close(module(carry, xs[:, 0], mask=jnp.zeros(B, bool))[0], carry)
    assert module.num_feature_axes == 1
    assert module.initialize_carry((I,)) is not None


@pytest.mark.parametrize(
    ("row", "lengths", "reverse", "keep_order"),
    [(TANH, None, True, True), (LSTM, LENGTHS, True, False), (ASRNN, LENGTHS, False, False)],
)
def test_flax_loop_with_lengths_carry_and_reverse(row, lengths, reverse, keep_order):
    cell, _, ours, loop = both(row)
    xs, carry = inputs(B, T, I), some_carry(cell, (B,))
    options = {"seq_lengths": lengths, "initial_carry": carry, "reverse": reverse, "keep_order": keep_order}
    end, ys = loop(return_carry=True)(xs, **options)
    our_end, our_ys = ours(xs, **options)
    close(our_end, end)
    close_up_to(lengths, our_ys, ys)
    first = partial(jnp.moveaxis, source=1, destination=0)
    close(ours(first(xs), time_major=True, **options), (our_end, first(our_ys)))


@pytest.mark.parametrize(("row", "batch"), [(TANH, ()), (LSTM, (2, 3))])
def test_any_number_of_batch_axes(row, batch):
    _, _, ours, loop = both(row)
    xs = inputs(*batch, T, I)
    close(ours(xs), loop(return_carry=True)(xs))


@pytest.mark.parametrize(("row", "lengths"), [(TANH, None), (LSTM, LENGTHS)])
def test_bidirectional(row, lengths):
    cell, params = make(row)
    other, other_params = make(TANH)
    xs, carry = inputs(B, T, I), (some_carry(cell, (B,)), some_carry(other, (B,)))
    module = nnx.Bidirectional(RNN(cell, params=params), RNN(other, params=other_params))
    options = {"seq_lengths": lengths, "initial_carry": carry}
    forward = asrnn_jax.run(cell, params, xs, lengths=lengths, carry=carry[0])
    backward = asrnn_jax.run(other, other_params, xs, lengths=lengths, carry=carry[1], reverse=True)
    ys = jnp.concatenate([forward[1], backward[1]], axis=-1)
    close(module(xs, return_carry=True, **options), ((forward[0], backward[0]), ys))
    close(module(xs, rngs=nnx.Rngs(0), **options), ys)
    first = partial(jnp.moveaxis, source=1, destination=0)
    close(module(first(xs), time_major=True, **options), first(ys))
    theirs = nnx.Bidirectional(
        nnx.RNN(RNNCell(cell, params=params)), nnx.RNN(RNNCell(other, params=other_params)), merge_fn=jnp.subtract
    )
    close_up_to(lengths, theirs(xs, **options), forward[1] - backward[1])


def test_every_option_of_run():
    cell, params = make(ASRNN)
    xs, mask = inputs(B, T, I), jax.random.bernoulli(jax.random.key(4), 0.6, (B, T))
    options = {"mask": mask, "reset": ~mask, "carry": some_carry(cell, (B,)), "reverse": True, "outputs": "last"}
    static = {"gradient": "autodiff", "block": 4}
    result = RNN(cell, params=params, **static)(xs, **options, time_major=None)
    close(result, asrnn_jax.run(cell, params, xs, **options, **static))
    close(RNN(cell, params=params, return_carry=False)(xs, **options), result[1])


def test_dtype():
    cell, params = make(LSTM, jnp.float32)
    xs = inputs(B, T, I).astype(jnp.float32)
    exact = RNN(cell, params=params)(xs)[1]
    loop = nnx.RNN(RNNCell(cell, params=params, dtype=jnp.bfloat16))
    for ys in (RNN(cell, params=params, dtype=jnp.bfloat16)(xs)[1], loop(xs)):
        assert ys.dtype == jnp.bfloat16
        assert float(jnp.abs(exact - ys.astype(jnp.float32)).max() / jnp.abs(exact).max()) < 0.1


DROPS = asrnn_jax.cells.residual(asrnn_jax.cells.tanh_rnn(I, I), dropout=0.5)


def test_dropout_by_the_stream_of_that_name_or_by_key():
    cell = DROPS
    xs, params = inputs(B, T, I).astype(jnp.float32), random_params(cell)
    module, rngs, same = RNN(cell, params=params), nnx.Rngs(dropout=5), nnx.Rngs(dropout=5)
    first, second = module(xs, rngs=rngs), module(xs, rngs=rngs)
    close(first, asrnn_jax.run(cell, params, xs, key=same.dropout()))
    close(second, asrnn_jax.run(cell, params, xs, key=same.dropout()))
    assert float(jnp.abs(first[1] - second[1]).max()) > 0.1
    for none in ({}, {"rngs": nnx.Rngs(params=0)}, {"rngs": nnx.Rngs(0).carry}):
        with pytest.raises(ValueError, match=r"has dropout and there is no stream for it.*deterministic=True"):
            module(xs, **none)
        close(module(xs, deterministic=True, **none), asrnn_jax.run(cell, params, xs))
    key = jax.random.key(1)
    close(module(xs, key=key, rngs=rngs), asrnn_jax.run(cell, params, xs, key=key))
    close(module(xs, rngs=rngs.dropout), asrnn_jax.run(cell, params, xs, key=same.dropout()))


@pytest.mark.parametrize("wrap", [lambda cell: cell, lambda cell: asrnn_jax.cells.with_output(cell, 2)])
def test_dropout_is_switched_as_that_of_flax(wrap):
    """In step with a `flax.nnx.Dropout` of the same rngs: where it drops, so does the cell, and where not, not."""
    cell, xs = wrap(DROPS), inputs(B, T, I).astype(jnp.float32)
    rngs = nnx.Rngs(params=0, dropout=1)
    module, theirs = RNN(cell, rngs=rngs), nnx.Dropout(0.5, rngs=nnx.Rngs(dropout=1))
    keys = nnx.Rngs(dropout=1)["dropout"].fork()

    def dropped(**options):
        expected = asrnn_jax.run(cell, module.params, xs)[1]
        now = module(xs, **options)[1]
        drops = float(jnp.abs(now - expected).max()) > 0.1
        assert drops == bool((theirs(jnp.ones(99), **options) == 0).any())
        if drops:
            close(now, asrnn_jax.run(cell, module.params, xs, key=keys())[1])
        return drops

    assert dropped()
    assert dropped()
    module.eval(), theirs.eval()
    assert not dropped()
    assert dropped(deterministic=False)
    module.train(), theirs.train()
    assert dropped()
    assert not dropped(deterministic=True)
    assert nnx.view(module, deterministic=True).deterministic
    close(RNN(cell, params=module.params, deterministic=True)(xs), asrnn_jax.run(cell, module.params, xs))
    both = RNN(cell, params=module.params, rngs=nnx.Rngs(dropout=1))
    keys = nnx.Rngs(dropout=1)["dropout"].fork()
    close(both(xs), asrnn_jax.run(cell, module.params, xs, key=keys()))
    unheard = RNN(cell, rngs=nnx.Rngs(params=0))  # made without a stream for it
    with pytest.raises(ValueError, match="no stream"):
        unheard(xs)


def test_the_stream_of_dropout_goes_on_under_jit_and_none_is_kept_without_dropout():
    module, xs = RNN(DROPS, rngs=nnx.Rngs(0)), inputs(B, T, I).astype(jnp.float32)
    call = nnx.jit(lambda module, xs: module(xs)[1])
    assert float(jnp.abs(call(module, xs) - call(module, xs)).max()) > 0.1
    kept = nnx.state(RNN(asrnn_jax.cells.tanh_rnn(I, 4), rngs=nnx.Rngs(0)), nnx.RngState)
    assert not jax.tree.leaves(kept)
    assert asrnn_jax.optim.count(nnx.state(module)) == asrnn_jax.optim.count(module.params)
    two = nnx.Bidirectional(RNN(DROPS, rngs=nnx.Rngs(0)), RNN(DROPS, rngs=nnx.Rngs(1)))
    assert float(jnp.abs(two(xs, rngs=nnx.Rngs(0)) - two(xs, rngs=nnx.Rngs(0))).max()) > 0.1


def test_a_trained_start():
    cell = composite()
    params = random_params(cell)
    carry = RNNCell(cell, params=params).initialize_carry((B, I))
    close(carry, cell.start(cell.prepare(params), (B,), jnp.float64))


def test_errors_name_what_is_wrong():
    cell, params = make(TANH)
    module, xs = RNN(cell, params=params), inputs(B, T, I)
    for arguments in ({}, {"rngs": nnx.Rngs(0), "params": params}):
        with pytest.raises(ValueError, match="pass either rngs="):
            RNN(cell, **arguments)
    with pytest.raises(TypeError, match="'lenghts'"):
        module(xs, lenghts=LENGTHS)
    with pytest.raises(TypeError, match="'unrolled'"):
        RNN(cell, params=params, unrolled=2)(xs)
    with pytest.raises(ValueError, match="seq_lengths and lengths are two names"):
        module(xs, lengths=LENGTHS, seq_lengths=LENGTHS)
    with pytest.raises(ValueError, match="inputs=3"):
        module(xs[..., :2])
    with pytest.raises(ValueError, match="carry_init"):
        RNNCell(cell, params=params).initialize_carry((B, I), carry_init=jax.nn.initializers.ones)
    other = asrnn_jax.cells.tanh_rnn(2, 6)
    for wrong in (lambda: RNN(other, params=params), lambda: RNNCell(other, rngs=nnx.Rngs(0)).set_params(params)):
        with pytest.raises(ValueError, match=r"params\['W_xh'\] has shape \(3, 6\).*2 inputs"):
            wrong()


class Classifier(nnx.Module):
    """Two cells and a head."""

    def __init__(self, first, second, *, rngs):
        self.layers = nnx.List([RNN(first, rngs=rngs, return_carry=False), RNN(second, rngs=rngs, outputs="last")])
        self.head = nnx.Linear(second.outputs, 1, param_dtype=jnp.float64, rngs=rngs)

    def __call__(self, xs, lengths):
        _, y = self.layers[1](self.layers[0](xs), lengths=lengths)
        with jax.numpy_rank_promotion("allow"):
            return self.head(y)


@pytest.mark.slow
def test_a_model_with_a_head_learns_and_leaves_dynamic_bases_alone():
    second = asrnn_jax.cells.irnn(6, 6, dtype=jnp.float64)
    model, xs, lengths = Classifier(DYNAMIC, second, rngs=nnx.Rngs(0)), inputs(16, T, I), jnp.full(16, T)
    target = xs.sum((1, 2))[:, None]
    optimizer = nnx.Optimizer(model, optax.adamw(3e-2, weight_decay=0.1), wrt=nnx.Param)
    start = model.layers[0].params

    @nnx.jit
    def train(model, optimizer):
        loss = nnx.value_and_grad(lambda model: jnp.mean((model(xs, lengths) - target) ** 2))
        value, gradient = loss(model)
        optimizer.update(model, gradient)
        return value

    values = [float(train(model, optimizer)) for _ in range(30)]
    assert values[-1] < 0.5 * values[0]
    end = model.layers[0].params
    labels = asrnn_jax.optim.labels(start)
    same = jax.tree.map(lambda label, a, b: bool((a == b).all()) == (label == "frozen"), labels, start, end)
    assert all(jax.tree.leaves(same))


def test_dynamic_bases_are_no_nnx_params():
    params = random_params(DYNAMIC)
    params["W_hh"]["base"] = jnp.eye(6)
    module = RNN(DYNAMIC, params=params)
    _, trained, fixed = nnx.split(module, nnx.Param, ...)
    assert list(fixed["variables"]) == ["W_hh"]
    assert isinstance(module.variables["W_hh"]["base"], Base)
    assert "base" not in trained["variables"]["W_hh"]
    gradient = nnx.grad(lambda module: module(inputs(2, 5, I))[1].sum())(module)
    assert jax.tree.map(jnp.shape, nnx.to_pure_dict(gradient)) == jax.tree.map(jnp.shape, nnx.to_pure_dict(trained))
    before = module(inputs(2, 5, I))
    module.set_params(DYNAMIC.training.rebase(module.params, False))
    assert not np.any(module.params["W_hh"]["skew"])
    close(module(inputs(2, 5, I)), before)


def test_split_merge_and_update():
    cell, params = make(ASRNN)
    xs = inputs(B, T, I)
    module = RNN(cell, params=params, outputs="last")
    graph, state = nnx.split(module)
    merged = nnx.merge(graph, state)
    close(merged(xs), module(xs))
    zeros = RNN(cell, params=jax.tree.map(jnp.zeros_like, params), outputs="last")
    nnx.update(merged, nnx.state(zeros))
    close(merged.params, zeros.params)
    assert hash(graph) == hash(nnx.graphdef(RNN(cell, params=params, outputs="last")))


def test_an_ensemble_by_vmap():
    cell = asrnn_jax.cells.irnn(I, 6, dtype=jnp.float64)
    xs = inputs(B, T, I)

    @nnx.split_rngs(splits=3)
    @nnx.vmap
    def create(rngs):
        return RNN(cell, rngs=rngs)

    ensemble = create(nnx.Rngs(0))
    _, ys = nnx.vmap(lambda module, xs: module(xs), in_axes=(0, None))(ensemble, xs)
    for i in range(3):
        close(ys[i], asrnn_jax.run(cell, jax.tree.map(lambda p: p[i], ensemble.params), xs)[1])  # noqa: B023
    assert float(jnp.abs(ys[0] - ys[1]).max()) > 1e-3


def test_second_call_does_not_compile(caplog):
    cell, params = make(TANH)
    xs = inputs(B, T + 10, I)  # of no other test

    def compiled():
        caplog.clear()
        with jax.log_compiles():
            RNN(cell, params=params, reverse=True)(xs, lengths=jnp.full(B, 5))
        return [r.getMessage() for r in caplog.records if "XLA compilation of jit(evaluate)" in r.getMessage()]

    assert compiled()
    assert not compiled()
    calls = []

    @nnx.jit
    def f(module, xs):
        calls.append(1)
        return module(xs)

    for _ in range(2):
        again = asrnn_jax.cells.make("tanh_rnn", I, 6, dtype=jnp.float64)
        f(RNN(again, params=params, gradient="autodiff", block=3), xs)
    assert len(calls) == 1


@pytest.mark.slow
def test_a_flax_without_nnx_for_this_jax_is_named():
    """What flax 0.12.8 beside jax 0.11.1 and later raises; linen works with that pair."""
    program = """
import sys
import asrnn_jax.linen

class Older:
    def find_spec(self, name, path=None, target=None):
        if name == "flax.nnx":
            raise AttributeError("module 'jax.experimental.hijax' has no attribute 'HiPrimitive'")

sys.meta_path.insert(0, Older())
import asrnn_jax.nnx
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    message = r"ImportError: flax \S+ has no nnx with jax \S+ \(.*HiPrimitive.*\): pip install --upgrade flax\."
    assert re.fullmatch(message, done.stderr.splitlines()[-1])
