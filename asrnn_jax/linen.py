"""The cells as flax.linen modules: one class for a step, one for a sequence, both for every cell.

    >>> import flax.linen as nn, jax, jax.numpy as jnp, asrnn_jax.linen
    >>> class Classifier(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, xs, lengths):
    ...         cell = asrnn_jax.cells.asrnn(inputs=3, hidden=16)
    ...         _, y = asrnn_jax.linen.RNN(cell)(xs, lengths=lengths, outputs="last")
    ...         return nn.Dense(10)(y)
    >>> xs, lengths = jnp.ones((4, 20, 3)), jnp.array([20, 7, 1, 0])
    >>> variables = Classifier().init(jax.random.key(0), xs, lengths)
    >>> Classifier().apply(variables, xs, lengths).shape
    (4, 10)

**Which class.** `RNN` takes a whole sequence and all options of `asrnn_jax.run`. It prepares the weights once a
sequence. `RNNCell` is one step, for flax's own `RNN` and `Bidirectional`; it prepares the weights at every step and
is much slower.

**Parameters.** A module's parameters are the cell's own params, nothing added. ``{"params": params}`` turns params of
`asrnn_jax.run` into variables of a module, and ``variables["params"]`` turns them back. (Where they were made with a
`partition`, apply ``flax.linen.unbox`` first.) So params move freely between functions, linen and nnx.

**Dropout** is switched as flax's own is, by ``deterministic`` and an rng named "dropout".

**Meshes.** ``partition={"W_xh": (None, "model")}`` gives params the names of mesh axes.

`RNN` stands in for `flax.linen.RNN` of a flax cell, also inside `flax.linen.Bidirectional`. It differs in two ways,
as `asrnn_jax.run` does: it returns ``(carry, ys)``, and it keeps ``ys`` in the order of ``xs`` unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from flax.linen.recurrent import flip_sequences
from jax.typing import ArrayLike

import asrnn_jax
from asrnn_jax.cell import Cell, Params, PyTree, as_weights
from asrnn_jax.dtypes import cast
from asrnn_jax.names import named

__all__ = ["RNN", "RNNCell"]

Partition = Mapping[str, Any] | Callable[[str, Any], Any]
FLAX_NAMES = {"initial_carry": "carry", "seq_lengths": "lengths"}


class RNNCell(nn.RNNCellBase):
    """One step of `cell`, for code that loops itself; works in `flax.linen.RNN`.

    A loop around it prepares the weights every step. `RNN` prepares them once a sequence: the gradient of an asRNN
    (H = 122, 100 steps, CPU) was seen to take a thirtieth of the time.

    Attributes:
      cell: made by a factory of `asrnn_jax.cells`.
      dtype: compute in this dtype; by default the promoted dtype of carry, input and params.
      partition: as of `RNN`.

    One step has no dropout; `RNN` has.
    """

    cell: Cell
    dtype: Any = None
    partition: Partition = FrozenDict()

    @nn.compact
    def __call__(self, carry: PyTree, x: ArrayLike, **options: Any) -> tuple[PyTree, jax.Array]:
        """``(carry, y)`` after one input ``x (*B, I)``; `options` and errors are those of `asrnn_jax.step`."""
        params = _params(self, self.cell, self.partition)
        return step_in_dtype(self.cell, params, carry, x, self.dtype, **options)

    @nn.nowrap
    def initialize_carry(self, rng: Any, input_shape: tuple[int, ...]) -> PyTree:
        """The carry a sequence starts from for inputs of shape ``(*B, I)``, in the dtype of the params.

        It is not random: `rng` is not used. A trained start is one of the params: it needs a bound module, for example
        one in a `flax.linen.RNN`, or ``module.apply(variables, rng, input_shape, method="initialize_carry")``.
        """
        params = None if self.scope is None else nn.unbox(self.variables.get("params"))
        return start(self.cell, params, input_shape[:-1], self.dtype)

    @property
    def num_feature_axes(self) -> int:
        return 1


class RNN(nn.Module):
    """`cell` over a sequence, by `asrnn_jax.run`.

    Attributes:
      cell: made by a factory of `asrnn_jax.cells`.
      dtype: compute in this dtype, see `asrnn_jax.run`.
      return_carry: False returns only ``ys``, for example inside `flax.linen.Sequential`.
      deterministic: True: without dropout; False: with, and an error without the rng "dropout"; None: with dropout
        where ``apply`` was given that rng.
      partition: names of mesh axes for params, as `flax.linen.with_partitioning` gives them to others:
        ``{"W_hh.skew": (None, "model"), ...}``, or a function ``(name, array) -> names`` with None for those that have
        none. In place of names a function may box the array: ``partial(nn.LogicallyPartitioned, names=...)``.
      options: what `__call__` takes by default, for example ``{"time_major": True, "outputs": "last"}``.
    """

    cell: Cell
    dtype: Any = None
    return_carry: bool = True
    deterministic: bool | None = None
    partition: Partition = FrozenDict()
    options: Mapping[str, Any] = FrozenDict()

    @nn.compact
    def __call__(
        self, xs: ArrayLike, *, init_key: Any = None, deterministic: bool | None = None, **options: Any
    ) -> Any:
        """``(carry, ys)`` of `asrnn_jax.run`.

        Args:
          xs: inputs ``(*B, T, I)``, or ``(T, *B, I)`` with ``time_major=True``.
          deterministic: in place of the module's.
          init_key: not used, the initial carry is not random; `flax.linen.Bidirectional` passes it.
          **options: those of `asrnn_jax.run` (``carry``, ``lengths``, ``mask``, ``reset``, ``reverse``, ...), and
            flax's: ``initial_carry`` and ``seq_lengths`` are names of ``carry`` and ``lengths``;
            ``return_carry=False`` returns only ``ys``; ``keep_order=False`` returns the ``ys`` of a reversed run in
            the order in which they were computed. None leaves an option as the module was made.

        The ``key`` of `asrnn_jax.run` is by default taken from the rng "dropout", where ``apply`` was given one.

        Raises:
          TypeError, ValueError: as `asrnn_jax.run`; an option under both its names; a `partition` that does not fit.
          flax.errors.InvalidRngError: ``deterministic=False`` for a cell with dropout, and no rng "dropout".
        """
        params = _params(self, self.cell, self.partition)
        if deterministic is None:
            deterministic = self.deterministic
        if deterministic:
            options["key"] = None
        elif options.get("key") is None and (self.has_rng("dropout") or (deterministic is False and self.cell.dropout)):
            options["key"] = self.make_rng("dropout")
        made = {"dtype": self.dtype, "return_carry": self.return_carry, **self.options}
        return run_with_flax_names(self.cell, params, xs, made, options)


def _params(module: nn.Module, cell: Cell, partition: Partition) -> Params:
    """The module's params, out of their boxes; those `cell.init` makes when there are none yet, in theirs."""
    params = module.variables.get("params")
    if params:
        return nn.unbox(dict(params))  # `as_weights` compares them with the cell
    if module.is_mutable_collection("params"):
        made = cell.init(module.make_rng("params"))
    else:
        made = jax.eval_shape(cell.init, jax.random.key(0))  # only names: flax says that the first is missing
    made = annotated(made, partition, _box)
    return {name: module.param(name, lambda _, value=value: value) for name, value in made.items()}


def _box(value: Any, names: Any) -> Any:
    return names(value) if callable(names) else nn.Partitioned(value, names)


def annotated(params: Params, partition: Partition, box: Callable[[Any, Any], Any]) -> Params:
    """Params with ``box(leaf, names)`` in the place of every leaf that `partition` has names for.

    Raises:
      ValueError: a name that no param has, names for another number of axes.
    """
    found = dict(named(dict(params)))
    names_of = partition if callable(partition) else lambda name, _: partition.get(name)
    unknown = set() if callable(partition) else partition.keys() - found.keys()
    if unknown:
        raise ValueError(f"partition has {sorted(unknown)}: the cell's params are {', '.join(found)}.")

    def boxed(name: str, leaf: Any) -> Any:
        names = names_of(name, leaf)
        if names is not None and not callable(names) and len(names) != leaf.ndim:
            raise ValueError(f"partition[{name!r}]={names}: give one name, or None, an axis of {leaf.shape}.")
        return leaf if names is None else box(leaf, names)

    return jax.tree.unflatten(jax.tree.structure(dict(params)), [boxed(name, leaf) for name, leaf in found.items()])


def run_with_flax_names(
    cell: Cell, params: Params, xs: ArrayLike, made: Mapping[str, Any], given: Mapping[str, Any]
) -> Any:
    """`asrnn_jax.run` with flax's keywords: options `given` (None: not given) over those a module was `made` with."""
    given = {name: value for name, value in given.items() if value is not None}
    for theirs, ours in FLAX_NAMES.items():
        if theirs in given and ours in given:
            raise ValueError(f"{theirs} and {ours} are two names of one option: pass one of them.")
        if theirs in given:
            given[ours] = given.pop(theirs)
    options = {**made, **given}
    return_carry, keep_order = options.pop("return_carry", True), options.pop("keep_order", True)
    carry, ys = asrnn_jax.run(cell, params, xs, **options)
    if options.get("reverse") and not keep_order and options.get("outputs", "all") == "all":
        ys = flip_sequences(ys, options.get("lengths"), ys.ndim - 2, options.get("time_major", False))
    return (carry, ys) if return_carry else ys


def step_in_dtype(cell: Cell, params: Params, carry: PyTree, x: ArrayLike, dtype: Any, **options: Any):
    """`asrnn_jax.step` in a given dtype, with weights cast as `asrnn_jax.run` casts them: after they are prepared."""
    if dtype is None:
        return asrnn_jax.step(cell, params, carry, x, **options)
    weights = cast(as_weights(cell, params), dtype)
    return asrnn_jax.step(cell, weights, carry, cast(jnp.asarray(x), dtype), **options)


def start(cell: Cell, params: Params | None, batch: tuple[int, ...], dtype: Any) -> PyTree:
    """The cell's start for a batch; by default in the real dtype that holds all its params."""
    if dtype is None:
        made = jax.eval_shape(cell.init, jax.random.key(0))
        dtype = jnp.result_type(*(jnp.finfo(leaf.dtype).dtype for leaf in jax.tree.leaves(made)))
    if cell.training.start is None or not params:
        return cell.initial_carry(batch, dtype)
    return cell.start(as_weights(cell, params), batch, dtype)
