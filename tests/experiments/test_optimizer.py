"""The optimiser: the papers' rates on the right parameters, RMSprop as torch computes it."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import asrnn_jax
from asrnn_jax.cells import CELLS
from experiments.config import Optimizer
from experiments.errors import UsageError
from experiments.presets import PRESETS
from experiments.training.optimizer import OPTIMIZERS, SCHEDULES, make_optimizer
from tests.quick import quickly


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


@quickly("schedule", ["cosine"], SCHEDULES)
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


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [
        ("constant", lambda t: 1.0),
        ("cosine", lambda t: (1 + np.cos(np.pi * t / 8)) / 2),
        ("linear", lambda t: 1 - t / 8),
    ],
)
def test_rates_rise_in_the_warm_up_and_follow_their_schedule(schedule, rate):
    tx = make_optimizer(Optimizer("sgd", lr=0.5, clip=None, schedule=schedule, warmup=2), 10)
    params = {"w": jnp.zeros(())}
    state, steps = tx.init(params), []
    for _ in range(10):
        updates, state = tx.update({"w": jnp.ones(())}, state, params)
        steps.append(-float(updates["w"]))
    expected = [0.5 * t / 2 for t in range(2)] + [0.5 * rate(t) for t in range(8)]
    np.testing.assert_allclose(steps, expected, atol=1e-7)
    with pytest.raises(UsageError, match="--warmup 10"):
        make_optimizer(Optimizer(warmup=10), 10)


# The authors' published settings: n, lr, its share for W_hh, decay, clip, start of the skew matrix, and more of a cell
PIXELS = {"dataset": "mnist", "rows": False, "epochs": 70}
COPY = {"symbols": 10, "steps": 4000}
TEXT = {"epochs": 100, "eval_batch": 10}
START = {"saturation": "abs", "slope": 0.0, "a": 0.02, "b": 0.02, "eps": 0.01}
ZERO = {"saturation": "abs", "slope": 0.0, "a": 0.0, "b": 0.0, "eps": 1e-5, "dynamic": True, "map": "expm"}
WIDE = {"saturation": "abs", "slope": 0.0, "a": 0.8, "b": 3.0, "eps": 0.0, "embedding": 200}
FORGET = {"forget_bias": 1.0}
RECIPES = {
    "smnist-16k": (PIXELS | {"permute": False}, "asrnn", 122, 7e-4, 7e-5, 0.99, 10, "cayley", START),
    "smnist-69k": (PIXELS | {"permute": False}, "asrnn", 257, 5e-4, 5e-5, 0.99, 10, "cayley", START),
    "smnist-137k": (PIXELS | {"permute": False}, "asrnn", 364, 3e-4, 3e-5, 0.99, 10, "cayley", START),
    "pmnist-16k": (PIXELS | {"permute": True}, "asrnn", 122, 1e-3, 1e-4, 0.99, 10, "cayley", START),
    "pmnist-69k": (PIXELS | {"permute": True}, "asrnn", 257, 7e-4, 7e-5, 0.99, 10, "cayley", START),
    "pmnist-137k": (PIXELS | {"permute": True}, "asrnn", 364, 5e-4, 5e-5, 0.99, 10, "cayley", START),
    "smnist-16k-exprnn": (PIXELS | {"permute": False}, "exprnn", 170, 7e-4, 7e-5, 0.9, None, "exprnn", {}),
    "pmnist-16k-exprnn": (PIXELS | {"permute": True}, "exprnn", 170, 1e-3, 1e-4, 0.9, None, "exprnn", {}),
    "smnist-16k-scornn": (PIXELS | {"permute": False}, "scornn", 170, 7e-4, 7e-5, 0.9, None, "cayley", {"rho": 0.1}),
    "pmnist-16k-scornn": (PIXELS | {"permute": True}, "scornn", 170, 1e-3, 1e-4, 0.9, None, "cayley", {"rho": 0.5}),
    "smnist-lstm-69k": (PIXELS | {"permute": False}, "lstm", 128, 1e-3, None, 0.9, 1, None, FORGET),
    "pmnist-lstm-69k": (PIXELS | {"permute": True}, "lstm", 128, 1e-3, None, 0.9, 1, None, FORGET),
    "ptb-150": (TEXT | {"window": 150}, "asrnn", 1024, 1e-3, 1e-4, 0.9, None, "cayley", WIDE),
    "ptb-300": (TEXT | {"window": 300}, "asrnn", 1024, 1e-3, 1e-3, 0.9, None, "cayley", WIDE),
}
for delay in (1000, 2000):
    RECIPES |= {
        f"copy-{delay}": (COPY | {"delay": delay}, "asrnn", 138, 2e-4, 2e-5, 0.9, 10, "henaff", ZERO),
        f"copy-{delay}-dtriv": (COPY | {"delay": delay}, "dtriv", 190, 2e-4, 2e-5, 0.9, None, "henaff", {}),
        f"copy-{delay}-scornn": (COPY | {"delay": delay}, "scornn", 190, 2e-4, 2e-5, 0.9, None, "henaff", {"rho": 0.5}),
        f"copy-{delay}-lstm": (COPY | {"delay": delay}, "lstm", 68, 1e-3, None, 0.9, 1, None, FORGET),
    }


@pytest.mark.parametrize("name", RECIPES)
def test_presets_are_the_papers_recipes(name):
    task, cell, hidden, lr, slow, decay, clip, init, more = RECIPES[name]
    config = PRESETS[f"paper-{name}"].config
    assert {key: getattr(config, key) for key in task} == task
    own = {"embedding": config.model.embedding} if "embedding" in more else {}
    assert (config.model.cell, config.model.hidden, config.training.batch) == (cell, hidden, 128)
    assert {key: config.model.options[key] for key in more if key != "embedding"} | own == more
    optim = config.optim
    assert (optim.optimizer, optim.lr, optim.decay, optim.clip) == ("rmsprop", lr, decay, clip)
    assert (optim.schedule, optim.warmup, optim.rebase_every, optim.project_every) == ("constant", 0, 100, 100)
    if slow is not None:
        assert optim.lr_orthogonal == pytest.approx(slow)
        default = inspect.signature(CELLS[cell]).parameters["init"].default
        assert config.model.options.get("init", default) == init


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
