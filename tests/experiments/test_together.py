"""Runs that take their steps in one program learn what they learn alone."""

from functools import partial

import numpy as np
import pytest

from experiments.config import Model, Optimizer, Pixels, Training
from experiments.errors import UsageError
from experiments.folder import read_metrics
from experiments.training.steps import make_step
from experiments.training.together import together
from experiments.training.train import train


def _config(folder, seed):
    """Seeds, rates and the order of pixels differ."""
    return Pixels(
        dataset="digits",
        rows=True,
        permute=bool(seed % 2),
        epochs=1,
        model=Model("tanh_rnn", 3),
        optim=Optimizer(lr=1e-2 * (1 + seed), schedule="cosine"),
        training=Training(batch=256, seed=seed, log_every=1, out=str(folder)),
    )


def test_together_is_as_alone_and_an_error_is_a_run_of_its_own(tmp_path, capsys):
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "file").touch()  # this run is refused before its first step
    with pytest.raises(UsageError, match="not empty"):
        together([partial(train, _config(tmp_path / str(seed), seed)) for seed in range(3)])
    assert "2 runs take their steps together, in one program" in capsys.readouterr().err
    for seed in range(2):
        train(_config(tmp_path / f"{seed} alone", seed), partial(make_step, devices=1))
        ours, alone = (read_metrics(tmp_path / name / "metrics.jsonl") for name in (str(seed), f"{seed} alone"))
        assert [line["step"] for line in ours] == [line["step"] for line in alone]
        assert len(ours) >= 5
        for mine, theirs in zip(ours, alone):
            assert mine.keys() == theirs.keys()
            np.testing.assert_allclose(list(mine.values()), list(theirs.values()), rtol=1e-5, err_msg=str(seed))
