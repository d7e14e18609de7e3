"""Plants each fault in a copy and runs the fast tests against it: ``python -m tests.planted [FILE ...]``.

First the tests where it should be noticed, then all of them. Writes README.md here, row by row; a file that has a row
is not tried again unless it is named.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.planted.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("README.md")
PROGRAMS = tempfile.TemporaryDirectory()  # compiled once for all faults
HEAD = """# Planted faults

What the fast tests (`make test`) say of small faults, one in each file of the library, planted one at a time by
`python -m tests.planted`.

| file | fault | noticed by |
| ---- | ----- | ---------- |
"""


def planted(fault: Fault, source: str) -> str:
    if source.count(fault.right) != 1:
        raise ValueError(f"{fault.file} has {source.count(fault.right)} times {fault.right!r}: it should occur once.")
    return source.replace(fault.right, fault.wrong)


def copied(to: Path) -> Path:
    for name in (".ci", "asrnn_jax", "experiments", "tests", "notebooks"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in filter(Path.is_file, ROOT.iterdir()):
        shutil.copy(file, to)
    return to


def first_failure(root: Path, tests: list[str]) -> str | None:
    """The name of a test that fails, or of what could not be imported; None where all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-n", os.environ.get("PLANTED_PROCESSES", "2"), *tests]
    settings = {"PYTHONPATH": str(root), "ASRNN_TEST_PROGRAMS": PROGRAMS.name}
    done = subprocess.run(command, cwd=root, env={**os.environ, **settings}, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return found[1] if found else f"pytest, which ends with {done.returncode}"


def tried(fault: Fault) -> str:
    with tempfile.TemporaryDirectory() as folder:
        root = copied(Path(folder))
        file = root / "asrnn_jax" / fault.file
        file.write_text(planted(fault, file.read_text()))
        return first_failure(root, fault.tests.split()) or first_failure(root, []) or "NOTHING"


def row(fault: Fault, noticed: str) -> str:
    right, wrong = (" ".join(text.split()).replace("|", "\\|") for text in (fault.right, fault.wrong))
    test = noticed.split("[")[0].replace("|", "\\|")
    return f"| `{fault.file}` | `{right}` becomes `{wrong}` | `{test}` |"


def main(names: list[str]) -> int:
    table, mark, after = (TABLE.read_text() if TABLE.exists() else "").partition("\n## ")  # what follows it stays
    rows = dict(re.findall(r"^(\| `([^`]+)`.*)$", table, re.MULTILINE))
    rows = {file: line for line, file in rows.items()}
    for fault in FAULTS:
        if fault.file in names or (not names and fault.file not in rows):
            rows[fault.file] = row(fault, tried(fault))
            print(rows[fault.file], flush=True)
            TABLE.write_text(HEAD + "\n".join(rows[f.file] for f in FAULTS if f.file in rows) + "\n" + mark + after)
    return int(any("`NOTHING`" in line for line in rows.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
