"""The unitary evolution RNN."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.cell import Cell, Gradient, Units, factory
from asrnn_jax.cells.dense import per_unit, zeros
from asrnn_jax.cells.orthogonal import modrelu_rnn
from asrnn_jax.dtypes import at_least_float32
from asrnn_jax.pairs import from_side_by_side, side_by_side


class Weights(NamedTuple):
    V: jax.Array  # (I, 2 H): real parts, imaginary parts
    b: jax.Array  # (H,)
    W: jax.Array  # (2 H, 2 H), as rows: [Re h, Im h] W; real products are faster than complex ones


@factory
def urnn(inputs: int, hidden: int, *, seed: int = 0, dtype=jnp.float32) -> Cell:
    """Unitary evolution RNN, ``h_t = modReLU(W h_{t-1} + V x_t)`` with complex ``h``.

        W = D_3 R_2 F^{-1} D_2 P R_1 F D_1

    ``D_k`` are diagonals ``exp(i theta_k)``, ``R_k = I - 2 v v* / |v|^2`` reflections, F the unitary discrete Fourier
    transform, P a fixed permutation: unitary for any params, of which W has 7 H. The product is formed once a call,
    so a step is one complex H x H product. ``ys`` are real and imaginary parts side by side, O = 2 H.

    Args:
      inputs: I.
      hidden: H.
      seed: of the permutation (NumPy RandomState).
      dtype: of the params.

    Params: ``{"W_xh_re", "W_xh_im": (I, H), "theta": (3, H), "v_re", "v_im": (2, H), "b": (H,)}``; ``W_xh`` starts
    Glorot uniform, theta uniform in (-pi, pi), v in (-1, 1), b 0. The carry is complex, in at least float32. The
    paper also trains the first state: `asrnn_jax.cells.with_trained_start`.

    Raises:
      ValueError: sizes below 1.

    Source: Arjovsky, Shah, Bengio 2016, arXiv:1511.06464.
    """
    permutation = np.random.RandomState(seed).permutation(hidden)

    def init(key):
        k_re, k_im, k_theta, k_vre, k_vim = jax.random.split(key, 5)
        kernel = jax.nn.initializers.glorot_uniform()
        return {
            "W_xh_re": kernel(k_re, (inputs, hidden), dtype),
            "W_xh_im": kernel(k_im, (inputs, hidden), dtype),
            "theta": jax.random.uniform(k_theta, (3, hidden), dtype, -jnp.pi, jnp.pi),
            "v_re": jax.random.uniform(k_vre, (2, hidden), dtype, -1.0, 1.0),
            "v_im": jax.random.uniform(k_vim, (2, hidden), dtype, -1.0, 1.0),
            "b": jnp.zeros(hidden, dtype),
        }

    def prepare(params):
        V = jnp.concatenate([params["W_xh_re"], params["W_xh_im"]], axis=1)
        W = unitary(params, permutation)
        return Weights(V, params["b"], jnp.block([[W.real, W.imag], [-W.imag, W.real]]))

    def mix(weights, h):
        return from_side_by_side(side_by_side(h).astype(weights.W.dtype) @ weights.W), per_unit(weights.b, h)

    return modrelu_rnn("urnn", inputs, hidden, init, prepare).replace(
        outputs=2 * hidden,
        initial_carry=zeros(hidden, kind=complex),
        project=lambda weights, xs: from_side_by_side(xs @ weights.V),
        mix=mix,
        readout=lambda weights, hs, xs: side_by_side(hs),
        gradient=Gradient(),  # the other is of real numbers
        activity=lambda z, a, h: {"modulus": Units("relu", jnp.abs(h))},
    )


def unitary(params, permutation: np.ndarray) -> jax.Array:
    """``W^T (H, H)``, the rows that the chain of transforms makes of the identity's."""
    theta, v_re, v_im = (
        params[name].astype(at_least_float32(params[name].dtype)) for name in ("theta", "v_re", "v_im")
    )
    phase, v = jnp.exp(jax.lax.complex(jnp.zeros_like(theta), theta)), jax.lax.complex(v_re, v_im)
    n = theta.shape[1]

    def reflect(h, v):
        scale = 2 / jnp.sum(v.real**2 + v.imag**2)
        return h - jnp.outer(h @ v.conj(), v) * scale.astype(h.dtype)

    h = jnp.eye(n, dtype=phase.dtype) * phase[:1]
    h = reflect(jnp.fft.fft(h, norm="ortho"), v[0])
    h = h[:, permutation] * phase[1:2]
    return reflect(jnp.fft.ifft(h, norm="ortho"), v[1]) * phase[2:]
