"""What all estimators have in common: parameters by the conventions of scikit-learn, fitting, files."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import cells, saved
from asrnn_jax.cell import Cell, Params
from asrnn_jax.estimators import fitting, splits
from asrnn_jax.estimators.endless import Mixing, Recording
from asrnn_jax.estimators.findings import Finding, summary
from asrnn_jax.estimators.preparation import Preparation
from asrnn_jax.estimators.series import Series
from asrnn_jax.estimators.training import Objective, make_loop
from asrnn_jax.names import named

FORMAT = 1
CELL_OPTIONS: dict[str, dict[str, Any]] = {"asrnn": {"a": 0.3, "b": 0.3}}
"""Options of cells that are not their factories' defaults: small recordings are learned faster with a larger D_f."""


class NotFittedError(ValueError, AttributeError):
    """`fit` was not called yet."""


class StreamEstimator:
    """The part of the estimators that is the same for classes and for numbers; not to be used by itself."""

    cell: str
    hidden: int
    layers: int
    residual: bool
    options: Mapping[str, Any] | None
    irregular: Any
    limit: float
    gaps: tuple[int, int] | str
    augment: float
    window: int
    batch: int
    steps: int
    rate: float | None
    clip: float
    target: float
    hold_out: float
    refit: bool
    patience: int
    minutes: float | None
    seed: int
    verbose: int

    # ------------------------------------------------------------------------- scikit-learn's conventions

    @classmethod
    def _names(cls) -> list[str]:
        return sorted(name for name in inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that it was made with, by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Any:
        """Changes arguments; returns itself.

        Raises:
          ValueError: an unknown name.
        """
        for name, value in params.items():
            if name not in self._names():
                raise ValueError(f"{name!r} is no parameter of {type(self).__name__}: {', '.join(self._names())}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        changed = [f"{k}={v!r}" for k, v in self.get_params().items() if not _same(v, defaults[k])]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks, and nobody else."""
        from sklearn.utils import InputTags, Tags, TargetTags

        kind = getattr(self, "_estimator_type", None)
        inputs = InputTags(two_d_array=True, three_d_array=True, allow_nan=True)
        tags = Tags(estimator_type=kind, target_tags=TargetTags(required=kind == "classifier"), input_tags=inputs)
        return self._tags(tags)

    def _tags(self, tags: Any) -> Any:
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "preparation")

    # ------------------------------------------------------------------------------------------ fitting

    preparation: Preparation
    """What is done to raw rows; `preparation.findings` says what was found in the training data."""
    history: dict[str, list[float]]
    """Of the training: step, loss, gradient_norm, rate, gap_share (entropy or width of the answers in gaps, 1 is
    "don't know"), weight (of the gaps), score (on what was held out; NaN between two looks)."""
    network: Cell
    params: Params

    def _fit_network(
        self,
        series: Sequence[Series],
        objective: Objective,
        record: Any,
        score: Any,
        start: Params | None = None,
        steps: int | None = None,
        clock: fitting.Clock | None = None,
    ) -> list[Series]:
        """Trains on prepared streams; returns those that were held out."""
        clock = clock or fitting.Clock(self.minutes)
        self._check()
        learned, held, how = splits.split(series, 0.0 if start is not None else self.hold_out, self.seed)
        cell = self._cell(objective.outputs)
        loop = make_loop(cell, objective, batch=self.batch, clip=self.clip, target=self.target)
        plan = fitting.Plan(
            batch=self.batch,
            window=self.window,
            steps=steps or self.steps,
            rate=self.rate if start is None else self.rate_ / 3,
            refit=self.refit,
            patience=self.patience,
            every=50,
            seed=self.seed,
            verbose=self.verbose,
        )
        look = (lambda params: score(cell, params, held)) if held else None
        every = [record(one) for one in series]
        some = every if not held else [record(one) for one in learned]
        found = fitting.fit(cell, loop, every, some, self._mixing(series), look, plan, clock, start)
        self.network, self.params, self.history = cell, found.params, found.history
        if start is None:
            self.rate_ = found.rate
        notes = [how, *found.notes] if start is None else list(found.notes)
        self.findings = tuple(Finding("training", "info", None, 1, note) for note in notes)
        self.n_steps_ = found.steps
        return held

    def _check(self) -> None:
        for name in ("hidden", "layers", "window", "batch", "steps", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give at least 1.")
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
            piece=3 * self.window // 2,
            fresh=0.25,
            noise=self.augment,
            gain=self.augment,
        )

    def _needs_fit(self) -> None:
        if not hasattr(self, "params"):
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet: call fit first.")

    # -------------------------------------------------------------------------------------------- files

    def _about(self) -> dict[str, Any]:
        """More that a file holds, as JSON values."""
        return {}

    def _restore(self, about: Mapping[str, Any]) -> None:
        """The opposite of `_about`."""

    def _outputs(self) -> int:
        raise NotImplementedError

    def save(self, to: str | os.PathLike | saved.Writable) -> None:
        """Writes network, preparation, parameters and scores into one file of safetensors.

        Args:
          to: a path, whose file is written whole or not at all, or a file object that is open for writing bytes.

        Raises:
          ValueError: it is not fitted. OSError: it cannot be written.
        """
        self._needs_fit()
        arrays = {f"params.{name}": np.asarray(leaf) for name, leaf in named(self.params)}
        arrays |= {f"preparation.{name}": array for name, array in self.preparation.to_arrays().items()}
        about = {
            "format": FORMAT,
            "estimator": type(self).__name__,
            "arguments": {name: _plain(value) for name, value in self.get_params().items()},
            "preparation": self.preparation.about(),
            "columns": self.columns_,
            "history": {name: [_nan(v) for v in values] for name, values in self.history.items()},
            "findings": [finding.about() for finding in self.findings],
            "rate": self.rate_,
            "steps": self.n_steps_,
            **self._about(),
        }
        saved.write(to, arrays, about)

    @classmethod
    def load(cls, source: str | os.PathLike | saved.Readable) -> Any:
        """The estimator of a file that `save` wrote.

        Raises:
          ValueError: another file, one that is damaged, or one of another kind of estimator. OSError: it cannot be read.
        """
        arrays, about = saved.read(source, f"saved {cls.__name__}")
        name = source if isinstance(source, (str, os.PathLike)) else "the file"
        if about.get("estimator") != cls.__name__ or about.get("format") != FORMAT:
            found = f"{about.get('estimator')!r}, format {about.get('format')!r}"
            raise ValueError(f"{name} holds {found}: this reads {cls.__name__!r}, format {FORMAT}.")
        try:
            made = cls(**about["arguments"])
            part = {key.removeprefix("preparation."): a for key, a in arrays.items() if key.startswith("preparation.")}
            made.preparation = Preparation.from_saved(part, about["preparation"])
            made._restore(about)
            made.columns_, made.rate_, made.n_steps_ = list(about["columns"]), about["rate"], about["steps"]
            made.history = {
                key: [np.nan if v is None else v for v in values] for key, values in about["history"].items()
            }
            made.findings = tuple(Finding(**entry) for entry in about["findings"])
            made.network = made._cell(made._outputs())
        except (KeyError, TypeError, AttributeError) as e:
            raise ValueError(f"{name} does not fit this version of {cls.__name__}: {type(e).__name__}: {e}.") from e
        made.params = _fitting_params(made.network, arrays, str(name))
        return made

    def summary(self) -> str:
        """What was found in the data and said about the training, one line each."""
        self._needs_fit()
        return summary([*self.preparation.findings, *self.findings])

    findings: tuple[Finding, ...]
    """What is to be said about the training."""
    columns_: list[str]
    """All channels of the training data, in their order."""
    rate_: float
    """The rate of the training."""
    n_steps_: int

    @property
    def n_features_in_(self) -> int:
        """How many channels the training data had."""
        self._needs_fit()
        return len(self.columns_)


def _fitting_params(cell: Cell, arrays: Mapping[str, np.ndarray], name: str) -> Params:
    like = jax.eval_shape(cell.init, jax.random.key(0))
    wanted = {f"params.{key}": leaf for key, leaf in named(like)}
    there = {key: array for key, array in arrays.items() if key.startswith("params.")}
    if {k: (a.shape, a.dtype) for k, a in there.items()} != {k: (a.shape, a.dtype) for k, a in wanted.items()}:
        raise ValueError(f"{name} holds params of other shapes than those of {cell.name!r} with its arguments.")
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(there[key]) for key in wanted])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _nan(value: float) -> float | None:
    return None if value != value else float(value)


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and a == b)
