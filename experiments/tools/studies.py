"""Further measurements of the benchmark: growth, linear cells, rematerialisation, streaming, start-up."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import asrnn_jax
from asrnn_jax.cell import Cell
from asrnn_jax.streaming import Session
from experiments.report.drawing import pyplot, save
from experiments.report.tables import table
from experiments.tools.baselines import Shape, subjects, temporary_MiB
from experiments.tools.timing import interleaved


def studies(out: Path) -> tuple[dict[str, Any], list[str]]:
    """Carries out all of them and draws a figure into `out`: ``(results, texts)``."""
    found = {f.__name__: f() for f in (growth, linear, rematerialisation, streaming, start_up)}
    draw_growth(found["growth"][0], out / "growth.png")
    return {name: result for name, (result, _) in found.items()}, [text for _, text in found.values()]


def medians(calls: dict[Any, Any], repeats: int, warm: int = 1) -> dict[Any, float]:
    return {name: float(np.median(times)) for name, times in interleaved(calls, repeats, warm).items()}


def gradient_of(cell, params, xs, **options):
    """A jitted gradient of the last output, compiled, and its temporary memory in MiB."""
    f = jax.jit(jax.grad(lambda p: asrnn_jax.run(cell, p, xs, outputs="last", **options)[1].sum()))
    compiled = f.lower(params).compile()
    return lambda: jax.block_until_ready(compiled(params)), temporary_MiB(compiled)


def growth() -> tuple[Any, str]:
    """The training step of asRNN against T, B and n, the other two fixed."""
    base = {"time": 512, "batch": 64, "hidden": 128}
    points = {"time": (128, 256, 512, 1024, 2048), "batch": (16, 32, 64, 128, 256), "hidden": (32, 64, 128, 256, 512)}
    shapes = {(name, value): Shape(**{**base, name: value}) for name, values in points.items() for value in values}
    calls = {key: subjects("asrnn", shape, ())["ours"].train for key, shape in shapes.items()}
    found = medians(calls, 5)
    result = {name: [(value, 1000 * found[name, value]) for value in values] for name, values in points.items()}
    rows: list[tuple[str, ...]] = [
        ("asRNN, growing", "fixed", "milliseconds a training step", "exponent of the last doubling")
    ]
    for name, curve in result.items():
        fixed = ", ".join(f"{key} {value}" for key, value in base.items() if key != name)
        text = ", ".join(f"{value}: {ms:.1f}" for value, ms in curve)
        rows.append((name, fixed, text, f"{np.log2(curve[-1][1] / curve[-2][1]):.2f}"))
    return result, table(rows)


def linear() -> tuple[Any, str]:
    """Linear cells one step after the other and by associative scan."""
    rows: list[tuple[str, ...]] = [
        ("linear cell, T 784, B 32, n 128", "sequential ms", "parallel ms", "parallel / sequential", "auto takes")
    ]
    result = {}
    for name in ("lru", "s5", "rg_lru", "min_gru", "min_lstm"):
        cell = asrnn_jax.cells.make(name, 4, 128)
        params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (32, 784, 4))
        calls = {method: gradient_of(cell, params, xs, method=method)[0] for method in METHODS}
        found = medians(calls, 7)
        auto = METHODS[jax.default_backend() != "cpu"]
        result[name] = {method: 1000 * seconds for method, seconds in found.items()}
        ratio = found["associative_scan"] / found["sequential"]
        times = (f"{1000 * found[method]:.1f}" for method in METHODS)
        rows.append((name, *times, f"{ratio:.1f}", auto))
    return result, table(rows)


def rematerialisation() -> tuple[Any, str]:
    """Temporary memory and time of the gradient of a long LSTM, and a million steps of inference."""
    cell = asrnn_jax.cells.lstm(8, 256)
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (16, 16384, 8))
    ways: dict[str, dict[str, Any]] = {
        "fused": {},
        "fused, remat": {"remat": True},
        "autodiff": {"gradient": "autodiff"},
        "autodiff, remat": {"gradient": "autodiff", "remat": True},
    }
    compiled = {name: gradient_of(cell, params, xs, **options) for name, options in ways.items()}
    seconds = medians({name: call for name, (call, _) in compiled.items()}, 3)
    header = ("LSTM, T 16384, B 16, n 256", "temporary MiB", "of fused", "seconds", "of fused")
    rows: list[tuple[str, ...]] = [header]
    result: dict[str, Any] = {}
    for name, (_, memory) in compiled.items():
        result[name] = {"temporary_MiB": memory, "seconds": seconds[name]}
        shares = f"{memory / compiled['fused'][1]:.3f}", f"{seconds[name] / seconds['fused']:.2f}"
        rows.append((name, f"{memory:.0f}", shares[0], f"{seconds[name]:.2f}", shares[1]))
    result["million"] = {steps: _inference_memory(steps) for steps in (10**4, 10**5, 10**6)}
    memory = ", ".join(f"{steps:,} steps {value:.1f}" for steps, value in result["million"].items())
    return result, table(rows) + f"\n\nInference, LSTM, B 1, n 64, last output, temporary MiB besides xs: {memory}"


def _inference_memory(steps: int) -> float:
    cell = asrnn_jax.cells.lstm(1, 64)
    params, xs = cell.init(jax.random.key(0)), jnp.ones((steps, 1, 1))
    f = jax.jit(lambda p, xs: asrnn_jax.run(cell, p, xs, outputs="last", time_major=True)[1])
    compiled = f.lower(params, xs).compile()
    assert np.isfinite(np.asarray(compiled(params, xs))).all()
    return temporary_MiB(compiled)


def streaming() -> tuple[Any, str]:
    """`step` and `Session.push` of one input beside the cell's own functions under jit, and of 100 beside `run`."""
    pairs = (("bare", "step"), ("bare", "push"), ("bare 100", "run 100"), ("run 100", "push 100"))
    header = "streaming, B 1, n 128|bare us|step|ratio|push|ratio|bare 100 us|run 100|ratio|push 100|ratio to run"
    rows: list[tuple[str, ...]] = [tuple(header.split("|"))]
    result = {}
    for name in ("tanh_rnn", "asrnn", "gru", "lstm", "lru"):
        found = result[name] = _streaming(asrnn_jax.cells.make(name, 4, 128))
        cells = [name]
        for base, ours in pairs:
            cells += [f"{found[base]:.1f}"] if ours in ("step", "run 100") else []
            cells += [f"{found[ours]:.1f}", f"{found[ours] / found[base]:.2f}"]
        rows.append(tuple(cells))
    return result, table(rows)


def _streaming(cell: Cell) -> dict[str, float]:
    """Microseconds of each way to push one input, or a chunk of 100."""
    weights, x, chunk = cell.prepare(cell.init(jax.random.key(0))), jnp.ones((1, 4)), jnp.ones((1, 100, 4))

    @jax.jit
    def bare(weights, carry, x):
        carry = cell.step(weights, carry, cell.project(weights, x))
        return carry, cell.readout(weights, carry, x)

    @jax.jit
    def bare_chunk(weights, carry, chunk):
        xs = jnp.swapaxes(chunk, 0, 1)
        body = lambda c, z: (cell.step(weights, c, z),) * 2  # noqa: E731
        end, carries = lax.scan(body, carry, cell.project(weights, xs))
        return end, jnp.swapaxes(cell.readout(weights, carries, xs), 0, 1)

    session = Session(cell, weights, batch=(1,))
    one, many = np.ones((1, 1, 4), np.float32), np.ones((1, 100, 4), np.float32)  # as a sensor's driver gives them

    pushes: dict[str, tuple[Any, int]] = {
        "bare": (lambda carry: bare(weights, carry, x), 300),
        "step": (lambda carry: asrnn_jax.step(cell, weights, carry, x), 300),
        "bare 100": (lambda carry: bare_chunk(weights, carry, chunk), 30),
        "run 100": (lambda carry: asrnn_jax.run(cell, weights, chunk, carry=carry), 30),
        "push": (lambda carry: (carry, session.push(one)), 300),
        "push 100": (lambda carry: (carry, session.push(many)), 30),
    }
    found = medians({name: partial(_stream, cell, *push) for name, push in pushes.items()}, 9)
    return {name: 1e6 * found[name] / number for name, (_, number) in pushes.items()}


def _stream(cell: Cell, push: Any, number: int) -> None:
    carry = cell.initial_carry((1,))
    for _ in range(number):
        carry, y = push(carry)
    jax.block_until_ready(y)


def start_up() -> tuple[Any, str]:
    """Import times, and the first gradient of each cell in two processes, of which the second finds it compiled."""
    imports = {code: _seconds(f"import {code}") for code in ("jax, flax", "jax, flax, asrnn_jax")}
    added = imports["jax, flax, asrnn_jax"] - imports["jax, flax"]
    rows: list[tuple[str, ...]] = [
        ("first gradient in a new process, T 784, B 32, n 128", "seconds", "in the next process", "ratio")
    ]
    result: dict[str, Any] = {"import_added_s": added}
    for name in ("tanh_rnn", "asrnn", "gru", "lstm", "lru"):
        with tempfile.TemporaryDirectory() as cache:
            first, second = (_seconds(FIRST.format(name=name), cache) for _ in range(2))
        result[name] = (first, second)
        rows.append((name, f"{first:.2f}", f"{second:.2f}", f"{second / first:.2f}"))
    text = f"`import asrnn_jax` adds {added:.2f} s to `import jax, flax` ({imports['jax, flax']:.2f} s)."
    return result, f"{table(rows)}\n\n{text}"


METHODS = ("sequential", "associative_scan")
FIRST = """
import jax, jax.numpy as jnp, asrnn_jax
cell = asrnn_jax.cells.make({name!r}, 4, 128)
params, xs = jax.block_until_ready((cell.init(jax.random.key(0)), jnp.ones((32, 784, 4))))
start = time.perf_counter()
jax.block_until_ready(jax.jit(jax.grad(lambda p: asrnn_jax.run(cell, p, xs, outputs="last")[1].sum()))(params))
"""


def _seconds(code: str, cache: str | None = None, repeats: int = 5) -> float:
    """Seconds that code takes in a new process, without the start of Python; without a cache the median of several."""
    program = f"import time; start = time.perf_counter()\n{code}\nprint(time.perf_counter() - start)"
    settings = (
        {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2"} if cache else {}
    )
    times = []
    for _ in range(1 if cache else repeats):
        run = [sys.executable, "-c", program]
        done = subprocess.run(run, env={**os.environ, **settings}, capture_output=True, text=True, check=True)
        times.append(float(done.stdout.split()[-1]))
    return float(np.median(times))


def draw_growth(curves: dict[str, list[tuple[int, float]]], out: Path) -> None:
    """Draws milliseconds against T, B and n, each beside the power law it should follow."""
    from asrnn_jax.plot import COLOURS

    figure, axes = pyplot().subplots(1, 3, figsize=(9, 3.2), layout="constrained", sharey=True)
    names = {"time": ("steps T", 1), "batch": ("sequences B", 1), "hidden": ("hidden units n", 2)}
    for ax, (name, curve) in zip(axes, curves.items()):
        label, power = names[name]
        xs, ms = zip(*curve)
        ax.plot(xs, ms, "o-", color=COLOURS[0], label="measured")
        law = [ms[-1] * (x / xs[-1]) ** power for x in xs]
        ax.plot(xs, law, "--", color="0.45", linewidth=1, label="linear" if power == 1 else "quadratic")
        ax.set(xscale="log", yscale="log", xlabel=label, xticks=xs)
        ax.set_xticklabels([str(x) for x in xs])
        ax.minorticks_off()
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
    axes[0].set_ylabel("milliseconds a training step")
    save(figure, out)
