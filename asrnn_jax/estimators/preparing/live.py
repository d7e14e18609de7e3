"""The preparation of rows that come one after the other, for ever, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asrnn_jax.estimators.findings import Finding, counted
from asrnn_jax.estimators.preparing import steps
from asrnn_jax.estimators.reading.columns import Moments, each_number, is_array
from asrnn_jax.estimators.reading.tables import as_table
from asrnn_jax.estimators.reading.times import TimeFormat, parse, past_midnight


class Live:
    """Raw rows in, steps out: the same bits as those of the whole table, in whatever chunks the rows come.

    Made by `Preparation.live`. What came cannot be put in order again: a row that is not later than the one before it
    is skipped and counted, in `late` and in `findings`.

    Args:
      rule: what was fitted.
      roles: names of the columns of channels, time and stream.
      batch: the shape of a batch of streams that get their rows at the same time; () for a single one.
      how: how times are written; times of day go on after midnight.

    Example:
      >>> from asrnn_jax.estimators import Preparation
      >>> x = np.arange(100.0) % 7
      >>> live = Preparation().fit(as_table({"x": x, "y": x + 1})).live()
      >>> xs, valid = live.push({"x": 3.0, "y": 4.0})  # one row
      >>> xs, valid = live.push([[1.0, 2.0], [np.nan, np.nan]])  # two, in the order of the channels
      >>> valid
      array([ True, False])
    """

    def __init__(
        self,
        rule: steps.Rule,
        roles: Mapping[str, Any],
        batch: int | np.integer | tuple[int, ...] = (),
        how: TimeFormat = TimeFormat(),  # noqa: B008, it is frozen
    ):
        self.batch = (int(batch),) if isinstance(batch, int | np.integer) else tuple(batch)
        if self.batch and rule.irregular == "resample":
            raise ValueError(f"batch={batch}: resampled streams have steps of their own; make one live() for each.")
        self._rule, self._roles, self._how = rule, dict(roles), how
        self._states = [steps.start(rule) for _ in range(int(np.prod(self.batch)))]
        self.late = np.zeros(self.batch, np.int64)
        """Rows that were skipped because they came too late, of each stream."""
        self.rows = np.zeros(0, np.int64)
        """For each step of the last call its row in it, -1: put in between; of the last stream of a batch."""
        self.raw = np.zeros((*self.batch, 0, len(self._roles["channels"])))
        """The channels (*B, T, C) of each step of the last call as they came, NaN where they did not."""
        self.times: np.ndarray | None = None
        """The time of each step of the last call, in seconds."""
        self.not_understood = 0
        """Values of mappings that were text and no number: taken as missing."""

    def push(self, rows: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """The steps that the next rows complete.

        Args:
          rows: one row or several: a mapping from names to values or to lists, a list of such mappings, a table, or an
            array (C,) or (T, C) of the channels in their order, for a batch (*B, T, C). NaN is missing.
          times: (T,) seconds, of arrays; tables and mappings have a column of them.

        Returns:
          xs, float32 (*B, T, I), and valid, bool (*B, T). Without a row to skip or steps to put in between, T is the
          number of rows.

        Raises:
          ValueError: other channels, or no times where they are needed; rows of a batch that come too late in some of
            its streams only. The state is then as before.
        """
        raw, seconds = self._raw(rows, times)
        flat = raw.reshape(len(self._states), *raw.shape[-2:])
        made = [self._advance(state, one, seconds) for state, one in zip(self._states, flat)]
        self._states = [state for state, _, _ in made]
        self.late = self.late + np.array([late for _, _, late in made]).reshape(self.batch)
        self.rows, self.times = made[-1][1].rows, made[-1][1].times
        self.raw = np.where((self.rows >= 0)[:, None], raw[..., self.rows, :], np.nan) if raw.shape[-2] else raw
        xs, valid = (np.stack([getattr(found, name) for _, found, _ in made]) for name in ("xs", "valid"))
        return xs.reshape(*self.batch, *xs.shape[1:]), valid.reshape(*self.batch, *valid.shape[1:])

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What happened so far."""
        late, bad = int(self.late.sum()), self.not_understood
        text = f"{counted(late, 'row')} came after a row of a later or the same time: skipped."
        found = [Finding("late", "repair", self._roles.get("time"), late, text)]
        text = f"{counted(bad, 'value')} of channels no number: taken as missing."
        found.append(Finding("not_understood", "serious", None, bad, text))
        return tuple(finding for finding in found if finding.count)

    def state(self) -> dict[str, np.ndarray]:
        """All that the next rows need, as arrays to be saved."""
        fields = {name: np.stack([getattr(s, name) for s in self._states]) for name in steps.State._fields}
        return {**fields, "late": self.late.copy()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on where `state` was taken.

        Raises:
          ValueError: arrays of another preparation or batch.
        """
        mine = self.state()
        for name, array in mine.items():
            if name not in arrays or np.shape(arrays[name]) != array.shape:
                raise ValueError(f"{name} of this state does not fit: it is of another preparation or batch.")
        given = {name: np.array(arrays[name], mine[name].dtype) for name in mine}
        parts = zip(*(given[name] for name in steps.State._fields))
        self._states = [steps.State(*map(np.array, part)) for part in parts]
        self.late = given["late"]

    def _advance(
        self, state: steps.State, raw: np.ndarray, times: np.ndarray | None
    ) -> tuple[steps.State, steps.Steps, int]:
        if times is None:
            return *steps.advance(self._rule, state, raw, None), 0
        if self._how.order == "clock":
            times = past_midnight(times, float(state.time))
        before = np.fmax(np.fmax.accumulate(np.concatenate([[-np.inf], times]))[:-1], state.time)
        fine = times > before
        state, found = steps.advance(self._rule, state, raw[fine], times[fine])
        numbers = np.flatnonzero(fine)
        rows = np.where(found.rows >= 0, numbers[found.rows], -1) if len(numbers) else found.rows
        return state, found._replace(rows=rows), int((~fine).sum())

    def _raw(self, rows: Any, times: Any) -> tuple[np.ndarray, np.ndarray | None]:
        names = self._roles["channels"]
        if _has_names(rows):
            rows, times = self._of_table(rows, times)
        raw = np.asarray(rows, np.float64)
        if raw.shape == (len(names),) and not self.batch:
            raw = raw[None]
        if raw.ndim != len(self.batch) + 2 or raw.shape[:-2] != self.batch or raw.shape[-1] != len(names):
            shape = ", ".join(map(str, (*self.batch, "T", len(names))))
            raise ValueError(f"rows have shape {raw.shape}: give ({shape}), the channels {names} in this order.")
        if times is None and self._rule.irregular != "ignore":
            raise ValueError(f"irregular={self._rule.irregular!r} needs times: push(rows, times).")
        if times is None:
            return raw, None
        seconds = np.asarray(times, np.float64).reshape(-1)
        if len(seconds) != raw.shape[-2]:
            raise ValueError(f"times: {len(seconds)} for {raw.shape[-2]} rows.")
        return raw, seconds

    def _of_table(self, rows: Any, times: Any) -> tuple[np.ndarray, Any]:
        if self.batch:
            raise ValueError(f"rows of type {type(rows).__name__}: for a batch give an array (*B, T, C).")
        if isinstance(rows, (list, tuple)):
            rows = {name: [row.get(name) for row in rows] for name in dict.fromkeys(key for row in rows for key in row)}
        if isinstance(rows, Mapping):
            rows = {name: values if np.ndim(values) else [values] for name, values in rows.items()}
            rows = self._numbers(rows)
        names, time = self._roles["channels"], self._roles["time"]
        has_time = time is not None and times is None and (not isinstance(rows, Mapping) or time in rows)
        table = as_table(rows, channels=names, time=time if has_time else None)
        return np.stack([table.channels[name] for name in names], axis=1), table.times if has_time else times

    def _numbers(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Channels as numbers and times as seconds, whatever other rows would say of theirs."""
        for name in self._roles["channels"]:
            if name in rows:
                rows[name], bad = each_number(name, rows[name])
                self.not_understood += bad
        time = self._roles["time"]
        if self._how.order == "MDY" and time in rows:
            rows[time] = Moments(parse([str(value) for value in rows[time]], "MDY")[0], self._how)
        return rows


def _has_names(rows: Any) -> bool:
    if isinstance(rows, Sequence) and not isinstance(rows, str):
        return bool(rows) and isinstance(rows[0], Mapping)
    return not is_array(rows)
