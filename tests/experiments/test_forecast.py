"""The forecaster's study, small: its targets are what comes, and the page says what was measured."""

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.errors import UsageError
from experiments.tools.forecast import Forecast, forecast
from experiments.tools.forecast_streams import AHEAD, GAPS, make_stream, with_targets


@pytest.mark.parametrize("gaps", GAPS)
def test_targets_are_what_comes_and_nothing_where_nothing_does(gaps):
    stream = make_stream(gaps, 7, 20)
    window, target = with_targets(stream, gaps, 0, 600)
    later = with_targets(stream, gaps, AHEAD, 600)[0]
    there = np.isfinite(target)
    assert there.any()
    assert (window.labels[there] == 0).all()
    np.testing.assert_array_equal(target[there], later.xs[there, 0])
    for end in np.flatnonzero(window.ends):
        assert np.isnan(target[end - AHEAD + 1 : end + 1]).all()
        assert np.isfinite(target[end - AHEAD])
    missing = (window.labels < 0) & (gaps == "missing")
    assert (np.isnan(window.xs[:, 0]) == missing).all()


@pytest.mark.slow
def test_the_study_learns_and_its_page_says_what_it_measured(tmp_path):
    """Test-sized: the error falls below that of the marginal, and the intervals of gaps are as wide as it."""
    config = Forecast(str(tmp_path), str(tmp_path / "kept"), cells=("gru",), hidden=12, steps=100, length=4000)
    forecast(replace(config, gaps=("noise",), policies=("oracle",)))
    kept = sorted((tmp_path / "kept").iterdir())
    before = [path.stat().st_mtime_ns for path in kept]
    text = forecast(config)
    assert [path.stat().st_mtime_ns for path in kept] == before  # not computed again
    found = json.loads((tmp_path / "forecast.json").read_text())["runs"]
    assert [(run["gaps"], run["policy"]) for run in found] == [(g, p) for g in GAPS for p in ("never", "oracle")]
    for run in found:
        assert f"{run['error']:.4f}" in text
    never, oracle = found[:2]
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
