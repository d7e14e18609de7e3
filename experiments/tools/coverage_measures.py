"""What a network of `experiments.tools.coverage` does on streams of unseen samples, and what its audit says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from asrnn_jax import pretrained, streaming
from experiments.config import Stream, from_json
from experiments.data.samples import gaps_of, load_samples
from experiments.tasks.scores import measure
from experiments.tools.audited import audited as audit_of


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
    verdict = audit_of(run, cell, params, audited)
    return {"scores": scores, "silence": silence, "audit": verdict}


def _rounded(scores: dict[str, float]) -> dict[str, float | None]:
    """None is a mean of nothing, which JSON has no number for."""
    return {name: None if value != value else round(value, 5) for name, value in scores.items()}
