"""The optimiser of a config: optax by name, a separate rate for orthogonal parameters, clipping, a schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax

import asrnn_jax
from experiments.config import Optimizer
from experiments.errors import UsageError

Factory = Callable[[optax.ScalarOrSchedule, Optimizer], optax.GradientTransformation]

OPTIMIZERS: dict[str, Factory] = {
    # eps outside the root, as in the framework the papers' numbers come from
    "rmsprop": lambda lr, c: optax.rmsprop(lr, decay=c.decay, eps=1e-8, eps_in_sqrt=False),
    "adam": lambda lr, c: optax.adam(lr),
    "adamw": lambda lr, c: optax.adamw(lr, weight_decay=c.weight_decay),
    "nadam": lambda lr, c: optax.nadam(lr),
    "adagrad": lambda lr, c: optax.adagrad(lr),
    "sgd": lambda lr, c: optax.sgd(lr),
    "momentum": lambda lr, c: optax.sgd(lr, momentum=0.9),
    "lion": lambda lr, c: optax.lion(lr, weight_decay=c.weight_decay),
}


def _constant(lr: float, warmup: int, steps: int) -> optax.Schedule:
    return optax.constant_schedule(lr)


def _cosine(lr: float, warmup: int, steps: int) -> optax.Schedule:
    return optax.cosine_decay_schedule(lr, max(steps - warmup, 1))


def _linear(lr: float, warmup: int, steps: int) -> optax.Schedule:
    return optax.linear_schedule(lr, 0.0, max(steps - warmup, 1))


SCHEDULES = {"constant": _constant, "cosine": _cosine, "linear": _linear}


def make_optimizer(config: Optimizer, steps: int) -> optax.GradientTransformation:
    """The optimiser for a run of `steps` steps.

    Raises:
      UsageError: a warm-up that never ends.
    """
    if config.warmup and config.warmup >= steps:
        raise UsageError(f"--warmup {config.warmup}: give fewer than the {steps} steps of the run.")

    def at_rate(lr: float) -> optax.GradientTransformation:
        schedule = SCHEDULES[config.schedule](lr, config.warmup, steps)
        if config.warmup:
            schedule = optax.join_schedules([optax.linear_schedule(0.0, lr, config.warmup), schedule], [config.warmup])
        return OPTIMIZERS[config.optimizer](schedule, config)

    slow = config.lr / 10 if config.lr_orthogonal is None else config.lr_orthogonal
    clip = optax.identity() if config.clip is None else optax.clip_by_global_norm(config.clip)
    rates = asrnn_jax.optim.separate_rates(at_rate(config.lr), at_rate(slow))
    if not config.freeze:
        return optax.chain(clip, rates)
    still = optax.masked(optax.set_to_zero(), lambda params: _named(params, config.freeze))
    return optax.chain(still, clip, rates, still)  # not in the norm that is clipped, and no weight decay


def _named(params: Any, names: Sequence[str]) -> Any:
    """True for the leaves under one of these names."""
    found: set[str] = set()

    def under(path: tuple[Any, ...], _: Any) -> bool:
        hits = {str(getattr(entry, "key", entry)) for entry in path} & set(names)
        found.update(hits)
        return bool(hits)

    mask = jax.tree_util.tree_map_with_path(under, params)
    if len(found) < len(set(names)):
        missing = sorted(set(names) - found)
        raise UsageError(f"--freeze {' '.join(missing)}: this network has no such parameters.")
    return mask
