"""Data of the command: a folder of WAV files as streams for a detector or a trained network, and tables of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax import features
from asrnn_jax.audit.sources import padded


class Samples(NamedTuple):
    """Recordings as sequences, N of them, padded to T steps."""

    xs: np.ndarray
    """``(N, T, I)``"""
    labels: np.ndarray
    """``(N,)``"""
    lengths: np.ndarray
    """``(N,)``"""
    rate: int
    seconds: float
    """Of a step."""


def wav_files(folder: Path, number: int, seed: int) -> list[Path]:
    """So many WAV files of a folder and its subfolders, drawn at random.

    Raises:
      ValueError: there are none.
    """
    files = sorted(path for path in folder.rglob("*.wav") if not path.parent.name.startswith("_"))
    if not files:
        raise ValueError(f"--data {folder}: no WAV files found.")
    chosen = np.random.default_rng(seed).permutation(len(files))[:number]
    return [files[i] for i in sorted(chosen)]


def chunked(files: Sequence[Path], chunk: int) -> Samples:
    """Recordings cut into chunks of so many samples, for a detector: each is of class 0, something. What is left at the
    end of a recording and fills no chunk is left out.

    Raises:
      ValueError: several rates, recordings that are too short.
    """
    sounds, rate = _sounds(files)
    cut = [sound[: len(sound) // chunk * chunk].reshape(-1, chunk) for sound in sounds]
    cut = [each for each in cut if len(each)]
    if not cut:
        raise ValueError(f"--chunk {chunk}: no recording has so many samples.")
    lengths = np.array([len(each) for each in cut])
    return Samples(padded(cut, 0.0), np.zeros(len(cut), np.int32), lengths, rate, chunk / rate)


def featured(files: Sequence[Path], card: dict[str, Any]) -> Samples:
    """Recordings as the features of a trained network, of the class that their name or folder begins with; for a
    detector, whose card has one label, all of that one.

    Raises:
      ValueError: several rates, another rate than in training, names of no class.
    """
    make: Callable[..., Any] = features.of(card)
    if card["features"].get("kind") != "log_mel":
        raise ValueError(f"--data: this network takes {card['features'].get('kind')}, not sound; give a CSV file.")
    sounds, rate = _sounds(files)
    known = [str(each) for each in card.get("labels", ())]
    labels = []
    for path in files:
        if len(known) == 1:
            labels.append(0)
            continue
        names = [path.stem.split("_")[0], path.parent.name]
        found = next((name for name in names if name in known), None)
        if found is None:
            raise ValueError(f"{path}: neither its name nor its folder begins with a class: {', '.join(known)}.")
        labels.append(known.index(found))
    hop = float(card["features"]["hop"])
    steps = [max(1, -(-len(sound) // round(hop * rate))) for sound in sounds]
    longest = max(map(len, sounds))
    alike = [np.pad(sound, (0, longest - len(sound))) for sound in sounds]  # one length: one program to compile
    made = [np.asarray(make(sound, rate))[:number] for sound, number in zip(alike, steps)]
    lengths = np.array([len(each) for each in made])
    return Samples(padded(made, 0.0), np.array(labels, np.int32), lengths, rate, hop)


def _sounds(files: Sequence[Path]) -> tuple[list[np.ndarray], int]:
    sounds, rates = zip(*(features.read_wav(path) for path in files))
    if len(set(rates)) > 1:
        raise ValueError(f"--data: files of several sampling rates, {sorted(set(rates))} Hz; give one rate.")
    return list(sounds), rates[0]


class Steps(NamedTuple):
    """A table as streams."""

    streams: list[np.ndarray]
    """``(T, I)`` each."""
    labels: list[np.ndarray]
    """``(T,)`` each."""


def from_table(path: Path, *, label: str, stream: str | None, time: str | None, detector: bool) -> Steps:
    """A CSV (or other) file with one row a step as streams, in order of time.

    Labels that are whole numbers are the classes; words are numbered in their order. A row without one is a gap; for a
    detector so is the label 0.

    Raises:
      ValueError: columns that are not there, channels with missing values.
    """
    from asrnn_jax.estimators import as_table

    table = as_table(path, label=label, stream=stream, time=time)
    if table.labels is None:
        raise ValueError(f"{path}: no column of labels; name it by --label.")
    words, codes = [str(word) for word in table.labels.values], table.labels.codes
    whole = all(word.lstrip("-").isdigit() for word in words)
    values = np.array([int(word) if whole else i for i, word in enumerate(words)])
    y = np.where(codes < 0, -1, values[np.maximum(codes, 0)]) if len(words) else codes
    y = np.where(y == 0, -1, y) if detector and whole else y
    xs = np.stack(list(table.channels.values()), axis=-1).astype(np.float32)
    streams, labels = [], []
    for code in range(len(table.stream.values)):
        rows = np.flatnonzero(table.stream.codes == code)
        if table.times is not None:
            rows = rows[np.argsort(table.times[rows], kind="stable")]
        streams.append(xs[rows])
        labels.append(y[rows].astype(np.int32))
    return Steps(streams, labels)
