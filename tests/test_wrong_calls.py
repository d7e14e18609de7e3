"""Wrong calls that users make, through every function that takes a network and inputs.

The error names the argument, its value and the remedy. Wrong options of one function are tested beside that function.
"""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
import asrnn_jax.linen
import asrnn_jax.nnx
from asrnn_jax import analysis, cells, losses, streaming

pytestmark = pytest.mark.usefixtures("without_type_checks")
CELL = cells.asrnn(3, 12)
PARAMS = CELL.init(jax.random.key(0))
XS = jnp.ones((2, 20, 3))


def of_one_step(p, xs):
    whole = isinstance(xs, np.ndarray | jax.Array) and np.ndim(xs) == 3 and xs.shape[1]
    return asrnn_jax.step(CELL, p, CELL.initial_carry((2,)), xs[:, 0] if whole else xs)


# name -> call(params, xs)
CALLS = {
    "run": lambda p, xs: asrnn_jax.run(CELL, p, xs),
    "step": of_one_step,
    "linen": lambda p, xs: asrnn_jax.linen.RNN(CELL).apply({"params": p}, xs),
    "flax's own loop": lambda p, xs: nn.RNN(asrnn_jax.linen.RNNCell(CELL)).apply({"params": {"cell": p}}, xs),
    "nnx": lambda p, xs: asrnn_jax.nnx.RNN(CELL, params=p)(xs),
    "session": lambda p, xs: streaming.Session(CELL, p, batch=2).push(xs),
    "jacobian_spectrum": lambda p, xs: analysis.jacobian_spectrum(CELL, p, xs),
    "temporal_spectrum": lambda p, xs: analysis.temporal_spectrum(CELL, p, xs, 0, [1]),
    "temporal_jacobian": lambda p, xs: analysis.temporal_jacobian(CELL, p, xs, 0, 1),
    "top_singular_values": lambda p, xs: analysis.top_singular_values(CELL, p, xs, 0, 1, k=1),
    "gradient_norms": lambda p, xs: analysis.gradient_norms(CELL, p, xs, lambda ys: ys[-1].sum()),
    "lyapunov_spectrum": lambda p, xs: analysis.lyapunov_spectrum(CELL, p, xs, k=1),
    "saturation": lambda p, xs: analysis.saturation(CELL, p, xs),
    "settling": lambda p, xs: analysis.settling(CELL, p, xs),
    "norm_drift": lambda p, xs: analysis.norm_drift(CELL, p, xs),
    "asrnn_bounds": lambda p, xs: analysis.asrnn_bounds(CELL, p, xs),
}
ANALYSES = ("jacobian_spectrum", "temporal_spectrum", "temporal_jacobian", "top_singular_values", "gradient_norms")
ANALYSES += ("lyapunov_spectrum", "saturation", "settling", "norm_drift", "asrnn_bounds")
ADAPTERS = ("linen", "flax's own loop")  # flax itself looks at what it is given first
# what -> (params, xs, error, message, calls that answer otherwise: name -> message, or None where nothing is wrong)
WRONG = {
    "too few axes": (PARAMS, jnp.ones(3), ValueError, r"has shape \(3,\)", {"step": "carry has shapes"}),
    "another width": (PARAMS, jnp.ones((2, 20, 4)), ValueError, r"4\).*(inputs=3|takes \(2, 'T', 3\))", {}),
    "integers": (PARAMS, XS.astype(int), TypeError, "has dtype int.*floating", {}),
    "bool": (PARAMS, XS > 0, TypeError, "has dtype bool", {}),
    "complex": (PARAMS, XS + 0j, TypeError, "has dtype complex", {}),
    "nothing": (PARAMS, None, TypeError, "(xs|chunk) is NoneType", {}),
    "a masked array": (
        PARAMS,
        np.ma.masked_array(XS),
        TypeError,
        "(xs|chunk) is a masked array.*filled",
        dict.fromkeys(ANALYSES, "masked arrays are not supported.*filled"),
    ),  # JAX looks first: they are compiled
    "sequences of different lengths": (
        PARAMS,
        [np.ones((20, 3)), np.ones((5, 3))],
        TypeError,
        "xs is list.*pad them .* lengths=",
        {"session": "chunk is list.*pad what is missing with NaN"},
    ),
    "params of another cell": (
        cells.gru(3, 12).init(jax.random.key(0)),
        XS,
        ValueError,
        r"params\['D_f'\] is miss",
        {},
    ),
    "params of another size": (cells.asrnn(3, 9).init(jax.random.key(0)), XS, ValueError, r"'D_f'\] has shape \(9", {}),
    "params of another width": (cells.asrnn(2, 12).init(jax.random.key(0)), XS, ValueError, r"'W_xh'\].*\(2, 12\)", {}),
    "one param too many": (PARAMS | {"W": jnp.ones(2)}, XS, ValueError, r"params\['W'\].*no such param", {}),
    "weights of another cell": (
        cells.gru(3, 12).prepare(cells.gru(3, 12).init(jax.random.key(0))),
        XS,
        ValueError,
        "weights have shapes.*pass its params",
        dict.fromkeys(ADAPTERS, "dictionary"),
    ),
    "no params": (
        None,
        XS,
        ValueError,
        "weights have shapes",
        dict.fromkeys(ADAPTERS, "dictionary|collection|NoneType") | {"nnx": "pass either rngs="},
    ),
    "params of integers": (jax.tree.map(lambda p: p.astype(int), PARAMS), XS, TypeError, "dtype int.*pass floats", {}),
    "NaN": (  # allowed wherever a NaN in the output says so
        PARAMS,
        XS.at[0, 1, 2].set(jnp.nan),
        None,
        None,
        {"session": r"chunk\[0, 1, 2\] is nan"},
    ),
    "no time": (
        PARAMS,
        XS[:, :0],
        None,
        None,
        {
            "step": "carry has shapes",  # there is no step to be taken out of it
            **dict.fromkeys(("temporal_spectrum", "temporal_jacobian", "top_singular_values"), "0 inputs"),
            **dict.fromkeys(("gradient_norms", "settling"), r"\(2, 0, 3\): give at least one step"),
            **dict.fromkeys(("lyapunov_spectrum", "norm_drift"), "with 0 steps"),
        },
    ),
    "no batch": (PARAMS, XS[:0], None, None, {"step": r"with batch \(0,\)", "session": r"\(0, 20, 3\)"}),
    "another batch than the carry's": (
        PARAMS,
        jnp.ones((5, 20, 3)),
        None,
        None,
        {"step": r"carry has shapes \(2, 12\)", "session": r"\(5, 20, 3\)"},
    ),
}


LOOKED_AT_FIRST = (
    "no time",
    "too few axes",
    "nothing",
    "another width",
    "a masked array",
    "sequences of different lengths",
)


# All ask the same checks: two entries are given everything, the others what shows that they do ask, and what they
# answer in words of their own.
WIDELY = ("another width", "params of another cell")
PAIRS = [
    (what, call)
    for what in WRONG
    for call in CALLS
    if call in ("run", "session") or what in WIDELY or call in WRONG[what][-1]
]


@pytest.mark.parametrize(("what", "call"), PAIRS)
def test_the_message_names_what_is_wrong(what, call):
    params, xs, error, message, otherwise = WRONG[what]
    if call == "flax's own loop" and what in LOOKED_AT_FIRST:
        pytest.skip("flax's loop looks at the inputs first, and has messages of its own")
    if call in otherwise:
        error, message = Exception, otherwise[call]
    if error is None:
        CALLS[call](params, xs)
        return
    with pytest.raises(error, match=message) as found:
        CALLS[call](params, xs)
    assert len(str(found.value)) < 800 or call in ADAPTERS


@pytest.mark.parametrize("key", [0, None, "seed", jax.random.split(jax.random.key(0), 3), jnp.zeros(())])
def test_what_is_no_key(key):
    with pytest.raises(TypeError, match=r"key=.*jax.random.key\(0\)"):
        CELL.init(key)
    if key is not None:
        with pytest.raises(TypeError, match=r"key=.*jax.random.key\(0\)"):
            asrnn_jax.run(CELL, PARAMS, XS, key=key)


def test_keys_of_the_old_style_give_what_new_ones_give():
    old, new = CELL.init(jax.random.PRNGKey(3)), CELL.init(jax.random.key(3))
    jax.tree.map(np.testing.assert_array_equal, old, new)


def of_losses():
    logits, labels, m = jnp.zeros((2, 3, 5)), jnp.zeros((2, 3), int), jnp.ones((2, 3))
    return {
        "logits without classes": (lambda: losses.reset_free(jnp.float32(0), labels, m), "logits has dtype.*shape"),
        "logits of another batch": (lambda: losses.reset_free(logits[:1], labels, m), "informative has shape"),
        "weight of another shape": (lambda: losses.reset_free(logits, labels, m, weight=jnp.ones(4)), "weight has"),
        "unknown divergence": (lambda: losses.reset_free(logits, labels, m, kl="both"), "kl='both'"),
        "integer logits": (lambda: losses.kl_to_uniform(labels), "logits has dtype int"),
        "entropy of integers": (lambda: losses.entropy_share(labels), "logits has dtype int"),
    }


@pytest.mark.parametrize("what", of_losses())
def test_wrong_losses(what):
    call, message = of_losses()[what]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_checked_says_inside_jit_what_is_wrong():
    """What `jax.jit` cannot see: under `checked` it is an error with place and value, in grad and vmap too."""
    model = cells.with_output(cells.gru(3, 4), 5)
    params = model.init(jax.random.key(0))
    labels, m = jnp.zeros((2, 20), int), jnp.ones((2, 20))

    def loss(params, xs, labels, m, lengths):
        _, logits = asrnn_jax.run(model, params, xs, lengths=lengths)
        return losses.reset_free(logits, labels, m).mean()

    step = asrnn_jax.checked(jax.value_and_grad(loss))
    good = (params, XS, labels, m, jnp.array([20, 3]))
    for ours, theirs in zip(jax.tree.leaves(step(*good)), jax.tree.leaves(jax.value_and_grad(loss)(*good))):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)

    def but(at, value):
        return (*good[:at], value, *good[at + 1 :])

    # (axes: time, batch) a step beyond its length may be anything
    step(*but(1, XS.at[1, 5].set(jnp.nan)))
    wrong = {
        "xs is nan at step 7 of batch element 0": but(1, XS.at[0, 7, 1].set(jnp.nan)),
        "xs is inf at step 2 of batch element 1": but(1, XS.at[1, 2].set(jnp.inf)),
        "lengths has 21, but xs has 20 steps": but(4, jnp.array([21, 3])),
        "labels has 5 where informative > 0: with 5 classes": but(2, labels.at[1, 2].set(5)),
        "informative has 1.5": but(3, m.at[0, 0].set(1.5)),
        "a weight is nan": but(0, jax.tree.map(lambda p: p * jnp.nan, params)),
    }
    for message, args in wrong.items():
        with pytest.raises(ValueError, match=message):
            step(*args)
        jax.jit(loss)(*args)  # which says nothing

    each = asrnn_jax.checked(jax.vmap(lambda xs: asrnn_jax.run(model, params, xs)[1]))
    with pytest.raises(ValueError, match="xs is nan"):
        each(XS.at[1, 2].set(jnp.nan))
    alone = asrnn_jax.checked(lambda xs: asrnn_jax.run(model, params, xs)[1])
    with pytest.raises(ValueError, match=r"xs is nan at step 7\.$"):
        alone(XS[0].at[7, 1].set(jnp.nan))
    already = jax.jit(lambda xs: asrnn_jax.run(model, params, xs)[1])
    already(XS)
    with pytest.raises(ValueError, match="xs is nan"):
        asrnn_jax.checked(already)(XS.at[1, 2].set(jnp.nan))


@pytest.mark.slow
def test_checked_functions_leave_each_other_and_jit_alone():
    bad = XS.at[1, 2].set(jnp.nan)

    def total(xs):
        return asrnn_jax.run(CELL, PARAMS, xs)[1].sum()

    for f in (total, jax.jit(total), jax.checkpoint(total)):
        for _ in range(2):  # a second one finds what the first has traced
            one = asrnn_jax.checked(lambda xs, f=f: f(xs) * 1.0)
            one(XS)
            with pytest.raises(ValueError, match="xs is nan at step 2 of batch element 1"):
                one(bad)
        assert jnp.isfinite(f(XS))
        assert jnp.isnan(f(bad))
    empty = asrnn_jax.checked(losses.reset_free)(jnp.zeros((0, 3, 5)), jnp.zeros((0, 3), int), jnp.ones((0, 3)))
    assert empty.shape == (0, 3)


def test_checked_finds_where_outputs_overflow():
    cell = cells.irnn(1, 2)
    params = jax.tree.map(lambda p: 1e30 * jnp.ones_like(p), cell.init(jax.random.key(0)))
    with pytest.raises(ValueError, match="ys is inf at step 1 of batch element 0"):
        asrnn_jax.checked(lambda p, xs: asrnn_jax.run(cell, p, xs)[1])(params, jnp.ones((1, 4, 1), jnp.float32))


def test_checked_says_when_there_is_nothing_to_check():
    with pytest.raises(ValueError, match="nothing in it can be checked"):
        asrnn_jax.checked(lambda x: x + 1)(jnp.ones(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: asrnn_jax.run(CELL, PARAMS, "text"), TypeError, "xs is str"),
        (lambda: asrnn_jax.run(cells.asrnn, PARAMS, XS), TypeError, r"call it: asrnn\(inputs, hidden\)"),
        (lambda: asrnn_jax.run("asrnn", PARAMS, XS), TypeError, "cells.make"),
        (lambda: asrnn_jax.run(nn.GRUCell(12), PARAMS, XS), TypeError, "flax cell"),
        (lambda: asrnn_jax.run(asrnn_jax.linen.RNN(CELL), PARAMS, XS), TypeError, r"pass its \.cell"),
        (lambda: asrnn_jax.run(CELL, {"params": PARAMS}, XS), ValueError, r"pass variables\['params'\]"),
        (lambda: asrnn_jax.run(CELL, jax.tree.map(boxed, PARAMS), XS), ValueError, r"flax\.linen\.meta\.unbox"),
        (lambda: asrnn_jax.step(cells.asrnn, PARAMS, None, XS[:, 0]), TypeError, "call it"),
    ],
)
def test_what_is_easily_mistaken_for_a_cell_params_or_inputs(call, error, message):
    with pytest.raises(error, match=message):
        call()


def boxed(leaf):
    return nn.Partitioned(leaf, (None,) * leaf.ndim)


@pytest.mark.parametrize("convert", [lambda a: a.astype(">f4"), lambda a: a.tolist(), np.asfortranarray])
def test_inputs_of_other_kinds_are_taken_as_they_are_meant(convert):
    xs = np.random.default_rng(0).normal(size=(2, 20, 3)).astype(np.float32)
    chex.assert_trees_all_close(
        asrnn_jax.run(CELL, PARAMS, convert(xs)), asrnn_jax.run(CELL, PARAMS, jnp.asarray(xs)), atol=1e-5
    )
