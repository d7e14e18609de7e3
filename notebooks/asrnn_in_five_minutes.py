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
# # asRNN in five minutes
#
# The adaptive-saturated RNN ([arXiv:2304.11790](https://arxiv.org/abs/2304.11790)) is
#
# $$h_t = W_f^{-1} \tanh\big( W_f\, ( W_{xh} x_t + W_{hh} h_{t-1} + b ) \big), \qquad W_f = U_f D_f$$
#
# with orthogonal $W_{hh}$ and $U_f$ and a positive diagonal $D_f$. What $D_f$ does is the whole idea:
#
# * $D_f$ small: tanh stays in its linear part. The cell is the linear orthogonal RNN, whose gradients neither vanish nor
#   explode, but which can compute little.
# * $D_f$ large: the units saturate. The cell can compute, and forgets.
#
# $D_f$ is trained, so the network chooses. This notebook shows both limits in the singular values of
# $\partial h_t / \partial h_{t-1}$.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import asrnn_jax
from asrnn_jax import analysis, cells, plot

plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## A cell is a record of pure functions

# %%
cell = cells.asrnn(inputs=1, hidden=64)
params = cell.init(jax.random.key(0))  # a dict of arrays: what is trained
jax.tree.map(jnp.shape, params)

# %%
xs = jax.random.normal(jax.random.key(1), (8, 200, 1))  # (batch, time, inputs)
carry, ys = asrnn_jax.run(cell, params, xs)  # like lax.scan: the last carry, all outputs
ys.shape

# %% [markdown]
# It is the paper's equation. Here it is once more, written as it stands there, and compared.

# %%
weights = cell.prepare(params)  # the Cayley transforms, once
W_f = weights.W_f
W_hh = jnp.linalg.inv(W_f) @ weights.M.T @ W_f  # the loop keeps g = W_f h, in which M = W_f W_hh W_f^-1


def equation(h, x):
    h = jnp.linalg.inv(W_f) @ jnp.tanh(W_f @ (params["W_xh"].T @ x + W_hh @ h + params["b"]))
    return h, h


_, naive = jax.lax.scan(equation, jnp.zeros(64), xs[0])
print("largest difference    ", float(jnp.abs(naive - ys[0]).max()))
print("orthogonality of W_hh ", float(analysis.orthogonality_error(W_hh)))

# %% [markdown]
# ## The two limits, seen in the spectrum
#
# The same cell and the same input, with $D_f$ from 0.01 to 3. A singular value of 1 passes a gradient on unchanged; one
# near 0 forgets. Dashed: the interval that the equation allows, $\kappa(D_f) = \max D_f / \min D_f$ times the largest
# slope of tanh, and the smallest slope over $\kappa(D_f)$.

# %%
limits = {}
figure, axes = plt.subplots(1, 4, figsize=(14, 3.4), sharey=True, layout="constrained")
for ax, d in zip(axes, (0.01, 0.3, 1.0, 3.0)):
    cell = cells.asrnn(1, 64, a=0.8 * d, b=1.2 * d, eps=1e-4)  # D_f between 0.8 d and 1.2 d
    params = cell.init(jax.random.key(0))
    sigma = analysis.jacobian_spectrum(cell, params, xs)
    bounds = analysis.asrnn_bounds(cell, params, xs, spectrum=sigma)
    assert bounds.inside == 1  # all of them, or it is a bug
    plot.spectrum(sigma, bounds=(bounds.lower, bounds.upper), ax=ax)
    ax.set_title(f"$D_f$ about {d:g}")
    ax.set_yscale("log")
    limits[f"$D_f$ about {d:g}"] = (cell, params)
for ax in axes[1:]:
    ax.get_legend().remove()
    ax.set_ylabel("")

# %% [markdown]
# On the left the linear orthogonal RNN: every singular value is 1, at every step. To the right tanh bends, and damps some
# directions at every step. What that does over many steps is the product of these Jacobians,
# $\partial h_t / \partial h_0$. Its singular values leave the range of floating point, so they are kept in logarithms.

# %%
spans = [1, 2, 5, 10, 20, 50, 100, 200]
ax = plot.temporal_spectrum(
    spans, {name: analysis.temporal_spectrum(c, p, xs[0], 0, spans) for name, (c, p) in limits.items()}
)
ax.set_title("what is left of $h_0$: median, largest, all (band)")
# %% [markdown]
# And that is what a gradient sees on its way back.

# %%
curves = {name: analysis.gradient_norms(c, p, xs, lambda ys: ys[-1].sum()) for name, (c, p) in limits.items()}
plot.gradient_reach(curves).set_title("how far the gradient of the last output reaches")
# %% [markdown]
# Saturation itself, unit by unit: dark is saturated.

# %%
figure, axes = plt.subplots(1, 2, figsize=(12, 3.4), layout="constrained")
for ax, name in zip(axes, list(limits)[1::2]):
    c, p = limits[name]
    tanh = analysis.saturation(c, p, xs[0])["tanh"]
    plot.saturation_map(tanh.slope, label="slope of tanh", ax=ax).set_title(
        f"{name}: {100 * tanh.saturated.mean():.0f} % saturated"
    )

# %% [markdown]
# ## Where to go from here
#
# * Put another cell's name in: `cells.make("lstm", 1, 64)`. Everything above works on any of
#   `list(cells.CELLS)` (the bounds are asRNN's own).
# * [jacobian_spectra](jacobian_spectra.ipynb): what training does to these spectra, and why one cell learns and another
#   does not.
# * [reuse_in_flax](reuse_in_flax.ipynb): these cells inside a Flax model of your own.
