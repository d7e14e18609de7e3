"""Cells made of cells against doing the same by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import cells, run
from tests.naive import TABLE
from tests.quick import quickly
from tests.test_laws import close, flags, inputs, make, of

F64 = jnp.float64
XS, MASK, RESET = inputs(4, 13, 3), flags(5), flags(6, 0.2)


def init(cell, seed=0):
    return cell.init(jax.random.key(seed))


def test_a_stack_is_its_cells_one_after_the_other():
    lower, upper = cells.gru(3, 6, dtype=F64), cells.lstm(6, 5, dtype=F64)
    stack = cells.stack([lower, upper])
    params = init(stack)
    (end_lower, end_upper), ys = run(stack, params, XS, mask=MASK, reset=RESET)
    expected_lower, between = run(lower, params["layers_0"], XS, mask=MASK, reset=RESET)
    expected_upper, expected = run(upper, params["layers_1"], between, mask=MASK, reset=RESET)
    close((end_lower, end_upper, ys), (expected_lower, expected_upper, expected))


def test_bidirectional_is_both_directions_side_by_side():
    forward, backward = cells.gru(3, 6, dtype=F64), cells.tanh_rnn(3, 5, dtype=F64)
    both = cells.bidirectional(forward, backward)
    params, lengths = init(both), jnp.array([0, 1, 7, 13])
    (one, other), ys = run(both, params, XS, lengths=lengths)
    expected_one, there = run(forward, params["forward"], XS, lengths=lengths)
    expected_other, back = run(backward, params["backward"], XS, lengths=lengths, reverse=True)
    close((one, other, ys), (expected_one, expected_other, jnp.concatenate([there, back], axis=-1)))


def test_bidirectional_has_no_step():
    both = cells.bidirectional(cells.gru(3, 6))
    with pytest.raises(ValueError, match="both directions"):
        asrnn_jax.step(both, init(both), both.initial_carry((2,)), jnp.ones((2, 3), jnp.float32))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(("norm", "gate"), [("layer", "glu"), ("rms", "half_glu"), ("none", "none")])
def test_a_residual_block_is_its_equation(norm, gate):
    cell = cells.tanh_rnn(3, 3, dtype=F64)
    block = cells.residual(cell, norm=norm, gate=gate, dtype=F64)
    params = jax.tree.map(lambda p: p + 0.3 * inputs(*p.shape), init(block))
    x = np.asarray(XS)
    if norm == "layer":
        x = x - x.mean(-1, keepdims=True)
    if norm != "none":
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * np.asarray(params["norm"]["scale"])
    if norm == "layer":
        x = x + np.asarray(params["norm"]["bias"])
    y = gelu(np.asarray(run(cell, params["cell"], jnp.asarray(x))[1]))
    if gate != "none":
        opening = y @ np.asarray(params["gate"]["kernel"]) + np.asarray(params["gate"]["bias"])
        y = opening[..., :3] * sigmoid(opening[..., 3:]) if gate == "glu" else y * sigmoid(opening)
    np.testing.assert_allclose(run(block, params, XS)[1], XS + y, rtol=1e-10, atol=1e-10)


def test_dropout_only_with_a_key():
    block = cells.residual(cells.irnn(64, 64), norm="none", gate="none", dropout=0.25)
    params = init(block)
    params["cell"]["b"] += 5.0  # no output is 0 by itself
    xs = jnp.ones((8, 20, 64), jnp.float32)
    kept = run(block, params, xs)[1] - xs
    dropped = run(block, params, xs, key=jax.random.key(1))[1] - xs
    np.testing.assert_array_equal(dropped, run(block, params, xs, key=jax.random.key(1))[1] - xs)
    assert abs(float((dropped == 0).mean()) - (1 - 0.75**2)) < 0.02  # behind the cell and behind the gate
    np.testing.assert_allclose(dropped.mean(), kept.mean(), rtol=0.05)
    assert not bool((run(block, params, xs, key=jax.random.key(2))[1] - xs == dropped).all())


def test_layers_drop_independently():
    block = cells.residual(cells.irnn(64, 64), norm="none", gate="none", dropout=0.5)
    stack = cells.stack([block, block])
    params = init(block)
    params["cell"]["b"] += 5.0
    xs = jnp.zeros((2, 20, 64), jnp.float32)
    first = run(block, params, xs, key=jax.random.split(jax.random.key(1), 2)[0])[1]
    both = run(stack, {"layers_0": params, "layers_1": params}, xs, key=jax.random.key(1))[1]
    added = both - first
    assert abs(float(((added == 0) == (first == 0)).mean()) - (0.75**2 + 0.25**2)) < 0.05


@quickly("name", ["lstm"], ("asrnn", "lstm", "urnn"))
def test_a_trained_start_is_where_sequences_begin_and_begin_again(name):
    cell, _ = make(next(of(row) for row in TABLE if row.cell == name))
    started = cells.with_trained_start(cell, dtype=F64)
    params = init(started)
    close(run(started, params, XS)[1], run(cell, params["cell"], XS)[1])
    params["start"] = jax.tree.map(lambda s: s + inputs(*s.shape), params["start"])
    carry = started.start(started.prepare(params), (4,), F64)
    close(run(started, params, XS)[1], run(cell, params["cell"], XS, carry=carry)[1])
    again = jnp.zeros((4, 13), bool).at[:, 6].set(True)
    close(run(started, params, XS, reset=again)[1][:, 6:], run(started, params, XS[:, 6:])[1])
    gradient = jax.grad(lambda p: jnp.sum(run(started, p, XS)[1] ** 2))(params)["start"]
    assert all(bool((jnp.abs(leaf) > 1e-12).any()) for leaf in jax.tree.leaves(gradient))


def test_an_input_layer_is_a_product_before():
    cell = cells.lru(4, 6, dtype=F64)
    model = cells.with_input(cell, 3, dtype=F64)
    params = init(model)
    params["input"]["bias"] += 0.5
    before = jnp.einsum("bti,ih->bth", XS, params["input"]["kernel"]) + params["input"]["bias"][None, None]
    close(run(model, params, XS)[1], run(cell, params["cell"], before)[1])


def test_bases_inside_a_stack_move():
    cell = cells.stack([cells.dtriv(3, 6, dtype=F64), cells.gru(6, 5, dtype=F64), cells.dtriv(5, 4, dtype=F64)])
    model = cells.with_output(cell, 2, dtype=F64)
    params = init(model)
    params["cell"]["layers_2"]["W_hh"]["skew"] += 0.1
    moved = asrnn_jax.optim.rebase(model, params, jnp.array(100), 100)
    assert not bool(moved["cell"]["layers_2"]["W_hh"]["skew"].any())
    close(run(model, moved, XS)[1], run(model, params, XS)[1])
    assert asrnn_jax.optim.labels(params)["cell"]["layers_0"]["W_hh"] == {"skew": "orthogonal", "base": "frozen"}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cells.stack([]), ValueError, "at least one cell"),
        (lambda: cells.stack([cells.gru(3, 6), cells.gru(5, 6)]), ValueError, r"cells\[1\] takes inputs=5"),
        (lambda: cells.bidirectional(cells.gru(3, 6), cells.gru(4, 6)), ValueError, "inputs=4"),
        (lambda: cells.residual(cells.gru(3, 6), gate="none"), ValueError, "outputs=6"),
        (lambda: cells.residual(cells.gru(3, 6), norm="batch"), ValueError, "norm='batch'"),
        (lambda: cells.residual(cells.gru(3, 6), dropout=1.0), ValueError, "dropout=1.0"),
        (lambda: cells.with_trained_start(cells.stack([cells.gru(3, 6)])), ValueError, "made of cells"),
        (lambda: cells.with_input(cells.gru(3, 6), 0), ValueError, "inputs=0"),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize(
    "around",
    [
        lambda cell: cells.stack([cells.gru(3, 3), cell]),
        cells.bidirectional,
        lambda cell: cells.with_output(cells.with_input(cell, 2), 2),
    ],
)
def test_a_cell_says_whether_it_drops(rate, around):
    """A key changes what comes out of those that say so, and of no others."""
    cell = around(cells.residual(cells.gru(3, 3), dropout=rate))
    params, xs = cell.init(jax.random.key(0)), XS[..., : cell.inputs]
    plain, keyed = (asrnn_jax.run(cell, params, xs, key=key)[1] for key in (None, jax.random.key(1)))
    assert cell.dropout == bool((plain != keyed).any()) == (rate > 0)


@pytest.mark.parametrize("wrapped", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_last_output_of_a_stack_in_both_directions_is_each_directions_own_end(wrapped):
    """As Keras and the h_n of torch give it: here from the parts, each run by itself, with lengths."""
    lower, upper = (cells.bidirectional(cells.gru(i, 4), cells.lstm(i, 5)) for i in (3, 9))
    cell = cells.stack([lower, upper])
    cell = cells.with_output(cells.residual(cell), 2) if wrapped else cell
    params = cell.init(jax.random.key(0))
    lengths = jnp.array([6, 2, 1])
    xs = jax.random.normal(jax.random.key(1), (3, 6, 3), jnp.float32)
    own = params["cell"]["cell"] if wrapped else params
    hidden = xs
    if wrapped:
        hidden = (xs - xs.mean(-1, keepdims=True)) / jnp.sqrt(xs.var(-1, keepdims=True) + 1e-6)
    between = asrnn_jax.run(lower, own["layers_0"], hidden, lengths=lengths)[1]
    (forward, backward), own = upper.parts, own["layers_1"]
    _, there = asrnn_jax.run(forward, own["forward"], between, lengths=lengths, outputs="last")
    _, back = asrnn_jax.run(backward, own["backward"], between, lengths=lengths, outputs="last", reverse=True)
    expected = jnp.concatenate([there, back], -1)
    if wrapped:
        gate, output = params["cell"]["gate"], params["output"]
        value, opening = jnp.split(jax.nn.gelu(expected) @ gate["kernel"], 2, axis=-1)
        at_end = xs[jnp.arange(3), lengths - 1]
        expected = (at_end + value * jax.nn.sigmoid(opening)) @ output["kernel"]
    found = asrnn_jax.run(cell, params, xs, lengths=lengths, outputs="last")[1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_chunks_of_time_go_through_layers_around_a_cell_but_not_past_a_trained_start():
    """An attention between an input and an output layer, in chunks and in steps."""
    inner = cells.attention(3, 4, window=3, dtype=jnp.float64)
    cell = cells.with_output(cells.with_input(inner, 2, dtype=jnp.float64), 5, dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (2, 7, 2), jnp.float64)
    reset = jnp.zeros((2, 7), bool).at[0, 4].set(True)
    ways = [asrnn_jax.run(cell, params, xs, reset=reset, method=method) for method in ("chunked", "sequential")]
    close(*ways)
    assert cells.with_trained_start(inner, dtype=jnp.float64).chunk is None
