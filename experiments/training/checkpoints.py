"""Checkpoints that verify every array they read, because a disk does not always return what was saved.

What a run promises:

- **A run that is killed at any moment and resumed** ends with the same bytes in ``metrics.jsonl`` and
  ``result.json``, parameters included, as one that was never stopped. What is lost is the time since the last
  checkpoint (``--checkpoint-every``).
- **A checkpoint is what was saved, or it is refused.** Every array has its hash, shape and type. A damaged checkpoint
  is named, and the one before it is taken, with a warning. A run that goes on sets the damaged one aside
  (``STEP.damaged``). If the system cannot read a file at the moment, that is not taken for damage. Reading changes
  nothing, and two processes cannot write one folder.
- **Every way to end says up to where the run is saved**, with an exit code that is not 0: an exception, a full disk,
  SIGTERM, another process that is gone. A loss or a gradient that is not finite stops the run, names the step and
  keeps the batch.

``make faults`` tests this and counts what was lost: ``experiments/results/reliability``.
"""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from asrnn_jax import hashes
from asrnn_jax.names import named
from experiments.config import Config, differences, to_json
from experiments.errors import DamagedError, UsageError, disk_full, system_error


class Checkpoints:
    """The newest checkpoints of a run: the leaves of its state by name, their hashes, and the config they are of."""

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
        self._folder = folder
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, step: int, state: Any) -> None:
        """Saves the state and returns when it is on disk. Does nothing if this step is saved already.

        Raises:
          OSError: it cannot be saved.
        """
        if step in self._manager.all_steps():
            return
        arrays = {name: np.asarray(leaf) for name, leaf in named(state)}
        about = {
            "config": to_json(self._config),
            "keys": _keys(),
            "leaves": {name: hashes.of_array(array) for name, array in arrays.items()},
            "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
        }
        about["sha256"] = hashes.of_json(about)
        items = ocp.args.Composite(state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
        try:
            saved = self._manager.save(step, args=items)
            self._manager.wait_until_finished()
        except Exception as e:  # orbax and what it writes with have errors of their own for a full disk
            reason = disk_full(e) or str(e).split("\n")[0][:200]
            raise OSError(f"the checkpoint of step {step} cannot be saved: {reason}") from e
        if not saved:
            raise OSError(f"the checkpoint of step {step} was not saved")

    def restore(self, like: Any, *, resuming: bool = False) -> tuple[int, Any] | None:
        """The newest checkpoint that is whole as ``(step, state)``, with the structure of `like`; None without any.

        Reading changes nothing. With `resuming`, damaged checkpoints are renamed, because the run will save the same
        steps again.

        Raises:
          DamagedError: there are some, and all are damaged.
          UsageError: it belongs to another configuration.
          OSError, MemoryError: the system could not read it now, which says nothing of the checkpoint.
        """
        failures = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                arrays = self._verified(step, like)
            except DamagedError as e:
                failures.append(str(e))
                warnings.warn(f"{e}; the one before it is taken", stacklevel=2)
                continue
            if resuming:
                self.set_aside([s for s in self._manager.all_steps() if s > step], "damaged")
            leaves = [jax.numpy.asarray(arrays[name]) for name, _ in named(like)]
            return step, jax.tree.unflatten(jax.tree.structure(like), leaves)
        if failures:
            raise DamagedError(f"{'; '.join(failures)}: no checkpoint is whole, start again in a new folder.")
        return None

    def set_aside(self, steps: list[int], why: str) -> None:
        """Renames the checkpoints of these steps, so that the run can save them again."""
        for step in steps:
            names = (self._folder / (f"{step}.{why}" + (f"-{i}" if i else "")) for i in itertools.count())
            (self._folder / str(step)).rename(next(path for path in names if not path.exists()))
        self._manager.reload()

    def _verified(self, step: int, like: Any) -> dict[str, Any]:
        """The leaves of a step by name.

        Raises:
          DamagedError: something cannot be read, or is not what was saved.
          UsageError: it belongs to another configuration.
          OSError, MemoryError: the system could not read it now.
        """
        damaged = f"the checkpoint of step {step} is damaged"
        try:
            about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
            config, leaves, dtypes = about["config"], about["leaves"], about.get("dtypes", {})
            if "config_sha256" in about:  # as checkpoints were before they had the types of their arrays
                whole = about["config_sha256"] == hashes.of_json(config)
            else:
                whole = about.pop("sha256") == hashes.of_json(about)
        except Exception as e:  # orbax raises many kinds for truncated or missing files
            _pass_on(e, step)
            raise DamagedError(f"{damaged}: what it is of cannot be read ({type(e).__name__})") from e
        if not whole:
            raise DamagedError(f"{damaged}: what it is of is not what was saved")
        changes = differences(config, self._config)
        if about["keys"] != _keys():
            changes.append(f"random keys {about['keys']} -> {_keys()}")
        if changes:
            raise UsageError(
                f"the checkpoint of step {step} was made by another configuration ({', '.join(changes)}); "
                "resume it with the settings it was made with, or start in a new folder."
            )
        target = {name: np.asarray(leaf) for name, leaf in named(like)}
        if missing := sorted(target.keys() ^ leaves.keys()):
            raise DamagedError(f"{damaged}: {missing[0]} is missing, or not of this run")
        for name, saved in dtypes.items():
            if saved != str(target[name].dtype):
                raise UsageError(
                    f"the checkpoint of step {step} has {name} as {saved}, here {target[name].dtype}: "
                    "set JAX_ENABLE_X64 as it was when the run was begun."
                )
        try:
            items = ocp.args.Composite(state=ocp.args.StandardRestore(target))
            arrays = self._manager.restore(step, args=items)["state"]
        except Exception as e:
            _pass_on(e, step)
            raise DamagedError(f"{damaged}: its arrays cannot be read ({type(e).__name__})") from e
        for name, array in arrays.items():
            if hashes.of_array(np.asarray(array)) != leaves[name]:
                raise DamagedError(f"{damaged}: {name} is not what was saved")
        return arrays

    def latest(self) -> int | None:
        """The newest step saved."""
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """All steps saved, ascending."""
        return sorted(self._manager.all_steps())

    def close(self) -> None:
        self._manager.close()


def _pass_on(e: Exception, step: int) -> None:
    """Raises the error of the system, if there is one: a checkpoint that cannot be read now may be whole."""
    said = system_error(e)
    if isinstance(said, OSError):
        raise OSError(said.errno, f"the checkpoint of step {step} cannot be read now: {said.strerror}") from e
    if said is not None:
        raise MemoryError(f"the checkpoint of step {step} cannot be read now: {said}") from e


def _keys() -> str:
    """The implementation of random keys; batches and dropout depend on it."""
    return str(jax.random.key_impl(jax.random.key(0)))
