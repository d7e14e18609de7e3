"""Models whose need of resets is known, and data that they can do."""

from typing import Any

import numpy as np

from asrnn_jax import audit
from asrnn_jax.streaming import oracle, periodic

CLASSES = 3


def streams(seed, *, gaps=(2, 30), number=8, kinds=("silence",)):
    """Samples of six steps, of classes 1 to 3; what is on is the class."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(1, CLASSES + 1, size=60)
    samples = np.eye(CLASSES + 1)[classes][:, None, 1:].repeat(6, axis=1) + 0.05 * rng.normal(size=(60, 6, CLASSES))
    return audit.join(samples.astype("float32"), classes, streams=number, gaps=gaps, kinds=kinds, level=0.1, seed=seed)


def with_nothing(h):
    """Logits; class 0, nothing, has a small constant one."""
    return np.concatenate([np.full_like(h[..., :1], 0.1), h], axis=-1)


def sticky(k, decay=0.5):
    """Sticks after k quiet steps in a row: then it says nothing for ever. Start: `STICKY`."""

    def step(state, x):
        h, quiet, stuck = state
        quiet = np.where(np.abs(x).max(-1) > 0.4, 0, quiet + 1)
        stuck = np.maximum(stuck, quiet >= k)
        h = np.where(stuck[..., None] > 0, 0, decay * h + x)
        return (h, quiet, stuck), with_nothing(h)

    return step


STICKY = (np.zeros(CLASSES, "float32"), np.zeros(()), np.zeros(()))


def contractive(seed, units=6):
    """A random tanh network whose recurrent matrix has norm 0.7, read out so that the input's class is said."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(units, units))
    w *= 0.7 / np.linalg.norm(w, 2)
    into = np.linalg.qr(rng.normal(size=(units, units)))[0][:CLASSES]  # so that a class can be read out again

    def step(h, x):
        h = np.tanh(h @ w + x @ into)
        return h, with_nothing(h @ into.T)

    return step, np.zeros(units, "float32")


def harmed(warm):
    """Needs so many steps before it says anything: every reset costs it."""

    def step(state, x):
        h, age = state
        h, age = 0.5 * h + x, age + 1
        return (h, age), with_nothing(np.where(age[..., None] > warm, h, 0))

    return step, (np.zeros(CLASSES, "float32"), np.zeros(()))


QUICK: dict[str, Any] = {"steps": 400, "policies": [oracle(), periodic(20)]}


def planted(seed: int) -> tuple[int, audit.Found]:
    """k of a collapse planted at random, and the audit of it."""
    k = int(np.random.default_rng(seed).integers(3, 290))
    settings = audit.Settings(pasts=(0, 10, 30, 100, 300), seed=seed)
    return k, audit.resets(sticky(k), STICKY, streams(seed), settings=settings, **QUICK)


def audited_contractive(seed: int) -> audit.Found:
    """The audit of a random contractive network."""
    step, start = contractive(seed)
    on = streams(seed, kinds=("silence", "white", "walk"))
    return audit.resets(step, start, on, settings=audit.Settings(seed=seed), **QUICK)
