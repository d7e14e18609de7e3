"""The two synthetic tasks that test memory: copying memory and adding. Batches are functions of a key.

    >>> import jax, jax.numpy as jnp, optax, asrnn_jax
    >>> from asrnn_jax import tasks
    >>> inputs, targets = tasks.copy_memory(jax.random.key(0), 16, symbols=3, delay=20)
    >>> model = asrnn_jax.cells.network("asrnn", tasks.COPY_INPUTS, 32, tasks.COPY_OUTPUTS)
    >>> params = model.init(jax.random.key(1))
    >>> _, logits = asrnn_jax.run(model, params, jax.nn.one_hot(inputs, tasks.COPY_INPUTS))
    >>> loss = optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
    >>> logits.shape, round(tasks.copy_memory_baseline(symbols=3, delay=20), 3)  # what a loss must be below
    ((16, 26, 9), 0.24)

Draw another key for each step, for example ``jax.random.fold_in(key, step)``. ``python -m experiments copy-memory`` and
``adding`` train on them.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from asrnn_jax.cells import checks

__all__ = ["COPY_INPUTS", "COPY_OUTPUTS", "adding", "copy_memory", "copy_memory_baseline"]

ALPHABET = 8  # symbols 1..8; 0 is the blank, 9 the marker
COPY_INPUTS = ALPHABET + 2
"""Number of different inputs of copying memory: the blank, eight symbols, the marker."""
COPY_OUTPUTS = ALPHABET + 1
"""Number of different targets of copying memory: the blank and eight symbols."""


def copy_memory(key: jax.Array, batch: int, *, symbols: int = 10, delay: int = 200) -> tuple[jax.Array, jax.Array]:
    """Copying memory: recall symbols in their order after a delay.

        input:    K symbols from 1..8,  L blanks (0),  a marker (9),  K - 1 blanks
        target:   K + L blanks,  the K symbols

    Args:
      key: what the symbols are drawn from.
      batch: number of sequences B.
      symbols: K, the symbols to recall.
      delay: L, the blanks between them and the marker.

    Returns:
      ``(inputs, targets)``, each ``(B, T)`` int32 with T = L + 2 K.

    Raises:
      ValueError: a number below 1.

    Source: Hochreiter and Schmidhuber 1997; in this form Arjovsky, Shah, Bengio 2016, arXiv:1511.06464.

    Example:
      >>> inputs, targets = copy_memory(jax.random.key(0), 4, symbols=2, delay=3)
      >>> inputs.shape, bool((targets[:, -2:] == inputs[:, :2]).all())
      ((4, 7), True)
    """
    checks.sizes(batch=batch, symbols=symbols, delay=delay)
    shown = jax.random.randint(key, (batch, symbols), 1, ALPHABET + 1, jnp.int32)

    def blanks(number):
        return jnp.zeros((batch, number), jnp.int32)

    marker = jnp.full((batch, 1), ALPHABET + 1, jnp.int32)
    inputs = jnp.concatenate([shown, blanks(delay), marker, blanks(symbols - 1)], axis=1)
    return inputs, jnp.concatenate([blanks(symbols + delay), shown], axis=1)


def copy_memory_baseline(*, symbols: int = 10, delay: int = 200) -> float:
    """The lowest cross-entropy that copying memory has without memory, in nats, the mean over all steps.

    Blanks are certain, and each of K symbols has 8 values of equal probability: ``K log 8 / (L + 2 K)``.

    Args:
      symbols: K.
      delay: L.

    Raises:
      ValueError: a number below 1.
    """
    checks.sizes(symbols=symbols, delay=delay)
    return symbols * math.log(ALPHABET) / (delay + 2 * symbols)


def adding(key: jax.Array, batch: int, *, length: int = 200) -> tuple[jax.Array, jax.Array]:
    """The adding problem: the sum of the two marked numbers of a sequence.

    Numbers are uniform in [0, 1), and one of each half of the sequence is marked. The mean square error of always
    answering 1 is 1/6.

    Args:
      key: what numbers and marks are drawn from.
      batch: number of sequences B.
      length: steps T of a sequence.

    Returns:
      ``(xs, targets)``: ``(B, T, 2)`` with the numbers and the marks (0 or 1), and ``(B,)``.

    Raises:
      ValueError: a batch below 1, a length below 2.

    Source: Hochreiter and Schmidhuber 1997.

    Example:
      >>> xs, targets = adding(jax.random.key(0), 4, length=9)
      >>> xs.shape, targets.shape
      ((4, 9, 2), (4,))
    """
    checks.sizes(batch=batch)
    if length < 2:
        raise ValueError(f"length={length}: give at least 2, for two numbers are marked.")
    k_value, k_first, k_second = jax.random.split(key, 3)
    values = jax.random.uniform(k_value, (batch, length))
    half = length // 2
    first = jax.random.randint(k_first, (batch,), 0, half)
    second = jax.random.randint(k_second, (batch,), half, length)
    marks = jax.nn.one_hot(first, length) + jax.nn.one_hot(second, length)
    return jnp.stack([values, marks], axis=-1), (values * marks).sum(-1)
