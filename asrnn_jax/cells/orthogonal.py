"""The orthogonal RNN; scoRNN, expRNN and dtriv are settings of it; and the non-normal RNN, nnRNN."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax.cell import Cell, Gradient, Training, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.composite import rebase_within
from asrnn_jax.cells.dense import Weights, modrelu, of_carry, per_unit, recurrent
from asrnn_jax.orthogonal import parametrization


@factory
def orthogonal(
    inputs: int,
    hidden: int,
    *,
    map: str = "cayley",
    init: str = "henaff",
    angle_scale: float = 1.0,
    dynamic: bool = False,
    rho: float = 0.5,
    activation: Literal["modrelu", "linear"] = "modrelu",
    dtype=jnp.float32,
) -> Cell:
    """Orthogonal RNN, ``h_t = f(W_xh x_t + W_hh h_{t-1})`` with ``W_hh`` orthogonal.

    ``f`` is modReLU, ``f(z) = sign(z) max(|z| + b, 0)``, or for "linear" ``f(z) = z + b``.
    `scornn`, `exprnn` and `dtriv` are settings of it.

    Args:
      inputs: I.
      hidden: H.
      map: from H (H - 1) / 2 numbers to ``W_hh``: "cayley", "scaled_cayley" or "expm".
      init: the angles that ``W_hh`` starts with: "henaff", "cayley", "exprnn", "log", "haar" or "identity", see
        `asrnn_jax.orthogonal.parametrization`.
      angle_scale: factor of these angles.
      dynamic: dynamic trivialisation, see `asrnn_jax.orthogonal.parametrization`.
      rho: share of -1 signs for "scaled_cayley".
      activation: "modrelu" or "linear".
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "W_hh": {"skew": (H (H - 1) / 2,)}, "b": (H,)}``; ``W_xh`` starts He normal, b near 0.

    Raises:
      ValueError: sizes below 1, an unknown name.

    Source: Helfrich et al. 2018, arXiv:1707.09520, eq. 1; Lezcano-Casado, Martinez-Rubio 2019, arXiv:1901.08428.
    """
    checks.choice("activation", activation, ("modrelu", "linear"))
    W_hh = parametrization(hidden, map, init, angle_scale=angle_scale, dynamic=dynamic, rho=rho, dtype=dtype)

    def init_params(key):
        k_x, k_h, k_b = jax.random.split(key, 3)
        modrelu_start = jax.random.uniform(k_b, (hidden,), dtype, -0.01, 0.01)
        return {
            "W_xh": jax.nn.initializers.he_normal()(k_x, (inputs, hidden), dtype),
            "W_hh": W_hh.init(k_h),
            "b": modrelu_start if activation == "modrelu" else jnp.zeros(hidden, dtype),
        }

    def prepare(params):
        return Weights(params["W_xh"], params["b"], W_hh.matrix(params["W_hh"]).T)

    if activation == "modrelu":
        cell = modrelu_rnn("orthogonal", inputs, hidden, init_params, prepare)
    else:
        gradient = Gradient(pullback=lambda prev, h, kept, ct: (jnp.zeros_like(prev), ct, ct))
        functions = {"init": init_params, "prepare": prepare, "update": lambda h, z, a: z + a, "gradient": gradient}
        cell = recurrent("orthogonal", inputs, hidden, **functions)
    return cell.replace(training=Training(rebase=rebase_within(W_hh.rebase, "W_hh")))


@factory
def scornn(inputs: int, hidden: int, *, rho: float = 0.5, init: str = "cayley", dtype=jnp.float32) -> Cell:
    """scoRNN: `orthogonal` by the scaled Cayley transform, ``W_hh = (I + A)^{-1} (I - A) D``, with modReLU.

    Args:
      inputs: I.
      hidden: H.
      rho: share of -1 among the signs D; the paper took 1/10 for sequential MNIST and 1/2 otherwise.
      init: the angles: "cayley" (the paper's), "henaff", ..., as `orthogonal`.
      dtype: of the params.

    Params: as `orthogonal`.

    Raises:
      ValueError: sizes below 1, rho outside [0, 1], an unknown init.

    Source: Helfrich, Willmott, Ye 2018, arXiv:1707.09520.
    """
    cell = orthogonal(inputs, hidden, map="scaled_cayley", init=init, rho=rho, dtype=dtype)
    return cell.replace(name="scornn")


@factory
def exprnn(inputs: int, hidden: int, *, init: str = "henaff", dtype=jnp.float32) -> Cell:
    """expRNN: `orthogonal` by the matrix exponential, ``W_hh = exp(A)``, with modReLU.

    Args:
      inputs: I.
      hidden: H.
      init: the angles: "henaff" (the paper's for copying), "exprnn" (for MNIST), ..., as `orthogonal`.
      dtype: of the params.

    Params: as `orthogonal`.

    Raises:
      ValueError: sizes below 1, an unknown init.

    Source: Lezcano-Casado, Martinez-Rubio 2019, arXiv:1901.08428.
    """
    return orthogonal(inputs, hidden, map="expm", init=init, dtype=dtype).replace(name="exprnn")


@factory
def dtriv(inputs: int, hidden: int, *, init: str = "henaff", dtype=jnp.float32) -> Cell:
    """dtriv: expRNN with a dynamic base, ``W_hh = B exp(A)``; see `asrnn_jax.optim.rebase`.

    Args:
      inputs: I.
      hidden: H.
      init: of the first base, as `exprnn`.
      dtype: of the params.

    Params: as `orthogonal`, with the base beside the skew matrix.

    Raises:
      ValueError: sizes below 1, an unknown init.

    Source: Lezcano-Casado 2019, arXiv:1909.09501.
    """
    return orthogonal(inputs, hidden, map="expm", init=init, dynamic=True, dtype=dtype).replace(name="dtriv")


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


def modrelu_rnn(name: str, inputs: int, hidden: int, init, prepare) -> Cell:
    """``h_t = modReLU(W_xh x_t + W_hh h_{t-1})`` for any ``W_hh``."""

    def update(h, z, a):
        product, b = a
        return modrelu(z + product, b)

    def pullback(prev, h, kept, ct):
        # Where modReLU is open its slope is 1 and h has the sign of z; where it is closed h = 0.
        delta = jnp.where(h == 0, 0, ct)
        return jnp.zeros_like(prev), delta, (delta, delta * jnp.sign(h))

    return recurrent(
        name,
        inputs,
        hidden,
        init=init,
        prepare=prepare,
        project=lambda weights, xs: xs @ weights.W_xh,
        mix=lambda weights, h: (h @ weights.W_hh, per_unit(weights.b, h)),
        update=update,
        gradient=Gradient(pullback=pullback),
        activity=of_carry("relu"),
    )


def schur_form(theta: jax.Array, gamma: jax.Array, n: int) -> jax.Array:
    """Block diagonal ``(n, n)`` of ``gamma_j`` times rotations by ``theta_j``; an odd last block is ``gamma`` alone."""
    even = np.arange(0, n - 1, 2)
    radius = gamma[: n // 2]
    cos, sin = radius * jnp.cos(theta), radius * jnp.sin(theta)
    S = jnp.zeros((n, n), theta.dtype)
    S = S.at[even, even].set(cos).at[even + 1, even + 1].set(cos)
    S = S.at[even + 1, even].set(sin).at[even, even + 1].set(-sin)
    return S if n % 2 == 0 else S.at[n - 1, n - 1].set(gamma[-1])
