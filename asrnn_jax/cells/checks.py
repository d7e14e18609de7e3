"""Checks of what factories are given: the argument, its value, the remedy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asrnn_jax.cell import Cell
from asrnn_jax.cell.arguments import check_sizes as sizes


def divisors(hidden: int, **values: int) -> None:
    """Raises unless all are positive integers that divide `hidden`."""
    sizes(**values)
    for name, value in values.items():
        if hidden % value:
            raise ValueError(f"{name}={value}: give a divisor of hidden={hidden}.")


def choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}={value!r}: choose one of {', '.join(choices)}.")


def at_least(name: str, value: float, least: float) -> None:
    """Raises unless `value` is a finite number of at least `least`."""
    if not math.isfinite(value) or value < least:
        raise ValueError(f"{name}={value}: give a number of at least {least:g}.")


def between(name: str, value: float, least: float, most: float) -> None:
    """Raises unless `value` lies in [least, most]."""
    if not least <= value <= most:
        raise ValueError(f"{name}={value}: give a number from {least:g} to {most:g}.")


def above(name: str, value: float, least: float) -> None:
    """Raises unless `value` is a finite number above `least`."""
    if not math.isfinite(value) or value <= least:
        raise ValueError(f"{name}={value}: give a number above {least:g}.")


def steps(dt_min: float, dt_max: float) -> None:
    """Raises unless these are a range of steps."""
    if not 0 < dt_min <= dt_max:
        raise ValueError(f"dt_min={dt_min}, dt_max={dt_max}: give 0 < dt_min <= dt_max.")


def cell(name: str, value: object) -> None:
    """Raises unless `value` is a cell."""
    if not isinstance(value, Cell):
        raise TypeError(f"{name}={value!r}: give a cell, as the factories of asrnn_jax.cells make them.")
