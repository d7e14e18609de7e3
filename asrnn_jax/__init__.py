"""asrnn_jax: recurrent cells as pure functions, with memory and stability you can see and control."""

import importlib
from typing import Any

from asrnn_jax import cells, optim, orthogonal
from asrnn_jax.cell import Cell
from asrnn_jax.checks import checked
from asrnn_jax.run import run, step

# Imported when first asked for: what they need takes time to load, or may not be installed.
_LATER = ("analysis", "export", "features", "interop", "linen", "losses", "nnx", "plot", "pretrained", "streaming")

__all__ = ["Cell", "cells", "checked", "optim", "orthogonal", "run", "step"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"asrnn_jax.{name}")
    raise AttributeError(f"module 'asrnn_jax' has no attribute {name!r}.")
