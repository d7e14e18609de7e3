"""Makes spyx.npz: spikes and membranes of spyx's LIF, RLIF and ALIF over a sequence, with gradients.

/path/to/python tests/references/make_spyx.py        needs spyx

spyx emits the spike of the membrane it was handed, before the update: its spikes of step t + 1 are those of the
membrane after step t. So one step is run more than there are inputs, and the first spikes (of the start, none) are
dropped; what is stored belongs to the membrane of the same row. spyx's arctan(k) is 1 / (pi (1 + (pi k v)^2)), whose
area is 1 / (pi k), while that of Fang et al. is 1: the two agree at k = 1 / pi, there slope 2 / pi in their terms.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import spyx
from flax import nnx

jax.config.update("jax_enable_x64", True)

T, B, H = 24, 3, 6
NEURONS = {"lif": spyx.nn.LIF, "rlif": spyx.nn.RLIF, "alif": spyx.nn.ALIF}
SURROGATES = {
    "triangular": spyx.axn.triangular(1.0),
    "superspike": spyx.axn.superspike(25.0),
    "arctan": spyx.axn.arctan(1 / np.pi),
}


def sequences() -> dict[str, jax.Array]:
    """The same inputs and weights of the loss for all."""
    keys = jax.random.split(jax.random.key(0), 2)
    return {"xs": 0.3 + 0.6 * jax.random.normal(keys[0], (T, B, H)), "weight": jax.random.normal(keys[1], (T, B, H))}


def numbers(kind: str) -> dict[str, jax.Array]:
    """What a neuron has to learn: decays of each unit and recurrent weights."""
    keys = jax.random.split(jax.random.key(1), 3)
    params = {"beta": jax.random.uniform(keys[0], (H,), minval=0.5, maxval=0.95)}
    if kind == "alif":
        params["gamma"] = jax.random.uniform(keys[1], (H,), minval=0.3, maxval=0.95)
    if kind == "rlif":
        params["recurrent_w"] = jax.random.normal(keys[2], (H, H)) / np.sqrt(H)
    return params


def run(kind: str, surrogate: str, params: dict[str, jax.Array], xs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Spikes and states (membranes, for ALIF next to the adaptation) after each of T steps."""
    neuron = NEURONS[kind]((H,), threshold=1.0, activation=SURROGATES[surrogate], rngs=nnx.Rngs(0))
    for name, value in params.items():
        setattr(neuron, name, nnx.Param(value))

    def body(state, x):
        spikes, new = neuron(x, state)
        return new, (spikes, new)

    padded = jnp.concatenate([xs, jnp.zeros_like(xs[:1])])
    _, (spikes, states) = jax.lax.scan(body, neuron.initial_state(B), padded)
    return spikes[1:], states[:-1]


def reference(kind: str) -> dict[str, np.ndarray]:
    """Params, states, spikes, and for each surrogate gradients of sum(weight * spikes)."""
    params, (xs, weight) = numbers(kind), sequences().values()
    spikes, states = run(kind, "superspike", params, xs)
    arrays = {"spikes": spikes.astype(bool), "states": states, **params}
    for surrogate in SURROGATES:

        def loss(params, xs, surrogate=surrogate):
            return jnp.sum(weight * run(kind, surrogate, params, xs)[0])

        d_params, d_xs = jax.grad(loss, (0, 1))(params, xs)
        gradients = {"xs": d_xs, **d_params}
        arrays |= {f"{surrogate}.d_{name}": g for name, g in gradients.items()}
    return {f"{kind}.{name}": np.asarray(a) for name, a in arrays.items()}


if __name__ == "__main__":
    path = Path(__file__).with_name("spyx.npz")
    arrays = {name: np.asarray(a) for name, a in sequences().items()}
    for kind in NEURONS:
        arrays |= reference(kind)
        print(f"{kind}: {arrays[f'{kind}.spikes'].mean():.0%} of all steps spike")
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {path.stat().st_size} bytes, spyx {spyx.__version__}")
