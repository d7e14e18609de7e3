"""Trained networks by name: small files beside this module, each with its card.

    >>> import numpy as np, asrnn_jax
    >>> from asrnn_jax import features, pretrained
    >>> pretrained.names()
    ('copy-asrnn', 'fashion-asrnn', 'fashion-gru', 'fashion-lstm', 'keyword-asrnn', 'keyword-gru', 'keyword-lstm',
     'pmnist-asrnn', 'smnist-asrnn', 'voice-gru')
    >>> model, params, card = pretrained.load("keyword-asrnn")  # spoken digits on an endless stream, never reset
    >>> sound, rate = np.zeros(4000, "float32"), 8000  # or features.read_wav("seven.wav")
    >>> xs = features.of(card)(sound, rate)  # log-mel bands every 16 ms, as in training
    >>> _, logits = asrnn_jax.run(model, params, xs, outputs="last")
    >>> label = card["labels"][logits.argmax()]

On a stream, push the same features into ``asrnn_jax.streaming.Session(model, params)``, chunk after chunk: the
network says "don't know" in silence. It also classifies single recordings, whole and from a fresh state:
keyword-asrnn 94.0 % of the 300 test files.

voice-gru says of every 16 ms whether somebody speaks: its one output is then above 0. Digits of six speakers are not
the world: its card says what it was not tested on, ``experiments/results/audit`` how it runs for an hour.

**What a file has.** Each is smaller than 1 MB and has a hash and a card: task, features, labels, recipe, result, date
and versions. `asrnn_jax.features.of` makes of a card the function that turns sound, images or symbols into what the
network was trained on.

**Numbers again.** ``python -m experiments evaluate --pretrained NAME --data-dir FOLDER`` measures the card's numbers
once more. What noise, gaps and narrow weights do to these networks: ``experiments/results/robustness``.

**Your own.** `save` writes such a file; ``python -m experiments save runs/NAME --name mine --to .`` makes one of a
run.
"""

from __future__ import annotations

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
from asrnn_jax.names import named

__all__ = ["card", "load", "names", "save"]

FORMAT = 3
READ = (2, FORMAT)
SUFFIX = ".safetensors"


def names() -> tuple[str, ...]:
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
      ValueError: an unknown name; a file that is damaged (its SHA-256 does not fit), of another version of this
        library, or whose arrays are not the params of its network; float64 where JAX has none.
      OSError: it cannot be read.

    Example:
      >>> from asrnn_jax import pretrained
      >>> for name in pretrained.names():
      ...     model, params, card = pretrained.load(name)
    """
    path, arrays, card = _read(name)
    try:
        model = network(**card["network"])
        like = jax.eval_shape(model.init, jax.random.key(0))
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError) as e:
        raise ValueError(f"{path} is of a network that this version cannot make ({e}): update asrnn_jax.") from e
    if wrong := _differs(like, arrays):
        raise ValueError(f"{path} does not hold the params of its network: {wrong}.")
    leaves = [jnp.asarray(arrays[name]) for name, _ in named(like)]
    for (name, _), leaf in zip(named(like), leaves):
        if leaf.dtype != arrays[name].dtype:
            raise ValueError(
                f"{path}: {name} is {arrays[name].dtype}, which JAX would make {leaf.dtype}: call "
                "jax.config.update('jax_enable_x64', True) first."
            )
    return model, jax.tree.unflatten(jax.tree.structure(like), leaves), card


def card(name: str | os.PathLike) -> dict[str, Any]:
    """The card of a trained network alone: nothing is put on a device, and JAX is not started.

    Args:
      name: as for `load`.

    Raises:
      ValueError, OSError: as `load`, of the file.

    Example:
      >>> from asrnn_jax import pretrained
      >>> pretrained.card("keyword-gru")["network"]["cell"]
      'gru'
    """
    return _read(name)[2]


def _read(name: str | os.PathLike) -> tuple[Path, dict[str, np.ndarray], dict[str, Any]]:
    """The path, the arrays and the card."""
    path = Path(name)
    if path.suffix not in (SUFFIX, ".npz"):  # what earlier versions wrote, which `saved.read` says
        if str(name) not in names():
            raise ValueError(
                f"name={str(name)!r}: there is {', '.join(names()) or 'none'}; or give the path of a file."
            )
        path = Path(str(resources.files(__name__) / f"{name}{SUFFIX}"))
    arrays, card = saved.read(path, "trained network")
    if card.get("format") not in READ:
        raise ValueError(
            f"{path} has format {card.get('format')!r}, this version reads {READ}: use the version that wrote it."
        )
    try:
        return path, arrays, card | {"network": _current(card)}
    except (KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"{path} is of a network that this version cannot make ({e}): update asrnn_jax.") from e


def _current(card: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a network as this version has them."""
    arguments = card["network"]
    if card["format"] == 2 and arguments["options"].get("saturation") == "bounded":
        return arguments | {"options": {"kappa": 10.0, "gain": 1.0} | arguments["options"]}
    return arguments


def save(path: str | os.PathLike, arguments: dict[str, Any], params: Params, card: dict[str, Any]) -> None:
    """Writes a trained network to a file, whole or not at all.

    Args:
      path: ends in .safetensors.
      arguments: of `asrnn_jax.cells.network`, JSON values.
      params: of that network, in any floating-point types.
      card: JSON values: whatever a user should know of it.

    Raises:
      ValueError: another ending; params of another network.
      OSError: it cannot be written.
    """
    if Path(path).suffix != SUFFIX:
        raise ValueError(f"path={str(path)!r}: give one that ends in {SUFFIX}.")
    like = jax.eval_shape(network(**arguments).init, jax.random.key(0))
    arrays = {name: np.asarray(leaf) for name, leaf in named(params)}
    if wrong := _differs(like, arrays):
        raise ValueError(f"params are not those of network(**{arguments}): {wrong}.")
    saved.write(path, arrays, card | {"format": FORMAT, "network": arguments})


def _differs(like: Params, arrays: dict[str, np.ndarray]) -> str:
    """What is wrong with arrays that should be params of these shapes, all floating-point; "" if nothing is."""
    needed = {name: leaf.shape for name, leaf in named(like)}
    for name in sorted(needed.keys() | arrays.keys()):
        there = arrays[name].shape if name in arrays else "nothing"
        if needed.get(name, "nothing") != there:
            return f"{name}: {needed.get(name, 'nothing')} is needed, {there} is there"
        if not jnp.issubdtype(arrays[name].dtype, jnp.floating):
            return f"{name} has dtype {arrays[name].dtype}, no floating-point type"
    return ""
