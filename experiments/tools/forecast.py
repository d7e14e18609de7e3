"""Does a forecaster need resets? Errors and intervals on a million steps of oscillations with gaps."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

import asrnn_jax
from asrnn_jax import cells, losses, streaming
from asrnn_jax.cell import Cell
from asrnn_jax.cells import CELLS
from asrnn_jax.plot.style import COLOURS, axes, tidy
from asrnn_jax.streaming import scores
from experiments.errors import UsageError, unknown
from experiments.folder import made
from experiments.report.tables import minutes, shown, table, typed

AHEAD = (1, 5)  # steps that the targets lie ahead
LENGTH = 100  # steps of an oscillation
NOISE = 0.1  # standard deviation of what nobody can predict
WINDOW, STREAMS, CHUNK = 100, 32, 10_000
LEVEL, PARTS = 0.9, 10
REGIMES = ("streams", "resets")
GAPS = {
    "missing": streaming.Gaps(20, 100, ("silence",)),
    "noise": streaming.Gaps(20, 100, ("white", "walk", "distractor"), 0.1, 1.0),
}
DEGREES = 30.0  # of the marginal Student t: the oscillations' own tails are light, what a network knows may have others
Distribution = losses.Gaussian | losses.StudentT


@dataclass(frozen=True)
class Forecast:
    """Train forecasters with and without resets and run them for a million steps."""

    out: str = "experiments/results/forecast"
    """Folder for the page, its figure and its numbers."""
    cells: tuple[str, ...] = ("gru",)
    """Cells, see `python -m experiments list`."""
    hidden: int = 32
    """Units."""
    family: Literal["gaussian", "student_t"] = "student_t"
    """Of the predicted distributions; Student t with learned degrees of freedom."""
    steps: int = 1500
    """Training steps, each of 32 windows of 100."""
    length: int = 1_000_000
    """Steps of the one test stream."""
    seed: int = 0
    """Of data, weights and streams."""

    def __post_init__(self):
        for name in self.cells:
            if name not in CELLS:
                raise unknown("--cells", name, CELLS)
        for name in ("hidden", "steps", "length"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} {getattr(self, name)}: give at least 1.")


def forecast(config: Forecast) -> str:
    """Trains and measures all of it and writes the page."""
    out, found, begin = made(config.out), [], time.perf_counter()
    for cell in config.cells:
        for gaps, regime in product(GAPS, REGIMES):
            model, params, around = train(config, cell, gaps, regime)
            for policy in ("never", "oracle"):
                found.append({"cell": cell, "gaps": gaps, "trained": regime, "policy": policy})
                found[-1] |= measure(config, gaps, model, params, around, policy)
            if regime == "streams" and cell == config.cells[0]:
                picture(config, gaps, model, params, around).figure.savefig(out / f"{gaps}.png", dpi=130)
                plt.close("all")
    seconds = time.perf_counter() - begin
    text = page(config, found, seconds)
    (out / "forecast.json").write_text(
        json.dumps({"config": asdict(config), "seconds": seconds, "runs": found}, indent=1)
    )
    (out / "README.md").write_text(text + "\n")
    return text


def oscillations(number: int, seed: int) -> np.ndarray:
    """``(number, LENGTH, 1)``: sines of random period, phase and size, and noise around them that remembers itself."""
    rng = np.random.default_rng(seed)
    period, size, phase = rng.uniform(8, 30, number), rng.uniform(0.5, 1.5, number), rng.uniform(0, 1, number)
    turns = np.arange(LENGTH) / period[:, None] + phase[:, None]
    noise = rng.normal(scale=NOISE, size=(number, LENGTH))
    for t in range(1, LENGTH):
        noise[:, t] += 0.5 * noise[:, t - 1]
    return (size[:, None] * np.sin(2 * np.pi * turns) + noise)[..., None]


def make_streams(gaps: str, number: int, seed: int, samples: int = 4000) -> list[streaming.Stream]:
    """Oscillations that follow each other with gaps between them, see `GAPS`."""
    xs, labels = oscillations(samples, seed), np.zeros(samples, int)
    return [streaming.Stream(xs, labels, gaps=GAPS[gaps], seed=1000 * seed + i) for i in range(number)]


def with_targets(streams: list[streaming.Stream], start: int, steps: int) -> tuple[streaming.Window, np.ndarray]:
    """A window and what is to be predicted at each step, ``(B, T, K)``: NaN in gaps and beyond an oscillation's end.

    The inputs are the value and a flag where it is missing, as preparations of real data make them.
    """
    longer = streaming.windows(streams, start, steps + max(AHEAD))
    sample = np.where(longer.labels >= 0, np.cumsum(longer.starts, axis=1), -1)
    targets = np.stack(
        [
            np.where(
                (sample[:, :steps] >= 0) & (sample[:, ahead : steps + ahead] == sample[:, :steps]),
                longer.xs[:, ahead : steps + ahead, 0],
                np.nan,
            )
            for ahead in AHEAD
        ],
        axis=-1,
    )
    window = streaming.Window(*(leaf[:, :steps] for leaf in longer))
    return window._replace(xs=np.concatenate([window.xs, window.xs == 0], axis=-1).astype(np.float32)), targets


def train(config: Forecast, name: str, gaps: str, regime: str) -> tuple[Cell, Any, Any]:
    """A network, trained on streams with its state carried on, or with a reset at each true beginning."""
    gaussian = config.family == "gaussian"
    model = cells.with_output(cells.make(name, 2, config.hidden), (2 if gaussian else 3) * len(AHEAD))
    streams = make_streams(gaps, STREAMS, config.seed + 1)
    around = losses.marginal(with_targets(streams, 0, 5000)[1], degrees=math.inf if gaussian else DEGREES)
    params = model.init(jax.random.key(config.seed))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(5e-3, config.steps)))
    dual = losses.entropy_target(0.99)

    @jax.jit
    def step(params, state, carry, weight, xs, targets, m, starts):
        def loss(params):
            reset = starts if regime == "resets" else None
            end, outputs = asrnn_jax.run(model, params, xs, carry=carry, reset=reset)
            where = jnp.isfinite(targets) | (m == 0)[..., None]
            each = losses.reset_free_regression(
                outputs, targets, m, marginal=around, weight=jnp.exp(weight.log_weight), where=where
            )
            return each.mean(), (end, outputs)

        gradient, (carry, outputs) = jax.grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state, params)
        weight = dual.update(losses.gap_width(outputs, m, around), weight)[1]
        return optax.apply_updates(params, updates), state, carry, weight

    state, weight = optimizer.init(params), dual.init()
    carry = model.initial_carry((STREAMS,), jnp.float32)
    for i in tqdm(range(config.steps), desc=f"{name}, {gaps}, {regime}", unit="step", mininterval=10):
        window, targets = with_targets(streams, i * WINDOW, WINDOW)
        m, arrays = jnp.asarray(window.informative), (window.xs, targets.astype(np.float32), window.starts)
        params, state, carry, weight = step(params, state, carry, weight, arrays[0], arrays[1], m, arrays[2])
    return model, params, around


def unseen(config: Forecast, gaps: str) -> list[streaming.Stream]:
    """The one test stream."""
    return make_streams(gaps, 1, config.seed + 2, samples=max(100, config.length // LENGTH))


def measure(config: Forecast, gaps: str, model: Cell, params: Any, around: Distribution, policy: str) -> dict[str, Any]:
    """One session over one stream of unseen oscillations.

    Returns: ``error``, root mean square over the targets in units of their standard deviation; ``along``, that of each
    tenth of the stream; ``coverage`` of the intervals; ``gap_width``, the mean width share in gaps; ``gap_interval``,
    the median width of the intervals there over that of the marginal's; ``known_interval``, the same where targets are.
    """
    stream, chunk = unseen(config, gaps), min(CHUNK, config.length)
    session = streaming.Session(model, params, batch=(1,), policy=getattr(streaming, policy)())
    read, scale = jax.jit(lambda outputs: _read(outputs, around)), np.exp(np.asarray(around.log_scale))
    low, high = losses.interval(around, LEVEL)
    widest, kept = np.asarray(high - low), []
    for i in tqdm(range(config.length // chunk), desc=policy, unit="chunk", mininterval=10):
        window, targets = with_targets(stream, i * chunk, chunk)
        location, low, high, share = map(np.asarray, read(session.push(window.xs, boundary=window.starts)))
        error = np.square((targets - location) / scale).mean(-1)  # NaN where one of the targets is
        width = ((high - low) / widest).mean(-1)
        kept.append((i * chunk + np.arange(chunk)[None], error, low, high, targets, window.labels < 0, share, width))
    steps, error, low, high, targets, gap, share, width = (np.concatenate(each, axis=1)[0] for each in zip(*kept))
    return {
        "error": float(np.sqrt(np.nanmean(error))),
        "along": np.sqrt(scores.along(steps, error, parts=PARTS)).tolist(),
        "coverage": scores.coverage(low, high, targets).tolist(),
        "gap_width": float(share[gap].mean()),
        "gap_interval": float(np.median(width[gap])),
        "known_interval": float(np.median(width[np.isfinite(error)])),
        "steps": int(session.steps),
    }


def _read(outputs: Any, around: Distribution) -> tuple[jax.Array, ...]:
    predicted = losses.predict(outputs, around)
    low, high = losses.interval(predicted, LEVEL)
    return jnp.asarray(predicted.location), low, high, losses.width_share(predicted, around)


def picture(config: Forecast, gaps: str, model: Cell, params: Any, around: Distribution) -> Any:
    """The end of a run over 20,000 steps without resets: what came, and the interval that was said for it before."""
    steps, drawn, ahead = min(20_000, config.length), 450, AHEAD[-1]
    window, _ = with_targets(unseen(config, gaps), 0, steps)
    session = streaming.Session(model, params, batch=(1,))
    said = [session.push(window.xs[:, at : at + CHUNK]) for at in range(0, steps, CHUNK)]
    location, low, high = (np.asarray(a)[0, :, -1] for a in _read(np.concatenate(said, axis=1), around)[:3])
    at = np.arange(max(ahead, steps - drawn), steps)
    ax = axes(None, (10.0, 3.6))
    gap = window.labels[0, at] < 0
    ax.fill_between(at, 0, 1, where=gap, color="0.9", lw=0, transform=ax.get_xaxis_transform(), label="gap")
    ax.fill_between(
        at, low[at - ahead], high[at - ahead], color=COLOURS[5], alpha=0.5, lw=0, label=f"interval of {LEVEL:.0%}"
    )
    ax.plot(at, location[at - ahead], color=COLOURS[0], lw=1.2, label=f"said {ahead} steps before")
    ax.plot(at, window.xs[0, at, 0], ".", color=COLOURS[6], markersize=2.5, label="came")
    tidy(ax, "step of the stream", "value", legend=False)
    ax.legend(frameon=False, fontsize=9, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.14))
    return ax


def page(config: Forecast, found: list[dict[str, Any]], seconds: float) -> str:
    header = "cell|gaps|trained|run with|error|first tenth|last tenth|in the interval, %|width, known|width, gaps|share"
    lines: list[tuple[str, ...]] = [tuple(header.split("|"))]
    names = {"streams": "state carried on", "resets": "with oracle resets"}
    policies = {"never": "no reset", "oracle": "oracle resets"}
    for run in found:
        inside = " / ".join(shown(100 * share) for share in run["coverage"])
        widths = (shown(run[name], ".3f") for name in ("known_interval", "gap_interval", "gap_width"))
        errors = (shown(error, ".4f") for error in (run["error"], run["along"][0], run["along"][-1]))
        about = run["cell"], run["gaps"], names[run["trained"]], policies[run["policy"]]
        lines.append((*about, *errors, inside, *widths))
    ahead = " and ".join(map(str, AHEAD))
    return "\n\n".join(
        [
            "# Forecasts without resets",
            f"Oscillations of random period, size and phase with noise, {LENGTH} steps each, and gaps of 20 to 100 "
            "steps between them, in which the input is missing, or is noise or shuffled steps of other oscillations. "
            f"The network ({config.hidden} units) sees the value and a flag where it is missing, and predicts the "
            f"values {ahead} steps later as distributions ({config.family}), by `losses.reset_free_regression` with "
            f"the weight that sets itself (width share 0.99). {config.steps:,} training steps of {STREAMS} windows of "
            f"{WINDOW}; one test stream of {config.length:,} steps of unseen oscillations; seed {config.seed}.",
            f"    {typed('forecast', config)}",
            f"All of it in {minutes(seconds)} minutes on CPU cores that other work shared.",
            table(lines),
            "Error: root mean square over the targets' standard deviation; 1 is the error of the marginal. In the "
            f"interval: of the targets {ahead} steps ahead, in their interval of {LEVEL:.0%}. Width: median width of "
            "these intervals over the marginal's, where there are targets and in gaps. Share: `losses.gap_width`, 1 is "
            "the marginal itself.",
            _answer(found),
            *(f"![the end of 20,000 steps without a reset, gaps: {gaps}]({gaps}.png)" for gaps in GAPS),
        ]
    )


def _answer(found: list[dict[str, Any]]) -> str:
    """Without any reset against the network that was trained and run with oracle resets."""
    errors = {(run["cell"], run["gaps"], run["trained"], run["policy"]): run for run in found}
    lines = []
    for cell, gaps in dict.fromkeys((run["cell"], run["gaps"]) for run in found):
        never, oracle = errors[cell, gaps, "streams", "never"], errors[cell, gaps, "resets", "oracle"]
        pairs = (never["error"], oracle["error"]), (never["along"][-1], never["along"][0])
        more, later = (100 * (a / b - 1) for a, b in pairs)
        lines.append(
            f"- {cell}, gaps {gaps}: without any reset the error is {more:+.1f} % of that of a network trained and run "
            f"with oracle resets; in the last tenth of the stream it is {later:+.1f} % of that in the first."
        )
    return "\n".join(lines)
