"""What is timed: a training step and inference, of our cells and of the same networks in other libraries.

A training step is the cross-entropy of a linear layer on the last output, its gradient and RMSprop; inference gives the
logits. Every contender computes at its own default precision: on GPUs of today TF32, in JAX, torch and cuDNN alike.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import asrnn_jax
from asrnn_jax.dtypes import precisely
from experiments.tools.baseline_networks import CLASSES, FLAX, in_linen, in_torch, naive, naive_asrnn

CELLS = ("lstm", "asrnn", "gru", "tanh_rnn")
LINEAR = ("lru", "rg_lru", "min_gru", "s6", "linoss")
CHUNKED = ("s4d", "mlstm", "gated_delta", "attention", "short_conv")
GATED = ("lem", "slstm")
CHUNKS = (64, 128, 256)
UNROLLED = (1, 4, 8, 16)
RATE, DECAY, SMALL = 1e-3, 0.99, 1e-8


class Shape(NamedTuple):
    time: int
    batch: int
    hidden: int

    def __str__(self) -> str:
        return "x".join(map(str, self))


class Subject(NamedTuple):
    """Calls block until the result is there."""

    train: Callable[[], Any]
    infer: Callable[[], Any]
    compile_s: float | None = None
    """Of the training step, tracing included."""
    memory: float | None = None
    """MiB that the training step allocates besides arguments and results, by the compiler."""
    program: str | None = None
    """The optimised program of the training step."""


class NotHereError(Exception):
    """A contender that this machine lacks; the message says what is missing."""


def contenders(name: str, shape: Shape) -> dict[str, Callable[[], Subject]]:
    """Functions that make each contender, by its name. A call compiles, and raises `NotHereError` where it cannot."""
    if name in LINEAR:
        return {method: partial(_ours, name, shape, method=method) for method in ("sequential", "associative_scan")}
    if name in CHUNKED:
        return {method: partial(_ours, name, shape, method=method) for method in ("sequential", "chunked")}
    found = {"ours": partial(_ours, name, shape), "naive scan": partial(_naive, name, shape)}
    if name in FLAX:  # asrnn is to be compared with their tanh RNN
        found |= {"flax linen": partial(_flax, name, shape), "torch": partial(_torch, name, shape)}
    if name == "lstm":
        found["jax.experimental.rnn"] = partial(_cudnn, shape)
    return found


def variants(name: str, shape: Shape) -> dict[str, Callable[[], Subject]]:
    """The same training step in other ways: lengths of chunks, or block sizes, unrolled loops, full matrix precision,
    remat."""
    if name in CHUNKED:
        chunks = {f"chunks of {k}": partial(_ours, name, shape, block=k) for k in CHUNKS if k < shape.time}
        return {"default": partial(_ours, name, shape), **chunks}
    sizes = {32, 128, shape.time} if jax.default_backend() == "cpu" else {32, 128}  # elsewhere None is all of them
    blocks = {f"block={block}": {"block": block} for block in sorted(sizes) if block <= shape.time}
    unrolled = {f"unroll={k}": {"unroll": k} for k in UNROLLED}
    options: dict[str, dict[str, Any]] = {"default": {}, **blocks, **unrolled, "remat": {"remat": True}}
    found = {label: partial(_ours, name, shape, **chosen) for label, chosen in options.items()}
    found["highest precision"] = precisely(partial(_ours, name, shape))
    return found | {f"naive, unroll={k}": partial(_naive, name, shape, unroll=k) for k in UNROLLED}


def _data(shape: Shape) -> tuple[jax.Array, jax.Array]:
    xs = jax.random.uniform(jax.random.key(1), (shape.batch, shape.time, 1), jnp.float32)
    return xs, jax.random.randint(jax.random.key(2), (shape.batch,), 0, CLASSES)


def _ours(name: str, shape: Shape, **options: Any) -> Subject:
    cell = asrnn_jax.cells.make(name, 1, shape.hidden)

    def last(params, xs):
        return asrnn_jax.run(cell, params, xs, outputs="last", **options)[1]

    return _in_jax(last, cell.init(jax.random.key(0)), shape)


def _in_jax(last: Callable[[Any, jax.Array], jax.Array], params: Any, shape: Shape) -> Subject:
    """`last` is ``(params, xs) -> last output (B, H)``."""
    xs, labels = _data(shape)
    width = jax.eval_shape(last, params, xs).shape[-1]
    everything = (params, 0.1 * jax.random.normal(jax.random.key(3), (width, CLASSES), jnp.float32))

    def logits(everything, xs):
        return last(everything[0], xs) @ everything[1]

    def loss(everything, xs, labels):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits(everything, xs)), labels[:, None], 1).mean()

    @jax.jit
    def step(everything, squares, xs, labels):
        gradient = jax.grad(loss)(everything, xs, labels)
        squares = jax.tree.map(lambda s, g: DECAY * s + (1 - DECAY) * g**2, squares, gradient)
        moved = jax.tree.map(lambda p, g, s: p - RATE * g / (jnp.sqrt(s) + SMALL), everything, gradient, squares)
        return moved, squares

    arguments = (everything, jax.tree.map(jnp.zeros_like, everything), xs, labels)
    start = time.perf_counter()
    train = step.lower(*arguments).compile()
    seconds = time.perf_counter() - start
    infer = jax.jit(logits).lower(everything, xs).compile()  # here: what is set around may not be set later
    memory: Any = train.memory_analysis()
    return Subject(
        lambda: jax.block_until_ready(train(*arguments)),
        lambda: jax.block_until_ready(infer(everything, xs)),
        seconds,
        None if memory is None else memory.temp_size_in_bytes / 2**20,
        train.as_text(),
    )


def _naive(name: str, shape: Shape, unroll: int = 1) -> Subject:
    """The equation in one `lax.scan`, inputs projected inside, differentiated as it is."""
    cell = asrnn_jax.cells.make(name, 1, shape.hidden)
    last = partial(naive_asrnn, unroll=unroll) if name == "asrnn" else partial(naive, cell, unroll=unroll)
    return _in_jax(last, cell.init(jax.random.key(0)), shape)


def _flax(name: str, shape: Shape) -> Subject:
    _needs("flax")
    return _in_jax(*in_linen(name, shape.hidden, _data(shape)[0]), shape)


def _cudnn(shape: Shape) -> Subject:
    if jax.default_backend() != "gpu":
        raise NotHereError("cuDNN is on GPUs only")
    rnn = importlib.import_module("jax.experimental.rnn")
    sizes = {"input_size": 1, "hidden_size": shape.hidden, "num_layers": 1, "bidirectional": False}
    start = jnp.zeros((1, shape.batch, shape.hidden), jnp.float32)
    lengths = jnp.full((shape.batch,), shape.time, jnp.int32)

    def last(weights, xs):
        return rnn.lstm(xs, start, start, weights, lengths, **sizes, dropout=0.0)[1][0]

    return _in_jax(last, rnn.init_lstm_weight(jax.random.key(0), *sizes.values()), shape)


def _torch(name: str, shape: Shape) -> Subject:
    _needs("torch")
    gpu = jax.default_backend() == "gpu"
    if gpu and not importlib.import_module("torch").cuda.is_available():
        raise NotHereError("this torch has no CUDA")
    xs, labels = map(np.asarray, _data(shape))
    device = "cuda" if gpu else "cpu"
    return Subject(*in_torch(name, shape.hidden, np.swapaxes(xs, 0, 1), labels, rate=RATE, decay=DECAY, device=device))


def _needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise NotHereError(f"{package} is not installed")
