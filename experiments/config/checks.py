"""Checks of values that name the flag, its value and the remedy."""

from __future__ import annotations

import math
from typing import Any

from experiments.errors import UsageError


def check(condition: bool, name: str, value: Any, remedy: str) -> None:
    """Raises `UsageError` for the flag of the field `name` unless the condition holds."""
    if not condition:
        raise UsageError(f"--{name.replace('_', '-')} {value}: {remedy}.")


def counts(config: Any, *names: str) -> None:
    """Checks fields that count something; None is a value too."""
    for name in names:
        value = getattr(config, name)
        check(value is None or value >= 1, name, value, "give at least 1")
        check(value is None or value < 2**31, name, value, "give less than 2^31, the largest number of steps")


def above_zero(config: Any, *names: str) -> None:
    """Checks fields that must be finite and above 0; None is a value too."""
    for name in names:
        value = getattr(config, name)
        good = value is None or (math.isfinite(value) and value > 0)
        check(good, name, value, "give a finite number above 0")


def not_negative(config: Any, *names: str) -> None:
    """Checks fields that must be finite and at least 0; None is a value too."""
    for name in names:
        value = getattr(config, name)
        good = value is None or (math.isfinite(value) and value >= 0)
        check(good, name, value, "give a finite number, at least 0")
