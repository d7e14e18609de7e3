"""Where arrays lie: what a loop makes by itself takes its place on a mesh of devices from the inputs.

Arrays of a mesh with Explicit axes, and those within `jax.shard_map`, have their sharding in their type. A scan's
carry must not change its type, and a product of gradients has no type where one factor lies on no mesh.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec


def beside(xs: jax.Array, weights: Any, *per_batch: Any) -> tuple[Any, ...]:
    """Weights and arrays with the batch axes of ``xs (T, *B, I)``, placed so that they can be computed with it.

    Args:
      xs: the inputs.
      weights: any tree; what lies on no mesh is copied to every device of that of `xs`.
      *per_batch: trees with leaves ``(T, *B, ...)`` or ``(*B, ...)``, each as ``(tree, number of axes before B)``;
        their batch axes are sharded as those of `xs`.

    Returns:
      ``(xs, weights, *trees)``, as they were where there is no such mesh.
    """
    trees = [tree for tree, _ in per_batch]
    mesh = jax.typeof(xs).sharding.mesh
    if mesh.manual_axes:
        return _varying((xs, weights, *trees))
    if not mesh.explicit_axes:
        return xs, weights, *trees
    batch = jax.typeof(xs).sharding.spec[1:-1]

    def copied(leaf):
        here = jax.typeof(leaf).sharding.mesh
        return leaf if here.explicit_axes else jax.sharding.reshard(leaf, NamedSharding(mesh, PartitionSpec()))

    def sharded(tree, before):
        def one(leaf):
            own = jax.typeof(leaf).sharding.spec
            spec = (*own[:before], *batch, *own[before + len(batch) :])
            return jax.sharding.reshard(leaf, NamedSharding(mesh, PartitionSpec(*spec)))

        return jax.tree.map(one, tree)

    return xs, jax.tree.map(copied, weights), *(sharded(tree, before) for tree, before in per_batch)


def may_be_sharded(a: jax.Array) -> bool:
    """Whether `a` lies on a mesh whose axes may divide it: within `jax.shard_map` it is a part, and whole by itself."""
    mesh = jax.typeof(a).sharding.mesh
    return bool(mesh.explicit_axes or mesh.auto_axes)


def sharded_as(a: jax.Array, like: jax.Array) -> jax.Array:
    """`a` with the sharding of `like`, which has its shape."""
    sharding = jax.typeof(like).sharding
    return jax.sharding.reshard(a, sharding) if sharding.mesh.explicit_axes else a


def _varying(trees: Any) -> Any:
    """All arrays varying over the mesh axes that any of them varies over: a sum with a zero of each makes them so.

    By arithmetic, because what an array varies over has no stable public name.
    """
    zero = sum((jnp.full_like(leaf, 0, jnp.float32, shape=()) for leaf in jax.tree.leaves(trees)), jnp.float32(0))

    def one(leaf):
        if leaf.dtype == bool:
            return leaf ^ (zero != 0)
        return leaf + zero.astype(leaf.dtype)

    return jax.tree.map(one, trees)
