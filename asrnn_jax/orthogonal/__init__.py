"""Orthogonal matrices as a function of freely trained numbers; and a guide to training them.

An ``n x n`` orthogonal matrix Q is made from the ``n (n - 1) / 2`` numbers of a skew-symmetric matrix. Any optimiser
can change these numbers: whatever they become, Q is orthogonal to rounding.

    >>> import jax, jax.numpy as jnp
    >>> from asrnn_jax import orthogonal
    >>> Q = orthogonal.parametrization(6, map="cayley", init="henaff")
    >>> params = Q.init(jax.random.key(0))
    >>> params["skew"].shape
    (15,)
    >>> bool(orthogonal.error(Q.matrix(params)) < 1e-5)
    True

**Which map.** "cayley" is the default: ``Q = (I + A)^{-1} (I - A)``, one solve. It cannot reach the eigenvalue -1.
"scaled_cayley" can, by a diagonal of signs. "expm" is the matrix exponential. All are computed in at least float32
and in full matrix precision, on every device.

**Where it starts.** `init` names the angles of the plane rotations that the matrix starts as, the same for every map,
and `angle_scale` makes them smaller. A unit that turns by an angle of ``a`` a step sees the past some ``1 / a`` steps
long as one piece: long sequences that change slowly want small angles, ``init="exprnn", angle_scale=0.3``.

**Dynamic base.** Far from 0 a map is badly conditioned. With ``dynamic=True`` the matrix is ``Q = B map(A)``, and
`rebase` moves the base B to the current matrix and A back to 0. Weight decay, an average of two networks or a
narrower type may change B: what is used is always the orthogonal matrix nearest to it.

    >>> Q = orthogonal.parametrization(6, dynamic=True)
    >>> params = Q.init(jax.random.key(0))
    >>> params = Q.rebase(params)  # the same matrix
    >>> float(jnp.abs(params["skew"]).max())
    0.0

**In training.** The paper trains the skew numbers of ``W_hh`` at a tenth of the other rate. `asrnn_jax.optim` has
that and the rebase:

    >>> import optax
    >>> from asrnn_jax import cells, optim
    >>> cell = cells.dtriv(inputs=1, hidden=6)
    >>> params = cell.init(jax.random.key(0))
    >>> optimizer = optim.separate_rates(optax.rmsprop(1e-3), optax.rmsprop(1e-4))
    >>> params = optim.rebase(cell, params, step=jnp.array(100), every=100)  # after each step; works under jit
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from asrnn_jax.dtypes import at_least_float32, precisely
from asrnn_jax.orthogonal import maps
from asrnn_jax.orthogonal.inits import ANGLES, INITS, haar, rotations
from asrnn_jax.orthogonal.maps import cayley, entries, expm, nearest, polish, size, skew

__all__ = ["INITS", "MAPS", "Orthogonal", "parametrization"]
__all__ += ["cayley", "entries", "error", "expm", "nearest", "polish", "size", "skew"]

MAPS = ("cayley", "scaled_cayley", "expm")
"""The maps by their names, for `parametrization`."""


class Orthogonal(NamedTuple):
    """An orthogonal matrix of trained numbers: pure functions on its small params dict."""

    init: Callable[[jax.Array], dict[str, jax.Array]]
    """``key -> {"skew": (n (n - 1) / 2,)}`` and, when dynamic, ``"base": (n, n)``."""
    matrix: Callable[[dict[str, jax.Array]], jax.Array]
    """``params -> Q (n, n)``. The base receives no gradient."""
    rebase: Callable[..., dict[str, jax.Array]] | None
    """``(params, project) -> params`` with the same Q and skew 0; None without a dynamic base."""


def parametrization(
    n: int,
    map: str = "cayley",
    init: str = "henaff",
    *,
    angle_scale: float = 1.0,
    dynamic: bool = False,
    rho: float = 0.5,
    dtype=jnp.float32,
) -> Orthogonal:
    """An ``n x n`` orthogonal matrix trained through a skew-symmetric one.

    Args:
      n: size.
      map: "cayley", "expm", or "scaled_cayley": ``cayley(A) D`` with D diagonal of +-1, which reaches the
        matrices with eigenvalue -1 that Cayley alone cannot (arXiv:1707.09520).
      init: the angles of the plane rotations it starts as, whatever the map: "henaff", U(-pi, pi); "cayley",
        U(-pi/2, 0); "exprnn", ``-tan(s/2)`` with s ~ U(0, pi/2); "log", log-uniform from pi/1000 to pi, of either
        sign; "identity", 0. Or "haar", any rotation.
      angle_scale: factor of these angles, up to 1; it means nothing to "haar" and "identity".
      dynamic: dynamic trivialisation ``Q = B map(A)`` (arXiv:1909.09501): `rebase` moves the base ``B`` to the
        current matrix and ``A`` back to 0, where the map is best conditioned. Whatever has changed the base (weight
        decay, an average of two, a narrower type), what is used is the orthogonal matrix nearest to it.
      rho: share of -1 in the signs of the scaled Cayley transform.
      dtype: of the trained numbers.

    Raises:
      ValueError: unknown map or init, n below 1, rho or angle_scale outside [0, 1].
    """
    if n < 1:
        raise ValueError(f"n={n}: an orthogonal matrix needs at least one row.")
    if map not in MAPS:
        raise ValueError(f"map={map!r}: choose one of {', '.join(MAPS)}.")
    if init not in INITS:
        raise ValueError(f"init={init!r}: choose one of {', '.join(INITS)}.")
    if not 0 <= rho <= 1:
        raise ValueError(f"rho={rho}: the share of -1 signs lies in [0, 1].")
    if not 0 < angle_scale <= 1:
        raise ValueError(f"angle_scale={angle_scale}: give a number above 0, up to 1.")
    transform = maps.expm if map == "expm" else maps.cayley
    inverse = maps.logm if map == "expm" else maps.cayley_inverse
    angle_to_entry = (lambda angle: angle) if map == "expm" else (lambda angle: jnp.tan(angle / 2))
    signs = np.ones(n)
    if map == "scaled_cayley":
        signs[: round(rho * n)] = -1

    def moving(vector):
        return transform(skew(vector.astype(at_least_float32(vector.dtype)), n))

    def initial(key):
        if init == "haar":
            start = haar(key, n, inverse, dtype)
        else:
            start = rotations(angle_scale * ANGLES[init](key, (n // 2,), dtype), n, angle_to_entry)
        if not dynamic:
            return {"skew": start}
        return {"skew": jnp.zeros_like(start), "base": moving(start).astype(dtype) * jnp.asarray(signs, dtype)[None]}

    @precisely
    def matrix(params):
        Q = moving(params["skew"])
        if not dynamic:
            return Q * jnp.asarray(signs, Q.dtype)[None]
        return _orthogonal(lax.stop_gradient(params["base"]).astype(Q.dtype)) @ Q

    def rebase(params, project=False):
        Q = lax.cond(project, nearest, polish, matrix(params))
        return {"skew": jnp.zeros_like(params["skew"]), "base": Q.astype(params["base"].dtype)}

    return Orthogonal(initial, matrix, rebase if dynamic else None)


def _orthogonal(B: jax.Array) -> jax.Array:
    """B itself where it is orthogonal to rounding, as an optimiser that leaves it alone keeps it; else `nearest`."""
    return lax.cond(error(B) <= len(B) * jnp.finfo(B.dtype).eps, lambda B: B, nearest, B)


@precisely
def error(Q: jax.Array) -> jax.Array:
    """Largest entry of ``|Q^T Q - I|``, batched over leading axes."""
    gram = jnp.swapaxes(Q, -1, -2) @ Q
    eye = jnp.broadcast_to(jnp.eye(Q.shape[-1], dtype=Q.dtype), gram.shape)
    return jnp.abs(gram - eye).max((-2, -1))
