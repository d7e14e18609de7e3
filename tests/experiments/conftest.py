"""How these tests call the command line: in this process, or as a user does in one of its own."""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import jax
import pytest

from experiments import machine
from experiments.__main__ import main
from tests.conftest import QUICK

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PROGRAMS = tempfile.TemporaryDirectory()  # compiled once for all these processes


def pytest_collection_modifyitems(items):
    """What starts processes is slow."""
    for item in items:
        if {"process", "start"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


def environment():
    return {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        # Light programs; the same for every process of a comparison, so that bits can be compared.
        "XLA_FLAGS": QUICK,
        "JAX_COMPILATION_CACHE_DIR": PROGRAMS.name,
    }


@pytest.fixture
def cli(tmp_path, monkeypatch, without_type_checks):
    """What ``python -m experiments ...`` does and prints, in an empty folder; in this process, which is far quicker."""

    def call(*arguments):
        jax.devices()  # JAX has started, with the suite's settings: the command line leaves them as they are
        monkeypatch.setattr(machine, "_keep_memory", lambda: None)
        monkeypatch.chdir(tmp_path)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            for setting in (contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), jax.enable_x64(False)):
                stack.enter_context(setting)
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("default")
            warnings.simplefilter("ignore", ResourceWarning)
            warnings.showwarning = lambda *about, **_: print(warnings.formatwarning(*about[:4]), file=sys.stderr)
            try:
                code = main([*map(str, arguments)])
            except SystemExit as e:
                code = e.code
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def process(tmp_path):
    """Runs ``python -m experiments ...`` in an empty folder, as a process without the suite's settings."""

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
