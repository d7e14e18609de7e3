"""Does a forecaster need resets? Errors and intervals on a million steps of oscillations with gaps."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from asrnn_jax import streaming
from asrnn_jax.cells import CELLS
from asrnn_jax.estimators import StreamForecaster
from asrnn_jax.plot.style import COLOURS, axes, tidy
from asrnn_jax.streaming import scores
from experiments.errors import UsageError, unknown
from experiments.folder import made
from experiments.report.tables import minutes, shown, table, typed

AHEAD = 5  # steps that the target lies ahead
LENGTH = 100  # steps of an oscillation
SETTLED = 30  # its steps after which a network has seen a period of it
NOISE = 0.1  # standard deviation of what nobody can predict
CHUNK = 10_000
PARTS = 10
RECORDINGS = 300
GAPS = {
    "missing": streaming.Gaps(20, 100, ("silence",)),
    "noise": streaming.Gaps(20, 100, ("white", "uniform", "walk", "clicks"), 0.02, 0.5),
}


@dataclass(frozen=True)
class Forecast:
    """Train forecasters and run them for a million steps with resets and without."""

    out: str = "experiments/results/forecast"
    """Folder for the page, its figure and its numbers."""
    cells: tuple[str, ...] = ("gru", "asrnn")
    """Cells, see `python -m experiments list`."""
    hidden: int = 32
    """Units."""
    steps: int = 800
    """Most training steps."""
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
        model = StreamForecaster(AHEAD, cell=cell, hidden=config.hidden, steps=config.steps, minutes=None)
        model = model.set_params(seed=config.seed).fit(oscillations(RECORDINGS, config.seed + 1))
        for gaps, policy in product(GAPS, ("never", "oracle")):
            found.append({"cell": cell, "gaps": gaps, "policy": policy} | measure(config, gaps, model, policy))
            if policy == "never" and cell == config.cells[0]:
                picture(config, gaps, model).figure.savefig(out / f"{gaps}.png", dpi=130)
                plt.close("all")
    seconds = time.perf_counter() - begin
    text = page(config, found, seconds)
    (out / "forecast.json").write_text(
        json.dumps({"config": {**asdict(config), "out": None}, "seconds": seconds, "runs": found}, indent=1)
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


def make_stream(gaps: str, seed: int, samples: int) -> streaming.Stream:
    """Oscillations that follow each other with gaps between them, see `GAPS`."""
    return streaming.Stream(oscillations(samples, seed), np.zeros(samples, int), gaps=GAPS[gaps], seed=1000 * seed)


def with_targets(stream: streaming.Stream, gaps: str, start: int, steps: int) -> tuple[streaming.Window, np.ndarray]:
    """A window, with NaN where the input is missing, and the value `AHEAD` steps later, ``(T,)``: NaN in gaps and
    beyond an oscillation's end."""
    longer = stream.window(start, steps + AHEAD)
    sample = np.where(longer.labels >= 0, np.cumsum(longer.starts), -1)
    known = (sample[:steps] >= 0) & (sample[AHEAD:] == sample[:steps])
    target = np.where(known, longer.xs[AHEAD:, 0], np.nan)
    window = streaming.Window(*(leaf[:steps] for leaf in longer))
    missing = (window.labels < 0)[:, None] & (gaps == "missing")
    return window._replace(xs=np.where(missing, np.nan, window.xs)), target


def unseen(config: Forecast, gaps: str) -> streaming.Stream:
    """The test stream."""
    return make_stream(gaps, config.seed + 2, max(100, config.length // LENGTH))


def measure(config: Forecast, gaps: str, model: StreamForecaster, policy: str) -> dict[str, Any]:
    """One session over one stream of unseen oscillations.

    Returns: ``error``, root mean square in units of the target's standard deviation; ``settled``, that of the later
    steps of each oscillation; ``along``, that of each tenth of the stream; ``coverage`` of the intervals;
    ``gap_interval``, the median width of the intervals in gaps over that of the marginal's; ``known_interval``, the
    same where there are targets.
    """
    stream, chunk, kept = unseen(config, gaps), min(CHUNK, config.length), []
    session = model.session()
    session.network = streaming.Session(
        model.network, model.params, policy=getattr(streaming, policy)(), non_finite="missing"
    )
    since = 0  # steps of the present oscillation
    for i in tqdm(range(config.length // chunk), desc=f"{gaps}, {policy}", unit="chunk", mininterval=10):
        window, target = with_targets(stream, gaps, i * chunk, chunk)
        said = session.push(window.xs, boundary=window.starts)
        at = np.arange(chunk)
        begun = np.maximum.accumulate(np.where(window.starts, at, -since - 1))
        since = int(chunk - 1 - begun[-1])
        kept.append((target, said.mean[:, 0], said.low[:, 0], said.high[:, 0], at - begun, window.labels < 0))
    target, mean, low, high, age, gap = (np.concatenate(each) for each in zip(*kept))
    square = np.square((target - mean) / np.nanstd(target))
    settled = np.isfinite(target) & (age >= SETTLED)
    scale = model.preparation.fitted.targets.scale[0]
    width = (high - low) / (2 * float(model.calibration_.marginal[0]) * scale)
    return {
        "error": float(np.sqrt(np.nanmean(square))),
        "settled": float(np.sqrt(square[settled].mean())),
        "along": np.sqrt(scores.along(np.arange(len(square)), square, parts=PARTS)).tolist(),
        "coverage": float(scores.coverage(low[:, None], high[:, None], target[:, None])[0]),
        "gap_interval": float(np.median(width[gap])),
        "known_interval": float(np.median(width[np.isfinite(target)])),
        "steps": int(session.steps),
    }


def picture(config: Forecast, gaps: str, model: StreamForecaster) -> Any:
    """The end of a run over 20,000 steps without resets: what came, and the interval that was said for it before."""
    steps, drawn = min(20_000, config.length), 450
    window, _ = with_targets(unseen(config, gaps), gaps, 0, steps)
    said = model.session().push(window.xs)
    at = np.arange(max(AHEAD, steps - drawn), steps)
    ax = axes(None, (10.0, 3.6))
    gap = window.labels[at] < 0
    ax.fill_between(at, 0, 1, where=gap, color="0.9", lw=0, transform=ax.get_xaxis_transform(), label="gap")
    low, mean, high = (values[at - AHEAD, 0] for values in (said.low, said.mean, said.high))
    ax.fill_between(at, low, high, color=COLOURS[5], alpha=0.5, lw=0, label=f"interval of {model.level:.0%}")
    ax.plot(at, mean, color=COLOURS[0], lw=1.2, label=f"said {AHEAD} steps before")
    ax.plot(at, window.xs[at, 0], ".", color=COLOURS[6], markersize=2.5, label="came")
    tidy(ax, "step of the stream", "value", legend=False)
    ax.legend(frameon=False, fontsize=9, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.14))
    return ax


def page(config: Forecast, found: list[dict[str, Any]], seconds: float) -> str:
    header = f"cell|gaps|run with|error|from step {SETTLED} on|first tenth|last tenth|in the interval, %|width, known"
    lines: list[tuple[str, ...]] = [(*header.split("|"), "width, gaps")]
    policies = {"never": "no reset", "oracle": "oracle resets"}
    for run in found:
        errors = (shown(e, ".4f") for e in (run["error"], run["settled"], run["along"][0], run["along"][-1]))
        widths = (shown(run[name], ".3f") for name in ("known_interval", "gap_interval"))
        about = run["cell"], run["gaps"], policies[run["policy"]]
        lines.append((*about, *errors, shown(100 * run["coverage"]), *widths))
    return "\n\n".join(
        [
            "# Forecasts without resets",
            f"Oscillations of random period, size and phase with noise, {LENGTH} steps each, and gaps of 20 to 100 "
            "steps between them, in which the input is missing or is noise. `StreamForecaster` with its defaults, but "
            f"for {config.hidden} units, learned from {RECORDINGS} of them, which were never longer than "
            f"{LENGTH} steps, and forecasts the value {AHEAD} steps later. One test stream of {config.length:,} steps "
            f"of unseen oscillations; seed {config.seed}.",
            f"    {typed('forecast', config)}",
            f"All of it in {minutes(seconds)} minutes on CPU cores that other work shared.",
            table(lines),
            "Error: root mean square over the target's standard deviation; 1 is the error of the marginal. From step "
            f"{SETTLED} on: the same without the first {SETTLED} steps of each oscillation. Oracle resets tell where "
            "one begins, which is not in noise: errors of the first steps also differ by what is known. In the "
            f"interval: of the targets, in their interval of {StreamForecaster().level:.0%}. Width: median width of "
            "these intervals over the marginal's, where there are targets and in gaps.",
            _answer(found),
            *(f"![the end of 20,000 steps without a reset, gaps: {gaps}]({gaps}.png)" for gaps in GAPS),
        ]
    )


def _answer(found: list[dict[str, Any]]) -> str:
    """The same network without any reset and with oracle resets."""
    runs = {(run["cell"], run["gaps"], run["policy"]): run for run in found}
    lines = []
    for cell, gaps in dict.fromkeys((run["cell"], run["gaps"]) for run in found):
        never, oracle = runs[cell, gaps, "never"], runs[cell, gaps, "oracle"]
        pairs = [(never[name], oracle[name]) for name in ("error", "settled")]
        more, settled, later = (100 * (a / b - 1) for a, b in (*pairs, (never["along"][-1], never["along"][0])))
        lines.append(
            f"- {cell}, gaps {gaps}: without any reset the error is {more:+.1f} % of that of the same network with "
            f"oracle resets, from step {SETTLED} on {settled:+.1f} %; in the last tenth of the stream it is "
            f"{later:+.1f} % of that in the first."
        )
    return "\n".join(lines)
