"""asrnn_jax: recurrent cells as pure functions, with memory and stability you can see and control.

    >>> import jax, jax.numpy as jnp, asrnn_jax
    >>> cell = asrnn_jax.cells.asrnn(inputs=1, hidden=8)  # a record of pure functions
    >>> params = cell.init(jax.random.key(0))  # a dict of arrays: what is trained
    >>> xs = jnp.ones((4, 20, 1))  # (batch, time, inputs)
    >>> carry, ys = asrnn_jax.run(cell, params, xs)
    >>> weights = cell.prepare(params)  # the expensive part, once
    >>> carry, y = asrnn_jax.step(cell, weights, carry, xs[:, 0])  # one step more
    >>> grads = jax.grad(lambda p: asrnn_jax.run(cell, p, xs, outputs="last")[1].sum())(params)
    >>> ys.shape, y.shape, sorted(grads) == sorted(params)
    ((4, 20, 8), (4, 8), True)

## Guides

Each module begins with a guide to its subject:

| you want to                                          | read                                               |
| ---------------------------------------------------- | -------------------------------------------------- |
| choose a cell, or build a model from several         | `asrnn_jax.cells`                                  |
| know what a cell is made of                          | `asrnn_jax.cell`                                   |
| use masks, lengths and resets                        | `asrnn_jax.run`                                    |
| make it fast, or save memory                         | `asrnn_jax.loop`                                   |
| use a cell in a Flax model, or weights from PyTorch  | `asrnn_jax.linen`, `asrnn_jax.nnx`, `asrnn_jax.interop` |
| train orthogonal parameters                          | `asrnn_jax.orthogonal`, `asrnn_jax.optim`          |
| look inside a network, and draw what you see         | `asrnn_jax.analysis`, `asrnn_jax.plot`             |
| run on a stream that never ends                      | `asrnn_jax.streaming`, `asrnn_jax.losses`          |
| see whether it is worth it on your own data          | `asrnn_jax.pilot`, `asrnn_jax.estimators`          |
| use a trained network                                | `asrnn_jax.pretrained`, `asrnn_jax.features`       |
| take a network to where it runs                      | `asrnn_jax.export`                                 |
| know whether a model needs resets                    | `asrnn_jax.audit`                                  |
| train on copying memory or the adding problem        | `asrnn_jax.tasks`                                  |
| share a batch among devices                          | `asrnn_jax.parallel`                               |
| find out where a NaN comes from                      | `asrnn_jax.checks`                                 |
| know what a saved file promises                      | `asrnn_jax.saved`                                  |

The papers' runs are commands of a second package, `experiments`, which needs a checkout of the repository.

## Versions and systems

|        | oldest | newest tested | every change is tested on                                               |
| ------ | ------ | ------------- | ----------------------------------------------------------------------- |
| Python | 3.11   | 3.13          | 3.11 (whole suite), 3.13 (laws, adapters, export, documentation, wheel) |
| jax    | 0.10.2 | 0.12.0.1      | 0.10.2 with Python 3.11, 0.12.0.1 with Python 3.13                      |
| flax   | 0.12.8 | 0.12.12       | 0.12.8 with jax 0.10.2, 0.12.12 with jax 0.12.0.1                       |
| NumPy  | 2.0    | 2.5           | 2.4 with Python 3.11, 2.5 with Python 3.13                              |

**Policy.** There are no upper bounds. You can install a newer jax beside the library; what then breaks is repaired in
the next release. A Python version is supported for three years after its release and a NumPy version for two, as in
SPEC 0 of the scientific Python packages; a jax or flax version for one year. Support lasts longer where it costs
nothing, as for Python 3.11 now. Only a minor release (0.1 to 0.2) raises an oldest version, and the changelog says
so.

**Known gaps.** flax 0.12.8 with jax 0.11.1 or later has no nnx: importing `asrnn_jax.nnx` says so, and linen works.
jax 0.11.2 with flax 0.12.12 was tried by hand (export and nnx only). Python 3.12 and 3.14 should work and were not
tried. The newest versions are as fast as the oldest, or faster: ``experiments/results/bench/versions.md``.

**Systems.** Linux on x86-64 is tested. One NVIDIA H200 was measured; TPUs, other GPUs and several accelerators at
once were not (`make accelerator` measures yours). On macOS the library leaves out what only Linux has (the number of
cores a process may use, allocator settings, resident memory). A test simulates that; nobody has run the suite there.
Windows is not supported: the runs of `experiments` would not lock their folders. Use WSL.

## Deprecations

This holds from the first release on. Public is what the documentation site shows: every name in the `__all__` of a
public module, and every name without a leading underscore in a public module that has no `__all__`.

- A public name or argument that is renamed or removed works for at least one more minor release. In that time its use
  gives a `DeprecationWarning` that names the replacement.
- A change of a default or of a result that is not a correction is announced in the same way.
- A correction of a wrong result is made at once, and the changelog says what changes.
- Files that a version wrote are read by the following minor release, or refused with a message that says what to do.
- Every such change has a line in the changelog under "Deprecated", "Changed" or "Removed".
"""

import importlib
from typing import Any

from asrnn_jax import cells, optim, orthogonal
from asrnn_jax.cell import Cell
from asrnn_jax.checks import checked
from asrnn_jax.run import run, step

# Imported when first asked for: what they need takes time to load, or may not be installed.
_LATER = (
    *("analysis", "audit", "estimators", "export", "features", "interop", "linen", "losses", "nnx", "parallel"),
    *("pilot", "plot", "pretrained", "streaming", "tasks"),
)

__all__ = ["Cell", "cells", "checked", "optim", "orthogonal", "run", "step"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"asrnn_jax.{name}")
    raise AttributeError(f"module 'asrnn_jax' has no attribute {name!r}.")
