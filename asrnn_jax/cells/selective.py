"""S6 (Mamba): a state space with a state of its own for each channel, whose steps follow the input."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Gradient, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import affine, per_unit, zeros
from asrnn_jax.cells.s4d import some_steps


class Selected(NamedTuple):
    """What a step of S6 is made of; its decays ``(..., N, H)`` are not written out for all steps at once."""

    step: jax.Array  # (..., H)
    drive: jax.Array  # (..., H): step * u
    B: jax.Array  # (..., N)


class S6Weights(NamedTuple):
    W_xh: jax.Array  # (I, H)
    b: jax.Array  # (H,)
    W_step: tuple[jax.Array, jax.Array]  # (H, R), (R, H)
    b_step: jax.Array  # (H,)
    W_B: jax.Array  # (H, N)
    W_C: jax.Array  # (H, N)
    A: jax.Array  # (N, H), below 0
    D: jax.Array  # (H,)


@factory
def s6(
    inputs: int,
    hidden: int,
    *,
    states: int = 16,
    rank: int | None = None,
    dt_min: float = 0.001,
    dt_max: float = 0.1,
    dtype=jnp.float32,
) -> Cell:
    """S6, the selective state space of Mamba, behind a linear layer; it also runs in parallel over time.

        u       = W_xh x_t + b
        Delta   = softplus(u W_down W_up + b_step)                (H,)
        B, C    = u W_B, u W_C                                    (N,)
        h_t     = exp(Delta A) * h_{t-1} + Delta u B^T            (H, N), A = -exp(log_A)
        y_t     = h_t C + D u

    The block of the paper has a short convolution before and a gate behind: ``residual(stack([short_conv(H, H),
    s6(H, H)]))``, see `asrnn_jax.cells.short_conv`.

    Args:
      inputs: I.
      hidden: H, channels.
      states: N, real states a channel.
      rank: R of the step's kernel; None: H / 16, rounded up.
      dt_min, dt_max: Delta at u = 0 starts log-uniform between these.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "b": (H,), "W_down": (H, R), "W_up": (R, H), "b_step": (H,), "W_B", "W_C": (H, N),
    "log_A": (H, N), "D": (H,)}``; A starts at -1, ..., -N. The carry is h^T, real, ``(*B, N, H)``.

    Raises:
      ValueError: sizes below 1, a range of steps that is none.

    Source: Gu, Dao 2023, arXiv:2312.00752, algorithm 2.
    """
    rank = -(-hidden // 16) if rank is None else rank
    checks.sizes(states=states, rank=rank)
    checks.steps(dt_min, dt_max)

    def init(key):
        k_x, k_down, k_up, k_B, k_C, k_step = jax.random.split(key, 6)
        kernel = jax.nn.initializers.lecun_normal()
        step = some_steps(k_step, hidden, dt_min, dt_max, dtype)
        return {
            "W_xh": kernel(k_x, (inputs, hidden), dtype),
            "b": jnp.zeros(hidden, dtype),
            "W_down": kernel(k_down, (hidden, rank), dtype),
            "W_up": jax.random.uniform(k_up, (rank, hidden), dtype, -(rank**-0.5), rank**-0.5),
            "b_step": jnp.log(jnp.expm1(step)),
            "W_B": kernel(k_B, (hidden, states), dtype),
            "W_C": kernel(k_C, (hidden, states), dtype),
            "log_A": jnp.broadcast_to(jnp.log(jnp.arange(1, states + 1, dtype=dtype)), (hidden, states)),
            "D": jnp.ones(hidden, dtype),
        }

    def prepare(params):
        W_xh, b, b_step, W_B, W_C, D = (params[name] for name in ("W_xh", "b", "b_step", "W_B", "W_C", "D"))
        A = -jnp.exp(params["log_A"]).T
        return S6Weights(W_xh, b, (params["W_down"], params["W_up"]), b_step, W_B, W_C, A, D)

    def project(weights, xs):
        u = affine(xs, weights.W_xh, weights.b)
        down, up = weights.W_step
        step = jax.nn.softplus(affine(u @ down, up, weights.b_step))
        return Selected(step, step * u, u @ weights.W_B)

    def decay_of(z, A):
        return jnp.exp(z.step[..., None, :] * A)

    def update(h, z, A):
        return decay_of(z, A) * h + z.drive[..., None, :] * z.B[..., None]

    def pullback(h, after, kept, ct):
        z, A = kept
        d_h = ct * decay_of(z, A)
        d_power = d_h * h
        d_drive, d_B = jnp.einsum("...nh,...n->...h", ct, z.B), jnp.einsum("...nh,...h->...n", ct, z.drive)
        return d_h, Selected((d_power * A).sum(-2), d_drive, d_B), d_power * z.step[..., None, :]

    def readout(weights, hs, xs):
        u = affine(xs, weights.W_xh, weights.b)
        return jnp.einsum("...nh,...n->...h", hs, u @ weights.W_C) + u * per_unit(weights.D, u)

    def elements(weights, zs):
        drive = zs.drive[..., None, :] * zs.B[..., None]
        return decay_of(zs, per_unit(weights.A, drive)), drive

    return Cell(
        name="s6",
        inputs=inputs,
        hidden=hidden,
        outputs=hidden,
        init=init,
        prepare=prepare,
        initial_carry=zeros(states, hidden),
        project=project,
        mix=lambda weights, h: per_unit(weights.A, h),
        update=update,
        readout=readout,
        gradient=Gradient(pullback=pullback),
        elements=elements,
    )
