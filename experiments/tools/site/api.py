"""Every public symbol with its signature, docstring and source, made by pdoc."""

import html
import importlib
import inspect
import os
import re
import sys
import types
import warnings
from pathlib import Path

import pdoc.doc
import pdoc.render

import asrnn_jax
from experiments.tools.site import equations

# Modules that are on the site for their guides: what of them is public, as a list, or all of it.
GUIDES: dict[str, list[str] | None] = {
    "asrnn_jax.cell": None,
    "asrnn_jax.run": ["run", "step"],
    "asrnn_jax.loop": [],
    "asrnn_jax.checks": ["checked"],
    "asrnn_jax.saved": [],
    "asrnn_jax.streaming.scores": None,
    "experiments": [],
    "experiments.training.checkpoints": [],
}


def public_modules() -> list[str]:
    """asrnn_jax, the modules that it names, and those that have a guide."""
    later = getattr(asrnn_jax, "_LATER", ())
    named = [f"asrnn_jax.{name}" for name in (*asrnn_jax.__all__, *later)]
    found = [name for name in named if isinstance(sys.modules.get(name) or _imported(name), types.ModuleType)]
    return sorted({"asrnn_jax", *found, *GUIDES})


def _imported(name: str) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:  # a function or a class
        return None


def public(name: str) -> list[str]:
    """The public names of a module: its ``__all__``, or else the functions and classes that it defines."""
    module = importlib.import_module(name)
    named = GUIDES.get(name)
    named = getattr(module, "__all__", None) if named is None else named
    if named is not None:
        return [symbol for symbol in named if not inspect.ismodule(getattr(module, symbol))]
    own = {symbol: value for symbol, value in vars(module).items() if getattr(value, "__module__", None) == name}
    return [symbol for symbol, value in own.items() if callable(value) and not symbol.startswith("_")]


def summary(name: str) -> str:
    return (inspect.getdoc(importlib.import_module(name)) or "").split("\n\n")[0].replace("\n", " ")


def addresses(modules: list[str], root: Path) -> dict[Path, str]:
    """Where on the site the page of a module is, by its file."""
    files = {name: importlib.import_module(name).__file__ for name in modules}
    return {Path(file).relative_to(root): _address(name) for name, file in files.items() if file}


def _address(name: str) -> str:
    return f"api/{name.replace('.', '/')}.html"


def build(modules: list[str], root: Path, out: Path) -> list[str]:
    """Writes the pages and says what in them leads nowhere."""
    for name, named in GUIDES.items():
        if named is not None:
            vars(importlib.import_module(name))["__all__"] = named
    warnings.filterwarnings("ignore", "Error parsing type annotation", module="pdoc")  # of fields: shown as written
    pdoc.render.configure(docformat="google", template_directory=Path(__file__).parent / "templates")
    docs = {name: pdoc.doc.Module(importlib.import_module(name)) for name in modules}
    problems: list[str] = []
    for name, module in docs.items():
        _describe_constants(module)
        page = equations.render(pdoc.render.html_module(module, docs))
        page = _unlink_missing(page)
        page, dead = _link_files(page, root, _address(name))
        problems += [f"{name}: there is no file {path}" for path in dead]
        problems += [f"{name}: there is no {symbol}" for symbol in _dead_names(module.docstring)]
        target = out / _address(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page)
    (out / "api" / "index.html").write_text(pdoc.render.html_index(docs))
    (out / "api" / "search.js").write_text(pdoc.render.search_index(docs))
    return problems


def _describe_constants(module: pdoc.doc.Module) -> None:
    """Gives constants that a package takes from its modules the docstrings they have there."""
    within = [m for name, m in sys.modules.items() if name.startswith(module.modulename + ".")]
    theirs = [pdoc.doc.Module(m)._var_docstrings for m in within]
    for member in module.variables:
        for docstrings in theirs:
            member.docstring = member.docstring or docstrings.get(member.name, "")


def _unlink_missing(page: str) -> str:
    """pdoc links what a class inherits from one that is not on the site; the name alone stays."""
    there = set(re.findall(r'id="([^"]+)"', page))
    return re.sub(
        r'<a (?:class="\w+" )?href="#([^"]+)">(.*?)</a>',
        lambda m: m[0] if m[1] in there else m[2],
        page,
        flags=re.DOTALL,
    )


def _link_files(page: str, root: Path, address: str) -> tuple[str, list[str]]:
    """Makes links of file names such as ``experiments/results/bench`` in docstrings."""
    dead = []

    def link(match: re.Match[str]) -> str:
        path = root / html.unescape(match[1])
        if not path.exists():
            dead.append(match[1])
            return match[0]
        where = path / "README.md" if path.is_dir() else path
        target = where.relative_to(root)
        target = target.with_suffix(".html") if target.suffix == ".md" else Path(f"{target}.html")
        return f'<a href="{os.path.relpath(target, Path(address).parent)}">{match[0]}</a>'

    return re.sub(r"<code>((?:experiments|notebooks|tests|asrnn_jax)/[\w./-]+)</code>", link, page), dead


def _dead_names(docstring: str) -> list[str]:
    names = re.findall(r"(?<!`)`((?:asrnn_jax|experiments)(?:\.\w+)+)`(?!`)", docstring)
    return [name for name in names if not resolves(name)]


def resolves(name: str) -> bool:
    """Whether a dotted name is a module or something in one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                break
            found = getattr(found, part)
        else:
            return True
    return False
