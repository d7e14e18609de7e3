"""The streams of an audit, in pieces: from arrays, lists of arrays, or endless streams of `asrnn_jax.streaming`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.streaming import Gaps, Stream, windows
from asrnn_jax.streaming.scores import events
from asrnn_jax.typing import Bool, Float, Int


class Piece(NamedTuple):
    """A stretch of B streams."""

    xs: Float[np.ndarray, "B T I"]
    labels: Int[np.ndarray, "B T"]
    """-1 in gaps, and -1 behind the end of a stream that is shorter than others."""
    starts: Bool[np.ndarray, "B T"]
    ends: Bool[np.ndarray, "B T"]
    there: Bool[np.ndarray, "B T"]
    """False behind the end of a stream."""


class Source(NamedTuple):
    """B streams of at most `steps` steps."""

    streams: int
    steps: int
    piece: Callable[[int, int], Piece]
    """``(start, steps) -> Piece``"""


def join(
    samples: np.ndarray,
    labels: np.ndarray,
    *,
    lengths: np.ndarray | None = None,
    streams: int = 10,
    gaps: tuple[int, int] = (10, 60),
    kinds: tuple[str, ...] = ("silence",),
    level: float | tuple[float, float] = (0.05, 0.5),
    seed: int = 0,
) -> list[Stream]:
    """Endless streams of samples that are joined with gaps, for `asrnn_jax.audit.resets`.

    Args:
      samples: ``(N, T, I)``; they are shared out, so that no two streams have one in common where there are enough.
      labels: ``(N,)``, at least 0.
      lengths: ``(N,)`` steps of each sample.
      streams: how many.
      gaps: steps of the shortest and of the longest.
      kinds: of the gaps, see `asrnn_jax.streaming.Gaps`.
      level: root mean square of the noise in gaps, or its range.
      seed: all follows from it.

    Raises:
      ValueError: as `asrnn_jax.streaming.Stream`; fewer than 1 stream.

    Example:
      >>> import numpy as np
      >>> from asrnn_jax import audit
      >>> streams = audit.join(np.ones((20, 8, 2)), np.arange(20) % 5, streams=4, gaps=(3, 9))
      >>> streams[0].window(0, 30).xs.shape
      (30, 2)
    """
    if streams < 1:
        raise ValueError(f"streams={streams}: give at least 1.")
    samples, labels = np.asarray(samples), np.asarray(labels)
    low, high = (level, level) if isinstance(level, int | float) else level
    between = Gaps(*gaps, kinds=tuple(kinds), quietest=low, loudest=high)
    order = np.random.default_rng(seed).permutation(len(samples))
    shares = np.array_split(order, streams) if len(samples) >= 2 * streams else [order] * streams
    lengths = np.full(len(samples), samples.shape[1]) if lengths is None else np.asarray(lengths)
    return [
        Stream(samples[own], labels[own], lengths=lengths[own], gaps=between, seed=1000 * seed + i)
        for i, own in enumerate(shares)
    ]


def source(streams: Any, labels: Any = None, *, starts: Any = None, steps: int | None = None) -> Source:
    """The streams that a user gave.

    Raises:
      ValueError: no streams, labels of other lengths, values that are not finite (in which stream, since when).
    """
    if isinstance(streams, Sequence) and len(streams) and all(isinstance(each, Stream) for each in streams):
        return _of_streams(list(streams), labels, steps)
    if isinstance(streams, list | tuple):
        given = [np.asarray(each) for each in streams]
    else:
        whole: Any = np.asarray(streams)
        given = [whole] if whole.ndim == 2 else list(whole) if whole.ndim == 3 else []
    if not given or any(each.ndim != 2 or not len(each) for each in given):
        raise ValueError(f"streams: give (B, T, I), (T, I), a list of (T, I), or of Streams; not {_said(streams)}.")
    if labels is None:
        raise ValueError("labels=None: give one label a step, -1 where nothing is.")
    xs = padded(given, 0.0)
    lengths = np.array([len(each) for each in given])
    y = padded(_rows("labels", labels, lengths), -1)
    for b, each in enumerate(given):
        bad = ~np.isfinite(each).all(-1)
        if bad.any():
            raise ValueError(f"streams: stream {b} is not finite at step {bad.argmax()}: fill in what is missing.")
    there = np.arange(xs.shape[1]) < lengths[:, None]
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"labels have dtype {y.dtype}: give whole numbers, -1 where nothing is.")
    y = np.where(there, y, -1).astype(np.int32)
    begins = None if starts is None else padded(_rows("starts", starts, lengths), False).astype(bool)
    found = events(y, begins)
    first, last = np.zeros(y.shape, bool), np.zeros(y.shape, bool)
    first[found.stream, found.start], last[found.stream, found.stop - 1] = True, True
    leaves = (xs.astype(np.float32), y, first, last, there)

    def piece(start: int, number: int) -> Piece:
        return Piece(*(leaf[:, start : start + number] for leaf in leaves))

    total = xs.shape[1] if steps is None else min(steps, xs.shape[1])
    return Source(len(given), total, piece)


def _of_streams(streams: list[Stream], labels: Any, steps: int | None) -> Source:
    if labels is not None:
        raise ValueError("labels: Streams have their own; give None.")
    if steps is None or steps < 1:
        raise ValueError(f"steps={steps}: Streams never end; give how many steps of each.")

    def piece(start: int, number: int) -> Piece:
        window = windows(streams, start, number)
        if not window.valid.all():
            b, t = np.argwhere(~window.valid)[0]
            raise ValueError(f"streams: stream {b} has no value at step {start + t}: make it with missing=0.")
        return Piece(window.xs, window.labels, window.starts, window.ends, np.ones(window.labels.shape, bool))

    return Source(len(streams), steps, piece)


def _rows(name: str, values: Any, lengths: np.ndarray) -> list[np.ndarray]:
    several = isinstance(values, list | tuple) and len(values) and all(np.ndim(each) for each in values)
    arrays = [np.asarray(each) for each in values] if several else np.asarray(values)
    if isinstance(arrays, np.ndarray):
        arrays = [arrays] if arrays.ndim == 1 else list(arrays)
    if [np.shape(each) for each in arrays] != [(n,) for n in lengths]:
        shapes = [np.shape(each) for each in arrays]
        wrong = next((b for b, (s, n) in enumerate(zip(shapes, lengths)) if s != (n,)), min(len(shapes), len(lengths)))
        have = f"{shapes[wrong]}" if wrong < len(shapes) else "nothing"
        need = f"({lengths[wrong]},)" if wrong < len(lengths) else "nothing"
        raise ValueError(f"{name}: stream {wrong} has {have}, its steps are {need}; give one a step of each stream.")
    return arrays


def padded(arrays: Sequence[np.ndarray], value: Any) -> np.ndarray:
    """Arrays ``(T, ...)`` as one, ``(B, T, ...)``, with `value` behind the end of shorter ones."""
    longest = max(map(len, arrays))
    if all(len(each) == longest for each in arrays):
        return np.stack(arrays)
    out = np.full((len(arrays), longest, *arrays[0].shape[1:]), value, np.result_type(*arrays))
    for row, each in zip(out, arrays):
        row[: len(each)] = each
    return out


def _said(streams: Any) -> str:
    return f"shape {streams.shape}" if isinstance(streams, np.ndarray) else f"{type(streams).__name__}"
