"""The code in README and CONTRIBUTING runs, and the skeleton of a cell obeys the equation beside it."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from asrnn_jax import cells
from tests.test_laws import B, I, T, close, flags, inputs, make, naive_run, scalar, state_run

ROOT = Path(__file__).parents[1]


def blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("code", blocks("README.md"), ids=lambda code: code.strip().split("\n")[0][:40])
def test_python_in_the_readme_runs(code):
    exec(code, {})


def test_the_skeleton_of_a_cell_is_its_equation(monkeypatch):
    skeleton, equation = blocks("CONTRIBUTING.md")
    module, naive = {}, {}
    exec(skeleton, module)
    exec(equation, naive)
    monkeypatch.setitem(cells.CELLS, "leaky", module["leaky"])
    (row,) = naive["ROWS"]
    cell, params = make(row)
    xs, options = inputs(B, T, I), {"mask": flags(5), "reset": flags(6, 0.2)}
    close(state_run(cell, params, xs, **options), naive_run(row, cell, params, xs, **options))
    ours, theirs = (
        jax.grad(lambda p: scalar(run(p)))(params)  # noqa: B023
        for run in (lambda p: state_run(cell, p, xs), lambda p: naive_run(row, cell, p, xs))
    )
    close(ours, theirs)
    assert bool(jnp.abs(ours["alpha"]).min() > 0)
