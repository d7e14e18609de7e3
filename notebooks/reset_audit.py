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
# # Does your model need its resets?
#
# A network that listens for ever is right on recordings, and lost after a minute of silence. So people reset its state
# every few seconds, by guesswork. `asrnn_jax.audit` measures what resets do to *your* model on *your* streams, and says
# it in one sentence. Here is the whole way in five minutes: a model that needs resets, how often, and how to get one that
# needs none.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits

import asrnn_jax
from asrnn_jax import audit, cells, features, losses, plot, pretrained, streaming
from asrnn_jax.streaming import starts

plt.rcParams["figure.dpi"] = 70

# %% [markdown]
# ## A model that was trained as usual
#
# A GRU reads handwritten digits row by row. It is trained on single digits, each from a fresh state.

# %%
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
images, labels = digits.images[order].astype(np.float32) / 16, digits.target[order]
train, test = (images[:1400], labels[:1400]), (images[1400:], labels[1400:])
model = cells.with_output(cells.gru(8, 48), 10)
B, T = 32, 80
training = [streaming.Stream(*train, gaps=streaming.Gaps(10, 60, kinds=("silence", "white")), seed=i) for i in range(B)]


def fit(params, steps, begin=None):
    """Trains on single digits; or on windows of streams that begin in some other state, with the reset-free loss."""
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(4e-3, steps)))
    fresh = model.initial_carry((B,))
    state, memory, last = optimizer.init(params), () if begin is None else begin.init(fresh), fresh

    @jax.jit
    def step(params, state, memory, last, key, xs, ys):
        carry, memory = (fresh, ()) if begin is None else begin.draw(memory, key, last, fresh)

        def loss(params):
            after, logits = asrnn_jax.run(model, params, xs, carry=carry)
            return losses.reset_free(logits, ys, losses.has_label(ys)).mean(), after

        gradient, last = jax.grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, memory, last

    rng = np.random.default_rng(1)
    for i in range(steps):
        if begin is None:
            chosen = rng.integers(len(train[1]), size=B)
            xs, ys = train[0][chosen], np.repeat(train[1][chosen, None], 8, axis=1)
        else:
            window = streaming.windows(training, i * T, T)
            xs, ys = window.xs, window.labels
        params, state, memory, last = step(params, state, memory, last, jax.random.key(i), xs, ys)
    return params


usual = fit(model.init(jax.random.key(0)), 500)
_, logits = asrnn_jax.run(model, usual, test[0], outputs="last")
print(f"single digits: {np.mean(np.argmax(logits, -1) == test[1]):.1%} right")

# %% [markdown]
# ## The audit
#
# Streams of unseen digits, with gaps of silence between them, of 10 to 200 steps. `audit.resets` runs the model over
# them without any reset, with a reset at each true beginning (the oracle, which nobody has in practice), and every so
# many steps; it asks for single digits after longer and longer silence; and it watches the state.

# %%
streams = audit.join(*test, streams=10, gaps=(10, 200))
settings = audit.Settings(pasts=(0, 10, 30, 100, 300), every=(10, 30, 100, 300))
found = audit.resets(model, usual, streams, steps=3000, settings=settings)
print(found.verdict)

# %%
_ = plot.audit(found)

# %% [markdown]
# The verdict names what helps and how much, with an interval, and after how much silence the model is lost. All numbers
# are in `found.table()`, what the verdict rests on in `found.verdict.rests_on`.

# %%
for line in found.verdict.rests_on:
    print("-", line)

# %% [markdown]
# ## The remedy
#
# The model fails because training never visited the states that long streams reach. So it goes on with training for a
# while from such states: `starts.mixture()` begins a window in its own stream's last state, in another stream's, in noise
# like them, or afresh. The reset-free loss asks for the digit in digits and for "don't know" in gaps.

# %%
covered = fit(usual, 500, starts.mixture())
again = audit.resets(model, covered, streams, steps=3000, settings=settings)
print(again.verdict)

# %%
figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
for name, each, colour in (("as usual", found, plot.COLOURS[1]), ("from states of streams", again, plot.COLOURS[0])):
    silence = each.gaps[0]
    ax.plot(np.maximum(silence.lengths, 3), 100 * silence.score, "o-", color=colour, label=f"trained {name}")
ax.set(xscale="log", xlabel="steps of silence before a digit (3: none)", ylabel="right, %", ylim=(0, 100))
_ = ax.legend(frameon=False)

# %% [markdown]
# ## On real sound
#
# `voice-gru` was made in this way: a voice detector of some 20,000 parameters, trained on four speakers of spoken digits
# and tested for an hour, never reset, on two others. Its card has what came out, and what it is not good for. The audit
# of it, and of a detector that others made and that collapses, is in `experiments/results/audit`.

# %%
voice, params, card = pretrained.load("voice-gru")
print(card["about"])
print({name: round(value, 3) for name, value in card["result"].items()})
print(card["limits"])

# %% [markdown]
# No recording comes with this package. So here is ten minutes of silence and noise with a made voice once a minute: pulses
# of 120 Hz through three resonances, as of an open mouth. The detector runs through it without a reset.

# %%
rate, rng = card["features"]["rate"], np.random.default_rng(0)


def vowel(seconds=0.4, pitch=120, formants=((700, 80), (1200, 90), (2600, 120))):
    t, pulses = np.arange(int(seconds * rate)) / rate, np.zeros(int(seconds * rate))
    pulses[:: rate // pitch] = 1
    for f, width in formants:
        ring = np.exp(-np.pi * width * t) * np.sin(2 * np.pi * f * t)
        pulses = np.convolve(pulses, ring)[: len(t)]
    return 0.1 * np.hanning(len(t)) ** 0.5 * pulses / pulses.std()


sound = np.zeros(600 * rate, np.float32)
sound[300 * rate :] += rng.normal(scale=0.003, size=300 * rate)  # five minutes of silence, then five of noise
for minute in range(10):
    at = int((60 * minute + 40) * rate)
    sound[at : at + int(0.4 * rate)] += vowel()

xs = features.of(card)(sound, rate)  # 62.5 steps a second
session = streaming.Session(voice, params)
said = np.array([session.push(piece).max() for piece in np.split(xs, 300)])  # the largest of each 2 s
print(f"speech in the 2 s from {(2 * np.flatnonzero(said > 0)).tolist()} on")

# %%
figure, ax = plt.subplots(figsize=(7, 2.2), layout="constrained")
ax.plot(2 * np.arange(300), said, lw=0.8, color=plot.COLOURS[0])
ax.axhline(0, color="0.6", lw=0.8)
_ = ax.set(xlabel="second; noise from 300 on", ylabel="output, speech above 0")

# %% [markdown]
# Each voice is found, after minutes of silence as after minutes of noise. Where the noise begins at once, at 300 s, it is
# taken for a voice: training had no such edge.

# %% [markdown]
# The same for your own model, from the command line, with a folder of WAV files or a table:
#
#     python -m asrnn_jax audit detector.onnx --data recordings --chunk 256 --constants sr=8000 --context 32
