"""Files of arrays and of what they are: written whole or not at all, with a hash of everything; a guide to reliability.

Trained networks (`asrnn_jax.pretrained`) and sessions (`asrnn_jax.streaming.Session.save`) are such files, in the
format of safetensors. Any reader of safetensors reads them.

## What is promised

- **A file is what was saved, or it is refused.** A writer that is killed or meets a full disk leaves the old file as
  it was. A damaged file is refused with the reason.
- **Files from elsewhere** are never unpickled, and the lengths they state are not believed. If they are bad, the
  command line ends with one line and exit code 2.
- **A session** gives in chunks what one run gives, to 1e-5, in bounded memory. A saved one continues with the same
  bits.
- **Wrong data inside `jax.jit`** become NaN; see `asrnn_jax.checks`.
- **A run of the command line** that is killed and resumed ends with the same bytes as one that was never stopped; see
  `experiments.training.checkpoints`.

``make faults`` kills runs, damages their files, fills their disk and runs a session for a million steps, and counts
what was lost: ``experiments/results/reliability``.

## What is not promised

- The same bits with other versions, another kind of device or another number of devices. There the numbers of a step
  agree to about 1e-6, and long trainings drift apart.
- That a file which somebody changed on purpose is noticed. A hash in the file itself finds accidents.
- Speed beside other work on the same cores.

## The format

The header's metadata are ``about`` (JSON), ``sha256`` of arrays and about, and ``complex128`` (JSON, names):
safetensors has no such type, so these arrays are float64 with a last axis of real and imaginary part.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from asrnn_jax import hashes
from asrnn_jax.pairs import viewed_as_complex, viewed_as_real

__all__ = ["Readable", "Writable", "read", "replacing", "write"]

TYPES = {  # safetensors' names
    **{"F16": np.float16, "F32": np.float32, "F64": np.float64, "BF16": jnp.bfloat16, "C64": np.complex64},
    **{"I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64, "BOOL": np.bool_},
    **{"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64},
}


@runtime_checkable
class Readable(Protocol):
    """A file object that is open for reading bytes."""

    def read(self) -> bytes: ...


@runtime_checkable
class Writable(Protocol):
    """A file object that is open for writing bytes."""

    def write(self, data: bytes, /) -> Any: ...


@contextmanager
def replacing(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO[Any]]:
    """A new file, open for writing, that takes the place of `path` once all is written and on disk, or never.

    Its own name is of no other writer: of two that write one path, the last to end wins.

    Raises:
      OSError: it cannot be written; the file is then as it was.
    """
    target = Path(path)
    unfinished = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    try:
        with unfinished.open(mode.replace("w", "x")) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def write(to: str | os.PathLike | Writable, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Writes arrays by name and what they are of, JSON values, in the place of any file before it.

    Args:
      to: a path, or a file object that is open for writing bytes.

    Raises:
      OSError: it cannot be written; a file at the path is then as it was.
    """
    arrays = {name: _plain(array) for name, array in arrays.items()}
    pairs = [name for name, array in arrays.items() if array.dtype == np.complex128]
    stored = {name: viewed_as_real(array) if name in pairs else array for name, array in arrays.items()}
    metadata = {"about": json.dumps(about), "sha256": hashes.of_file(arrays, about), "complex128": json.dumps(pairs)}
    data = safetensors.numpy.save(stored, metadata)
    if isinstance(to, (str, os.PathLike)):
        with replacing(to) as file:
            file.write(data)
    else:
        to.write(data)


def read(source: str | os.PathLike | Readable, what: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file by name and what they are of; `what` is what the file should be, for messages.

    Args:
      source: a path, or a file object that is open for reading bytes, which is read to its end.

    Raises:
      ValueError: it is damaged, or no such file.
      OSError, MemoryError: it cannot be read.
    """
    name = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "the file")
    data = Path(source).read_bytes() if isinstance(source, (str, os.PathLike)) else source.read()
    if data[:4] == b"PK\x03\x04":
        raise ValueError(
            f"{name} is no {what} of this version, but perhaps one of before 0.1, when they were .npz files: load it "
            "with the version that wrote it and save its arrays again."
        )
    try:  # lengths and offsets are checked against the size of the file before anything is made of them
        found = {key: _array(about) for key, about in safetensors.deserialize(data)}
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        about, stored = json.loads(metadata["about"]), metadata["sha256"]
        found |= {key: _from_pairs(found[key]) for key in json.loads(metadata["complex128"])}
        whole = stored == hashes.of_file(found, about)
    except (safetensors.SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        said = str(e).split("\n")[0][:200]
        raise ValueError(f"{name} is no {what}, or damaged ({type(e).__name__}: {said}).") from e
    if not whole:
        raise ValueError(f"{name} is damaged: its contents are not what was saved.")
    return found, about


def _plain(array: Any) -> np.ndarray:
    """In the byte order of this machine, and in one piece."""
    array = np.asarray(array, order="C")
    return array.astype(array.dtype.newbyteorder("=")) if not array.dtype.isnative else array


def _array(about: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(about["data"], TYPES[about["dtype"]]).reshape(about["shape"])


def _from_pairs(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.float64 or array.shape[-1:] != (2,):
        raise ValueError(f"complex numbers of type {array.dtype}, shape {array.shape}")
    return viewed_as_complex(array)
