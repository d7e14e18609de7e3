"""Does a forecaster need resets? Errors and intervals on a million steps of oscillations with gaps.

Networks and runs are kept, so that processes can share the work, each with some of the cells, gaps and policies: a last
one with all of them finds what is there and writes the page.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
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
from experiments.folder import made, read_json, write_json
from experiments.tools.forecast_page import POLICIES, page
from experiments.tools.forecast_streams import (
    AHEAD,
    GAPS,
    LENGTH,
    SETTLED,
    make_stream,
    oscillations,
    with_targets,
)

CHUNK = 10_000
PARTS = 10


@dataclass(frozen=True)
class Forecast:
    """Train forecasters and run them for a million steps with resets and without."""

    out: str = "experiments/results/forecast"
    """Folder for the page, its figure and its numbers."""
    kept: str = "runs/forecast"
    """Folder for networks and runs: those that are there, by the same settings, are not computed again."""
    cells: tuple[str, ...] = ("gru", "asrnn")
    """Cells, see `python -m experiments list`."""
    gaps: tuple[str, ...] = tuple(GAPS)
    """What is between oscillations."""
    policies: tuple[str, ...] = tuple(POLICIES)
    """Resets: "never", or "oracle" at the start of each oscillation."""
    hidden: int = 32
    """Units."""
    steps: int = 3200
    """Most training steps."""
    recordings: int = 2000
    """Oscillations to learn from."""
    length: int = 1_000_000
    """Steps of the one test stream."""
    seed: int = 0
    """Of data, weights and streams."""

    def __post_init__(self):
        for name in self.cells:
            if name not in CELLS:
                raise unknown("--cells", name, CELLS)
        for flag, names, known in (("--gaps", self.gaps, GAPS), ("--policies", self.policies, POLICIES)):
            for name in names:
                if name not in known:
                    raise unknown(flag, name, known)
        for name in ("hidden", "steps", "recordings", "length"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} {getattr(self, name)}: give at least 1.")


def forecast(config: Forecast) -> str:
    """Trains and measures what is not there yet, and writes the page."""
    out, kept = made(config.out), made(config.kept)
    models = {cell: network(config, cell, kept) for cell in config.cells}
    parts = product(config.cells, config.gaps, config.policies)
    found = [part(config, kept, models[cell], gaps, policy) for cell, gaps, policy in parts]
    for gaps in config.gaps:
        picture(config, gaps, models[config.cells[0]]).figure.savefig(out / f"{gaps}.png", dpi=130)
        plt.close("all")
    trained = [read_json(kept / f"{cell}.json") for cell in config.cells]
    text = page(config, found, trained)
    about = {name: getattr(config, name) for name in ("cells", "hidden", "steps", "recordings", "length", "seed")}
    write_json(out / "forecast.json", {"config": about, "trained": trained, "runs": found})
    (out / "README.md").write_text(text + "\n")
    return text


def network(config: Forecast, cell: str, kept: Path) -> StreamForecaster:
    """A forecaster that is kept, or one that is trained now."""
    model = StreamForecaster(AHEAD, cell=cell, hidden=config.hidden, steps=config.steps, minutes=None)
    model, path = model.set_params(seed=config.seed), kept / f"{cell}.safetensors"
    asked = {name: getattr(config, name) for name in ("hidden", "steps", "recordings", "seed")}
    if path.exists() and asked.items() <= read_json(kept / f"{cell}.json").items():
        return StreamForecaster.load(path)
    begin = time.perf_counter()
    model.fit(oscillations(config.recordings, config.seed + 1))
    about = {"cell": cell, "trained": model.n_steps_, "rate": model.rate_, "seconds": time.perf_counter() - begin}
    write_json(kept / f"{cell}.json", asked | about)
    model.save(path)
    return model


def part(config: Forecast, kept: Path, model: StreamForecaster, gaps: str, policy: str) -> dict[str, Any]:
    """A run that is kept, or one that is made now."""
    path = kept / f"{model.cell}-{gaps}-{policy}.json"
    about = {"cell": model.cell, "gaps": gaps, "policy": policy}
    about |= {name: getattr(config, name) for name in ("hidden", "steps", "recordings", "length", "seed")}
    if path.exists():
        there = read_json(path)
        if about.items() <= there.items():
            return there
    begin = time.perf_counter()
    found = about | measure(config, gaps, model, policy)
    write_json(path, found | {"seconds": time.perf_counter() - begin})
    return read_json(path)


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
