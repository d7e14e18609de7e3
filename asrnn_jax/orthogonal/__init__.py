"""Orthogonal matrices as a function of freely trained numbers.

Q = parametrization(n, map="cayley", init="henaff")
params = Q.init(key)          # {"skew": (n (n - 1) / 2,)}, with a dynamic base also {"base": (n, n)}
matrix = Q.matrix(params)     # orthogonal
params = Q.rebase(params, project)
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
from asrnn_jax.orthogonal.inits import INITS
from asrnn_jax.orthogonal.maps import cayley, entries, expm, nearest, polish, size, skew

__all__ = [
    "INITS",
    "MAPS",
    "Orthogonal",
    "cayley",
    "entries",
    "error",
    "expm",
    "nearest",
    "parametrization",
    "polish",
    "size",
    "skew",
]

MAPS = ("cayley", "scaled_cayley", "expm")


class Orthogonal(NamedTuple):
    """An orthogonal matrix of trained numbers: pure functions on its small params dict."""

    init: Callable[[jax.Array], dict[str, jax.Array]]
    """``key -> {"skew": (n (n - 1) / 2,)}`` and, when dynamic, ``"base": (n, n)``."""
    matrix: Callable[[dict[str, jax.Array]], jax.Array]
    """``params -> Q (n, n)``. The base receives no gradient."""
    rebase: Callable[..., dict[str, jax.Array]] | None
    """``(params, project) -> params`` with the same Q and skew 0; None without a dynamic base."""


def parametrization(
    n: int, map: str = "cayley", init: str = "henaff", *, dynamic: bool = False, rho: float = 0.5, dtype=jnp.float32
) -> Orthogonal:
    """An ``n x n`` orthogonal matrix trained through a skew-symmetric one.

    Args:
      n: size.
      map: "cayley", "expm", or "scaled_cayley": ``cayley(A) D`` with D diagonal of +-1, which reaches the
        matrices with eigenvalue -1 that Cayley alone cannot (arXiv:1707.09520).
      init: "henaff", "cayley", "haar" or "identity", see `INITS`.
      dynamic: dynamic trivialisation ``Q = B map(A)`` (arXiv:1909.09501): `rebase` moves the base ``B`` to the
        current matrix and ``A`` back to 0, where the map is best conditioned. Whatever has changed the base (weight
        decay, an average of two, a narrower type), what is used is the orthogonal matrix nearest to it.
      rho: share of -1 in the signs of the scaled Cayley transform.
      dtype: of the trained numbers.

    Raises:
      ValueError: unknown map or init, n below 1, rho outside [0, 1].
    """
    if n < 1:
        raise ValueError(f"n={n}: an orthogonal matrix needs at least one row.")
    if map not in MAPS:
        raise ValueError(f"map={map!r}: choose one of {', '.join(MAPS)}.")
    if init not in INITS:
        raise ValueError(f"init={init!r}: choose one of {', '.join(INITS)}.")
    if not 0 <= rho <= 1:
        raise ValueError(f"rho={rho}: the share of -1 signs lies in [0, 1].")
    transform = maps.expm if map == "expm" else maps.cayley
    inverse = maps.logm if map == "expm" else maps.cayley_inverse
    angle_to_entry = (lambda angle: angle) if map == "expm" else (lambda angle: jnp.tan(angle / 2))
    signs = np.ones(n)
    if map == "scaled_cayley":
        signs[: round(rho * n)] = -1

    def moving(vector):
        return transform(skew(vector.astype(at_least_float32(vector.dtype)), n))

    def initial(key):
        start = INITS[init](key, n, angle_to_entry, inverse, dtype)
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
