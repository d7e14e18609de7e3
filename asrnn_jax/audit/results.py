"""What an audit returns: numbers, table, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asrnn_jax.audit.collapse import AfterGap
from asrnn_jax.audit.states import Remembrance, StateReport
from asrnn_jax.audit.verdict import Row, Scale, Verdict
from asrnn_jax.streaming.scores import Interval


class Text(str):
    """Text that a notebook shows as it is."""

    def __repr__(self) -> str:
        return str.__str__(self)


@dataclass(frozen=True)
class Found:
    """What `asrnn_jax.audit.resets` returns. P policies, K stretches of the streams, S times since a reset."""

    model: str
    scale: Scale
    """The name of the score, and how it is written."""
    streams: int
    steps: int
    """Of the longest stream."""
    rows: tuple[Row, ...]
    """One a policy; never is the first."""
    by_part: np.ndarray
    """``(P, K)``: the score along the streams; NaN where nothing counts."""
    times: np.ndarray
    """``(S,)``: 0, 1, 2, 4, 8, ...: the shortest of each time since a reset."""
    by_since: np.ndarray
    """``(P, S)``: the score by the time since the last reset."""
    fresh: float
    """The score of single samples from a fresh state; NaN where there were too few samples."""
    gaps: tuple[AfterGap, ...]
    """What samples after gaps showed."""
    state: StateReport
    memory: Remembrance
    verdict: Verdict

    def row(self, policy: str) -> Row:
        """The row of a policy, by its name or the beginning of it.

        Raises:
          ValueError: there is none.
        """
        found = next((row for row in self.rows if row.policy.startswith(policy)), None)
        if found is None:
            raise ValueError(f"policy={policy!r}: there are {', '.join(row.policy for row in self.rows)}.")
        return found

    def table(self) -> Text:
        """All numbers as Markdown tables."""
        show = self.scale.value
        others = list(self.rows[0].others)
        head = ("policy", "resets / 1,000 steps", self.scale.name, "95 %", "over never", "95 %", *others)
        lines: list[tuple[str, ...]] = [head]
        for row in self.rows:
            over = self.scale.difference(row.gain)
            gain = ("", "") if row is self.rows[0] else (self._signed(over.value), self._between(over))
            more = (show(row.others[name]) for name in others)
            lines.append((row.policy, f"{row.resets:.1f}", show(row.score.value), self._plain(row.score), *gain, *more))
        blocks = [_table(lines), f"{self.scale.name} along the streams, by stretch:"]
        last = self.by_part.shape[1]
        lines = [("policy", *(f"{(k + 1) * 100 // last} %" for k in range(last)))]
        lines += [(row.policy, *map(self._or_dash, values)) for row, values in zip(self.rows, self.by_part)]
        blocks += [_table(lines), f"{self.scale.name} by steps since the last reset, or since the beginning:"]
        kept = np.isfinite(self.by_since).any(0)
        lines = [("policy", *(f"{t}" for t in self.times[kept]))]
        lines += [(row.policy, *map(self._or_dash, values[kept])) for row, values in zip(self.rows, self.by_since)]
        blocks.append(_table(lines))
        if self.gaps:
            blocks.append(f"{self.scale.name} of samples after a past of so many steps; {show(self.fresh)} when fresh:")
            lines = [("past", *(f"{n}" for n in self.gaps[0].lengths), "worse after")]
            lines += [
                (g.kind, *map(self._or_dash, g.score), "-" if g.collapses is None else f"{g.collapses}")
                for g in self.gaps
            ]
            blocks.append(_table(lines))
        blocks += [f"The state, never reset, by stretch; compared with the first {self.state.first} steps:"]
        return Text("\n\n".join([*blocks, self._states()]))

    def _states(self) -> str:
        report = self.state
        lines = [("", *(f"{(k + 1) * 100 // len(report.norm)} %" for k in range(len(report.norm))))]
        lines.append(("largest norm, over that at first", *(_number(v, ".2f") for v in report.norm)))
        shares = [
            ("units outside of their first range, %", report.outside),
            ("units that no longer move, %", report.still),
        ]
        if report.saturated is not None:
            shares.append(("saturated units, % more than at first", report.saturated))
        lines += [(name, *(_number(100 * v, ".1f") for v in values)) for name, values in shares]
        return _table(lines)

    def _or_dash(self, value: float) -> str:
        return self.scale.value(value) if np.isfinite(value) else "-"

    def _plain(self, found: Interval) -> str:
        return f"{self._or_dash(found.low)} to {self._or_dash(found.high)}"

    def _signed(self, value: float) -> str:
        return f"{100 * value:+.1f}" if self.scale.share else f"{value:+.4g}"

    def _between(self, found: Interval) -> str:
        return f"{self._signed(found.low)} to {self._signed(found.high)}"

    def as_json(self) -> dict[str, Any]:
        """All of it as values for JSON; NaN becomes None."""
        return {
            "model": self.model,
            "score": self.scale.name,
            "streams": self.streams,
            "steps": self.steps,
            "verdict": {"need": self.verdict.need.value, "text": self.verdict.text, "rests_on": self.verdict.rests_on},
            "policies": [_plain(row._asdict()) for row in self.rows],
            "by_part": _plain(self.by_part),
            "times_since_reset": _plain(self.times),
            "by_time_since_reset": _plain(self.by_since),
            "fresh": _plain(self.fresh),
            "after_gaps": [_plain(gap._asdict()) for gap in self.gaps],
            "state": _plain(self.state._asdict()),
            "remembrance": _plain(self.memory._asdict()),
        }


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _number(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "-"


def _table(lines: Sequence[Sequence[str]]) -> str:
    """The first line is the head."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    shown = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    return "\n".join([shown[0], "| " + " | ".join("-" * width for width in widths) + " |", *shown[1:]])
