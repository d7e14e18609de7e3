"""What README and CONTRIBUTING show runs; nothing public lacks a docstring; no link and no name leads nowhere."""

import importlib
import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import jupytext
import matplotlib
import matplotlib.pyplot as plt
import pytest

import asrnn_jax
from asrnn_jax import cells
from experiments.tools.site import api, check, equations, pages
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


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_links_between_files_lead_to_files():
    found = [ROOT / path for path in pages.sources(ROOT) if path.suffix == ".md"]
    assert len(found) > 10
    assert check.markdown_links(ROOT, found) == []


@pytest.mark.parametrize("name", api.public_modules())
def test_what_is_public_has_a_docstring_and_names_in_it_exist(name):
    module = importlib.import_module(name)
    assert inspect.getdoc(module)
    assert hasattr(module, "__all__") or not name.startswith("asrnn_jax"), "say in __all__ what is public"
    for symbol in api.public(name):
        value = getattr(module, symbol)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), symbol
    names = re.findall(r"(?<!`)`(asrnn_jax(?:\.\w+)+)`(?!`)", inspect.getsource(module))
    assert [dotted for dotted in names if not api.resolves(dotted)] == []


def test_every_file_says_the_same_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {asrnn_jax.__version__}\n" in citation
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert "\n## [Unreleased]\n" in changes or f"\n## [{asrnn_jax.__version__}] - " in changes


def test_the_check_of_the_site_finds_what_is_dead(tmp_path):
    (tmp_path / "b.html").write_text('<p id="here">')
    links = ["b.html", "b.html#here", "b.html#gone", "c.html", "https://example.org", "#nowhere"]
    (tmp_path / "a.html").write_text(
        "".join(f'<a href="{link}">x</a>' for link in links) + '<script src="https://example.org/x.js"></script>'
    )
    said = check.links(tmp_path)
    assert len(said) == 4
    for text in ("b.html#gone names no place", "c.html leads nowhere", "#nowhere names", "x.js from the network"):
        assert any(text in line for line in said)


def test_the_check_of_symbols_finds_what_is_missing(tmp_path):
    page = '<section id="labels"><div class="docstring">x</div></section><section id="count">x</section>'
    (tmp_path / "asrnn_jax").mkdir()
    (tmp_path / "asrnn_jax" / "optim.html").write_text(page)
    said = check.symbols({"asrnn_jax.optim": ["labels", "count", "rebase"]}, tmp_path)
    assert "asrnn_jax.optim.count has no docstring" in said
    assert "asrnn_jax.optim.rebase is not on the site" in said
    assert not any("labels" in line for line in said)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("h_t = tanh(W_xh x_t + W_hh h_{t-1} + b)", r"h_{t} = \,\tanh (W_{xh} x_{t} + W_{hh} h_{t-1} + b)"),
        ("dh_t / dh_{t-1}", "d h_{t} / d h_{t-1}"),
        ("W_f^{-1}", "W_{f}^{-1}"),
        ("xs = features.of(card)", None),
        ("steps=2", None),
        ("(*B, T, I)", None),
        ("weights = cell.prepare(params)", None),
    ],
)
def test_equations_are_told_from_code(text, latex):
    assert equations.latex(text) == latex
    rendered = equations.render(f"<code>{text}</code>")
    assert ("<math" in rendered) == (latex is not None)
