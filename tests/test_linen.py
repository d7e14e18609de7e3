"""The flax.linen adapters, and the law that all adapters of every cell are the same function."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.errors import InvalidRngError, ScopeCollectionNotFound

import asrnn_jax
import asrnn_jax.nnx
from asrnn_jax.linen import RNN, RNNCell
from tests.naive import TABLE
from tests.quick import quickly
from tests.test_laws import B, I, T, close, inputs, scalar, some_carry

# Adapters do not look at a cell's options: one row an equation.
EACH = list({row.step: row for row in reversed(TABLE)}.values())[::-1]
TANH, ASRNN, LSTM = (next(row for row in TABLE if row.id == id) for id in ("tanh_rnn", "asrnn", "lstm"))
FEW = quickly("row", ("asrnn", "lstm"), [TANH, ASRNN, LSTM])
LENGTHS = jnp.array([1, 7, T, 3])


def random_params(cell):
    """Params of the cell's shapes; unlike `cell.init` this compiles nothing."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(cell.init, jax.random.key(0))
    return jax.tree.map(lambda s: jnp.asarray(0.3 * rng.normal(size=s.shape), s.dtype), dict(shapes))


def make(row, dtype=jnp.float64):
    cell = asrnn_jax.cells.make(row.cell, I, 6, dtype=dtype, **dict(row.options))
    return cell, random_params(cell)


def made(row):
    """A cell and linen variables."""
    cell, params = make(row)
    return cell, {"params": params}


def looped(cell, **options):
    """flax's own loop around our step, and its variables from ours."""
    return nn.RNN(RNNCell(cell), **options), lambda variables: {"params": {"cell": variables["params"]}}


def close_up_to(lengths, ours, theirs):
    """Outputs ``(B, T, O)`` of valid steps; what flax gives for others is not a value anyone asked for."""
    valid = jnp.arange(T)[None, :, None] < (T if lengths is None else lengths[:, None, None])
    close(jnp.where(valid, ours, 0.0), jnp.where(valid, theirs, 0.0))


def adapters(cell):
    """``(params, xs) -> ys``, each adapter and `run` itself."""
    return {
        "run": lambda p, xs: asrnn_jax.run(cell, p, xs)[1],
        "linen": lambda p, xs: RNN(cell).apply({"params": p}, xs)[1],
        "nnx": lambda p, xs: asrnn_jax.nnx.RNN(cell, params=p)(xs)[1],
        "linen step": jax.jit(lambda p, xs: nn.RNN(RNNCell(cell)).apply({"params": {"cell": p}}, xs)),
        "nnx step": jax.jit(lambda p, xs: nnx.RNN(asrnn_jax.nnx.RNNCell(cell, params=p))(xs)),
    }


@quickly("row", ("asrnn", "lstm", "lru"), EACH)
def test_all_adapters_of_a_cell_equal_run(row):
    cell, params = make(row)
    xs = inputs(2, 6, I)
    expected, *results = (f(params, xs) for f in adapters(cell).values())
    for result in results:
        close(result, expected)


def composite():
    """A stack whose first layer has a trained start."""
    layers = asrnn_jax.cells.lstm(I, 6, dtype=jnp.float64), asrnn_jax.cells.tanh_rnn(6, 6, dtype=jnp.float64)
    return asrnn_jax.cells.stack([asrnn_jax.cells.with_trained_start(layers[0], dtype=jnp.float64), layers[1]])


@quickly("of", ["asrnn"], ("stack", *EACH))
def test_gradients_through_all_adapters_are_equal(of):
    cell = composite() if of == "stack" else make(of)[0]
    params, xs = random_params(cell), inputs(2, 6, I)
    expected, *results = (
        jax.jit(jax.grad(lambda p: scalar(f(p, xs))))(params)  # noqa: B023
        for f in adapters(cell).values()
    )
    for result in results:
        close(result, expected)


@FEW
def test_variables_are_the_pure_params(row):
    cell, _ = make(row)
    xs = inputs(B, T, I)
    expected = jax.eval_shape(cell.init, jax.random.key(0))
    for module, arguments in ((RNN(cell), (xs,)), (RNNCell(cell), (some_carry(cell, (B,)), xs[:, 0]))):
        variables = module.init(jax.random.key(3), *arguments)
        assert list(variables) == ["params"]
        shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), variables["params"])
        assert shapes == dict(expected)
    variables = RNN(cell).init(jax.random.key(3), xs)
    close(RNN(cell).apply(variables, xs), asrnn_jax.run(cell, variables["params"], xs))


def test_params_come_from_one_key_and_differ_between_modules():
    cell = asrnn_jax.cells.tanh_rnn(I, 64)

    class Two(nn.Module):
        @nn.compact
        def __call__(self, xs):
            return RNN(cell)(xs)[1] + RNN(cell)(xs)[1]

    params = Two().init(jax.random.key(0), inputs(B, T, I))["params"]
    first, second = params.values()
    assert float(jnp.abs(first["W_hh"] - second["W_hh"]).max()) > 0.1
    again = Two().init(jax.random.key(0), inputs(B, T, I))["params"]
    jax.tree.map(np.testing.assert_array_equal, params, again)
    module = RNN(cell)
    key = module.apply({}, rngs={"params": jax.random.key(0)}, method=lambda m: m.make_rng("params"))
    jax.tree.map(
        np.testing.assert_array_equal, module.init(jax.random.key(0), inputs(B, T, I))["params"], cell.init(key)
    )


@FEW
def test_a_loop_by_hand_equals_run(row):
    cell, variables = made(row)
    xs, module = inputs(B, 5, I), RNNCell(cell)
    carry, ys = module.initialize_carry(jax.random.key(0), (B, I)), []
    close(carry, cell.initial_carry((B,), jnp.float64))
    for t in range(5):
        carry, y = module.apply(variables, carry, xs[:, t])
        ys.append(y)
    close((carry, jnp.stack(ys, axis=1)), asrnn_jax.run(cell, variables["params"], xs))
    held, _ = module.apply(variables, carry, xs[:, 0], mask=jnp.zeros(B, bool))
    close(held, carry)


@FEW
def test_lengths_and_carries_in_flax_loop(row):
    cell, variables = made(row)
    xs, carry = inputs(B, T, I), some_carry(cell, (B,))
    loop, within = looped(cell, return_carry=True)
    end, ys = loop.apply(within(variables), xs, seq_lengths=LENGTHS, initial_carry=carry)
    ours_end, ours = RNN(cell).apply(variables, xs, seq_lengths=LENGTHS, initial_carry=carry)
    close(ours_end, end)
    close_up_to(LENGTHS, ours, ys)
    close((ours_end, ours), asrnn_jax.run(cell, variables["params"], xs, lengths=LENGTHS, carry=carry))


@pytest.mark.parametrize(
    ("row", "lengths", "keep_order"),
    [(TANH, None, True), (LSTM, LENGTHS, True), (ASRNN, LENGTHS, False)],
)
def test_reverse_as_flax_does_it(row, lengths, keep_order):
    cell, variables = made(row)
    xs = inputs(B, T, I)
    loop, within = looped(cell, reverse=True, keep_order=keep_order, return_carry=True)
    options = {"reverse": True, "keep_order": keep_order}
    end, ys = loop.apply(within(variables), xs, seq_lengths=lengths)
    ours_end, ours = RNN(cell, options=options).apply(variables, xs, seq_lengths=lengths)
    close(ours_end, end)
    close_up_to(lengths, ours, ys)
    first = partial(jnp.moveaxis, source=1, destination=0)
    major = RNN(cell).apply(variables, first(xs), seq_lengths=lengths, time_major=True, **options)
    close(major, (ours_end, first(ours)))


def test_reversed_ys_keep_the_order_of_xs_unless_told_otherwise():
    cell, variables = made(TANH)
    xs = inputs(B, T, I)
    _, ys = RNN(cell).apply(variables, xs, reverse=True)
    close(ys, asrnn_jax.run(cell, variables["params"], xs, reverse=True)[1])
    close(RNN(cell).apply(variables, xs, reverse=True, keep_order=False)[1], ys[:, ::-1])
    last = RNN(cell).apply(variables, xs, reverse=True, keep_order=False, outputs="last")[1]
    close(last, ys[:, 0])
    close(RNN(cell).apply(variables, xs, keep_order=False), RNN(cell).apply(variables, xs))


@pytest.mark.parametrize(("row", "lengths"), [(ASRNN, None), (TANH, LENGTHS), (LSTM, LENGTHS)])
def test_bidirectional(row, lengths):
    cell, params = make(row)
    other, other_params = make(TANH)
    xs, carry = inputs(B, T, I), (some_carry(cell, (B,)), some_carry(other, (B,)))
    variables = {"params": {"forward_rnn": params, "backward_rnn": other_params}}
    module = nn.Bidirectional(RNN(cell), RNN(other))
    shapes = jax.eval_shape(module.init, jax.random.key(0), xs)
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)
    options = {"seq_lengths": lengths, "initial_carry": carry}
    result = module.apply(variables, xs, return_carry=True, init_key=jax.random.key(1), **options)
    forward = asrnn_jax.run(cell, params, xs, lengths=lengths, carry=carry[0])
    backward = asrnn_jax.run(other, other_params, xs, lengths=lengths, carry=carry[1], reverse=True)
    ys = jnp.concatenate([forward[1], backward[1]], axis=-1)
    close(result, ((forward[0], backward[0]), ys))
    close(module.apply(variables, xs, **options), ys)
    theirs = nn.Bidirectional(nn.RNN(RNNCell(cell)), nn.RNN(RNNCell(other)))
    nested = {"params": {name: {"cell": p} for name, p in variables["params"].items()}}
    close_up_to(lengths, ys, theirs.apply(nested, xs, **options))


def test_bidirectional_time_major_merge_and_shared_cell():
    cell, params = make(TANH)
    xs, first = inputs(B, T, I), partial(jnp.moveaxis, source=1, destination=0)
    rnn = RNN(cell)
    module = nn.Bidirectional(rnn, rnn, merge_fn=jnp.add, time_major=True)
    variables = module.init(jax.random.key(0), first(xs))
    assert list(variables["params"]) == ["forward_rnn"]
    ys = module.apply({"params": {"forward_rnn": params}}, first(xs))
    forward, backward = (asrnn_jax.run(cell, params, xs, reverse=reverse)[1] for reverse in (False, True))
    close(ys, first(forward + backward))


@pytest.mark.parametrize(("row", "batch"), [(TANH, ()), (LSTM, (2, 3))])
def test_any_number_of_batch_axes(row, batch):
    cell, variables = made(row)
    xs = inputs(*batch, T, I)
    loop, within = looped(cell, return_carry=True)
    close(RNN(cell).apply(variables, xs), loop.apply(within(variables), xs))
    assert RNNCell(cell).num_feature_axes == 1


@FEW
def test_every_option_of_run(row):
    cell, variables = made(row)
    xs, mask = inputs(B, T, I), jax.random.bernoulli(jax.random.key(4), 0.6, (B, T))
    options = {"mask": mask, "reset": ~mask, "carry": some_carry(cell, (B,)), "reverse": True, "outputs": "last"}
    static = {"gradient": "autodiff", "block": 4}
    result = RNN(cell, options=static).apply(variables, xs, **options, time_major=None)
    close(result, asrnn_jax.run(cell, variables["params"], xs, **options, **static))
    close(RNN(cell, return_carry=False).apply(variables, xs, **options), result[1])
    close(RNN(cell, return_carry=False).apply(variables, xs, return_carry=True, **options), result)


@pytest.mark.parametrize("row", [TANH, LSTM], ids=lambda row: row.id)
def test_dtype(row):
    cell, params = make(row, jnp.float32)
    variables, xs = {"params": params}, inputs(B, T, I).astype(jnp.float32)
    exact = RNN(cell).apply(variables, xs)[1]
    loop = nn.RNN(RNNCell(cell, dtype=jnp.bfloat16))
    for ys in (RNN(cell, dtype=jnp.bfloat16).apply(variables, xs)[1], loop.apply({"params": {"cell": params}}, xs)):
        assert ys.dtype == jnp.bfloat16
        assert float(jnp.abs(exact - ys.astype(jnp.float32)).max() / jnp.abs(exact).max()) < 0.1
    assert exact.dtype == jnp.float32
    assert RNN(cell, dtype=jnp.bfloat16).apply(variables, xs, dtype=jnp.float32)[1].dtype == jnp.float32
    for dtype in (jnp.float32, jnp.float64):
        made_cell = make(row, dtype)[0]
        carry = RNNCell(made_cell).initialize_carry(jax.random.key(0), (B, I))
        assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {jnp.dtype(dtype)}


def test_dropout_by_the_rng_of_that_name_or_by_key():
    cell = asrnn_jax.cells.residual(asrnn_jax.cells.tanh_rnn(I, I), dropout=0.5)
    xs, key = inputs(B, T, I).astype(jnp.float32), jax.random.key(5)
    module, variables = RNN(cell), {"params": random_params(cell)}

    def run(key):
        return asrnn_jax.run(cell, variables["params"], xs, key=key)

    close(module.apply(variables, xs), run(None))
    made_key = module.apply({}, rngs={"dropout": key}, method=lambda m: m.make_rng("dropout"))
    close(module.apply(variables, xs, rngs={"dropout": key}), run(made_key))
    close(module.apply(variables, xs, key=key, rngs={"dropout": jax.random.key(6)}), run(key))
    assert float(jnp.abs(run(made_key)[1] - run(None)[1]).max()) > 0.1


def test_cells_in_both_directions_have_no_step():
    cell = asrnn_jax.cells.bidirectional(asrnn_jax.cells.tanh_rnn(I, 2, dtype=jnp.float64))
    variables, xs = {"params": random_params(cell)}, inputs(B, T, I)
    close(RNN(cell).apply(variables, xs), asrnn_jax.run(cell, variables["params"], xs))
    with pytest.raises(ValueError, match="both directions"):
        RNNCell(cell).apply(variables, cell.initial_carry((B,), jnp.float64), xs[:, 0])


def test_a_trained_start_needs_the_params():
    cell, xs = composite(), inputs(B, T, I)
    variables, module = {"params": random_params(cell)}, RNNCell(cell)
    unbound = module.initialize_carry(jax.random.key(0), (B, I))
    close(unbound, cell.initial_carry((B,), jnp.float64))
    bound = module.apply(variables, jax.random.key(0), (B, I), method="initialize_carry")
    close(bound, cell.start(cell.prepare(variables["params"]), (B,), jnp.float64))
    assert float(jnp.abs(bound[0].h).min()) > 0.01
    loop, within = looped(cell)
    assert jax.tree.structure(loop.init(jax.random.key(0), xs)) == jax.tree.structure(within(variables))


def test_errors_name_what_is_wrong():
    cell, variables = made(TANH)
    xs = inputs(B, T, I)
    with pytest.raises(TypeError, match="'lenghts'"):
        RNN(cell).apply(variables, xs, lenghts=LENGTHS)
    with pytest.raises(TypeError, match="'unrolled'"):
        RNN(cell, options={"unrolled": 2}).apply(variables, xs)
    with pytest.raises(ValueError, match="initial_carry and carry are two names"):
        RNN(cell).apply(variables, xs, carry=some_carry(cell, (B,)), initial_carry=some_carry(cell, (B,)))
    with pytest.raises(ValueError, match="inputs=3"):
        RNN(cell).apply(variables, xs[..., :2])
    with pytest.raises(ValueError, match="inputs=3"):
        RNNCell(cell).init(jax.random.key(0), some_carry(cell, (B,)), xs[:, 0, :2])
    with pytest.raises(ValueError, match=r"params\['W_xh'\] has shape \(3, 6\).*2 inputs"):
        RNN(asrnn_jax.cells.tanh_rnn(2, 6)).apply(variables, xs[..., :2])
    with pytest.raises(TypeError, match="dtype int32"):
        RNNCell(cell, dtype=jnp.bfloat16).apply(variables, some_carry(cell, (B,)), jnp.ones((B, I), jnp.int32))
    with pytest.raises(ScopeCollectionNotFound, match='"params"'):
        RNN(cell).apply({}, xs)


class Classifier(nn.Module):
    cell: asrnn_jax.Cell

    @nn.compact
    def __call__(self, xs, lengths):
        _, y = RNN(self.cell)(xs, lengths=lengths, outputs="last")
        return nn.Dense(1, param_dtype=xs.dtype)(y)


@pytest.mark.slow
def test_a_model_with_a_head_learns():
    cell, _ = make(ASRNN)
    xs = inputs(16, T, I)
    target = xs.sum((1, 2))[:, None]
    lengths = jnp.full(16, T)
    model, tx = Classifier(cell), optax.adam(3e-2)
    variables = model.init(jax.random.key(0), xs, lengths)
    state = tx.init(variables)

    def loss(variables):
        with jax.numpy_rank_promotion("allow"):
            return jnp.mean((model.apply(variables, xs, lengths) - target) ** 2)

    @jax.jit
    def train(variables, state):
        value, gradient = jax.value_and_grad(loss)(variables)
        updates, state = tx.update(gradient, state, variables)
        return optax.apply_updates(variables, updates), state, value

    values = []
    for _ in range(30):
        variables, state, value = train(variables, state)
        values.append(float(value))
    assert values[-1] < 0.5 * values[0]
    assert train._cache_size() == 1


def test_sequential_of_layers():
    cell, params = make(TANH)
    model = nn.Sequential([RNN(cell, return_carry=False), nn.relu, RNN(asrnn_jax.cells.tanh_rnn(6, 5))])
    (_, ys), variables = jax.eval_shape(model.init_with_output, jax.random.key(0), inputs(B, T, I))
    assert ys.shape == (B, T, 5)
    assert jax.tree.map(jnp.shape, variables["params"]["layers_0"]) == jax.tree.map(jnp.shape, params)


def test_an_ensemble_by_lifted_vmap():
    cell = asrnn_jax.cells.irnn(I, 6, dtype=jnp.float64)
    xs = inputs(B, T, I)
    ensemble = nn.vmap(RNN, in_axes=None, axis_size=3, variable_axes={"params": 0}, split_rngs={"params": True})
    variables = ensemble(cell).init(jax.random.key(0), xs)
    _, ys = ensemble(cell).apply(variables, xs)
    for i in range(3):
        one = jax.tree.map(lambda p: p[i], variables["params"])  # noqa: B023
        close(ys[i], asrnn_jax.run(cell, one, xs)[1])
    assert float(jnp.abs(ys[0] - ys[1]).max()) > 1e-3


def test_second_call_of_the_module_does_not_compile(caplog):
    cell, variables = made(TANH)
    xs = inputs(B, T + 9, I)  # of no other test

    def compiled():
        caplog.clear()
        with jax.log_compiles():
            again = asrnn_jax.cells.make("tanh_rnn", I, 6, dtype=jnp.float64)
            RNN(again, options={"reverse": True}).apply(variables, xs, lengths=jnp.full(B, 5))
        return [r.getMessage() for r in caplog.records if "XLA compilation of jit(evaluate)" in r.getMessage()]

    assert compiled()
    assert not compiled()
    f = jax.jit(lambda module, variables, xs: module.apply(variables, xs), static_argnums=0)
    for _ in range(2):
        f(RNN(asrnn_jax.cells.make("tanh_rnn", I, 6, dtype=jnp.float64)), variables, xs)
    assert f._cache_size() == 1
    assert cell is asrnn_jax.cells.make("tanh_rnn", I, 6, dtype=jnp.float64)


def test_deterministic_is_as_that_of_flax():
    """None: with dropout where there is a key for it; False asks for one; True takes none. A call overrides."""
    cell = asrnn_jax.cells.residual(asrnn_jax.cells.tanh_rnn(I, I), dropout=0.5)
    xs, variables = inputs(B, T, I).astype(jnp.float32), {"params": random_params(cell)}
    without = asrnn_jax.run(cell, variables["params"], xs)
    given = {"rngs": {"dropout": jax.random.key(3)}}
    dropped = RNN(cell).apply(variables, xs, **given)
    assert float(jnp.abs(dropped[1] - without[1]).max()) > 0.1
    close(RNN(cell).apply(variables, xs), without)
    close(RNN(cell, deterministic=True).apply(variables, xs, **given), without)
    close(RNN(cell).apply(variables, xs, deterministic=True, **given), without)
    close(RNN(cell, deterministic=True).apply(variables, xs, deterministic=False, **given), dropped)
    for module, call in ((RNN(cell, deterministic=False), {}), (RNN(cell), {"deterministic": False})):
        close(module.apply(variables, xs, **call, **given), dropped)
        with pytest.raises(InvalidRngError, match="dropout"):
            module.apply(variables, xs, **call)
    plain = asrnn_jax.cells.tanh_rnn(I, I)
    RNN(plain, deterministic=False).apply({"params": random_params(plain)}, xs)  # has none and needs no key
