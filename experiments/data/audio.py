"""Speech as sequences: WAV folders to the library's log-mel features.

Silence is exactly 0 in these features, so that digital silence in a stream is what a microphone that is off would give.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax import features
from experiments.data import inside
from experiments.errors import UsageError

HOP = 0.016  # seconds from step to step
FEATURES = {"kind": "log_mel", "bands": 40, "frame": 0.032, "hop": HOP, "lowest": 20.0, "floor": 1e-6}
SECONDS = 1.5  # of a recording that are kept
MAX_BYTES = 1 << 26  # no recording of a word, or of some minutes of noise, is larger


class Speech(NamedTuple):
    """Log-mel features of single words, ``(N, T, bands)`` padded with silence, ``lengths (N,)``, ``labels (N,)``."""

    train: np.ndarray
    train_lengths: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_lengths: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    background: np.ndarray | None
    """``(steps, bands)`` of recorded noise, where there is some."""
    features: dict[str, Any]
    """What `asrnn_jax.features.of` makes them by."""


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
    settings = FEATURES | {"rate": rates[0]}
    xs, lengths = _features(sounds, settings)
    labels, test = np.array([classes.index(word) for word in words], np.int32), np.array(tests)
    if test.all() or not test.any():
        raise UsageError(
            f"--data-dir {data_dir}: {test.sum()} of {len(test)} files are test files; both sets are needed."
        )
    sets = (xs[~test], lengths[~test], labels[~test], xs[test], lengths[test], labels[test])
    return Speech(*sets, classes, _background(root / "_background_noise_", settings), settings)


def _background(folder: Path, settings: dict[str, Any]) -> np.ndarray | None:
    rate, found = settings["rate"], []
    options = {name: value for name, value in settings.items() if name not in ("kind", "rate")}
    for path in sorted(folder.glob("*.wav")):
        sound, its_rate = read_wav(path)
        if its_rate != rate:
            raise UsageError(f"{path}: {its_rate} Hz, the words have {rate} Hz; give one rate.")
        if len(sound) > round(settings["frame"] * rate):
            found.append(np.asarray(features.log_mel(sound, rate, **options, pad=False)))
    return np.concatenate(found) if found else None


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Samples in [-1, 1) and the sampling rate of a mono 16 bit PCM file.

    Raises:
      UsageError: another kind of file, or a damaged one.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than a recording of a word can be.")
        return features.read_wav(path)
    except (ValueError, OSError) as e:
        raise UsageError(f"{e}") from e


def _features(sounds: tuple[np.ndarray, ...], settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    rate = settings["rate"]
    hop, most = round(HOP * rate), round(SECONDS * rate)
    padded = np.zeros((len(sounds), most), np.float32)
    for row, sound in zip(padded, sounds):
        row[: min(len(sound), most)] = sound[:most]
    make = features.of({"features": settings})
    blocks = [np.asarray(make(block, rate)) for block in np.array_split(padded, max(1, len(padded) // 256))]
    lengths = np.array([max(1, -(-min(len(sound), most) // hop)) for sound in sounds])
    return np.concatenate(blocks)[:, : lengths.max()], lengths
