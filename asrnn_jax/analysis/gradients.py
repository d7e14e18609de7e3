"""How far the gradient of a loss reaches back in time."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax.analysis.dynamics import Coordinates, compiled, driven
from asrnn_jax.cell import Carry, Cell, Params, Weights
from asrnn_jax.typing import Array, Float, Given


@compiled("loss", "coordinates")
def gradient_norms(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    loss: Callable[[Float[Array, "T O"]], Float[Array, ""]],
    *,
    carry: Carry | None = None,
    coordinates: Coordinates = "state",
) -> Float[Array, "*B N"]:
    """How far the gradient reaches back: the norm of ``dL / dh_t`` for every t.

    Args:
      xs: ``(*B, T, I)``.
      loss: ``ys (T, O) -> ()`` of one batch element, for example ``lambda ys: cross_entropy(ys[-1], label)``. The same
        function compiles once.
      cell, params, carry, coordinates: as `jacobian_spectrum`. Spikes have their surrogate's derivative, as in
        training.

    Returns:
      ``(*B, T + 1)``, from h_0 to h_T.

    Raises:
      ValueError, TypeError: as `step_jacobian`; a loss that is not one number.
    """
    d = driven(cell, params, xs, carry, coordinates)
    if d.xs.shape[1] == 0:
        raise ValueError(f"xs has shape {jnp.shape(xs)}: give at least one step.")
    states = d.states()
    shape = jax.eval_shape(loss, jax.ShapeDtypeStruct((d.xs.shape[1], cell.outputs), d.xs.dtype)).shape
    if shape != ():
        raise ValueError(f"loss returns shape {shape}: return one number, of the outputs ys (T, O) of one element.")

    def of_one(states, xs):
        def direct(states):
            return loss(d.dynamics.read(states[1:], xs))

        def back(ct, at):
            state, x, own = at
            ct = jax.vjp(lambda s: d.dynamics.advance(s, x), state)[1](ct)[0] + own
            return ct, ct

        own = jax.grad(direct)(states)
        _, cts = jax.lax.scan(back, own[-1], (states[:-1], xs, own[:-1]), reverse=True)
        return jnp.linalg.norm(jnp.concatenate([cts, own[-1:]]), axis=-1)

    return d.unbatched(jax.vmap(of_one)(states, d.xs))
