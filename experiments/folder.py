"""A run is a folder:

config.json      the settings
metrics.jsonl    one line a log or evaluation; the same bytes for a resumed run as for one never stopped
probes.jsonl     likewise: what --probe recorded inside the network
checkpoints/     orbax, the newest two
figures/         learning curves
result.json      written once, at the end
timing.json      wall-clock time, in a file of its own because it is different each time
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.config import Config, differences
from experiments.errors import UsageError

try:
    import fcntl
except ImportError:
    fcntl = None


def write_json(path: Path, value: Any) -> None:
    """Writes a whole file or nothing."""
    from asrnn_jax.saved import replacing  # with jax, which must not be imported before `machine.prepare`

    with replacing(path, "w") as file:
        file.write(json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
      UsageError: the file is missing, or is no JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as e:
        raise UsageError(f"{path} is missing: {path.parent} is not a run folder.") from e
    except (ValueError, OSError) as e:
        raise UsageError(f"{path} cannot be read ({e}).") from e


def begun(folder: Path, config: Config) -> bool:
    """Whether a run with these settings was begun in the folder.

    Raises:
      UsageError: a run with other settings was begun there.
    """
    stored = folder / "config.json"
    if not stored.exists():
        return False
    unchanged(read_json(stored), config, str(folder))
    return True


def unchanged(stored: dict[str, Any], config: Config, where: str) -> None:
    """Checks that a run was made with these settings.

    Raises:
      UsageError: it was made with others; the message has the differences.
    """
    if changes := differences(stored, config):
        raise UsageError(f"--out: {where} was made with other settings ({', '.join(changes)}); give another folder.")


def made(out: str, flag: str = "--out") -> Path:
    """Makes the folder that a flag names, before there are results to lose, and returns its path.

    Raises:
      UsageError: it cannot be made.
    """
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(f"{flag} {out} cannot be written ({e.strerror}): give another folder.") from e
    return Path(out)


@contextmanager
def alone(folder: Path, *, waits: bool = False) -> Iterator[None]:
    """Locks the folder against other processes of this machine. The system takes the lock away with the process.

    Args:
      folder: an existing folder.
      waits: for another process that has locked it, until it is done.

    Raises:
      UsageError: another process has locked it, and this one does not wait.
    """
    if fcntl is None:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError as e:
            raise UsageError(f"--out {folder}: another process is at work in it; wait, or give another folder.") from e
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


class Clock:
    """A file with the seconds that a run took in all its sessions, and with the devices that it ran on."""

    def __init__(self, path: Path, about: dict[str, int]):
        self._path, self._about = path, about
        self._before = float(read_json(path).get("seconds", 0.0)) if path.exists() else 0.0
        self._start = time.perf_counter()

    def save(self) -> None:
        seconds = round(self._before + time.perf_counter() - self._start, 2)
        write_json(self._path, {"seconds": seconds} | self._about)


class Metrics:
    """The file metrics.jsonl: lines of ``{"step": ..., name: value}`` in the order of steps."""

    def __init__(self, path: Path, step: int):
        """Opens the file and drops what was written after `step` (or torn) by a run that was killed."""
        kept = [line for line in read_metrics(path) if line["step"] <= step]
        self.last = kept[-1]["step"] if kept else -1
        from asrnn_jax.saved import replacing

        with replacing(path, "w") as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a")

    def write(self, step: int, **values: Any) -> None:
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Puts every line on disk; called before a checkpoint so that no checkpoint is ahead of its metrics."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; a torn last line is left out. No file, no lines.

    Raises:
      UsageError: a damaged line before the last.
    """
    if not path.exists():
        return []
    lines = path.read_text(errors="replace").split("\n")  # what is no text is no JSON either
    if lines and lines[-1] == "":
        lines.pop()
    values = []
    for number, line in enumerate(lines):
        try:
            value = json.loads(line)
            if not isinstance(value["step"], int):
                raise TypeError("step is no whole number")
            values.append(value)
        except (ValueError, TypeError, KeyError) as e:
            if number == len(lines) - 1:
                break
            raise UsageError(f"{path}, line {number + 1} is damaged ({e}).") from e
    return values


def placeless(config: dict[str, Any]) -> dict[str, Any]:
    """A config's JSON values without the folders of the machine that it ran on."""
    config = config | {name: None for name in ("data_dir",) if name in config}
    config |= {
        name: config[name] and without_folders(config[name]) for name in ("teacher", "network") if name in config
    }
    return config | {"training": config["training"] | {"out": None, "resume": False, "coordinator": None}}


def without_folders(value: str) -> str:
    """A path without the folders of this machine. Of a best.safetensors, which every run has, one folder stays."""
    path = Path(value)
    if not path.is_absolute():
        return value
    return f"{path.parent.name}/{path.name}" if path.stem == "best" else path.name
