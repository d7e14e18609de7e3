"""Shapes in annotations: ``Float[Array, "*B T H"]`` is an array of floats, by the letters of `asrnn_jax.cell`.

Two ways to write one:

- ``Float``, ``Int``, ``Bool``, ``Complex``, ``Num`` (numbers) and ``Shaped`` (anything) for what the library makes
  itself. jaxtyping checks these where it was imported before this module, as the tests do; everywhere else nothing is
  imported and nothing is checked.
- ``Given[ArrayLike, "*B T I"]`` for what users pass. It is never checked here: the library checks it itself, and its
  messages say what to pass instead.

A blank before the first letter, as in ``" T *B"``, keeps linters from reading the string as Python.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from typing import Annotated as Given

from jax import Array

if TYPE_CHECKING or "jaxtyping" not in sys.modules:
    from typing import Annotated as Bool
    from typing import Annotated as Complex
    from typing import Annotated as Float
    from typing import Annotated as Int
    from typing import Annotated as Num
    from typing import Annotated as Shaped
else:
    from jaxtyping import Bool, Complex, Float, Int, Num, Shaped

__all__ = ["Array", "Bool", "Complex", "Float", "Given", "Int", "Num", "Shaped"]
