"""Training of a voice detector on streams of `experiments.data.rooms`.

The network has one output z: speech, where z is large. Its logits are (0, z), nothing and speech. Recipes:

- reset-free: windows start from states that a running network visits (`asrnn_jax.streaming.starts.mixture`), and the
  reset-free objective asks for "speech" in words and for "don't know" elsewhere.
- covered: the same windows; cross-entropy, "nothing" where nobody speaks.
- usual: every window starts from a fresh state; cross-entropy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

import asrnn_jax
from asrnn_jax import losses
from asrnn_jax.streaming import starts
from experiments.data.rooms import FEATURES, Room, featured, heard
from experiments.tools.voice_measures import KNOWN

Recipe = Literal["reset-free", "covered", "usual"]
STREAMS, WINDOW = 32, 128  # steps of 16 ms
GAPS = (0.3, 5.0)
STAY = 20.0  # seconds in one room
TARGET = 0.99  # entropy in gaps
NOISY = Room("noise", (-65.0, -28.0), (0.0, 2.0))
ROOMS = (Room("silence"), NOISY, NOISY, NOISY._replace(sounds=KNOWN), Room("sounds", sounds=KNOWN))


def arguments(cell: str, hidden: int) -> dict[str, Any]:
    """Of the network, as `asrnn_jax.pretrained.save` takes them."""
    return {"cell": cell, "inputs": FEATURES["bands"], "hidden": hidden, "outputs": 1}


def streams(recordings: Sequence[np.ndarray], seconds: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features ``(B, T, bands)``, in half precision, and labels ``(B, T)``, 1 in words, else 0; T whole windows."""
    xs, labels = [], []
    for i in range(STREAMS):
        each = heard(recordings, ROOMS, seconds=seconds, gaps=GAPS, stay=STAY, seed=(1000 + seed, i))
        steps = len(each.speech) // WINDOW * WINDOW
        xs.append(featured(each.sound)[:steps].astype(np.float16))
        labels.append(each.speech[:steps].astype(np.int32))
    return np.stack(xs), np.stack(labels)


def fit(
    recipe: Recipe, model: Any, xs: np.ndarray, labels: np.ndarray, *, steps: int, seed: int
) -> tuple[Any, list[float]]:
    """The trained params, and the loss of each step. Streams begin again where they end, with the state as it is."""
    begin = starts.zero() if recipe == "usual" else starts.mixture()
    dual = losses.entropy_target(TARGET)
    schedule = optax.cosine_decay_schedule(4e-3, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    params = model.init(jax.random.key(seed))

    def loss(params, carry, weight, x, y):
        last, z = asrnn_jax.run(model, params, x, carry=carry)
        logits = jnp.concatenate([jnp.zeros_like(z), z], axis=-1)
        m = y.astype(jnp.float32) if recipe == "reset-free" else jnp.ones(y.shape, jnp.float32)
        each = losses.reset_free(logits, y, m, weight=jnp.exp(weight.log_weight))
        return each.mean(), (last, losses.gap_entropy(logits, m))

    @jax.jit
    def step(params, state, memory, last, weight, key, x, y):
        fresh = model.start(model.prepare(params), (STREAMS,), jnp.float32)
        carry, memory = begin.draw(memory, key, last, jax.lax.stop_gradient(fresh))
        (value, (last, entropy)), gradient = jax.value_and_grad(loss, has_aux=True)(params, carry, weight, x, y)
        updates, state = optimizer.update(gradient, state, params)
        weight = dual.update(entropy, weight)[1] if recipe == "reset-free" else weight
        return optax.apply_updates(params, updates), state, memory, last, weight, value

    fresh = model.start(model.prepare(params), (STREAMS,), jnp.float32)
    state, memory, last, weight, found = optimizer.init(params), begin.init(fresh), fresh, dual.init(), []
    keys = jax.random.split(jax.random.key(1000 + seed), steps)
    for i in range(steps):
        at = i * WINDOW % xs.shape[1]
        x, y = xs[:, at : at + WINDOW].astype(np.float32), labels[:, at : at + WINDOW]
        params, state, memory, last, weight, value = step(params, state, memory, last, weight, keys[i], x, y)
        found.append(float(value))
    return params, found


def shifted(params: Any, threshold: float) -> Any:
    """The params of the network whose output is larger than 0 where it was larger than `threshold` before."""
    return params | {"output": params["output"] | {"bias": params["output"]["bias"] - threshold}}
