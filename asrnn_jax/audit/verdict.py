"""From numbers to a verdict: do resets help, do harm, or does the model need none?"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asrnn_jax.audit.collapse import AfterGap
from asrnn_jax.audit.states import Remembrance
from asrnn_jax.streaming.scores import Interval

LEAST = 30  # steps or samples that have to count before anything is said


class Need(enum.StrEnum):
    """What an audit can find."""

    HELPS = "resets help"
    NONE = "needs none"
    HARM = "resets do harm"
    UNCLEAR = "too little data to say"


class Row(NamedTuple):
    """One policy on all streams."""

    policy: str
    resets: float
    """In 1,000 steps."""
    score: Interval
    gain: Interval
    """Over never, positive where it is better."""
    sure: bool
    """Whether the gain is more than chance, all policies of the audit considered together."""
    others: dict[str, float]
    """Further scores."""


class Verdict(NamedTuple):
    """What was found, in words."""

    need: Need
    text: str
    rests_on: tuple[str, ...]
    """The measurements behind it, a line each."""

    def __str__(self) -> str:
        return self.text


class Scale(NamedTuple):
    """How a score is written: shares in per cent and their differences in points, other numbers as they are."""

    name: str
    share: bool
    lower_is_better: bool = False

    @property
    def worse(self) -> str:
        """How a worse score compares with a better one."""
        return "higher" if self.lower_is_better else "lower"

    def difference(self, gain: Interval) -> Interval:
        """Of the score itself: an error falls where there is a gain."""
        return _negative(gain) if self.lower_is_better else gain

    def value(self, number: float) -> str:
        """A score."""
        return f"{100 * number:.1f} %" if self.share else f"{number:.4g}"

    def span(self, found: Interval) -> str:
        """A difference with its interval."""
        if self.share:
            return f"{100 * found.value:.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f})"
        return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"


def judge(
    rows: Sequence[Row],
    gaps: Sequence[AfterGap],
    memory: Remembrance | None,
    *,
    scale: Scale,
    margin: float,
    counted: float,
    streams: int,
) -> Verdict:
    """The verdict.

    Args:
      rows: of all policies, never first.
      gaps: what samples after gaps showed.
      memory: how far outputs depend on the past.
      scale: how to write the score.
      margin: difference of the score that matters.
      counted: how many steps the score is taken of.
      streams: how many streams there are.
    """
    never, others = rows[0], rows[1:]
    rests = _rests(rows, gaps, memory, scale, streams, counted)
    helping = [row for row in others if row.sure and row.gain.value >= margin]
    lost = [gap for gap in gaps if gap.collapses is not None]
    judged = [row for row in others if row.policy == "oracle"] or list(others)
    if counted < LEAST or streams < 2 or not judged or not np.isfinite(never.score.value):
        text = f"{Need.UNCLEAR}: {streams} streams, {counted:.0f} steps that count for {scale.name}"
        return Verdict(Need.UNCLEAR, f"{text}; give at least 2 and {LEAST}.", rests)
    if helping:
        best = max(helping, key=lambda row: row.gain.value)
        text = f"resets make it better by {scale.span(best.gain)}: {scale.name} {scale.value(never.score.value)} never "
        text += f"reset, {scale.value(best.score.value)} with {best.policy}{_after(gaps)}{_interval(helping, scale)}."
        return Verdict(Need.HELPS, text, rests)
    if lost:
        worst = max(lost, key=lambda gap: gap.loss[-1].value)
        text = (
            f"on these streams it needs no reset ({_change(judged[0], scale)}), but{_after(gaps).removeprefix(':')}: "
        )
        text += (
            f"{scale.name} {scale.span(worst.loss[-1])} {scale.worse} than from a fresh state "
            f"after {worst.lengths[-1]} steps."
        )
        return Verdict(Need.HELPS, text, rests)
    harmed = [row for row in judged if row.gain.value <= -margin and row.gain.high < 0]
    if len(harmed) == len(judged):
        least = max(harmed, key=lambda row: row.gain.value)
        text = f"resets do harm: {scale.name} {scale.value(never.score.value)} never reset, worse by "
        text += f"{scale.span(_negative(least.gain))} with {least.policy}{_memory(memory)}."
        return Verdict(Need.HARM, text, rests)
    if all(row.gain.high < margin for row in judged):
        best = max(judged, key=lambda row: row.gain.value)
        text = f"needs none: {scale.name} {scale.value(never.score.value)} never reset; {_change(best, scale)}"
        return Verdict(Need.NONE, f"{text}{_memory(memory)}.", rests)
    best = max(judged, key=lambda row: row.gain.high)
    text = f"{Need.UNCLEAR}: {_change(best, scale)}; more streams, or longer ones, would tell."
    return Verdict(Need.UNCLEAR, text, rests)


def _negative(gain: Interval) -> Interval:
    return Interval(-gain.value, -gain.high, -gain.low)


def _change(row: Row, scale: Scale) -> str:
    return f"with {row.policy} it changes by {scale.span(scale.difference(row.gain))}"


def _after(gaps: Sequence[AfterGap]) -> str:
    """After what it collapses, and after what it does not."""
    lost = [gap for gap in gaps if gap.collapses is not None]
    if not lost:
        return ""
    told = [
        f"{verb} after {' and '.join(_steps(gap) for gap in lost if gap.breaks == breaks)}"
        for verb, breaks in (("collapses", True), ("gets worse", False))
        if any(gap.breaks == breaks for gap in lost)
    ]
    fine = [f"not after {gap.kind}" for gap in gaps if gap.collapses is None]
    return f": it {', '.join([' and '.join(told), *fine])}"


def _steps(gap: AfterGap) -> str:
    """ "37 steps of silence"."""
    if not gap.collapses:
        return f"any {gap.kind}"
    return f"{gap.collapses} step{'s' * (gap.collapses != 1)} of {gap.kind}"


def _interval(helping: Sequence[Row], scale: Scale) -> str:
    rows = [row for row in helping if row.policy.startswith("periodic")]
    if not rows:
        return ""
    best = max(rows, key=lambda row: row.gain.value)
    number = best.policy.removeprefix("periodic(").removesuffix(")")
    return f"; best interval {number} steps ({scale.value(best.score.value)})"


def _memory(memory: Remembrance | None) -> str:
    if memory is None:
        return ""
    if memory.agrees is None:
        return f"; a fresh and a carried state do not agree within {len(memory.fresh)} steps"
    return f"; a fresh and a carried state agree after {memory.agrees} steps"


def _rests(rows, gaps, memory, scale: Scale, streams: int, counted: float) -> tuple[str, ...]:
    lines = [f"{scale.name} of {counted:.0f} steps in {streams} streams; intervals by bootstrap over streams"]
    for row in rows[1:]:
        over = scale.span(scale.difference(row.gain))
        lines.append(f"{row.policy}: {scale.value(row.score.value)}, {over} over never")
    verb = "rises by" if scale.lower_is_better else "loses"
    for gap in gaps:
        lost = "no collapse" if gap.collapses is None else f"collapse after {_steps(gap)}"
        last = f"{verb} {scale.span(gap.loss[-1])} after {gap.lengths[-1]} steps"
        lines.append(f"samples after {gap.kind}: {lost}; {last}")
    return (*lines, *([_memory(memory).removeprefix("; ")] if memory is not None else []))
