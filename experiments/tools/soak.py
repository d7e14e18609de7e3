"""A session fed in random chunks for very long, beside a straight run of the same stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from asrnn_jax import cells, streaming
from experiments.tools.long_run import resident

Row = tuple[str, int, int, str]
"""What was done, how often, how often it was survived, and what that means."""


def soak(steps: int, seed: int, file: Path) -> Iterator[Row]:
    """Feeds a session in random chunks, and compares its outputs with those of a session fed in blocks, to 1e-5.

    Between chunks its policy changes, and it is saved and loaded into a new session. Some samples are NaN or infinite.
    """
    rng = np.random.default_rng(seed)
    model = cells.network("gru", 3, 16, 4)
    params = model.init(jax.random.key(seed))

    def session():
        return streaming.Session(model, params, batch=2, non_finite="missing")

    mine, straight = session(), session()
    done = saves = wrong = infinite = 0
    memory: list[float] = []
    with tqdm(total=steps, desc="soak", unit="step", unit_scale=True) as bar:
        while done < steps:
            block = rng.normal(size=(2, 4096, 3)).astype(np.float32) * (rng.uniform() < 0.7)  # some are silence
            block[rng.uniform(size=block.shape) < 0.001] = rng.choice([np.nan, np.inf, -np.inf])
            expected = np.asarray(straight.push(block))
            mine.policy = streaming.never() if rng.uniform() < 0.5 else streaming.on_energy(1e9)  # neither resets
            found, at = [], 0
            while at < block.shape[1]:
                size = int(min(block.shape[1] - at, rng.choice([1, 2, 7, 33, 100, 1000])))
                found.append(np.asarray(mine.push(block[:, at : at + size])))
                at += size
            if rng.uniform() < 0.1:
                policy = mine.policy
                mine.save(file)
                mine = session()
                mine.policy = policy
                mine.load(file)
                saves += 1
            joined = np.concatenate(found, axis=1)
            wrong += not np.allclose(joined, expected, atol=1e-5)
            infinite += not np.isfinite(joined).all()
            done += block.shape[1]
            memory.append(resident())
            bar.update(block.shape[1])
    blocks = len(memory)
    yield (
        f"{done:,} steps of a session in random chunks",
        blocks,
        blocks - wrong,
        f"equal to a straight run, {saves} loads",
    )
    yield "NaN and infinity in a thousandth of the samples", blocks, blocks - infinite, "outputs finite"
    half = memory[blocks // 2]
    yield (
        "memory of that session",
        1,
        int(memory[-1] < 1.05 * half),
        f"{half:.0f} MB half way, {memory[-1]:.0f} at the end",
    )
