"""What all estimators have in common: parameters by the conventions of scikit-learn, fitting, files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from asrnn_jax import cells, saved
from asrnn_jax.cell import Cell, Params
from asrnn_jax.estimators import stored
from asrnn_jax.estimators.findings import Finding, summary
from asrnn_jax.estimators.learning import fitting, splits
from asrnn_jax.estimators.learning.endless import Mixing, Recording
from asrnn_jax.estimators.learning.training import Loop, Objective, make_loop
from asrnn_jax.estimators.parameters import Parameters
from asrnn_jax.estimators.preparing.preparation import Preparation
from asrnn_jax.estimators.preparing.series import Series
from asrnn_jax.streaming.starts import STARTS

CELL_OPTIONS: dict[str, dict[str, Any]] = {"asrnn": {"a": 0.3, "b": 0.3}}
"""Options of cells that are not their factories' defaults: small recordings are learned faster with a larger D_f."""


class NotFittedError(ValueError, AttributeError):
    """`fit` was not called yet."""


class _Fitted(Parameters):
    """What `fit` leaves."""

    preparation: Preparation
    """What is done to raw rows; `preparation.findings` says what was found in the training data."""
    history: dict[str, list[float]]
    """Of the training: step, loss, gradient_norm, rate, gap_share (entropy or width of the answers in gaps, 1 is
    "don't know"), weight (of the gaps), score (on what was held out; NaN between two looks)."""
    network: Cell
    params: Params
    findings: tuple[Finding, ...]
    """What is to be said about the training."""
    columns_: list[str]
    """All channels of the training data, in their order."""
    rate_: float
    """The rate of the training."""
    n_steps_: int


@dataclass(eq=False, repr=False, kw_only=True)
class StreamEstimator(_Fitted):
    """The part of the estimators that is the same for classes and for numbers; not to be used by itself."""

    cell: str = "asrnn"
    hidden: int = 64
    layers: int = 1
    residual: bool = False
    options: Mapping[str, Any] | None = None
    irregular: Literal["ignore", "resample", "channel"] = "ignore"
    limit: float = 3.0
    gaps: Any = "auto"
    augment: float = 0.3
    window: int = 100
    batch: int = 32
    starts: Literal["zero", "passed", "shuffled", "noise", "mixture"] = "passed"
    steps: int = 800
    rate: float | None = None
    clip: float = 1.0
    target: float = 0.95
    hold_out: float = 0.2
    refit: bool = True
    patience: int = 8
    minutes: float | None = 5.0
    seed: int = 0
    verbose: int = 0
    _noticed = 0
    """Steps after which a network is to have noticed that a gap has begun."""

    # ------------------------------------------------------------------------------------------ fitting

    def _fit_network(self, series: Sequence[Series], clock: fitting.Clock) -> tuple[list[Series], list[Series]]:
        """Trains on prepared streams; returns those that `_measured` was trained on and those that were held out."""
        self._check()
        learned, held, how = splits.split(series, self.hold_out, self.seed)
        cell = self.network = self._cell(self._outputs())
        look = (lambda params: self._look(cell, params, held)) if held else None
        every = [self._record(one) for one in series]
        some = [self._record(one) for one in learned] if held else every
        plan = self._plan(self.steps, self.rate)
        mixing = self._mixing(series)
        found = fitting.fit(cell, self._loop(mixing.settle), every, some, mixing, look, plan, clock)
        self.params, self.history, self.rate_ = found.params, found.history, found.rate
        self._measured, self.n_steps_ = found.measured, found.steps
        self.findings = tuple(Finding("training", "info", None, 1, note) for note in (how, *found.notes))
        return learned, held

    def _go_on(self, series: Sequence[Series], steps: int) -> None:
        """Trains on new streams from where it was, at a third of the rate."""
        records, clock = [self._record(one) for one in series], fitting.Clock(self.minutes)
        plan, mixing = self._plan(steps, self.rate_ / 3), self._mixing(series)
        loop = self._loop(mixing.settle)
        found = fitting.fit(self.network, loop, records, records, mixing, None, plan, clock, self.params)
        last = max(self.history["step"], default=0)
        found.history["step"] = [step + last for step in found.history["step"]]
        self.history = {name: values + found.history[name] for name, values in self.history.items()}
        self.params, self.n_steps_ = found.params, self.n_steps_ + found.steps
        self.findings += tuple(Finding("training", "info", None, 1, note) for note in found.notes)

    def _loop(self, settle: int) -> Loop:
        options = {"batch": self.batch, "clip": self.clip, "target": self.target, "settle": settle}
        return make_loop(self.network, self._objective(), **options, starts=STARTS[self.starts](), seed=self.seed)

    def _plan(self, steps: int, rate: float | None) -> fitting.Plan:
        names = ("batch", "window", "refit", "patience", "seed", "verbose")
        return fitting.Plan(steps=steps, rate=rate, every=50, **{name: getattr(self, name) for name in names})

    def _check(self) -> None:
        for name in ("hidden", "layers", "window", "batch", "steps", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give at least 1.")
        if self.starts not in STARTS:
            raise ValueError(f"starts={self.starts!r}: choose {', '.join(map(repr, STARTS))}.")
        if self.batch < 2 and self.starts in ("shuffled", "mixture"):
            raise ValueError(f"starts={self.starts!r}: a state of another stream needs one, give batch=2 or more.")
        if not 0 <= self.hold_out < 1:
            raise ValueError(f"hold_out={self.hold_out}: give a share in [0, 1).")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes={self.minutes}: give a number above 0, or None for no limit.")
        if isinstance(self.gaps, str) and self.gaps != "auto":
            raise ValueError(f"gaps={self.gaps!r}: give 'auto', or the fewest and the most steps, (10, 60).")

    def _cell(self, outputs: int) -> Cell:
        options = CELL_OPTIONS.get(self.cell) if self.options is None else dict(self.options)
        return cells.network(
            self.cell,
            len(self.preparation.inputs),
            self.hidden,
            outputs,
            options=options,
            layers=self.layers,
            residual=self.residual,
        )

    def _mixing(self, series: Sequence[Series]) -> Mixing:
        rule = self.preparation.fitted.rule
        usual = float(np.median([len(one.xs) for one in series]))
        gaps = (max(2, int(min(usual / 4, 10))), int(max(4, min(usual, 60)))) if self.gaps == "auto" else self.gaps
        return Mixing(
            channels=len(rule.median),
            flags=tuple(rule.flags.tolist()),
            gaps=(int(gaps[0]), int(gaps[1])),
            settle=min(self._noticed, int(gaps[1]) // 2),
            piece=3 * self.window // 2,
            **self._augmented(),
        )

    def _augmented(self) -> dict[str, float]:
        """`fresh`, `noise` and `gain` of the `Mixing`."""
        raise NotImplementedError

    def _needs_fit(self) -> None:
        if not hasattr(self, "params"):
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet: call fit first.")

    # -------------------------------------------------------------------------------------------- files

    def _about(self) -> dict[str, Any]:
        """More that a file holds, as JSON values."""
        raise NotImplementedError

    def _restore(self, about: Mapping[str, Any]) -> None:
        """The opposite of `_about`."""
        raise NotImplementedError

    def _outputs(self) -> int:
        raise NotImplementedError

    def _objective(self) -> Objective:
        raise NotImplementedError

    def _record(self, one: Series) -> Recording:
        """What is learned from a stream."""
        raise NotImplementedError

    def _look(self, cell: Cell, params: Params, held: Sequence[Series]) -> float:
        """How good params are on streams that were held out: higher is better."""
        raise NotImplementedError

    def save(self, to: str | os.PathLike | saved.Writable) -> None:
        """Writes network, preparation, arguments and scores into one file of safetensors.

        Args:
          to: a path, whose file is written whole or not at all, or a file object that is open for writing bytes.

        Raises:
          ValueError: it is not fitted. OSError: it cannot be written.
        """
        self._needs_fit()
        stored.save(self, to, self._about())

    @classmethod
    def load(cls, source: str | os.PathLike | saved.Readable) -> Any:
        """The estimator of a file that `save` wrote.

        Raises:
          ValueError: another file, one that is damaged or does not fit. OSError: it cannot be read.
        """
        return stored.load(cls, source)

    def restore(self, about: Mapping[str, Any]) -> None:
        """For `load`: what else a file says, and the network that it is of."""
        self._restore(about)
        self.network = self._cell(self._outputs())

    def summary(self) -> str:
        """What was found in the data and said about the training, one line each."""
        self._needs_fit()
        return summary([*self.preparation.findings, *self.findings])

    @property
    def n_features_in_(self) -> int:
        """How many channels the training data had."""
        self._needs_fit()
        return len(self.columns_)
