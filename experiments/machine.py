"""The machine: all its cores and accelerators at work on each batch, in one process or several.

JAX is imported in the functions, so that the command line can answer without it and `prepare` comes first.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
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
    """Cores that this process may use; those of the machine where the system gives a process no fewer (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _keep_memory() -> None:
    """Large blocks from the heap and never returned (glibc only)."""
    trim_threshold, mmap_max = -1, -4  # names in malloc.h: M_TRIM_THRESHOLD, M_MMAP_MAX
    if sys.platform != "linux":
        return
    with suppress(AttributeError, OSError):  # a C library without it (musl), or one that cannot be opened
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_max, 0)


def first() -> bool:
    """Whether this is the process that writes files; the others only compute."""
    import jax

    return jax.process_index() == 0


def shards(rows: int, work: int) -> int:
    """Devices that a batch of `rows` sequences is shared among: a divisor, as many as have enough to do.

    `work` is the batch's number of multiplications: sequences times steps times parameters.

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


def shared(f: Callable[..., Any], devices: int, summary: Callable[[Any], Any]) -> Callable[..., Any]:
    """``f(params, batch) -> results`` with the leading axis of the batch shared among devices; see `carried`."""
    if devices == 1:
        return f
    whole = carried(lambda params, batch, memory: (f(params, batch), memory), devices, summary)
    return lambda params, batch: whole(params, batch, ())[0]


def carried(f: Callable[..., Any], devices: int, summary: Callable[[Any], Any]) -> Callable[..., Any]:
    """``f(params, batch, memory, *others) -> (results, memory)`` with the leading axis of batch and memory shared among
    devices, and `summary` of the results.

    One exchange a call: the results of each device (already a mean or a sum) go through `summary`, for example
    `jax.lax.pmean` over the axis "batch". Left to itself, the compiler would add up weight gradients between devices
    inside the loop over time. The memory stays where it is.
    """
    if devices == 1:
        return f
    import jax
    from jax.sharding import PartitionSpec as P

    mesh = _mesh(devices)

    def one(*arguments):
        results, memory = f(*arguments)
        return summary(results), memory

    def whole(params, batch, memory, *others):
        specs = (P(), P("batch"), P("batch"), *(P() for _ in others))
        return jax.shard_map(one, mesh=mesh, in_specs=specs, out_specs=(P(), P("batch")), check_vma=False)(
            params, batch, memory, *others
        )

    return whole


def _mesh(devices: int) -> Any:
    import jax
    from jax.sharding import AxisType

    return jax.make_mesh((devices,), ("batch",), (AxisType.Auto,), devices=jax.devices()[:devices])


def processes() -> int:
    """How many processes make the run."""
    import jax

    return jax.process_count()


def leave(code: int, together: bool = False) -> None:
    """Ends this process at once where it is one of several: an orderly end would wait for one that may be gone.

    `together`: after all of them came here, for when the first is gone the others are ended from outside.
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


def replicate(tree: Any) -> Any:
    """Global arrays that are replicated on all devices, from arrays that every process holds in full."""
    if processes() == 1:
        return tree
    import jax
    import numpy as np
    from jax.sharding import NamedSharding
    from jax.sharding import PartitionSpec as P

    replicated = NamedSharding(_mesh(jax.device_count()), P())

    def one(leaf):
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, replicated, lambda index: array[index])

    return jax.tree.map(one, tree)


def broadcast_from_process_0(tree: Any) -> Any:
    """The first process's values in every process."""
    if processes() == 1:
        return tree
    from jax.experimental.multihost_utils import broadcast_one_to_all

    return replicate(broadcast_one_to_all(tree))


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; all have to ask."""
    if processes() == 1:
        return flag
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    return bool(np.any(process_allgather(np.asarray(flag))))
