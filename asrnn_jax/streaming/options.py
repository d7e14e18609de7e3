"""What a session is made with, checked."""

from __future__ import annotations

from typing import Any, Literal

from asrnn_jax.cell import Cell, check_cell
from asrnn_jax.streaming.monitors import Reference
from asrnn_jax.streaming.policies import Policy

NonFinite = Literal["raise", "hold", "missing"]


def check(
    cell: Cell,
    policy: Policy | None,
    fallback: Policy | None,
    reference: Reference | None,
    monitor_every: int,
    non_finite: str,
) -> None:
    """Raises for what no session can be made with."""
    check_cell(cell)
    if cell.both_directions:
        raise ValueError(f"cell {cell.name!r} runs in both directions: it cannot run on a stream.")
    if monitor_every < 1:
        raise ValueError(f"monitor_every={monitor_every}: give at least 1 step.")
    if non_finite not in ("raise", "hold", "missing"):
        raise ValueError(f"non_finite={non_finite!r}: choose 'raise', 'hold' or 'missing'.")
    if reference is not None and reference.x_mean.shape != (cell.inputs,):
        raise ValueError(
            f"reference is of {reference.x_mean.shape[0]} inputs, cell {cell.name!r} has {cell.inputs}: make it "
            "with asrnn_jax.streaming.reference of this cell."
        )
    check_policy("policy", policy)
    check_policy("fallback", fallback)
    if fallback is not None and reference is None:
        raise ValueError(
            f"fallback={fallback.name} acts where a monitor trips, and there are none without a reference: pass "
            "reference=asrnn_jax.streaming.reference(cell, params, training_streams)."
        )


def check_policy(name: str, policy: Any) -> None:
    """Raises for what is neither a policy nor None."""
    if policy is not None and not isinstance(policy, Policy):
        raise ValueError(f"{name}={policy!r}: call it, for example streaming.never(), or make a streaming.Policy.")
