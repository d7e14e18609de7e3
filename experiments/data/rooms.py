"""Hours of sound in which somebody says a word now and then, and where the words lie: streams for voice detectors.

Recordings are cut to their speech: from the first to the last 16 ms whose power is within 35 dB of the loudest. Each is
brought to a level drawn at random and laid on a grid of 32 ms, after a gap of random length. So a label, speech or
none, is where a recording lies; a step of 16 or 32 ms is never both. The same seed gives the same sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.features import log_mel, read_wav
from experiments.errors import UsageError

GRID = 256  # samples: 32 ms at 8 kHz, a chunk of the detectors that are compared
STEP = 128  # samples: a step of features
RATE = 8000
RANGE = 35.0  # dB below the loudest: quieter is no speech
LEVELS = (-32.0, -20.0)  # dB of a recording, root mean square over full scale
FEATURES = {"kind": "log_mel", "bands": 40, "frame": 0.032, "hop": 0.016, "lowest": 20.0, "floor": 1e-6, "rate": RATE}


class Room(NamedTuple):
    """What is heard where nobody speaks, and behind the speech."""

    name: str
    noise: tuple[float, float] | None = None
    """Lowest and highest level in dB; None: digital silence."""
    tilts: tuple[float, float] = (0.0, 0.0)
    """Lowest and highest exponent a of the noise's power, f^-a: 0 is white, 1 pink, 2 brown."""
    sounds: tuple[str, ...] = ()
    """Kinds of other sounds in gaps, see `SOUNDS`."""


class Heard(NamedTuple):
    """A stream."""

    sound: np.ndarray
    """``(N,)`` float32 in [-1, 1)"""
    speech: np.ndarray
    """bool ``(N / STEP,)``"""
    starts: np.ndarray
    """bool ``(N / STEP,)``: where a recording begins."""


def speakers(data_dir: str | None) -> dict[str, list[np.ndarray]]:
    """The recordings of each speaker, cut to their speech and of mean power 1, from ``digit_speaker_index.wav``.

    Raises:
      UsageError: no such files, another rate than 8 kHz.
    """
    root = Path(data_dir or "").expanduser()
    root = root / "spoken_digit" if (root / "spoken_digit").is_dir() else root
    files = sorted(root.glob("[0-9]_*_*.wav")) if data_dir else []
    if not files:
        raise UsageError(f"--data-dir {data_dir}: give a folder with files named digit_speaker_index.wav.")
    found: dict[str, list[np.ndarray]] = {}
    for path in files:
        try:
            sound, rate = read_wav(path)
        except (ValueError, OSError) as e:
            raise UsageError(f"{e}") from e
        if rate != RATE:
            raise UsageError(f"{path}: {rate} Hz; give recordings of {RATE} Hz.")
        if len(cut := speech_of(sound)):
            found.setdefault(path.stem.split("_")[1], []).append(cut)
    return found


def speech_of(sound: np.ndarray) -> np.ndarray:
    """The part of a recording from its first to its last loud 16 ms, of mean power 1; nothing of a silent one."""
    blocks = sound[: len(sound) // STEP * STEP].reshape(-1, STEP)
    power = np.square(blocks).mean(-1)
    loud = np.flatnonzero(power > power.max(initial=0.0) * 10 ** (-RANGE / 10))
    if not len(loud):
        return np.zeros(0, np.float32)
    cut = sound[loud[0] * STEP : (loud[-1] + 1) * STEP].copy()
    fade = np.linspace(0, 1, 40, dtype=np.float32)  # 5 ms, so that no click marks the ends
    cut[:40] *= fade
    cut[-40:] *= fade[::-1]
    return cut / np.sqrt(np.square(cut).mean())


def heard(
    recordings: Sequence[np.ndarray],
    rooms: Sequence[Room],
    *,
    seconds: float,
    gaps: tuple[float, float],
    stay: float | None = None,
    seed: Any = 0,
) -> Heard:
    """A stream of one room, or of several that change.

    Args:
      recordings: as `speakers` gives them; each comes once before any comes twice.
      rooms: drawn at random wherever the room changes.
      seconds: of the whole stream; the rest that fills no 32 ms is left out.
      gaps: seconds of the shortest and of the longest, their logarithms uniform.
      stay: seconds in one room, in the mean; None: the first room for ever.
      seed: a number or several.
    """
    rng = np.random.default_rng(seed)
    size = int(seconds * RATE) // GRID * GRID
    sound, speech = np.zeros(size, np.float32), np.zeros(size // STEP, bool)
    starts, at, order, room, left = speech.copy(), 0, [], rooms[0], np.inf if stay is None else 0.0
    while True:
        if left <= 0 and stay is not None:
            room, left = rooms[int(rng.integers(len(rooms)))], rng.exponential(stay)
            level, tilt = _drawn(rng, room)
        elif at == 0:
            level, tilt = _drawn(rng, room)
        order = order or list(rng.permutation(len(recordings)))
        word = recordings[order.pop()]
        gap = round(np.exp(rng.uniform(*np.log(gaps))) * RATE / GRID) * GRID
        whole = -(-len(word) // GRID) * GRID
        if at + gap + whole > size:
            _noise(rng, sound[at:], level, tilt)
            return Heard(np.clip(sound, -1, 1 - 2**-15), speech, starts)
        sound[at + gap :][: len(word)] = word * _gain(rng.uniform(*LEVELS))
        if room.sounds and rng.uniform() < 0.5:
            _other(rng, sound[at : at + gap], room.sounds)
        _noise(rng, sound[at : at + gap + whole], level, tilt)
        first, last = (at + gap) // STEP, (at + gap + whole) // STEP
        speech[first:last], starts[first] = True, True
        at, left = at + gap + whole, left - (gap + whole) / RATE


def _gain(level: float) -> float:
    return 10 ** (level / 20)


def _drawn(rng: np.random.Generator, room: Room) -> tuple[float, float]:
    """Level in dB and tilt of the noise while one is in a room."""
    return (-np.inf if room.noise is None else rng.uniform(*room.noise)), rng.uniform(*room.tilts)


def _noise(rng: np.random.Generator, sound: np.ndarray, level: float, tilt: float) -> None:
    """Adds noise whose power falls as f^-tilt, in place."""
    if not np.isfinite(level) or not len(sound):
        return
    made = rng.normal(size=len(sound)).astype(np.float32)
    if tilt:
        spectrum = np.fft.rfft(made)
        f = np.maximum(np.fft.rfftfreq(len(sound), 1 / RATE), 50.0)
        shape = f ** (-tilt / 2)
        made = np.fft.irfft(spectrum * shape / np.sqrt(np.mean(shape**2)), len(sound)).astype(np.float32)
    sound += made * np.float32(_gain(level))


def _other(rng: np.random.Generator, gap: np.ndarray, kinds: Sequence[str]) -> None:
    """Adds a sound that is no speech, as loud as speech, somewhere in a gap."""
    length = min(len(gap), int(rng.uniform(0.1, 1.0) * RATE))
    made = SOUNDS[kinds[int(rng.integers(len(kinds)))]](rng, length)
    at = rng.integers(len(gap) - length + 1)
    power = np.square(made).mean() if length else 0.0
    if power > 0:
        gap[at : at + length] += (
            made * np.hanning(length) ** 0.25 / np.sqrt(power) * _gain(rng.uniform(*LEVELS))
        ).astype(np.float32)


def _time(length: int) -> np.ndarray:
    return np.arange(length) / RATE


def _tones(rng: np.random.Generator, length: int) -> np.ndarray:
    """One to three sines."""
    f = rng.uniform(80, 3500, size=(rng.integers(1, 4), 1))
    return np.sin(2 * np.pi * f * _time(length) + rng.uniform(0, 6, size=f.shape)).sum(0)


def _burst(rng: np.random.Generator, length: int) -> np.ndarray:
    """Noise of a random tilt."""
    made = np.zeros(length, np.float32)
    _noise(rng, made, 0.0, rng.uniform(0, 2))
    return made


def _knocks(rng: np.random.Generator, length: int) -> np.ndarray:
    """Some short beats that ring."""
    made, t = np.zeros(length), _time(length)
    for at in rng.uniform(0, length / RATE, size=rng.integers(1, 6)):
        late = np.maximum(t - at, 0)
        made += (t >= at) * np.exp(-late / rng.uniform(0.005, 0.03)) * np.sin(2 * np.pi * rng.uniform(100, 2000) * late)
    return made


def _siren(rng: np.random.Generator, length: int) -> np.ndarray:
    """A sine that goes up and down."""
    f = rng.uniform(400, 1200) + rng.uniform(100, 300) * np.sin(2 * np.pi * rng.uniform(1, 6) * _time(length))
    return np.sin(2 * np.pi * np.cumsum(f) / RATE)


def _buzz(rng: np.random.Generator, length: int) -> np.ndarray:
    """A saw tooth of 50 to 200 Hz, all its harmonics as a voice has them, but none of its formants."""
    return 2 * ((rng.uniform(50, 200) * _time(length)) % 1) - 1


SOUNDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "tones": _tones,
    "burst": _burst,
    "knocks": _knocks,
    "siren": _siren,
    "buzz": _buzz,
}
"""Sounds that are no speech, by name."""


def featured(sound: np.ndarray, block: int = 4000) -> np.ndarray:
    """Features ``(N / STEP, bands)`` of a running detector: a step's frame ends with its own newest samples."""
    options = {name: value for name, value in FEATURES.items() if name not in ("kind", "rate")}
    before = round(FEATURES["frame"] * RATE) - STEP
    padded = np.concatenate([np.zeros(before, np.float32), sound])
    steps = len(sound) // STEP
    made = []
    for at in range(0, steps, block):
        piece = padded[at * STEP : min(at + block, steps) * STEP + before]
        short = (min(at + block, steps) - at) < block and at > 0  # one length: one program to compile
        piece = np.pad(piece, (0, block * STEP + before - len(piece))) if short else piece
        made.append(np.asarray(log_mel(piece, RATE, **options, pad=False))[: min(block, steps - at)])
    return np.concatenate(made)


def chunked(heard: Heard) -> Heard:
    """The stream in chunks of 32 ms, ``(N / GRID, GRID)``, with labels and starts of chunks."""
    pairs = GRID // STEP
    return Heard(
        heard.sound.reshape(-1, GRID),
        np.asarray(heard.speech.reshape(-1, pairs).any(-1)),
        np.asarray(heard.starts.reshape(-1, pairs).any(-1)),
    )
