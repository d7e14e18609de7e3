"""One session on one endless stream: does accuracy fall, or memory grow, with time?"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from asrnn_jax import losses, streaming
from asrnn_jax.cell import Cell
from asrnn_jax.streaming.scores import mean
from experiments.config import Stream
from experiments.data.samples import gaps_of, load_samples, stream_of
from experiments.report.tables import shown

CHUNK = 1000
PARTS = 10


def long_run(config: Stream, cell: Cell, params: Any, steps: int) -> dict[str, Any]:
    """Pushes `steps` steps of a stream of unseen samples, in chunks, without any reset.

    Returns: lists with a value for each tenth: ``accuracy`` at the last step of samples, ``samples``, ``gap_entropy``,
    ``norm`` (the largest of the state over the largest in the first 10,000 steps), ``memory`` (resident, MB; 0 where
    the system does not tell); and ``finite``, whether every output was.
    """
    train, test, _ = load_samples(config)
    gaps, params = gaps_of(config, train), jax.tree.map(jnp.asarray, jax.device_get(params))  # on one device
    stream = stream_of(test, 10**6, gaps)
    known = stream.window(0, 10_000)
    reference = streaming.reference(cell, params, known.xs, known.informative)
    session = streaming.Session(cell, params, reference=reference, monitor_every=CHUNK)
    found: dict[str, Any] = {name: [] for name in ("accuracy", "samples", "gap_entropy", "norm", "memory")}
    finite = True
    each = max(1, steps // PARTS // CHUNK)
    bar = tqdm(total=PARTS * each * CHUNK, desc=config.model.cell, unit="step", unit_scale=True, disable=None)
    with bar:
        for part in range(PARTS):
            right, entropy, norms = [], [], []
            for i in range(each):
                window = stream.window((part * each + i) * CHUNK, CHUNK)
                logits = np.asarray(session.push(window.xs))
                finite &= bool(np.isfinite(logits).all())
                right.append((logits.argmax(-1) == window.labels)[window.ends])
                entropy.append(np.asarray(losses.entropy_share(logits))[window.labels < 0])
                norms.append(float(session.readings.norm) if session.readings is not None else np.nan)
                bar.update(CHUNK)
            right = np.concatenate(right)
            found["accuracy"].append(mean(right))
            found["samples"].append(len(right))
            found["gap_entropy"].append(mean(np.concatenate(entropy)))
            found["norm"].append(max(norms))
            found["memory"].append(resident())
    return {"steps": session.steps, "finite": finite, **found}


def resident() -> float:
    """Resident memory of this process in MB; 0 where the system does not say it."""
    if sys.platform != "linux":
        return 0.0
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def tenths(name: str, found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Lines of a table with a column for each tenth."""
    shares = (("accuracy", "accuracy"), ("entropy in gaps", "gap_entropy"))
    lines = [(name, about, *(shown(100 * value) for value in found[key])) for about, key in shares]
    lines.append((name, "norm of the state", *(shown(value, ".2f") for value in found["norm"])))
    lines.append((name, "memory, MB", *(f"{value:.0f}" for value in found["memory"])))
    return lines
