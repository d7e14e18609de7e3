"""Samples that streams are made of: images by rows or pixels, and speech."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax import features, streaming
from experiments.config import Stream
from experiments.data.images import LABELS, load_images
from experiments.errors import UsageError


class Samples(NamedTuple):
    """``(N, T, I)``, ``(N,)``, ``(N,)``"""

    xs: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray
    background: np.ndarray | None = None
    """``(steps, I)`` of recorded noise, where the data have some."""
    features: dict[str, Any] | None = None
    """What `asrnn_jax.features.of` makes xs by."""
    names: tuple[str, ...] | None = None
    """Of the classes."""


def load_samples(config: Stream) -> tuple[Samples, Samples, int]:
    """Training samples, test samples, number of classes.

    Raises:
      UsageError: data that are missing or damaged.
    """
    return _load(config.dataset, config.data_dir, config.download, config.by)


@lru_cache(maxsize=1)
def _load(dataset: str, data_dir: str | None, download: bool, by: str) -> tuple[Samples, Samples, int]:
    if dataset == "speech":
        from experiments.data.audio import load_speech

        speech = load_speech(data_dir)
        about = (speech.background, speech.features, speech.classes)
        train = Samples(speech.train, speech.train_labels, speech.train_lengths, *about)
        test = Samples(speech.test, speech.test_labels, speech.test_lengths, *about)
        return train, test, len(speech.classes)
    images = load_images(dataset, data_dir, download)
    settings = {"kind": "pixels", "rows": by == "rows", "permutation": None, "scale": 255.0}

    def sequences(pixels, labels):
        xs = np.asarray(features.of({"features": settings})(pixels))
        lengths = np.full(len(labels), xs.shape[1])
        return Samples(xs, labels.astype(np.int32), lengths, features=settings, names=LABELS[dataset])

    train, test = sequences(images.train_images, images.train_labels), sequences(images.test_images, images.test_labels)
    return train, test, images.classes


def stream_of(samples: Samples, seed: int, gaps: streaming.Gaps, **disturbances: float) -> streaming.Stream:
    xs, labels, lengths, background = samples[:4]
    return streaming.Stream(xs, labels, lengths=lengths, gaps=gaps, background=background, seed=seed, **disturbances)


class Streams(NamedTuple):
    """What the training streams of a run follow from. Runs that have the same can share them."""

    data: tuple[str, str | None, bool, str]
    """What `load_samples` goes by."""
    gaps: streaming.Gaps
    batch: int
    seed: int


def streams_of(config: Stream) -> Streams:
    """The training streams of a run."""
    data = (config.dataset, config.data_dir, config.download, config.by)
    return Streams(data, gaps_of(config, _load(*data)[0]), config.training.batch, config.training.seed)


@lru_cache(maxsize=1)
def training_streams(streams: Streams) -> list[streaming.Stream]:
    """Each with a seed of its own, so that no two runs with different seeds have one in common."""
    train = _load(*streams.data)[0]
    return [stream_of(train, 1 + streams.batch * streams.seed + i, streams.gaps) for i in range(streams.batch)]


@lru_cache(maxsize=512)
def kept_window(streams: Streams, start: int, steps: int) -> streaming.Window:
    """A window of the training streams, kept for short runs on the same streams one after another."""
    return streaming.windows(training_streams(streams), start, steps)


def gaps_of(config: Stream, samples: Samples) -> streaming.Gaps:
    """The gaps of training; recorded noise is one of their kinds where there is some.

    Raises:
      UsageError: unknown kinds.
    """
    recorded = () if samples.background is None else (streaming.BACKGROUND,)
    try:
        return streaming.Gaps(config.shortest, config.longest, (*config.kinds, *recorded))
    except ValueError as e:
        raise UsageError(f"--kinds: {e}") from e
