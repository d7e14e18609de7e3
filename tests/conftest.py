"""Settings of the whole suite: float64 available, no silent broadcasting, shapes checked, warnings are errors."""

import gc
import os
import tempfile
import threading
from importlib.metadata import version

# The suite compiles a thousand small programs and runs each once or twice.
QUICK = "--xla_backend_optimization_level=0"
if version("jax") < "0.11":  # later ones know no other emitters, and end the process that asks for them
    QUICK += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ.setdefault("XLA_FLAGS", f"{QUICK} --xla_llvm_disable_expensive_passes=true")

# Two processes of tests share two cores: threads of LAPACK that wait for each other would take them from both.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What one test compiled another takes from disk: all processes of a run share a folder, which goes away with it unless
# it was given.
if "ASRNN_TEST_PROGRAMS" not in os.environ:
    _programs = tempfile.TemporaryDirectory()
    os.environ["ASRNN_TEST_PROGRAMS"] = _programs.name

import jax  # noqa: E402
from jax._src.interpreters import mlir  # noqa: E402
from jaxlib.mlir import ir  # noqa: E402

jax.config.update("jax_compilation_cache_dir", os.environ["ASRNN_TEST_PROGRAMS"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Half of the time in which JAX lowers a small program it makes a context for it. Here a thread has one for all of them,
# but for those inside the lowering of another.
_threads, _make_context = threading.local(), mlir.make_ir_context


def _context():
    if ir.Context.current is not None:
        return _make_context()
    if not hasattr(_threads, "context"):
        _threads.context = _make_context()
    return _threads.context


mlir.make_ir_context = _context

# Traces are many small objects that stay; to look through them as often as usual takes a tenth of the time.
gc.set_threshold(50_000, 20, 100)

from jaxtyping import config, install_import_hook  # noqa: E402

install_import_hook("asrnn_jax", "beartype.beartype")

import itertools  # noqa: E402

import pytest  # noqa: E402

_tests = itertools.count(1)
FULL = 30_000  # memory maps


def pytest_collection_modifyitems(config, items):
    """ASRNN_TEST_SHARE=K/N: of the cases that `tests.quick.quickly` leaves for later only every N-th, from the K-th."""
    share = os.environ.get("ASRNN_TEST_SHARE")
    if share:
        number, of = map(int, share.split("/"))
        others = [item for item in items if item.get_closest_marker("other")]
        left_out = {id(item) for i, item in enumerate(others) if i % of != number % of}
        config.hook.pytest_deselected(items=[item for item in items if id(item) in left_out])
        items[:] = [item for item in items if id(item) not in left_out]


@pytest.fixture
def without_type_checks():
    """Users have none: for tests of the library's own messages."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def _memory_maps():
    """Of this process; a system that does not say is taken to have few left."""
    try:
        with open("/proc/self/maps", "rb") as maps:
            return sum(1 for _ in maps)
    except OSError:
        return FULL


@pytest.fixture(autouse=True)
def _forget_compiled_programs():
    """Every compiled program holds memory maps, of which a process may have 65,530."""
    yield
    if next(_tests) % 50 == 0 and _memory_maps() >= FULL:
        jax.clear_caches()
        gc.collect()
