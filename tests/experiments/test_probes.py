"""What a run records of the inside of its network."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asrnn_jax import analysis, cells
from experiments.config import Probe, Training
from experiments.errors import UsageError
from experiments.training import probes
from experiments.training.watch import Watch


def test_every_name_of_the_flag_is_there():
    assert tuple(probes.PROBES) == get_args(Probe)
    with pytest.raises(UsageError, match="perhaps you meant spectrum"):
        Training(probe=("spectrm",))


def at_leaf(params, name, change):
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: change(leaf) if name in [entry.key for entry in path] else leaf, params
    )


def test_they_are_what_analysis_gives():
    cell = cells.with_output(cells.asrnn(1, 6, a=0.5, b=1.5), 3)
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (2, 40, 1))
    params = at_leaf(params, "U_f", lambda leaf: leaf + 0.1)  # a W_f that is not diagonal
    found = {k: v for probe in probes.PROBES.values() for k, v in probe(cell, params, xs).items()}
    inner, p = cells.asrnn(1, 6, a=0.5, b=1.5), params["cell"]
    sigma = analysis.jacobian_spectrum(inner, p, xs)[:, 1::2]
    np.testing.assert_allclose(found["spectrum"][2], np.median(sigma), rtol=1e-5)
    np.testing.assert_allclose(found["spectrum"][4], sigma.max(), rtol=1e-5)
    share = (analysis.saturation(inner, p, xs)["tanh"].slope < 0.1).mean()
    np.testing.assert_allclose(found["saturated tanh"], share, rtol=1e-5)
    kernel = params["output"]["kernel"]
    answer = lambda ys: (ys[-1] @ kernel).max()  # noqa: E731 (the bias starts at 0)
    norms = analysis.gradient_norms(inner, p, xs, answer)
    np.testing.assert_allclose(found["gradient"], jnp.log10(norms[:, [0, 20, 39]] / norms[:, -1:]).mean(0), atol=1e-4)
    np.testing.assert_allclose(found["norm"], analysis.norm_drift(inner, p, xs).norm.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        found["lyapunov"], analysis.lyapunov_spectrum(inner, p, xs, k=1).exponents.mean(), rtol=1e-4
    )
    np.testing.assert_allclose(
        [found["sigma"], found["kappa"]], [sigma.max(), analysis.asrnn_bounds(inner, p, xs).kappa], rtol=1e-4
    )


def test_linear_and_spiking_cells_and_dead_gradients_are_recorded_too():
    xs = jnp.ones((2, 25, 1))
    linear = cells.with_output(cells.lru(1, 3), 2)
    assert probes.PROBES["saturation"](linear, linear.init(jax.random.key(0)), xs) == {}
    spiking = cells.with_output(cells.lif(1, 3), 2)
    assert len(probes.PROBES["spectrum"](spiking, spiking.init(jax.random.key(0)), xs)["spectrum"]) == 5
    dead = cells.with_output(cells.irnn(1, 3), 2)
    params = jax.tree.map(jnp.zeros_like, dead.init(jax.random.key(0)))
    assert probes.PROBES["gradient"](dead, params, xs)["gradient"] == [None, None, None]


def test_a_run_warns_once_of_what_comes_before_a_blow_up():
    cell = cells.network("asrnn", 1, 6, 3, options={"a": 0.02, "b": 0.02, "eps": 0.0}, layers=2)
    params = cell.init(jax.random.key(0))
    unrotated = at_leaf(params, "D_f", lambda leaf: leaf.at[0].mul(60.0))
    wide = at_leaf(unrotated, "U_f", lambda leaf: leaf + 0.1)
    calm = Watch(cell)
    calm.params(unrotated, 5)
    assert not calm.params(wide, 9)  # every fifth step
    for step in range(100):
        calm.norm(1.02**step * (1 + step % 3), step)  # it grows sevenfold, and varies
        calm.params(params, step)
    with pytest.warns(
        UserWarning, match=r"step 10: the condition number of D_f is 60, above 50; .* saturation=bounded"
    ):
        calm.params(wide, 10)
    calm.params(wide, 15)
    calm.norm(1e9, 16)
    gru = Watch(cells.gru(1, 6))
    for step in range(30):
        gru.norm(2.0, step)
    gru.params(params, 30)
    gru.norm(99.0, 31)
    with pytest.warns(UserWarning, match=r"step 32: the gradient's norm is 120, usual is 2\.27; training may blow up"):
        gru.norm(120.0, 32)
    gru.norm(np.inf, 33)
