"""A file of JSON lines that several processes of a machine add to, and what each of them is at work on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from asrnn_jax.saved import replacing
from experiments.errors import UsageError
from experiments.folder import alone, made

Row = dict[str, Any]


class Lines:
    """Rows by their "name", a line each.

    Args:
      file: where they are; it need not exist. Locks are folders beside it, in ``claims``.
      order: what the lines are sorted by, so that the file does not depend on who was first.
    """

    def __init__(self, file: Path, order: Callable[[Row], Any]):
        self.file, self._order = file, order
        self._claims = file.parent / "claims"

    def read(self) -> dict[str, Row]:
        """All rows by name. No file, no rows.

        Raises:
          UsageError: a damaged line.
        """
        return read_rows(self.file)

    def add(self, row: Row) -> None:
        """Adds a line, after those that other processes have added. The whole file is written or nothing."""
        with alone(self._folder("all lines"), waits=True):
            rows = self.read() | {row["name"]: row}
            with replacing(self.file, "w") as lines:
                lines.writelines(json.dumps(each) + "\n" for each in sorted(rows.values(), key=self._order))

    @contextmanager
    def free(self, name: str) -> Iterator[bool]:
        """Keeps other processes from this row; False: another one is at work on it."""
        with ExitStack() as held:
            try:
                held.enter_context(alone(self._folder(name)))
            except UsageError:
                yield False
                return
            yield True

    def _folder(self, name: str) -> Path:
        return made(str(self._claims / name))


def read_rows(file: Path) -> dict[str, Row]:
    """The rows of a file by name. No file, no rows.

    Raises:
      UsageError: a damaged line.
    """
    try:
        found = map(json.loads, file.read_text().splitlines() if file.exists() else [])
        return {row["name"]: row for row in found}
    except (ValueError, TypeError, KeyError) as e:
        raise UsageError(f"{file} is damaged ({e}): restore it, or give another --out.") from e
