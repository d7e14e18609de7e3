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
# # These cells in a Flax model of your own
#
# Handwritten digits, read row by row, eight rows of eight pixels, by a model of your own with one of our cells inside:
# first in flax.linen, then in flax.nnx, then as a pure function, with the same parameters and the same numbers.

# %%
import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

import asrnn_jax
import asrnn_jax.linen
import asrnn_jax.nnx
from asrnn_jax import analysis, cells, plot

plt.rcParams["figure.dpi"] = 80

digits = load_digits()
images, labels = digits.images.astype(np.float32) / 16, digits.target  # (1797, 8, 8): time is the row
order = np.random.default_rng(0).permutation(len(labels))
train, test = order[:1437], order[1437:]
cell = cells.make("asrnn", inputs=8, hidden=48)  # any name of cells.CELLS


def accuracy(logits, chosen):
    return float((logits.argmax(-1) == labels[chosen]).mean())


# %% [markdown]
# ## flax.linen
#
# `asrnn_jax.linen.RNN` is a layer. It takes all options of `asrnn_jax.run`: masks, lengths, resets, the last output only.


# %%
class Classifier(nn.Module):
    @nn.compact
    def __call__(self, xs):
        _, y = asrnn_jax.linen.RNN(cell, name="rnn")(xs, outputs="last")
        return nn.Dense(10, name="out")(nn.LayerNorm(name="norm")(y))


model = Classifier()
params = model.init(jax.random.key(0), images[:1])["params"]
optimizer = asrnn_jax.optim.separate_rates(optax.adam(3e-3), optax.adam(3e-4))
state = optimizer.init(params)


@jax.jit
def step(params, state, xs, ys):
    def loss(params):
        logits = model.apply({"params": params}, xs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, ys).mean()

    value, gradient = jax.value_and_grad(loss)(params)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, value


rng, losses = np.random.default_rng(1), []
for _ in range(30):  # epochs
    for chosen in np.split(rng.permutation(train)[: 22 * 64], 22):
        params, state, value = step(params, state, images[chosen], labels[chosen])
        losses.append(float(value))
print(f"test accuracy {accuracy(model.apply({'params': params}, images[test]), test):.3f}")
plot.learning_curves({"linen": (np.arange(1, len(losses) + 1), losses)}, log=True)
# %% [markdown]
# `asrnn_jax.linen.RNNCell` is one step, for flax's own `nn.RNN` and `nn.Bidirectional`. It works, and is slower: flax
# prepares the weights at every step.

# %%
flax_rnn = nn.Bidirectional(nn.RNN(asrnn_jax.linen.RNNCell(cell)), nn.RNN(asrnn_jax.linen.RNNCell(cell)))
flax_rnn.init_with_output(jax.random.key(0), images[:2])[0].shape

# %% [markdown]
# ## flax.nnx
#
# The same model. A module's parameters are the cell's own dictionary, so they move over one to one.


# %%
class Model(nnx.Module):
    def __init__(self, rngs):
        self.rnn = asrnn_jax.nnx.RNN(cell, rngs=rngs)
        self.norm = nnx.LayerNorm(cell.outputs, rngs=rngs)
        self.out = nnx.Linear(cell.outputs, 10, rngs=rngs)

    def __call__(self, xs):
        _, y = self.rnn(xs, outputs="last")
        return self.out(self.norm(y))


again = Model(nnx.Rngs(0))
again.rnn.set_params(params["rnn"])
nnx.update(again.norm, params["norm"])
nnx.update(again.out, params["out"])
same = np.abs(again(images[test]) - model.apply({"params": params}, images[test])).max()
print(f"test accuracy {accuracy(again(images[test]), test):.3f}, largest difference to linen {same:.1e}")

# %% [markdown]
# It trains with `nnx.Optimizer` as any nnx model does.

# %%
tuned = nnx.Optimizer(again, optax.adam(1e-3), wrt=nnx.Param)


@nnx.jit
def nnx_step(model, optimizer, xs, ys):
    def loss(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(xs), ys).mean()

    value, gradient = nnx.value_and_grad(loss)(model)
    optimizer.update(model, gradient)
    return value


for chosen in np.split(rng.permutation(train)[: 22 * 64], 22):
    nnx_step(again, tuned, images[chosen], labels[chosen])
print(f"test accuracy after one more epoch {accuracy(again(images[test]), test):.3f}")

# %% [markdown]
# ## As a pure function, and a look inside
#
# The parameters of the layer are the parameters of the cell: run it, step it, analyse it.

# %%
carry, hs = asrnn_jax.run(cell, params["rnn"], images[test[:64]])
weights = cell.prepare(params["rnn"])  # once, for many steps
carry = cell.initial_carry((64,))
for row in range(8):
    carry, h = asrnn_jax.step(cell, weights, carry, images[test[:64], row])
print(f"step by step equals the whole: {float(jnp.abs(h - hs[:, -1]).max() / jnp.abs(h).max()):.1e}")

sigma = analysis.jacobian_spectrum(cell, params["rnn"], images[test[:64]], surrogate=True)
if type(weights).__module__.endswith("cells.asrnn"):  # only asRNN has these bounds
    bounds = analysis.asrnn_bounds(cell, params["rnn"], images[test[:64]], spectrum=sigma)
    plot.spectrum(sigma, bounds=(bounds.lower, bounds.upper)).set_title("after training, row by row")
else:
    plot.spectrum(sigma).set_title("after training, row by row")

# %% [markdown]
# ## A trained network
#
# `pretrained.load` gives a cell and its params, like any other. This asRNN was trained to recall ten symbols after a
# thousand blanks. As a flax module it does so at once, and its Jacobians say why: while it waits all their singular
# values are 1, so that nothing fades. Its `D_f` has stayed so small that tanh is linear: it has chosen to be the
# orthogonal RNN.

# %%
from asrnn_jax import pretrained

memory, trained, card = pretrained.load("copy-asrnn")
print(pretrained.names())
print(f"{card['about']}: {card['parameters']:,} params, test loss {card['result']['test_loss']:.1e}, {card['date']}")

symbols = np.random.default_rng(0).integers(1, 9, size=(2, 10))
asked = np.concatenate([symbols, np.zeros((2, 1000), int), np.full((2, 1), 9), np.zeros((2, 9), int)], axis=1)
xs = np.eye(10, dtype=np.float32)[asked]
_, logits = asrnn_jax.linen.RNN(memory).apply({"params": trained}, xs)
print("asked to keep ", *symbols[0], "\nremembered    ", *np.asarray(logits[0, -10:].argmax(-1)))

sigma = analysis.jacobian_spectrum(memory, trained, xs[:1, :1010])
print(f"singular values of dh_t / dh_t-1 while it waits: {float(sigma.min()):.6f} to {float(sigma.max()):.6f}")
