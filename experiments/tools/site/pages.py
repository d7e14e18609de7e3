"""README, results and notebooks as pages, and the files that they link to."""

import base64
import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer, TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

from experiments.tools.site import equations

HERE = Path(__file__).parent
PICTURES = (".png", ".svg", ".jpg", ".gif")
LONGEST = 400_000  # bytes of a file that is shown highlighted
NAVIGATION = {
    **{"index.html": "asrnn_jax", "api/asrnn_jax.html": "Guides and API", "notebooks/README.html": "Notebooks"},
    **{"experiments/results/README.html": "Results", "CHANGELOG.html": "Changes"},
    **{"CONTRIBUTING.html": "Contributing", "contents.html": "All pages"},
}


def sources(root: Path) -> list[Path]:
    """The Markdown files and notebooks of the repository, relative to it."""
    found = [*root.glob("*.md"), *root.glob("notebooks/*"), *root.glob("experiments/**/*.md")]
    return sorted(path.relative_to(root) for path in found if path.suffix in (".md", ".ipynb"))


def address(path: Path) -> Path:
    """Where on the site a file is."""
    if path == Path("README.md"):
        return Path("index.html")
    if path.suffix in (".md", ".ipynb"):
        return path.with_suffix(".html")
    return path if path.suffix in PICTURES else Path(f"{path}.html")


def build(root: Path, out: Path, modules: Mapping[Path, str]) -> None:
    """Writes a page for every source, and for what these link to."""
    wanted, seen = sources(root), set()
    extra = [path.relative_to(root) for path in (root / "experiments/examples").glob("*.py")]
    extra += [path for path in (Path("experiments/machine.py"),) if (root / path).exists()]
    wanted += extra
    while wanted:
        path = wanted.pop()
        if path in seen or not (root / path).exists():
            continue
        seen.add(path)
        target = out / (address(path) if (root / path).is_file() else path / "index.html")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in PICTURES:
            shutil.copy(root / path, target)
            continue
        links = _Links(root, path, modules)
        target.write_text(_page(path, _body(root, path, links), target.relative_to(out)))
        wanted += links.files
    colours = "\n".join(HtmlFormatter().get_style_defs(where) for where in (".highlight", "pre code"))
    (out / "site.css").write_text(f"{colours}\n{(HERE / 'site.css').read_text()}")


class _Links:
    """Rewrites the links of one file, and keeps which files they need."""

    def __init__(self, root: Path, path: Path, modules: Mapping[Path, str]):
        self.root, self.path, self.modules = root, path, modules
        self.files: list[Path] = []

    def __call__(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme or not parts.path:
            return url
        full = os.path.normpath(self.root / self.path.parent / unquote(parts.path))
        if not os.path.exists(full) or not full.startswith(str(self.root)):
            return url  # the check of links reports it
        file = Path(full).relative_to(self.root)
        if file in self.modules:
            target = Path(self.modules[file])
        elif (self.root / file).is_dir() and not (self.root / file / "README.md").exists():
            self.files.append(file)
            target = file / "index.html"
        else:
            file = file / "README.md" if (self.root / file).is_dir() else file
            self.files.append(file)
            target = address(file)
        here = address(self.path).parent if (self.root / self.path).is_file() else self.path
        return os.path.relpath(target, here) + (f"#{parts.fragment}" if parts.fragment else "")


def _body(root: Path, path: Path, links: Callable[[str], str]) -> str:
    full = root / path
    if full.is_dir():
        tracked = subprocess.run(["git", "ls-files", "."], cwd=full, capture_output=True, text=True).stdout.split("\n")
        names = sorted({name.split("/")[0] for name in tracked if name})
        return f"<h1>{path}</h1><ul>{''.join(f'<li>{html.escape(name)}</li>' for name in names)}</ul>"
    if path.suffix == ".md":
        return equations.render(markdown(full.read_text(), links))
    if path.suffix == ".ipynb":
        return _notebook(json.loads(full.read_text()), links)
    if full.stat().st_size > LONGEST:
        return f"<h1>{path}</h1><p>{full.stat().st_size:,} bytes, in the repository.</p>"
    try:
        lexer = get_lexer_for_filename(path.name)
    except ClassNotFound:
        lexer = TextLexer()
    return f"<h1>{path}</h1>" + highlight(full.read_text(errors="replace"), lexer, HtmlFormatter())


def markdown(text: str, links: Callable[[str], str]) -> str:
    """Markdown as HTML: headings are places to link to, code is highlighted, wide tables scroll."""

    def coloured(code: str, language: str, _: str) -> str:
        return highlight(code, PythonLexer() if language == "python" else TextLexer(), HtmlFormatter(nowrap=True))

    reader = (
        MarkdownIt("commonmark", {"html": True, "highlight": coloured}).enable("table").use(anchors_plugin, max_level=4)
    )
    tokens = reader.parse(equations.tex(text))
    for token in (child for top in tokens for child in (top, *(top.children or ()))):
        for name in ("href", "src"):
            if name in token.attrs:
                token.attrs[name] = links(str(token.attrs[name]))
    made = reader.renderer.render(tokens, reader.options, {})
    return made.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")


def _notebook(notebook: dict, links: Callable[[str], str]) -> str:
    out = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            out.append(markdown(source, links))
        elif cell["cell_type"] == "code":
            out.append(highlight(source, PythonLexer(), HtmlFormatter()))
            out += [_output(output) for output in cell["outputs"]]
    return "\n".join(out)


def _output(output: dict) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        picture = base64.b64encode(base64.b64decode("".join(data["image/png"]))).decode()
        return f'<p><img alt="figure of the cell above" src="data:image/png;base64,{picture}"></p>'
    if "text/html" in data:
        return f'<div class="scroll">{"".join(data["text/html"])}</div>'
    text = "".join(data.get("text/plain", output.get("text", "")))
    plain = html.escape(re.sub(r"\x1b\[[0-9;]*m", "", text))  # without the colours of a terminal
    return f'<pre class="output">{plain}</pre>' if text else ""


def _page(title: Path | str, body: str, at: Path) -> str:
    up = "../" * len(at.parent.parts)
    bar = " ".join(f'<a href="{up}{url}">{text}</a>' for url, text in NAVIGATION.items())
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.DOTALL)
    name = re.sub("<[^>]*>", "", heading[1]) if heading else str(title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<link rel="stylesheet" href="{up}site.css">
</head>
<body>
<nav>{bar}</nav>
<main>
{body}
</main>
</body>
</html>
"""


def contents(root: Path, out: Path, modules: Mapping[str, str]) -> None:
    """Writes the list of all pages."""
    parts = ["<h1>All pages</h1>", "<h2>Guides and API</h2>", "<ul>"]
    for name, summary in modules.items():
        address_ = f"api/{name.replace('.', '/')}.html"
        parts.append(f'<li><a href="{address_}">{name}</a>: {markdown(summary, str)[3:-5]}</li>')
    parts += ["</ul>", "<h2>Notebooks, results, other pages</h2>", "<ul>"]
    for path in sources(root):
        page = address(path)
        heading = re.search(r"<h1[^>]*>(.*?)</h1>", (out / page).read_text(), re.DOTALL)
        title = re.sub("<[^>]*>", "", heading[1]) if heading else ""
        parts.append(f'<li><a href="{page.as_posix()}">{path}</a>{": " if title else ""}{title}</li>')
    (out / "contents.html").write_text(_page("All pages", "\n".join([*parts, "</ul>"]), Path("contents.html")))
