"""Where a session is, in a file: arrays by name, what they are of, and what the model answers, to know it again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asrnn_jax import saved
from asrnn_jax.cell import Cell, PyTree, Weights
from asrnn_jax.names import named
from asrnn_jax.streaming.advance import plain

ANSWERS = "answers"  # the model's, beside the arrays


def write(
    to: str | os.PathLike | saved.Writable, where: PyTree, about: Mapping[str, Any], answers: np.ndarray, steps: int
) -> None:
    """Writes where a session is after so many steps; `about` is what a session that goes on from there must be."""
    arrays = {name: np.asarray(leaf) for name, leaf in named(where)}
    saved.write(to, arrays | {ANSWERS: answers}, {**about, "steps": steps})


def read(
    source: str | os.PathLike | saved.Readable, where: PyTree, about: Mapping[str, Any], answers: np.ndarray, dtype: Any
) -> tuple[PyTree, int]:
    """The place that was written, a tree like `where`, and its steps.

    Raises:
      ValueError: a file that is about another session, whose model answers otherwise (in `dtype`), or that is damaged.
    """
    arrays, theirs = saved.read(source, "saved session")
    name = source if isinstance(source, (str, os.PathLike)) else "the file"
    for what, mine in about.items():
        if theirs.get(what) != mine:
            raise ValueError(f"{name} was saved with {what} {theirs.get(what)!r}, this session has {mine!r}.")
    said = arrays.pop(ANSWERS, np.zeros(0))
    leaves = {key: np.asarray(leaf) for key, leaf in named(where)}
    if _kinds(arrays) != _kinds(leaves):
        raise ValueError(f"{name} holds arrays of other shapes than this session's: it is of another model.")
    if said.shape != answers.shape or not np.allclose(said, answers, rtol=0, atol=_near(answers, dtype)):
        raise ValueError(f"{name} was saved with another model: it answers differently to the same inputs.")
    return jax.tree.unflatten(jax.tree.structure(where), [arrays[key] for key in leaves]), int(theirs["steps"])


def answers(cell: Cell, weights: Weights, dtype: Any) -> np.ndarray:
    """What the model says to a few fixed inputs: unlike a hash of its weights, the same from params and from prepared
    weights and nearly so on all machines, and not the same for a cell with other options."""
    xs = np.random.default_rng(0).normal(size=(4, cell.inputs)).astype(dtype)
    found = plain(cell)(weights, cell.start(weights, (), dtype), xs)
    parts = [part for leaf in jax.tree.leaves(found) for part in (leaf.real, leaf.imag)]
    return np.concatenate([np.asarray(part).astype(np.float64).ravel() for part in parts])


def _near(answers: np.ndarray, dtype: Any) -> float:
    return 100 * float(jnp.finfo(dtype).eps) * max(1.0, float(np.abs(answers).max(initial=0)))


def _kinds(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}
