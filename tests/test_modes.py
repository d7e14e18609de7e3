"""Laws about where and how JAX runs: meshes, shard_map, symbolic shapes, strict promotion, debugging modes, pickling."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import asrnn_jax
from tests.test_laws import EVERY, LOOPS, H, I, T, close, flags, inputs, make, scalar, some_carry

KINDS = ("explicit", "explicit, set_mesh", "auto", "shard_map")


def mesh_of(kind):
    axis = AxisType.Explicit if kind.startswith("explicit") else AxisType.Auto
    return jax.make_mesh((2,), ("data",), axis_types=(axis,))


def value_and_gradient(subject, cell, batch):
    """A function of (params, xs, carry, mask, reset) -> outputs and gradients, all there is to compare."""

    def f(params, xs, carry, mask, reset):
        def loss(params, xs, carry):
            end, ys = asrnn_jax.run(cell, params, xs, carry=carry, mask=mask, reset=reset)
            return scalar(ys) + scalar(end), (end, ys)

        (_, result), gradients = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(params, xs, carry)
        return result, gradients

    return f


@LOOPS
@pytest.mark.parametrize("kind", ["explicit", "explicit, set_mesh", "auto"])
def test_a_sharded_batch_equals_one_that_is_not(subject, kind):
    cell, params = make(subject)
    mesh = mesh_of(kind)
    given = (inputs(4, T, I), some_carry(cell, (4,)), flags(5), flags(6, 0.2))
    f = value_and_gradient(subject, cell, (4,))
    expected = jax.jit(f)(params, *given)
    sharded = jax.device_put(given, NamedSharding(mesh, P("data")))
    if kind.endswith("set_mesh"):
        with jax.set_mesh(mesh):
            found = jax.jit(f)(params, *sharded)
    else:
        found = jax.jit(f)(params, *sharded)
    close(jax.device_get(found), jax.device_get(expected))
