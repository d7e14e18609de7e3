"""Laws that every cell obeys. A new row of tests/naive inherits all of them."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import asrnn_jax
from asrnn_jax import Cell, cells
from asrnn_jax.cell import Coordinates
from tests.naive import TABLE, Row
from tests.quick import quickly

I, H, B, T = 3, 6, 4, 13  # noqa: E741


class Subject(NamedTuple):
    """What the laws about running are about: one row of each cell, and cells made of cells."""

    id: str
    build: Callable[..., Cell]
    streams: bool = True
    spiking: bool = False
    linear: bool = False


def of(row):
    options = dict(row.options)
    return Subject(
        row.id, lambda dtype: cells.make(row.cell, I, H, dtype=dtype, **options), True, row.spiking, row.linear
    )


COMPOSITES = [
    Subject("stack", lambda dtype: cells.stack([cells.lstm(I, H, dtype=dtype), cells.lru(H, 5, dtype=dtype)])),
    Subject("residual", lambda dtype: cells.residual(cells.gru(I, H, dtype=dtype), norm="rms", dtype=dtype)),
    Subject("deep", lambda dtype: deep(dtype), linear=True),
    Subject(
        "bidirectional",
        lambda dtype: cells.bidirectional(cells.gru(I, H, dtype=dtype), cells.asrnn(I, 4, dtype=dtype)),
        streams=False,
    ),
    Subject(
        "started", lambda dtype: cells.with_trained_start(cells.asrnn(I, H, a=0.5, b=1.5, dtype=dtype), dtype=dtype)
    ),
    Subject("started-complex", lambda dtype: cells.with_trained_start(cells.urnn(I, H, dtype=dtype), dtype=dtype)),
    Subject("with_output", lambda dtype: cells.with_output(cells.lif(I, H, dtype=dtype), 2, dtype=dtype), spiking=True),
]


def deep(dtype):
    """A stack of residual blocks between an input and an output layer, as deep state space models are built."""
    blocks = [
        cells.residual(cells.lru(4, H, outputs=4, dtype=dtype), dropout=0.2, dtype=dtype),
        cells.residual(cells.s5(4, H, outputs=4, dtype=dtype), gate="half_glu", dtype=dtype),
    ]
    model = cells.with_input(cells.stack(blocks), I, dtype=dtype)
    return cells.with_output(model, 2, dtype=dtype)


# Rows of one step function differ in where their matrices come from, which does not matter to the loop.
FIRST_ROWS = list({row.cell: row for row in reversed(TABLE)}.values())
LOOP_ROWS = list({row.step: row for row in reversed(FIRST_ROWS)}.values())
SUBJECTS = [*map(of, FIRST_ROWS), *COMPOSITES]
LOOP_SUBJECTS = [*map(of, LOOP_ROWS), *COMPOSITES]
# One row a cell, that with most of its equation, and two that have functions of their own.
MORE = {"antisymmetric": "antisymmetric-gated", "min_gru": "min_gru-positive", "min_lstm": "min_lstm-positive"}
ROWS = quickly("row", [*(MORE.get(row.id, row.id) for row in FIRST_ROWS), "asrnn-bounded", "orthogonal-linear"], TABLE)
# Laws about the loop hold for all once they hold for one of each kind, for a law above holds every cell's step and
# derivative to its equation: own pullback, `keep`, neither, complex, spiking, other coordinates, deep, both directions,
# a start that is learned.
KINDS = ("tanh_rnn", "lstm", "surprisal", "s5", "alif", "asrnn", "deep", "bidirectional", "started")
REPRESENTATIVES = [subject for subject in LOOP_SUBJECTS if subject.id in KINDS]
FEW = ("lstm", "s5", "asrnn")
LOOPS = quickly("subject", FEW, REPRESENTATIVES)
STREAMS = quickly("subject", FEW, [s for s in REPRESENTATIVES if s.streams])
CONTINUOUS = quickly("subject", ["asrnn"], [s for s in REPRESENTATIVES if not s.spiking])
# What depends on the operations that a cell happens to use.
ALL_LOOPS = quickly("subject", ["asrnn"], LOOP_SUBJECTS)
# One of each way to be linear.
LINEAR = quickly(
    "subject",
    ("lru", "min_gru", "s4d", "s6", "mlstm"),
    [*(of(row) for row in TABLE if row.linear), *(s for s in COMPOSITES if s.linear)],
)
close = partial(chex.assert_trees_all_close, rtol=1e-10, atol=1e-10)


@cache
def make(subject, dtype=jnp.float64):
    """A cell with params moved off their special starting points, so that every term of the equation counts."""
    subject = of(subject) if isinstance(subject, Row) else subject
    cell = subject.build(dtype)
    params = jax.jit(cell.init)(jax.random.key(0))

    def moved(path, p):
        frozen = path[-1].key == "base"
        return p if frozen else p + 0.1 * jax.random.normal(jax.random.key(p.size), p.shape, p.dtype)

    return cell, jax.jit(partial(jax.tree_util.tree_map_with_path, moved))(params)


def inputs(*shape, seed=1):
    return jax.random.normal(jax.random.key(seed), shape, jnp.float64)


def some_carry(cell, batch, seed=2):
    carry = cell.initial_carry(batch, jnp.float64)
    return jax.tree.map(lambda c: 0.5 * jax.random.normal(jax.random.key(seed + c.ndim), c.shape, c.dtype), carry)


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
            new, y = row.step(matrices, state, x)
            new = jax.tree.unflatten(jax.tree.structure(state), jax.tree.leaves(new))
            state = jax.tree.map(lambda n, s: jnp.where(valid, n, s), new, state)
            return state, jnp.where(valid, y, 0)

        return lax.scan(body, start, (xs, mask, reset), reverse=reverse)

    start = jax.tree.map(lambda f: jnp.broadcast_to(f, (len(xs), *f.shape)), fresh)
    start = start if carry is None else cell.to_state(weights, carry)
    return jax.vmap(one)(start, xs, mask, reset)


@partial(jax.jit, static_argnums=0, static_argnames=("reverse",))
def state_run(cell, params, xs, **options):
    carry, ys = asrnn_jax.run(cell, params, xs, **options)
    mask = options.get("mask")
    ys = ys if mask is None else jnp.where(mask[..., None], ys, 0)
    return cell.to_state(cell.prepare(params), carry), ys


def scalar(tree):
    """A loss that every number of a tree enters differently."""
    leaves = [part for leaf in jax.tree.leaves(tree) for part in parts(leaf)]
    return sum(jnp.sum(jnp.sin(leaf + jnp.arange(leaf.size).reshape(leaf.shape))) for leaf in leaves)


def parts(leaf):
    return (leaf.real, leaf.imag) if jnp.iscomplexobj(leaf) else (leaf,)


def flags(seed, probability=0.6, shape=(B, T)):
    return jax.random.bernoulli(jax.random.key(seed), probability, shape)


@quickly("row", ["lstm"], [row for row in LOOP_ROWS if row.id in KINDS])
def test_reverse_run_equals_the_naive_loop_from_the_end(row):
    cell, params = make(row)
    close(
        state_run(cell, params, inputs(B, T, I), reverse=True),
        naive_run(row, cell, params, inputs(B, T, I), reverse=True),
    )


def test_there_is_one_of_each_kind():
    assert {subject.id for subject in REPRESENTATIVES} == set(KINDS)


@ROWS
def test_run_equals_the_naive_loop_of_the_equation(row):
    """Outputs, end states, and gradients with respect to params, inputs and start."""
    cell, params = make(row)
    xs, carry, options = (
        inputs(3, 8, I),
        some_carry(cell, (3,)),
        {"mask": flags(5, shape=(3, 8)), "reset": flags(6, 0.2, (3, 8))},
    )

    @partial(jax.jit, static_argnums=0)
    def value_and_gradient(f, *arguments):
        def loss(params, xs, carry):
            result = f(cell, params, xs, carry=carry, **options)
            return scalar(result), result

        (_, result), gradient = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(*arguments)
        return result, (trained(gradient[0]), *gradient[1:])

    close(
        value_and_gradient(state_run, params, xs, carry), value_and_gradient(partial(naive_run, row), params, xs, carry)
    )


def trained(gradient):
    """Without dynamic bases, which get no gradient by design."""
    labels = asrnn_jax.optim.labels(gradient)
    return jax.tree.map(lambda g, label: jnp.zeros_like(g) if label == "frozen" else g, gradient, labels)


@LOOPS
@pytest.mark.parametrize(
    ("block", "outputs", "reverse", "flagged"),
    [(5, "all", True, True), pytest.param(None, "last", False, False, marks=pytest.mark.slow)],
)
def test_fused_gradient_equals_autodiff_of_the_scan(subject, block, outputs, reverse, flagged):
    cell, params = make(subject)
    xs, carry = inputs(B, T, I), some_carry(cell, (B,))
    options = {"mask": flags(5), "reset": flags(6, 0.2)} if flagged else {}

    @partial(jax.jit, static_argnums=0)
    def value_and_gradient(gradient, *arguments):
        def loss(params, xs, carry):
            run = partial(asrnn_jax.run, cell, reverse=reverse, outputs=outputs, block=block, **options)
            return scalar(run(params, xs, carry=carry, gradient=gradient))

        return jax.value_and_grad(loss, (0, 1, 2))(*arguments)

    close(value_and_gradient("fused", params, xs, carry), value_and_gradient("autodiff", params, xs, carry))


@LINEAR
def test_parallel_equals_sequential(subject):
    """With resets, masks and a start of its own; values, gradients, and the last output alone."""
    reverse = subject.id in ("lru", "deep")
    cell, params = make(subject)
    xs, carry = inputs(B, T, I), some_carry(cell, (B,))
    options = {"mask": flags(5), "reset": flags(6, 0.2), "reverse": reverse}

    @partial(jax.jit, static_argnums=0)
    def value_and_gradient(method, *arguments):
        def loss(params, xs, carry):
            result = asrnn_jax.run(cell, params, xs, carry=carry, method=method, **options)
            last = asrnn_jax.run(cell, params, xs, carry=carry, method=method, outputs="last", **options)
            return scalar((result, last)), result

        return jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(*arguments)

    close(
        value_and_gradient("associative_scan", params, xs, carry), value_and_gradient("sequential", params, xs, carry)
    )


@quickly("row", ("gated_delta", "attention"), [row for row in TABLE if cells.make(row.cell, I, H).chunk])
@pytest.mark.parametrize("flagged", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_chunks_of_time_at_once_equal_steps(row, flagged):
    """With resets, masks and a start of its own, over chunks that do not divide the steps: values and gradients."""
    cell, params = make(row)
    xs, carry = inputs(B, T, I), some_carry(cell, (B,))
    options = {"mask": flags(5), "reset": flags(6, 0.2), "reverse": True} if flagged else {}
    if not cell.chunk_flags:
        options = {"reverse": flagged}

    @partial(jax.jit, static_argnums=0)
    def value_and_gradient(method, *arguments):
        def loss(params, xs, carry):
            block = 5 if method == "chunked" else None
            result = asrnn_jax.run(cell, params, xs, carry=carry, method=method, block=block, **options)
            return scalar(result), result

        return jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(*arguments)

    close(value_and_gradient("chunked", params, xs, carry), value_and_gradient("sequential", params, xs, carry))


@quickly("subject", [], LOOP_SUBJECTS)  # test_run.py has an ensemble in the fast tests
def test_fused_gradient_under_vmap_over_an_ensemble(subject):
    cell, _ = make(subject)
    params = jax.vmap(cell.init)(jax.random.split(jax.random.key(3), 3))
    xs = inputs(B, T, I)
    gradient = jax.jit(jax.grad(lambda p: scalar(asrnn_jax.run(cell, p, xs))))
    each = [gradient(jax.tree.map(lambda p: p[i], params)) for i in range(3)]  # noqa: B023
    close(jax.jit(jax.vmap(gradient))(params), jax.tree.map(lambda *g: jnp.stack(g), *each))


@CONTINUOUS
def test_gradients_equal_finite_differences(subject):
    """Spiking cells have the derivative of their surrogate instead, which the naive loop builds another way."""
    cell, params = make(subject)
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


@STREAMS
def test_chunks_equal_the_whole(subject):
    cell, params = make(subject)
    xs = inputs(B, T, I)
    carry, first = asrnn_jax.run(cell, params, xs[:, :5])
    carry, second = asrnn_jax.run(cell, params, xs[:, 5:], carry=carry)
    close((carry, jnp.concatenate([first, second], axis=1)), asrnn_jax.run(cell, params, xs))


@STREAMS
def test_step_by_step_equals_run(subject):
    cell, params = make(subject)
    xs, mask, reset = inputs(B, T, I), flags(5), flags(6, 0.2)
    weights = cell.prepare(params)
    carry, ys = cell.start(weights, (B,), jnp.float64), []
    for t in range(T):
        carry, y = asrnn_jax.step(cell, weights, carry, xs[:, t], mask=mask[:, t], reset=reset[:, t])
        ys.append(y)
    close((carry, jnp.stack(ys, axis=1)), asrnn_jax.run(cell, params, xs, mask=mask, reset=reset))


@LOOPS
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_equal_truncation(subject, reverse):
    cell, params = make(subject)
    xs, lengths = inputs(B, T, I), jnp.array([0, 5, 5, 0])
    carry, ys = asrnn_jax.run(cell, params, xs, lengths=lengths, reverse=reverse)
    last = asrnn_jax.run(cell, params, xs, lengths=lengths, reverse=reverse, outputs="last")[1]
    for e in range(B):
        if lengths[e] == 0:
            close(jax.tree.map(lambda c: c[e], carry), cell.start(cell.prepare(params), (), jnp.float64))  # noqa: B023
        else:
            one, y = asrnn_jax.run(cell, params, xs[e, :5], reverse=reverse)
            close(jax.tree.map(lambda c: c[e], carry), one)  # noqa: B023
            close(ys[e, :5], y)
            if subject.streams:
                close(last[e], y[0 if reverse else -1])
            else:  # forward first: each direction's own end
                forward, (there, back) = cell.parts[0].outputs, (0, -1) if reverse else (-1, 0)
                close(last[e], jnp.concatenate([y[there, :forward], y[back, forward:]]))


@LOOPS
def test_packed_sequences_with_resets_equal_separate_ones(subject):
    cell, params = make(subject)
    xs = inputs(3, 4, I)
    reset = jnp.zeros(12, bool).at[jnp.array([0, 4, 8])].set(True)
    carry = some_carry(cell, ()) if subject.streams else None  # a backward cell starts at the end
    _, packed = asrnn_jax.run(cell, params, xs.reshape(12, I), carry=carry, reset=reset)
    close(packed.reshape(3, 4, -1), asrnn_jax.run(cell, params, xs)[1])


@LOOPS
def test_any_number_of_batch_axes_and_both_layouts(subject):
    cell, params = make(subject)
    batch = (2, 3)
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


def reaches(bad, reset, reverse):
    """Steps (2, T) that lie at or after a bad one since the last reset."""
    reached = np.zeros((2, T), bool)
    for e in range(2):
        dirty = False
        for t in sorted(range(T), reverse=reverse):
            dirty = (dirty and not reset[e, t]) or bad[e, t]
            reached[e, t] = dirty
    return reached


@cache
def _gradient_where(cell, reverse):
    """Gradients of a loss over the outputs at `clean` steps only, and all outputs."""

    def loss(params, xs, mask, reset, clean):
        ys = asrnn_jax.run(cell, params, xs, mask=mask, reset=reset, reverse=reverse)[1]
        return scalar(jnp.where(clean[..., None], ys, 0.0)), ys

    return jax.jit(jax.grad(loss, (0, 1), has_aux=True))


@quickly("subject", ("s5", "asrnn"), REPRESENTATIVES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_nan_crosses_neither_padding_nor_resets(subject, data):
    """Values and gradients of what comes after are those of clean inputs, bit for bit."""
    cell, params = make(subject)
    xs = inputs(2, T, I)
    bools = st.lists(st.booleans(), min_size=2 * T, max_size=2 * T)
    mask = np.array(data.draw(bools)).reshape(2, T)
    reset = np.array(data.draw(bools)).reshape(2, T)
    reset[:, data.draw(st.integers(1, T - 1))] = True
    reverse = data.draw(st.booleans())
    bad = np.array(data.draw(bools)).reshape(2, T)
    reached = reaches(bad & mask, reset, reverse)
    if not subject.streams:
        starts = np.roll(reset, 1 if reverse else -1, axis=1)
        starts[:, 0 if reverse else -1] = False
        reached |= reaches(bad & mask, starts, not reverse)
    dirt = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    dirty_xs = jnp.where(bad[..., None], dirt, xs)
    clean = jnp.asarray(~reached)

    gradient = _gradient_where(cell, reverse)
    dirty_gradient, dirty_ys = gradient(params, dirty_xs, mask, reset, clean)
    clean_gradient, ys = gradient(params, jnp.where(bad[..., None], 0.0, xs), mask, reset, clean)
    chex.assert_trees_all_equal(dirty_gradient, clean_gradient)
    np.testing.assert_array_equal(jnp.isnan(dirty_ys).any(-1), reached)
    np.testing.assert_array_equal(dirty_ys[clean], ys[clean])


@STREAMS
def test_a_nan_carry_is_gone_after_a_reset(subject):
    cell, params = make(subject)
    xs = inputs(B, T, I)
    carry = jax.tree.map(lambda c: jnp.full_like(c, jnp.nan), some_carry(cell, (B,)))
    reset = jnp.zeros((B, T), bool).at[:, 0].set(True)

    @jax.jit
    def gradient(params, carry):
        return jax.grad(lambda p: scalar(asrnn_jax.run(cell, p, xs, carry=carry, reset=reset)))(params)

    close(gradient(params, carry), gradient(params, some_carry(cell, (B,))))


@LOOPS
def test_forward_mode_through_the_plain_path(subject):
    cell, params = make(subject)

    def f(xs, gradient="autodiff"):
        return asrnn_jax.run(cell, params, xs, gradient=gradient)[1]

    xs = inputs(2, 4, I)
    close(jax.jit(jax.jacfwd(f))(xs), jax.jit(jax.jacrev(partial(f, gradient="fused")))(xs))


@quickly("row", FEW, LOOP_ROWS)
def test_jacobian_of_step_equals_that_of_the_equation(row):
    """In real and imaginary parts, which all have derivatives; complex functions like modReLU do not."""
    cell, params = make(row)
    weights, x = cell.prepare(params), inputs(I)
    state, treedef = jax.tree.flatten(cell.to_state(weights, some_carry(cell, ())))

    def real(leaves):
        return [part for leaf in leaves for part in parts(leaf)]

    def back(reals):
        reals = iter(reals)
        return treedef.unflatten(
            [next(reals) + 1j * next(reals) if jnp.iscomplexobj(s) else next(reals) for s in state]
        )

    def ours(reals):
        new = asrnn_jax.step(cell, weights, cell.to_carry(weights, back(reals)), x)[0]
        return real(jax.tree.leaves(cell.to_state(weights, new)))

    def naive(reals):
        return real(jax.tree.leaves(row.step(row.matrices(params, H, **dict(row.options)), back(reals), x)[0]))

    close(jax.jacfwd(ours)(real(state)), jax.jacfwd(naive)(real(state)))


@quickly("subject", ("asrnn", "stack"), [s for s in SUBJECTS if s.build(jnp.float64).coordinates != Coordinates()])
def test_to_carry_is_the_inverse_of_to_state(subject):
    cell, params = make(subject)
    weights, carry = cell.prepare(params), some_carry(cell, (B,))
    state = cell.to_state(weights, carry)
    again = cell.to_carry(weights, state)
    close(cell.to_state(weights, again), state)
    if len(jax.tree.leaves(carry)) == len(jax.tree.leaves(state)):  # lem's loop keeps more than a state, see there
        close(again, carry)


@LOOPS
def test_empty_time_returns_the_carry(subject):
    cell, params = make(subject)
    carry = some_carry(cell, (B,))
    end, ys = asrnn_jax.run(cell, params, inputs(B, 0, I), carry=carry, reset=jnp.zeros((B, 0), bool))
    close(end, carry)
    assert ys.shape == (B, 0, cell.outputs)


@LOOPS
def test_second_call_does_not_compile(subject, caplog):
    _, params = make(subject)

    def compiled(steps):
        caplog.clear()
        with jax.log_compiles():
            again = subject.build(jnp.float64)
            asrnn_jax.run(again, params, inputs(B, steps, I, seed=steps))
        return [r.getMessage() for r in caplog.records if "XLA compilation of jit(evaluate)" in r.getMessage()]

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
    "fft",
    "lu",
    "triangular_solve",
    "custom_linear_solve",
    "linear_solve",
    "qr",
    "svd",
    "eigh",
    "lu_pivots_to_permutation",
}


@quickly("subject", (*FEW, "orthogonal", "exprnn", "urnn", "nnrnn"), SUBJECTS)
def test_scan_contains_no_solve(subject):
    cell, params = make(subject)
    xs = inputs(B, T, I)
    gradient = jax.grad(lambda p: scalar(asrnn_jax.run(cell, p, xs, method="sequential")))
    found = set(primitives_in_scans(jax.make_jaxpr(gradient)(params).jaxpr))
    assert "add" in found  # the walk does reach the loop
    assert not found & SOLVES


def test_the_walk_would_find_a_solve():
    def solves_inside(A, xs):
        return lax.scan(lambda c, x: (jnp.linalg.solve(A, c) + x, None), xs[0], xs)[0]

    found = set(primitives_in_scans(jax.make_jaxpr(solves_inside)(jnp.eye(3), jnp.ones((4, 3))).jaxpr))
    assert found & SOLVES


@ALL_LOOPS
def test_bfloat16_activations_stay_near_float32(subject):
    """Weights are prepared in float32, so the error is that of rounding activations, 2^-8 a step.

    A tenth of the largest output over 13 steps; for spiking cells a tenth of the spikes may come or go.
    """
    cell, params = make(subject, jnp.float32)
    xs = inputs(B, T, I).astype(jnp.float32)
    exact = asrnn_jax.run(cell, params, xs)[1]
    rough = asrnn_jax.run(cell, params, xs, dtype=jnp.bfloat16)[1]
    assert rough.dtype == jnp.bfloat16
    difference = jnp.abs(exact - rough.astype(jnp.float32))
    if subject.spiking:
        assert (difference > 0.1).mean() < 0.1
    else:
        assert difference.max() / jnp.abs(exact).max() < 0.1


@ALL_LOOPS
def test_lowers_for_every_platform(subject):
    cell, params = make(subject, jnp.float32)
    xs = jnp.ones((B, T, I), jnp.float32)
    for method in ("sequential", "associative_scan") if subject.linear else ("sequential",):
        run = jax.jit(lambda p, x: asrnn_jax.run(cell, p, x, method=method)[1])  # noqa: B023
        exported = jax.export.export(run, platforms=("cpu", "cuda", "tpu"))
        assert set(exported(params, xs).platforms) == {"cpu", "cuda", "tpu"}


def test_a_training_step_may_take_over_the_memory_of_a_fresh_carry():
    """`jax.jit` with donated arguments refuses an array that is there twice."""
    for name in cells.CELLS:
        where = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(cells.make(name, I, H).initial_carry((B,)))]
        assert len(set(where)) == len(where), name
