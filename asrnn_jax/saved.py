"""Files of arrays and what they are of, written whole or not at all, with a hash of the contents."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
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
    text = json.dumps(about | {"sha256": digest(arrays, about)})
    try:
        with unfinished.open("wb") as file:
            named = {f"array{i}": array for i, array in enumerate(arrays)}
            np.savez(file, allow_pickle=False, about=np.frombuffer(text.encode(), np.uint8), **named)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: str | os.PathLike, what: str) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The arrays of a file and what they are of; `what` is what the file should be, for messages.

    Raises:
      ValueError: it is damaged, or no such file.
      OSError: it cannot be read.
    """
    with open(path, "rb") as opened:
        try:
            _check_sizes(opened)
            with np.load(opened, allow_pickle=False) as file:
                about = json.loads(bytes(file["about"]))
                arrays = [file[f"array{i}"] for i in range(len(file.files) - 1)]
            stored = about.pop("sha256")
        except Exception as e:  # zipfile, json, numpy and struct all have errors of their own for a damaged file
            raise ValueError(f"{path} is no {what}, or damaged ({type(e).__name__}: {e}).") from e
    if stored != digest(arrays, about):
        raise ValueError(f"{path} is damaged: its contents are not what was saved.")
    return arrays, about


def _check_sizes(file: Any) -> None:
    """A damaged or malicious header must not claim more memory than the file has bytes: nothing is compressed."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        claimed = sum(info.file_size for info in archive.infolist())
    if claimed > size:
        raise ValueError(f"{claimed} bytes in a file of {size}")
    file.seek(0)


def digest(arrays: Sequence[np.ndarray], about: dict[str, Any]) -> str:
    """SHA-256 of arrays (type, shape, bytes) and of what they are of."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
