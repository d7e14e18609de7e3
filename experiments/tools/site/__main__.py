"""python -m experiments.tools.site [FOLDER]: builds the site, in site/ by default; fails if something is missing."""

import shutil
import sys
from pathlib import Path

from experiments.tools.site import api, check, pages

ROOT = Path(__file__).parents[3]


def main(out: Path) -> int:
    if out.exists() and any(out.iterdir()) and not (out / "contents.html").exists():
        print(f"error: {out} is not empty and no site; name another folder.", file=sys.stderr)
        return 2
    shutil.rmtree(out, ignore_errors=True)
    modules = api.public_modules()
    pages.build(ROOT, out, api.addresses(modules, ROOT))
    problems = api.build(modules, ROOT, out)
    pages.contents(ROOT, out, {name: api.summary(name) for name in modules})
    problems += check.symbols({name: api.public(name) for name in modules}, out / "api") + check.links(out)
    for problem in problems:
        print(problem, file=sys.stderr)
    count = len(list(out.rglob("*.html")))
    print(f"{count} pages in {out}: open {out / 'index.html'}. {len(problems)} problems.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "site")))
