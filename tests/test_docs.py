"""The code in README and CONTRIBUTING runs, and the skeleton of a cell obeys the equation beside it."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import jupytext
import matplotlib
import matplotlib.pyplot as plt
import pytest

from asrnn_jax import cells
from tests.test_laws import B, I, T, close, flags, inputs, make, naive_run, scalar, state_run

ROOT = Path(__file__).parents[1]


def blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("code", blocks("README.md"), ids=lambda code: code.strip().split("\n")[0][:40])
def test_python_in_the_readme_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    exec(code, {})
    plt.close("all")


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_a_notebook_and_its_twin_are_the_same_and_it_has_been_run(notebook):
    script, executed = (jupytext.read(notebook.with_suffix(suffix)).cells for suffix in (".py", ".ipynb"))
    assert [(cell.cell_type, cell.source) for cell in script] == [(cell.cell_type, cell.source) for cell in executed]
    code = [cell for cell in executed if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2


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
