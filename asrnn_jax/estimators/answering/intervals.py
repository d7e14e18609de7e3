"""A forecaster's answers beside what came: how wide intervals have to be to hold what they say, how rare surprises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asrnn_jax.estimators.answering.number_answers import Reader, Said
from asrnn_jax.estimators.learning.endless import Recording
from asrnn_jax.estimators.preparing.series import Series

USUAL = 0.9
"""Two networks are compared by the surprise that so many of the steps do not reach."""
KNOWN = 0.75
"""At least so many of the answers where something is known stay narrower than "don't know"."""


class Calibration(NamedTuple):
    """What is true of the answers on data that the network has not seen."""

    marginal: np.ndarray
    """(K,): half of the width of the marginal interval."""
    wide: np.ndarray
    """(K,): share of the marginal width from which on an interval is as wide as those in gaps: it becomes the marginal
    one, narrower ones are wider by the same factor."""
    odds: np.ndarray
    """(K,): factor on ``r / (1 - r)``, r the width after that over the marginal one, with which intervals hold what
    they say. So narrow ones are scaled, and "don't know" stays "don't know"."""
    surprises: np.ndarray
    """(N,), from the least on."""
    levels: np.ndarray
    """(N,): -log10 of the share of steps that reach each."""

    def half(self, raw: np.ndarray) -> np.ndarray:
        """Half of the calibrated width, (..., K); what is wider than the marginal interval stays as it is."""
        share = widened(raw / self.marginal, self.wide)
        scaled = share * self.odds / np.maximum(1 - share + share * self.odds, 1e-9)
        return self.marginal * np.where(share < 1, scaled, share)

    def surprise(self, raw: np.ndarray) -> np.ndarray:
        """From what the distributions say to what was seen; beyond the largest that was seen it goes on by itself."""
        return np.interp(raw, self.surprises, self.levels) + np.maximum(raw - self.surprises[-1], 0)

    def of(self, said: Said) -> Said:
        """What was said, calibrated."""
        return Said(said.mean, self.half(said.half), self.surprise(said.surprise))


class Trial(NamedTuple):
    """How a network's answers on some streams compare with what came: see `Calibration`."""

    wide: np.ndarray
    odds: np.ndarray
    surprises: np.ndarray

    def instead(self, of: Trial, now: Trial) -> Trial:
        """What is to be expected of another network where this was found.

        Known are what was found of both on what they were trained on: `of` the network of this trial, and `now` of the
        other. Odds and surprises change by the same factors as there.
        """
        before, after = (np.quantile(each.surprises, USUAL) if len(each.surprises) else 1.0 for each in (of, now))
        factor = after / before if before > 0 and after > 0 else 1.0
        return Trial(now.wide, self.odds * now.odds / of.odds, self.surprises * factor)


def attempt(
    reader: Reader, series: Sequence[Series], outputs: Sequence[np.ndarray], wide: np.ndarray | float = 1.0
) -> Trial:
    """Compares what a network says of streams with what came; `wide` is its `width_in_gaps`."""
    said = [reader.said(one, ys) for one, ys in zip(series, outputs)]
    errors = np.concatenate([np.abs(reader.ahead(one) - found.mean) for one, found in zip(series, said)])
    shares = np.concatenate([found.half for found in said]) / reader.marginal
    known = np.where(np.isfinite(errors), shares, np.nan)
    most = [np.quantile(each[~np.isnan(each)], KNOWN) if (~np.isnan(each)).any() else 1.0 for each in known.T]
    wide = np.clip(wide, most, np.maximum(most, 1))
    scaled = widened(shares, wide)
    odds = np.array([_odds(*each, reader.level) for each in zip((errors / reader.marginal).T, scaled.T)])
    found = np.concatenate([one.surprise for one in said])
    return Trial(wide, odds, np.sort(found[np.isfinite(found)]))


def calibrate(reader: Reader, found: Trial) -> Calibration:
    """So that answers hold what they say where this is found."""
    reach = np.arange(len(found.surprises), 0, -1)  # so many steps reach each
    levels = np.log10((len(reach) + 1) / reach)
    values = (reader.marginal, found.wide, found.odds, found.surprises, levels)
    return Calibration(*(np.asarray(each, np.float32) for each in values))


def width_in_gaps(
    reader: Reader, streams: Sequence[Recording], outputs: Sequence[np.ndarray], settle: int
) -> np.ndarray:
    """(K,): median width over the marginal's, of steps of gaps after the first `settle` of each; 1 without gaps."""
    found = [np.zeros((0, len(reader.now)))]
    for one, ys in zip(streams, outputs):
        count = np.arange(1, len(one.xs) + 1)
        since = count - np.maximum.accumulate(np.where(one.informative > 0, count, 0))
        came = np.full((len(one.xs), len(reader.now)), np.nan, np.float32)
        half = reader.read(reader.start(), ys, one.xs, came)[1].half
        found.append(half[(since > settle) & (one.counted > 0)] / reader.marginal)
    shares = np.concatenate(found)
    return np.median(shares, axis=0) if len(shares) else np.ones(len(reader.now))


def widened(share: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """Shares of the marginal width, of which `wide` becomes 1; those above 1 stay."""
    return np.where(share < 1, np.minimum(share / wide, 1), share)


def _odds(errors: np.ndarray, halves: np.ndarray, level: float) -> float:
    """The factor with which a share `level` of errors lies within half an interval, all over the marginal half."""
    there = np.isfinite(errors)
    errors, halves = errors[there], halves[there]
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = errors / (1 - errors) * (1 - halves) / halves
    needed = np.where(errors >= 1, np.inf, needed)
    needed = np.where(halves >= 1, np.where(errors <= halves, 0.0, np.inf), needed)
    return float(np.clip(np.quantile(needed, level, method="higher"), 1e-3, 1e3)) if len(needed) else 1.0
