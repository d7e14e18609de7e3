"""From raw rows to what a network takes, causally: each step depends on rows up to it and on a state of bounded size.

Rows may come all at once or in any chunks: the steps are the same bits.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

Irregular = Literal["ignore", "resample", "channel"]
HELD = 5
"""Steps that a value is held over when resampling, after which steps count as missing; and missing steps in a row over
which a network's state is held, after which they are silence to it."""


class Rule(NamedTuple):
    """What was fitted and the steps need; C channels, F of them with a flag."""

    median: np.ndarray
    """float64 (C,)"""
    scale: np.ndarray
    """float64 (C,)"""
    flags: np.ndarray
    """int64 (F,): channels whose missing values are flagged."""
    limit: float
    """Scaled values further from 0 grow as their logarithm."""
    irregular: Irregular
    step: float
    """The usual interval in seconds."""
    longest_gap: int
    """Steps that a gap is filled with at most."""

    @property
    def inputs(self) -> int:
        """How many numbers a step has."""
        return len(self.median) + len(self.flags) + (self.irregular == "channel")


class State(NamedTuple):
    """What a stream leaves for its next row."""

    held: np.ndarray
    """float64 (C,): the last value of each channel, at first its median."""
    time: np.ndarray
    """float64 (): of the last row, NaN before the first."""
    anchor: np.ndarray
    """float64 (): where the regular grid starts."""
    index: np.ndarray
    """int64 (): the last point of the grid that was given out."""
    missing: np.ndarray
    """int64 (): so many steps are missing since the last that was not."""


class Steps(NamedTuple):
    """Steps of one stream."""

    xs: np.ndarray
    """float32 (T, I), finite."""
    valid: np.ndarray
    """bool (T,): False where all is missing, for up to `HELD` steps in a row; later ones are silence."""
    rows: np.ndarray
    """int64 (T,): the row a step came from, counted in this call; -1: put in between."""
    times: np.ndarray | None
    """float64 (T,)"""
    far: int
    """Values beyond the limit."""
    missing: int
    """Steps where all is missing."""


def start(rule: Rule) -> State:
    """Before the first row."""
    none = np.array(0, np.int64)
    return State(rule.median.copy(), np.array(np.nan), np.array(np.nan), none, none)


def advance(rule: Rule, state: State, raw: np.ndarray, times: np.ndarray | None) -> tuple[State, Steps]:
    """The steps of the next rows.

    Args:
      rule: what was fitted.
      state: what the rows before left.
      raw: float64 (T, C), NaN and infinities are missing.
      times: float64 (T,), growing, from after `state.time`; needed unless irregular times are ignored.
    """
    if not len(raw):
        none = np.zeros(0, np.int64)
        return state, Steps(np.zeros((0, rule.inputs), np.float32), none.astype(bool), none, times, 0, 0)
    missing = ~np.isfinite(raw)
    filled = _hold(raw, missing, state.held)
    some = np.asarray((~missing).any(axis=1))
    count = np.arange(len(raw))
    rows, source, valid, at = count, count, some, times
    if rule.irregular == "resample" and times is not None:
        rows, source, at, within, state = _grid(rule, state, times)
        valid = np.where(rows >= 0, some[rows], within)
    values = np.where((source >= 0)[:, None], filled[source], state.held)
    with np.errstate(over="ignore"):  # what is too large for float64 is beyond the limit in any case
        scaled = (values - rule.median) / rule.scale
    xs = np.empty((len(rows), rule.inputs), np.float32)
    channels = len(rule.median)
    far = np.abs(scaled) > rule.limit
    xs[:, :channels] = np.where(far, _pulled(scaled, rule.limit), scaled) if far.any() else scaled
    flagged = slice(channels, channels + len(rule.flags))
    xs[:, flagged] = np.where((rows >= 0)[:, None], missing[rows][:, rule.flags], True)
    if rule.irregular == "channel" and times is not None:
        xs[:, -1] = _log_steps(rule, state, times)
    last = state.time if times is None else np.array(times[-1])
    run = _run(valid, state.missing)
    silent = run > HELD
    xs[silent, :channels] = 0
    found = Steps(xs, valid | silent, rows, at, int(far.sum()), int((~valid).sum()))
    missing = run[-1] if len(run) else state.missing
    return state._replace(held=filled[-1].copy(), time=last, missing=np.array(missing, np.int64)), found


def _run(valid: np.ndarray, before: np.ndarray) -> np.ndarray:
    """(T,): how many steps up to each are missing in a row, after so many before the first."""
    count = np.arange(1, len(valid) + 1)
    last = np.maximum.accumulate(np.where(valid, count, -before))
    return count - last


def _hold(raw: np.ndarray, missing: np.ndarray, held: np.ndarray) -> np.ndarray:
    if not missing.any():
        return raw
    last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(raw))[:, None]), axis=0)
    return np.where(last >= 0, np.take_along_axis(raw, last.clip(0), axis=0), held)


def _pulled(scaled: np.ndarray, limit: float) -> np.ndarray:
    """``sign(x) * limit * (1 + log(|x| / limit))``: goes on from x with the same slope, and stays finite."""
    size = np.clip(np.abs(scaled), limit, np.finfo(np.float64).max)
    return np.sign(scaled) * limit * (1 + np.log(size / limit))


def _log_steps(rule: Rule, state: State, times: np.ndarray) -> np.ndarray:
    """log(interval / usual interval), within +-10; 0 at the first row."""
    ratio = np.diff(times, prepend=state.time) / rule.step
    ratio[np.isnan(ratio)] = 1
    return np.clip(np.log(np.maximum(ratio, 1e-30)), -10, 10)


def _grid(rule: Rule, state: State, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, State]:
    """The points of the grid that rows complete.

    Of each: its row (-1: none came near it), the row whose values it has (-1: those held from before), its time, and
    whether held values still count.

    A row belongs to the grid point nearest to its time. The first at a point is given out at once; a later one at the
    same point only counts for what is held. A gap of more than `longest_gap` starts the grid anew.
    """
    first = bool(np.isnan(state.time))
    before = times[0] if first else state.time
    anew = np.diff(times, prepend=before) > rule.longest_gap * rule.step
    anew[0] |= first
    starts = np.maximum.accumulate(np.where(anew, np.arange(len(times)), -1))
    anchor = np.where(starts >= 0, times[starts], state.anchor)
    index = np.floor((times - anchor) / rule.step + 0.5).astype(np.int64)
    index_before = np.concatenate([[state.index], index[:-1]])
    anchor_before = np.concatenate([[state.anchor], anchor[:-1]])
    between = np.where(anew, rule.longest_gap, np.maximum(index - index_before - 1, 0))
    if first:
        between[0] = 0
    given = np.where(anew | (index > index_before), between + 1, 0)
    owner = np.repeat(np.arange(len(times)), given)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(given) - given, given)  # 0, 1, ... among the steps of one row
    own = place == between[owner]
    rows = np.where(own, owner, -1)
    inserted = anchor_before[owner] + (index_before[owner] + 1 + place) * rule.step
    at = np.where(own, anchor[owner] + index[owner] * rule.step, inserted)
    state = state._replace(anchor=np.array(anchor[-1]), index=np.array(index[-1], np.int64))
    return rows, np.where(own, owner, owner - 1), at, place < HELD, state
