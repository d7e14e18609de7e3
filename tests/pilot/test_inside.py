"""What a pilot does with its networks and its numbers, with the networks and the numbers made up."""

import base64
import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from asrnn_jax import cells, pilot
from asrnn_jax.estimators import Series
from asrnn_jax.pilot import (
    classification,
    classification_scores,
    disturbances,
    figures,
    folder,
    forecast_scores,
    forecasting,
    networks,
    page,
    pipeline,
    script,
    stability,
)
from asrnn_jax.pilot.concatenated import join
from asrnn_jax.pilot.contributions import contributions
from asrnn_jax.pilot.options import Options

CLASSES, NUMBERS = Options(data=("x.csv",), label="state", stream="Gerät"), Options(data=("x.csv",), target=("x",))


def a_series(steps, labels=None, times=None, targets=None, seed=0):
    return Series(
        name="a",
        xs=np.random.default_rng(seed).normal(size=(steps, 2)).astype(np.float32),
        labels=np.zeros(steps, int) if labels is None else np.array(labels),
        valid=np.ones(steps, bool),
        targets=targets,
        rows=np.arange(steps),
        times=times,
    )


def test_an_event_begins_where_a_stream_begins_with_the_label_of_the_last():
    assert join([a_series(2), a_series(3, [0, -1, 0])]).begins.tolist() == [True, False, True, False, True]


def test_just_after_a_stretch_is_outside_of_it():
    inside = np.array([False, True, True, False, False, True, False])
    assert disturbances.after(inside, 3).tolist() == [False, False, False, True, True, False, True]


def test_false_alarms_are_those_in_stretches_by_the_hour():
    inside = np.array([False, True, True, True, True, False])
    rule = classification_scores.Rules(step_seconds=900.0, grace=1, gaps=True)
    assert classification._alarms(np.array([1, 1, -1, 0, -1, 1]), inside, rule) == 1


def test_a_forecast_ends_with_its_stream_and_its_state_where_time_jumps():
    targets = np.arange(5, dtype=np.float32)[:, None]
    found = forecast_scores.wanted([a_series(5, times=np.array([0.0, 1, 2, 20, 21]), targets=targets)] * 2, 2, 1.0)
    assert found.joined.begins.tolist() == [False, False, False, True, False] * 2
    np.testing.assert_array_equal(found.truth[:, 0], [2, 3, 4, np.nan, np.nan] * 2)


def test_intervals_lie_around_the_mean_and_nothing_is_surprising_across_streams(without_type_checks):
    mean, half = np.array([[1.0], [2], [3], [4]]), np.full((4, 1), 0.5)
    model = SimpleNamespace(say=lambda now, ys: (mean, half, np.arange(4.0)), horizon=2)
    joined = SimpleNamespace(starts=np.array([True, False, False, True]))
    said, surprise = forecasting._said(model, SimpleNamespace(now=None, joined=joined), None)
    np.testing.assert_array_equal(said.low, mean - 0.5)
    np.testing.assert_array_equal(said.high, mean + 0.5)
    np.testing.assert_array_equal(surprise, [np.nan, np.nan, 2, np.nan])


def test_a_channel_contributes_what_is_lost_without_it():
    joined, cell = join([a_series(40)]), cells.network("gru", 2, 3, 1)
    params = cell.init(jax.random.key(0))
    found = contributions(cell, params, joined, ["x", "y"], 2, lambda ys, xs: xs.sum(-1))
    np.testing.assert_allclose(found.stretch, joined.xs.T, atol=1e-6)
    np.testing.assert_allclose(found.mean, joined.xs.mean(0), atol=1e-6)


def test_the_gradient_that_is_kept_is_that_of_half_the_reach(monkeypatch, without_type_checks):
    norms = np.arange(1.0, stability.REACH + 1)
    analysis = SimpleNamespace(
        jacobian_spectrum=lambda *_, **__: np.ones((2, 3, 4)),
        gradient_norms=lambda *_: norms[None],
        saturation=lambda *_: {},
        lyapunov_spectrum=lambda *_, **__: SimpleNamespace(exponents=[-0.5]),
        norm_drift=lambda *_: SimpleNamespace(growth=[1.0]),
    )
    monkeypatch.setattr(stability, "analysis", analysis)
    found = stability.stability(None, None, np.zeros((30, 2), np.float32))
    assert found["gradient_kept"] == pytest.approx((stability.REACH // 2) / stability.REACH)
    assert (found["lyapunov"], found["growth"], found["saturated"]) == (-0.5, 1, 0)


def test_figures_have_no_date_and_pages_no_tags_of_the_data():
    svg = base64.b64decode(figures.uri(Figure()).split(",")[1]).decode()
    assert "<dc:date>" not in svg
    assert page.environment().from_string("{{ name }}").render(name="<b>") == "&lt;b&gt;"


def test_a_network_that_was_trained_is_loaded(tmp_path, monkeypatch, without_type_checks):
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "gru.safetensors").touch()
    folder.write_json(tmp_path / "networks" / "gru.json", {"seconds": 7.0})
    monkeypatch.setattr(networks, "estimator", lambda _: SimpleNamespace(load=lambda file: file.name))
    found = networks.trained(tmp_path, "gru", CLASSES, None, 1.0)
    assert (found.estimator, found.seconds, found.kept) == ("gru.safetensors", 7, True)


def test_the_folder_gets_the_best_network_its_script_and_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "page", lambda result: "the page")
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "gru.safetensors").write_text("weights")
    result = {"answer": {"best": "gru"}, "methods": {"gru": {"a": 1}, "majority": {"a": 2}}}
    pipeline._write(tmp_path, result, CLASSES)
    assert (tmp_path / "model.safetensors").read_text() == "weights"
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert (tmp_path / "runs.jsonl").read_text().splitlines()[1] == '{"method": "majority", "a": 2}'
    assert (tmp_path / "report.html").read_text() == "the page"


def test_the_script_names_the_column_of_streams_and_its_model():
    text = script.script(CLASSES)
    assert 'row.get("Gerät", "")' in text
    assert "StreamClassifier.load" in text
    assert 'row.get("stream", "")' in script.script(NUMBERS)
    assert "StreamForecaster.load" in script.script(NUMBERS)
    compile(text, "stream.py", "exec")


def test_a_pilot_from_python_gives_its_result(monkeypatch):
    monkeypatch.setattr(pipeline, "pilot", lambda options, **_: {"answer": options.label})
    assert pilot.pilot(CLASSES) == {"answer": "state"}
