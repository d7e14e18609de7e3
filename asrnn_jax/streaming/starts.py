"""What a training window starts from: pairs of pure functions over carries, for anyone's training loop.

Training from a fresh state only ever visits states near it. A network that runs for hours visits others, and may be
lost there. Starts bring those states into training (state coverage, arXiv:2507.02782):

    starts = shuffled()
    memory = starts.init(fresh)                                    once; fresh: the carry of B streams, leaves (B, ...)
    carry, memory = starts.draw(memory, key, last, fresh)          before each window
    last, ys = asrnn_jax.run(cell, params, window.xs, carry=carry)

`last` is where the windows before ended: of the same B streams, or of B other samples in a training on separate
samples. At the first window it is `fresh`. Whoever trains window by window stops gradients there, with
`jax.lax.stop_gradient(last)`. A gradient with respect to a trained start comes through `fresh`.

| starts      | a window starts from                                                                          |
| ----------- | --------------------------------------------------------------------------------------------- |
| `zero`      | the fresh state: nothing is covered beyond what one window visits                             |
| `passed`    | its own stream's last state: truncated back-propagation, how `asrnn_jax.estimators` train     |
| `shuffled`  | another stream's last state: real states, whose past says nothing about this window           |
| `noise`     | random numbers with mean and variance of the carries seen, unit by unit                       |
| `mixture`   | one of these, drawn for each stream and window                                                |

Which of them repairs which cell: ``experiments/results/coverage``. More than one batch axis: `jax.vmap` of `draw`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Carry
from asrnn_jax.dtypes import at_least_float32
from asrnn_jax.loop import where
from asrnn_jax.made import Made, remembered
from asrnn_jax.pairs import joined, parts

__all__ = ["STARTS", "Seen", "Starts", "mixture", "noise", "passed", "shuffled", "zero"]


@dataclass(frozen=True, eq=False)
class Starts(Made):
    """Starts of equal arguments are equal, have one hash and can be pickled."""

    name: str
    init: Callable[[Carry], Any]
    """``fresh carry -> memory``; leaves of a carry are ``(B, ...)``, as everywhere here."""
    draw: Callable[[Any, jax.Array, Carry, Carry], tuple[Carry, Any]]
    """``(memory, key, last carry, fresh carry) -> (carry, memory)``"""


@remembered
def zero() -> Starts:
    """Every window starts afresh: from zeros, or from the network's trained start.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from asrnn_jax.streaming import starts
      >>> last, fresh = jnp.ones((2, 3)), jnp.zeros((2, 3))
      >>> starts.zero().draw((), jax.random.key(0), last, fresh)[0].max().item()
      0.0
    """
    return Starts("zero", lambda fresh: (), lambda memory, key, last, fresh: (fresh, memory))


@remembered
def passed() -> Starts:
    """Every window goes on from where its stream's last one ended.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from asrnn_jax.streaming import starts
      >>> last, fresh = jnp.ones((2, 3)), jnp.zeros((2, 3))
      >>> starts.passed().draw((), jax.random.key(0), last, fresh)[0].min().item()
      1.0

    Source: Williams, Peng 1990, doi:10.1162/neco.1990.2.4.490 (truncated back-propagation through time).
    """
    return Starts("passed", lambda fresh: (), lambda memory, key, last, fresh: (last, memory))


@remembered
def shuffled() -> Starts:
    """Every window starts from where another stream's last one ended, never its own.

    The streams stand in a ring, in a new order each time, and each takes the state of the one before it: every state
    is used once, and all parts of a state come from one stream. `draw` raises ValueError for a single stream.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from asrnn_jax.streaming import starts
      >>> last = jnp.arange(4.0)[:, None]
      >>> carry, _ = starts.shuffled().draw((), jax.random.key(0), last, 0 * last)
      >>> sorted(carry[:, 0].tolist()), (carry != last).all().item()
      ([0.0, 1.0, 2.0, 3.0], True)

    Source: Buitrago Ruiz, Gu 2025, arXiv:2507.02782 (state passing, from other sequences).
    """

    def draw(memory, key, last, fresh):
        streams = _streams(last)
        if streams < 2:
            raise ValueError("shuffled: 1 stream has no other to take a state from: give at least 2, or use passed.")
        ring = jax.random.permutation(key, streams)
        before = ring[jnp.argsort(ring) - 1]
        return jax.tree.map(lambda leaf: leaf[before], last), memory

    return Starts("shuffled", lambda fresh: (), draw)


class Seen(NamedTuple):
    """What `noise` knows of the carries seen; an array ``(...)`` for each real array that a carry is made of."""

    weight: jax.Array
    """Number of carries, older ones counting less."""
    mean: tuple[jax.Array, ...]
    squares: tuple[jax.Array, ...]
    """Sums of squared distances from the mean."""
    low: tuple[jax.Array, ...]
    high: tuple[jax.Array, ...]


@remembered
def noise(scale: float = 1.0, decay: float = 0.95, within: bool = True) -> Starts:
    """Every window starts from normal noise with the mean and the variance of the carries seen so far.

    Each unit is drawn by itself, so that what units have to do with one another is lost; of a complex unit, real and
    imaginary part. Leaves that are no floating-point numbers, such as counters, stay as they were.

    Args:
      scale: factor on the standard deviation.
      decay: weight of the carries seen before, at each draw: 0.95 looks back some 20 windows, because the network
        changes; 1 never forgets.
      within: whether a value beyond the lowest or highest seen is moved there. States of tanh units, gates and spikes
        are bounded, and no input leads beyond; a network need not know what to do there. A unit that is mostly at one
        of its bounds then varies less than it was seen to.

    Raises:
      ValueError: a negative scale, a decay outside (0, 1].

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from asrnn_jax.streaming import starts
      >>> last = 3 + jax.random.normal(jax.random.key(1), (1000, 2))
      >>> fitted = starts.noise()
      >>> carry, memory = fitted.draw(fitted.init(0 * last), jax.random.key(0), last, 0 * last)
      >>> carry.mean().round(1).item(), carry.std().round(1).item()
      (3.0, 1.0)

    Source: Buitrago Ruiz, Gu 2025, arXiv:2507.02782 (fitted noise).
    """
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"scale={scale}: give a finite factor, at least 0.")
    if not 0 < decay <= 1:
        raise ValueError(f"decay={decay}: give a number in (0, 1].")

    def init(fresh):
        values = _real(fresh)
        mean, squares = (tuple(jnp.zeros_like(value[0]) for value in values) for _ in range(2))
        low, high = (tuple(getattr(value, end)(axis=0) for value in values) for end in ("min", "max"))
        return Seen(jnp.zeros((), jnp.float32), mean, squares, low, high)

    def draw(seen, key, last, fresh):
        values = _real(last)
        seen = _with(seen, values, decay)
        keys = jax.random.split(key, max(len(values), 1))

        def one(key, like, mean, squares, low, high):
            deviation = jnp.sqrt(squares / seen.weight.astype(squares.dtype))
            found = mean[None] + scale * deviation[None] * jax.random.normal(key, like.shape, like.dtype)
            return jnp.clip(found, low[None], high[None]) if within else found

        drawn = map(one, keys, values, seen.mean, seen.squares, seen.low, seen.high)
        return jax.tree.map(lambda leaf: joined(leaf, drawn) if _is_inexact(leaf) else leaf, last), seen

    return Starts("noise", init, draw)


def mixture(shares: Mapping[Starts, float] | None = None) -> Starts:
    """Every window of every stream starts in one of several ways, drawn by their shares.

    Args:
      shares: of the windows, by starts; they add up to 1. None: `zero`, `passed`, `shuffled` and `noise`, a quarter
        each.

    Raises:
      ValueError: no starts, a share that is not positive, shares that do not add up to 1.

    Example:
      >>> from asrnn_jax.streaming import starts
      >>> starts.mixture({starts.passed(): 0.75, starts.zero(): 0.25}).name
      'mixture'
    """
    if shares is None:
        shares = {zero(): 0.25, passed(): 0.25, shuffled(): 0.25, noise(): 0.25}
    return _mixture(tuple(shares), tuple(float(share) for share in shares.values()))


@remembered
def _mixture(kinds: tuple[Starts, ...], shares: tuple[float, ...]) -> Starts:
    if not kinds or not all(share > 0 for share in shares) or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        told = ", ".join(f"{kind.name}: {share:g}" for kind, share in zip(kinds, shares))
        raise ValueError(f"shares={{{told}}}: give each of the starts a share above 0, together 1.")

    def draw(memories, key, last, fresh):
        chosen, *keys = jax.random.split(key, len(kinds) + 1)
        pick = jax.random.choice(chosen, len(kinds), (_streams(last),), p=jnp.asarray(shares))
        found = [kind.draw(memory, k, last, fresh) for kind, memory, k in zip(kinds, memories, keys)]
        carry = found[0][0]
        for i, (other, _) in enumerate(found[1:], 1):
            carry = where(pick == i, other, carry)
        return carry, tuple(memory for _, memory in found)

    return Starts("mixture", lambda fresh: tuple(kind.init(fresh) for kind in kinds), draw)


STARTS: dict[str, Callable[[], Starts]] = {make.__name__: make for make in (zero, passed, shuffled, noise, mixture)}
"""The starts by name, as the command line and the estimators know them."""


def _streams(carry: Carry) -> int:
    """B."""
    return jax.tree.leaves(carry)[0].shape[0]


def _is_inexact(leaf: jax.Array) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def _real(carry: Carry) -> list[jax.Array]:
    """The real arrays that a carry is made of, wide enough for sums; counters are left out."""
    leaves = [part for leaf in jax.tree.leaves(carry) if _is_inexact(leaf) for part in parts(leaf)]
    return [leaf.astype(at_least_float32(leaf.dtype)) for leaf in leaves]


def _with(seen: Seen, values: list[jax.Array], decay: float) -> Seen:
    """Moments of what was seen before and of these carries, of which each is a row.

    Two groups of n and m values with means a and b have the mean a + (b - a) m / (n + m) and the sum of squares
    S_a + S_b + (b - a)^2 n m / (n + m). Unlike the difference of mean squares this loses no digits.
    """
    before = decay * seen.weight
    number = values[0].shape[0] if values else 0
    weight = before + number
    mean, squares = [], []
    for value, old, spread in zip(values, seen.mean, seen.squares):
        n, part = before.astype(value.dtype), number / weight.astype(value.dtype)
        new = value.mean(axis=0)
        mean.append(old + (new - old) * part)
        squares.append(decay * spread + jnp.square(value - new[None]).sum(axis=0) + jnp.square(new - old) * n * part)
    low = tuple(jnp.minimum(end, value.min(axis=0)) for end, value in zip(seen.low, values))
    high = tuple(jnp.maximum(end, value.max(axis=0)) for end, value in zip(seen.high, values))
    return Seen(weight, tuple(mean), tuple(squares), low, high)
