"""How a network does on endless streams of unseen samples."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from asrnn_jax import losses, streaming
from asrnn_jax.cell import Cell
from asrnn_jax.streaming import scores
from asrnn_jax.streaming.scores import mean
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
    there, claimed = (np.where(flags, 0, -1) for flags in (informative, claims))  # something or nothing, of any class
    whole = _whole(scores.events(window.labels, window.starts), window)
    at_end = right[whole.stream, whole.stop - 1]
    best = [right[b, i + np.argmin(entropy[b, i:j])] for b, i, j in zip(whole.stream, whole.start, whole.stop)]
    late = scores.delays(whole._replace(label=np.zeros_like(whole.label)), claimed)
    tenths = scores.along(whole.stop, at_end)
    alarms = scores.false_alarms(there, claimed, grace=GRACE, apart=None)
    nats = -np.take_along_axis(log_p, np.maximum(window.labels, 0)[..., None], -1)[..., 0][informative]
    return {
        "samples": len(at_end),
        "accuracy": mean(at_end),
        "best_accuracy": mean(best),
        "first": float(tenths[0]),
        "last": float(tenths[-1]),
        "gap_entropy": mean(entropy[~informative]),
        "precision": mean(informative[claims]),
        "recall": mean(~np.isnan(late)),
        "delay": mean(late[~np.isnan(late)]),
        "false_alarms": 1000 * alarms / ((~informative).sum() or np.nan),
        "loss": mean(nats),
    }


def _whole(found: scores.Events, window: streaming.Window) -> scores.Events:
    """Those that are in the window from beginning to end."""
    kept = window.starts[found.stream, found.start] & window.ends[found.stream, found.stop - 1]
    return scores.Events(*(column[kept] for column in found))
