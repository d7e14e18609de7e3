"""The adaptive-saturated RNN."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Coordinates, Gradient, Training, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.composite import rebase_within
from asrnn_jax.cells.dense import affine, of_carry, orthogonal_kernel, recurrent
from asrnn_jax.cells.vanilla import tanh_pullback
from asrnn_jax.orthogonal import parametrization


class Weights(NamedTuple):
    """In the coordinates of the loop, g = W_f h, as rows: ``g_t = tanh(x_t V + c + g_{t-1} M)``."""

    V: jax.Array  # (I, H): W_xh^T W_f^T
    c: jax.Array  # (H,):   W_f b
    M: jax.Array  # (H, H): (W_f W_hh W_f^{-1})^T
    W_f: jax.Array  # (H, H)
    W_f_inv: jax.Array  # (H, H)


@factory
def asrnn(
    inputs: int,
    hidden: int,
    *,
    map: str = "cayley",
    init: str = "cayley",
    angle_scale: float = 1.0,
    rotate: bool = True,
    dynamic: bool = False,
    saturation: Literal["abs", "bounded"] = "abs",
    a: float = 0.02,
    b: float = 0.02,
    eps: float = 0.01,
    slope: float = 0.0,
    kappa: float = 30.0,
    gain: float = 20.0,
    rho: float = 0.5,
    readout: Literal["state", "carry"] = "state",
    dtype=jnp.float32,
) -> Cell:
    """Adaptive-saturated RNN.

        h_t = W_f^{-1} tanh(W_f (W_xh x_t + W_hh h_{t-1} + b))        W_f = U_f D_f

    ``W_hh`` and ``U_f`` are orthogonal, ``D_f`` is a positive diagonal. Small ``D_f``: tanh stays in its linear
    part and the cell is the linear orthogonal RNN (stable gradients). Large ``D_f``: units saturate (capacity).
    ``W_f = I`` gives the tanh RNN with an orthogonal recurrent matrix.

    The loop keeps ``g_t = W_f h_t``, in which the cell is a tanh RNN with ``M = W_f W_hh W_f^{-1}``: one H x H
    product a step instead of three. ``ys`` and the state are ``h``; the carry is ``g``.

    Args:
      inputs: I.
      hidden: H, the paper's n.
      map: how ``W_hh`` and ``U_f`` come from H (H - 1) / 2 numbers: "cayley", "scaled_cayley" (``W_hh`` only; ``U_f``
        then uses "cayley") or "expm".
      init: of ``W_hh``, the angles it starts with: "cayley", "exprnn", "henaff", "log", "haar" or "identity", see
        `asrnn_jax.orthogonal.parametrization`. ``U_f`` starts at the identity.
      angle_scale: factor of these angles.
      rotate: False leaves ``U_f`` out: ``W_f = D_f``, and the cell is ``tanh(d z) / d`` unit by unit. No singular value
        of its Jacobian, ``diag(1 - g^2) W_hh``, passes 1.
      dynamic: ``W_hh`` by dynamic trivialisation, see `asrnn_jax.orthogonal.parametrization`.
      saturation: "abs" is the paper's ``D_f = |s| + eps``; "bounded" is ``D_f = d kappa^(tanh(gain s)/2)`` with
        one trained scale ``d = sqrt(p^2 + eps^2 / 4)``: at least ``eps / (2 sqrt(kappa))``, and the ratio of its
        largest to its smallest entry never passes `kappa`.
      a, b: ``s ~ U(a, b)`` at the start.
      eps: floor of ``D_f`` in the paper's form. Both forms start at ``|s| + eps`` (the bounded one as near as its bound
        allows).
      slope: derivative of ``|s|`` at ``s = 0``. 0 is the authors' framework: started at a = b = 0, ``D_f`` then stays
        at eps. With 1 the same start was seen to blow up; prefer "bounded" to train from a small ``D_f``.
      kappa: bound of ``max(D_f) / min(D_f)`` in the bounded form.
      gain: of s in the bounded form. An optimiser that moves each number by about its rate then moves D_f, relative to
        its size, as fast as in the paper's form at 0.03; with 1 training was seen to take three times as long.
      rho: share of -1 signs for "scaled_cayley".
      readout: what ``ys`` are: "state" is h; "carry" is ``g = W_f h``, which is in [-1, 1] and costs no product. A
        linear layer behind the cell can express the same with either, so take "carry" where all ``ys`` go into one.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "b": (H,), "W_hh": {"skew": (H (H - 1) / 2,)}, "U_f": {"skew": ...}, "D_f": ...}``, "D_f"
    with (H,) numbers s; in the bounded form ``{"p": (), "s": (H,)}``.

    Raises:
      ValueError: sizes below 1, an unknown name, a range that is no range.

    Source: Nguyen-Duy, Pham, Nguyen 2023, arXiv:2304.11790.
    """
    checks.choice("saturation", saturation, ("abs", "bounded"))
    checks.choice("readout", readout, ("state", "carry"))
    checks.at_least("eps", eps, 0.0)
    checks.at_least("kappa", kappa, 1.0)
    checks.above("gain", gain, 0.0)
    if not a <= b:
        raise ValueError(f"a={a}, b={b}: D_f starts at |s| + eps with s drawn from [a, b], so a must not exceed b.")
    if eps == 0 and a <= 0 <= b:
        raise ValueError(f"eps={eps} with a={a}, b={b}: D_f could be 0 and W_f has no inverse; give eps > 0 or a > 0.")
    floor = eps or min(abs(a), abs(b))
    W_hh = parametrization(hidden, map, init, angle_scale=angle_scale, dynamic=dynamic, rho=rho, dtype=dtype)
    U_f = parametrization(hidden, "expm" if map == "expm" else "cayley", "identity", dtype=dtype)

    def init_params(key):
        keys = jax.random.split(key, 4)
        s = jax.random.uniform(keys[3], (hidden,), dtype, a, b)
        return {
            "W_xh": orthogonal_kernel(keys[0], (inputs, hidden), dtype),
            "b": jnp.zeros(hidden, dtype),
            "W_hh": W_hh.init(keys[1]),
            **({"U_f": U_f.init(keys[2])} if rotate else {}),
            "D_f": s if saturation == "abs" else _bounded_start(jnp.abs(s) + eps, kappa, gain, floor),
        }

    def diagonal(p):
        return _abs(p, slope) + eps if saturation == "abs" else _bounded(p, kappa, gain, floor)

    def prepare(params):
        W, D = W_hh.matrix(params["W_hh"]), diagonal(params["D_f"])
        U = U_f.matrix(params["U_f"]) if rotate else jnp.eye(hidden, dtype=W.dtype)
        W_f, W_f_inv = U * D[None, :], U.T / D[:, None]
        M = W_f @ W @ W_f_inv
        return Weights(params["W_xh"] @ W_f.T, W_f @ params["b"], M.T, W_f, W_f_inv)

    def to_state(weights, g):
        return g @ weights.W_f_inv.T

    return recurrent(
        "asrnn",
        inputs,
        hidden,
        init=init_params,
        prepare=prepare,
        project=lambda weights, xs: affine(xs, weights.V, weights.c),
        mix=lambda weights, g: g @ weights.M,
        update=lambda g, z, a: jnp.tanh(z + a),
        readout=lambda weights, gs, xs: gs if readout == "carry" else to_state(weights, gs),
        gradient=Gradient(pullback=tanh_pullback),
        coordinates=Coordinates(to_state, lambda weights, h: h @ weights.W_f.T, linear_readout=True),
        training=Training(rebase=rebase_within(W_hh.rebase, "W_hh")),
        activity=of_carry("tanh"),
    )


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _abs(s: jax.Array, slope: float) -> jax.Array:
    """``|s|`` with the derivative `slope` at 0, where frameworks disagree (JAX says 1, PyTorch 0)."""
    return jnp.abs(s)


@_abs.defjvp
def _abs_jvp(slope, primals, tangents):
    (s,), (ds,) = primals, tangents
    return jnp.abs(s), jnp.where(s == 0, slope, jnp.sign(s)) * ds


def _bounded(p: dict[str, jax.Array], kappa: float, gain: float, eps: float) -> jax.Array:
    """``d kappa^(tanh(gain s)/2)``, ``d = sqrt(p^2 + eps^2 / 4)``.

    A step that carries p through 0 comes out on the other side, so no start and no step is a dead end; forms that
    approach 0 (exp, softplus) have no gradient left there and were seen to stay. What blows up in the paper's form
    when entries change sign one by one, their ratio, is bounded here.
    """
    return jnp.sqrt(p["p"] ** 2 + eps**2 / 4) * jnp.exp(0.5 * math.log(kappa) * jnp.tanh(gain * p["s"]))


def _bounded_start(D: jax.Array, kappa: float, gain: float, eps: float) -> dict[str, jax.Array]:
    """The params with `_bounded` equal to D, or as near as the bound allows."""
    d = jnp.exp(jnp.log(D).mean())
    spread = 2 * jnp.log(D / d) / max(math.log(kappa), 1e-6)
    return {"p": jnp.sqrt(d**2 - eps**2 / 4), "s": jnp.arctanh(jnp.clip(spread, -0.95, 0.95)) / gain}
