"""What a method without recurrence sees: statistics of the last steps, for a few lengths of looking back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

STATISTICS = ("mean", "std", "min", "max", "last", "slope")


def features(xs: np.ndarray, windows: Sequence[int]) -> np.ndarray:
    """Statistics of each channel over the last steps, the present one included, and nothing of what comes later.

    At the beginning of a stream the window is what there is.

    Args:
      xs: ``(T, I)`` of one stream, finite.
      windows: how many steps to look back, W of them.

    Returns:
      float32 ``(T, W * 5 * I + I)``: for each window mean, std, min, max and slope (of the line of least squares, for
      each step) of all channels; at the end the last values, which are the same for all windows.

    Raises:
      ValueError: a window below 1.

    Example:
      >>> import numpy as np
      >>> features(np.array([[0.0], [2.0], [4.0]]), [2]).tolist()
      [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 2.0, 2.0, 2.0], [3.0, 1.0, 2.0, 4.0, 2.0, 4.0]]
    """
    if min(windows, default=0) < 1:
        raise ValueError(f"windows={list(windows)}: give at least one, each of 1 step or more.")
    xs = np.asarray(xs, np.float64)
    found = [part for window in windows for part in _window(xs, int(window))]
    return np.concatenate([*found, xs], axis=1, dtype=np.float32)


def _window(xs: np.ndarray, window: int) -> list[np.ndarray]:
    if not len(xs):
        return [xs] * 5
    at = np.arange(len(xs))
    first = np.maximum(at - window + 1, 0)
    count = (at - first + 1)[:, None].astype(float)
    centre = xs.mean(0)  # of the stream: sums of squares keep their digits, and it cancels out
    sums, squares, moments = (
        _sums(values, first, at) for values in (xs - centre, (xs - centre) ** 2, at[:, None] * (xs - centre))
    )
    mean = sums / count
    variance = np.maximum(squares / count - mean**2, 0)
    middle = (first + at)[:, None] / 2
    spread = count * (count**2 - 1) / 12  # sum of (t - middle)^2
    slope = np.where(count > 1, (moments - middle * sums) / np.where(count > 1, spread, 1), 0)
    filters = {"size": window, "axis": 0, "mode": "nearest", "origin": (window - 1) // 2}
    return [mean + centre, np.sqrt(variance), minimum_filter1d(xs, **filters), maximum_filter1d(xs, **filters), slope]


def _sums(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    return total[last + 1] - total[first]
