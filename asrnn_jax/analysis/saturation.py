"""How far nonlinearities saturate, gates open and spikes come; whether a state drifts, settles or forgets."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax.analysis.dynamics import compiled, driven
from asrnn_jax.cell import Carry, Cell, Params, PyTree, Units, Weights, as_inputs, as_weights, check_carry
from asrnn_jax.dtypes import cast, compute_dtype
from asrnn_jax.typing import Array, Bool, Float, Given, Int


class Saturation(NamedTuple):
    """One group of units over a sequence; H is the number of its units."""

    value: Float[Array, "*B T H"]
    """``(*B, T, H)``: what the nonlinearity gave; of a gate its openness in [0, 1], of spiking units their spikes."""
    slope: Float[Array, "*B T H"]
    """``(*B, T, H)``, effective slope in [0, 1], as a share of the steepest: ``1 - v^2`` of tanh, ``4 v (1 - v)`` of a
    gate; of ReLU and modReLU 1 where open, else 0; of spiking units whether they are silent, as 1, or fire, as 0."""
    saturated: Bool[Array, "*B T H"]
    """bool ``(*B, T, H)``: the slope is below the threshold (ReLU: closed; spiking units: firing)."""

    def by_unit(self) -> Saturation:
        """Means over batch and time, ``(H,)`` each: share of time saturated, mean slope, mean openness or rate."""
        return Saturation(*(leaf.mean(axis=tuple(range(leaf.ndim - 1))) for leaf in self))

    def over_time(self) -> Saturation:
        """Means over batch and units, ``(T,)`` each."""
        return Saturation(*(leaf.mean(axis=(*range(leaf.ndim - 2), -1)) for leaf in self))


SLOPES = {
    "tanh": lambda v: 1 - v**2,
    "gate": lambda v: 4 * v * (1 - v),
    "relu": lambda v: (v != 0).astype(v.dtype),
    "spike": lambda v: 1 - v,
}


@compiled("threshold")
def saturation(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    *,
    carry: Carry | None = None,
    threshold: float = 0.1,
) -> dict[str, Saturation]:
    """What the nonlinearities of a cell do over a sequence, by their names.

    tanh RNNs have "tanh", an LSTM "input", "forget", "candidate", "output" and "cell" (tanh of the cell state), spiking
    cells "spike"; with several cells in one they are numbered from the input on ("0 lstm: forget"). Linear cells have
    none, an empty dict. For asRNN they are of g, in the directions of U_f: see `asrnn_saturation`.

    Args:
      cell: made by a factory of `asrnn_jax.cells`, or one of your own with ``Cell.activity``.
      params: its params or prepared weights.
      xs: ``(*B, T, I)``.
      carry: where the sequence starts.
      threshold: slope, as a share of the steepest, below which a unit counts as saturated; 0.1 is ``|tanh| > 0.949``,
        or a gate outside (0.026, 0.974).

    Raises:
      ValueError, TypeError: as `asrnn_jax.run`; a threshold outside (0, 1].

    Example:
      >>> import jax, jax.numpy as jnp, asrnn_jax
      >>> from asrnn_jax import analysis
      >>> cell = asrnn_jax.cells.lstm(inputs=1, hidden=8)
      >>> found = analysis.saturation(cell, cell.init(jax.random.key(0)), jnp.ones((4, 20, 1)))
      >>> sorted(found)
      ['candidate', 'cell', 'forget', 'input', 'output']
      >>> found["forget"].value.shape, found["forget"].by_unit().saturated.shape
      ((4, 20, 8), (8,))
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold}: give a share of the steepest slope in (0, 1].")
    xs = as_inputs(cell, xs, 2, "pass (*B, T, I)")
    batch = xs.shape[:-2]
    weights = as_weights(cell, params)
    dtype = compute_dtype(weights, xs)
    weights, xs = cast(weights, dtype), jnp.moveaxis(xs.astype(dtype), -2, 0)
    start = cell.start(weights, batch, dtype)
    if carry is not None:
        check_carry(cell, carry, batch, dtype)
        start = jax.tree.map(lambda c, s: jnp.asarray(c).astype(s.dtype), carry, start)
    found: list[tuple[str, dict[str, Units]]] = []
    _record(found, cell, weights, start, xs)
    several = len(found) > 1
    return {
        f"{i} {part}: {name}" if several else name: _saturation(units, threshold)
        for i, (part, groups) in enumerate(found)
        for name, units in groups.items()
    }


def _record(
    found: list[tuple[str, dict[str, Units]]], cell: Cell, weights, carry, xs, key=None, reverse=False, top=False
):
    """Runs a cell over ``xs (T, *B, I)``, its parts one by one, and adds what their units do to `found`."""
    if cell.composition is not None:
        return cell.composition.apply_parts(partial(_record, found), weights, carry, xs, None)
    activity = cell.activity or (lambda z, a, carry: {})

    def body(carry, z):
        a = cell.mix(weights, carry)
        end = jax.tree.map(lambda e, c: e.astype(c.dtype), cell.update(carry, z, a), carry)
        return end, (end, activity(z, a, end))

    end, (carries, groups) = jax.lax.scan(body, carry, cell.project(weights, xs), reverse=reverse)
    found.append((cell.name, groups))
    return end, cell.readout(weights, carries, xs)


def _saturation(units: Units, threshold: float) -> Saturation:
    value = jnp.moveaxis(units.value, 0, -2)
    slope = SLOPES[units.kind](value)
    return Saturation(value, slope, slope < threshold)


def saturated_share(
    cell: Cell, weights: Weights, carry: Carry, x: Float[Array, "*B I"], threshold: float = 0.1
) -> Float[Array, "*B"]:
    """Share of all units, gates included, that one step from `carry` with ``x (*B, I)`` saturates, ``(*B,)``.

    0 for cells without nonlinearity in their state. For use inside loops: nothing is checked, nothing is jitted.
    """
    found: list[tuple[str, dict[str, Units]]] = []
    _record(found, cell, weights, carry, x[None])
    units = [group for _, groups in found for group in groups.values()]
    if not units:
        return jnp.zeros(x.shape[:-1], x.dtype)
    flags = [SLOPES[group.kind](group.value[0]) < threshold for group in units]
    return jnp.concatenate(flags, axis=-1).mean(axis=-1).astype(x.dtype)


class Settling(NamedTuple):
    """Where a state goes under an input that says nothing."""

    speed: Float[Array, "*B T"]
    """``(*B, T)``: ``|h_t - h_{t-1}| / |h_t|``."""
    distance: Float[Array, "*B T"]
    """``(*B, T)``: between this trajectory and that of another start, over the norm of the first."""
    norm: Float[Array, "*B T"]
    """``(*B, T)``: ``|h_t|``."""
    settled: Int[Array, "*B"]
    """``(*B,)``: steps until the speed stays below the tolerance (a fixed point); T where it does not."""
    forgotten: Int[Array, "*B"]
    """``(*B,)``: steps until the distance stays below the tolerance (the start is forgotten); T where it does not."""


@compiled("tolerance")
def settling(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    *,
    carry: Carry | None = None,
    other: Carry | None = None,
    tolerance: float = 1e-3,
) -> Settling:
    """Whether the state comes to rest under constant input, or forgets where it started under any, and how soon.

    State saturation, as the Never-Reset paper has it, is a state that an endless input drives to where it no longer
    responds: under noise the start is soon forgotten, and what came before the noise with it.

    Args:
      xs: ``(*B, T, I)``: a constant input, noise, or the gaps of a stream.
      carry: where it starts; by default as `asrnn_jax.run`.
      other: another start; by default the first one moved by 1 in every direction, with random signs.
      tolerance: below which speed and distance count as none.
      cell, params: as `saturation`.

    Raises:
      ValueError, TypeError: as `asrnn_jax.run`; a tolerance that is not positive; an empty sequence.
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance={tolerance}: give a number above 0.")
    d = driven(cell, params, xs, carry, "state")
    if d.xs.shape[1] == 0:
        raise ValueError(f"xs has shape {jnp.shape(xs)}: give at least one step.")
    second = d._replace(start=_moved(d.start)) if other is None else driven(cell, params, xs, other, "state")
    states, others = d.states(), second.states()
    norm = jnp.linalg.norm(states[:, 1:], axis=-1)
    least = jnp.where(norm == 0, 1, norm)
    speed = jnp.linalg.norm(jnp.diff(states, axis=1), axis=-1) / least
    distance = jnp.linalg.norm(states[:, 1:] - others[:, 1:], axis=-1) / least
    times = [_stays_below(each, tolerance) for each in (speed, distance)]
    return d.unbatched(Settling(speed, distance, norm, *times))


def _moved(carry: Carry) -> PyTree:
    leaves, structure = jax.tree.flatten(carry)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    signs = [jax.random.rademacher(key, leaf.shape[1:], leaf.real.dtype) for key, leaf in zip(keys, leaves)]
    return jax.tree.unflatten(structure, [leaf + sign[None] for leaf, sign in zip(leaves, signs)])


def _stays_below(values: Float[Array, "N T"], tolerance: float) -> Int[Array, " N"]:
    """``(N, T) -> (N,)``: steps before the values stay below the tolerance to the end."""
    steps = values.shape[1]
    high = ~(values < tolerance)  # NaN is not below
    last_high = steps - jnp.argmax(high[:, ::-1], axis=1)
    return jnp.where(high.any(axis=1), last_high, 0)


class Drift(NamedTuple):
    norm: Float[Array, "*B T"]
    """``(*B, T)``: ``|h_t|``."""
    growth: Float[Array, "*B"]
    """``(*B,)``: mean norm of the last tenth over that of the first tenth after the warm-up; 1 does not drift."""


@compiled("warm_up")
def norm_drift(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    *,
    carry: Carry | None = None,
    warm_up: int | None = None,
) -> Drift:
    """Whether the norm of the state keeps growing (or fading) over a long input.

    Args:
      xs: ``(*B, T, I)``, a long input.
      warm_up: steps left out, in which the state leaves its start; None: a tenth.
      cell, params, carry: as `saturation`.

    Raises:
      ValueError, TypeError: as `asrnn_jax.run`; fewer than 10 steps after the warm-up.
    """
    d = driven(cell, params, xs, carry, "state")
    steps = d.xs.shape[1]
    warm_up = steps // 10 if warm_up is None else warm_up
    if warm_up < 0 or steps - warm_up < 10:
        raise ValueError(f"warm_up={warm_up} with {steps} steps: at least 10 must come after the warm-up.")
    norm = jnp.linalg.norm(d.states()[:, 1:], axis=-1)
    tenth = (steps - warm_up) // 10
    first = norm[:, warm_up : warm_up + tenth].mean(axis=1)
    return d.unbatched(Drift(norm, norm[:, -tenth:].mean(axis=1) / jnp.where(first == 0, 1, first)))
