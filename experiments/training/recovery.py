"""What a run does instead of ending when it diverges: it leaves batches out, or goes back and on at half the rate.

Both are functions of the run's state alone, so that a resumed run does the same.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.config import Stability
from experiments.training.checkpoints import Checkpoints
from experiments.training.divergence import NotFiniteError

BEYOND = 10.0  # times its running norm, from which on a gradient is left out
DECAY = 0.98  # of the running norm, whose memory is 50 batches
FIRST = 20  # batches that are only measured
MOST = {"skip": 100, "rollback": 10}


class Recovery(NamedTuple):
    """What `--on-divergence` skip and rollback keep in the state of a run."""

    rate: jax.Array
    """``()``, share of the learning rate: half as much after each rollback."""
    log_norm: jax.Array
    """``()``, running mean of the logarithm of the gradient's norm, of the batches that counted."""
    measured: jax.Array
    """``()``, batches in that mean."""
    skipped: jax.Array
    """``()``, batches left out so far."""


def initial(settings: Stability) -> Recovery | tuple[()]:
    """What a run begins with; () for one that stops when it diverges."""
    if settings.on_divergence == "stop":
        return ()
    return Recovery(jnp.ones(()), jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def judged(old: Any, new: Any, norm: jax.Array) -> tuple[Any, jax.Array]:
    """The state after a batch with this norm of the gradient, and whether the batch was left out.

    A batch that is left out changes nothing but the counts, and what a task carries from batch to batch, where that is
    finite.
    """
    counts, kept = _judge(norm, old.recovery)
    skipped = ~counts
    parts = {
        name: _where(counts, getattr(new, name), getattr(old, name)) for name in ("params", "opt_state", "average")
    }
    control = _where(counts, new.control, old.control)
    counted = {name: jnp.where(counts, value, old.sums[name]) for name, value in new.sums.items()}
    sums = counted | {"skipped": old.sums["skipped"] + skipped}
    memory = _finite_or(new.memory, old.memory)
    return new._replace(sums=sums, memory=memory, control=control, recovery=kept, **parts), skipped


def _judge(norm: jax.Array, kept: Recovery) -> tuple[jax.Array, Recovery]:
    """Whether the batch counts, and what is kept after it.

    A norm that is too large counts as the largest that is allowed in the running norm, so that a lasting change is
    followed after some batches.
    """
    limit = jnp.where(kept.measured < FIRST, jnp.inf, BEYOND * jnp.exp(kept.log_norm))
    counts = jnp.isfinite(norm) & (norm < limit)
    seen = jnp.isfinite(norm) & (norm > 0)  # of a zero there is no logarithm
    log = jnp.log(jnp.where(seen, jnp.minimum(norm, limit), 1))
    measured = kept.measured + seen
    share = jnp.maximum(1 - DECAY, 1 / jnp.maximum(measured, 1))  # the plain mean of the first
    log_norm = jnp.where(seen, kept.log_norm + share * (log - kept.log_norm), kept.log_norm)
    return counts, Recovery(kept.rate, log_norm, measured, kept.skipped + ~counts)


def _where(counts: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda n, o: jnp.where(counts, n, o), new, old)


def _finite_or(new: Any, old: Any) -> Any:
    finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(new)]
    return _where(jnp.stack(finite).all(), new, old) if finite else new


def most(settings: Stability) -> int:
    """How often a run may help itself."""
    return MOST[settings.on_divergence] if settings.recoveries is None else settings.recoveries


def rate(state: Any) -> float:
    """The share of the learning rate that a run trains with."""
    return float(state.recovery.rate) if state.recovery else 1.0


def told(state: Any) -> dict[str, float]:
    """What a line of metrics.jsonl says of it: the share of the rate, where that is not all of it."""
    return {"rate": rate(state)} if rate(state) != 1 else {}


class Rollbacks:
    """The times that a run has gone back, and to where."""

    def __init__(self, settings: Stability, file: Path, checkpoints: Checkpoints, eval_every: int):
        self._settings, self._file, self._checkpoints, self._eval_every = settings, file, checkpoints, eval_every
        self._times: Counter[int] = Counter()

    def possible(self, rate: float) -> bool:
        """Whether a run at this share of its rate may go back once more."""
        return self._settings.on_divergence == "rollback" and rate > 0.5 ** most(self._settings)

    def back(self, e: NotFiniteError, rate: float, restored: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        """The step and the state to go on from at half the rate after `e`; a line of rollbacks.jsonl says so.

        A checkpoint that has led to nothing three times was saved too late, and is set aside for the one before, but
        not for one before an evaluation: that may have written the best network.
        """
        before, last = [0, 0, *self._checkpoints.steps()][-2:]
        self._times[last] += 1
        if self._times[last] > 2 and before // self._eval_every == last // self._eval_every and last > before:
            self._checkpoints.set_aside([last], "diverged")
        step, state = restored()
        line = {"step": e.step, "because": e.what, "back_to": step, "rate": rate / 2}
        with self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        warnings.warn(f"{e}: back to step {step}, and on at {rate / 2:g} of the rate", stacklevel=2)
        kept = state.recovery
        return step, state._replace(recovery=kept._replace(rate=kept.rate * (rate / 2 / float(kept.rate))))
