"""One batch shared among devices: what each of them finds is exchanged once a call.

    >>> import jax, jax.numpy as jnp, asrnn_jax
    >>> from asrnn_jax import parallel
    >>> cell = asrnn_jax.cells.gru(2, 8)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((16, 5, 2))
    >>> def loss(params, xs):
    ...     return asrnn_jax.run(cell, params, xs, outputs="last")[1].mean()
    >>> gradient = parallel.shared(jax.grad(loss), jax.device_count())  # f(params, batch), the mean over devices
    >>> jax.jit(gradient)(params, xs)["b"].shape
    (24,)

Every device computes with its own rows of the batch and all the params. If you only shard the batch and leave the rest
to the compiler, it adds up the gradients of the weights between devices inside the loop over time, once a step of the
sequence. `shared` and `carried` exchange them once, after the loop.

On a CPU, ``jax.config.update("jax_num_cpu_devices", 8)`` before JAX starts makes eight devices of its cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

__all__ = ["AXIS", "carried", "gathered", "mean", "replicate", "shared", "total"]

AXIS = "batch"
"""The name of the mesh axis, for functions such as `jax.lax.axis_index` inside the shared function."""


def mean(tree: Any) -> Any:
    """The mean over devices, of gradients and losses that are means over a batch."""
    return lax.pmean(tree, AXIS)


def total(tree: Any) -> Any:
    """The sum over devices."""
    return lax.psum(tree, AXIS)


def gathered(tree: Any) -> Any:
    """The rows of all devices, joined along the first axis."""
    return lax.all_gather(tree, AXIS, tiled=True)


def shared(
    f: Callable[[Any, Any], Any], devices: int, summary: Callable[[Any], Any] = mean
) -> Callable[[Any, Any], Any]:
    """``f(params, batch) -> results`` with the rows of the batch shared among devices.

    Args:
      f: what each device computes with its rows.
      devices: how many of `jax.devices` take part, the first ones; 1: `f` itself.
      summary: what becomes of the results of all devices: `mean`, `total`, `gathered` or a function like these.

    Returns:
      A function of the same arguments. It raises ValueError where the devices cannot share the batch evenly.

    Raises:
      ValueError: fewer than 1 device, or more than there are.
    """
    whole = carried(lambda params, batch, memory: (f(params, batch), memory), devices, summary)
    return f if devices == 1 else lambda params, batch: whole(params, batch, ())[0]


def carried(
    f: Callable[..., tuple[Any, Any]], devices: int, summary: Callable[[Any], Any] = mean
) -> Callable[..., tuple[Any, Any]]:
    """``f(params, batch, memory, *others) -> (results, memory)`` with the rows of batch and memory shared.

    The memory is what a row takes from call to call, for example the state of a stream. It stays on its device.

    Args:
      f: what each device computes with its rows; it gets all of `params` and of the others.
      devices: as in `shared`.
      summary: of the results, as in `shared`; the memory is left as it is.

    Returns:
      A function of the same arguments. It raises ValueError where the devices cannot share the batch evenly.

    Raises:
      ValueError: fewer than 1 device, or more than there are.
    """
    if not 1 <= devices <= jax.device_count():
        raise ValueError(f"devices={devices}: give a number from 1 to {jax.device_count()}, the devices of this run.")
    if devices == 1:
        return f
    mesh = _mesh(devices)
    rows, all_of_it = PartitionSpec(AXIS), PartitionSpec()

    def one(*arguments):
        results, memory = f(*arguments)
        return summary(results), memory

    def whole(params, batch, memory, *others):
        _evenly(batch, devices)
        specs = (all_of_it, rows, rows, *(all_of_it for _ in others))
        mapped = jax.shard_map(one, mesh=mesh, in_specs=specs, out_specs=(all_of_it, rows), check_vma=False)
        return mapped(params, batch, memory, *others)

    return whole


def replicate(tree: Any) -> Any:
    """Replicates arrays that every process holds in full across all devices of all processes.

    With one process it returns them as they are.
    """
    if jax.process_count() == 1:
        return tree
    sharding = NamedSharding(_mesh(jax.device_count()), PartitionSpec())

    def one(leaf):
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(one, tree)


def _mesh(devices: int) -> Mesh:
    return jax.make_mesh((devices,), (AXIS,), (AxisType.Auto,), devices=jax.devices()[:devices])


def _evenly(batch: Any, devices: int) -> None:
    for leaf in jax.tree.leaves(batch):
        if not leaf.shape or leaf.shape[0] % devices:
            raise ValueError(
                f"batch has an array of shape {leaf.shape}: {devices} devices cannot share its rows evenly."
            )
