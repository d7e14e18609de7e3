"""What must not be missing: public symbols with their docstrings, and what links lead to."""

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """The ids of a page, the links on it, and what it loads."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif (name == "src" and value) or (name == "href" and tag == "link"):
                self.loads.append(value or "")
            elif name == "href" and value:
                self.links.append(value)


def links(site: Path) -> list[str]:
    """Links of the site that lead nowhere, and things that a page would load from the network."""
    read = {path.resolve(): _Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    problems = []
    for path, page in read.items():
        for url in [*page.links, *page.loads]:
            parts = urlsplit(url)
            if parts.scheme or url.startswith("//"):
                if url in page.loads and parts.scheme != "data":
                    problems.append(f"{path}: loads {url} from the network")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                problems.append(f"{path}: {url} leads nowhere")
            elif parts.fragment and target in read and unquote(parts.fragment) not in read[target].ids:
                problems.append(f"{path}: {url} names no place on that page")
    return problems


def symbols(public: Mapping[str, list[str]], api: Path) -> list[str]:
    """Public symbols that are not on the site, or without a docstring."""
    problems = []
    for name, names in public.items():
        path = api / f"{name.replace('.', '/')}.html"
        text = path.read_text() if path.exists() else ""
        for symbol in names:
            at = re.search(rf'<section id="{re.escape(symbol)}">(.*?)</section>', text, re.DOTALL)
            if at is None:
                problems.append(f"{name}.{symbol} is not on the site")
            elif 'class="docstring"' not in at[1].partition('class="classattr"')[0]:
                problems.append(f"{name}.{symbol} has no docstring")
    return problems


def markdown_links(root: Path, files: list[Path]) -> list[str]:
    """Links in Markdown files that lead to no file of the repository."""
    problems = []
    for file in files:
        text = re.sub(r"```.*?```", "", file.read_text(), flags=re.DOTALL)
        for url in re.findall(r"\]\(([^)\s]+)\)", text):
            path = urlsplit(url).path
            if not urlsplit(url).scheme and path and not (file.parent / unquote(path)).exists():
                problems.append(f"{file.relative_to(root)}: {url} leads nowhere")
    return problems
