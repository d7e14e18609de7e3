"""The orthogonal RNN, which scoRNN and expRNN specialise."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory, rebase_within
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import affine
from asrnn_jax.orthogonal import parametrization


class Weights(NamedTuple):
    W_xh: jax.Array  # (I, H)
    b: jax.Array  # (H,)
    W_hh: jax.Array  # (H, H), as rows: h W_hh


@factory
def orthogonal(
    inputs: int,
    hidden: int,
    *,
    map: str = "cayley",
    init: str = "henaff",
    dynamic: bool = False,
    rho: float = 0.5,
    activation: Literal["modrelu", "linear"] = "modrelu",
    dtype=jnp.float32,
) -> Cell:
    """Orthogonal RNN, ``h_t = f(W_xh x_t + W_hh h_{t-1})`` with ``W_hh`` orthogonal.

    ``f`` is modReLU, ``f(z) = sign(z) max(|z| + b, 0)``, or for "linear" ``f(z) = z + b``.
    scoRNN is ``map="scaled_cayley", init="cayley"``; expRNN is ``map="expm"``; with ``dynamic=True`` it is dtriv.

    Args:
      inputs: I.
      hidden: H.
      map: from H (H - 1) / 2 numbers to ``W_hh``: "cayley", "scaled_cayley" or "expm".
      init: "henaff", "cayley", "haar" or "identity".
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
    W_hh = parametrization(hidden, map, init, dynamic=dynamic, rho=rho, dtype=dtype)
    modrelu = activation == "modrelu"

    def init_params(key):
        k_x, k_h, k_b = jax.random.split(key, 3)
        b = jax.random.uniform(k_b, (hidden,), dtype, -0.01, 0.01) if modrelu else jnp.zeros(hidden, dtype)
        kernel = jax.nn.initializers.he_normal()(k_x, (inputs, hidden), dtype)
        return {"W_xh": kernel, "W_hh": W_hh.init(k_h), "b": b}

    def mix(weights, h):
        product = h @ weights.W_hh
        return (product, jnp.broadcast_to(weights.b, h.shape)) if modrelu else product

    def update(h, z, a):
        if not modrelu:
            return z + a
        product, b = a
        z = z + product
        return jnp.sign(z) * jnp.maximum(jnp.abs(z) + b, 0)

    def pullback(prev, h, z, a, ct):
        if not modrelu:
            return jnp.zeros_like(prev), ct, ct
        # Where modReLU is open its slope is 1 and h has the sign of z; where it is closed h = 0.
        delta = jnp.where(h == 0, 0, ct)
        return jnp.zeros_like(prev), delta, (delta, delta * jnp.sign(h))

    return Cell(
        name="orthogonal",
        inputs=inputs,
        hidden=hidden,
        outputs=hidden,
        init=init_params,
        prepare=lambda params: Weights(params["W_xh"], params["b"], W_hh.matrix(params["W_hh"]).T),
        initial_carry=lambda batch_shape=(), dtype=jnp.float32: jnp.zeros((*batch_shape, hidden), dtype),
        project=lambda weights, xs: xs @ weights.W_xh if modrelu else affine(xs, weights.W_xh, weights.b),
        mix=mix,
        update=update,
        readout=lambda weights, hs, xs: hs,
        pullback=pullback,
        rebase=rebase_within(W_hh.rebase, "W_hh"),
    )
