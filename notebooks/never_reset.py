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
# # Never reset again
#
# A recurrent network on an endless stream drifts to where it no longer responds, so people reset it. For that one has to
# know where one thing ends and the next begins. *Never Reset Again* ([arXiv:2412.15983](https://arxiv.org/abs/2412.15983))
# trains so that no reset is needed: cross-entropy where there is something to say, and where there is not, the
# Kullback-Leibler divergence to the uniform distribution, "don't know":
#
# $$L = \sum_t m_t\, \mathrm{CE}(y_t, p_t) + w\,(1 - m_t)\, \mathrm{KL}(u \,\|\, p_t)$$
#
# Here a GRU reads handwritten digits, row by row, as a stream: digits joined by random gaps of silence or noise, with no
# marked boundary. It is trained in three ways, and then runs without ever being reset.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits

import asrnn_jax
from asrnn_jax import cells, losses, plot, streaming

plt.rcParams["figure.dpi"] = 80

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
images, labels = digits.images[order].astype(np.float32) / 16, digits.target[order]
train, test = (images[:1400], labels[:1400]), (images[1400:], labels[1400:])
model = cells.with_output(cells.make("gru", 8, 64), 10)  # any cell of cells.CELLS

# %% [markdown]
# ## A stream
#
# Any window of it can be asked for; the same seed gives the same stream.

# %%
gaps = streaming.Gaps(10, 60, kinds=("silence", "white", "walk", "clicks"))
streams = [streaming.Stream(*train, gaps=gaps, seed=i) for i in range(32)]
window = streaming.windows(streams, start=0, steps=200)
plot.stream(window.xs[0], np.full((200, 10), 0.1), labels=window.labels[0], informative=window.informative[0])

# %% [markdown]
# ## Three ways to train
#
# * **separate**: cross-entropy on single digits, each from a fresh state, as is usual;
# * **ignored**: streams, the state carried from window to window, cross-entropy on digits, nothing asked of the gaps;
# * **full**: the same, and "don't know" in the gaps, with a weight that sets itself so that the entropy in gaps is 99 %
#   of the largest.


# %%
def fit(regime, steps=600, length=100):
    params = model.init(jax.random.key(0))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(3e-3, steps)))
    dual = losses.entropy_target(0.99)
    state, control, carry = optimizer.init(params), dual.init(), model.initial_carry((32,))

    @jax.jit
    def step(params, state, control, carry, xs, ys):
        m = losses.has_label(ys)

        def loss(params):
            after, logits = asrnn_jax.run(model, params, xs, carry=carry)
            weight = jnp.exp(control.log_weight) if regime == "full" else 0.0
            return losses.reset_free(logits, ys, m, weight=weight).mean(), (after, losses.gap_entropy(logits, m))

        (_, (after, entropy)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state, params)
        _, control = dual.update(entropy, control)
        return optax.apply_updates(params, updates), state, control, after, entropy

    rng, entropies = np.random.default_rng(1), []
    for i in range(steps):
        if regime == "separate":
            chosen = rng.integers(len(train[1]), size=32)
            xs, ys = train[0][chosen], np.repeat(train[1][chosen, None], 8, axis=1)
            carry = model.initial_carry((32,))
        else:
            window = streaming.windows(streams, i * length, length)
            xs, ys = window.xs, window.labels
        params, state, control, carry, entropy = step(params, state, control, carry, xs, ys)
        entropies.append(float(entropy))
    return params, np.array(entropies)


trained = {regime: fit(regime) for regime in ("separate", "ignored", "full")}

# %% [markdown]
# ## Running for ever, with and without resets
#
# A `Session` takes the stream in chunks of any size. Ten streams of unseen digits; accuracy at the last row of each. The
# oracle resets at the true beginning of every digit, which nobody knows in practice.


# %%
def run_on(params, policy, gaps, steps=3000):
    tests = [streaming.Stream(*test, gaps=gaps, seed=1000 + i) for i in range(10)]
    session = streaming.Session(model, params, batch=(10,), policy=policy)
    windows, outputs = [], []
    for start in range(0, steps, 500):
        windows.append(streaming.windows(tests, start, 500))
        outputs.append(np.asarray(session.push(windows[-1].xs, boundary=windows[-1].starts)))
    window = streaming.Window(*(np.concatenate(leaves, axis=1) for leaves in zip(*windows)))
    return window, np.concatenate(outputs, axis=1)


conditions = {
    "as in training": gaps,
    "gaps 20 times longer": streaming.Gaps(200, 1200, kinds=gaps.kinds),
    "noise of another kind": streaming.Gaps(10, 60, kinds=("uniform", "hum")),
}
print(f"{'trained':10s} {'stream':24s} {'no reset':>9s} {'oracle':>9s} {'entropy in gaps':>17s}")
for regime, (params, _) in trained.items():
    for name, kind in conditions.items():
        found = []
        for policy in (streaming.never(), streaming.oracle()):
            window, logits = run_on(params, policy, kind)
            found.append((logits.argmax(-1) == window.labels)[window.ends].mean())
            if policy is streaming.never():
                quiet = losses.entropy_share(logits)[window.labels < 0].mean()
        print(f"{regime:10s} {name:24s} {found[0]:9.1%} {found[1]:9.1%} {quiet:17.1%}")

# %% [markdown]
# * Trained on **separate** digits, the network needs the oracle. Without resets it collapses.
# * Trained on streams it needs no reset, also with gaps **ignored**: this baseline is strong, and what keeps the accuracy is
#   the stream in training.
# * The **full** objective adds calibrated silence: in gaps the network says that it does not know.
#
# That silence can be seen. Below, the same stream for the last two.

# %%
for regime in ("ignored", "full"):
    window, logits = run_on(trained[regime][0], streaming.never(), gaps, 500)
    p = np.asarray(jax.nn.softmax(logits[0]))
    plot.stream(window.xs[0, :300], p[:300], labels=window.labels[0, :300], informative=window.informative[0, :300])
    plt.suptitle(regime, fontsize=10)

# %% [markdown]
# ## Watching a running session
#
# `reference` takes statistics of the training streams. A session with it reads its monitors every so many steps: norm of
# the state, saturated units, entropy in gaps, drift of the input. Here the sensor breaks after 2,000 steps: its values
# are shifted. The monitors say so, and the fallback policy takes over.

# %%
params = trained["full"][0]
long = streaming.windows(streams, 0, 2000)
reference = streaming.reference(model, params, long.xs, long.informative)
session = streaming.Session(model, params, reference=reference, fallback=streaming.periodic(30), monitor_every=100)
stream = streaming.Stream(*test, gaps=gaps, seed=7)
norms = []
for start in range(0, 4000, 100):
    xs = stream.window(start, 100).xs + (2.0 if start >= 2000 else 0.0)
    session.push(xs)
    norms.append((session.readings.drift, session.readings.gap_entropy))
for event in session.events:
    print(event)
plot.learning_curves(
    {
        "drift, standard deviations": (np.arange(100, 4001, 100), [n[0] for n in norms]),
        "entropy in gaps": (np.arange(100, 4001, 100), [n[1] for n in norms]),
    },
    y_label="reading",
    baseline=("drift trips", session.limits.drift),
)
