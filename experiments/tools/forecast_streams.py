"""What the study of forecasts is about: oscillations that follow each other, and gaps between them."""

from __future__ import annotations

import numpy as np

from asrnn_jax import streaming

AHEAD = 5  # steps that the target lies ahead
LENGTH = 100  # steps of an oscillation
SETTLED = 30  # its steps after which a network has seen a period of it
NOISE = 0.1  # standard deviation of what nobody can predict
GAPS = {
    "missing": streaming.Gaps(20, 100, ("silence",)),
    "noise": streaming.Gaps(20, 100, ("white", "uniform", "walk", "clicks"), 0.02, 0.5),
}


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
