"""Linear cells with a diagonal recurrence, ``h_t = decay_t * h_{t-1} + drive_t``: what they share."""

from __future__ import annotations

from typing import NamedTuple

import jax

from asrnn_jax.cell import Cell, Gradient, Units
from asrnn_jax.cells.dense import per_unit, recurrent, zeros


class Element(NamedTuple):
    """What one step does to the carry; the z of a cell whose decay depends on the input."""

    decay: jax.Array  # (..., H)
    drive: jax.Array  # (..., H)


def gated_diagonal(name: str, inputs: int, hidden: int, init, prepare, project) -> Cell:
    """A real linear cell whose decay and drive both follow from the input: ``project`` returns `Element`."""
    return recurrent(
        name,
        inputs,
        hidden,
        init=init,
        prepare=prepare,
        project=project,
        mix=lambda weights, h: (),
        update=lambda h, z, a: z.decay * h + z.drive,
        gradient=Gradient(pullback=lambda prev, h, kept, ct: (ct * kept[0].decay, Element(ct * prev, ct), ())),
        activity=lambda z, a, h: {"keep": Units("gate", z.decay)},
        elements=lambda weights, zs: tuple(zs),
    )


class Weights(NamedTuple):
    """Of a state space model with constant complex decay."""

    decay: jax.Array  # (H,) complex
    B: tuple[jax.Array, jax.Array]  # (I, H): real parts, imaginary parts
    C: tuple[jax.Array, jax.Array]  # (H, O): for real parts, for imaginary parts
    D: jax.Array  # (O,) elementwise, or (I, O)


def state_space(name: str, inputs: int, hidden: int, outputs: int, init, prepare) -> Cell:
    """``h_t = decay * h_{t-1} + B x_t``, ``y_t = C [Re h_t, Im h_t] + D x_t`` with complex h."""

    def project(weights, xs):
        return jax.lax.complex(*((xs @ B).astype(weights.decay.real.dtype) for B in weights.B))

    def readout(weights, hs, xs):
        C_re, C_im = weights.C
        through = xs * per_unit(weights.D, xs) if weights.D.ndim == 1 else xs @ weights.D
        return hs.real.astype(C_re.dtype) @ C_re + hs.imag.astype(C_im.dtype) @ C_im + through

    return Cell(
        name=name,
        inputs=inputs,
        hidden=hidden,
        outputs=outputs,
        init=init,
        prepare=prepare,
        initial_carry=zeros(hidden, kind=complex),
        project=project,
        mix=lambda weights, h: per_unit(weights.decay, h),
        update=lambda h, z, a: a * h + z,
        readout=readout,
        gradient=Gradient(pullback=lambda prev, h, kept, ct: (ct * kept[1], ct, ct * prev)),
        elements=lambda weights, zs: (per_unit(weights.decay, zs), zs),
    )


def feedthrough(key: jax.Array, inputs: int, outputs: int, dtype) -> jax.Array:
    """D: one number a feature where input and output have the same ones, as in the papers, else a kernel (I, O)."""
    if inputs == outputs:
        return jax.random.normal(key, (inputs,), dtype)
    return jax.nn.initializers.lecun_normal()(key, (inputs, outputs), dtype)
