"""The folder of a pilot: what is in it, and how a pilot that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from asrnn_jax.saved import replacing

NAMES = {
    "config": "config.json",
    "result": "result.json",
    "runs": "runs.jsonl",
    "page": "report.html",
    "model": "model.safetensors",
    "script": "stream.py",
}
"""What lies in the folder; beside it ``networks/CELL.safetensors`` and ``.json`` of each network."""


def claim(out: str | Path, config: dict[str, Any]) -> Path:
    """The folder of a pilot, made or found again.

    Raises:
      ValueError: a folder with a pilot of other data or flags, or something that is no folder.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {out} is a file; name a folder.")
    (folder / "networks").mkdir(parents=True, exist_ok=True)
    path = folder / NAMES["config"]
    if path.exists():
        before = json.loads(path.read_text())
        other = [name for name in config if config[name] != before.get(name)]
        if other:
            raise ValueError(
                f"--out {out} has a pilot with other {', '.join(other)}; name another folder, or remove this one."
            )
    else:
        write_json(path, config)
    return folder


def digest(path: str | Path) -> str:
    """The SHA-256 of a file.

    Raises:
      OSError: it is not there or cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, values: Any) -> None:
    """Writes JSON values, in the place of any file before; NumPy's numbers too, and null for what is not finite."""
    with replacing(path, "w") as file:
        json.dump(plain(values), file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def write_text(path: Path, text: str) -> None:
    """Writes text, in the place of any file before."""
    with replacing(path) as file:
        file.write(text.encode())


def plain(values: Any) -> Any:
    """As JSON values: arrays and tuples are lists, numbers that are not finite are None.

    Example:
      >>> plain({"a": np.array([1.0, np.nan]), "b": np.int64(3)})
      {'a': [1.0, None], 'b': 3}
    """
    if hasattr(values, "_asdict"):
        values = values._asdict()
    if isinstance(values, dict):
        return {str(name): plain(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [plain(value) for value in values]
    if hasattr(values, "tolist"):
        return plain(np.asarray(values).tolist())
    if isinstance(values, float) and not math.isfinite(values):
        return None
    return values
