"""How these tests call the command line: as a user does, in a process of its own, without the suite's settings."""

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import QUICK

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PROGRAMS = tempfile.TemporaryDirectory()  # compiled once for all these processes


def pytest_collection_modifyitems(items):
    """The checkpoint library leaves event loops open; the garbage collector finds them in whichever test is running."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="module", autouse=True)
def collected():
    """What is left open here is found here, not in another folder's test."""
    yield
    gc.collect()


def environment():
    return {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        # Light programs; the same for every process of a comparison, so that bits can be compared.
        "XLA_FLAGS": QUICK,
        "JAX_COMPILATION_CACHE_DIR": PROGRAMS.name,
    }


@pytest.fixture
def cli(tmp_path):
    """Runs ``python -m experiments ...`` in an empty folder."""

    def call(*arguments, timeout=180):
        command = [sys.executable, "-m", "experiments", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=timeout)

    return call


@pytest.fixture
def start(tmp_path):
    """Starts ``python -m experiments ...`` and returns the process."""

    def call(*arguments):
        command = [sys.executable, "-m", "experiments", *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return call
