"""The Jacobian of one step, ``dh_t / dh_{t-1}``, and its singular values along a sequence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from asrnn_jax.analysis.dynamics import Coordinates, check_memory, compiled, driven
from asrnn_jax.cell import Carry, Cell, Params, Weights, as_inputs
from asrnn_jax.typing import Array, Float, Given

CHUNK_BYTES = 32 * 2**20  # of Jacobians that exist at a time


@compiled("coordinates", "surrogate")
def step_jacobian(
    cell: Cell,
    params: Params | Weights,
    carry: Carry,
    x: Given[ArrayLike, "*B I"],
    *,
    coordinates: Coordinates = "state",
    surrogate: bool = False,
) -> Float[Array, "*B D D"]:
    """The Jacobian of one step, ``dh_t / dh_{t-1}``, by `jax.jacfwd`.

    Args:
      cell: made by a factory of `asrnn_jax.cells`, or of your own.
      params: its params or prepared weights.
      carry: ``(*B, ...)``, where the step starts.
      x: the input of the step, ``(*B, I)``.
      coordinates: "state": of the paper's h (``cell.to_state``), all its parts side by side, D numbers, complex ones as
        real and imaginary parts (`coordinate_names` says which); "carry": of what the loop keeps (for asRNN g = W_f h,
        whose singular values differ).
      surrogate: for spiking cells, take the surrogate's derivative in place of the spike's.

    Returns:
      ``(*B, D, D)``, rows are outputs.

    Raises:
      ValueError, TypeError: as `asrnn_jax.run`; a spiking cell without `surrogate`; a bidirectional cell.
      MemoryError: the matrices cannot fit; the message says how much they need.

    Example:
      >>> import jax, jax.numpy as jnp, asrnn_jax
      >>> from asrnn_jax import analysis
      >>> cell = asrnn_jax.cells.asrnn(inputs=1, hidden=8)
      >>> params = cell.init(jax.random.key(0))
      >>> J = analysis.step_jacobian(cell, params, cell.initial_carry((4,)), jnp.ones((4, 1)))
      >>> J.shape
      (4, 8, 8)
    """
    x = as_inputs(cell, x, 1, "pass one input (*B, I)")
    d = driven(cell, params, x[..., None, :], carry, coordinates, surrogate)
    check_memory("step_jacobian", d, "top_singular_values, which needs no matrix")
    return d.unbatched(jax.vmap(jax.jacfwd(d.dynamics.advance))(d.states()[:, 0], d.xs[:, 0]))


@compiled("coordinates", "surrogate", "every", "chunk")
def jacobian_spectrum(
    cell: Cell,
    params: Params | Weights,
    xs: Given[ArrayLike, "*B T I"],
    *,
    carry: Carry | None = None,
    coordinates: Coordinates = "state",
    surrogate: bool = False,
    every: int = 1,
    chunk: int | None = None,
) -> Float[Array, "*B N D"]:
    """Singular values of ``dh_t / dh_{t-1}`` at every step of a sequence.

    Args:
      xs: ``(*B, T, I)``.
      carry: where the sequence starts; by default as `asrnn_jax.run`.
      every: only every so many steps: those at ``every, 2 every, ...``.
      chunk: Jacobians that exist at a time, over batch and time; None: about 32 MiB of them.
      cell, params, coordinates, surrogate: as `step_jacobian`.

    Returns:
      ``(*B, T // every, D)``, descending.

    Raises:
      ValueError, TypeError: as `step_jacobian`.

    Example:
      >>> import jax, jax.numpy as jnp, asrnn_jax
      >>> from asrnn_jax import analysis
      >>> cell = asrnn_jax.cells.orthogonal(1, 6, activation="linear")
      >>> spectrum = analysis.jacobian_spectrum(cell, cell.init(jax.random.key(0)), jnp.ones((20, 1)))
      >>> spectrum.shape, bool(jnp.allclose(spectrum, 1, atol=1e-5))
      ((20, 6), True)
    """
    d = driven(cell, params, xs, carry, coordinates, surrogate)
    if every < 1:
        raise ValueError(f"every={every}: give at least 1 step.")
    size, steps = d.dynamics.size, d.xs.shape[1] // every
    if chunk is None:
        chunk = max(1, CHUNK_BYTES // (size * size * d.xs.dtype.itemsize))
    elif chunk < 1:
        raise ValueError(f"chunk={chunk}: give a positive number of Jacobians, or None to have it chosen.")

    def singular_values(at):
        return jnp.linalg.svdvals(jax.jacfwd(d.dynamics.advance)(*at))

    before, xs = (each[:, every - 1 :: every][:, :steps] for each in (d.states(), d.xs))
    at = before.reshape(-1, size), xs.reshape(-1, cell.inputs)
    values = jax.lax.map(singular_values, at, batch_size=chunk)
    return d.unbatched(values.reshape(len(d.xs), steps, size))
