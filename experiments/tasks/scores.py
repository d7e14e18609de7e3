"""How a network does on endless streams of unseen samples."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from asrnn_jax import losses, streaming
from asrnn_jax.cell import Cell
from experiments.data.samples import Samples, stream_of

SURE = 0.5  # entropy share below which a network claims to know something
GRACE = 5  # steps of a gap in which a claim may still be about the sample before
TEST_STREAMS = 10  # that the samples of the test are spread over


def measure(
    cell: Cell,
    params: Any,
    test: Samples,
    gaps: streaming.Gaps,
    number: int,
    policy: streaming.Policy,
    *,
    chunk: int = 500,
    **disturbances: float,
) -> dict[str, float]:
    """Runs a session over test streams with `number` samples in all and says how it did.

    Returns: ``accuracy`` at the last step of each sample, ``best_accuracy`` at the step where the network is surest;
    ``first`` and ``last``, the accuracy in the first and last tenth of the stream; ``gap_entropy``. Of the claim to
    know something as a detector of samples: ``precision``, the share of the claims' steps that are in samples;
    ``recall``, the share of samples with a claim; ``delay``, steps from the beginning of a sample to the first (NaN
    without any); ``false_alarms``, gaps with a claim after their first `GRACE` steps, per 1,000 steps of gap.
    ``loss``, the mean cross-entropy over samples' steps. Whatever is a mean or a share of nothing is NaN: accuracies
    without a whole sample, precision without a claim, entropy and alarms without a gap.
    """
    streams = [stream_of(test, 10**6 + i, gaps, **disturbances) for i in range(TEST_STREAMS)]
    session = streaming.Session(cell, params, batch=(TEST_STREAMS,), policy=policy, non_finite="missing")
    windows, logits, ended = [], [], 0
    while ended < number:
        window = streaming.windows(streams, len(windows) * chunk, chunk)
        logits.append(np.asarray(session.push(window.xs, boundary=window.starts)))
        windows.append(window)
        ended += int(window.ends.sum())
    window = streaming.Window(*(np.concatenate(leaves, axis=1) for leaves in zip(*windows)))
    return score(window, np.concatenate(logits, axis=1))


def score(window: streaming.Window, logits: np.ndarray) -> dict[str, float]:
    """What `measure` returns, of logits ``(B, T, C)`` for these windows."""
    entropy = np.asarray(losses.entropy_share(logits))
    log_p = np.asarray(jax.nn.log_softmax(logits, axis=-1))
    informative, claims = window.labels >= 0, entropy < SURE
    right = logits.argmax(-1) == window.labels
    at_end, best, delays, seen = [], [], [], []
    for b, start, end in _whole_samples(window):
        at_end.append((end, right[b, end]))
        best.append(right[b, start + np.argmin(entropy[b, start : end + 1])])
        seen.append(claims[b, start : end + 1].any())
        if seen[-1]:
            delays.append(int(np.argmax(claims[b, start : end + 1])))
    order = sorted(at_end)
    tenth = max(1, len(order) // 10)
    nats = -np.take_along_axis(log_p, np.maximum(window.labels, 0)[..., None], -1)[..., 0][informative]
    return {
        "samples": len(order),
        "accuracy": mean([r for _, r in order]),
        "best_accuracy": mean(best),
        "first": mean([r for _, r in order[:tenth]]),
        "last": mean([r for _, r in order[-tenth:]]),
        "gap_entropy": mean(entropy[~informative]),
        "precision": mean(informative[claims]),
        "recall": mean(seen),
        "delay": mean(delays),
        "false_alarms": 1000 * _false_alarms(claims, informative) / ((~informative).sum() or np.nan),
        "loss": mean(nats),
    }


def mean(values: Any) -> float:
    """NaN of nothing."""
    return float(np.mean(values)) if len(values) else float("nan")


def _false_alarms(claims: np.ndarray, informative: np.ndarray) -> int:
    """How many gaps have a claim after their first steps, of bools ``(B, T)``."""
    found = 0
    for claim, gap in zip(claims, ~informative):
        begins = gap & ~np.r_[False, gap[:-1]]
        since = np.arange(len(gap)) - np.maximum.accumulate(np.where(begins, np.arange(len(gap)), 0))
        found += len(np.unique(np.cumsum(begins)[claim & gap & (since >= GRACE)]))
    return found


def _whole_samples(window: streaming.Window) -> list[tuple[int, int, int]]:
    """``(stream, first step, last step)`` of the samples that are in the window from beginning to end."""
    found = []
    for b in range(len(window.labels)):
        starts, ends = np.flatnonzero(window.starts[b]), np.flatnonzero(window.ends[b])
        ends = ends[ends >= starts[0]] if len(starts) else ends[:0]
        found += [(b, int(s), int(e)) for s, e in zip(starts, ends)]
    return found
