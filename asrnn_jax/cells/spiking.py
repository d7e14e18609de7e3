"""Leaky integrate-and-fire neurons, with and without an adaptive threshold."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, Gradient, Units, factory
from asrnn_jax.cells import checks
from asrnn_jax.cells.dense import orthogonal_kernel, per_unit, zeros_each
from asrnn_jax.cells.dense import recurrent as recurrent_cell
from asrnn_jax.cells.surrogate import SURROGATES, spike


class Weights(NamedTuple):
    W_xh: jax.Array  # (I, H)
    b: jax.Array  # (H,)
    W_hh: Any  # (H, H), or () without recurrence
    decays: jax.Array  # (K, H): of the membrane, of the adaptation


class Adaptive(NamedTuple):
    u: jax.Array  # (*B, H) membranes
    a: jax.Array  # (*B, H) adaptations


# (u, beta, current, s, threshold) -> u after a step in which s had spiked
INTEGRATION = {
    "soft": lambda u, beta, current, s, threshold: beta * u + current - threshold * s,
    "hard": lambda u, beta, current, s, threshold: beta * u * (1 - s) + current,
}


@factory
def lif(
    inputs: int,
    hidden: int,
    *,
    recurrent: bool = True,
    surrogate: str = "atan",
    slope: float | None = None,
    reset: str = "soft",
    threshold: float = 1.0,
    tau: float = 10.0,
    dtype=jnp.float32,
) -> Cell:
    """Leaky integrate-and-fire neurons.

        s_{t-1} = 1 where u_{t-1} > threshold, else 0
        u_t     = beta u_{t-1} + W_xh x_t + W_hh s_{t-1} + b - threshold s_{t-1}         reset "soft"
        u_t     = beta u_{t-1} (1 - s_{t-1}) + W_xh x_t + W_hh s_{t-1} + b               reset "hard"
        y_t     = s_t                                                                     beta = exp(-1 / tau)

    The current is not scaled by 1 - beta. The carry is the membrane u alone, since the spikes follow from it. All of
    them, also in the reset and the recurrence, have the surrogate's derivative.

    Args:
      inputs: I.
      hidden: H.
      recurrent: whether neurons hear each other's spikes; otherwise there is no ``W_hh``.
      surrogate: derivative of a spike: "atan", "sigmoid", "triangular", "superspike" or "slayer".
      slope: steepness of the surrogate; None: its own, see `asrnn_jax.cells.surrogate.SURROGATES`.
      reset: "soft" subtracts the threshold, "hard" sets the membrane to 0.
      threshold: where a neuron fires.
      tau: what the time constants start at, in steps; they are trained, one a neuron.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "b": (H,), "log_tau": (H,)}`` and ``"W_hh": (H, H)``; ``W_xh`` starts He normal, ``W_hh``
    orthogonal, b 0.

    Raises:
      ValueError: sizes below 1, an unknown surrogate or reset, a threshold, slope or tau not above 0.

    Source: Gerstner et al. 2014, Neuronal Dynamics, section 1.3; surrogates: Neftci et al. 2019, arXiv:1901.09948.
    """
    fires, integrated = _neuron(surrogate, slope, reset, threshold=threshold, tau=tau)

    def spikes(u):
        return fires(u - threshold)

    def update(u, z, a):
        heard, (beta,) = a
        return integrated(u, beta, z + heard, spikes(u), threshold)

    return _spiking("lif", inputs, hidden, recurrent, {"tau": tau}, spikes, update, dtype)


@factory
def alif(
    inputs: int,
    hidden: int,
    *,
    recurrent: bool = True,
    surrogate: str = "atan",
    slope: float | None = None,
    reset: str = "soft",
    threshold: float = 1.0,
    tau: float = 10.0,
    adaptation: float = 1.8,
    tau_adapt: float = 100.0,
    dtype=jnp.float32,
) -> Cell:
    """Leaky integrate-and-fire neurons whose threshold rises with every spike and falls slowly.

        theta_t = threshold + adaptation a_t
        a_t     = rho a_{t-1} + (1 - rho) s_{t-1}                                         rho = exp(-1 / tau_adapt)

    and s, u, y as `lif` with theta in place of the threshold (s_{t-1} fires above theta_{t-1}).

    Args:
      adaptation: how much a neuron firing all the time raises its threshold.
      tau_adapt: what the time constants of the adaptation start at, in steps; trained, one a neuron.
      inputs, hidden, recurrent, surrogate, slope, reset, threshold, tau, dtype: as `lif`.

    Params: those of `lif` and ``"log_tau_adapt": (H,)``. The carry is ``(u, a)``.

    Raises:
      ValueError: as `lif`.

    Source: Bellec et al. 2018, arXiv:1803.09574; Yin, Corradi, Bohte 2021, arXiv:2103.12593.
    """
    constants = {"tau": tau, "tau_adapt": tau_adapt}
    fires, integrated = _neuron(surrogate, slope, reset, threshold=threshold, **constants)
    checks.at_least("adaptation", adaptation, 0.0)

    def level(carry):
        return threshold + adaptation * carry.a

    def spikes(carry):
        return fires(carry.u - level(carry))

    def update(carry, z, a):
        heard, (beta, rho) = a
        s = spikes(carry)
        u = integrated(carry.u, beta, z + heard, s, level(carry))
        return Adaptive(u, rho * carry.a + (1 - rho) * s)

    start = zeros_each(Adaptive, (hidden,))
    return _spiking("alif", inputs, hidden, recurrent, constants, spikes, update, dtype, initial_carry=start)


def _neuron(surrogate: str, slope: float | None, reset: str, **positive: float):
    """Checks the arguments. What fires, ``v -> s``, and what the membrane is after a step, of `INTEGRATION`."""
    checks.choice("surrogate", surrogate, tuple(SURROGATES))
    checks.choice("reset", reset, tuple(INTEGRATION))
    for name, value in {**positive, **({} if slope is None else {"slope": slope})}.items():
        checks.above(name, value, 0.0)
    k = SURROGATES[surrogate].slope if slope is None else slope
    return lambda v: spike(v, surrogate, k), INTEGRATION[reset]


def _spiking(
    name: str, inputs: int, hidden: int, hears: bool, constants: dict[str, float], spikes, update, dtype, **others
) -> Cell:
    """All but the update: params, input currents, the recurrent product of spikes, decays, outputs."""

    def init(key):
        k_x, k_h = jax.random.split(key)
        params = {
            "W_xh": jax.nn.initializers.he_normal()(k_x, (inputs, hidden), dtype),
            "b": jnp.zeros(hidden, dtype),
            **{f"log_{name}": jnp.full(hidden, math.log(start), dtype) for name, start in constants.items()},
        }
        return {**params, "W_hh": orthogonal_kernel(k_h, (hidden, hidden), dtype)} if hears else params

    def prepare(params):
        decays = jnp.stack([jnp.exp(-jnp.exp(-params[f"log_{name}"])) for name in constants])
        return Weights(params["W_xh"], params["b"], params["W_hh"] if hears else (), decays)

    def mix(weights, carry):
        s = spikes(carry)
        heard = s @ weights.W_hh if hears else jnp.zeros_like(s)
        return heard, tuple(per_unit(weights.decays[k], s) for k in range(len(constants)))

    return recurrent_cell(
        name,
        inputs,
        hidden,
        init=init,
        prepare=prepare,
        mix=mix,
        update=update,
        readout=lambda weights, carries, xs: spikes(carries),
        gradient=Gradient(differentiable=False),
        activity=lambda z, a, carry: {"spike": Units("spike", spikes(carry))},
        **others,
    )
