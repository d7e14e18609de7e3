"""The audit: all policies over all streams, samples after gaps, the state, the past, and the verdict."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from asrnn_jax.audit.collapse import AfterGap, Probes, after_gaps, asked_fresh, probes, shortest_gap
from asrnn_jax.audit.measures import Measure, interval, measures
from asrnn_jax.audit.models import Model, as_model
from asrnn_jax.audit.results import Found
from asrnn_jax.audit.sources import Source, source
from asrnn_jax.audit.states import Watch, remembrance
from asrnn_jax.audit.verdict import Row, Scale, judge
from asrnn_jax.audit.walk import Chunk, Tally, tally, times_since
from asrnn_jax.losses import energy
from asrnn_jax.streaming.policies import Policy, never, on_energy, on_entropy, on_saturation, oracle, periodic
from asrnn_jax.streaming.scores import Interval

LADDER = (10, 30, 100, 300, 1000, 3000, 10_000)
CHUNK = 500
FEW = 10  # steps of a place; of fewer no score is shown


@dataclass(frozen=True)
class Settings:
    """What an audit measures, where the defaults do not fit."""

    every: tuple[int, ...] | None = None
    """Intervals of periodic resets; None: 10, 30, 100, ... up to half a stream."""
    pasts: tuple[int, ...] = (0, 10, 30, 100, 300, 1000)
    """Steps of silence, noise and other samples before a sample; the place of a collapse between is searched for.
    (): skip this test, for example where the right answer depends on earlier samples."""
    quiet: float = 0.0
    """What the inputs are in silence."""
    noise: float | None = None
    """Root mean square of the noise before samples; None: as in the gaps of the streams, or a tenth of the samples'."""
    threshold: float = 0.5
    """Above which the one output of a detector says something."""
    lower_is_better: bool = False
    """Whether a lower score is better, as an error is; known of "false alarms"."""
    margin: float = 0.02
    """Difference of the score that matters."""
    first: int = 1000
    """The state is compared with what it was in so many first steps."""
    parts: int = 10
    """Into how many stretches the streams are divided for the tables."""
    remember: int = 500
    """Steps for which outputs are compared after another past."""
    seed: int = 0
    progress: bool | None = None
    """A bar of tqdm; None: where tqdm is installed and a person is looking."""

    def __post_init__(self):
        for name in ("first", "parts", "remember"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give at least 1.")
        if list(self.pasts) != sorted(set(self.pasts)) or min(self.pasts, default=0) < 0:
            raise ValueError(f"pasts={self.pasts}: give numbers of steps, ascending.")
        if not self.margin > 0:
            raise ValueError(f"margin={self.margin}: give a difference above 0.")


def resets(
    model: Any,
    start: Any,
    streams: Any,
    labels: Any = None,
    *,
    starts: Any = None,
    steps: int | None = None,
    score: str | Measure | None = None,
    policies: Sequence[Policy] | None = None,
    settings: Settings | None = None,
    visit: Callable[[str, Chunk], Any] | None = None,
) -> Found:
    """Does a streaming model need resets? Runs it with several policies, looks at its state, and says so.

    Args:
      model: a Cell; a function ``(state, x) -> (state, y)`` of NumPy, JAX or torch; the path of an ONNX file; or what
        `asrnn_jax.audit.onnx` or `asrnn_jax.audit.function` returns.
      start: of a Cell its params; of a function the state of one stream, or a function from B to the state of B
        streams; otherwise None.
      streams: ``(B, T, I)``, a list of ``(T, I)``, or a list of `asrnn_jax.streaming.Stream`, which need `steps`.
      labels: integers, one a step, in the same form; -1 where nothing is. Of Streams None.
      starts: bool, one a step: where samples begin; None: wherever the label changes. The oracle resets there.
      steps: of each Stream; of arrays, how many to use.
      score: "accuracy", "accuracy at end" (of each sample), "recall", "precision", "f1", "false alarms"; or a function,
        see `asrnn_jax.audit.Measure`. None: recall for one output, accuracy at the end of samples for more where there
        are gaps, else accuracy.
      policies: None: never, oracle, periodic, by energy, by entropy (of several outputs), by saturation (of cells).
      settings: see `Settings`.
      visit: called with the name of the policy and each chunk, which has what the model was given and what it said, for
        scores of your own beside these.

    Raises:
      ValueError: data that do not fit, a model without a state, states whose shapes do not come back, outputs that are
        not finite (in which stream, since when).
      TypeError: `model` is not a cell, a function or a path.
      ImportError: an ONNX file without onnxruntime.

    Example:
      >>> import numpy as np
      >>> from asrnn_jax import audit
      >>> xs = np.random.default_rng(0).normal(size=(12, 400, 1)).astype("float32")
      >>> labels = (xs[..., 0] > 0).astype(int)
      >>> def model(h, x):
      ...     return 0.5 * h + x, np.concatenate([-x, x], axis=-1)
      >>> found = audit.resets(model, np.zeros(1), xs, labels)
      >>> found.verdict.need.value
      'needs none'
    """
    settings = settings or Settings()
    known, data = as_model(model, start), source(streams, labels, starts=starts, steps=steps)
    first = data.piece(0, min(2000, data.steps))
    if known.inputs not in (None, first.xs.shape[-1]):
        raise ValueError(f"streams have {first.xs.shape[-1]} inputs, {known.name} takes {known.inputs}.")
    _, ys = known.advance(known.start(data.streams), first.xs[:, :1], np.zeros((data.streams, 1), bool))
    scores, scale = _scores(score, settings.threshold, ys.shape[-1], bool(((first.labels < 0) & first.there).any()))
    lower = settings.lower_is_better or score == "false alarms"
    scale, better = scale._replace(lower_is_better=lower), -1 if lower else 1
    chosen = _policies(known, data, ys.shape[-1], settings) if policies is None else list(policies)
    chosen = [never(), *(policy for policy in chosen if policy != never())]
    name = next(iter(scores))
    asked = probes(data) if settings.pasts else None
    total = data.steps * len(chosen) + 3 * max(settings.pasts, default=0)
    points = tuple(data.steps * i // 4 for i in (1, 2, 3))
    watch = Watch(known, data, settings.first, settings.parts, points)
    with _bar(settings.progress, total, known.name) as advanced:
        options: dict[str, Any] = {"parts": settings.parts, "advanced": advanced}
        small = max(1, min(CHUNK, data.steps // 300))
        tallies = []
        for policy in chosen:
            first = not tallies  # never, during which the state is watched
            shown = _visit(policy, visit, [watch] if first else [])
            tallies.append(tally(known, data, policy, scores, chunk=small if first else CHUNK, visit=shown, **options))
        memory = remembrance(known, data, watch.kept, min(settings.remember, max(1, data.steps // 2)))
        gaps, fresh = _gaps(known, data, asked, scores[name], settings, better, advanced)
    rows = _rows(tallies, name, better, settings.seed)
    counted = float(tallies[0].by_part[name].whole.sum())
    about = {"scale": scale, "margin": settings.margin, "counted": counted, "streams": data.streams}
    return Found(
        model=known.name,
        scale=scale,
        streams=data.streams,
        steps=data.steps,
        rows=rows,
        by_part=np.stack([each.by_part[name].mean(FEW) for each in tallies]),
        times=times_since(tallies[0].by_since.part.shape[1]),
        by_since=np.stack([each.by_since.mean(FEW) for each in tallies]),
        fresh=fresh,
        gaps=tuple(gaps),
        state=watch.report(),
        memory=memory,
        verdict=judge(rows, gaps, memory, **about),
    )


def _visit(
    policy: Policy, visit: Callable[[str, Chunk], Any] | None, others: list[Callable[[Chunk], Any]]
) -> Callable[[Chunk], None]:
    def visited(chunk: Chunk) -> None:
        for each in others:
            each(chunk)
        if visit is not None:
            visit(policy.name, chunk)

    return visited


def _scores(
    score: str | Measure | None, threshold: float, outputs: int, gaps: bool
) -> tuple[dict[str, Measure], Scale]:
    named = measures(threshold)
    if callable(score):
        return {getattr(score, "__name__", "score"): score}, Scale(getattr(score, "__name__", "score"), False)
    if score is None:
        score = "recall" if outputs == 1 else "accuracy at end" if gaps else "accuracy"
    if score not in named:
        raise ValueError(f"score={score!r}: choose from {', '.join(named)}, or give a function.")
    also = ["false alarms"] if score in ("recall", "precision", "f1") and gaps else []
    return {each: named[each] for each in (score, *also)}, Scale(score, True)


def _policies(model: Model, data: Source, outputs: int, settings: Settings) -> list[Policy]:
    piece = data.piece(0, min(2000, data.steps))
    every = settings.every if settings.every is not None else tuple(k for k in LADDER if k <= data.steps // 2)
    loud = np.asarray(energy(piece.xs))[piece.labels >= 0]
    found = [oracle(), *map(periodic, every)]
    found += [on_energy(round(float(np.median(loud)) - 1, 3))] if loud.size else []
    found += [on_entropy()] if outputs > 1 else []
    return found + ([on_saturation()] if model.saturated is not None else [])


def _gaps(
    model: Model,
    data: Source,
    asked: Probes | None,
    score: Measure,
    settings: Settings,
    better: int,
    advanced: Callable[[int], Any],
) -> tuple[list[AfterGap], float]:
    if asked is None:
        return [], np.nan
    level = settings.noise if settings.noise is not None else _level(data)
    given: dict[str, Any] = {"lengths": settings.pasts, "level": level, "quiet": settings.quiet}
    given |= {"margin": settings.margin, "between": min(shortest_gap(data), int(np.median(asked.lengths)))}
    found = after_gaps(model, asked, score, **given, better=better, seed=settings.seed, advanced=advanced)
    return found, float(asked_fresh(model, asked, score).mean()[0])


def _level(data: Source) -> float:
    piece = data.piece(0, min(2000, data.steps))
    gaps, samples = piece.xs[(piece.labels < 0) & piece.there], piece.xs[piece.labels >= 0]
    level = float(np.sqrt(np.mean(gaps**2))) if gaps.size else 0.0
    return level or 0.1 * float(np.sqrt(np.mean(samples**2))) or 1.0


def _rows(tallies: list[Tally], name: str, better: int, seed: int) -> tuple[Row, ...]:
    base = tallies[0].by_part
    strict = 1 - 0.05 / max(1, len(tallies) - 1)
    rows = []
    for each in tallies:
        own = each.by_part[name]
        others = {k: float(v.part.sum() / (v.whole.sum() or np.nan)) for k, v in each.by_part.items()}
        gain, careful = Interval(0.0, 0.0, 0.0), Interval(0.0, 0.0, 0.0)
        if each is not tallies[0]:
            pair = own.signed(better), base[name].signed(better)
            gain, careful = interval(*pair, seed=seed), interval(*pair, level=strict, seed=seed)
        others.pop(name)
        rows.append(Row(each.policy, each.resets, interval(own, seed=seed), gain, bool(careful.low > 0), others))
    return tuple(rows)


@contextmanager
def _bar(progress: bool | None, total: int, name: str) -> Iterator[Callable[[int], Any]]:
    """A function that counts steps done."""
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None
    if tqdm is None or progress is False or (progress is None and not sys.stderr.isatty()):
        yield lambda steps: None
        return
    with tqdm(total=total, desc=f"audit {name}", unit="step", unit_scale=True) as bar:
        yield bar.update
