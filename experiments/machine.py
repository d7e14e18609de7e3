"""The machine: all its cores and accelerators at work on each batch, in one process or several.

JAX is imported in the functions, so that the command line can answer without it and `prepare` comes first.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from experiments.config import Training
from experiments.errors import UsageError

ROWS = 8  # sequences a device at least: products with fewer rows are not faster
WORK = 2**24  # multiplications a step at least: sharing costs about a millisecond


def prepare(training: Training | None = None) -> None:
    """Sets this process up; to be called before JAX starts.

    On CPU every core becomes a device, because XLA runs the small products of a scan on one core. LAPACK keeps to one
    thread, for its waiting threads take the cores from JAX's. Memory once used stays with the process: giving 100 MB
    back after each step and getting it again costs more than touching it. Compiled programs are kept between processes.

    Raises:
      UsageError: processes that cannot be joined.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _keep_memory()
    import jax

    devices = training.devices if training and training.devices else cores()
    try:
        jax.config.update("jax_num_cpu_devices", devices)
    except RuntimeError:  # JAX has started, in a program that calls this one
        return
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "asrnn_jax" / "programs"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    if training and training.coordinator is not None:
        jax.config.update("jax_enable_recoverability", True)  # else one that dies takes the others with it, unsaid
        where = None if training.coordinator == "auto" else training.coordinator  # as Slurm, Open MPI, ... say
        try:
            jax.distributed.initialize(where, training.processes, training.process)
        except (RuntimeError, ValueError) as e:
            raise UsageError(f"--coordinator {training.coordinator}: the processes did not meet ({e}).") from e


def cores() -> int:
    """Number of cores that this process may use. Where a system has no such limit (macOS): all cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _keep_memory() -> None:
    """Takes large blocks from the heap, and never returns them to the system (glibc only)."""
    trim_threshold, mmap_max = -1, -4  # names in malloc.h: M_TRIM_THRESHOLD, M_MMAP_MAX
    if sys.platform != "linux":
        return
    with suppress(AttributeError, OSError):  # a C library without it (musl), or one that cannot be opened
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_max, 0)


def first() -> bool:
    """Whether this is the first process, which writes the files; the others only compute."""
    import jax

    return jax.process_index() == 0


def shards(rows: int, work: int) -> int:
    """Number of devices that share a batch of `rows` sequences: a divisor of it, so that each has enough to do.

    `work` is the number of multiplications for the batch: sequences times steps times parameters.

    Raises:
      UsageError: several processes whose devices cannot share the batch evenly.
    """
    import jax

    if processes() > 1:
        if rows % jax.device_count():
            raise UsageError(f"--batch {rows}: {jax.device_count()} devices cannot share it; give a multiple.")
        return jax.device_count()
    most = min(jax.device_count(), max(1, rows // ROWS)) if work >= WORK else 1
    return max(d for d in range(1, most + 1) if rows % d == 0)


def processes() -> int:
    """Number of processes of the run."""
    import jax

    return jax.process_count()


def leave(code: int, together: bool = False) -> None:
    """Ends this process at once if it is one of several; an orderly end would wait for a process that may be gone.

    With `together` it first waits until all processes are here: when the first one ends, the system ends the others.
    """
    jax = sys.modules.get("jax")
    if jax is None or not jax.distributed.is_initialized():
        return
    if together:
        from jax.experimental.multihost_utils import sync_global_devices

        with suppress(jax.errors.JaxRuntimeError):
            sync_global_devices("leave")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def broadcast_from_process_0(tree: Any) -> Any:
    """The first process's values in every process."""
    if processes() == 1:
        return tree
    from jax.experimental.multihost_utils import broadcast_one_to_all

    from asrnn_jax import parallel

    return parallel.replicate(broadcast_one_to_all(tree))


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process. All processes must call this."""
    if processes() == 1:
        return flag
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    return bool(np.any(process_allgather(np.asarray(flag))))
