"""The networks of never-reset by name: cells as they are, or in blocks as their papers use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asrnn_jax.cells import CELLS
from experiments.config import Model
from experiments.errors import unknown

BLOCKS: dict[str, Any] = {"residual": True, "layers": 2}
MODERN = ("s6", "mlstm", "gated_delta", "attention", "hybrid")
RECIPES: dict[str, dict[str, Any]] = {
    "lru": BLOCKS,
    "s6": {**BLOCKS, "convolution": 4},
    "mlstm": {**BLOCKS, "convolution": 4, "options": {"heads": 4}},
    "gated_delta": {**BLOCKS, "convolution": 4, "options": {"heads": 4}},
    "attention": {**BLOCKS, "options": {"heads": 4}},
    "hybrid": {"cell": "rg_lru", "residual": True, "layers": 3, "convolution": 4, "attention_every": 3},  # Griffin's
}
"""What a network has besides the name of its cell and half as many units."""
HALF = "two residual blocks of half as many units"
SAID = {
    "lru": HALF,
    "s6": f"{HALF}, with a short convolution before the cell",
    "mlstm": f"{HALF}, with a short convolution before the cell and four heads",
    "gated_delta": f"{HALF}, with a short convolution before the cell and four heads",
    "attention": f"{HALF}, with four heads and a window of 32 steps",
    "hybrid": "three residual blocks of half as many units, rg_lru twice and attention",
}


def model(name: str, hidden: int) -> Model:
    """The network of this name.

    Raises:
      UsageError: no such name.
    """
    if name in RECIPES:
        return Model(**{"cell": name, "hidden": max(1, hidden // 2), **RECIPES[name]})
    if name not in CELLS:
        raise unknown("--cells", name, (*CELLS, *RECIPES))
    return Model(name, hidden)


def said(names: Sequence[str]) -> list[str]:
    """Sentences about those of these networks that are more than a cell."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name in SAID:
            found.setdefault(SAID[name], []).append(name)
    return [f"{', '.join(same)}: {text}." for text, same in found.items()]
