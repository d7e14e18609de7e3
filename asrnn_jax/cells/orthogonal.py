"""The orthogonal RNN; scoRNN, expRNN and dtriv are settings of it."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Gradient, Training, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.composite import rebase_within
from asrnn_jax.cells.dense import Weights, affine, modrelu, of_carry, per_unit, recurrent
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
    checks.sizes(inputs=inputs, hidden=hidden)
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

    cell = modrelu_rnn("orthogonal", inputs, hidden, init_params, prepare)
    cell = cell.replace(training=Training(rebase=rebase_within(W_hh.rebase, "W_hh")))
    if activation == "modrelu":
        return cell
    return cell.replace(
        project=lambda weights, xs: affine(xs, weights.W_xh, weights.b),
        mix=lambda weights, h: h @ weights.W_hh,
        update=lambda h, z, a: z + a,
        gradient=Gradient(pullback=lambda prev, h, kept, ct: (jnp.zeros_like(prev), ct, ct)),
        activity=None,
    )


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
