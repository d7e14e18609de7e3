"""The contract of a recurrent cell: a record of pure functions, evaluated in phases: prepare, project, step, readout.

Legend of dimension letters used in every docstring and annotation:

    B batch (any number of leading axes)    T time    I inputs    H hidden (the paper's n)    O outputs

A cell is evaluated as

    weights = cell.prepare(params)               once a call: solves, matrix products, nothing inside the scan
    zs      = cell.project(weights, xs)          all time at once: what does not depend on the carry
    carry   = cell.step(weights, carry, z)       one step: the only sequential part
    ys      = cell.readout(weights, carries, xs) all time at once

The step itself is ``update(carry, z, mix(weights, carry))``. `mix` is everything in a step that touches
trained weights (for a dense cell: one matrix product), `update` touches none. This split is what lets
`asrnn_jax.run` compute the gradient of all weights as one product over all time, for every cell.

The author of a cell gives eleven fields of `Cell`: three sizes, a name and seven functions. The others have defaults;
what they are for is said by their names:

| field         | group         | who gives it                                                                    |
| ------------- | ------------- | ------------------------------------------------------------------------------- |
| `gradient`    | `Gradient`    | cells whose derivative is cheaper than `jax.vjp` finds it, and spiking ones     |
| `coordinates` | `Coordinates` | cells whose loop keeps something else than the paper's state (asRNN)            |
| `training`    | `Training`    | cells with a trained start or a dynamic base                                    |
| `elements`    |               | linear cells, for the associative scan                                          |
| `activity`    |               | cells with nonlinear units that `asrnn_jax.analysis.saturation` is to look at   |
| `composition` | `Composition` | cells made of cells, see `asrnn_jax.cells.stack`                                |
"""

from asrnn_jax.cell.arguments import as_inputs, as_numbers, as_weights, check_carry, check_cell, check_key
from asrnn_jax.cell.contract import (
    Carry,
    Cell,
    Composition,
    Coordinates,
    Gradient,
    Params,
    PyTree,
    Shape,
    Training,
    Units,
    Weights,
)
from asrnn_jax.cell.factory import factory

__all__ = ["Cell", "factory"]
__all__ += ["Composition", "Coordinates", "Gradient", "Training", "Units"]
__all__ += ["Carry", "Params", "PyTree", "Shape", "Weights"]
__all__ += ["as_inputs", "as_numbers", "as_weights", "check_carry", "check_cell", "check_key"]
