"""From a table to what a network takes, fitted once and then applied everywhere alike: in training, tests and live.

>>> import numpy as np
>>> t = np.arange(100.0)
>>> data = {"t": t, "x": np.where(t == 7, np.nan, t % 10), "on": t * 0 + 1, "state": np.where(t % 20 < 10, "a", "b")}
>>> preparation = Preparation().fit(as_table(data, label="state", time="t"))
>>> (series,) = preparation.apply(preparation.table(data))
>>> series.xs.shape, preparation.inputs, preparation.classes
((100, 2), ('x', 'x missing'), ('a', 'b'))
>>> [finding.text for finding in preparation.findings if finding.severity == "repair"]
["Channel 'x' lacks 1 value (1.0%): the last value is held.",
 "Channel 'on' is 1 on all rows where it has a value: left out, for it says nothing.",
     '1 step without any value: the network skips up to 5 in a row, more are silence to it.']
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.estimators.findings import Finding, counted, from_about, perhaps, some
from asrnn_jax.estimators.preparing import channels, labels, order, steps
from asrnn_jax.estimators.preparing.live import Live
from asrnn_jax.estimators.preparing.series import Series, Targets, prepared
from asrnn_jax.estimators.reading.tables import Table, as_table
from asrnn_jax.estimators.reading.times import TimeFormat

FEWEST = 10
"""Rows below which nothing is fitted."""


class Preparation:
    """What is done to raw rows before a network sees them. `fit` measures it, `apply` and `live` do it.

    Rows are put in the order of time, each time once. Channels are scaled by median and quartiles, those without
    variance are left out. A missing or infinite value is replaced by the last one of its channel in its stream (at the
    start by the median); channels that lacked values in training get a flag beside them that says so. All that was
    done is in `findings`.

    Args:
      irregular: what is done where rows are not evenly spaced in time: "ignore"; "resample" to a grid of the usual
        interval, each point with the last values up to it; or "channel", an input more: log(interval / usual interval).
      limit: scaled values further from 0 grow as their logarithm, so that a wild sensor cannot drown the others. One
        unit is about a standard deviation.
      longest_gap: steps that "resample" fills a gap with at most.

    Raises:
      ValueError: an unknown option.
    """

    def __init__(self, *, irregular: steps.Irregular = "ignore", limit: float = 10.0, longest_gap: int = 1000):
        if irregular not in ("ignore", "resample", "channel"):
            raise ValueError(f"irregular={irregular!r}: choose 'ignore', 'resample' or 'channel'.")
        if not limit > 0 or longest_gap < 1:
            raise ValueError(f"limit={limit}, longest_gap={longest_gap}: give numbers above 0.")
        self.irregular: steps.Irregular = irregular
        self.limit, self.longest_gap = float(limit), int(longest_gap)
        self._fitted: _Fitted | None = None

    def fit(self, table: Table) -> Preparation:
        """Measures a table of training data; returns itself.

        Raises:
          ValueError: too few rows, no channel that varies, irregular times to be handled and no column of times.
        """
        if self.irregular != "ignore" and table.times is None:
            raise ValueError(f"irregular={self.irregular!r} needs times: name their column, time=...")
        parts, findings = order.streams(table)
        rows = sum(len(part) for _, part in parts)
        if rows < FEWEST:
            raise ValueError(
                f"the table has {counted(rows, 'usable row')}: nothing can be learned from fewer than {FEWEST}."
            )
        every = np.concatenate([part for _, part in parts]) if rows < table.rows else slice(None)
        measured = {name: channels.spread(values[every]) for name, values in table.channels.items()}
        rhythm = order.rhythm(table.times, parts)
        findings += order.said(rhythm, table.roles["time"], self.irregular, self.longest_gap)
        for name, found in measured.items():
            findings += channels.said(name, found, rows)
        classes, said = labels.classes(table, parts)
        findings += [*said, *labels.leaks(table, parts)]
        self._fitted = _Fitted(
            roles={**table.roles, "channels": [name for name, found in measured.items() if found.scale]},
            rule=self._rule(measured, rhythm),
            targets=_targets(table, every),
            classes=classes,
            how=table.how,
            findings=(*table.findings, *findings),
        )
        _, applied = self._applied(table, parts)
        self._fitted = self._fitted._replace(findings=(*table.findings, *findings, *applied))
        return self

    def apply(self, table: Table) -> list[Series]:
        """The prepared streams of a table, in the order of their names."""
        return self.prepare(table)[0]

    def prepare(self, table: Table) -> tuple[list[Series], tuple[Finding, ...]]:
        """The same, and what was found in this table.

        Raises:
          ValueError: a channel of the training data is not there, or times that are needed.
        """
        fitted = self.fitted
        for name in fitted.roles["channels"]:
            if name not in table.channels:
                raise ValueError(f"channel {name!r} of the training data is not there; {perhaps(name, table.channels)}")
        if self.irregular != "ignore" and table.times is None:
            raise ValueError(f"irregular={self.irregular!r} needs the column of times {fitted.roles['time']!r}.")
        parts, findings = order.streams(table)
        kept = np.concatenate([np.zeros(0, int), *(part for _, part in parts)])
        for i, name in enumerate(fitted.roles["channels"]):
            values = table.channels[name][kept]
            missing, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
            findings += channels.gaps(name, missing, infinite, max(len(kept), 1))
            if missing + infinite and i not in fitted.rule.flags:
                text = f"Channel {name!r} lacked nothing in training: the network cannot see that values are held."
                findings.append(Finding("not_flagged", "info", name, missing + infinite, text))
        if table.labels is not None and fitted.classes.names:
            new = [value for value in table.labels.values if value not in fitted.classes.names]
            if new:
                text = f"Labels that were not in the training data are taken as none: {some(new)}."
                findings.append(Finding("new_classes", "serious", fitted.classes.column, len(new), text))
        series, applied = self._applied(table, parts)
        return series, (*table.findings, *findings, *applied)

    def table(self, data: Any) -> Table:
        """A `Table` of data of any kind, with the roles of the training data. Labels and targets may be missing."""
        if isinstance(data, Table):
            return data
        return as_table(data, **self.fitted.roles, partial=True)

    def live(self, batch: int | tuple[int, ...] = ()) -> Live:
        """The same preparation of rows that come one after the other, for ever; see `asrnn_jax.estimators.Live`."""
        fitted = self.fitted
        return Live(fitted.rule, fitted.roles, batch, fitted.how)

    def check_labels(self) -> None:
        """Raises ValueError unless the labels of the training data can be learned: two classes, several events each."""
        labels.check(self.fitted.classes)

    @property
    def fitted(self) -> _Fitted:
        """All that `fit` measured."""
        if self._fitted is None:
            raise ValueError("this preparation is not fitted: call fit with a table of training data first.")
        return self._fitted

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in the data that it was fitted to, and what was done about it."""
        return self.fitted.findings

    @property
    def inputs(self) -> tuple[str, ...]:
        """What each of the I numbers of a step is."""
        names, rule = self.fitted.roles["channels"], self.fitted.rule
        flags = [f"{names[i]} missing" for i in rule.flags]
        return (*names, *flags, *(["log interval"] if rule.irregular == "channel" else []))

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels' values, sorted."""
        return self.fitted.classes.names

    @property
    def how(self) -> TimeFormat:
        """How times were written: ``preparation.how.write(series.times)``."""
        return self.fitted.how

    def about(self) -> dict[str, Any]:
        """What was fitted but for arrays, as JSON values."""
        fitted, rule = self.fitted, self.fitted.rule
        return {
            "irregular": self.irregular,
            "limit": self.limit,
            "longest_gap": self.longest_gap,
            "step": rule.step,
            "roles": fitted.roles,
            "classes": {name: list(v) if isinstance(v, tuple) else v for name, v in fitted.classes._asdict().items()},
            "targets": list(fitted.targets.names),
            "how": fitted.how.about(),
            "findings": [finding.about() for finding in fitted.findings],
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays that were fitted, by name: with `about` all that `from_saved` needs."""
        rule, targets = self.fitted.rule, self.fitted.targets
        return {
            "median": rule.median,
            "scale": rule.scale,
            "flags": rule.flags,
            "target_median": targets.median,
            "target_scale": targets.scale,
        }

    @classmethod
    def from_saved(cls, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Preparation:
        """The preparation of what `to_arrays` and `about` gave."""
        made = cls(irregular=about["irregular"], limit=about["limit"], longest_gap=about["longest_gap"])
        channels = arrays["median"], arrays["scale"], arrays["flags"]
        classes = about["classes"]
        made._fitted = _Fitted(
            roles=dict(about["roles"]),
            rule=steps.Rule(*channels, made.limit, made.irregular, about["step"], made.longest_gap),
            targets=Targets(tuple(about["targets"]), arrays["target_median"], arrays["target_scale"]),
            classes=labels.Classes(
                tuple(classes["names"]), tuple(classes["rows"]), tuple(classes["events"]), classes["column"]
            ),
            how=TimeFormat(**about["how"]),
            findings=from_about(about["findings"]),
        )
        return made

    def _rule(self, measured: dict[str, channels.Spread], rhythm: order.Rhythm) -> steps.Rule:
        kept = [found for found in measured.values() if found.scale]
        if not kept:
            raise ValueError(f"no channel varies ({some(measured)}): there is nothing to learn from.")
        return steps.Rule(
            median=np.array([found.median for found in kept]),
            scale=np.array([found.scale for found in kept]),
            flags=np.array([i for i, found in enumerate(kept) if found.missing or found.infinite], np.int64),
            limit=self.limit,
            irregular=self.irregular,
            step=rhythm.step or 1.0,
            longest_gap=self.longest_gap,
        )

    def _applied(self, table: Table, parts: list[tuple[int, np.ndarray]]) -> tuple[list[Series], list[Finding]]:
        fitted = self.fitted
        names = fitted.roles["channels"]
        series, counts = prepared(fitted.rule, names, fitted.classes, fitted.targets, table, parts)
        texts = {
            "far": f"{counted(counts['far'], 'value')} more than {self.limit:g} deviations from the median: "
            "beyond that only their logarithm counts.",
            "inserted": f"{counted(counts['inserted'], 'step')} put in between rows.",
            "merged": f"{counted(counts['merged'], 'row')} less than half an interval after another: no own step.",
            "missing_steps": f"{counted(counts['missing_steps'], 'step')} without any value: the network skips "
            f"up to {steps.HELD} in a row, more are silence to it.",
        }
        return series, [
            Finding(kind, "repair", None, counts[kind], text) for kind, text in texts.items() if counts[kind]
        ]


class _Fitted(NamedTuple):
    """All that `Preparation.fit` measures."""

    roles: dict[str, Any]
    rule: steps.Rule
    targets: Targets
    classes: labels.Classes
    how: TimeFormat
    findings: tuple[Finding, ...]


def _targets(table: Table, rows: np.ndarray | slice) -> Targets:
    found = [channels.spread(values[rows]) for values in table.targets.values()]
    scales = np.array([one.scale or 1.0 for one in found], np.float64)
    return Targets(tuple(table.targets), np.array([one.median for one in found], np.float64), scales)
