"""The reset audit of a trained network, as JSON values."""

from __future__ import annotations

from typing import Any

from asrnn_jax import audit, streaming
from asrnn_jax.cell import Cell
from experiments.config import Stream
from experiments.data.samples import gaps_of, load_samples, stream_of
from experiments.tasks.scores import TEST_STREAMS

_SETTINGS = audit.Settings(progress=False)


def audited(run: Stream, cell: Cell, params: Any, samples: int) -> dict[str, Any]:
    """Audits the network of a run on streams with so many unseen samples.

    Returns: ``need`` and ``text``, the verdict; ``collapses``, by kind of gap; ``agrees``, steps until a fresh and a
    carried state agree, None where they did not.
    """
    train, test, _ = load_samples(run)
    streams = [stream_of(test, 10**6 + i, gaps_of(run, train)) for i in range(TEST_STREAMS)]
    policies = [streaming.never(), streaming.oracle()]
    found = audit.resets(cell, params, streams, steps=_steps(streams, samples), policies=policies, settings=_SETTINGS)
    verdict = {"need": found.verdict.need.value, "text": found.verdict.text}
    return verdict | {"collapses": {gap.kind: gap.collapses for gap in found.gaps}, "agrees": found.memory.agrees}


def _steps(streams: list[streaming.Stream], number: int) -> int:
    """So many steps that so many samples end in them."""
    steps = ended = 0
    while ended < number:
        ended += int(streaming.windows(streams, steps, 500).ends.sum())
        steps += 500
    return steps
