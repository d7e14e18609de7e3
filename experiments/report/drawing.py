"""Figures as files, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.errors import UsageError


def pyplot() -> Any:
    """matplotlib.pyplot, drawing to files. It is imported here, only for work that needs it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def save(figure: Any, out: Path) -> None:
    """Writes a figure and closes it.

    Raises:
      UsageError: the file cannot be written.
    """
    import matplotlib.pyplot as plt

    try:
        figure.savefig(out, dpi=150)
    except (OSError, ValueError) as e:
        raise UsageError(f"--figure {out} cannot be written ({e}): give another file.") from e
    finally:
        plt.close(figure)
