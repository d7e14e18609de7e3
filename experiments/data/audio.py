"""Speech as sequences: WAV folders to log-mel features, computed in JAX.

Silence is exactly 0 in these features, so that digital silence in a stream is what a microphone that is off would give.
"""

from __future__ import annotations

import wave
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.data import inside
from experiments.errors import UsageError

FRAME, HOP, MELS = 0.032, 0.016, 40  # seconds, seconds, channels
FLOOR = 1e-6  # mel power, over that of a full-scale sine, below which sound counts as silence
SECONDS = 1.5  # of a recording that are kept
MAX_BYTES = 1 << 26  # no recording of a word, or of some minutes of noise, is larger


class Speech(NamedTuple):
    """Log-mel features of single words, ``(N, T, MELS)`` padded with silence, ``lengths (N,)``, ``labels (N,)``."""

    train: np.ndarray
    train_lengths: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_lengths: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    background: np.ndarray | None
    """``(steps, MELS)`` of recorded noise, where there is some."""


def load_speech(data_dir: str | None) -> Speech:
    """Loads a folder of WAV files in one of two layouts.

    Free Spoken Digit Dataset: ``digit_speaker_index.wav``, indices below 5 are the test set. Speech Commands: one
    folder a word, ``testing_list.txt`` names the test set, ``_background_noise_`` may have recordings of noise. Looks
    in the subfolders spoken_digit and speech_commands first, then in the folder itself.

    Raises:
      UsageError: no such folder, no WAV files in these layouts, files that are no mono 16 bit PCM or of several rates.
    """
    if data_dir is None or not Path(data_dir).expanduser().is_dir():
        raise UsageError(f"--data-dir {data_dir}: give the folder with the WAV files.")
    root = inside(data_dir, "spoken_digit", "speech_commands")
    flat = sorted(root.glob("[0-9]_*_*.wav"))
    if flat:
        words = [path.name.split("_")[0] for path in flat]
        tests = [
            int(path.stem.rsplit("_", 1)[1]) < 5 if path.stem.rsplit("_", 1)[1].isdigit() else False for path in flat
        ]
    else:
        flat = sorted(path for path in root.glob("*/*.wav") if not path.parent.name.startswith("_"))
        listed = root / "testing_list.txt"
        if not flat or not listed.exists():
            raise UsageError(
                f"--data-dir {data_dir}: no WAV files found. Either digit_speaker_index.wav in one folder (Free Spoken "
                "Digit Dataset), or a folder a word and testing_list.txt (Speech Commands)."
            )
        words = [path.parent.name for path in flat]
        names = set(listed.read_text().split())
        tests = [f"{path.parent.name}/{path.name}" in names for path in flat]
    classes = tuple(sorted(set(words)))
    sounds, rates = zip(*map(read_wav, flat))
    if len(set(rates)) > 1:
        raise UsageError(
            f"--data-dir {data_dir}: files of several sampling rates, {sorted(set(rates))} Hz; give one rate."
        )
    features, lengths = _features(sounds, rates[0])
    labels, test = np.array([classes.index(word) for word in words], np.int32), np.array(tests)
    if test.all() or not test.any():
        raise UsageError(
            f"--data-dir {data_dir}: {test.sum()} of {len(test)} files are test files; both sets are needed."
        )
    sets = (features[~test], lengths[~test], labels[~test], features[test], lengths[test], labels[test])
    return Speech(*sets, classes, _background(root / "_background_noise_", rates[0]))


def _background(folder: Path, rate: int) -> np.ndarray | None:
    found = []
    for path in sorted(folder.glob("*.wav")):
        sound, its_rate = read_wav(path)
        if its_rate != rate:
            raise UsageError(f"{path}: {its_rate} Hz, the words have {rate} Hz; give one rate.")
        if len(sound) > round(FRAME * rate):
            found.append(np.asarray(log_mel(sound, rate=rate)))
    return np.concatenate(found) if found else None


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Samples in [-1, 1) and the sampling rate of a mono 16 bit PCM file.

    Raises:
      UsageError: another kind of file, or a damaged one.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than a recording of a word can be.")
        with wave.open(str(path), "rb") as file:
            if file.getnchannels() != 1 or file.getsampwidth() != 2:
                raise UsageError(
                    f"{path}: {file.getnchannels()} channels of {8 * file.getsampwidth()} bit; give mono 16 bit."
                )
            rate, data = file.getframerate(), file.readframes(min(file.getnframes(), MAX_BYTES))
    except (wave.Error, EOFError, OSError, RuntimeError) as e:
        raise UsageError(f"{path} is no readable WAV file ({e or type(e).__name__}).") from e
    if rate < 1000 or len(data) < 2:
        raise UsageError(f"{path}: {len(data) // 2} samples at {rate} Hz is no recording.")
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / 32768, rate


def _features(sounds: tuple[np.ndarray, ...], rate: int) -> tuple[np.ndarray, np.ndarray]:
    frame, hop = round(FRAME * rate), round(HOP * rate)
    most = round(SECONDS * rate)
    padded = np.zeros((len(sounds), most + frame), np.float32)
    for row, sound in zip(padded, sounds):
        row[: min(len(sound), most)] = sound[:most]
    blocks = [log_mel(block, rate=rate) for block in np.array_split(padded, max(1, len(padded) // 256))]
    features = np.concatenate([np.asarray(block) for block in blocks])
    lengths = np.array([max(1, -(-min(len(sound), most) // hop)) for sound in sounds])
    return features[:, : lengths.max()], lengths


@partial(jax.jit, static_argnames="rate")
def log_mel(sound: jax.Array, *, rate: int) -> jax.Array:
    """Log-mel features ``(*B, T, MELS)`` of sound ``(*B, samples)`` in [-1, 1).

    ``log10(1 + mel / floor)``, of the power of a full-scale sine as 1: 0 for silence, about 6 at the loudest. Frames of
    32 ms with a Hann window, every 16 ms.
    """
    frame, hop = round(FRAME * rate), round(HOP * rate)
    starts = np.arange(0, sound.shape[-1] - frame + 1, hop)
    frames = jnp.asarray(sound)[..., starts[:, None] + np.arange(frame)]
    frames = frames * jnp.broadcast_to(jnp.asarray(np.hanning(frame), frames.dtype), frames.shape)
    power = jnp.abs(jnp.fft.rfft(frames, axis=-1)) ** 2 / (0.25 * frame) ** 2
    return jnp.log10(1 + power @ mel_filters(rate, frame) / FLOOR)


def mel_filters(rate: int, frame: int) -> np.ndarray:
    """``(frame // 2 + 1, MELS)`` triangles, evenly spaced on the mel scale ``2595 log10(1 + f / 700)`` from 20 Hz."""

    def mel(f):
        return 2595 * np.log10(1 + f / 700)

    edges = 700 * (10 ** (np.linspace(mel(20.0), mel(rate / 2), MELS + 2) / 2595) - 1)
    f = np.fft.rfftfreq(frame, 1 / rate)[:, None]
    rising, falling = (f - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - f) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
