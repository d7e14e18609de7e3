"""What is read back is what was saved, or it is said what is not; the newest that is whole is taken."""

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from asrnn_jax import hashes
from experiments.config import CopyMemory
from experiments.errors import DamagedError, UsageError
from experiments.training.checkpoints import Checkpoints

CONFIG = CopyMemory()
STATES = {
    step: {"params": {"W": step * jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3) * step}, "step": jnp.array(step)}
    for step in (5, 9)
}


@pytest.fixture
def folder(tmp_path):
    checkpoints = Checkpoints(tmp_path / "saved", CONFIG)
    for step, state in STATES.items():
        checkpoints.save(step, state)
    checkpoints.close()
    return tmp_path / "saved"


def restored(folder, config=CONFIG, like=STATES[5], resuming=False):
    checkpoints = Checkpoints(folder, config)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            return checkpoints.restore(like, resuming=resuming), [str(w.message) for w in caught]
    finally:
        checkpoints.close()


def same(found, step):
    assert found[0] == step
    jax.tree.map(np.testing.assert_array_equal, found[1], STATES[step])


def test_the_newest_comes_back(folder):
    found, said = restored(folder)
    same(found, 9)
    assert not [message for message in said if "damaged" in message]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the checkpoint library
@pytest.mark.parametrize("how", ["flipped", "truncated", "deleted"])
def test_every_file_damaged_in_turn_costs_a_step_at_most(folder, tmp_path, how):
    files = [path.relative_to(folder) for path in sorted((folder / "9").rglob("*")) if path.is_file()]
    assert len(files) > 5
    fell_back = 0
    for file in files:
        broken = tmp_path / "broken"
        shutil.copytree(folder, broken)
        path = broken / file
        whole = bytearray(path.read_bytes())
        if how == "deleted":
            path.unlink()
        elif how == "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        elif whole:
            whole[len(whole) // 2] ^= 4
            path.write_bytes(whole)
        try:
            found, said = restored(broken)
        except UsageError as e:  # a flipped digit of the configuration that is still a configuration: said, not used
            raise AssertionError(f"{file}: {e}") from e
        same(found, found[0])
        if found[0] == 5:
            fell_back += 1
            assert any("checkpoint of step 9 is damaged" in message for message in said), file
        shutil.rmtree(broken)
    assert fell_back >= 2


def test_a_leaf_that_was_changed_is_named(folder):
    other = Checkpoints(folder.parent / "other", CONFIG)
    changed = jax.tree.map(lambda leaf: leaf, STATES[9]) | {"step": jnp.array(8)}
    other.save(9, changed)
    other.close()
    shutil.rmtree(folder / "9" / "state")
    shutil.copytree(folder.parent / "other" / "9" / "state", folder / "9" / "state")
    shutil.copytree(folder / "9", folder.parent / "9")
    before = contents(folder)
    found, said = restored(folder)
    same(found, 5)
    assert any("step 9 is damaged: step is not what was saved" in message for message in said)
    assert contents(folder) == before  # who only reads changes nothing
    for aside in ("9.damaged", "9.damaged-1"):
        found, _ = restored(folder, resuming=True)
        same(found, 5)
        assert not (folder / "9").exists()  # it would stand in the way of saving that step again
        assert contents(folder / aside) == contents(folder.parent / "9")
        shutil.copytree(folder.parent / "9", folder / "9")
    shutil.rmtree(folder / "5")
    for resuming in (False, True):
        with pytest.raises(DamagedError, match="step is not what was saved: no checkpoint is whole"):
            restored(folder, resuming=resuming)
    assert contents(folder / "9") == contents(folder.parent / "9")


def test_a_run_that_set_a_checkpoint_aside_saves_that_step_again(folder):
    (folder / "9" / "about" / "metadata").write_text("{}")
    checkpoints = Checkpoints(folder, CONFIG)
    try:
        with pytest.warns(UserWarning, match="step 9 is damaged"):
            same(checkpoints.restore(STATES[5], resuming=True), 5)
        assert checkpoints.latest() == 5
        checkpoints.save(9, STATES[9])
    finally:
        checkpoints.close()
    same(restored(folder)[0], 9)
    assert (folder / "9.damaged").exists()


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def wrapped(inner):
    """As libraries do, in an error of their own."""
    try:
        raise inner
    except type(inner) as e:
        outer = ValueError("cannot read the array")
        outer.__cause__ = e
        return outer


@pytest.mark.parametrize("resuming", [False, True])
@pytest.mark.parametrize("item", ["about", "state"])
@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, os.strerror(number)) for number in (errno.EMFILE, errno.EIO, errno.ENOMEM, errno.EACCES)),
        MemoryError("no room for 800 bytes"),
        wrapped(OSError(errno.ENFILE, os.strerror(errno.ENFILE))),
        wrapped(MemoryError("no room")),
        ValueError(f"RESOURCE_EXHAUSTED: cannot read [OS error 24: EMFILE {os.strerror(errno.EMFILE)}]"),
    ],
    ids=lambda error: f"{type(error).__name__} {str(error)[:20]}",
)
def test_an_error_of_the_system_is_no_damage_and_costs_nothing(folder, monkeypatch, error, item, resuming):
    """It may pass: the checkpoint is not skipped, not set aside, and read once the error is gone."""
    before, restore = contents(folder), ocp.CheckpointManager.restore

    def failing(self, step, args):
        if item in args:
            raise error
        return restore(self, step, args=args)

    monkeypatch.setattr(ocp.CheckpointManager, "restore", failing)
    memory = isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)
    with pytest.raises(MemoryError if memory else OSError, match="checkpoint of step 9 cannot be read now") as caught:
        restored(folder, resuming=resuming)
    if isinstance(error, OSError):
        assert caught.value.errno == error.errno
    assert contents(folder) == before
    monkeypatch.undo()
    same(restored(folder, resuming=resuming)[0], 9)


WITHOUT_FILES = """
import os, resource, sys
from pathlib import Path
import jax.numpy as jnp
from experiments.config import CopyMemory
from experiments.training.checkpoints import Checkpoints
checkpoints = Checkpoints(Path(sys.argv[1]), CopyMemory())
like = {"params": {"W": jnp.zeros((2, 3)), "b": jnp.zeros(3)}, "step": jnp.array(0)}
assert checkpoints.restore(like)[0] == 9
opened = os.open(os.devnull, os.O_RDONLY)
resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    checkpoints.restore(like, resuming=True)
except OSError as e:
    print(e)
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits")
@pytest.mark.slow
def test_too_many_open_files_are_no_damage(folder):
    """With the system's own error, whatever the library makes of it."""
    before, env = contents(folder), os.environ | {"JAX_ENABLE_X64": "1"}
    done = subprocess.run([sys.executable, "-c", WITHOUT_FILES, folder], env=env, capture_output=True, text=True)
    assert "checkpoint of step 9 cannot be read now" in done.stdout, done.stderr
    assert os.strerror(errno.EMFILE) in done.stdout
    assert contents(folder) == before
    same(restored(folder)[0], 9)


def test_other_settings_are_no_damage(folder):
    with pytest.raises(UsageError, match="delay 200 -> 300"):
        restored(folder, replace(CONFIG, delay=300))
    with pytest.raises(DamagedError, match="missing, or not of this run"):
        restored(folder, like=STATES[5] | {"memory": jnp.zeros(2)})
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), STATES[5]["params"])
    with pytest.raises(UsageError, match=r"params.* as float64, here float32: set JAX_ENABLE_X64"):
        restored(folder, like=STATES[5] | {"params": narrow})
    with jax.default_prng_impl("rbg"), pytest.raises(UsageError, match=r"random keys .*fry.* -> .*rbg"):
        restored(folder)


def test_a_checkpoint_without_the_types_of_its_arrays_is_read(folder):
    file = folder / "9" / "about" / "metadata"
    about = json.loads(file.read_text())
    del about["sha256"], about["dtypes"]
    file.write_text(json.dumps(about | {"config_sha256": hashes.of_json(about["config"])}))
    same(restored(folder)[0], 9)
    file.write_text(json.dumps(about | {"config_sha256": "0"}))
    same(restored(folder)[0], 5)


def test_stray_folders_fool_nothing(folder):
    (folder / "99").mkdir()
    (folder / "100").mkdir()
    (folder / "100" / "notes.txt").write_text("mine")
    found, _ = restored(folder)
    same(found, 9)
