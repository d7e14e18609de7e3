"""The optimiser: the papers' rates on the right parameters, RMSprop as torch computes it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import asrnn_jax
from experiments.config import Optimizer
from experiments.errors import UsageError
from experiments.optimizer import OPTIMIZERS, SCHEDULES, make_optimizer
from experiments.presets import PRESETS


def test_orthogonal_parameters_move_at_their_own_rate_and_bases_not_at_all():
    cell = asrnn_jax.cells.with_output(asrnn_jax.cells.asrnn(2, 4, map="expm", dynamic=True), 3)
    params = cell.init(jax.random.key(0))
    tx = make_optimizer(Optimizer("sgd", lr=1.0, lr_orthogonal=0.01, clip=None), 10)
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    np.testing.assert_allclose(updates["cell"]["W_hh"]["skew"], -0.01)
    np.testing.assert_array_equal(updates["cell"]["W_hh"]["base"], 0.0)
    for other in (updates["cell"]["U_f"]["skew"], updates["cell"]["D_f"], updates["output"]["kernel"]):
        np.testing.assert_allclose(other, -1.0)
    assert asrnn_jax.optim.count(params) == 2 * 6 + 2 * 4 + 4 + 4 + 4 * 3 + 3


def test_rmsprop_is_the_formula_of_the_papers_framework():
    """v <- d v + (1 - d) g^2, step = lr g / (sqrt(v) + 1e-8), on a clipped gradient."""
    tx = make_optimizer(Optimizer("rmsprop", lr=0.1, decay=0.9, clip=1.0), 10)
    params, v = {"w": jnp.zeros(3)}, np.zeros(3)
    state = tx.init(params)
    for seed in range(4):
        g = np.asarray(jax.random.normal(jax.random.key(seed), (3,)))
        updates, state = tx.update({"w": jnp.asarray(g)}, state, params)
        g = g / max(1.0, np.linalg.norm(g))
        v = 0.9 * v + 0.1 * g**2
        np.testing.assert_allclose(updates["w"], -0.1 * g / (np.sqrt(v) + 1e-8), rtol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_a_quadratic(name, schedule):
    tx = make_optimizer(Optimizer(name, lr=0.05, schedule=schedule, warmup=5), 200)
    params = {"w": jnp.array([1.0, -2.0])}
    state, loss = tx.init(params), lambda p: jnp.sum(p["w"] ** 2)

    @jax.jit
    def update(params, state):
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    start = loss(params)
    for _ in range(200):
        params, state = update(params, state)
    assert loss(params) < 0.8 * start


def test_presets_are_the_papers_recipes():
    def of(name):
        config = PRESETS[name].config
        return (
            config.model.hidden,
            config.optim.lr,
            config.optim.lr_orthogonal,
            config.optim.decay,
            config.optim.clip,
            config.model.a,
            config.model.b,
            config.model.eps,
            config.training.batch,
        )

    expected = {
        "paper-smnist-16k": (122, 7e-4, 7e-5, 0.99, 10, 0.02, 0.02, 0.01, 128),
        "paper-smnist-69k": (257, 5e-4, 5e-5, 0.99, 10, 0.02, 0.02, 0.01, 128),
        "paper-smnist-137k": (364, 3e-4, 3e-5, 0.99, 10, 0.02, 0.02, 0.01, 128),
        "paper-pmnist-16k": (122, 1e-3, 1e-4, 0.99, 10, 0.02, 0.02, 0.01, 128),
        "paper-copy-1000": (138, 2e-4, 2e-5, 0.9, 10, 0.0, 0.0, 1e-5, 128),
        "paper-copy-2000": (138, 2e-4, 2e-5, 0.9, 10, 0.0, 0.0, 1e-5, 128),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(of(name), values, rtol=1e-12)


def test_frozen_parameters_stay_and_do_not_count_in_the_clipped_norm():
    params = {"cell": {"D_f": jnp.ones(3), "b": jnp.ones(2)}, "output": {"bias": jnp.ones(2)}}
    gradient = jax.tree.map(lambda leaf: 30.0 * leaf, params)
    tx = make_optimizer(Optimizer("sgd", lr=1.0, clip=1.0, freeze=("D_f", "output")), 1)
    updates, _ = tx.update(gradient, tx.init(params), params)
    assert (updates["cell"]["D_f"] == 0).all()
    assert (updates["output"]["bias"] == 0).all()
    np.testing.assert_allclose(updates["cell"]["b"], -1 / np.sqrt(2), rtol=1e-6)
    decaying = make_optimizer(Optimizer("adamw", weight_decay=0.1, freeze=("D_f",)), 1)
    updates, _ = decaying.update(gradient, decaying.init(params), params)
    assert (updates["cell"]["D_f"] == 0).all()
    with pytest.raises(UsageError, match="--freeze U_g"):
        make_optimizer(Optimizer(freeze=("D_f", "U_g")), 1).init(params)
