"""The warning of a run that may blow up: one line, with the remedy, the first time that one of two signs is seen.

Measured on MEASURED.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from asrnn_jax.analysis.bounds import AsrnnWeights, diagonal
from asrnn_jax.cell import Cell
from experiments.training.recovery import BEYOND, DECAY, FIRST

KAPPA = 50.0  # condition number of D_f


def condition_numbers(cell: Cell) -> Callable[[Any], jax.Array] | None:
    """``params -> (parts,)``: max(D_f) / min(D_f) of each asRNN in a network; None for a network without one."""

    def found(params):
        leaves = jax.tree.leaves(cell.prepare(params), is_leaf=lambda node: isinstance(node, AsrnnWeights))
        return [diagonal(each) for each in leaves if isinstance(each, AsrnnWeights)]

    if not jax.eval_shape(lambda key: found(cell.init(key)), jax.random.key(0)):
        return None
    return jax.jit(lambda params: jnp.stack([D.max() / D.min() for D in found(params)]))


class Watch:
    """Looks at the gradient's norm in each step and at D_f now and then."""

    def __init__(self, cell: Cell):
        self._conditions = condition_numbers(cell)
        self._said = False
        self._log_norm, self._measured = 0.0, 0

    def norm(self, norm: float, step: int) -> None:
        """Warns of a gradient far beyond its running norm, which is a mean of logarithms."""
        if not (math.isfinite(norm) and norm > 0):
            return
        usual = math.exp(self._log_norm)
        if self._measured >= FIRST and norm >= BEYOND * usual:
            self._say(f"the gradient's norm is {norm:.3g}, usual is {usual:.3g}", step)
            norm = BEYOND * usual
        self._measured += 1
        self._log_norm += max(1 - DECAY, 1 / self._measured) * (math.log(norm) - self._log_norm)

    def params(self, params: Any, step: int) -> None:
        """Warns of a D_f that is far from a multiple of the identity."""
        if self._conditions is None or self._said:
            return
        kappa = float(self._conditions(jax.device_get(params)).max())
        if kappa > KAPPA:
            self._say(f"the condition number of D_f is {kappa:.3g}, above {KAPPA:g}", step)

    def _say(self, what: str, step: int) -> None:
        if not self._said:
            remedy = (
                "a smaller --lr, --on-divergence skip, or for asRNN --options saturation=bounded keeps it from that"
            )
            warnings.warn(f"step {step}: {what}; training may blow up soon: {remedy}", stacklevel=3)
        self._said = True
