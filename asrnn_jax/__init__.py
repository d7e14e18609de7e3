"""asrnn_jax: recurrent cells as pure functions, with memory and stability you can see and control."""

from asrnn_jax import cells, optim, orthogonal
from asrnn_jax.cell import Cell
from asrnn_jax.run import run, step

__all__ = ["Cell", "cells", "optim", "orthogonal", "run", "step"]
__version__ = "0.1.0"
