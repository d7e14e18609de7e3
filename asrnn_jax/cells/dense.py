"""What cells share: products, kernels, carries and activations."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Units
from asrnn_jax.dtypes import at_least_float32, complex_of
from asrnn_jax.placement import sharded_as


class Weights(NamedTuple):
    """Of a cell with one product a step; each is an array, or a tuple of arrays, one a gate (see `gates`)."""

    W_xh: Any  # (I, H)
    b: Any  # (H,)
    W_hh: Any  # (H, H), as rows: h W_hh


def affine(xs: jax.Array, W: jax.Array, b: jax.Array) -> jax.Array:
    """``xs W + b`` for inputs ``(..., I)``, a kernel ``(I, K)`` and a bias ``(K,)``."""
    product = xs @ W
    return product + jnp.broadcast_to(b, product.shape)


def per_unit(a: jax.Array, like: jax.Array) -> jax.Array:
    """One number a unit ``(H,)`` for every row of ``like (..., H)``."""
    return sharded_as(jnp.broadcast_to(a, like.shape), like)


def orthogonal_kernel(key: jax.Array, shape: tuple[int, int], dtype) -> jax.Array:
    """A random kernel with orthonormal rows or columns, drawn in at least float32."""
    return jax.nn.initializers.orthogonal()(key, shape, at_least_float32(dtype)).astype(dtype)


def gated_params(keys, inputs: int, hidden: int, number: int, dtype, forget_bias: Any = 0.0) -> dict[str, Any]:
    """Params of so many gates side by side, from two keys: ``W_xh`` LeCun normal, ``W_hh`` of each gate orthogonal,
    ``b`` 0, of the second gate `forget_bias`."""
    k_x, k_h = keys
    W_hh = [orthogonal_kernel(k, (hidden, hidden), dtype) for k in jax.random.split(k_h, number)]
    return {
        "W_xh": jax.nn.initializers.lecun_normal()(k_x, (inputs, number * hidden), dtype),
        "W_hh": jnp.concatenate(W_hh, axis=1),
        "b": jnp.zeros(number * hidden, dtype).at[hidden : 2 * hidden].set(forget_bias),
    }


def chrono_bias(key, hidden: int, t_max: float, dtype) -> jax.Array:
    """Biases ``(H,)`` of a gate that keeps: with them units forget after 2 to `t_max` steps, uniformly."""
    return jnp.log(jax.random.uniform(key, (hidden,), at_least_float32(dtype), 1.0, t_max - 1)).astype(dtype)


def by_gate(params, number: int) -> Weights:
    """`Cell.prepare` of `gated_params`."""
    return Weights(*(gates(params[name], number) for name in Weights._fields))


def gates(W: jax.Array, number: int) -> tuple[jax.Array, ...]:
    """The columns of each gate as an array of their own.

    On CPU, elementwise functions of slices of one wide array run at a fraction of the speed of those of whole arrays.
    """
    return tuple(jnp.split(W, number, axis=-1))


def zeros(*shape: int, kind=None):
    """`Cell.initial_carry` of one array ``(*B, *shape)`` of zeros; complex if `kind` is complex."""

    def initial_carry(batch_shape=(), dtype=jnp.float32):
        return jnp.zeros((*batch_shape, *shape), dtype if kind is None else complex_of(dtype))

    return initial_carry


def zeros_each(carry: Any, *shapes: tuple[int, ...]):
    """`Cell.initial_carry` of a NamedTuple `carry` of arrays ``(*B, *shape)`` of zeros; one shape is that of all."""

    def initial_carry(batch_shape=(), dtype=jnp.float32):
        each = shapes * len(carry._fields) if len(shapes) == 1 else shapes
        return carry(*(jnp.zeros((*batch_shape, *shape), dtype) for shape in each))

    return initial_carry


def the_carry(weights, carries, xs):
    """`Cell.readout` of a cell whose output is its carry."""
    return carries


def of_carry(kind: Any):
    """`Cell.activity` of a cell whose carry is what its only nonlinearity gave."""
    return lambda z, a, carry: {kind: Units(kind, carry)}


def named(activated, **kinds: Any):
    """`Cell.activity` from ``activated(z, a)``, which returns one array or several: a name and a kind for each."""

    def activity(z, a, carry):
        values = activated(z, a)
        values = values if isinstance(values, tuple) else (values,)
        return {name: Units(kind, value) for (name, kind), value in zip(kinds.items(), values)}

    return activity


def recurrent(name: str, inputs: int, hidden: int, **functions: Any) -> Cell:
    """A cell with weights W_xh, b and W_hh whose carry ``h (*B, H)`` is its output; `functions` add to this or replace.

    Where the weights are tuples with one array a gate (see `gates`), so are z and a.
    What is left to give is init and update of `Cell`, and prepare where params are not weights as they are.
    """
    usual = {
        "outputs": hidden,
        "prepare": lambda params: Weights(params["W_xh"], params["b"], params["W_hh"]),
        "initial_carry": zeros(hidden),
        "project": lambda weights, xs: jax.tree.map(partial(affine, xs), weights.W_xh, weights.b),
        "mix": lambda weights, h: jax.tree.map(partial(jnp.matmul, h), weights.W_hh),
        "readout": the_carry,
    }
    return Cell(name=name, inputs=inputs, hidden=hidden, **{**usual, **functions})


def modrelu(z: jax.Array, b: jax.Array) -> jax.Array:
    """``z / |z| max(|z| + b, 0)``, real or complex, 0 at z = 0. Source: arXiv:1511.06464."""
    if not jnp.iscomplexobj(z):
        return jnp.sign(z) * jnp.maximum(jnp.abs(z) + b, 0)
    zero = z == 0
    modulus = jnp.abs(jnp.where(zero, 1, z))  # the derivative of |z| at 0 is not a number
    return jnp.where(zero, 0, z * (jnp.maximum(modulus + b.astype(modulus.dtype), 0) / modulus).astype(z.dtype))
