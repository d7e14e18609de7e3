"""Classes of the steps of streams: see `StreamClassifier`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.special import softmax

from asrnn_jax.cell import Cell, Params
from asrnn_jax.estimators import rows
from asrnn_jax.estimators.answering import class_answers
from asrnn_jax.estimators.answering.outputs import outputs_of
from asrnn_jax.estimators.base import StreamEstimator
from asrnn_jax.estimators.learning import fitting
from asrnn_jax.estimators.learning.endless import Recording
from asrnn_jax.estimators.learning.training import Objective
from asrnn_jax.estimators.live_session import LiveSession, Memory
from asrnn_jax.estimators.preparing.live import Live
from asrnn_jax.estimators.preparing.preparation import Preparation
from asrnn_jax.estimators.preparing.series import Series
from asrnn_jax.estimators.reading.tables import Table
from asrnn_jax.losses.objective import share_of


@dataclass(eq=False, repr=False, kw_only=True)
class StreamClassifier(StreamEstimator):
    """A recurrent network that says what is going on at each step of a stream, for ever and without resets.

    It is trained on streams made of the recordings it gets: shuffled, cut into pieces, joined with gaps of silence,
    noise, stuck and missing sensors, the state carried on throughout, with the objective of Never Reset Again
    (`asrnn_jax.losses.reset_free`). Some streams are held out to choose the rate, the number of steps and the point
    from which an answer counts as "nothing"; then it is trained on all.

    Args:
      cell: name of the recurrent cell, of `asrnn_jax.cells.CELLS`.
      hidden: its units.
      layers: how many of them, one on top of the other.
      residual: each in a residual block, for deep networks.
      options: of the cell's factory; None: chosen by the cell.
      unlabelled: what steps without a label mean. "nothing": nothing of interest happens there, and the network learns
        to answer "don't know" (equal probabilities). "unknown": somebody did not label them, anything may happen
        there, and nothing is learned from them. Gaps that training adds are "nothing" in both cases.
      per: "step": one answer a step. "stream": one answer a stream, by the mean of the log-probabilities of its steps,
        in which later steps, which have seen more, count more; in training they do as well.
        "auto": a stream if each has one label only and no step without, else a step.
      class_weight: "balanced": rare classes count as much as common ones; None: as often as they come; or a factor for
        each class by its name, 1 for those that are left out.
      irregular: what is done where rows are not evenly spaced, see `asrnn_jax.estimators.Preparation`.
      limit: scaled values beyond it grow as their logarithm.
      gaps: fewest and most steps of the gaps that are added between recordings; "auto": by the recordings' lengths.
      augment: how much recordings are varied each time they are used, in scaled units (1 is about a channel's standard
        deviation). Noise has a standard deviation of up to twice this (three times where a stream has one answer), the
        logarithm of a gain one of half of it.
      window: training steps of the network between two updates.
      batch: streams beside each other.
      starts: what a window starts from: "passed", the state that its stream had; or another of
        `asrnn_jax.streaming.starts`.
      steps: most updates.
      rate: of the first updates; None: found by short runs.
      clip: largest norm of a gradient.
      target: entropy in gaps, as a share of its most, that the weight of the gaps is set for, in (0, 1).
      hold_out: share of the data that is held out; streams if there are 4 or more, else the end of each.
      refit: whether the network is trained once more on all streams, for the number of steps that was best on those
        held out.
      patience: the training ends after so many looks at the held-out streams (one each 50 updates) without gain.
      minutes: what training may take, the search of a rate included; preparing the data and compiling take some seconds
        more. None: as long as it takes. Equal seeds give equal bits as long as the time is not what ends the training.
      seed: of all that is random.
      verbose: 1 shows a progress bar, if tqdm is installed.

    Example:
      >>> import numpy as np
      >>> from asrnn_jax.estimators import StreamClassifier
      >>> t = np.arange(400)
      >>> data = {"t": t, "x": np.sin(t * np.where(t % 80 < 40, 0.3, 1.5)), "state": np.where(t % 80 < 40, "a", "b")}
      >>> model = StreamClassifier(cell="gru", hidden=8, steps=10, window=40, batch=4, rate=0.01, refit=False)
      >>> model = model.fit(data, label="state", time="t")
      >>> list(model.predict_proba(data))
      ['t', 'a', 'b', 'entropy', 'nothing']
      >>> session = model.session()
      >>> session.push({"t": 400, "x": 0.5}).probabilities.shape
      (1, 2)
    """

    cell: str = field(default="asrnn", kw_only=False)
    hidden: int = field(default=64, kw_only=False)
    unlabelled: Literal["nothing", "unknown"] = "nothing"
    per: Literal["auto", "step", "stream"] = "auto"
    class_weight: Literal["balanced"] | Mapping[Any, float] | None = "balanced"
    per_: class_answers.Per = field(init=False)
    """What an answer is about."""
    _estimator_type = "classifier"

    # ------------------------------------------------------------------------------------------ fitting

    def fit(
        self,
        data: Any,
        label: Any = None,
        *,
        stream: Any = None,
        time: Any = None,
        channels: Sequence[str] | None = None,
    ) -> StreamClassifier:
        """Learns from labelled streams; returns itself.

        Args:
          data: a table, a mapping, the path of a file, or arrays: see `asrnn_jax.estimators.as_table`.
          label: the name of the column of labels, or the labels: one for each row, or for each series.
          stream, time, channels: as for `as_table`.

        Raises:
          ValueError: labels that cannot be learned from, columns that are not there, an argument out of range.
        """
        clock = fitting.Clock(self.minutes)
        for name, known in {"unlabelled": ("nothing", "unknown"), "per": ("auto", "step", "stream")}.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose {' or '.join(map(repr, known))}.")
        table = rows.read(data, label, stream=stream, time=time, channels=channels)
        preparation = Preparation(irregular=self.irregular, limit=self.limit).fit(table)
        preparation.check_labels()
        self.preparation, self.columns_ = preparation, list(table.channels)
        class_answers.weights_of(preparation.fitted.classes, self.class_weight)  # wrong ones are said before training
        series = preparation.apply(table)
        self.per_ = class_answers.per_of(series) if self.per == "auto" else self.per
        _, held = self._fit_network(series, clock)
        if self.per_ == "stream":
            self.sure_ = class_answers.NEVER
        elif not held or self.unlabelled == "unknown":
            self.sure_ = 0.5
        else:
            self.sure_ = class_answers.sure_below(held, outputs_of(self.network, self._measured, held))
        self.held_out_score_ = max((s for s in self.history["score"] if s == s), default=float("nan"))
        return self

    def partial_fit(self, data: Any, label: Any = None, *, steps: int = 100) -> StreamClassifier:
        """Goes on from where it was, on new data, at a third of the rate; scaling and classes stay as they are.

        Args:
          data, label: as for `fit`; columns have the names they had there.
          steps: updates.

        Raises:
          ValueError: no label in these data.
        """
        self._needs_fit()
        series = self.preparation.apply(rows.known(self.preparation, self.columns_, data, label))
        if not any((one.labels >= 0).any() for one in series):
            raise ValueError("partial_fit: no row has a label of the training data.")
        self._go_on(series, steps)
        return self

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted: the order of the probabilities."""
        self._needs_fit()
        return class_answers.as_array(self.preparation.classes)

    def _objective(self) -> Objective:
        weights = class_answers.weights_of(self.preparation.fitted.classes, self.class_weight)
        return class_answers.objective(self._outputs(), weights)

    def _outputs(self) -> int:
        return len(self.preparation.classes)

    def _augmented(self) -> dict[str, float]:
        # Streams of one label begin afresh, as they will later, and come whole each time, so that they need more noise.
        whole = self.per_ == "stream"
        noise = (3 if whole else 2) * self.augment
        return {"fresh": 1.0 if whole else 0.25, "noise": noise, "gain": self.augment / 2}

    def _record(self, one: Series) -> Recording:
        return class_answers.record(one, self.unlabelled, self.per_)

    def _look(self, cell: Cell, params: Params, held: Sequence[Series]) -> float:
        return class_answers.balanced_accuracy(held, outputs_of(cell, params, held), self.per_)

    # ---------------------------------------------------------------------------------------- answering

    def predict_proba(self, data: Any) -> Any:
        """Probabilities of the classes, as a table of the kind that came in.

        Its columns: stream and time, one for each class, "entropy" (as a share of its most: 1 is "don't know") and
        "nothing" (whether the answer is "nothing"). There is one row for each row that came in, in its order, or for
        each stream; a row without a step of its own (one that came twice) has NaN. Arrays give arrays: (T, C) of one
        array, (n, T, C) of series, a list of (T, C) for a list, and (n, C) where each stream has one answer.
        """
        table, logits = self._logits(data)
        probabilities = softmax(logits, axis=-1)
        if rows.kind_of(data) != "table":
            return probabilities if self.per_ == "stream" else rows.as_series(data, probabilities)
        each = {table.roles["stream"] or "stream": class_answers.as_array(table.stream.values)}
        columns = each if self.per_ == "stream" else rows.roles_of(table)
        names = rows.names_of(self.preparation.classes, [*columns, "entropy", "nothing"])
        columns |= {name: probabilities[:, i] for i, name in enumerate(names)}
        columns |= {"entropy": share_of(np, logits), "nothing": class_answers.is_nothing(logits, self.sure_)}
        return rows.as_came(data, columns)

    def predict(self, data: Any) -> Any:
        """The most likely class of each row, or stream, as an array; None where the answer is "nothing".

        Series, where each step has an answer, give a list of arrays, or an array if they came as one.
        """
        _, logits = self._logits(data)
        nothing = class_answers.is_nothing(logits, self.sure_)
        labels = class_answers.named(self.preparation.classes, np.nan_to_num(logits).argmax(-1), nothing)
        return labels if self.per_ == "stream" else rows.as_series(data, labels)

    def score(self, data: Any, label: Any = None) -> float:
        """Share of the labelled rows (or streams) whose most likely class is the right one.

        What is answered "nothing" counts by its most likely class too, so that classifiers that always answer can be
        compared; `evaluate` says both.

        Raises:
          ValueError: no labels.
        """
        return self.evaluate(data, label)["accuracy"]

    def evaluate(self, data: Any, label: Any = None) -> dict[str, float]:
        """How good the answers are: shares of all rows, or streams.

        "accuracy": of those with a label, where the most likely class is the right one. "answered": of the same, where
        `predict` gives it, so that "nothing" is wrong. "nothing": of those without a label, where it says "nothing".

        Raises:
          ValueError: no labels.
        """
        self._needs_fit()
        table = rows.known(self.preparation, self.columns_, data, label)
        wanted = class_answers.wanted(self.preparation.classes, table, self.per_)
        return dict(class_answers.measured(self._logits(table)[1], wanted, self.sure_))

    def session(self, batch: int | tuple[int, ...] = ()) -> LiveSession:
        """Raw rows in, `Answers` out, for ever: see `asrnn_jax.estimators.LiveSession`."""
        self._needs_fit()
        classes, sure = self.preparation.classes, self.sure_

        def read(memory: Memory, logits: np.ndarray, live: Live, xs: np.ndarray) -> Any:
            nothing = class_answers.is_nothing(logits, sure)
            labels = class_answers.named(classes, logits.argmax(-1), nothing)
            return memory, class_answers.Answers(labels, softmax(logits, axis=-1), share_of(np, logits), nothing)

        return LiveSession(self.preparation.live(batch), self.network, self.params, read, batch=batch)

    def _logits(self, data: Any) -> tuple[Table, np.ndarray]:
        """Logits (rows, C), or (streams, C); NaN where there is no step."""
        self._needs_fit()
        table = rows.known(self.preparation, self.columns_, data)
        series = self.preparation.apply(table)
        outputs = outputs_of(self.network, self.params, series)
        if self.per_ == "step":
            return table, rows.scattered(table, series, outputs, self._outputs())
        logits = np.full((len(table.stream.values), self._outputs()), np.nan, np.float32)
        place = {name: i for i, name in enumerate(table.stream.values)}
        for one, ys in zip(series, outputs):
            logits[place[one.name]] = class_answers.whole(ys)
        return table, logits

    # -------------------------------------------------------------------------------------------- files

    def _about(self) -> dict[str, Any]:
        score = self.held_out_score_
        return {"per": self.per_, "sure": self.sure_, "held_out_score": None if score != score else score}

    def _restore(self, about: Mapping[str, Any]) -> None:
        self.per_, self.sure_ = about["per"], float(about["sure"])
        self.held_out_score_ = float("nan") if about["held_out_score"] is None else about["held_out_score"]
