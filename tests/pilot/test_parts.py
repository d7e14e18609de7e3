"""Parts of a pilot against definitions written out: windows, splits, disturbances, limits, numbers."""

from pathlib import Path

import numpy as np
import pytest

from asrnn_jax.estimators import Preparation, as_table
from asrnn_jax.pilot import (
    baselines,
    classification_scores,
    concatenated,
    disturbances,
    features,
    folder,
    monitors,
    numbers,
    pipeline,
    splits,
)
from asrnn_jax.pilot.checklist import checklist
from asrnn_jax.pilot.options import Options


def streams(number=6, steps=90, seed=0):
    """Two classes that differ in their period, 20 steps each, with 10 unlabelled steps in between."""
    rng = np.random.default_rng(seed)
    t = np.tile(np.arange(steps), number)
    kind = (t // 30) % 2
    x = np.sin(t * np.where(kind == 0, 0.4, 1.6)) * (t % 30 < 20) + rng.normal(scale=0.05, size=len(t))
    state = np.where(t % 30 < 20, np.where(kind == 0, "slow", "fast"), None)
    return {
        "id": np.repeat([f"s{i}" for i in range(number)], steps),
        "t": t * 0.5,
        "x": x,
        "y": rng.normal(size=len(t)),
        "state": state,
    }


def a_table(**options):
    return as_table(streams(**options), label="state", stream="id", time="t")


# ------------------------------------------------------------------------------------------------- windows


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
@pytest.mark.parametrize("window", [1, 2, 5, 8, 60])
def test_windows_are_what_their_definition_says(steps, window):
    xs = np.random.default_rng(steps).normal(size=(steps, 2)) + 100
    found = features(xs, [window])
    for t in range(steps):
        past = xs[max(0, t - window + 1) : t + 1]
        slope = np.polyfit(np.arange(len(past)), past, 1)[0] if len(past) > 1 else np.zeros(2)
        wanted = [past.mean(0), past.std(0), past.min(0), past.max(0), slope, past[-1]]
        np.testing.assert_allclose(found[t], np.concatenate(wanted), atol=2e-4)


def test_windows_see_nothing_of_what_comes_later():
    xs = np.random.default_rng(0).normal(size=(50, 3))
    changed = xs.copy()
    changed[30:] = 9
    np.testing.assert_array_equal(features(xs, [3, 10])[:30], features(changed, [3, 10])[:30])


def test_windows_without_length_are_refused():
    with pytest.raises(ValueError, match="give at least one"):
        features(np.zeros((3, 1)), [])


# -------------------------------------------------------------------------------------------------- splits


def test_whole_streams_are_kept_for_the_test():
    found = splits.split(a_table(number=8), seed=1)
    names = [{part.stream.values[code] for code in part.stream.codes} for part in (found.train, found.test)]
    assert found.how == "streams"
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 8
    assert len(names[1]) == 2
    assert found.train.rows + found.test.rows == 8 * 90


def test_a_class_of_one_stream_is_learned_from():
    table = streams(number=8)
    table["state"] = np.where(table["id"] == "s3", "rare", table["state"])
    for seed in range(5):
        found = splits.split(as_table(table, label="state", stream="id", time="t"), seed=seed)
        rare = found.train.labels.values.index("rare")
        assert (found.train.labels.codes == rare).any()


def test_few_streams_are_split_by_time_between_events():
    table = a_table(number=2)
    found = splits.split(table)
    assert found.how == "time"
    for code in (0, 1):
        last, first = (part.times[part.stream.codes == code] for part in (found.train, found.test))
        assert last.max() < first.min()
        whole = table.labels.codes[table.stream.codes == code]
        assert whole[len(last)] != whole[len(last) - 1]  # where a label changes


# ------------------------------------------------------------------------------------- joined, intervals, scores


def test_streams_are_joined_with_their_resets():
    table = a_table(number=2, steps=30)
    whole = concatenated.join(Preparation().fit(table).apply(table))
    assert np.flatnonzero(concatenated.resets(whole, "streams")).tolist() == [0, 30]
    assert np.flatnonzero(concatenated.resets(whole, "oracle")).tolist() == [0, 30]
    assert not concatenated.resets(whole, "never").any()
    table = a_table(number=1, steps=90)
    whole = concatenated.join(Preparation().fit(table).apply(table))
    assert np.flatnonzero(concatenated.resets(whole, "oracle")).tolist() == [0, 30, 60]
    assert sum(b - a for a, b in concatenated.pieces(whole)) == 90


def test_pieces_are_streams_where_there_are_enough():
    table = a_table(number=9, steps=30)
    whole = concatenated.join(Preparation().fit(table).apply(table))
    assert concatenated.pieces(whole) == [(30 * i, 30 * (i + 1)) for i in range(9)]


def test_scores_of_the_truth_are_perfect_and_of_the_majority_are_its_share():
    table = a_table(number=8)
    preparation = Preparation().fit(table)
    series = preparation.apply(table)
    whole = concatenated.join(series)
    rule = classification_scores.rules(0.5, whole, gaps=True)
    log_p = np.log(np.where(whole.labels[:, None] == np.arange(2), 0.9, 0.1))
    truth = baselines.Said(np.maximum(whole.labels, 0), whole.labels, log_p)
    found = classification_scores.scored(whole, truth, rule, 2)
    assert found["accuracy"]["value"] == found["whole_events"] == found["events"]["segment_f1"]["value"] == 1
    assert found["events"]["false_alarms_per_hour"]["value"] == 0
    assert found["nothing_in_gaps"] == 1
    always = baselines.majority(series, len(whole.xs), 2)
    share = np.mean(whole.labels[whole.labels >= 0] == always.best[0])
    assert classification_scores.accuracy(whole.labels, always.best) == share == max(share, 1 - share)
    apart = classification_scores.difference(whole, truth.best, always.best)
    assert apart["low"] <= apart["value"] == pytest.approx(1 - share)
    assert apart["low"] > 0


def test_boosting_tells_periods_apart_and_says_nothing_in_gaps():
    train, test = a_table(number=6), a_table(number=4, seed=1)
    preparation = Preparation().fit(train)
    trees = baselines.Boosting().fit(preparation.apply(train))
    said, whole = trees.predict(preparation.apply(test), 2), concatenated.join(preparation.apply(test))
    assert trees.windows == (2, 10, 40)
    assert classification_scores.accuracy(whole.labels, said.best) > 0.9
    assert np.mean(said.answers[whole.labels < 0] == -1) > 0.7


# -------------------------------------------------------------------------------------------- disturbances


@pytest.mark.parametrize("kind", disturbances.STRETCHES)
def test_a_stretch_is_put_in_between_events_and_time_goes_on(kind):
    table = a_table(number=3)
    preparation = Preparation().fit(table)
    found = disturbances.insert(table, preparation, kind, 40)
    assert found.inside.sum() == 3 * 40
    assert found.table.rows == table.rows + 120
    outside = found.original[~found.inside]
    assert sorted(outside.tolist()) == list(range(table.rows))
    np.testing.assert_array_equal(found.table.channels["x"][~found.inside], table.channels["x"][outside])
    assert (found.table.labels.codes[found.inside] == -1).all()
    for code in range(3):
        assert np.allclose(np.diff(found.table.times[found.table.stream.codes == code]), 0.5)
    inside = found.table.channels["x"][found.inside]
    median = preparation.fitted.rule.median[0]
    assert {
        "silence": (inside == median).all(),
        "noise": inside.std() > 0.1,
        "missing": np.isnan(inside).all(),
        "stuck": len(np.unique(inside)) == 3,
    }[kind]


def test_channels_are_moved_by_their_own_deviation():
    table = a_table()
    preparation = Preparation().fit(table)
    moved = disturbances.moved(table, preparation, 2.0)
    for i, name in enumerate(("x", "y")):
        wanted = table.channels[name] + 2 * preparation.fitted.rule.scale[i]
        np.testing.assert_allclose(moved.channels[name], wanted)
    assert np.isnan(disturbances.without(table, "x").channels["x"]).all()
    assert 0.05 < np.isnan(disturbances.holed(table, 0.1).channels["y"]).mean() < 0.15


# ------------------------------------------------------------------------- limits, checklist, numbers, folder


def test_limits_lie_around_training():
    found = monitors.limits({"norm": 1.0, "saturated": 0.1, "gap_entropy": 0.9, "drift": 0.2}, gaps=True)
    assert (found.norm, found.gap_entropy) == (3.0, 0.5)
    assert found.saturated == pytest.approx(0.3)
    assert found.drift == pytest.approx(0.6)
    far = monitors.limits({"norm": 4.0, "saturated": 0.8, "gap_entropy": 0.3, "drift": 9.0}, gaps=True)
    assert far.norm == 6
    assert far.saturated is None
    assert far.drift == 13.5
    assert far.gap_entropy == pytest.approx(0.2)
    assert monitors.limits(dict.fromkeys(("norm", "saturated", "gap_entropy", "drift"), np.nan), False).norm == 3


def test_the_checklist_is_ticked_by_numbers():
    history = {"step": [10.0, 20.0], "gap_share": [0.5, 0.93], "weight": [1.0, 2.0]}
    assert [p["met"] for p in checklist(history, 0.95, 0.90, 0.895, 0)] == [True] * 4
    points = checklist({"step": [10.0], "gap_share": [0.5], "weight": [1.0]}, 0.95, 0.90, 0.80, 3)
    assert [p["met"] for p in points] == [True, False, False, False]
    assert points[2]["cost"] == pytest.approx(0.1)
    assert points[3]["trips"] == 3


def test_numbers_say_where_they_are_from():
    result = {"a": {"b": [0.5, None]}}
    assert numbers.marked(result, "a/b/0", "percent") == (
        '<data value="0.5" data-key="a/b/0" data-kind="percent">50.0 %</data>'
    )
    for missing in ("a/b/1", "a/c"):
        assert f">{numbers.MISSING}<" in numbers.marked(result, missing, "percent")
    assert numbers.shown(-0.25, "points") == "\N{MINUS SIGN}25.0 points"


def test_data_to_learn_from_and_to_test_on_are_not_taken_for_each_other(tmp_path):
    """Else a pilot that goes on would test a network on what it was trained on."""
    one, other = (str(tmp_path / name) for name in ("one.csv", "other.csv"))
    for path in (one, other):
        Path(path).write_text(path)
    there, turned, together = (
        pipeline.config(Options(data=data, test=test, label="state", out="x"))
        for data, test in (((one,), (other,)), ((other,), (one,)), ((one, other), ()))
    )
    assert there != turned
    assert there != together
    assert turned != together


def test_a_folder_belongs_to_one_pilot(tmp_path):
    folder.claim(tmp_path / "a", {"label": "x"})
    folder.claim(tmp_path / "a", {"label": "x"})
    with pytest.raises(ValueError, match="other label; name another folder"):
        folder.claim(tmp_path / "a", {"label": "y"})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "one of both"),
        ({"label": "a", "target": ("b",)}, "one of both"),
        ({"label": "a", "minutes": 0.0}, "--minutes 0: give a number above 0"),
        ({"label": "a", "cells": ("grru",)}, "perhaps you meant 'gru'"),
        ({"label": "a", "cells": ("gru", "gru")}, "name each cell once"),
        ({"target": ("a",), "horizon": 0}, "--horizon 0: give at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Options(data=("x.csv",), **wrong).check()
