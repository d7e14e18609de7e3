"""SHA-256 of arrays and of JSON values; they stand in files, so what they are of must not change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def of_json(value: Any) -> str:
    """Of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(_json(value)).hexdigest()


def of_array(array: np.ndarray) -> str:
    """Of an array: type, shape and bytes."""
    found = hashlib.sha256()
    _add(found, "", array)
    return found.hexdigest()


def of_file(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> str:
    """Of arrays (name, type, shape, bytes) and of what they are of, a JSON value."""
    found = hashlib.sha256(_json(about))
    for name, array in sorted(arrays.items()):
        _add(found, name, array)
    return found.hexdigest()


def of_values(tree: Any) -> str:
    """Of the bytes of all leaves, and of nothing that says how they are arranged."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _add(found: Any, name: str, array: np.ndarray) -> None:
    found.update(f"{name}{array.dtype}{array.shape}".encode())
    found.update(np.asarray(array, order="C").tobytes())
