"""Classes of the steps of streams: see `StreamClassifier`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import losses
from asrnn_jax.cell import Cell, Params
from asrnn_jax.estimators import fitting, rows
from asrnn_jax.estimators.base import StreamEstimator
from asrnn_jax.estimators.endless import Recording
from asrnn_jax.estimators.live_session import Answers, LiveSession
from asrnn_jax.estimators.outputs import outputs_of
from asrnn_jax.estimators.preparation import Preparation
from asrnn_jax.estimators.series import Series
from asrnn_jax.estimators.tables import Table
from asrnn_jax.estimators.training import Objective
from asrnn_jax.losses.objective import share_of


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
      per: "step": one answer a step. "stream": one answer a stream, by the mean of the log-probabilities of its steps.
        "auto": a stream if each has one label only and no step without, else a step.
      class_weight: "balanced": rare classes count as much as common ones; None: as often as they come.
      irregular: what is done where rows are not evenly spaced, see `asrnn_jax.estimators.Preparation`.
      limit: scaled values beyond it grow as their logarithm.
      gaps: fewest and most steps of the gaps that are added between recordings; "auto": by the recordings' lengths.
      augment: how much recordings are changed each time: the standard deviation of a gain's logarithm and the most
        of that of added noise, in scaled units (1 is about a channel's own).
      window: training steps of the network between two updates.
      batch: streams beside each other.
      steps: most updates.
      rate: of the first updates; None: found by short runs.
      clip: largest norm of a gradient.
      target: entropy in gaps, as a share of its most, that the weight of the gaps is set for, in (0, 1).
      hold_out: share of the data that is held out; streams if there are 4 or more, else the end of each.
      refit: whether the network is trained once more on all streams, as long as it was best for those held out.
      patience: the training ends after so many looks at the held-out streams (one each 50 updates) without gain.
      minutes: what fitting may take, compilation included; None: as long as it takes. Equal seeds give equal bits as
        long as the time is not what ends the training.
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

    _estimator_type = "classifier"

    def __init__(
        self,
        cell: str = "asrnn",
        hidden: int = 64,
        *,
        layers: int = 1,
        residual: bool = False,
        options: Mapping[str, Any] | None = None,
        unlabelled: Literal["nothing", "unknown"] = "nothing",
        per: Literal["auto", "step", "stream"] = "auto",
        class_weight: Literal["balanced"] | None = "balanced",
        irregular: Literal["ignore", "resample", "channel"] = "ignore",
        limit: float = 3.0,
        gaps: Any = "auto",
        augment: float = 0.3,
        window: int = 100,
        batch: int = 32,
        steps: int = 800,
        rate: float | None = None,
        clip: float = 1.0,
        target: float = 0.95,
        hold_out: float = 0.2,
        refit: bool = True,
        patience: int = 8,
        minutes: float | None = 5.0,
        seed: int = 0,
        verbose: int = 0,
    ):
        self.cell = cell
        self.hidden = hidden
        self.layers = layers
        self.residual = residual
        self.options = options
        self.unlabelled = unlabelled
        self.per = per
        self.class_weight = class_weight
        self.irregular = irregular
        self.limit = limit
        self.gaps = gaps
        self.augment = augment
        self.window = window
        self.batch = batch
        self.steps = steps
        self.rate = rate
        self.clip = clip
        self.target = target
        self.hold_out = hold_out
        self.refit = refit
        self.patience = patience
        self.minutes = minutes
        self.seed = seed
        self.verbose = verbose

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
        for name, known in (("unlabelled", ("nothing", "unknown")), ("per", ("auto", "step", "stream"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose {' or '.join(map(repr, known))}.")
        table = rows.read(data, label, stream=stream, time=time, channels=channels)
        preparation = Preparation(irregular=self.irregular, limit=self.limit).fit(table)
        preparation.check_labels()
        self.preparation, self.columns_ = preparation, list(table.channels)
        series = preparation.apply(table)
        self.per_ = self.per if self.per != "auto" else _per(series)
        self.sure_ = 0.5
        held = self._fit_network(series, self._objective(), self._record, self._look, clock=clock)
        self.sure_ = self._sure(held)
        self.held_out_score_ = self._look(self.network, self.params, held) if held and not self.refit else self._best()
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
        before = self.history
        self._fit_network(series, self._objective(), self._record, None, self.params, steps)
        last = max(before["step"], default=0)
        self.history["step"] = [step + last for step in self.history["step"]]
        self.history = {name: before[name] + self.history[name] for name in before}
        return self

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted: the order of the probabilities."""
        self._needs_fit()
        return _array(self.preparation.classes)

    def _objective(self) -> Objective:
        counts = jnp.asarray(self.preparation.fitted.classes.rows)
        weights = losses.balanced_weights(counts) if self.class_weight == "balanced" else None

        def loss(outputs, wanted, informative, weight):
            return losses.reset_free(outputs, wanted, informative, weight=weight, class_weights=weights)

        return Objective(self._outputs(), loss, losses.entropy_share)

    def _outputs(self) -> int:
        return len(self.preparation.classes)

    def _record(self, one: Series) -> Recording:
        informative = (one.labels >= 0).astype(np.float32)
        learned = one.valid if self.unlabelled == "nothing" else one.valid & (one.labels >= 0)
        nothing = np.zeros(len(one.xs), bool)
        return Recording(one.xs, one.valid, one.labels, informative, learned.astype(np.float32), nothing)

    # ---------------------------------------------------------------------------------------- measuring

    def _look(self, cell: Cell, params: Params, held: Sequence[Series]) -> float:
        """Mean share of right answers of each class, over labelled steps or streams."""
        labels, logits = self._labelled(held, outputs_of(cell, params, held))
        right = logits.argmax(-1) == labels
        return float(np.mean([right[labels == c].mean() for c in np.unique(labels)]))

    def _labelled(self, series: Sequence[Series], outputs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        if self.per_ == "stream":
            first = [int(one.labels[one.labels >= 0][0]) if (one.labels >= 0).any() else -1 for one in series]
            labels, logits = np.array(first), np.stack([_whole(y) for y in outputs])
        else:
            labels, logits = np.concatenate([one.labels for one in series]), np.concatenate(outputs)
        return labels[labels >= 0], logits[labels >= 0]

    def _sure(self, held: Sequence[Series]) -> float:
        """The entropy share from which an answer is "nothing": the best compromise on what was held out."""
        if self.per_ == "stream" or self.unlabelled == "unknown" or not held:
            return 0.5
        labels = np.concatenate([one.labels for one in held])
        logits = np.concatenate(outputs_of(self.network, self.params, held))
        if not (labels < 0).any() or not (labels >= 0).any():
            return 0.5
        shares, right = share_of(np, logits), logits.argmax(-1) == labels
        grid = np.linspace(0.05, 0.95, 19)
        good = [((shares < s) & right)[labels >= 0].mean() + (shares >= s)[labels < 0].mean() for s in grid]
        return float(np.median(grid[np.array(good) >= max(good) - 1e-9]))

    def _best(self) -> float:
        there = [score for score in self.history["score"] if score == score]
        return max(there, default=float("nan"))

    # ---------------------------------------------------------------------------------------- answering

    def predict_proba(self, data: Any) -> Any:
        """Probabilities of the classes, as a table of the kind that came in.

        Its columns: stream and time, one for each class, "entropy" (as a share of its most: 1 is "don't know") and
        "nothing" (whether the answer is "nothing"). There is one row for each row that came in, in its order, or for
        each stream; a row without a step of its own (one that came twice) has NaN. Arrays give arrays: (T, C) of one
        array, (n, T, C) of series, a list of (T, C) for a list, and (n, C) where each stream has one answer.
        """
        table, logits = self._logits(data)
        return self._as_came(data, table, logits)

    def predict(self, data: Any) -> np.ndarray:
        """The most likely class of each row (or stream); None where the answer is "nothing". Lists for series."""
        table, logits = self._logits(data)
        labels = self._decided(logits)
        if self.per_ == "step" and rows.kind_of(data) == "series":
            return _pieces(data, labels)
        return labels

    def score(self, data: Any, label: Any = None) -> float:
        """Share of the labelled rows (or streams) whose answer is right; "nothing" is a wrong answer there."""
        self._needs_fit()
        table = rows.known(self.preparation, self.columns_, data, label)
        if table.labels is None:
            raise ValueError("score: these data have no labels; give label=.")
        _, logits = self._logits(table)
        answers, wanted = self._decided(logits), table.labels.decoded()
        if self.per_ == "stream":
            known = [wanted[(table.stream.codes == code) & (table.labels.codes >= 0)] for code in self._codes(table)]
            wanted = np.array([*(one[0] if len(one) else None for one in known), None], object)[:-1]
        there = np.array([one is not None for one in wanted], bool)
        if not there.any():
            raise ValueError("score: no row of these data has a label.")
        return float(np.mean([a == w for a, w in zip(answers[there], wanted[there])]))

    def session(self, batch: int | tuple[int, ...] = ()) -> LiveSession:
        """Raw rows in, answers out, for ever: see `asrnn_jax.estimators.LiveSession`."""
        self._needs_fit()

        def read(logits: np.ndarray) -> Answers:
            probabilities, shares = _softmax(logits), share_of(np, logits)
            labels = self._named(logits.argmax(-1), shares)
            return Answers(labels, probabilities, shares, shares >= self.sure_)

        return LiveSession(self.preparation.live(batch), self.network, self.params, read, batch)

    def _codes(self, table: Table) -> range:
        return range(len(table.stream.values))

    def _logits(self, data: Any) -> tuple[Table, np.ndarray]:
        """Logits (rows, C), or (streams, C); NaN where there is no step."""
        self._needs_fit()
        table = rows.known(self.preparation, self.columns_, data)
        series = self.preparation.apply(table)
        outputs = outputs_of(self.network, self.params, series)
        size = len(table.stream.values) if self.per_ == "stream" else table.rows
        logits = np.full((size, self._outputs()), np.nan, np.float32)
        place = {name: i for i, name in enumerate(table.stream.values)}
        for one, ys in zip(series, outputs):
            if self.per_ == "stream":
                logits[place[one.name]] = _whole(ys)
            else:
                own = one.rows >= 0
                logits[one.rows[own]] = ys[own]
        return table, logits

    def _decided(self, logits: np.ndarray) -> np.ndarray:
        there = np.isfinite(logits).all(-1)
        shares = share_of(np, np.where(there[:, None], logits, 0))
        return self._named(np.where(there[:, None], logits, 0).argmax(-1), np.where(there, shares, 2))

    def _named(self, chosen: np.ndarray, shares: np.ndarray) -> np.ndarray:
        most = 2 if self.per_ == "stream" else self.sure_
        names = np.array([*self.preparation.classes, None], object)
        found = names[np.where(shares < most, chosen, len(names) - 1)]
        return found if any(one is None for one in found.ravel()) else _array(found.tolist()).reshape(found.shape)

    def _as_came(self, data: Any, table: Table, logits: np.ndarray) -> Any:
        probabilities = _softmax(logits)
        kind = rows.kind_of(data)
        if kind == "rows" or (kind == "series" and self.per_ == "stream"):
            return probabilities
        if kind == "series":
            return _pieces(data, probabilities)
        roles, shares = table.roles, share_of(np, logits)
        columns: dict[str, np.ndarray] = {}
        if self.per_ == "stream":
            columns[roles["stream"] or "stream"] = np.array(table.stream.values)
        else:
            if roles["stream"] is not None:
                columns[roles["stream"]] = table.stream.decoded()
            if roles["time"] is not None and table.times is not None:
                columns[roles["time"]] = table.how.write(table.times)
        names = rows.names_of(self.preparation.classes, [*columns, "entropy", "nothing"])
        columns |= {name: probabilities[:, i] for i, name in enumerate(names)}
        return rows.as_came(data, {**columns, "entropy": shares, "nothing": ~(shares < self.sure_)})

    # -------------------------------------------------------------------------------------------- files

    def _about(self) -> dict[str, Any]:
        score = self.held_out_score_
        return {"per": self.per_, "sure": self.sure_, "held_out_score": None if score != score else score}

    def _restore(self, about: Mapping[str, Any]) -> None:
        self.per_, self.sure_ = about["per"], float(about["sure"])
        self.held_out_score_ = float("nan") if about["held_out_score"] is None else about["held_out_score"]


def _per(series: Sequence[Series]) -> Literal["step", "stream"]:
    """A stream, where each of many has one label, and on all of its steps."""
    whole = all(len(np.unique(one.labels)) == 1 and one.labels[0] >= 0 for one in series if len(one.xs))
    return "stream" if whole and len(series) > 3 else "step"


def _whole(logits: np.ndarray) -> np.ndarray:
    """One answer (C,) for all steps (T, C): the mean of their log-probabilities."""
    shifted = logits - logits.max(-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))).mean(0)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _pieces(data: Any, values: np.ndarray) -> Any:
    """Values of rows as those of series, in an array where they have one length."""
    lengths = rows.lengths(data)
    parts = np.split(values, np.cumsum(lengths)[:-1])
    return np.stack(parts) if not isinstance(data, (list, tuple)) else parts


def _array(values: Sequence[Any]) -> np.ndarray:
    """Of one type, if they are; text as objects is text."""
    return np.array(list(values)) if len({type(v) for v in values}) <= 1 else np.array(list(values), object)
