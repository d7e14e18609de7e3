"""Which floating-point type is used where, whatever `jax.numpy_dtype_promotion` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

Function = TypeVar("Function", bound=Callable)


def precisely(function: Function) -> Function:
    """Decorator: matrix products in full precision.

    On accelerators the default is coarser (TF32: three digits), good for a step of a network, not for what an
    orthogonal matrix, an initial value or a spectrum is computed from.
    """
    return jax.default_matmul_precision("highest")(function)


def promoted(*dtypes: Any) -> Any:
    """The type that holds all of these (arrays or dtypes), by JAX's standard promotion, also where "strict" is set."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*dtypes)


def at_least_float32(dtype: Any) -> Any:
    """At least float32 (or complex64): what maps, decompositions and long sums are computed in."""
    return promoted(dtype, jnp.float32)


def complex_of(dtype: Any) -> Any:
    """The complex type for a real one; there is none narrower than complex64."""
    return promoted(dtype, jnp.complex64)


def compute_dtype(weights: Any, xs: jax.Array) -> Any:
    """The type that a cell with these weights computes in for these inputs."""
    return promoted(xs, *(w.real.dtype for w in jax.tree.leaves(weights)))


def cast(tree: Any, dtype: Any) -> Any:
    """Real arrays in `dtype`, complex ones in `complex_of` it; integers as they are."""

    def one(w):
        kinds = ((jnp.floating, dtype), (jnp.complexfloating, complex_of(dtype)))
        return next((w.astype(to) for kind, to in kinds if jnp.issubdtype(w.dtype, kind)), w)

    return jax.tree.map(one, tree)
