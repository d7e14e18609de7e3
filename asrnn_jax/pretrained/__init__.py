"""Trained networks by name: small files beside this one, each with its card."""

from __future__ import annotations

import builtins
import itertools
import os
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import saved
from asrnn_jax.cell import Cell, Params
from asrnn_jax.cells import network

FORMAT = 1
SUFFIX = ".npz"


def list() -> tuple[str, ...]:
    """The names of the networks that come with the package."""
    names = (file.name for file in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def load(name: str | os.PathLike) -> tuple[Cell, Params, dict[str, Any]]:
    """A trained network: the model, its params, and its card.

    Args:
      name: one of `list`, or the path of a file that `save` wrote.

    Returns:
      ``(model, params, card)``; the card says of which task, data and recipe they are, with what test result, when
      they were made and by which versions.

    Raises:
      ValueError: an unknown name; a file that is damaged (its SHA-256 does not fit), of a later version of this
        library, or whose arrays are not the params of its network.
      OSError: it cannot be read.

    Example:
      >>> from asrnn_jax import pretrained
      >>> for name in pretrained.list():
      ...     model, params, card = pretrained.load(name)
    """
    path = Path(name)
    if path.suffix != SUFFIX:
        if str(name) not in list():
            raise ValueError(f"name={str(name)!r}: there is {', '.join(list()) or 'none'}; or give the path of a file.")
        path = Path(str(resources.files(__name__) / f"{name}{SUFFIX}"))
    arrays, card = saved.read(path, "trained network")
    if card.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {card.get('format')!r}, this version reads {FORMAT}: use the version that wrote it."
        )
    names = card.get("names")
    if not isinstance(names, builtins.list) or len(names) != len(arrays):
        raise ValueError(f"{path} does not hold the params of its network: {len(arrays)} arrays, named {names!r}.")
    try:
        model = network(**card["network"])
        like = jax.eval_shape(model.init, jax.random.key(0))
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError) as e:
        raise ValueError(f"{path} is of a network that this version cannot make ({e}): update asrnn_jax.") from e
    leaves = [(name, leaf.shape, str(leaf.dtype)) for name, leaf in named(like)]
    found = [(name, array.shape, str(array.dtype)) for name, array in zip(names, arrays)]
    if leaves != found:
        pairs = itertools.zip_longest(leaves, found, fillvalue="nothing")
        needed, there = next(pair for pair in pairs if pair[0] != pair[1])
        raise ValueError(f"{path} does not hold the params of its network: {needed} is needed, {there} is there.")
    return model, jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(array) for array in arrays]), card


def save(path: str | os.PathLike, arguments: dict[str, Any], params: Params, card: dict[str, Any]) -> None:
    """Writes a trained network to a file, whole or not at all.

    Args:
      path: ends in .npz.
      arguments: of `asrnn_jax.cells.network`, JSON values.
      params: of that network.
      card: JSON values: whatever a user should know of it.

    Raises:
      ValueError: another ending; params of another network.
      OSError: it cannot be written.
    """
    if Path(path).suffix != SUFFIX:
        raise ValueError(f"path={str(path)!r}: give one that ends in {SUFFIX}.")
    like = jax.eval_shape(network(**arguments).init, jax.random.key(0))
    leaves = named(params)
    if [(n, leaf.shape) for n, leaf in named(like)] != [(n, np.shape(leaf)) for n, leaf in leaves]:
        raise ValueError(f"params are not those of network(**{arguments}).")
    about = card | {"format": FORMAT, "network": arguments, "names": [name for name, _ in leaves]}
    saved.write(path, [np.asarray(leaf) for _, leaf in leaves], about)


def named(tree: Any) -> Any:
    """The leaves of any tree with their paths as names."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]
