"""The loop over time and its fused gradient; and a guide to speed and memory.

## What is fast without asking

`asrnn_jax.run` does outside the loop what need not be inside: it prepares the weights once, projects all inputs as
one product, and computes the gradient of each weight as one product over many steps (the fused gradient). What
remains inside is one matrix product a step, forward and backward. A training step of every dense cell takes at most
twice the time of its matrix products alone, on CPUs. Tables: ``experiments/results/bench``.

## What you can choose

| argument of `run` | what it does | when |
| --- | --- | --- |
| ``method="associative_scan"`` | associative scan over time, for linear cells only | the default on accelerators |
| ``method="sequential"`` | the loop | the default on CPUs |
| ``method="chunked"`` | many steps as a few products: attention, matrix states, `s4d`, `short_conv` | their default |
| ``gradient="autodiff"`` | JAX's own derivative of the scan: slower | for `jax.jvp`, `jax.jacfwd`, second derivatives |
| ``outputs="last"`` | only the last output; the others are never built | classification of whole sequences |
| ``remat=True`` | keeps about sqrt(T) carries for the backward pass | long sequences: memory grows with sqrt(T) |
| ``unroll=8`` | steps a trip through the loop | the default on accelerators; 1 on CPUs |
| ``block=32`` | steps evaluated together | less memory on accelerators |
| ``dtype=jnp.bfloat16`` | computes in this type | orthogonal maps stay in float32 or wider |

    >>> import jax, jax.numpy as jnp, asrnn_jax
    >>> cell = asrnn_jax.cells.lru(inputs=1, hidden=4)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((2, 16, 1))
    >>> ways = [asrnn_jax.run(cell, params, xs, method=m)[1] for m in ("sequential", "associative_scan")]
    >>> bool(jnp.allclose(*ways, atol=1e-5))
    True

Where you call `run` or `step` many times with the same params, call ``cell.prepare(params)`` yourself once and pass
the result in their place.

## On CPUs

XLA does not spread the small products of a scan over CPU cores. Two settings help, before JAX starts: give JAX one
device a core (``XLA_FLAGS=--xla_force_host_platform_device_count=2``) and share the batch among them with
`asrnn_jax.parallel`; and set ``OPENBLAS_NUM_THREADS=1``, because LAPACK's waiting threads take the cores from XLA.
``experiments/machine.py`` does both for the runs of `experiments`.

## How it works

All arrays here have the shape ``(T, *B, ...)``. Time is taken in blocks. A block is projected, stepped through and
read out while it is still in cache. On the way back its weight gradient is one matrix product instead of one ``n x
n`` update a step, so the sequential part is as short backward as it is forward.

Not measured: TPUs, and several accelerators at once. One H200 was: ``experiments/results/bench/accelerator``.
"""

from asrnn_jax.loop.blocks import choose_block, choose_chunk, choose_unroll, first_step, rematerialised
from asrnn_jax.loop.chunked import Steps, chunked
from asrnn_jax.loop.forward import Options, autodiff
from asrnn_jax.loop.gradient import fused
from asrnn_jax.loop.linear import associative_scan
from asrnn_jax.loop.masks import finite, nan_where, where, where_reset, where_valid, zeros_where

__all__ = ["Options", "Steps", "associative_scan", "autodiff", "chunked", "fused"]
__all__ += ["choose_block", "choose_chunk", "choose_unroll", "first_step", "rematerialised"]
__all__ += ["finite", "nan_where", "where", "where_reset", "where_valid", "zeros_where"]
