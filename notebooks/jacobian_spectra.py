# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Why one recurrent cell learns and another does not
#
# Copy memory: five symbols are shown, then fifty blanks, then a marker, and the network must say the five symbols. It can
# only learn that if a gradient gets from the end back to the beginning. Five cells are trained on it for a minute in all,
# and their Jacobians looked at before and after:
#
# a tanh RNN, an orthogonal RNN, the adaptive-saturated RNN, an LSTM, and a linear recurrent unit (LRU).

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import asrnn_jax
from asrnn_jax import analysis, cells, plot, tasks

plt.rcParams["figure.dpi"] = 80

HIDDEN, SYMBOLS, DELAY = 64, 5, 50
CELLS = {  # change a name, and everything below still works
    "tanh_rnn": {},
    "orthogonal": {},
    "asrnn": {"a": 0.1, "b": 0.1},
    "lstm": {},
    "lru": {"r_min": 0.9, "max_phase": 0.3},
}
models = {name: cells.with_output(cells.make(name, 10, HIDDEN, **options), 9) for name, options in CELLS.items()}

# %% [markdown]
# ## The task and the training


# %%
def sample(key, batch):
    inputs, targets = tasks.copy_memory(key, batch, symbols=SYMBOLS, delay=DELAY)
    return jax.nn.one_hot(inputs, tasks.COPY_INPUTS), targets


def train(cell, steps=600, batch=64):
    params = cell.init(jax.random.key(0))
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        asrnn_jax.optim.separate_rates(optax.adam(2e-3), optax.adam(4e-4)),
    )

    def loss(params, xs, targets):
        _, logits = asrnn_jax.run(cell, params, xs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    @jax.jit
    def step(params, state, key):
        value, gradient = jax.value_and_grad(loss)(params, *sample(key, batch))
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    state, losses = optimizer.init(params), []
    for key in jax.random.split(jax.random.key(1), steps):
        params, state, value = step(params, state, key)
        losses.append(value)
    return params, np.array(losses)


before = {name: cell.init(jax.random.key(0)) for name, cell in models.items()}
after, losses = {}, {}
for name, cell in models.items():
    after[name], losses[name] = train(cell)

baseline = SYMBOLS * np.log(8) / (DELAY + 2 * SYMBOLS)
smooth = lambda x: np.convolve(x, np.ones(10) / 10, "valid")
plot.learning_curves(
    {name: (np.arange(10, len(x) + 1), smooth(x)) for name, x in losses.items()},
    y_label="cross-entropy",
    baseline=("no memory", baseline),
    log=True,
)
# %% [markdown]
# Some leave the line of a network without memory, others sit on it. Why?
#
# ## How far the gradient reaches before training
#
# The gradient of an answer, on its way back to the symbol it is about, more than fifty steps earlier.

# %%
xs, targets = sample(jax.random.key(2), 8)


def first_answer(logits):  # of the first symbol, when it is asked for
    return jax.nn.logsumexp(logits[SYMBOLS + DELAY])


def reach(params):
    return {name: analysis.gradient_norms(cell, params[name], xs, first_answer) for name, cell in models.items()}


figure, axes = plt.subplots(1, 2, figsize=(13, 4.2), sharey=True, layout="constrained")
for ax, params, title in zip(axes, (before, after), ("before training", "after training")):
    norms = {name: value[:, : SYMBOLS + DELAY + 2] for name, value in reach(params).items()}
    plot.gradient_reach(norms, ax=ax).set_title(title)

# %% [markdown]
# ## The reason: singular values of one step, and of many
#
# Of every cell, the singular values of $\partial h_t / \partial h_{t-1}$ along one sequence, before (top) and after
# (bottom). For the LSTM the state is $h$ and $c$ together, for the LRU its real and imaginary parts. (`surrogate` matters
# to spiking cells only, should you put one in.)

# %%
figure, axes = plt.subplots(2, len(models), figsize=(15, 6), sharex=True, sharey="col", layout="constrained")
for row, params in zip(axes, (before, after)):
    for ax, (name, cell) in zip(row, models.items()):
        plot.spectrum(analysis.jacobian_spectrum(cell, params[name], xs[:2], surrogate=True), ax=ax).set_title(name)
        ax.get_legend().remove()
for ax in axes[:, 1:].flat:
    ax.set_ylabel("")

# %%
spans = [1, 2, 5, 10, 20, 40, 60]
figure, axes = plt.subplots(1, 2, figsize=(13, 4.2), sharey=True, layout="constrained")
for ax, params, title in zip(axes, (before, after), ("before training", "after training")):
    logs = {
        name: analysis.temporal_spectrum(cell, params[name], xs[0], 0, spans, surrogate=True)
        for name, cell in models.items()
    }
    plot.temporal_spectrum(spans, logs, ax=ax).set_title(title)

# %% [markdown]
# ## What the equation of asRNN promises
#
# All singular values of its Jacobian lie between $\min(1 - g^2) / \kappa(D_f)$ and $\kappa(D_f) \max(1 - g^2)$. Training
# moves $D_f$, and the interval with it; the measured values stay inside.

# %%
if "asrnn" in models:
    figure, axes = plt.subplots(1, 2, figsize=(13, 3.6), sharey=True, layout="constrained")
    asrnn = cells.make("asrnn", 10, HIDDEN, **CELLS["asrnn"])
    for ax, params, title in zip(axes, (before, after), ("before training", "after training")):
        inner = params["asrnn"]["cell"]
        bounds = analysis.asrnn_bounds(asrnn, inner, xs)
        sigma = analysis.jacobian_spectrum(asrnn, inner, xs)
        plot.spectrum(sigma, bounds=(bounds.lower, bounds.upper), ax=ax)
        ax.set_title(f"{title}: kappa {bounds.kappa:.2f}, {100 * bounds.inside:.0f} % inside")

# %% [markdown]
# ## Lyapunov exponents
#
# The average growth of small differences over a long input, here 1,000 steps of the blanks between symbol and answer. 0
# keeps for ever; -0.1 has lost all but 0.7 % after fifty steps.

# %%
blanks = jnp.broadcast_to(jax.nn.one_hot(0, 10), (1000, 10))
exponents = {
    name: analysis.lyapunov_spectrum(cell, after[name], blanks, k=16, surrogate=True) for name, cell in models.items()
}
plot.lyapunov(exponents).set_title("after training, while nothing comes in")
for name, found in exponents.items():
    print(f"{name:12s} largest {found.exponents[0]:8.4f} +- {found.standard_error[0]:.4f}")

# %% [markdown]
# ## Newer cells
#
# The same training and the same questions for three cells that came after asRNN or beside it: LEM, whose two states have
# learned time steps; sLSTM, an LSTM with exponential gates; LinOSS, oscillators. Cells with a matrix as their state
# (`s4d`, `s6`, `mlstm`, `gated_delta`) are linear in it given their gates, with thousands of coordinates; the window of
# `attention` is a list of what came, whose Jacobian is that of a shift.

# %%
newer = {name: cells.with_output(cells.make(name, 10, HIDDEN), 9) for name in ("lem", "slstm", "linoss")}
newer_before = {name: cell.init(jax.random.key(0)) for name, cell in newer.items()}
newer_after = {}
for name, cell in newer.items():
    newer_after[name], curve = train(cell)
    print(f"{name:12s} cross-entropy {curve[-10:].mean():.3f}, without memory {baseline:.3f}")

figure, axes = plt.subplots(2, len(newer), figsize=(11, 6), sharex=True, sharey="col", layout="constrained")
for row, params in zip(axes, (newer_before, newer_after)):
    for ax, (name, cell) in zip(row, newer.items()):
        plot.spectrum(analysis.jacobian_spectrum(cell, params[name], xs[:2]), ax=ax).set_title(name)
        ax.get_legend().remove()
for ax in axes[:, 1:].flat:
    ax.set_ylabel("")

# %%
newer_exponents = {
    name: analysis.lyapunov_spectrum(cell, newer_after[name], blanks, k=16) for name, cell in newer.items()
}
plot.lyapunov({"asrnn": exponents["asrnn"]} | newer_exponents if "asrnn" in exponents else newer_exponents)
for name, found in newer_exponents.items():
    print(f"{name:12s} largest {found.exponents[0]:8.4f} +- {found.standard_error[0]:.4f}")

# %% [markdown]
# ## Who learned, and why
#
# * **tanh RNN**: before training a thousandth of the gradient reaches the symbols it is about, and training makes that
#   worse. All exponents are negative: whatever was shown is gone before it is asked for. It stays at the baseline.
# * **Orthogonal RNN**: singular values of 1 (0 where a modReLU is closed), exponents of 0. Everything is kept, and the
#   task needs no more: it learns fastest.
# * **asRNN**: starts as the linear orthogonal RNN does, with a gradient that reaches all the way, and then lets training
#   spread its singular values: some directions grow, some fade, the median stays at 1 and the exponents near 0.
# * **LSTM**: after training a gradient does get through, but look at the exponents: one direction is kept, the others
#   fade at 5 % a step and more. Five symbols do not fit through one direction. It needs far longer to learn this task.
# * **LRU**: its gradient reaches, but one linear layer cannot do one thing before the marker and another after it, so it
#   learns a part. Residual blocks with a nonlinearity between two such layers learn all of it (`experiments/results/zoo.md`).
#
# Memory needs singular values near 1 in as many directions as there is to remember; use needs a nonlinearity. asRNN
# trains where it stands between the two.
