"""Files of saved sessions: arrays and what they are of, written whole or not at all, with a hash of the contents."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write(path: str | os.PathLike, arrays: Sequence[np.ndarray], about: dict[str, Any]) -> None:
    """Writes a file in the place of any before it.

    Raises:
      OSError: it cannot be written; the file is then as it was.
    """
    target = Path(path)
    unfinished = target.with_name(target.name + ".part")
    text = json.dumps(about | {"sha256": _digest(arrays)})
    try:
        with unfinished.open("wb") as file:
            named = {f"array{i}": array for i, array in enumerate(arrays)}
            np.savez(file, allow_pickle=False, about=np.frombuffer(text.encode(), np.uint8), **named)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: str | os.PathLike) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The arrays of a file and what they are of.

    Raises:
      ValueError: it is damaged, or no saved session.
      OSError: it cannot be read.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            about = json.loads(bytes(file["about"]))
            arrays = [file[f"array{i}"] for i in range(len(file.files) - 1)]
    except OSError:
        raise
    except Exception as e:  # zipfile, json, numpy and struct all have errors of their own for a damaged file
        raise ValueError(f"{path} is no saved session, or damaged ({type(e).__name__}: {e}).") from e
    if not isinstance(about, dict) or about.get("sha256") != _digest(arrays):
        raise ValueError(f"{path} is damaged: its contents are not what was saved.")
    return arrays, about


def _digest(arrays: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
