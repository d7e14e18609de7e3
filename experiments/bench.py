"""One training step of a cell beside its rivals: same shapes, same process, interleaved repeats, medians."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

import asrnn_jax
from asrnn_jax.orthogonal import cayley, skew
from experiments.errors import UsageError
from experiments.report import table


@dataclass(frozen=True)
class Bench:
    """Time a training step (RMSprop, clipping) of asrnn and tanh_rnn, the naive asRNN and flax's RNN."""

    time: int = 784
    """Steps of a sequence."""
    batch: int = 128
    """Sequences."""
    hidden: int = 122
    """Hidden units."""
    repeats: int = 12
    """Timed calls of each, after one that compiles."""

    def __post_init__(self):
        for name in ("time", "batch", "hidden", "repeats"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} {getattr(self, name)}: give at least 1")


def naive_asrnn(params: dict[str, Any], xs: jax.Array) -> jax.Array:
    """The last state ``(B, H)`` of asRNN by three H x H products a step, in one `lax.scan` differentiated as it is."""
    n = params["b"].size
    W_hh, U_f = cayley(skew(params["W_hh"]["skew"], n)), cayley(skew(params["U_f"]["skew"], n))
    D_f = jnp.abs(params["D_f"]) + 0.01
    W_f, W_f_inv = U_f * D_f, U_f.T / D_f[:, None]

    def body(h, x):
        z = x @ params["W_xh"] + h @ W_hh.T + params["b"]
        return jnp.tanh(z @ W_f.T) @ W_f_inv.T, None

    return lax.scan(body, jnp.zeros((xs.shape[0], n)), jnp.swapaxes(xs, 0, 1))[0]


def rivals(config: Bench, xs: jax.Array) -> dict[str, tuple[Callable, Any]]:
    """``{name: ((params, xs) -> last state, params)}``."""
    key = jax.random.key(0)
    found: dict[str, tuple[Callable, Any]] = {}
    for name in ("asrnn", "tanh_rnn"):
        cell = asrnn_jax.cells.make(name, 1, config.hidden)
        found[name] = (partial(_last_of_ours, cell), cell.init(key))
    found["naive asrnn"] = (naive_asrnn, found["asrnn"][1])
    flax_rnn: Any = nn.RNN(nn.SimpleCell(config.hidden))
    found["flax SimpleCell"] = (lambda params, xs: flax_rnn.apply(params, xs)[:, -1], flax_rnn.init(key, xs))
    return found


def _last_of_ours(cell, params, xs):
    return asrnn_jax.run(cell, params, xs, outputs="last")[1]


def bench(config: Bench) -> str:
    """Runs the benchmark and returns its table."""
    xs = jax.random.uniform(jax.random.key(1), (config.batch, config.time, 1))
    labels = jax.random.randint(jax.random.key(2), (config.batch,), 0, 10)
    kernel = 0.1 * jax.random.normal(jax.random.key(3), (config.hidden, 10))
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.rmsprop(7e-4, decay=0.99))
    calls, seconds = {}, {}
    for name, (last, params) in rivals(config, xs).items():

        def loss(all_params, last=last):
            params, kernel = all_params
            return optax.softmax_cross_entropy_with_integer_labels(last(params, xs) @ kernel, labels).mean()

        @jax.jit
        def step(all_params, state, loss=loss):
            updates, state = optimizer.update(jax.grad(loss)(all_params), state, all_params)
            return optax.apply_updates(all_params, updates), state

        calls[name] = partial(step, (params, kernel), optimizer.init((params, kernel)))
    for repeat in range(config.repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            if repeat:
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    header = ("training step", "median ms", "min ms", "max ms", "of naive", "of flax")
    rows = [
        (
            name,
            f"{1e3 * medians[name]:.0f}",
            f"{1e3 * min(times):.0f}",
            f"{1e3 * max(times):.0f}",
            f"{medians[name] / medians['naive asrnn']:.2f}",
            f"{medians[name] / medians['flax SimpleCell']:.2f}",
        )
        for name, times in seconds.items()
    ]
    shape = f"T {config.time}, batch {config.batch}, n {config.hidden}, float32, {jax.device_count()} device(s)"
    return f"{shape}\n" + table([header, *rows])
