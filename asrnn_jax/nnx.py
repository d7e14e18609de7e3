"""The cells as flax.nnx modules: one class for a step, one for a sequence, both for every cell.

    >>> import jax.numpy as jnp, optax, asrnn_jax.nnx
    >>> from flax import nnx
    >>> class Classifier(nnx.Module):
    ...     def __init__(self, *, rngs):
    ...         cell = asrnn_jax.cells.asrnn(inputs=3, hidden=16)
    ...         self.rnn = asrnn_jax.nnx.RNN(cell, rngs=rngs, outputs="last")
    ...         self.head = nnx.Linear(16, 10, rngs=rngs)
    ...     def __call__(self, xs, lengths):
    ...         _, y = self.rnn(xs, lengths=lengths)
    ...         return self.head(y)
    >>> model = Classifier(rngs=nnx.Rngs(0))
    >>> optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    >>> model(jnp.ones((4, 20, 3)), jnp.array([20, 7, 1, 0])).shape
    (4, 10)

**Which class.** `RNN` takes a whole sequence and all options of `asrnn_jax.run`. It prepares the weights once a
sequence. `RNNCell` is one step, for flax's own `RNN` and `Bidirectional`; it prepares the weights at every step and
is much slower.

**Parameters.** ``module.params`` is the dict of arrays that `asrnn_jax.run` takes, and ``RNN(cell, params=params)``
wraps one. So params move freely between functions, linen and nnx.

**Dropout** is switched as flax's own is, by ``model.train()`` and ``model.eval()``.

**Meshes.** ``partition={"W_xh": (None, "model")}`` gives params the names of mesh axes.

`RNN` stands in for `flax.nnx.RNN` of a flax cell, also inside `flax.nnx.Bidirectional`. It differs in two ways, as
`asrnn_jax.run` does: it returns ``(carry, ys)``, and it keeps ``ys`` in the order of ``xs`` unless told otherwise.
"""

from __future__ import annotations

from typing import Any

import flax
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

__all__ = ["RNN", "Base", "RNNCell"]

try:
    from flax import nnx
except AttributeError as e:  # flax 0.12.8 beside jax 0.11.1 or later, a pair that pip lets one install
    raise ImportError(
        f"flax {flax.__version__} has no nnx with jax {jax.__version__} ({e}): pip install --upgrade flax."
    ) from e

from asrnn_jax import linen, optim
from asrnn_jax.cell import Cell, Params, PyTree, as_weights


class Base(nnx.Variable):
    """A dynamic base: part of the weights, moved by `asrnn_jax.optim.rebase` and by no optimiser."""


class _Holder(nnx.Module):
    """A cell with its params as nnx variables: `nnx.Param`, and `Base` for dynamic bases."""

    def __init__(self, cell: Cell, rngs: nnx.Rngs | None, params: Params | None, partition: linen.Partition | None):
        if rngs is not None and params is None:
            params = cell.init(rngs.params())
        elif params is None or (rngs is not None and not cell.dropout):
            raise ValueError(
                "pass either rngs=nnx.Rngs(seed) to initialise the params, or params= to wrap existing ones."
            )
        jax.eval_shape(lambda p: as_weights(cell, p), params)  # raises for params of another cell
        self.cell = cell
        kinds, named = optim.labels(dict(params)), linen.annotated(params, partition or {}, _with_names)
        self.variables = nnx.data(jax.tree.map(_variable, kinds, named))

    @property
    def params(self) -> Params:
        """The cell's params, a dict of arrays."""
        return jax.tree.map(lambda variable: variable.get_value(), self.variables, is_leaf=_is_variable)

    def set_params(self, params: Params) -> None:
        """Sets all variables, for example to ``optim.rebase(cell, module.params, step, every)``.

        Raises:
          ValueError: params of another cell.
        """
        jax.eval_shape(lambda p: as_weights(self.cell, p), params)
        jax.tree.map(lambda v, p: v.set_value(jnp.asarray(p)), self.variables, dict(params), is_leaf=_is_variable)


class RNNCell(_Holder, nnx.RNNCellBase):
    """One step of `cell`, for code that loops itself; works in `flax.nnx.RNN`.

    A loop around it prepares the weights every step. `RNN` prepares them once a sequence: the gradient of an asRNN
    (H = 122, 100 steps, CPU) was seen to take a thirtieth of the time.

    Args:
      cell: made by a factory of `asrnn_jax.cells`.
      rngs: its ``params`` stream initialises the params.
      params: existing ones, in place of `rngs`.
      dtype: compute in this dtype; by default the promoted dtype of carry, input and params.
      partition: as of `RNN`.

    One step has no dropout; `RNN` has.

    Raises:
      ValueError: both or neither of `rngs` and `params`; params of another cell; a `partition` that does not fit.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        rngs: nnx.Rngs | None = None,
        params: Params | None = None,
        dtype: Any = None,
        partition: linen.Partition | None = None,
    ):
        super().__init__(cell, rngs, params, partition)
        self.dtype = dtype

    def __call__(self, carry: PyTree, x: ArrayLike, **options: Any) -> tuple[PyTree, jax.Array]:
        """``(carry, y)`` after one input ``x (*B, I)``; `options` and errors are those of `asrnn_jax.step`."""
        return linen.step_in_dtype(self.cell, self.params, carry, x, self.dtype, **options)

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> PyTree:
        """The carry a sequence starts from for inputs of shape ``(*B, I)``, in the dtype of the params.

        It is not random: `rngs` is not used.

        Raises:
          ValueError: a `carry_init`.
        """
        if carry_init is not None:
            raise ValueError(f"carry_init={carry_init!r}: the carry is the cell's own; pass initial_carry to the RNN.")
        return linen.start(self.cell, self.params, input_shape[:-1], self.dtype)

    @property
    def num_feature_axes(self) -> int:
        return 1


class RNN(_Holder):
    """`cell` over a sequence, by `asrnn_jax.run`.

    A cell with dropout has it as `flax.nnx.Dropout` has: from its own stream, between ``train()`` and ``eval()``.

    Args:
      cell: made by a factory of `asrnn_jax.cells`.
      rngs: its ``params`` stream initialises the params; a copy of its ``dropout`` stream is kept for the dropout of
        cells that have it.
      params: existing ones; `rngs` is then only for dropout.
      deterministic: True: without dropout, until ``train()`` or a call says otherwise.
      partition: names of mesh axes for params, as `flax.nnx.with_partitioning` gives them to others:
        ``{"W_hh.skew": (None, "model"), ...}``, or a function ``(name, array) -> names`` with None for those that have
        none.
      **options: what a call takes by default, for example ``outputs="last"`` or ``return_carry=False``; hashable.

    Raises:
      ValueError: neither of `rngs` and `params`, or both for a cell without dropout; params of another cell; a
        `partition` that does not fit.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        rngs: nnx.Rngs | None = None,
        params: Params | None = None,
        deterministic: bool = False,
        partition: linen.Partition | None = None,
        **options: Any,
    ):
        super().__init__(cell, rngs, params, partition)
        self.deterministic = deterministic
        stream = _dropout_stream(rngs) if cell.dropout else None
        self.rngs = nnx.data(None) if stream is None else stream.fork()
        self.options = tuple(sorted(options.items()))

    def set_view(self, deterministic: bool | None = None) -> None:
        """What `flax.nnx.view` sets, as of `flax.nnx.Dropout`."""
        if deterministic is not None:
            self.deterministic = deterministic

    def __call__(self, xs: ArrayLike, *, rngs: Any = None, deterministic: bool | None = None, **options: Any) -> Any:
        """``(carry, ys)`` of `asrnn_jax.run`.

        Args:
          xs: inputs ``(*B, T, I)``, or ``(T, *B, I)`` with ``time_major=True``.
          rngs: its stream ``dropout``, or such a stream, in place of the module's own. (The carry stream that
            `flax.nnx.Bidirectional` passes is not used.)
          deterministic: True: without dropout; False: with; None: as the module is, but a ``key`` means with.
          **options: those of `asrnn_jax.run` (``carry``, ``lengths``, ``mask``, ``reset``, ``reverse``, ...), and
            flax's: ``initial_carry`` and ``seq_lengths`` are names of ``carry`` and ``lengths``;
            ``return_carry=False`` returns only ``ys``; ``keep_order=False`` returns the ``ys`` of a reversed run in
            the order in which they were computed. None leaves an option as the module was made.

        Raises:
          TypeError, ValueError: as `asrnn_jax.run`; an option under both its names; dropout without a stream for it.
        """
        if deterministic is None:
            deterministic = self.deterministic and options.get("key") is None
        if deterministic:
            options["key"] = None
        elif options.get("key") is None and self.cell.dropout:
            stream = _dropout_stream(rngs) or self.rngs
            if stream is None:
                raise ValueError(
                    f"cell {self.cell.name!r} has dropout and there is no stream for it: make the RNN with "
                    "rngs=nnx.Rngs(..., dropout=seed), call it with rngs= or key=, or with deterministic=True (eval()) "
                    "for none."
                )
            options["key"] = stream()
        return linen.run_with_flax_names(self.cell, self.params, xs, dict(self.options), options)


def _dropout_stream(rngs: Any) -> nnx.RngStream | None:
    """The stream that dropout takes its keys from, where there is one."""
    if isinstance(rngs, nnx.Rngs):
        return rngs["dropout"] if "dropout" in rngs or "default" in rngs else None
    return rngs if isinstance(rngs, nnx.RngStream) and rngs.tag == "dropout" else None


def _with_names(leaf: Any, names: Any) -> Any:
    if not jax.sharding.get_abstract_mesh().empty:  # flax shards at once, and only what is on the mesh already
        leaf = jax.device_put(leaf, jax.sharding.PartitionSpec())
    return nnx.with_partitioning(lambda: jnp.asarray(leaf), names)()


def _variable(label: str, value: Any) -> nnx.Variable:
    kind = Base if label == optim.FROZEN else nnx.Param
    return kind(value if isinstance(value, nnx.VariableMetadata) else jnp.asarray(value))


def _is_variable(x: Any) -> bool:
    return isinstance(x, nnx.Variable)
