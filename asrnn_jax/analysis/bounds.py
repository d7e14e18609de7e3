"""What the equation of asRNN says about its Jacobian, and its saturation in the directions of D_f."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax.analysis.dynamics import compiled, driven
from asrnn_jax.analysis.jacobian import jacobian_spectrum
from asrnn_jax.cell import Carry, Cell, Params, Weights, as_weights
from asrnn_jax.cells.asrnn import Weights as AsrnnWeights
from asrnn_jax.typing import Array, Float, Given


class Bounds(NamedTuple):
    lower: Float[Array, "*B T"]
    """``(*B, T)``: ``min_i (1 - g_i^2) / kappa``."""
    upper: Float[Array, "*B T"]
    """``(*B, T)``: ``kappa max_i (1 - g_i^2)``."""
    kappa: Float[Array, ""]
    """``max(D_f) / min(D_f)``."""
    inside: Float[Array, ""]
    """Share of the measured singular values inside, up to rounding. Anything but 1 is a bug."""


@compiled()
def asrnn_bounds(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    *,
    carry: Carry | None = None,
    spectrum: Given[jax.Array, "*B T H"] | None = None,
) -> Bounds:
    """The interval that all singular values of asRNN's ``dh_t / dh_{t-1}`` lie in, at every step.

    ``J_t = W_f^{-1} diag(1 - g_t^2) W_f W_hh`` with orthogonal U_f and W_hh, so that
    ``min(1 - g_t^2) / kappa(D_f) <= sigma <= kappa(D_f) max(1 - g_t^2)``.

    Args:
      cell: an asRNN, not one inside another cell.
      params: its params or prepared weights.
      xs: ``(*B, T, I)``.
      carry: where the sequence starts.
      spectrum: ``(*B, T, H)`` of `jacobian_spectrum` in state coordinates for the same arguments; computed by default.

    Raises:
      ValueError, TypeError: as `asrnn_jax.run`; a cell that is no asRNN.
    """
    weights, D, gs = _states(cell, params, xs, carry)
    slopes = 1 - gs**2
    kappa = D.max() / D.min()
    lower, upper = slopes.min(axis=-1) / kappa, kappa * slopes.max(axis=-1)
    if spectrum is None:
        spectrum = jacobian_spectrum(cell, weights, xs, carry=carry)
    # What rounding adds: of the products with W_f and its inverse, and of the singular values' computation.
    room = 10 * cell.hidden * jnp.finfo(spectrum.dtype).eps * kappa
    sigma, low, high = spectrum, lower[..., None], upper[..., None]
    good = (sigma >= low - room * high) & (sigma <= high * (1 + room))
    return Bounds(lower, upper, kappa, good.mean() if good.size else jnp.ones(()))


class AsrnnSaturation(NamedTuple):
    D_f: Float[Array, " H"]
    """``(H,)``, the diagonal."""
    slope: Float[Array, "*B T H"]
    """``(*B, T, H)``: effective slope of each direction of D_f."""


@compiled()
def asrnn_saturation(
    cell: Cell, params: Params | Weights, xs: Given[ArrayLike, "*B T I"], *, carry: Carry | None = None
) -> AsrnnSaturation:
    """The effective slope of asRNN's nonlinearity along each direction that D_f scales, over a sequence.

    ``W_f^{-1} diag(1 - g_t^2) W_f`` has the diagonal ``sum_k (U_f)_ki^2 (1 - g_k^2)``: what is left of a small change
    of coordinate i in that coordinate. 1: the direction is linear; 0: it is saturated.

    Args:
      cell, params, xs, carry: as `asrnn_bounds`.

    Raises:
      ValueError, TypeError: as `asrnn_bounds`.
    """
    weights, D, gs = _states(cell, params, xs, carry)
    U = weights.W_f / D[None, :]
    return AsrnnSaturation(D, (1 - gs**2) @ (U**2))


def diagonal(weights: AsrnnWeights) -> Float[Array, " H"]:
    """``D_f``: the norms of the columns of ``W_f = U_f D_f``."""
    return jnp.linalg.norm(weights.W_f, axis=0)


def _states(
    cell: Cell, params: Params | Weights, xs: Given[ArrayLike, "*B T I"], carry: Carry | None
) -> tuple[AsrnnWeights, Float[Array, " H"], Float[Array, "*B T H"]]:
    """The weights of an asRNN, D_f, and g after each step."""
    weights = as_weights(cell, params)
    if not isinstance(weights, AsrnnWeights):
        raise ValueError(f"cell {cell.name!r} is no asRNN: only its equation has W_f; pass cells.asrnn(...).")
    d = driven(cell, weights, xs, carry, "carry")
    return weights, diagonal(weights), d.unbatched(d.states()[:, 1:])
