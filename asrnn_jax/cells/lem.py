"""Long expressive memory."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Coordinates, factory
from asrnn_jax.cells.dense import by_gate, gated_params, named, recurrent, zeros_each


class State(NamedTuple):
    """The paper's."""

    y: jax.Array  # (*B, H)
    z: jax.Array  # (*B, H)


class Carry(NamedTuple):
    """z_t, and what y_t is made of: y_t needs a product with z_t, which the next step does beside its own products."""

    z: jax.Array  # (*B, H)
    y: jax.Array  # (*B, H): y_{t-1}
    step: jax.Array  # (*B, H): Delta' of step t
    drive: jax.Array  # (*B, H): V_y x_t + b_y


@factory
def lem(inputs: int, hidden: int, *, dt: float = 1.0, dtype=jnp.float32) -> Cell:
    """Long expressive memory: two states that each unit moves at its own, learned speeds.

        Delta, Delta' = dt sigmoid(W_1 y_{t-1} + V_1 x_t + b_1), dt sigmoid(W_2 y_{t-1} + V_2 x_t + b_2)
        z_t = (1 - Delta) z_{t-1} + Delta tanh(W_z y_{t-1} + V_z x_t + b_z)
        y_t = (1 - Delta') y_{t-1} + Delta' tanh(W_y z_t + V_y x_t + b_y)

    Args:
      inputs: I.
      hidden: H.
      dt: largest step, in (0, 1].
      dtype: of the params.

    Params: ``{"W_xh": (I, 4 H), "W_hh": (H, 4 H), "b": (4 H,)}``, in the order 1, 2, z, y; input kernels start LeCun
    normal, recurrent ones orthogonal. ``ys`` are y, the state is ``(y, z)``.

    Raises:
      ValueError: sizes below 1, dt outside (0, 1].

    Source: Rusch, Mishra, Erichson, Mahoney 2022, arXiv:2110.04744, eq. 3.
    """
    if not 0 < dt <= 1:
        raise ValueError(f"dt={dt}: give a step above 0, up to 1.")

    def y_of(weights, carry):
        return (1 - carry.step) * carry.y + carry.step * jnp.tanh(carry.z @ weights.W_hh[3] + carry.drive)

    def mix(weights, carry):
        y = y_of(weights, carry)
        return y, jax.tree.map(partial(jnp.matmul, y), weights.W_hh[:3])

    def activated(z, a):
        of_z, of_y, new = jax.tree.map(jnp.add, z[:3], a[1])
        return jax.nn.sigmoid(of_z), jax.nn.sigmoid(of_y), jnp.tanh(new)

    def update(carry, z, a):
        of_z, of_y, new = activated(z, a)
        return Carry((1 - dt * of_z) * carry.z + dt * of_z * new, a[0], dt * of_y, z[3])

    def to_carry(weights, state):
        zero = jnp.zeros_like(state.y)
        return Carry(state.z, state.y, zero, zero)

    return recurrent(
        "lem",
        inputs,
        hidden,
        init=lambda key: gated_params(jax.random.split(key), inputs, hidden, 4, dtype),
        prepare=lambda params: by_gate(params, 4),
        initial_carry=zeros_each(Carry, (hidden,)),
        mix=mix,
        update=update,
        readout=lambda weights, carries, xs: y_of(weights, carries),
        coordinates=Coordinates(lambda weights, carry: State(y_of(weights, carry), carry.z), to_carry),
        activity=named(activated, step_z="gate", step_y="gate", candidate="tanh"),
    )
