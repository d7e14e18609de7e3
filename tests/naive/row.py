"""What a row of the table holds, and what several families share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp


class Row(NamedTuple):
    id: str
    cell: str
    options: tuple[tuple[str, Any], ...]
    matrices: Callable
    step: Callable
    spiking: bool = False
    linear: bool = False


def options(**values):
    """Hashable, so that a row can be a static argument."""
    return tuple(values.items())


def sigma(z):
    return 1 / (1 + jnp.exp(-z))


def gates(p, n, count):
    """The `count` gates of a params dict, each with its own matrices: (W, U, b)."""
    columns = [slice(k * n, (k + 1) * n) for k in range(count)]
    return [(p["W_xh"][:, c].T, p["W_hh"][:, c].T, p["b"][c]) for c in columns]
