"""The record that every cell is, and the groups of its optional fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp

from asrnn_jax.made import Made

PyTree = Any
"""Any tree of arrays."""
Shape = tuple[Any, ...]
"""Of ints, or of the symbolic dimensions of `jax.export`."""
Params = Mapping[str, Any]
"""What is trained: always a dict (or FrozenDict), which may hold dicts."""
Weights = PyTree
"""What `Cell.prepare` makes of params: any tree that is not a dict."""
Carry = PyTree
"""What the loop keeps from step to step: leaves ``(*B, ...)``."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Units:
    """What a group of units does at a step, for `asrnn_jax.analysis.saturation`."""

    kind: Literal["tanh", "gate", "relu", "spike"] = field(metadata={"static": True})
    """The nonlinearity. Its range is [-1, 1], [0, 1] (a sigmoid), any number with 0 for closed, and {0, 1}."""
    value: jax.Array
    """``(..., H)``, what came out of it."""


@dataclass(frozen=True)
class Gradient:
    """How the backward pass goes through a step.

    The default is right for every cell that can be differentiated: z and a are computed again, which for a dense cell
    is one more matrix product, and `Cell.update` is differentiated by `jax.vjp`, which evaluates it again. `keep` and
    `pullback` save that work; the laws compare them with the default.
    """

    keep: Callable[[PyTree, PyTree], PyTree] | None = None
    """``(z, a) -> kept``: what of each step is kept for the backward pass, for example activated gates.

    `None` keeps nothing but the carry.
    """
    pullback: Callable[..., tuple[Carry, PyTree, PyTree]] | None = None
    """``(prev, carry, kept, ct) -> (d_prev, d_z, d_a)``: the vector-Jacobian product of `Cell.update`.

    ``kept`` is what `keep` returned, ``(z, a)`` where that is `None`. For cells whose derivative follows from the new
    carry alone (tanh), or from their activated gates.
    """
    differentiable: bool = True
    """Whether a step has a derivative; False for spikes, which have a surrogate's."""


def _same(weights: Weights, tree: PyTree) -> PyTree:
    return tree


@dataclass(frozen=True)
class Coordinates:
    """How what the loop keeps and the state of the paper follow from each other; by default they are the same."""

    to_state: Callable[[Weights, Carry], PyTree] = _same
    """``(weights, carry) -> state``."""
    to_carry: Callable[[Weights, PyTree], Carry] = _same
    """``(weights, state) -> carry``, the inverse of `to_state`."""
    linear_readout: bool = False
    """Whether the carry is one array ``(*B, H)`` and `Cell.readout` one matrix times it, so that a linear layer
    behind the cell can be multiplied with it once (see `asrnn_jax.cells.with_output`)."""


@dataclass(frozen=True)
class Training:
    """What training can do with a cell besides following its gradient."""

    start: Callable[..., Carry] | None = None
    """``(weights, batch_shape, dtype) -> carry`` where the start is trained; `None`: it is `Cell.initial_carry`."""
    rebase: Callable[[Params, Any], Params] | None = None
    """``(params, project) -> params`` with the same weights and the skew parameters back at zero.

    Only cells with a dynamic base have it, see `asrnn_jax.optim.rebase`. `project` (bool) also sends the base to the
    nearest orthogonal matrix.
    """


@dataclass(frozen=True)
class Composition:
    """How a cell is made of cells; made by `asrnn_jax.cells.composite.composite`."""

    parts: tuple[Cell, ...]
    """The cells that it is made of."""
    apply_parts: Callable[..., tuple[Carry, jax.Array]]
    """``(run_part, weights, carry, xs, key) -> (carry, ys)``: how data go through them."""
    both_directions: bool = False
    """Whether ys at a step also depend on later steps."""
    dropout: bool = False
    """Whether `asrnn_jax.run` drops anything when it is given a `key`."""


@dataclass(frozen=True, eq=False, repr=False)
class Cell(Made):
    """A recurrent cell: pure functions on pytrees, made by a factory of `asrnn_jax.cells`.

    Every function works on any number of leading axes (batch, or time and batch), so the same
    code serves one step and a whole sequence. Carry leaves have shape ``(*B, ...)``.

    The fields up to `readout` are what the author of a cell gives. Those after it have defaults, which are right for a
    dense cell; they make more possible, or make it faster.

    A cell is a static argument of jitted functions. Cells that a factory made of equal arguments are equal, have one
    hash and can be pickled; any other cell equals only itself.
    """

    name: str
    inputs: int
    """I, size of one input ``x``."""
    hidden: int
    """H, number of hidden units."""
    outputs: int
    """O, size of one output ``y``."""
    init: Callable[[jax.Array], Params]
    """``key -> params``. Params are a (nested) dict of arrays."""
    prepare: Callable[[Params], Weights]
    """``params -> weights``, once a call. Weights are any pytree that is not a dict."""
    initial_carry: Callable[..., Carry]
    """``(batch_shape=(), dtype=float32) -> carry`` with leaves ``(*batch_shape, ...)``."""
    project: Callable[[Weights, jax.Array], PyTree]
    """``(weights, xs (..., I)) -> zs``, leaves ``(..., k)``."""
    mix: Callable[[Weights, Carry], PyTree]
    """``(weights, carry) -> a``: the part of the step that uses trained weights."""
    update: Callable[[Carry, PyTree, PyTree], Carry]
    """``(carry, z, a) -> carry``: the rest of the step; uses no weights."""
    readout: Callable[[Weights, Carry, jax.Array], jax.Array]
    """``(weights, carries, xs) -> ys (..., O)``."""
    gradient: Gradient = Gradient()
    """A backward pass that is faster than the default, or the word that there is no derivative."""
    coordinates: Coordinates = Coordinates()
    """The state of the paper, where the loop keeps something else."""
    training: Training = Training()
    """A trained start, a dynamic base."""
    elements: Callable[[Weights, PyTree], PyTree] | None = None
    """``(weights, zs (T, *B, ...)) -> elements``: what each step does to the carry, for linear cells.

    An element is ``(decay, drive)``, both like the carry: ``carry = decay * carry + drive``.
    """
    chunk: Callable[..., tuple[Carry, jax.Array]] | None = None
    """``(weights, carry, xs (T, *B, I), steps) -> (carry, ys (T, *B, O))``: many steps as a few products.

    For cells whose state is large beside what goes in, and whose initial carry is 0; `steps` are
    `asrnn_jax.loop.Steps`. `None`: step by step.
    """
    chunk_size: int = 64
    """Steps that `chunk` takes at once on a CPU."""
    chunk_size_accelerator: int = 64
    """The same on accelerators, where each trip through the loop costs, and products of larger matrices less."""
    chunk_flags: bool = True
    """Whether `chunk` knows masks and resets; where it does not, sequences that have them go step by step."""
    activity: Callable[[PyTree, PyTree, Carry], dict[str, Units]] | None = None
    """``(z, a, carry) -> {name: Units}``: what its nonlinearities gave in the step that ended in `carry`.

    For looking inside. `None` for a cell without nonlinearity in its state, and for composites, whose parts have it.
    """
    composition: Composition | None = None
    """Of which cells it is made, and how; `None`: of none."""

    def __repr__(self) -> str:
        return f"Cell({self.name}, inputs={self.inputs}, hidden={self.hidden}, outputs={self.outputs})"

    def replace(self, **changes: Any) -> Cell:
        """The cell with other functions, groups or sizes, by name."""
        return dataclasses.replace(self, **{"made_by": None, **changes})

    def step(self, weights: Weights, carry: Carry, z: PyTree) -> Carry:
        """One step of the loop: ``(weights, carry, z) -> carry``."""
        return self.update(carry, z, self.mix(weights, carry))

    def start(self, weights: Weights, batch_shape: Shape = (), dtype: Any = jnp.float32) -> Carry:
        """The carry a sequence starts from: the trained one, else `initial_carry`."""
        if self.training.start is None:
            return self.initial_carry(batch_shape, dtype)
        return self.training.start(weights, batch_shape, dtype)

    def to_state(self, weights: Weights, carry: Carry) -> PyTree:
        """From what the loop keeps to the state of the paper."""
        return self.coordinates.to_state(weights, carry)

    def to_carry(self, weights: Weights, state: PyTree) -> Carry:
        """From the state of the paper to what the loop keeps, the inverse of `to_state`."""
        return self.coordinates.to_carry(weights, state)

    @property
    def parts(self) -> tuple[Cell, ...]:
        """The cells that a cell is made of; () for one that is made of none."""
        return () if self.composition is None else self.composition.parts

    @property
    def both_directions(self) -> bool:
        """Whether ys at a step also depend on later steps."""
        return self.composition is not None and self.composition.both_directions

    @property
    def dropout(self) -> bool:
        """Whether `asrnn_jax.run` drops anything when it is given a `key`."""
        return self.composition is not None and self.composition.dropout
