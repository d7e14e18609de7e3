"""Cells and maps against other libraries and dense linear algebra, with the same weights: values and gradients.

The stored arrays of other libraries are made by the scripts in tests/references.
"""

import importlib.util
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax import lax

import asrnn_jax
from asrnn_jax import losses, orthogonal
from asrnn_jax.cells import lstm, tanh_rnn
from tests.quick import quickly

STORED = Path(__file__).with_name("references")
make = partial(asrnn_jax.cells.make, dtype=jnp.float64)
close = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12)


def stored(library, kind):
    arrays = np.load(STORED / f"{library}.npz")
    return {name: arrays[name] for name in arrays.files if name.startswith(f"{kind}.")}


def live(kind):
    from tests.references.make_torch import reference

    return reference(kind)


@pytest.fixture(params=["stored", "live"])
def torch_reference(request):
    """Arrays of torch by name, read or made afresh."""
    if request.param == "live" and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed (extra 'oracles')")
    read = live if request.param == "live" else partial(stored, "torch")
    return lambda kind: {name.split(".", 1)[1]: jnp.asarray(a) for name, a in read(kind).items()}


def from_torch(cell, ref, layer="l0"):
    """Torch has two biases. They add up except inside the GRU's candidate, where the second one is `b_hn`."""
    kernels = {"W_xh": ref[f"weight_ih_{layer}"].T, "W_hh": ref[f"weight_hh_{layer}"].T}
    b, b_hh = ref[f"bias_ih_{layer}"], ref[f"bias_hh_{layer}"]
    if cell.name != "gru":
        return {**kernels, "b": b + b_hh}
    outside = jnp.arange(len(b)) < 2 * cell.hidden
    return {**kernels, "b": b + jnp.where(outside, b_hh, 0.0), "b_hn": b_hh[2 * cell.hidden :]}


def gradient_from_torch(cell, ref, layer="l0"):
    gradient = {
        "W_xh": ref[f"d_weight_ih_{layer}"].T,
        "W_hh": ref[f"d_weight_hh_{layer}"].T,
        "b": ref[f"d_bias_ih_{layer}"],
    }
    return gradient if cell.name != "gru" else {**gradient, "b_hn": ref[f"d_bias_hh_{layer}"][2 * cell.hidden :]}


def carry_from_torch(cell, ref, *index):
    leaves = [ref[name][index] for name in sorted(ref) if name.startswith("start")]
    return jax.tree.unflatten(jax.tree.structure(cell.initial_carry(())), leaves)


@pytest.mark.parametrize(("kind", "name"), [("lstm", "lstm"), ("rnn", "tanh_rnn"), ("gru", "gru")])
@pytest.mark.parametrize("gradient", ["fused", "autodiff"])
def test_equals_torch(torch_reference, kind, name, gradient):
    ref, cell = torch_reference(kind), make(name, 3, 5)

    def loss(params, xs):
        end, ys = asrnn_jax.run(cell, params, xs, carry=carry_from_torch(cell, ref), gradient=gradient)
        return jnp.sum(ref["weight"] * ys), (end, ys)

    (d_params, d_xs), (end, ys) = jax.grad(loss, (0, 1), has_aux=True)(from_torch(cell, ref), ref["xs"])
    close(ys, ref["ys"])
    for i, leaf in enumerate(jax.tree.leaves(end)):
        close(leaf, ref[f"end{i}"])
    close(d_xs, ref["d_xs"])
    jax.tree.map(close, d_params, gradient_from_torch(cell, ref))


@pytest.mark.slow
def test_class_weights_equal_torch(torch_reference):
    ref = torch_reference("cross_entropy")

    def loss(z, smoothing=0.1):
        weights = {"class_weights": ref["weight"], "label_smoothing": smoothing}
        return losses.reset_free(z, ref["labels"], jnp.ones(len(z)), **weights)

    close(loss(ref["logits"]), ref["loss"])
    close(jax.grad(lambda z: loss(z).sum())(ref["logits"]), ref["d_logits"])
    close(loss(ref["logits"], 0.0).sum() / ref["weight"][ref["labels"]].sum(), ref["mean"])  # as its docstring says


@quickly("name", ["gru"], ("lstm", "gru"))
def test_two_layers_in_both_directions_equal_torch(torch_reference, name):
    ref = torch_reference(f"{name}-deep")
    layers = [[f"l{depth}", f"l{depth}_reverse"] for depth in range(2)]
    cells = [make(name, inputs, 4) for inputs in (3, 8)]

    def loss(params, xs):
        ends = []
        for depth, cell in enumerate(cells):
            both = []
            for way, layer in enumerate(layers[depth]):
                carry = carry_from_torch(cell, ref, 2 * depth + way)
                end, ys = asrnn_jax.run(cell, params[layer], xs, carry=carry, reverse=bool(way))
                both.append(ys)
                ends.append(end)
            xs = jnp.concatenate(both, axis=-1)
        return jnp.sum(ref["weight"] * xs), (ends, xs)

    params = {layer: from_torch(cell, ref, layer) for cell, pair in zip(cells, layers) for layer in pair}
    (d_params, d_xs), (ends, ys) = jax.grad(loss, (0, 1), has_aux=True)(params, ref["xs"])
    close(ys, ref["ys"])
    for i, leaf in enumerate(jax.tree.leaves(jax.tree.map(lambda *e: jnp.stack(e), *ends))):
        close(leaf, ref[f"end{i}"])
    close(d_xs, ref["d_xs"])
    for cell, pair in zip(cells, layers):
        for layer in pair:
            jax.tree.map(close, d_params[layer], gradient_from_torch(cell, ref, layer))


def hold_to_lower_triangle(ref, map):
    """Torch and geotorch: A = tril(X, -1) - tril(X, -1)^T, base @ map(A), Cayley map (I - A/2)^-1 (I + A/2)."""
    n = len(ref["X"])
    rows, columns = np.triu_indices(n, 1)
    above = -ref["X"][columns, rows]

    def matrix(above):
        if map == "cayley":
            return ref["base"] @ orthogonal.cayley(orthogonal.skew(-above / 2, n))
        return ref["base"] @ orthogonal.expm(orthogonal.skew(above, n))

    close(matrix(above), ref["Q"])
    gradient = jax.grad(lambda above: jnp.sum(ref["weight"] * matrix(above)))(above)
    close(gradient, -ref["d_X"][columns, rows])


@quickly("map", ["matrix_exp"], ("cayley", "matrix_exp"))
def test_maps_equal_torch(torch_reference, map):
    hold_to_lower_triangle(torch_reference(map), map)


@pytest.mark.parametrize("map", ["cayley", "expm"])
def test_maps_equal_geotorch(map):
    ref = {name.split(".", 1)[1]: jnp.asarray(a) for name, a in stored("geotorch", map).items()}
    hold_to_lower_triangle(ref, map)


def tau(beta):
    """The log time constant of a decay: beta = exp(-1 / exp(log_tau))."""
    return -jnp.log(-jnp.log(beta))


SURROGATES = {
    "triangular": {"surrogate": "triangular", "slope": 1.0},
    "superspike": {"surrogate": "superspike", "slope": 25.0},
    "arctan": {"surrogate": "atan", "slope": 2 / np.pi},  # see make_spyx.py
}


@quickly("surrogate", ["superspike"], SURROGATES)
@quickly("kind", ("rlif", "alif"), ("lif", "rlif", "alif"))
def test_spiking_cells_equal_spyx(kind, surrogate):
    arrays = np.load(STORED / "spyx.npz")
    ref = {name.split(".", 1)[1]: jnp.asarray(a) for name, a in stored("spyx", kind).items()}
    options = {**SURROGATES[surrogate], "recurrent": kind == "rlif", "reset": "soft", "threshold": 1.0}
    cell = make("alif", 6, 6, adaptation=1.0, **options) if kind == "alif" else make("lif", 6, 6, **options)
    theirs = {name: ref[name] for name in ("beta", "gamma", "recurrent_w") if name in ref}

    def ours(theirs):
        names = {"gamma": "log_tau_adapt", "recurrent_w": "W_hh"}
        params = {names[k]: tau(v) if k == "gamma" else v for k, v in theirs.items() if k != "beta"}
        return {"W_xh": jnp.eye(6), "b": jnp.zeros(6), "log_tau": tau(theirs["beta"]), **params}

    def loss(theirs, xs):
        ys = asrnn_jax.run(cell, ours(theirs), xs, time_major=True)[1]
        return jnp.sum(arrays["weight"] * ys), ys

    gradients, ys = jax.grad(loss, (0, 1), has_aux=True)(theirs, jnp.asarray(arrays["xs"]))
    np.testing.assert_array_equal(ys, ref["spikes"])
    close(gradients[1], ref[f"{surrogate}.d_xs"])
    for name, gradient in gradients[0].items():
        close(gradient, ref[f"{surrogate}.d_{name}"])

    def body(carry, x):
        carry, _ = asrnn_jax.step(cell, weights, carry, x)
        return carry, jnp.concatenate(jax.tree.leaves(cell.to_state(weights, carry)), axis=-1)

    weights = cell.prepare(ours(theirs))
    close(lax.scan(body, cell.initial_carry((3,), jnp.float64), arrays["xs"])[1], ref["states"])


def moved(variables):
    """Off the zeros and ones where biases start."""
    return jax.tree.map(lambda v: v + 0.1 * jax.random.normal(jax.random.key(v.size), v.shape, v.dtype), variables)


def stacked(kernels, side, order, leaf="kernel"):
    return jnp.concatenate([kernels[f"{side}{gate}"][leaf] for gate in order], axis=-1)


def hold_to_flax(cell, theirs, translate):
    """Over sequences of different lengths; returns both final carries."""
    theirs = nn.RNN(theirs(cell.hidden, param_dtype=jnp.float64), return_carry=True)
    xs, lengths = jax.random.normal(jax.random.key(0), (4, 30, 3), jnp.float64), jnp.array([30, 12, 1, 29])
    with jax.numpy_rank_promotion("allow"):
        variables = moved(theirs.init(jax.random.key(1), xs))
        their_carry, ys = theirs.apply(variables, xs, seq_lengths=lengths)
    (kernels,) = variables["params"].values()
    carry, ours = asrnn_jax.run(cell, translate(kernels), xs, lengths=lengths)
    valid = jnp.arange(30)[None, :, None] < lengths[:, None, None]
    close(jnp.where(valid, ours, 0), jnp.where(valid, ys, 0))
    return carry, their_carry


@pytest.mark.slow
def test_lstm_equals_flax():
    def translate(kernels):
        W_xh, W_hh = stacked(kernels, "i", "ifgo"), stacked(kernels, "h", "ifgo")
        return {"W_xh": W_xh, "W_hh": W_hh, "b": stacked(kernels, "h", "ifgo", "bias")}

    carry, (c, h) = hold_to_flax(lstm(3, 5, dtype=jnp.float64), nn.OptimizedLSTMCell, translate)
    close(carry.h, h)
    close(carry.c, c)


@pytest.mark.parametrize(("name", "theirs", "order"), [("gru", nn.GRUCell, "rzn"), ("mgu", nn.MGUCell, "fn")])
def test_gru_and_mgu_equal_flax(name, theirs, order):
    def translate(kernels):
        W_xh, W_hh = stacked(kernels, "i", order), stacked(kernels, "h", order)
        return {"W_xh": W_xh, "W_hh": W_hh, "b": stacked(kernels, "i", order, "bias"), "b_hn": kernels["hn"]["bias"]}

    close(*hold_to_flax(make(name, 3, 5), theirs, translate))


def test_tanh_rnn_equals_flax():
    def translate(kernels):
        return {"W_xh": kernels["i"]["kernel"], "W_hh": kernels["h"]["kernel"], "b": kernels["i"]["bias"]}

    close(*hold_to_flax(tanh_rnn(3, 5, dtype=jnp.float64), nn.SimpleCell, translate))


def dense_outputs(A, B, C, D, xs):
    """Final state and outputs by h_t = sum_k A^(t-k) B x_k."""
    power = [np.linalg.matrix_power(A, k) for k in range(len(xs))]
    hs = [sum(power[t - k] @ (B @ xs[k]) for k in range(t + 1)) for t in range(len(xs))]
    return hs[-1], np.stack([C @ h + D @ x for h, x in zip(hs, xs)])


def dense_lru(p):
    modulus, phase = np.exp(-np.exp(p["nu_log"])), np.exp(p["theta_log"])
    B = np.exp(p["gamma_log"])[:, None] * (p["B_re"] + 1j * p["B_im"]).T
    return np.diag(modulus * np.exp(1j * phase)), B, (p["C_re"] + 1j * p["C_im"]).T


def dense_s5(p):
    """All 2H states, each conjugate written out, held over a step by the exponential of the augmented matrix."""

    def pairs(a):
        return np.concatenate([a, a.conj()])

    step, C = np.exp(p["log_step"]), p["C_re"] + 1j * p["C_im"]
    A, B = np.diag(pairs(step * (p["Lambda_re"] + 1j * p["Lambda_im"]))), pairs((p["B_re"] + 1j * p["B_im"]).T)
    n, inputs = B.shape
    augmented = np.zeros((n + inputs, n + inputs), complex)
    augmented[:n, :n], augmented[:n, n:] = A, pairs(step)[:, None] * B
    held = scipy.linalg.expm(augmented)
    return held[:n, :n], held[:n, n:], pairs(C).T


@pytest.mark.parametrize("outputs", [pytest.param(None, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize(("name", "dense"), [("lru", dense_lru), ("s5", dense_s5)])
def test_state_spaces_equal_dense_matrix_powers(name, dense, outputs):
    cell = make(name, 3, 6, outputs=outputs)
    params = moved(cell.init(jax.random.key(0)))
    xs = jax.random.normal(jax.random.key(1), (40, 3), jnp.float64)
    carry, ys = asrnn_jax.run(cell, params, xs)
    p = jax.tree.map(np.asarray, params)
    D = np.diag(p["D"]) if outputs == 3 else p["D"].T
    state, expected = dense_outputs(*dense(p), D, np.asarray(xs))
    close(ys, expected.real)
    close(cell.to_state(cell.prepare(params), carry), state[:6])
    if name == "s5":
        close(expected.imag, 0.0)


def columns(W, names, prefix="W_"):
    """One wide array as several, by name."""
    return {f"{prefix}{name}": part for name, part in zip(names, jnp.split(W, len(names), axis=-1))}


def from_lem(p):
    """Their gates go to h, c; the paper's and ours to z (their c), y (their h)."""

    def ours(a, last, axis):
        of_h, of_c, new_c = jnp.split(a, 3, axis=axis)
        return jnp.concatenate([of_c, of_h, new_c, last], axis=axis)

    of_h, of_c, new_c, new_h = jnp.split(p["weight_ih"].T, 4, axis=1)
    b = [jnp.split(p["bias_ih"], 4)[i] for i in (1, 0, 2, 3)]
    return {
        "W_xh": jnp.concatenate([of_c, of_h, new_c, new_h], axis=1),
        "W_hh": ours(p["weight_hh"].T, p["weight_ch"].T, 1),
        "b": jnp.concatenate(b) + ours(p["bias_hh"], p["bias_ch"], 0),
    }


def from_mlstm(p):
    gates = columns(p["W_gates"], "if") | columns(p["b_gates"], "if", "b_")
    return columns(p["W"], "qkvo") | columns(p["b"], "qkvo", "b_") | gates


def from_gated_delta(p):
    rest = {"W_alpha": p["W_alpha"], "W_beta": p["W_beta"], "log_rate": p["A_log"], "b_step": p["dt_bias"]}
    return columns(p["W"], "qkv") | rest


def from_s6(p):
    down, B, C = jnp.split(p["x_proj"], [2, 2 + p["A_log"].shape[1]], axis=1)
    rest = {"W_down": down, "W_up": p["dt_proj"], "b_step": p["dt_bias"], "W_B": B, "W_C": C}
    return {"W_xh": p["W_in"], "b": p["b_in"], "log_A": p["A_log"], "D": p["D"], **rest}


def from_s4d(p):
    C = {"C_re": p["C"][..., 0], "C_im": p["C"][..., 1], "D": jnp.zeros_like(p["b_in"])}
    A = {"log_step": p["log_dt"], "log_A_re": p["log_a_real"], "A_im": p["A_imag"]}
    return {"W_xh": p["W_in"], "b": p["b_in"], **A, **C}


def from_linoss(p):
    B, C = p["B"][..., 0].T, p["C"][..., 0].T
    return {"A": p["A"], "log_odds_step": p["steps"], "B": B, "C": C, "D": p["D"]}


MODERN = {
    "lem": ({"dt": 0.7}, from_lem),  # torchrecurrent 0.2.5
    "slstm": ({}, lambda p: {"W_xh": p["W"], "W_hh": p["R"], "b": p["b"]}),  # xlstm 2.0.6
    "mlstm": ({"heads": 2, "cap": 2.0}, from_mlstm),  # xlstm 2.0.6
    "gated_delta": ({"heads": 2}, from_gated_delta),  # transformers 5.24.0
    "attention": ({"heads": 2, "window": 5, "base": 100.0}, lambda p: columns(p["W"], "qkv") | {"W_o": p["W_o"]}),
    # torch 2.13.0 and transformers 5.24.0
    "s6": ({"states": 4, "rank": 2}, from_s6),  # mambapy 1.2.0
    "s4d": ({"states": 4}, from_s4d),  # discretax 0.3.0
    "linoss-im": ({"method": "im"}, from_linoss),  # discretax 0.3.0
    "linoss-imex": ({"method": "imex"}, from_linoss),  # discretax 0.3.0
    "short_conv": (
        {},
        lambda p: {"W_xh": p["W_in"], "taps": p["kernel"][:, 0].T, "b": p["bias"]},
    ),  # torch 2.13.0, as mambapy 1.2.0 calls it
}


@pytest.mark.parametrize("kind", MODERN)
def test_modern_cells_equal_other_packages(kind):
    """Values and gradients by the inputs and by all that they have to learn; make_modern.py says of each what differs
    from the paper. transformers computes in float32."""
    (options, ours), name = MODERN[kind], kind.split("-")[0]
    ref = {name.split(".", 1)[1]: jnp.asarray(a) for name, a in stored("modern", kind).items()}
    theirs = {name: a for name, a in ref.items() if f"d_{name}" in ref}
    outputs = {"outputs": 3} if name == "linoss" else {}
    cell = make(name, 3, 8, **options, **outputs)

    def loss(theirs):
        ys = asrnn_jax.run(cell, ours(theirs), theirs["xs"])[1]
        return jnp.sum(ref["weight"] * ys), ys

    gradients, ys = jax.jit(jax.grad(loss, has_aux=True))(theirs)
    near = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5) if name == "gated_delta" else close
    near(ys, ref["ys"])
    for name, gradient in gradients.items():
        near(gradient, jnp.where(theirs[name] == 0, gradient, ref[f"d_{name}"]), err_msg=name)
