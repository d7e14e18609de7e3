"""Each cell's equation, written once more as the paper writes it: a column vector h, one step, no tricks.

A row of `TABLE` is all a cell needs to be held to every law of test_laws.py. `step` maps
``(matrices, state, x)`` to ``(state, y)`` for one unbatched element.
"""

from tests.naive import gated, linear, modern, spiking, vanilla
from tests.naive import orthogonal as _orthogonal
from tests.naive.orthogonal import asrnn, orthogonal_matrix
from tests.naive.row import Row, options

__all__ = ["TABLE", "Row", "asrnn", "options", "orthogonal_matrix"]

TABLE = [*vanilla.ROWS, *_orthogonal.ROWS, *gated.ROWS, *linear.ROWS, *modern.ROWS, *spiking.ROWS]
