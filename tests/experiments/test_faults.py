"""The command that hurts runs: it tries each fault, and counts what was lost."""

import jax
import pytest

from experiments.errors import UsageError
from experiments.tools import faults as module
from experiments.tools.faults import Faults
from experiments.tools.soak import soak
from tests.experiments.conftest import environment


@pytest.fixture
def light(monkeypatch):
    for name, value in environment().items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_nothing_is_lost(tmp_path, light, monkeypatch):
    monkeypatch.setattr(module, "DISKS", (150,))
    with jax.enable_x64(False):
        text = module.faults(Faults(str(tmp_path / "out"), kills=2, steps=45, soak=5000))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")][1:]
    found = {row[0]: row[1:4] for row in rows if not row[0].startswith(("-", "memory"))}
    assert found["SIGKILL at a random moment"] == ["2", "2", "0"]
    for how in ("flipped", "truncated", "deleted"):
        assert int(found[f"a file of a checkpoint {how}"][0]) > 5
    assert found["a second run in one folder"] == ["1", "1", "0"]
    assert all(lost in ("0", "-") for _, _, lost in found.values()), text
    assert (tmp_path / "out" / "faults.md").read_text().endswith(text + "\n")
    with pytest.raises(UsageError, match="exists and is not empty"):
        module.faults(Faults(str(tmp_path / "out")))


@pytest.mark.slow
def test_what_is_lost_is_counted(tmp_path, monkeypatch):
    """A session that forgets what it was told to go on with is noticed."""
    monkeypatch.setattr("asrnn_jax.streaming.Session.load", lambda *_: None)
    (row, *_) = soak(120_000, 1, tmp_path / "session.safetensors")
    assert row[2] < row[1]


@pytest.mark.slow
def test_a_run_of_other_bytes_counts_as_lost(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in module.SAME:
            (tmp_path / name / file).write_text("same")
    assert module._equal(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a" / module.SAME[0]).write_text("other")
    assert not module._equal(tmp_path / "a", tmp_path / "b")
