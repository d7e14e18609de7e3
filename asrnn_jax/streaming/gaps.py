"""What lies between the samples of a stream: noises of several kinds, pieces of samples, recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asrnn_jax.typing import Float

Noise = Callable[[np.random.Generator, int, int, float], np.ndarray]


def _walk(rng: np.random.Generator, steps: int, inputs: int, level: float) -> Float[np.ndarray, "{steps} {inputs}"]:
    """A random walk drawn back to 0, with the standard deviation `level`."""
    x, pull = level * rng.normal(size=inputs), 0.05
    steps_ = rng.normal(scale=level * np.sqrt(2 * pull - pull**2), size=(steps, inputs))
    out = np.empty((steps, inputs))
    for t in range(steps):
        x = (1 - pull) * x + steps_[t]
        out[t] = x
    return out


def _hum(rng: np.random.Generator, steps: int, inputs: int, level: float) -> Float[np.ndarray, "{steps} {inputs}"]:
    """A sine of one period in all channels, with a phase in each."""
    period = rng.uniform(4, 40)
    return np.sqrt(2) * level * np.sin(2 * np.pi * (np.arange(steps)[:, None] / period + rng.uniform(size=inputs)))


def _clicks(rng: np.random.Generator, steps: int, inputs: int, level: float) -> Float[np.ndarray, "{steps} {inputs}"]:
    """Silence with a loud step in about every ten."""
    loud = rng.uniform(size=(steps, 1)) < 0.1
    return loud * rng.normal(scale=level * np.sqrt(10), size=(steps, inputs))


NOISES: dict[str, Noise] = {
    "silence": lambda rng, steps, inputs, level: np.zeros((steps, inputs)),
    "white": lambda rng, steps, inputs, level: rng.normal(scale=level, size=(steps, inputs)),
    "uniform": lambda rng, steps, inputs, level: rng.uniform(0, np.sqrt(3) * level, size=(steps, inputs)),
    "walk": _walk,
    "hum": _hum,
    "clicks": _clicks,
}
"""Each kind of noise by its name: ``(generator, steps, inputs, level) -> (steps, inputs)``."""
DISTRACTOR = "distractor"
"""The kind of gap that is made of steps drawn at random from one sample."""
BACKGROUND = "background"
"""The kind of gap that is a piece of a recording."""


@dataclass(frozen=True)
class Gaps:
    """What lies between samples.

    Raises:
      ValueError: lengths or levels that are no range, an unknown kind.
    """

    shortest: int = 10
    """Steps."""
    longest: int = 60
    """Steps; lengths are uniform between the two."""
    kinds: tuple[str, ...] = ("silence", "white", "uniform", "walk", "hum", "clicks")
    """Each gap is one of these, see `NOISES`; "distractor" is steps drawn at random from one sample, "background" a
    piece of the stream's own recording."""
    quietest: float = 0.05
    """Root mean square of the noise, in the units of the input."""
    loudest: float = 0.5
    """Levels are drawn with uniform logarithms between the two."""

    def __post_init__(self):
        if not 0 <= self.shortest <= self.longest:
            raise ValueError(
                f"shortest={self.shortest}, longest={self.longest}: give a range of steps, 0 <= shortest <= longest."
            )
        if not 0 < self.quietest <= self.loudest:
            raise ValueError(
                f"quietest={self.quietest}, loudest={self.loudest}: give a range of levels, 0 < quietest <= loudest."
            )
        unknown = [kind for kind in self.kinds if kind not in (*NOISES, DISTRACTOR, BACKGROUND)]
        if unknown or not self.kinds:
            raise ValueError(f"kinds={self.kinds}: choose from {', '.join((*NOISES, DISTRACTOR, BACKGROUND))}.")
