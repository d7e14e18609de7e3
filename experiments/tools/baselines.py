"""What the benchmark times: our cells, other networks from `baseline_networks`, and the matrix products alone."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

import asrnn_jax
from asrnn_jax import parallel
from asrnn_jax.cell import Cell
from experiments import machine
from experiments.tools.baseline_networks import CLASSES, FLAX, TORCH, Outputs, in_linen, in_torch, naive, naive_asrnn

RATE, DECAY, CLIP = 7e-4, 0.99, 10.0

STANDS_FOR = {"asrnn": "tanh_rnn"}  # what to compare with where a library lacks the cell
Baseline = Literal["naive", "flax", "nnx", "torch"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)


class Shape(NamedTuple):
    time: int
    batch: int
    hidden: int
    inputs: int = 1


class Subject(NamedTuple):
    """Something to time. Calls block until the result is there."""

    train: Callable[[], Any]
    """A training step: cross-entropy of an output layer on the last state or on all, gradient, clipping, RMSprop."""
    infer: Callable[[], Any]
    """The logits alone."""
    memory: float | None = None
    """MiB of temporary memory of the training step, by the compiler."""
    compiling: float | None = None
    """Seconds to trace and compile the training step."""


def subjects(name: str, shape: Shape, against: tuple[str, ...], outputs: Outputs = "last") -> dict[str, Subject]:
    """Ours (on all cores, and on one device), the baselines that have such a cell, and the matrix products alone.

    With all outputs, the case of a layer in a Flax model: ours on one device alone, and asRNN also with the outputs g
    (``readout="carry"``), which a layer behind it can take as they are.
    """
    cell = asrnn_jax.cells.make(name, shape.inputs, shape.hidden)
    params, xs, labels = cell.init(jax.random.key(0)), *data(shape)
    devices = machine.shards(shape.batch, shape.batch * shape.time * asrnn_jax.optim.count(params))
    devices = devices if outputs == "last" else 1

    def of(cell):
        return lambda params, xs: asrnn_jax.run(cell, params, xs, outputs=outputs)[1]

    found = {"ours": in_jax(of(cell), params, xs, labels, devices)}
    if devices > 1:
        found["ours, one device"] = in_jax(of(cell), params, xs, labels, 1)
    if outputs == "all" and name == "asrnn":
        layer = asrnn_jax.cells.asrnn(shape.inputs, shape.hidden, readout="carry")
        found["ours, g"] = in_jax(of(layer), params, xs, labels, 1)
    for baseline in against:
        subject = _baseline(baseline, name, cell, params, xs, labels, outputs)
        if subject is not None:
            found[baseline] = subject
    if products(cell):
        found["limit"] = limit(products(cell), shape, devices)
    return found


def data(shape: Shape) -> tuple[jax.Array, jax.Array]:
    xs = jax.random.uniform(jax.random.key(1), (shape.batch, shape.time, shape.inputs))
    return xs, jax.random.randint(jax.random.key(2), (shape.batch,), 0, CLASSES)


def installed(baseline: str) -> bool:
    return baseline != "torch" or importlib.util.find_spec("torch") is not None


def _baseline(
    baseline: str, name: str, cell: Cell, params: Any, xs: jax.Array, labels: jax.Array, outputs: Outputs
) -> Subject | None:
    stand_in = STANDS_FOR.get(name, name)
    if baseline == "naive":
        equation = naive_asrnn if name == "asrnn" else partial(naive, cell)
        return in_jax(partial(equation, outputs=outputs), params, xs, labels, 1)
    if baseline == "torch":
        there = stand_in in TORCH and installed("torch")
        return _in_torch(stand_in, xs, labels, cell.hidden, outputs) if there else None
    if stand_in not in FLAX:
        return None
    if baseline == "flax":
        return in_jax(*in_linen(stand_in, cell.hidden, xs, outputs), xs, labels, 1)
    if not hasattr(nnx, FLAX[stand_in]):
        return None
    kind = getattr(nnx, FLAX[stand_in])
    model = nnx.RNN(kind(cell.inputs, cell.hidden, rngs=nnx.Rngs(0)))
    graph, weights, others = nnx.split(model, nnx.Param, ...)

    def ys(weights, xs):
        model: Any = nnx.merge(graph, weights, others)
        start = jax.tree.map(jnp.zeros_like, jax.eval_shape(lambda: carry_of(len(xs))))
        found = model(xs, initial_carry=start)
        return found if outputs == "all" else found[:, -1]

    def carry_of(batch):
        return model.cell.initialize_carry((batch, cell.inputs), nnx.Rngs(0))

    return in_jax(ys, weights, xs, labels, 1)


def in_jax(ys: Callable, params: Any, xs: jax.Array, labels: jax.Array, devices: int) -> Subject:
    """`ys` is ``(params, xs) -> outputs (B, H) or (B, T, H)``; the batch is shared among that many devices."""
    *_, hidden = shape = jax.eval_shape(ys, params, xs).shape
    labels = labels if len(shape) == 2 else jnp.broadcast_to(labels[:, None], shape[:-1])
    everything = (params, 0.1 * jax.random.normal(jax.random.key(3), (hidden, CLASSES)))
    optimizer = optax.chain(optax.clip_by_global_norm(CLIP), optax.rmsprop(RATE, decay=DECAY))

    def logits(everything, xs):
        return ys(everything[0], xs) @ everything[1]

    def loss(everything, batch):
        xs, labels = batch
        return optax.softmax_cross_entropy(logits(everything, xs), jax.nn.one_hot(labels, CLASSES)).mean()

    gradient = parallel.shared(jax.grad(loss), devices)
    infer = jax.jit(parallel.shared(logits, devices, parallel.gathered))

    @jax.jit
    def step(everything, state, batch):
        updates, state = optimizer.update(gradient(everything, batch), state, everything)
        return optax.apply_updates(everything, updates), state

    start = time.perf_counter()
    arguments = (everything, optimizer.init(everything), (xs, labels))
    compiled = step.lower(*arguments).compile()
    seconds = time.perf_counter() - start
    return Subject(
        lambda: jax.block_until_ready(step(*arguments)),
        lambda: jax.block_until_ready(infer(everything, xs)),
        temporary_MiB(compiled),
        seconds,
    )


def _in_torch(name: str, xs: jax.Array, labels: jax.Array, hidden: int, outputs: Outputs) -> Subject:
    data = np.swapaxes(np.array(xs), 0, 1), np.array(labels)
    return Subject(*in_torch(name, hidden, *data, rate=RATE, decay=DECAY, clip=CLIP, outputs=outputs))


def temporary_MiB(compiled: Any) -> float:
    """MiB that a compiled function allocates besides its arguments and results."""
    return compiled.memory_analysis().temp_size_in_bytes / 2**20


def products(cell: Cell) -> int:
    """Number of H x H matrices that a step multiplies the state with."""
    weights = jax.eval_shape(lambda key: cell.prepare(cell.init(key)), jax.random.key(0))
    carry = jax.eval_shape(lambda: cell.initial_carry((1,)))
    dots = [eqn for eqn in jax.make_jaxpr(cell.mix)(weights, carry).eqns if eqn.primitive.name == "dot_general"]
    sizes = [math.prod(eqn.invars[1].aval.shape) for eqn in dots]  # pyright: ignore[reportAttributeAccessIssue]
    return round(sum(sizes) / cell.hidden**2)


def limit(number: int, shape: Shape, devices: int) -> Subject:
    """The recurrent products of a step and nothing else: `number` H x H matrices, forward, backward, weight gradients.

    Products with the state follow each other step by step; weight gradients are taken eight steps at once, in cache.
    """
    steps, batch, n = shape.time, shape.batch, shape.hidden
    block = next(b for b in (8, 7, 4, 2, 1) if steps % b == 0)
    Ws = [jax.random.orthogonal(jax.random.key(i), n) for i in range(number)]
    start = jax.random.normal(jax.random.key(number), (batch, n))

    def forward(Ws, ys):
        return lax.scan(lambda ys, _: ([y @ W for y, W in zip(ys, Ws)], None), [ys] * number, None, length=steps)[0]

    def everything(Ws, ys):
        ends = forward(Ws, ys)
        deltas = forward([W.T for W in Ws], ends[0])
        rows = [(jnp.tile(y, (block, 1)), jnp.tile(d, (block, 1))) for y, d in zip(ends, deltas)]

        def body(sums, _):  # each depends on the one before, or the compiler would take it out of the loop
            return [s + (y + s[:1, :1]).T @ d for s, (y, d) in zip(sums, rows)], None

        return lax.scan(body, [jnp.zeros((n, n))] * number, None, length=steps // block)[0]

    train = jax.jit(parallel.shared(everything, devices, parallel.total))
    infer = jax.jit(parallel.shared(forward, devices, parallel.gathered))
    return Subject(lambda: jax.block_until_ready(train(Ws, start)), lambda: jax.block_until_ready(infer(Ws, start)))
