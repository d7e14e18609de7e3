"""A run is a folder:

config.json      what was asked for
metrics.jsonl    one line a log or evaluation; the same bytes for a resumed run as for one never stopped
probes.jsonl     likewise, what --probe recorded of the inside of the network
checkpoints/     orbax, the newest two
figures/         learning curves
result.json      written once, at the end
timing.json      wall-clock time, kept apart because it is the one thing that cannot repeat
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from experiments.config import Config, differences, to_json
from experiments.errors import UsageError


def write_json(path: Path, value: Any) -> None:
    """Writes a whole file or nothing."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(partial, path)


def read_json(path: Path) -> Any:
    """Raises: UsageError when the file is missing or no JSON."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as e:
        raise UsageError(f"{path} is missing: {path.parent} is not a run folder.") from e
    except (ValueError, OSError) as e:
        raise UsageError(f"{path} cannot be read ({e}).") from e


class Metrics:
    """The file metrics.jsonl: lines of ``{"step": ..., name: value}`` in the order of steps."""

    def __init__(self, path: Path, step: int):
        """Opens the file and drops what was written after `step` (or torn) by a run that was killed."""
        kept = [line for line in read_metrics(path) if line["step"] <= step]
        self.last = kept[-1]["step"] if kept else -1
        partial = path.with_name(path.name + ".part")
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(partial, path)
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
    lines = path.read_text().split("\n")
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


class Checkpoints:
    """The newest checkpoints of a run, each the leaves of its state by name, with the config they were made by."""

    def __init__(self, folder: Path, config: Config):
        self._config = config
        alone = ocp.options.MultiprocessingOptions(  # each process keeps its own, see `experiments.machine`
            primary_host=jax.process_index(),
            active_processes={jax.process_index()},
            barrier_sync_key_prefix=f"process{jax.process_index()}",
        )
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False, create=False, multiprocessing_options=alone
        )
        folder.mkdir(exist_ok=True)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, step: int, state: Any) -> None:
        """Saves and returns once it is on disk; a step that is saved already is left alone."""
        if step in self._manager.all_steps():
            return
        arrays = {name: np.asarray(leaf) for name, leaf in named(state)}
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave({"config": to_json(self._config)})
        )
        if not self._manager.save(step, args=items):
            raise OSError(f"the checkpoint of step {step} was not saved")
        self._manager.wait_until_finished()

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """The newest readable checkpoint as ``(step, state)``, with the structure of `like`; None if there is none.

        Raises:
          UsageError: it belongs to another configuration, or none of several can be read.
        """
        failures = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
                target = {name: np.asarray(leaf) for name, leaf in named(like)}
                items = ocp.args.Composite(state=ocp.args.StandardRestore(target))
                changes = differences(about["config"], self._config)
                arrays = self._manager.restore(step, args=items)["state"] if not changes else {}
            except Exception as e:  # orbax raises many kinds for truncated or missing files
                failures.append(f"step {step}: {type(e).__name__}")
                warnings.warn(f"checkpoint of step {step} cannot be read ({type(e).__name__}: {e})", stacklevel=2)
                continue
            if changes:
                raise UsageError(
                    f"the checkpoint of step {step} was made by another configuration ({', '.join(changes)}); "
                    "resume it with the settings it was made with, or start in a new folder."
                )
            for unreadable in [s for s in self._manager.all_steps() if s > step]:
                self._manager.delete(unreadable)  # else they would stand in the way of saving these steps again
            leaves = [jax.numpy.asarray(arrays[name]) for name, _ in named(like)]
            return step, jax.tree.unflatten(jax.tree.structure(like), leaves)
        if failures:
            raise UsageError(f"no checkpoint can be read ({'; '.join(failures)}): start again in a new folder.")
        return None

    def latest(self) -> int | None:
        """The newest step saved."""
        return self._manager.latest_step()

    def close(self) -> None:
        self._manager.close()


def named(state: Any) -> list[tuple[str, Any]]:
    """The leaves of a pytree with their paths as names."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]
