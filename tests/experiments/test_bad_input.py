"""Every mistake at the command line ends with one clear line and exit code 2, and leaves nothing behind."""

import errno
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.config import CopyMemory, Model, Training
from experiments.errors import StoppedError
from experiments.training.train import train
from tests.experiments.test_data import write_idx

TINY = ("copy-memory", "--symbols", 2, "--delay", 5, "--hidden", 4, "--batch", 4, "--steps", 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("copy-memry",), "perhaps you meant copy-memory"),
        ((*TINY, "--cell", "asrrn"), "perhaps you meant asrnn"),
        (("copy-memory", "--preset", "paper-copy-100"), "perhaps you meant paper-copy-1000"),
        (("pixels", "--preset", "paper-copy-1000"), "belongs to command copy-memory, not to pixels"),
        (("pixels", "--dataset", "mnst"), "perhaps you meant mnist"),
        (("pixels", "--dataset", "mnist"), "train-images-idx3-ubyte"),
        (("pixels", "--dataset", "mnist", "--data-dir", "nowhere"), "nowhere"),
        ((*TINY, "--lr", "nan"), "--lr nan"),
        ((*TINY, "--lr", "-1"), "--lr -1.0"),
        ((*TINY, "--lr", "inf"), "--lr inf"),
        ((*TINY, "--clip", "0"), "--clip 0.0"),
        ((*TINY, "--hidden", "0"), "--hidden 0"),
        ((*TINY, "--delay", "0"), "--delay 0"),
        ((*TINY, "--seed", "-1"), "--seed -1"),
        ((*TINY, "--resume", "--preset", "paper-copy-1000"), "leave out --preset"),
        ((*TINY, "--batch", "0"), "--batch 0"),
        ((*TINY, "--steps", str(2**31)), "--steps 2147483648: give less than 2^31"),
        ((*TINY, "--optimizer", "rmspop"), "perhaps you meant rmsprop"),
        ((*TINY, "--schedule", "cosin"), "perhaps you meant cosine"),
        ((*TINY, "--options", "map=cayly"), "map='cayly'"),
        ((*TINY, "--options", "saturation=relu"), "saturation='relu'"),
        (
            (*TINY, "--cell", "lstm", "--options", "kappa=3"),
            "--options kappa=3: give NAME=VALUE with an option of cell",
        ),
        ((*TINY, "--options", "kappa"), "--options kappa: give NAME=VALUE, for example"),
        ((*TINY, "--options", "kappa=nan"), "--options kappa=nan: give a finite number"),
        ((*TINY, "--map", "expm"), "--map: options of a cell are given by --options now; write --options map=expm."),
        (
            (*TINY, "--dynamic", "True", "--forget-bias=1", "--kappa"),
            "--dynamic, --forget-bias, --kappa: options of a cell are given by --options now; write "
            "--options dynamic=true forget_bias=1 kappa=VALUE.",
        ),
        ((*TINY, "--a", "None"), "--a: options of a cell are given by --options now; leave it out."),
        ((*TINY, "--probe", "norms"), "--probe 'norms' is unknown: perhaps you meant norm"),
        (("stream", "--kinds", "white", "click"), "--kinds 'click' is unknown: perhaps you meant clicks"),
        (("stream", "--regime", "fulll"), "--regime 'fulll' is unknown: perhaps you meant full"),
        (("bench", "--against", "tensorflow"), "--against 'tensorflow' is unknown: "),
        (("export", "smnist-asrnn", "--formats", "onyx"), "perhaps you meant onnx"),
        ((*TINY, "--cell", "lif", "--options", "surogate=atan"), "--options surogate=atan: give NAME=VALUE"),
        ((*TINY, "--cell", "lif", "--options", "surrogate=tan"), "surrogate='tan': choose one of atan"),
        ((*TINY, "--cell", "lif", "--options", "tau=long"), "--options tau=long: give a number"),
        ((*TINY, "--cell", "lif", "--options", "recurrent=1"), "--options recurrent=1: give true or false"),
        ((*TINY, "--cell", "s5", "--options", "blocks=1.5"), "--options blocks=1.5: give a whole number"),
        ((*TINY, "--layers", "0"), "--layers 0"),
        ((*TINY, "--dropout", "0.1"), "--dropout 0.1: it belongs to --residual"),
        ((*TINY, "--residual", "--dropout", "1"), "--dropout 1.0"),
        (("zoo", "--cells", "grru"), "perhaps you meant gru"),
        (("zoo", "--epochs", "0"), "--epochs 0"),
        ((*TINY, "--resume", "--out", "nowhere"), "nowhere"),
        (("adding", "--length", "1"), "--length 1"),
        (("pixels", "--batch", "5000"), "--batch 5000"),
        ((*TINY, "--warmup", "3"), "--warmup 3: give fewer than the 3 steps"),
        ((*TINY, "--weight-decay", "0.1"), "--weight-decay 0.1: it belongs to adamw and lion"),
        ((*TINY, "--devices", "100000"), "--devices 100000"),
        (("pixels", "--data-dir", "."), "digits are embedded"),
        (("stream", "--regime", "separate", "--weight", "1"), "--weight 1.0: it belongs to --regime full"),
        (("scaling", "--step-ms", "0"), "--step-ms 0.0"),
        (("report",), "run folder"),
        (("report", "nowhere"), "nowhere"),
    ],
)
def test_one_line_and_exit_code_2(cli, tmp_path, arguments, message):
    done = cli(*arguments)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert message in done.stderr.replace("\n", " ")
    assert not (tmp_path / "runs").exists()
    if done.stderr.startswith("error: "):
        assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "experiments", "presets"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=root, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_flags_tyro_refuses_also_exit_with_2(cli):
    for arguments in ((*TINY, "--hidden", "many"), (*TINY, "--hiden", "3")):
        done = cli(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_an_existing_run_folder_is_not_touched(cli, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    done = cli(*TINY, "--out", "run")
    assert done.returncode == 2
    assert "give another --out" in done.stderr
    assert "--resume" not in done.stderr  # it is no run
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_a_checkpoint_of_another_configuration_is_refused(cli, tmp_path):
    assert cli(*TINY, "--out", "a").returncode == 0
    done = cli(*TINY, "--out", "a")
    assert done.returncode == 2
    assert "add --resume" in done.stderr
    done = cli(*TINY, "--out", "a", "--resume", "--lr", "0.5")
    assert done.returncode == 2
    assert "lr 0.001 -> 0.5" in done.stderr
    # The same folder with its config exchanged: the checkpoint itself knows better.
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    config["training"]["seed"] = 7
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    done = cli("copy-memory", "--out", "a", "--resume")
    assert done.returncode == 2
    assert "another configuration" in done.stderr
    (tmp_path / "a" / "config.json").write_text("{")
    assert cli("copy-memory", "--out", "a", "--resume").returncode == 2


@pytest.mark.parametrize("damage", ["missing", "truncated", "longer", "magic", "gzip", "labels"])
def test_damaged_idx_files_are_named(cli, tmp_path, damage):
    folder = tmp_path / "data"
    write_idx(folder, zipped=True)
    path = folder / "t10k-images-idx3-ubyte.gz"
    whole = gzip.decompress(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "gzip":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "labels":
        path = folder / "t10k-labels-idx1-ubyte.gz"
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1] + bytes([200])))
    else:
        broken = {"truncated": whole[:-1], "longer": whole + b"x", "magic": b"\1" + whole[1:]}[damage]
        path.write_bytes(gzip.compress(broken))
    done = cli("pixels", "--dataset", "mnist", "--data-dir", folder, "--batch", 4, "--epochs", 1, "--hidden", 4)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert (
        "test images are missing" if damage == "missing" else "labels range" if damage == "labels" else path.name
    ) in done.stderr


def test_help_explains_every_field(cli):
    import dataclasses

    from experiments.config import COMMANDS, Model, Optimizer, Stability, Training

    parts = (Model, Optimizer, Stability, Training)
    for name, kind in COMMANDS.items():
        text = " ".join(cli(name, "--help").stdout.split())
        own = [f.name for f in dataclasses.fields(kind) if f.name not in ("model", "optim", "stability", "training")]
        for field in [*own, *(f.name for part in parts for f in dataclasses.fields(part))]:
            flag = {"network": "from"}.get(field, field).replace("_", "-")  # a word that Python keeps for itself
            assert f"--{flag}" in text, (name, field)
    overview = cli("--help").stdout
    assert all(command in overview for command in COMMANDS)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_says_how_far_the_run_is_saved(number, tmp_path, monkeypatch):
    def fails(self, step, **values):
        raise OSError(number, os.strerror(number), "metrics.jsonl")

    monkeypatch.setattr("experiments.training.train.Metrics.write", fails)
    training = Training(batch=4, log_every=1, checkpoint_every=1, out=str(tmp_path / "run"))
    config = CopyMemory(symbols=2, delay=5, steps=3, model=Model("tanh_rnn", 4), training=training)
    with pytest.raises(StoppedError) as said:
        train(config)
    assert os.strerror(number) in str(said.value)
    assert ("Make room" in str(said.value)) == (number != errno.EIO)
    assert "the run is not saved: start it again" in str(said.value)
