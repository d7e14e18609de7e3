"""Does a forecaster need resets? Errors and intervals on a million steps of oscillations with gaps."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any

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
LEVEL = 0.9
Z = float(losses.quantile(losses.Gaussian(jnp.zeros(1), jnp.zeros(1)), (1 + LEVEL) / 2)[0])  # half of it, in scales
REGIMES = ("streams", "resets")


@dataclass(frozen=True)
class Forecast:
    """Train forecasters with and without resets and run them for a million steps."""

    out: str = "experiments/results/forecast"
    """Folder for the page, its figure and its numbers."""
    cells: tuple[str, ...] = ("gru", "asrnn")
    """Cells, see `python -m experiments list`."""
    hidden: int = 32
    """Units."""
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
        for regime in REGIMES:
            model, params, around = train(config, cell, regime)
            for policy in ("never", "oracle"):
                found.append({"cell": cell, "trained": regime, "policy": policy})
                found[-1] |= measure(config, model, params, around, policy)
            if regime == "streams" and cell == config.cells[0]:
                picture(config, model, params, around).figure.savefig(out / "forecast.png", dpi=130)
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


def make_streams(number: int, seed: int, samples: int = 4000) -> list[streaming.Stream]:
    """Oscillations that follow each other with gaps of silence, noise or scraps of others between them."""
    xs = oscillations(samples, seed)
    gaps = streaming.Gaps(20, 100, ("silence", "white", "walk", "distractor"), 0.1, 1.0)
    return [streaming.Stream(xs, np.zeros(samples, int), gaps=gaps, seed=1000 * seed + i) for i in range(number)]


def with_targets(streams: list[streaming.Stream], start: int, steps: int) -> tuple[streaming.Window, np.ndarray]:
    """A window and what is to be predicted at each step, ``(B, T, K)``: NaN in gaps and beyond an oscillation's end."""
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
    return streaming.Window(*(leaf[:, :steps] for leaf in longer)), targets


def train(config: Forecast, name: str, regime: str) -> tuple[Cell, Any, losses.Gaussian]:
    """A network, trained on streams with its state carried on, or with a reset at each true beginning."""
    model = cells.with_output(cells.make(name, 1, config.hidden), 2 * len(AHEAD))
    streams = make_streams(STREAMS, config.seed + 1)
    around: Any = losses.marginal(with_targets(streams, 0, 5000)[1])
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
    for i in tqdm(range(config.steps), desc=f"{name}, {regime}", unit="step", mininterval=10):
        window, targets = with_targets(streams, i * WINDOW, WINDOW)
        m, arrays = jnp.asarray(window.informative), (window.xs, targets.astype(np.float32), window.starts)
        params, state, carry, weight = step(params, state, carry, weight, arrays[0], arrays[1], m, arrays[2])
    return model, params, around


def test_stream(config: Forecast) -> list[streaming.Stream]:
    return make_streams(1, config.seed + 2, samples=max(100, config.length // LENGTH))


def measure(config: Forecast, model: Cell, params: Any, around: losses.Gaussian, policy: str) -> dict[str, Any]:
    """One session over one stream of unseen oscillations.

    Returns: ``error``, root mean square over the targets in units of their standard deviation; ``along``, that of each
    tenth of the stream; ``coverage`` of the intervals; ``gap_width``, the mean width share in gaps; ``gap_interval``,
    the median width of the intervals there over that of the marginal's; ``known_interval``, the same where targets are.
    """
    stream, chunk = test_stream(config), min(CHUNK, config.length)
    session = streaming.Session(model, params, batch=(1,), policy=getattr(streaming, policy)())
    read, scale = jax.jit(lambda outputs: _read(outputs, around)), np.exp(np.asarray(around.log_scale))
    kept = []
    for i in tqdm(range(config.length // chunk), desc=policy, unit="chunk", mininterval=10):
        window, targets = with_targets(stream, i * chunk, chunk)
        location, low, high, share = map(np.asarray, read(session.push(window.xs, boundary=window.starts)))
        error = np.square((targets - location) / scale).mean(-1)  # NaN where one of the targets is
        width = ((high - low) / (2 * Z * scale)).mean(-1)
        kept.append((i * chunk + np.arange(chunk)[None], error, low, high, targets, window.labels < 0, share, width))
    steps, error, low, high, targets, gap, share, width = (np.concatenate(each, axis=1)[0] for each in zip(*kept))
    return {
        "error": float(np.sqrt(np.nanmean(error))),
        "along": np.sqrt(scores.along(steps, error)).tolist(),
        "coverage": scores.coverage(low, high, targets).tolist(),
        "gap_width": float(share[gap].mean()),
        "gap_interval": float(np.median(width[gap])),
        "known_interval": float(np.median(width[np.isfinite(error)])),
        "steps": int(session.steps),
    }


def _read(outputs: Any, around: losses.Gaussian) -> tuple[jax.Array, ...]:
    predicted = losses.gaussian(outputs, around)
    low, high = losses.interval(predicted, LEVEL)
    return jnp.asarray(predicted.location), low, high, losses.width_share(predicted, around)


def picture(config: Forecast, model: Cell, params: Any, around: losses.Gaussian) -> Any:
    """The end of a run over 20,000 steps without resets: what came, and the interval that was said for it before."""
    steps, drawn, ahead = min(20_000, config.length), 450, AHEAD[-1]
    window, _ = with_targets(test_stream(config), 0, steps)
    session = streaming.Session(model, params, batch=(1,))
    said = [session.push(window.xs[:, at : at + CHUNK]) for at in range(0, steps, CHUNK)]
    location, low, high = (np.asarray(a)[0, :, -1] for a in _read(np.concatenate(said, axis=1), around)[:3])
    at = np.arange(max(ahead, steps - drawn), steps)
    ax = axes(None, (10, 3.6))
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
    header = (
        "cell|trained|run with|error|first tenth|last tenth|within the interval|interval, informative|interval, gaps"
    )
    lines = [(*header.split("|"), "width share, gaps")]
    names = {"streams": "streams, state carried on", "resets": "streams, reset at each beginning"}
    policies = {"never": "no reset", "oracle": "oracle resets"}
    for run in found:
        inside = " / ".join(shown(100 * share) for share in run["coverage"])
        widths = (shown(run[name], ".3f") for name in ("known_interval", "gap_interval", "gap_width"))
        errors = (shown(error, ".4f") for error in (run["error"], run["along"][0], run["along"][-1]))
        lines.append((run["cell"], names[run["trained"]], policies[run["policy"]], *errors, inside, *widths))
    ahead = " and ".join(map(str, AHEAD))
    return "\n\n".join(
        [
            "# Forecasts without resets",
            f"Oscillations of random period, size and phase, with noise, {LENGTH} steps each, and gaps of 20 to 100 "
            "steps between them: silence, noise, scraps of other oscillations. "
            f"The network ({config.hidden} units) sees the value and predicts the one {ahead} steps later, as Gaussian "
            "distributions, by `losses.reset_free_regression` with the weight that sets itself (target 0.99). "
            f"{config.steps:,} training steps of {STREAMS} windows of {WINDOW}; one test stream of {config.length:,} "
            f"steps of unseen oscillations, seed {config.seed}.",
            f"    {typed('forecast', config)}",
            f"All of it in {minutes(seconds)} minutes on one CPU core that other work shared.",
            table(lines),
            "Error: root mean square over the targets' standard deviation; 1 is the error of the marginal. Within the "
            f"interval: share in % of the targets in their interval of {LEVEL:.0%}, {ahead} steps ahead. Interval: "
            "median width over that of the marginal's. Width share: `losses.gap_width`, 1 is the marginal itself.",
            *_answer(found),
            "![the end of 20,000 steps without a reset](forecast.png)",
        ]
    )


def _answer(found: list[dict[str, Any]]) -> list[str]:
    """Without resets against the best of those with oracle resets."""
    lines = []
    for cell in dict.fromkeys(run["cell"] for run in found):
        own = [run for run in found if run["cell"] == cell]
        (never,) = (run for run in own if (run["trained"], run["policy"]) == ("streams", "never"))
        best = min(run["error"] for run in own if run["policy"] == "oracle")
        lines.append(
            f"- {cell}: without any reset the error is {100 * (never['error'] / best - 1):+.2f} % of the best with "
            f"oracle resets, and {100 * (never['along'][-1] / never['along'][0] - 1):+.2f} % in the last tenth of the "
            "stream against the first."
        )
    return ["\n".join(lines)]
