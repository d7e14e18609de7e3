"""The simplified state space layer S5."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks, diagonal
from asrnn_jax.dtypes import at_least_float32, complex_of


@factory
def s5(
    inputs: int,
    hidden: int,
    *,
    outputs: int | None = None,
    blocks: int = 1,
    dt_min: float = 0.001,
    dt_max: float = 0.1,
    dtype=jnp.float32,
) -> Cell:
    """S5, a diagonal continuous state space held constant between steps (ZOH); it also runs in parallel over time.

        h_t = exp(Lambda Delta) * h_{t-1} + (exp(Lambda Delta) - 1) / Lambda * (B x_t)        Delta = exp(log_step)
        y_t = 2 Re(C h_t) + D x_t

    H counts one of each pair of conjugate states, hence the 2. In the paper it is the middle of a
    `asrnn_jax.cells.residual` block.

    Args:
      inputs: I.
      hidden: H, complex numbers (the paper's P / 2).
      outputs: O; None: H. With O = I, D is elementwise as in the paper, else a kernel.
      blocks: Lambda starts as that many copies of the HiPPO-N eigenvalues of size 2 H / blocks.
      dt_min, dt_max: Delta starts log-uniform between these, a share of the memory's time scale a step.
      dtype: of the params.

    Params: ``{"Lambda_re", "Lambda_im", "log_step": (H,), "B_re", "B_im": (I, H), "C_re", "C_im": (H, O), "D": (O,) or
    (I, O)}``. The real part of Lambda is kept at or below -1e-4. The carry is complex, in at least float32.

    Raises:
      ValueError: sizes below 1, H no multiple of blocks, a range of steps that is none.

    Source: Smith, Warrington, Linderman 2023, arXiv:2208.04933.
    """
    outputs = hidden if outputs is None else outputs
    checks.divisors(hidden, blocks=blocks)
    checks.steps(dt_min, dt_max)
    eigenvalues, V = hippo(hidden // blocks)

    def init(key):
        k_B, k_C, k_D, k_step = jax.random.split(key, 4)
        states = 2 * hidden
        B = jax.nn.initializers.lecun_normal()(k_B, (inputs, states), jnp.float32)
        C = jax.nn.initializers.lecun_normal()(k_C, (states, outputs), jnp.float32)
        B, C, vectors = (jnp.asarray(a, complex_of(dtype)) for a in (B, C, V))
        B = jnp.einsum("ibn,nm->ibm", B.reshape(inputs, blocks, -1), vectors.conj()).reshape(inputs, hidden)
        C = jnp.einsum("bno,nm->bmo", C.reshape(blocks, -1, outputs), vectors).reshape(hidden, outputs)
        start = {
            "Lambda_re": np.tile(np.real(eigenvalues), blocks),
            "Lambda_im": np.tile(np.imag(eigenvalues), blocks),
            "B_re": B.real,
            "B_im": B.imag,
            "C_re": C.real,
            "C_im": C.imag,
            "D": diagonal.feedthrough(k_D, inputs, outputs, dtype),
            "log_step": jax.random.uniform(k_step, (hidden,), dtype, math.log(dt_min), math.log(dt_max)),
        }
        return {name: jnp.asarray(value, dtype) for name, value in start.items()}

    def prepare(params):
        wide = {name: p.astype(at_least_float32(p.dtype)) for name, p in params.items()}
        re, im, step = jnp.minimum(wide["Lambda_re"], -1e-4), wide["Lambda_im"], jnp.exp(wide["log_step"])
        z = jax.lax.complex(re * step, im * step)
        B = jax.lax.complex(wide["B_re"], wide["B_im"]) * (step.astype(z.dtype) * held(z))[None]
        C = (2 * params["C_re"], -2 * params["C_im"])
        narrow = params["B_re"].dtype
        return diagonal.Weights(jnp.exp(z), (B.real.astype(narrow), B.imag.astype(narrow)), C, params["D"])

    return diagonal.state_space("s5", inputs, hidden, outputs, init, prepare)


def held(z: jax.Array) -> jax.Array:
    """``(exp(z) - 1) / z``, what a constant input adds up to, without the cancellation near 0: there by its series."""
    near = jnp.abs(z.real) + jnp.abs(z.imag) < 0.5
    small = jnp.where(near, z, 0)
    series = jnp.ones_like(z)
    for k in range(15, 1, -1):  # 0.5^15 / 16! is below the last bit of float64
        series = 1 + small * series * (1 / k)
    far = jnp.where(near, 1, z)
    return jnp.where(near, series, jnp.exp(far) - 1) / far  # a division last: XLA computes what comes before it once


def hippo(half: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues ``(half,)`` with positive imaginary part and vectors ``(2 half, half)`` of HiPPO-N, size 2 half.

    HiPPO-LegS plus a rank-one term is normal: -1/2 on the diagonal, the rest skew-symmetric (arXiv:2208.04933).
    """
    root = np.sqrt(2 * np.arange(2 * half) + 1)
    lower = -np.tril(np.outer(root, root), -1) / 2
    imaginary, V = np.linalg.eigh(-1j * (lower - lower.T))
    return -0.5 + 1j * imaginary[half:], V[:, half:]
