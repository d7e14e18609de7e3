"""What is measured of each channel: its middle and spread, and whether it says anything."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from asrnn_jax.estimators.findings import Finding, counted

NORMAL = 1.3489795003921634
"""The distance of the quartiles of a normal distribution of variance 1."""


class Spread(NamedTuple):
    """Of one column of numbers."""

    median: float
    scale: float
    """The distance of the quartiles, divided by that of a normal distribution; the standard deviation where that is 0;
    0 where there is nothing to scale."""
    missing: int
    infinite: int


def spread(values: np.ndarray) -> Spread:
    """Median and scale of the finite values of a column.

    Example:
      >>> found = spread(np.array([1.0, 2.0, 3.0, np.nan, 4.0, np.inf]))
      >>> found.median, round(found.scale, 4), found.missing, found.infinite
      (2.5, 1.112, 1, 1)
    """
    missing, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    finite = values[np.isfinite(values)] if missing or infinite else values
    if not len(finite) or finite.min() == finite.max():
        return Spread(float(finite[0]) if len(finite) else 0.0, 0.0, missing, infinite)
    low, median, high = np.percentile(finite, [25, 50, 75])
    with np.errstate(over="ignore", under="ignore"):
        scale = (high - low) / NORMAL
        if not scale > 0:
            most = np.abs(finite - median).max()  # before squaring: squares of 1e-200 are 0, of 1e200 infinite
            scale = most * np.sqrt(np.mean(((finite - median) / most) ** 2))
    usable = np.isfinite(scale) and scale > 0
    return Spread(float(median), float(scale) if usable else 0.0, missing, infinite)


def said(name: str, found: Spread, rows: int) -> list[Finding]:
    """What is to be said about a channel."""
    if found.missing == rows:
        text = f"Channel {name!r} has no value at all: left out."
        return [Finding("empty_channel", "serious", name, rows, text)]
    if not found.scale:
        text = f"Channel {name!r} is {found.median:g} on all rows where it has a value: left out, for it says nothing."
        return [Finding("constant_channel", "repair", name, rows, text)]
    return gaps(name, found.missing, found.infinite, rows)


def gaps(name: str, missing: int, infinite: int, rows: int) -> list[Finding]:
    """What is to be said about missing and infinite values of a channel."""
    findings = []
    if missing:
        severity = "serious" if missing > rows / 2 else "repair"
        text = f"Channel {name!r} lacks {counted(missing, 'value')} ({missing / rows:.1%}): the last value is held."
        findings.append(Finding("missing", severity, name, missing, text))
    if infinite:
        text = f"Channel {name!r} has {counted(infinite, 'infinite value')}: taken as missing."
        findings.append(Finding("infinite", "repair", name, infinite, text))
    return findings
