"""Properties of a matrix, for example of a recurrent weight or a Jacobian. All take leading batch axes."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax import orthogonal
from asrnn_jax.dtypes import at_least_float32, precisely
from asrnn_jax.typing import Array, Complex, Float, Given, Num


def orthogonality_error(W: Given[ArrayLike, "*B n n"]) -> Float[Array, "*B"]:
    """Largest entry of ``|W^T W - I|`` for ``W (*B, n, n)``; 0 for orthogonal matrices. Returns ``(*B,)``.

    Raises:
      ValueError: a matrix that is not square.
    """
    return orthogonal.error(_square(W))


def non_normality(W: Given[ArrayLike, "*B n n"]) -> Float[Array, "*B"]:
    """Henrici's departure from normality over the Frobenius norm, ``sqrt(|W|_F^2 - sum |lambda|^2) / |W|_F``.

    0 for normal matrices (orthogonal, symmetric, skew), 1 for nilpotent ones: the share of a matrix that makes states
    grow for a while though no eigenvalue says so. W: ``(*B, n, n)``; returns ``(*B,)``. On accelerators JAX may not
    have eigenvalues of general matrices: use `jax.default_device` with a CPU.

    Raises:
      ValueError: a matrix that is not square.

    Source: Henrici 1962; Trefethen, Embree 2005, Spectra and Pseudospectra, section 48.
    """
    W = _square(W)
    frobenius2 = jnp.sum(jnp.abs(W) ** 2, axis=(-2, -1))
    eigenvalues2 = jnp.sum(jnp.abs(jnp.linalg.eigvals(W)) ** 2, axis=-1)
    departure2 = jnp.maximum(frobenius2 - eigenvalues2, 0)
    return jnp.sqrt(departure2 / jnp.where(frobenius2 == 0, 1, frobenius2))


def spectral_radius(W: Given[ArrayLike, "*B n n"]) -> Float[Array, "*B"]:
    """Largest modulus of an eigenvalue of ``W (*B, n, n)``; returns ``(*B,)``. Accelerators: see `non_normality`.

    Raises:
      ValueError: a matrix that is not square.
    """
    return jnp.abs(jnp.linalg.eigvals(_square(W))).max(axis=-1)


@partial(jax.jit, static_argnames="angles")
@precisely
def numerical_range(W: Given[ArrayLike, "n n"], angles: int = 64) -> Complex[Array, " angles"]:
    """Boundary points of the numerical range ``{v* W v, |v| = 1}`` of one real or complex ``W (n, n)``.

    It holds the eigenvalues, and where it leaves the unit circle states can grow at once. Each point maximises the
    real part after a rotation: one Hermitian eigenproblem an angle, so n up to a few hundred is cheap. Returns complex
    ``(angles,)``, in the order of the angles.

    Raises:
      ValueError: a matrix that is not square, fewer than 1 angle.

    Source: Johnson 1978, Numerical determination of the field of values.
    """
    W = _square(W)
    if W.ndim != 2:
        raise ValueError(f"W has shape {W.shape}: pass one matrix (n, n).")
    if angles < 1:
        raise ValueError(f"angles={angles}: give at least 1.")

    def point(angle):
        turned = jnp.exp(1j * angle) * W
        _, vectors = jnp.linalg.eigh((turned + turned.conj().T) / 2)
        v = vectors[:, -1]
        return v.conj() @ W.astype(v.dtype) @ v

    return jax.lax.map(point, jnp.linspace(0, 2 * jnp.pi, angles, endpoint=False, dtype=W.real.dtype))


def _square(W: Given[ArrayLike, "*B n n"]) -> Num[Array, "*B n n"]:
    W = jnp.asarray(W)
    W = W.astype(at_least_float32(W.dtype))
    if W.ndim < 2 or W.shape[-1] != W.shape[-2]:
        raise ValueError(f"W has shape {W.shape}: pass square matrices (*B, n, n).")
    return W
