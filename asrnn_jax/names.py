"""The leaves of a tree by name: ``"layers_0.cell.W_hh"`` is where messages, files and partitions find one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def named(tree: Any) -> list[tuple[str, Any]]:
    """The leaves of any tree with their paths as names, in the order of `jax.tree.leaves`."""
    leaves = jax.tree.leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]


def shapes(tree: Any) -> dict[str, tuple[Any, ...]]:
    """The shape of each leaf by its name."""
    return {name: jnp.shape(leaf) for name, leaf in named(tree)}
