"""What is read back is what was saved, or it is said what is not; the newest that is whole is taken."""

import shutil
import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


def restored(folder, config=CONFIG, like=STATES[5]):
    checkpoints = Checkpoints(folder, config)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            return checkpoints.restore(like), [str(w.message) for w in caught]
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
    found, said = restored(folder)
    same(found, 5)
    assert not (folder / "9").exists()  # it would stand in the way of saving that step again
    assert any("step 9 is damaged: step is not what was saved" in message for message in said)
    shutil.rmtree(folder / "5")
    shutil.move(folder.parent / "9", folder / "9")
    with pytest.raises(DamagedError, match="step is not what was saved: no checkpoint is whole"):
        restored(folder)


def test_other_settings_are_no_damage(folder):
    with pytest.raises(UsageError, match="delay 200 -> 300"):
        restored(folder, replace(CONFIG, delay=300))
    with pytest.raises(DamagedError, match="missing, or not of this run"):
        restored(folder, like=STATES[5] | {"memory": jnp.zeros(2)})
    with jax.default_prng_impl("rbg"), pytest.raises(UsageError, match=r"random keys .*fry.* -> .*rbg"):
        restored(folder)


def test_stray_folders_fool_nothing(folder):
    (folder / "99").mkdir()
    (folder / "100").mkdir()
    (folder / "100" / "notes.txt").write_text("mine")
    found, _ = restored(folder)
    same(found, 9)
