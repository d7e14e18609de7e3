"""What a network of `experiments.tools.coverage` does on streams of unseen samples, and what its audit says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from asrnn_jax import audit, pretrained, streaming
from experiments.config import Stream, from_json
from experiments.data.samples import gaps_of, load_samples, stream_of
from experiments.tasks.scores import TEST_STREAMS, measure


def of_the_package(name: str, data_dir: str | None, samples: int, audited: int) -> dict[str, Any]:
    """What `measured` returns of a network of `asrnn_jax.pretrained`, and how it was trained."""
    cell, params, card = pretrained.load(name)
    run = from_json(card["config"] | {"data_dir": data_dir})
    assert isinstance(run, Stream)
    about = {"name": name, "cell": run.model.cell, "regime": run.regime, "seed": run.training.seed}
    return about | measured(run, cell, params, samples, audited)


def measured(run: Stream, cell: Any, params: Any, samples: int, audited: int) -> dict[str, Any]:
    """Scores with and without resets on so many unseen samples, without resets where all gaps are silent; the audit."""
    train_samples, test, _ = load_samples(run)
    gaps = gaps_of(run, train_samples)
    quiet = replace(gaps, kinds=("silence",))
    scores = {
        policy.name: _rounded(measure(cell, params, test, gaps, samples, policy))
        for policy in (streaming.never(), streaming.oracle())
    }
    silence = _rounded(measure(cell, params, test, quiet, samples, streaming.never()))
    silence = {name: silence[name] for name in ("accuracy", "gap_entropy")}
    streams = [stream_of(test, 10**6 + i, gaps) for i in range(TEST_STREAMS)]
    policies = [streaming.never(), streaming.oracle()]
    found = audit.resets(cell, params, streams, steps=_steps(streams, audited), policies=policies, settings=_SETTINGS)
    verdict = {"need": found.verdict.need.value, "text": found.verdict.text}
    verdict |= {"collapses": {gap.kind: gap.collapses for gap in found.gaps}, "agrees": found.memory.agrees}
    return {"scores": scores, "silence": silence, "audit": verdict}


_SETTINGS = audit.Settings(progress=False)


def _steps(streams: list[streaming.Stream], number: int) -> int:
    """So many steps that so many samples end in them."""
    steps = ended = 0
    while ended < number:
        ended += int(streaming.windows(streams, steps, 500).ends.sum())
        steps += 500
    return steps


def _rounded(scores: dict[str, float]) -> dict[str, float | None]:
    """None is a mean of nothing, which JSON has no number for."""
    return {name: None if value != value else round(value, 5) for name, value in scores.items()}
