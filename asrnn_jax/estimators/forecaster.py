"""Numbers to come, with intervals, and how surprising those were that came: see `StreamForecaster`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from asrnn_jax import losses
from asrnn_jax.cell import Cell, Params
from asrnn_jax.estimators import rows
from asrnn_jax.estimators.answering.intervals import Calibration, Trial, attempt, calibrate, width_in_gaps
from asrnn_jax.estimators.answering.number_answers import Forecasts, Reader, Said, measured
from asrnn_jax.estimators.answering.outputs import outputs_of
from asrnn_jax.estimators.base import StreamEstimator
from asrnn_jax.estimators.findings import Finding, counted
from asrnn_jax.estimators.learning import fitting
from asrnn_jax.estimators.learning.endless import Recording, streams
from asrnn_jax.estimators.learning.training import Objective
from asrnn_jax.estimators.live_session import LiveSession, Memory
from asrnn_jax.estimators.preparing.live import Live
from asrnn_jax.estimators.preparing.preparation import Preparation
from asrnn_jax.estimators.preparing.series import Series
from asrnn_jax.estimators.reading.tables import Table
from asrnn_jax.losses.distributions import Gaussian, StudentT

IN_GAPS = {"batch": 16, "window": 256}
"""Steps of streams with gaps on which the width of intervals in gaps is measured."""


@dataclass(eq=False, repr=False, kw_only=True)
class StreamForecaster(StreamEstimator):
    """A recurrent network that says at each step of a stream what will be some steps later, without resets.

    It answers with a distribution of each target: `predict` gives mean and interval, `anomaly` how surprising the
    values were that came. It is trained as `StreamClassifier`. Where there is nothing to go by (silence, noise, stuck
    or missing sensors) it learns to answer with the targets' marginal distribution, which is its "don't know".

    Args:
      horizon: so many steps ahead.
      targets: names of the columns to be forecast; None: all channels. They are channels too, for their past is known;
        other channels are covariates.
      distribution: "student": Student t, whose tails are learned; "gaussian".
      level: of the intervals, widened or narrowed until they hold so on what is held out, up to the marginal interval.
      false_alarms: share of normal steps that `anomaly` may mark.
      augment: the most of the noise that is added to recordings, in scaled units.
      cell, hidden, layers, residual, options, irregular, limit, gaps, window, batch, starts, steps, rate, clip,
        target, hold_out, refit, patience, minutes, seed, verbose: as for `StreamClassifier`.

    Example:
      >>> import numpy as np
      >>> from asrnn_jax.estimators import StreamForecaster
      >>> data = {"t": np.arange(128), "x": np.sin(np.arange(128) / 5)}
      >>> model = StreamForecaster(3, distribution="gaussian", cell="gru", hidden=8, steps=10, window=30, rate=0.01)
      >>> model = model.fit(data, time="t")
      >>> list(model.predict(data))
      ['t', 'x', 'x low', 'x high']
      >>> list(model.anomaly(data))
      ['t', 'surprise', 'anomaly']
    """

    horizon: int = field(default=1, kw_only=False)
    targets: str | Sequence[str] | None = field(default=None, kw_only=False)
    distribution: Literal["student", "gaussian"] = "student"
    level: float = 0.9
    false_alarms: float = 1e-3
    limit: float = 10.0
    augment: float = 0.0
    target: float = 0.92
    calibration_: Calibration = field(init=False)
    """What is true of its answers on what was held out."""
    _estimator_type = "regressor"
    _noticed = 10

    # ------------------------------------------------------------------------------------------ fitting

    def fit(
        self,
        data: Any,
        label: None = None,
        *,
        stream: Any = None,
        time: Any = None,
        channels: Sequence[str] | None = None,
    ) -> StreamForecaster:
        """Learns from streams; returns itself.

        Args:
          data, stream, time, channels: as for `asrnn_jax.estimators.as_table`.
          label: there is none; the argument is scikit-learn's.

        Raises:
          ValueError: targets that are not there or do not vary, an argument out of range.
        """
        clock = fitting.Clock(self.minutes)
        if label is not None:
            raise ValueError("label: a forecaster has targets, given when it is made; leave label out.")
        for name in ("level", "false_alarms"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give a share in (0, 1).")
        if self.horizon < 1 or self.distribution not in ("student", "gaussian"):
            raise ValueError(
                f"horizon={self.horizon}, distribution={self.distribution!r}: give at least 1 step, 'student' or "
                "'gaussian'."
            )
        table = self._table(data, stream=stream, time=time, channels=channels)
        self.preparation = Preparation(irregular=self.irregular, limit=self.limit).fit(table)
        self.columns_ = list(table.channels)
        series = self.preparation.apply(table)
        longest = max(len(one.xs) for one in series)
        if self.horizon >= longest:
            raise ValueError(f"horizon={self.horizon}: the longest stream has {longest} steps; look less far ahead.")
        targets = np.concatenate([one.targets for one in series if one.targets is not None])
        self.marginal_ = losses.marginal(targets, degrees=None if self.distribution == "student" else np.inf)
        learned, held = self._fit_network(series, clock)
        held = [one for one in held if len(one.xs) > self.horizon]  # others say nothing of what comes
        self.calibration_ = calibrate(self.reader_, self._expected(series, learned, held))
        self._say_what_it_rests_on(sum(len(one.xs) - self.horizon for one in held or series), bool(held))
        return self

    def partial_fit(self, data: Any, *, steps: int = 100) -> StreamForecaster:
        """Goes on from where it was, on new data, at a third of the rate; scaling and calibration stay as they are."""
        self._needs_fit()
        series = self.preparation.apply(rows.known(self.preparation, self.columns_, data))
        self._go_on(series, steps)
        return self

    @property
    def targets_(self) -> tuple[str, ...]:
        """The names of what is forecast."""
        self._needs_fit()
        return self.preparation.fitted.targets.names

    def _table(self, data: Any, **roles: Any) -> Table:
        if self.targets is not None:
            return rows.read(data, targets=self.targets, **roles)
        first = rows.read(data, **roles)
        return rows.with_targets(first, list(first.channels))

    @property
    def reader_(self) -> Reader:
        """What the network's outputs mean."""
        inputs = list(self.preparation.inputs)
        now = [inputs.index(name) if name in inputs else -1 for name in self.preparation.fitted.targets.names]
        return Reader(self.marginal_, tuple(now), self.horizon, self.level)

    def _outputs(self) -> int:
        return self.reader_.outputs

    def _augmented(self) -> dict[str, float]:
        return {"fresh": 0.25, "noise": self.augment, "gain": 0.0}

    def _objective(self) -> Objective:
        return self.reader_.objective()

    def _record(self, one: Series) -> Recording:
        return self.reader_.record(one)

    def _look(self, cell: Cell, params: Params, held: Sequence[Series]) -> float:
        return self.reader_.density(held, outputs_of(cell, params, held))

    def _expected(self, series: Sequence[Series], learned: Sequence[Series], held: Sequence[Series]) -> Trial:
        """How the answers will compare with what comes, on streams that are new."""

        mixing = self._mixing(series)
        window = next(streams([self._record(one) for one in held or series], mixing, **IN_GAPS, seed=self.seed))
        gaps = [Recording(*leaves) for leaves in zip(*window)]

        def tried(params: Params, some: Sequence[Series]) -> Trial:
            in_gaps, outputs = (outputs_of(self.network, params, these) for these in (gaps, some))
            wide = width_in_gaps(self.reader_, gaps, in_gaps, mixing.settle)
            return attempt(self.reader_, some, outputs, wide)

        if not held:
            return tried(self.params, series)
        apart = tried(self._measured, held)
        if self.params is self._measured:
            return apart
        return apart.instead(tried(self._measured, learned), tried(self.params, series))

    def _say_what_it_rests_on(self, steps: int, apart: bool) -> None:
        text = f"Intervals and false alarms are calibrated on {counted(steps, 'step')}"
        text += " that were held out." if apart else " of the training itself: intervals are too narrow."
        if steps * self.false_alarms < 1:
            text += f" One false alarm in {1 / self.false_alarms:.0f} steps is an extrapolation."
        self.findings += (Finding("calibration", "info", None, steps, text),)

    # ---------------------------------------------------------------------------------------- answering

    def predict(self, data: Any) -> Any:
        """The forecasts, as a table of the kind that came in; each row is of the time at which it was made.

        Its columns: stream and time, and for each target the mean under its own name, "... low" and "... high", the
        interval that holds it with the probability `level`. Arrays (T, C) give means (T, K).
        """
        table, series, said = self._said(data)
        mean, low, high = self._forecasts(table, series, said)
        if rows.kind_of(data) != "table":
            return rows.as_series(data, mean)
        columns = rows.roles_of(table)
        for k, name in enumerate(self.targets_):
            columns |= {name: mean[:, k], f"{name} low": low[:, k], f"{name} high": high[:, k]}
        return rows.as_came(data, columns)

    def anomaly(self, data: Any) -> Any:
        """How surprising each row was to the forecast made for it, as a table of the kind that came in.

        "surprise" is calibrated: a share of ``10^-s`` of the held-out steps reached s; of several targets the most
        surprising counts. "anomaly" is whether it reached `threshold_`. NaN where there was no forecast. Arrays (T, C)
        give the surprises (T,).
        """
        table, series, said = self._said(data)
        surprise = rows.scattered(table, series, [one.surprise for one in said])
        if rows.kind_of(data) != "table":
            return rows.as_series(data, surprise)
        with np.errstate(invalid="ignore"):
            marked = surprise >= self.threshold_
        return rows.as_came(data, {**rows.roles_of(table), "surprise": surprise, "anomaly": marked})

    @property
    def threshold_(self) -> float:
        """The surprise from which a row is an anomaly, ``-log10(false_alarms)``."""
        return float(-np.log10(self.false_alarms))

    def score(self, data: Any, label: None = None) -> float:
        """Skill: 1 is perfect, 0 as good as saying that all stays as it is; mean over targets, see `evaluate`."""
        return float(np.mean([one["skill"] for one in self.evaluate(data).values()]))

    def evaluate(self, data: Any) -> dict[str, dict[str, float]]:
        """For each target, in its own units: "error", the mean absolute one; "coverage", the share within the interval;
        "width", the interval's mean one; "skill", ``1 - error / error of persistence``.

        Raises:
          ValueError: no row has a value of a target `horizon` steps later.
        """
        table, series, said = self._said(data)
        answers, number = self._forecasts(table, series, said), len(self.targets_)
        ahead = rows.scattered(table, series, [self.reader_.ahead(one) for one in series], number)
        now = rows.scattered(table, series, [one.targets for one in series], number)
        targets, found = self.preparation.fitted.targets, {}
        for k, name in enumerate(self.targets_):
            y, x = (values[:, k] * targets.scale[k] + targets.median[k] for values in (ahead, now))
            result = measured(y, x, *(values[:, k] for values in answers))
            if result is None:
                raise ValueError(f"evaluate: no row of these data has a value of {name!r} {self.horizon} steps later.")
            found[name] = result
        return found

    def session(self, batch: int | tuple[int, ...] = ()) -> LiveSession:
        """Raw rows in, `Forecasts` with surprises out, for ever: see `asrnn_jax.estimators.LiveSession`."""
        self._needs_fit()
        reader, targets = self.reader_, self.preparation.fitted.targets
        channels = self.preparation.fitted.roles["channels"]
        columns = [channels.index(name) if name in channels else -1 for name in targets.names]

        def read(memory: Memory, outputs: np.ndarray, live: Live, xs: np.ndarray) -> Any:
            came = targets.scaled(np.where(np.array(columns) >= 0, live.raw[..., columns], np.nan))
            memory, said = reader.read(memory, outputs, xs, came)
            mean, half, surprise = self.calibration_.of(said)
            with np.errstate(invalid="ignore"):
                return memory, Forecasts(*self._units(mean, half), surprise, surprise >= self.threshold_)

        live = self.preparation.live(batch)
        return LiveSession(live, self.network, self.params, read, memory=reader.start(live.batch), batch=batch)

    def say(self, one: Series, outputs: np.ndarray) -> Said:
        """What the network's outputs (T, O) along a prepared stream say, calibrated; scaled as the stream's targets."""
        return self.calibration_.of(self.reader_.said(one, outputs))

    def _said(self, data: Any) -> tuple[Table, list[Series], list[Said]]:
        self._needs_fit()
        table = rows.known(self.preparation, self.columns_, data)
        series = self.preparation.apply(table)
        outputs = outputs_of(self.network, self.params, series)
        return table, series, [self.say(one, ys) for one, ys in zip(series, outputs)]

    def _forecasts(self, table: Table, series: Sequence[Series], said: Sequence[Said]) -> tuple[np.ndarray, ...]:
        """Mean, low and high by row."""
        number = len(self.targets_)
        mean, half = (rows.scattered(table, series, [one[i] for one in said], number) for i in range(2))
        return self._units(mean, half)

    def _units(self, mean: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, low and high."""
        targets = self.preparation.fitted.targets
        mean, half = mean * targets.scale + targets.median, half * targets.scale
        return mean, mean - half, mean + half

    def _about(self) -> dict[str, Any]:
        parts = {"marginal": self.marginal_, "calibration": self.calibration_}
        return {what: {k: np.asarray(v).tolist() for k, v in part._asdict().items()} for what, part in parts.items()}

    def _restore(self, about: Mapping[str, Any]) -> None:
        kind = StudentT if self.distribution == "student" else Gaussian
        self.marginal_ = kind(**{name: jnp.asarray(leaf, jnp.float32) for name, leaf in about["marginal"].items()})
        kept = {name: np.array(values, np.float32) for name, values in about["calibration"].items()}
        self.calibration_ = Calibration(**kept)
