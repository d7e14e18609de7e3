"""The non-normal RNN."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import Weights
from asrnn_jax.cells.orthogonal import modrelu_rnn
from asrnn_jax.orthogonal import parametrization


@factory
def nnrnn(inputs: int, hidden: int, *, map: str = "expm", init: str = "henaff", dtype=jnp.float32) -> Cell:
    """Non-normal RNN, ``h_t = modReLU(W_xh x_t + W_hh h_{t-1})`` with ``W_hh = P (Lambda + T) P^T``, a real Schur form.

    P is orthogonal; Lambda holds the eigenvalues ``gamma_j exp(+-i theta_j)`` as 2x2 blocks; T, above them, makes the
    matrix non-normal: states can grow for a while though no eigenvalue exceeds gamma. With ``T = 0`` and ``gamma = 1``,
    where it starts, ``W_hh`` is orthogonal. The paper adds ``delta (gamma - 1)^2`` to the loss to stay near.

    Args:
      inputs: I.
      hidden: H.
      map: of P: "expm" (the paper's), "cayley" or "scaled_cayley".
      init: of P: "henaff", "haar", ..., as `asrnn_jax.orthogonal.parametrization`.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "P": {"skew": (H (H - 1) / 2,)}, "theta": (H // 2,), "gamma": ((H + 1) // 2,), "T":
    (entries above the blocks, row by row), "b": (H,)}``; theta starts uniform in (-pi, pi), T at 0.

    Raises:
      ValueError: sizes below 1, an unknown map or init.

    Source: Kerg et al. 2019, arXiv:1905.12080.
    """
    checks.sizes(inputs=inputs, hidden=hidden)
    P = parametrization(hidden, map, init, rho=0.5, dtype=dtype)
    rows, columns = np.triu_indices(hidden, 1)
    above = (rows % 2 == 1) | (columns != rows + 1)
    rows, columns = rows[above], columns[above]

    def init_params(key):
        k_x, k_p, k_theta, k_b = jax.random.split(key, 4)
        return {
            "W_xh": jax.nn.initializers.he_normal()(k_x, (inputs, hidden), dtype),
            "P": P.init(k_p),
            "theta": jax.random.uniform(k_theta, (hidden // 2,), dtype, -jnp.pi, jnp.pi),
            "gamma": jnp.ones((hidden + 1) // 2, dtype),
            "T": jnp.zeros(len(rows), dtype),
            "b": jax.random.uniform(k_b, (hidden,), dtype, -0.01, 0.01),
        }

    def prepare(params):
        Q = P.matrix(params["P"])
        S = schur_form(params["theta"], params["gamma"], hidden).astype(Q.dtype)
        S = S.at[rows, columns].set(params["T"].astype(Q.dtype))
        return Weights(params["W_xh"], params["b"], (Q @ S @ Q.T).T)

    return modrelu_rnn("nnrnn", inputs, hidden, init_params, prepare)


def schur_form(theta: jax.Array, gamma: jax.Array, n: int) -> jax.Array:
    """Block diagonal ``(n, n)`` of ``gamma_j`` times rotations by ``theta_j``; an odd last block is ``gamma`` alone."""
    even = np.arange(0, n - 1, 2)
    radius = gamma[: n // 2]
    cos, sin = radius * jnp.cos(theta), radius * jnp.sin(theta)
    S = jnp.zeros((n, n), theta.dtype)
    S = S.at[even, even].set(cos).at[even + 1, even + 1].set(cos)
    S = S.at[even + 1, even].set(sin).at[even, even + 1].set(-sin)
    return S if n % 2 == 0 else S.at[n - 1, n - 1].set(gamma[-1])
