"""A forecaster of streams: means, intervals, surprises, in the units of the data, live as on the whole."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from asrnn_jax import losses
from asrnn_jax.estimators import Forecasts, Series, StreamForecaster
from asrnn_jax.estimators.answering.intervals import Trial, attempt, calibrate
from asrnn_jax.estimators.answering.number_answers import Reader

SMALL = {"cell": "gru", "hidden": 8, "steps": 150, "rate": 0.02, "window": 40, "batch": 8, "minutes": None}


def waves(rows=1500, seed=0):
    """Two targets in units of their own; the second follows a covariate three steps later."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "t": np.arange(rows) * 1.0,
            "wave": 1000 + 20 * np.sin(np.arange(rows) / 3) + 2 * rng.normal(size=rows),
            "led": 1e-3 * (np.concatenate([np.zeros(3), z[:-3]]) + 0.1 * rng.normal(size=rows)),
            "leads": z,
        }
    )


@pytest.fixture(scope="module", params=["student", pytest.param("gaussian", marks=pytest.mark.slow)])
def model(request):
    found = StreamForecaster(horizon=2, targets=["wave", "led"], distribution=request.param, **SMALL)
    return found.fit(waves(), time="t")


NEW = waves(rows=500, seed=1)


def test_it_forecasts_with_intervals_that_hold(model):
    found = model.evaluate(NEW)
    assert found["wave"]["error"] < 6
    assert found["led"]["error"] < 0.5e-3
    for one in found.values():
        assert 0.8 < one["coverage"] < 0.97
        assert one["skill"] > 0.3
    assert model.score(NEW) == pytest.approx(np.mean([one["skill"] for one in found.values()]))


def test_the_numbers_are_those_of_the_table(model):
    table, found = model.predict(NEW), model.evaluate(NEW)
    assert list(table.columns) == ["t", "wave", "wave low", "wave high", "led", "led low", "led high"]
    later, now = NEW.wave.shift(-2), NEW.wave
    error = (table.wave - later).abs().mean()
    assert error == pytest.approx(found["wave"]["error"], rel=1e-4)
    assert found["wave"]["skill"] == pytest.approx(1 - error / (now - later).abs().mean(), rel=1e-3)
    inside = (table["wave low"] <= later) & (later <= table["wave high"])
    assert inside[:-2].mean() == pytest.approx(found["wave"]["coverage"], abs=1e-6)


def test_a_stretch_unlike_the_others_surprises(model):
    strange = NEW.copy()
    strange.loc[300:305, "wave"] += 60
    found = model.anomaly(strange)
    assert found.anomaly[300:306].any()
    assert found.anomaly[:300].mean() < 0.02
    assert found.surprise[:2].isna().all()  # nothing was forecast for them
    assert 298 < found.surprise.idxmax() < 310


def test_a_session_gives_what_the_whole_gives(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = StreamForecaster.load(tmp_path / "model")
    session, parts = loaded.session(), []
    rows = NEW.iloc[:60].copy()
    rows.loc[20:22, ["wave", "led", "leads"]] = np.nan
    rows.loc[40, "wave"] += 500
    for start in range(0, 60, 15):
        parts.append(session.push(rows.iloc[start : start + 15].to_dict("list")))
        session.save(tmp_path / "session")
        session = loaded.session()
        session.load(tmp_path / "session")
    said = Forecasts(*map(np.concatenate, zip(*parts)))
    expected, strange = model.predict(rows), model.anomaly(rows)
    for k, name in enumerate(model.targets_):
        columns = expected[[name, f"{name} low", f"{name} high"]]
        scale = model.preparation.fitted.targets.scale[k]
        found = np.stack([said.mean, said.low, said.high], -1)[:, k]
        np.testing.assert_allclose(found / scale, columns / scale, atol=1e-4)
    np.testing.assert_allclose(said.surprise, strange.surprise, atol=1e-3)
    assert said.anomaly.tolist() == strange.anomaly.tolist()
    assert said.anomaly[40]


def test_intervals_hold_what_they_say_and_dont_know_stays_as_it_is():
    """Widths that are wrong by a factor are mended where something is known, and the marginal interval stays."""
    rng = np.random.default_rng(0)
    sigma = rng.uniform(0.05, 0.3, 5000)
    reader = Reader(losses.Gaussian(jnp.zeros(1), jnp.zeros(1)), (-1,), 1, 0.9)
    y = (sigma * rng.normal(size=5000)).astype(np.float32)[:, None]
    steps = {"xs": np.zeros((5000, 1), np.float32), "valid": np.ones(5000, bool), "rows": np.arange(5000)}
    one = Series(name="", labels=np.full(5000, -1), targets=y, times=None, **steps)
    outputs = np.zeros((5000, 3), np.float32)
    outputs[:-1, 2] = np.log(3 * sigma[1:])  # the interval is three times too wide
    for wide in (1.0, 0.8):
        found = calibrate(reader, attempt(reader, [one], [outputs], wide))
        half = found.half(reader.said(one, outputs).half)
        inside = np.abs(reader.ahead(one)) <= half
        assert inside[:-1].mean() == pytest.approx(0.9, abs=0.01)
        assert 0.25 < np.median(half / reader.said(one, outputs).half) < 0.45
        np.testing.assert_allclose(found.half(wide * found.marginal), found.marginal, rtol=1e-5)
        np.testing.assert_allclose(found.half(2 * found.marginal), 2 * found.marginal)


def test_a_network_trained_again_is_calibrated_by_what_both_say_of_what_they_know():
    one = np.ones(1)
    found = Trial(one, 2 * one, np.arange(5.0)).instead(
        Trial(one, 0.5 * one, np.arange(11.0)), Trial(0.7 * one, 0.25 * one, 3 * np.arange(11.0))
    )
    assert (found.wide, found.odds) == (0.7, 1.0)
    np.testing.assert_allclose(found.surprises, 3 * np.arange(5.0))


@pytest.mark.slow
def test_by_default_all_channels_are_forecast_and_arrays_give_arrays():
    x = waves()[["wave", "leads"]].to_numpy()
    found = StreamForecaster(**{**SMALL, "steps": 20}).fit(x)
    assert found.targets_ == ("x0", "x1")
    assert found.predict(x).shape == (1500, 2)
    assert found.anomaly(x).shape == (1500,)
    steps = found.history["step"][-1]
    assert found.partial_fit(x, steps=10).history["step"][-1] == steps + 10


def test_wrong_arguments_are_said(without_type_checks):
    wrong = ({"horizon": 0}, {"level": 1.0}, {"distribution": "uniform"}, {"false_alarms": 0.0}, {"targets": "wav"})
    for one in wrong:
        with pytest.raises(ValueError, match=next(iter(one))):
            StreamForecaster(**one).fit(waves(), time="t")
    with pytest.raises(ValueError, match="horizon=1000000: the longest stream has"):
        StreamForecaster(horizon=1_000_000).fit(waves(), time="t")
    with pytest.raises(ValueError, match="not fitted"):
        StreamForecaster().predict(waves())
