"""The forecaster's study, small: its targets are what comes, and the page says what was measured."""

import json

import numpy as np
import pytest

from experiments.errors import UsageError
from experiments.tools.forecast import AHEAD, GAPS, Forecast, forecast, make_streams, with_targets


@pytest.mark.parametrize("gaps", GAPS)
def test_targets_are_what_comes_and_nothing_where_nothing_does(gaps):
    window, targets = with_targets(make_streams(gaps, 2, 7, samples=20), 0, 600)
    later = with_targets(make_streams(gaps, 2, 7, samples=20), max(AHEAD), 600)[0]
    assert window.xs.shape == (2, 600, 2)
    for k, ahead in enumerate(AHEAD):
        there = np.isfinite(targets[..., k])
        assert there.any()
        assert (window.labels[there] == 0).all()
        shifted = np.concatenate([window.xs, later.xs[:, -max(AHEAD) :]], axis=1)[:, ahead : 600 + ahead, 0]
        np.testing.assert_array_equal(targets[..., k][there], shifted[there])
        for b, end in zip(*np.nonzero(window.ends)):
            assert np.isnan(targets[b, end - ahead + 1 : end + 1, k]).all()
            assert np.isfinite(targets[b, end - ahead, k])
    if gaps == "missing":
        assert (window.xs[..., 1] == (window.labels < 0)).all()


@pytest.mark.slow
def test_the_study_learns_and_its_page_says_what_it_measured(tmp_path):
    """Test-sized: in a hundred steps the error falls below that of the marginal, and gaps stay as wide as it."""
    text = forecast(Forecast(out=str(tmp_path), cells=("gru",), hidden=12, family="gaussian", steps=100, length=4000))
    found = json.loads((tmp_path / "forecast.json").read_text())["runs"]
    assert len(found) == 8
    for run in found:
        assert f"{run['error']:.4f}" in text
    never, oracle = found[:2]
    assert (never["gaps"], never["policy"], never["trained"]) == ("missing", "never", "streams")
    assert never["error"] < 0.8
    assert abs(never["error"] / oracle["error"] - 1) < 0.1
    assert 0.8 < never["gap_interval"] < 1.2
    assert never["known_interval"] < 0.9
    assert all((tmp_path / f"{gaps}.png").stat().st_size > 10_000 for gaps in GAPS)


def test_wrong_flags_say_what_is_wrong():
    with pytest.raises(UsageError, match="--cells"):
        Forecast(cells=("gruu",))
    with pytest.raises(UsageError, match="--steps 0"):
        Forecast(steps=0)
