"""What the penalties of the command line add to the loss."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from asrnn_jax import losses
from experiments.config import CopyMemory, Model, Stability, Training
from experiments.errors import UsageError
from experiments.tasks import make_task
from experiments.training.model import make_model
from experiments.training.optimizer import make_optimizer
from experiments.training.penalties import make_penalty
from experiments.training.steps import initial, make_step

BOTH = Stability(lyapunov_penalty=0.3, lyapunov_exponents=2, jacobian_penalty=0.2, jacobian_bound=1.1, penalty_every=2)
CONFIG = CopyMemory(
    symbols=2, delay=5, steps=6, model=Model("tanh_rnn", 6), stability=BOTH, training=Training(batch=10)
)


def test_they_are_those_of_the_library_in_every_mth_step():
    task = make_task(CONFIG)
    cell, optimizer = make_model(CONFIG.model, task.inputs, task.outputs), make_optimizer(CONFIG.optim, task.steps)
    penalty, state = make_penalty(CONFIG, task, cell), initial(CONFIG, task, cell, optimizer)
    batch, params = task.batch(0), state.params
    assert penalty is not None
    found = penalty(params, batch, np.int32(2))
    xs = task.xs(batch)[:8]
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 4), 2)
    expected = 0.3 * losses.lyapunov_penalty(cell, params, xs, k=2, coordinates="carry").mean()
    expected += 0.2 * losses.jacobian_penalty(cell, params, xs, of="largest", target=1.1, side="above", key=key).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    step = make_step(CONFIG, task, cell, optimizer, 1)
    with jax.enable_x64(False):
        state = initial(CONFIG, task, cell, optimizer)
        for i in range(4):
            state, metrics = step(state, batch)
            assert (metrics["penalty"] > 0) == (i % 2 == 0)
    assert state.sums["penalty"] > 0
    assert make_penalty(replace(CONFIG, stability=Stability()), task, cell) is None


def test_flags_that_belong_together():
    for wrong, said in (
        ({"lyapunov_bound": 0.1}, "--lyapunov-bound 0.1: it belongs to --lyapunov-penalty"),
        ({"jacobian_penalty": -1.0}, "--jacobian-penalty -1.0: give a finite number, at least 0"),
        ({"penalty_every": 5}, "--penalty-every 5: add a penalty"),
    ):
        with pytest.raises(UsageError, match=said):
            Stability(**wrong)
