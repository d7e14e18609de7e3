"""The grid of cells, regimes and policies: what it trains it keeps, what it measures it writes."""

import pytest

from asrnn_jax import streaming
from experiments.errors import UsageError
from experiments.folder import read_json
from experiments.never_reset import NeverReset, never_reset, recipe
from experiments.samples import gaps_of, load_samples
from experiments.scores import measure
from experiments.stream_report import conditions
from experiments.train import trained

TINY = {"cells": ("gru",), "regimes": ("full",), "seeds": 1, "hidden": 8, "steps": 20, "samples": 30}


def test_it_trains_measures_goes_on_and_writes_its_tables(tmp_path):
    config = NeverReset(out=str(tmp_path), **TINY)
    text = never_reset(config)
    assert (tmp_path / "digits.md").read_text() == text + "\n"
    run = recipe(config, "gru", "full", 0)
    found = read_json(tmp_path / "digits-gru-full-0" / "streams.json")
    assert list(found["policies"]) == ["never", "oracle", "periodic", "on_energy", "on_entropy", "on_saturation"]
    assert list(found["conditions"]) == list(conditions(streaming.Gaps()))
    assert f"{100 * found['policies']['periodic']['accuracy']:.1f}" in text
    cell, params = trained(run)
    train, test, _ = load_samples(run)
    gaps = gaps_of(run, train)
    again = measure(cell, params, test, gaps, 30, streaming.never())
    assert found["policies"]["never"] == pytest.approx(again, rel=1e-12, nan_ok=True)
    assert found["conditions"]["as trained"]["never"] == pytest.approx(again, rel=1e-12, nan_ok=True)
    assert params["output"]["kernel"].shape == (8, 10)
    stamp = (tmp_path / "digits-gru-full-0" / "result.json").stat().st_mtime_ns
    assert never_reset(config) == text
    assert (tmp_path / "digits-gru-full-0" / "result.json").stat().st_mtime_ns == stamp
    with pytest.raises(UsageError, match="hidden 8 -> 9"):
        never_reset(NeverReset(out=str(tmp_path), **{**TINY, "hidden": 9}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cells": ("gruu",)}, "perhaps you meant gru"),
        ({"regimes": ("none",)}, "--regimes"),
        ({"seeds": 0}, "--seeds 0"),
    ],
)
def test_wrong_flags_are_named(wrong, message):
    with pytest.raises(UsageError, match=message):
        NeverReset(**{**TINY, **wrong})
