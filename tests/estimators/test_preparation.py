"""What is done to data is right, is said, and is the same live as on the whole."""

import itertools
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.preprocessing import RobustScaler

from asrnn_jax import saved
from asrnn_jax.estimators import Preparation, as_table, summary
from asrnn_jax.estimators.preparing.steps import HELD

NAN, INF = float("nan"), float("inf")


def noise(rows, seed=0):
    return np.random.default_rng(seed).standard_normal(rows)


def fitted(data, irregular="ignore", **roles):
    table = as_table(data, **roles)
    preparation = Preparation(irregular=irregular).fit(table)
    return preparation, preparation.apply(table)


def kinds(findings):
    return {finding.kind: finding.count for finding in findings}


def severities(findings, kind):
    return [finding.severity for finding in findings if finding.kind == kind]


def test_scaling_is_that_of_scikit_learn():
    x = noise(500) * 3 + 7
    skewed = np.exp(noise(500, 1) / 3)
    _, (series,) = fitted({"x": x, "y": skewed})
    expected = RobustScaler(unit_variance=True).fit_transform(np.stack([x, skewed], 1))
    assert np.abs(expected).max() < 10
    np.testing.assert_allclose(series.xs, expected, rtol=0, atol=1e-6)
    assert Preparation().fit(as_table({"x": x})).fitted.rule.scale[0] == pytest.approx(
        stats.iqr(x, scale="normal"), rel=1e-12
    )


def test_a_channel_that_seldom_moves_is_scaled_by_its_deviation():
    x = np.where(np.arange(400) % 10 == 0, noise(400), 0)
    preparation, (series,) = fitted({"x": x})
    np.testing.assert_allclose(preparation.fitted.rule.scale, np.std(x, mean=0 * x[0] + np.median(x)), rtol=1e-12)
    assert np.isfinite(series.xs).all()


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e30, 1e300])
def test_scaling_knows_no_units(factor):
    x = noise(100)
    x[3], x[50:52] = NAN, [INF, 40]
    _, (usual,) = fitted({"x": x})
    _, (series,) = fitted({"x": x * factor})
    np.testing.assert_allclose(series.xs, usual.xs, rtol=1e-5)


def test_wild_values_count_by_their_logarithm():
    x = noise(200)
    x[10:14] = [50, -50, 1e300, -1e300]
    preparation, (series,) = fitted({"x": x})
    scaled = (x - preparation.fitted.rule.median) / preparation.fitted.rule.scale
    far = scaled[10:14]
    np.testing.assert_allclose(series.xs[10:14, 0], np.sign(far) * 10 * (1 + np.log(np.abs(far) / 10)), rtol=1e-6)
    assert np.isfinite(series.xs).all()
    assert (np.argsort(series.xs[:, 0]) == np.argsort(x)).all()
    assert kinds(preparation.findings)["far"] == 4


def test_channels_that_say_nothing_are_left_out_and_reported():
    data = {"x": noise(50), "still": np.full(50, 3.25), "empty": np.full(50, NAN), "almost": [NAN] * 49 + [1.0]}
    preparation, (series,) = fitted(data)
    assert preparation.inputs == ("x",)
    assert series.xs.shape == (50, 1)
    assert severities(preparation.findings, "empty_channel") == ["serious"]
    assert [f.column for f in preparation.findings if f.kind == "constant_channel"] == ["still", "almost"]
    with pytest.raises(ValueError, match="no channel varies"):
        fitted({"still": np.full(50, 3.25)})


def test_missing_values_are_held_and_flagged():
    x = np.array([NAN, NAN, 1, 2, NAN, INF, 3, -INF, *noise(32)])
    y = noise(40)
    y[[4, 20]] = NAN
    preparation, (series,) = fitted({"x": x, "y": y, "z": np.where(np.arange(40) == 4, NAN, noise(40, 2))})
    rule = preparation.fitted.rule
    back = series.xs[:, 0] * rule.scale[0] + rule.median[0]
    np.testing.assert_allclose(back[:8], [rule.median[0]] * 2 + [1, 2, 2, 2, 3, 3], atol=1e-6)
    assert preparation.inputs == ("x", "y", "z", "x missing", "y missing", "z missing")
    assert series.xs[:, 3].astype(bool).tolist() == (~np.isfinite(x)).tolist()
    assert series.valid.tolist() == [True] * 4 + [False] + [True] * 35
    found = [(f.kind, f.column, f.count) for f in preparation.findings if f.kind in ("missing", "infinite")]
    assert found == [("missing", "x", 3), ("infinite", "x", 2), ("missing", "y", 2), ("missing", "z", 1)]


def test_infinite_values_alone_are_flagged_too():
    x = noise(40)
    x[7] = INF
    preparation, (series,) = fitted({"x": x, "y": noise(40, 1)})
    assert preparation.inputs == ("x", "y", "x missing")
    assert np.flatnonzero(series.xs[:, 2]).tolist() == [7]


def test_whole_steps_missing_are_marked():
    x = np.stack([noise(40), noise(40, 1)])
    x[:, [5, 6, 30]] = NAN
    x[0, 10] = NAN
    preparation, (series,) = fitted({"x": x[0], "y": x[1]})
    assert np.flatnonzero(~series.valid).tolist() == [5, 6, 30]
    assert kinds(preparation.findings)["missing_steps"] == 3


def test_many_steps_missing_are_silence():
    x = noise(60) + 100
    x[20:30] = NAN
    preparation, (series,) = fitted({"x": x})
    assert np.flatnonzero(~series.valid).tolist() == list(range(20, 20 + HELD))
    assert (series.xs[20 + HELD : 30] == [0, 1]).all()  # the median, and the flag
    assert kinds(preparation.findings)["missing_steps"] == 10


def test_values_that_lack_only_later_are_held_and_said():
    preparation, _ = fitted({"x": noise(50)})
    (series,), found = preparation.prepare(as_table({"x": [1.0, NAN, 2.0]}))
    assert series.xs[0] == series.xs[1]
    assert kinds(found)["not_flagged"] == 1


def test_mostly_missing_is_serious():
    preparation, _ = fitted({"x": np.where(np.arange(60) % 3, NAN, noise(60)), "y": noise(60)})
    assert severities(preparation.findings, "missing") == ["serious"]


def test_rows_are_put_in_order_each_time_once():
    t = np.arange(40.0)
    data = pd.DataFrame({"s": "a", "t": t, "x": noise(40), "y": ["u", None] * 20})
    data = pd.concat([data, data.iloc[[7, 8]], data.iloc[[9]].assign(x=99.0), data.iloc[[10]].assign(y="v")])
    data = pd.concat([data, data.assign(s="b")]).reset_index(drop=True)
    order = np.random.default_rng(3).permutation(80)
    shuffled = pd.concat([data.iloc[order % 40 + 44 * (order // 40)], data.iloc[40:44], data.iloc[84:]]).reset_index(
        drop=True
    )
    preparation, (a, b) = fitted(shuffled, stream="s", time="t", label="y")
    assert (a.name, b.name) == ("a", "b")
    found = kinds(preparation.findings)
    assert (found["duplicates"], found["conflicts"]) == (4, 4)
    assert found["order"] > 40
    expected = data.iloc[:40].copy()
    expected.loc[9, "x"] = 99.0
    expected.loc[10, "y"] = "v"
    for series in (a, b):
        assert series.times.tolist() == t.tolist()
        assert shuffled.x[series.rows].tolist() == expected.x.tolist()
        assert [preparation.classes[i] if i >= 0 else "" for i in series.labels] == expected.y.fillna("").tolist()
        assert (shuffled.s[series.rows] == series.name).all()


def test_rows_without_a_stream_or_a_time_are_left_out_and_said():
    data = {"s": ["a"] * 19 + [None], "t": [NAN, *range(1, 20)], "x": noise(20)}
    preparation, (series,) = fitted(data, stream="s", time="t")
    assert series.rows.tolist() == list(range(1, 19))
    assert (kinds(preparation.findings)["no_stream"], kinds(preparation.findings)["no_time"]) == (1, 1)


def test_streams_side_by_side_do_not_mix():
    whole = {"s": np.repeat(["b", "a"], 30), "x": np.concatenate([noise(30), [NAN], noise(29, 1)])}
    mixed = {name: np.asarray(values).reshape(2, 30).T.ravel() for name, values in whole.items()}
    _, (a, b) = fitted(whole, stream="s")
    _, (a_mixed, b_mixed) = fitted(mixed, stream="s")
    assert a.xs.tobytes() == a_mixed.xs.tobytes()
    assert b.xs.tobytes() == b_mixed.xs.tobytes()


def test_even_times_are_even_when_rounded_and_gaps_are_said():
    t = np.round(np.arange(200) / 64, 3)  # 15 and 16 ms
    t[100:] += 5
    preparation, _ = fitted({"t": t, "x": noise(200)}, time="t")
    found = kinds(preparation.findings)
    assert found["regular"] == 199
    assert found["gaps"] == 1
    assert preparation.fitted.rule.step == pytest.approx(1 / 64, rel=1e-3)


UNEVEN = np.cumsum(np.random.default_rng(5).exponential(1.0, 300))


@pytest.mark.parametrize(
    ("irregular", "severity"), [("ignore", "serious"), ("resample", "repair"), ("channel", "repair")]
)
def test_uneven_times_are_said(irregular, severity):
    preparation, _ = fitted({"t": UNEVEN, "x": noise(300)}, irregular, time="t")
    assert severities(preparation.findings, "irregular") == [severity]


def test_times_of_day_go_on_after_midnight():
    clock = [f"{i // 60 % 24:02d}:{i % 60:02d}" for i in range(23 * 60, 49 * 60)]
    data = {"s": ["a", "b"] * len(clock), "t": [c for c in clock for _ in "ab"], "x": noise(2 * len(clock))}
    preparation, streams = fitted(data, "channel", stream="s", time="t")
    assert not {"order", "conflicts"} & kinds(preparation.findings).keys()
    live = preparation.live()
    rows = [live.push({"t": data["t"][i], "x": data["x"][i]})[0] for i in range(0, 2 * len(clock), 2)]
    assert np.concatenate(rows).tobytes() == streams[0].xs.tobytes()
    assert preparation.how.write(streams[1].times).tolist() == clock


def test_the_interval_as_a_channel():
    preparation, (series,) = fitted({"t": UNEVEN, "x": noise(300)}, "channel", time="t")
    assert preparation.inputs == ("x", "log interval")
    expected = np.log(np.diff(UNEVEN) / preparation.fitted.rule.step)
    np.testing.assert_allclose(series.xs[1:, 1], expected.clip(-10, 10), rtol=1e-5, atol=1e-6)
    assert series.xs[0, 1] == 0


def test_resampling_even_times_changes_nothing():
    data = {"t": np.arange(100) * 0.1 + 1.7e9, "x": noise(100)}
    _, (plain,) = fitted(data, time="t")
    _, (series,) = fitted(data, "resample", time="t")
    assert series.xs.tobytes() == plain.xs.tobytes()
    assert series.rows.tolist() == plain.rows.tolist()


def test_resampling_holds_the_last_value_up_to_each_point():
    t = np.concatenate([np.arange(40.0), [42.0, 42.2, 43.1, 55.0], np.arange(56.0, 80)])
    preparation, (series,) = fitted(
        {"t": t, "x": np.arange(len(t)) * 1.0, "y": ["a"] * len(t)}, "resample", time="t", label="y"
    )
    assert series.times.tolist() == list(range(80))
    held = series.xs[:, 0] * preparation.fitted.rule.scale + preparation.fitted.rule.median
    rows = series.rows[38:57].tolist()
    assert rows == [38, 39, -1, -1, 40, 42, *[-1] * 11, 43, 44]
    silence = preparation.fitted.rule.median[0]  # after steps over which the network's state is held
    wanted = [38, 39, 39, 39, 40, 42, *[42] * 10, silence, 43, 44]
    np.testing.assert_allclose(held[38:57], wanted, atol=1e-4)
    assert (series.labels == np.where(series.rows >= 0, 0, -1)).all()
    assert np.flatnonzero(~series.valid).tolist() == list(range(44 + HELD, 54))
    found = kinds(preparation.findings)
    assert (found["inserted"], found["merged"]) == (13, 1)


def test_a_gap_of_a_year_does_not_fill_the_memory():
    t = np.concatenate([np.arange(50.0), np.arange(50.0) + 3e7])
    table = as_table({"t": t, "x": noise(100)}, time="t")
    preparation = Preparation(irregular="resample", longest_gap=20).fit(table)
    (series,) = preparation.apply(table)
    assert len(series.xs) == 120
    assert series.times[-50:].tolist() == t[50:].tolist()
    assert (np.diff(series.times) > 0).all()


def test_labels_targets_and_what_is_new_later():
    data = {"x": noise(60), "y": np.where(np.arange(60) % 20 < 10, "on", "off"), "z": noise(60, 1) * 5 + 2}
    data["z"][3] = NAN
    preparation, (series,) = fitted(data, label="y", targets="z")
    assert preparation.classes == ("off", "on")
    assert series.labels.tolist() == [int(value == "on") for value in data["y"]]
    scaled = RobustScaler(unit_variance=True).fit_transform(data["z"][:, None])
    np.testing.assert_allclose(series.targets, scaled, rtol=1e-5, atol=1e-6)
    later = preparation.table({"x": [1.0, 2], "z": [1, 2], "y": ["on", "standby"]})
    (series,), found = preparation.prepare(later)
    assert series.labels.tolist() == [1, -1]
    assert severities(found, "new_classes") == ["serious"]
    (series,) = preparation.apply(preparation.table({"x": [1.0, 2], "z": [1, 2]}))
    assert series.labels.tolist() == [-1, -1]
    with pytest.raises(ValueError, match="no column 'z'; There are: 'x'"):
        preparation.table({"x": [1.0, 2]})
    with pytest.raises(ValueError, match="channel 'z' of the training data is not there"):
        preparation.apply(as_table({"x": [1.0, 2]}))


def states(*runs):
    return [name for name, length in runs for _ in range(length)]


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (None, "label=None: name the column"),
        ([None] * 100, "label='y': no row has a label"),
        ([0] * 100, "all 100 labelled rows are of one class, 0: there is nothing to tell apart"),
        (states(("a", 50), (None, 50)), "all 50 labelled rows are of one class, 'a'"),
        (states((0, 80), (1, 5), (0, 15)), r"class 1 is in the data once only \(5 rows\), and one event cannot be"),
        (states(("a", 50), ("b", 50)), "class 'a' is in the data once only .50 rows., class 'b' is in"),
    ],
)
def test_labels_from_which_nothing_can_be_learned(y, said):
    data = {"x": noise(100)} | ({} if y is None else {"y": y})
    preparation, _ = fitted(data, label=None if y is None else "y")
    with pytest.raises(ValueError, match=said) as error:
        preparation.check_labels()
    assert "\n" not in str(error.value)


def test_a_rare_class_beside_others_is_said():
    y = states(*[("a", 8), ("b", 8)] * 6, ("c", 4))
    preparation, _ = fitted({"x": noise(100), "y": y}, label="y")
    preparation.check_labels()
    (rare,) = [f for f in preparation.findings if f.kind == "rare_class"]
    assert rare.text == "Class 'c' is in the data once only (4 rows): too rare to learn."


def test_events_are_counted_by_streams_and_in_the_order_of_time():
    y = states(("a", 10), ("b", 10)) * 5
    order = np.random.default_rng(0).permutation(100)
    data = {"t": np.arange(100)[order], "x": noise(100), "y": [y[i] for i in order]}
    assert fitted(data, time="t", label="y")[0].fitted.classes.events == (5, 5)
    data = {"s": np.repeat(range(10), 10), "x": noise(100), "y": ["a"] * 100}
    assert fitted(data, stream="s", label="y")[0].fitted.classes.events == (10,)


@pytest.mark.parametrize("leak", ["equals", "code", "threshold", "nearly"])
def test_a_channel_that_tells_the_label_is_serious(leak):
    y = np.array(states(("a", 30), ("b", 20), ("c", 50)) * 20)
    code = np.array([{"a": 2.0, "b": 0.0, "c": 1.0}[value] for value in y])
    channel = {
        "equals": code,
        "code": code * 10 + 3,
        "threshold": code * 4 + np.random.default_rng(0).random(len(y)),
        "nearly": np.where(np.arange(len(y)) == 7, 1, code),
    }[leak]
    preparation, _ = fitted({"x": noise(len(y)), "given": channel, "y": y}, label="y")
    assert [(f.column, f.severity) for f in preparation.findings if f.kind == "leak"] == [("given", "serious")]


def test_a_channel_that_only_goes_with_the_label_is_no_leak():
    y = np.array(states(("a", 30), ("b", 20)) * 20)
    good = (y == "a") * 4 + noise(1000)
    often = np.where(np.random.default_rng(0).random(1000) < 0.95, y == "a", y == "b") * 1.0
    preparation, _ = fitted(
        {"x": good, "often": often, "unique": np.random.default_rng(1).permutation(1000), "y": y}, label="y"
    )
    assert not severities(preparation.findings, "leak")


@pytest.mark.parametrize("rows", [0, 1, 2, 9])
def test_too_few_rows(rows):
    with pytest.raises(ValueError, match=f"the table has {rows} usable row"):
        Preparation().fit(as_table({"x": noise(rows), "y": ["a"] * rows}, label="y"))


def test_few_rows_are_prepared_and_no_rows_are_no_stream():
    preparation, _ = fitted({"x": noise(20)})
    assert preparation.apply(as_table({"x": noise(2)}))[0].xs.shape == (2, 1)
    assert preparation.apply(as_table({"x": noise(0)})) == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Preparation(irregular="skip"), "irregular='skip': choose"),
        (lambda: Preparation(limit=0), "limit=0"),
        (lambda: Preparation().findings, "not fitted"),
        (lambda: Preparation(irregular="channel").fit(as_table({"x": noise(20)})), "needs times"),
        (lambda: timed().apply(as_table({"x": noise(20)})), "needs the column of times 't'"),
        (lambda: timed().live().push([1.0]), "needs times: push"),
        (lambda: timed().live().push([[1.0], [2.0]], [1.0]), "times: 1 for 2 rows"),
        (lambda: Preparation(irregular="resample").fit(even()).live(3), "batch="),
        (lambda: timed().live().push(np.zeros((2, 3)), [1, 2]), r"rows have shape \(2, 3\): give \(T, 1\)"),
        (lambda: timed().live().push({"y": 1.0, "t": 2.0}), "no column 'x'; There are: 'y', 't'"),
        (lambda: timed().live().restore({"held": np.zeros(3)}), "does not fit"),
        (lambda: timed().live(2).push({"x": 1.0}), "for a batch give an array"),
    ],
)
def test_wrong_calls(make, said, without_type_checks):
    with pytest.raises(ValueError, match=said):
        make()


def even():
    return as_table({"x": noise(20), "t": np.arange(20)}, time="t")


def timed():
    return Preparation(irregular="channel").fit(even())


def hostile(seed=0, rows=160):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 3)) * [1, 1e6, 1e-9]
    x[rng.random((rows, 3)) < 0.2] = NAN
    x[rng.random(rows) < 0.1] = NAN
    x[rng.random((rows, 3)) < 0.02] = INF
    x[rng.random((rows, 3)) < 0.02] = 1e200
    gaps = rng.choice([1.0, 1.0, 1.0, 0.7, 0.2, 1.4, 3.0, 40.0, 500.0], rows)
    return {"t": np.cumsum(gaps), "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}


@pytest.mark.parametrize("irregular", ["ignore", "resample", "channel"])
@given(
    seed=st.integers(0, 5),
    cuts=st.lists(st.integers(0, 160), max_size=6),
    way=st.sampled_from(["array", "dict", "frame"]),
)
@settings(max_examples=25, deadline=None)
def test_live_is_the_same_bits_as_the_whole(irregular, seed, cuts, way):
    data = hostile(seed)
    table = as_table(data, time="t")
    preparation = Preparation(irregular=irregular, longest_gap=30).fit(table)
    (whole,) = preparation.apply(table)
    live = preparation.live()
    found = []
    edges = [0, *sorted(cuts), 160]
    for first, last in itertools.pairwise(edges):
        chunk = {name: values[first:last] for name, values in data.items()}
        if way == "array":
            made = live.push(np.stack([chunk[name] for name in "abc"], axis=1), chunk["t"])
        elif way == "dict":
            rows = [dict(zip(chunk, row)) for row in zip(*chunk.values())]
            made = live.push(rows if rows else chunk)
        else:
            made = live.push(pl.DataFrame(chunk))
        found.append((*made, live.times, np.where(live.rows >= 0, live.rows + first, -1)))
        fresh = preparation.live()
        fresh.restore(live.state())
        live = fresh
    for i, expected in enumerate((whole.xs, whole.valid, whole.times, whole.rows)):
        assert np.concatenate([made[i] for made in found]).tobytes() == expected.tobytes()


def test_rows_one_at_a_time_as_text_from_a_file():
    data = {"t": np.arange(30.0), "x": np.round(noise(30), 3), "y": np.round(noise(30, 1), 3)}
    preparation, (whole,) = fitted(data, "channel", time="t")
    live = preparation.live()
    rows = [live.push({name: str(values[i]) for name, values in data.items()})[0] for i in range(30)]
    assert np.concatenate(rows).tobytes() == whole.xs.tobytes()


def test_text_that_is_no_number_is_missing_in_live_rows_too():
    preparation, _ = fitted({"x": noise(30), "y": noise(30, 1)})
    live = preparation.live()
    xs, valid = live.push([{"x": "error", "y": "1,5"}, {"x": "", "y": "NA"}, {"x": 2, "y": "1.5"}])
    assert valid.tolist() == [True, False, True]
    assert xs[0, 1] == xs[1, 1] == xs[2, 1]
    assert [(f.kind, f.count) for f in live.findings] == [("not_understood", 1)]


def test_dates_with_the_month_first_are_so_in_live_rows_too():
    when = [f"{1 + i // 28:02d}/{1 + i % 28:02d}/2026" for i in range(84)]
    preparation, (whole,) = fitted({"t": when, "x": noise(84)}, time="t")
    live = preparation.live()
    times = [float(live.times[0]) for t in when if len(live.push({"t": t, "x": "1"})[0])]
    assert times == whole.times.tolist()


def test_a_batch_of_live_streams_is_each_of_them():
    preparation, _ = fitted({"x": noise(50), "y": noise(50, 1)})
    rows = noise(2 * 3 * 10 * 2).reshape(2, 3, 10, 2)
    live = preparation.live((2, 3))
    xs, valid = live.push(rows)
    assert xs.shape == (2, 3, 10, 2)
    assert valid.shape == (2, 3, 10)
    assert xs[1, 2].tobytes() == preparation.live().push(rows[1, 2])[0].tobytes()


def test_rows_that_come_too_late_are_skipped_and_counted():
    preparation, _ = fitted({"t": np.arange(50.0), "x": noise(50)}, time="t")
    live = preparation.live()
    xs, _ = live.push([[1.0], [2.0], [3.0], [4.0]], [10, 12, 11, 12])
    assert live.rows.tolist() == [0, 1]
    assert len(xs) == 2
    assert live.push([[9.0]], [12.0])[0].shape == (0, 1)
    assert live.push([[9.0]], [13.0])[0].shape == (1, 1)
    assert live.late == 3
    assert live.findings[0].count == 3


def test_a_row_of_the_state_is_not_the_callers_array():
    preparation, _ = fitted({"x": noise(50)})
    live = preparation.live()
    rows = np.ones((3, 1))
    live.push(rows)
    rows[:] = 7
    assert live.state()["held"].tolist() == [[1.0]]


@pytest.mark.parametrize("irregular", ["ignore", "resample", "channel"])
def test_a_saved_preparation_is_the_same(tmp_path, irregular):
    data = hostile() | {"y": states(("p", 10), ("q", 10)) * 8}
    preparation, (whole,) = fitted(data, irregular, time="t", label="y", targets=["a"])
    saved.write(tmp_path / "p.safetensors", preparation.to_arrays(), preparation.about())
    again = Preparation.from_saved(*saved.read(tmp_path / "p.safetensors", "preparation"))
    (series,) = again.apply(again.table(data))
    for name in ("xs", "labels", "valid", "rows", "times", "targets"):
        assert getattr(series, name).tobytes() == getattr(whole, name).tobytes(), name
    assert again.findings == preparation.findings
    assert (again.classes, again.inputs, again.how) == (preparation.classes, preparation.inputs, preparation.how)
    assert json.loads(json.dumps(again.about())) == again.about() == preparation.about()
    assert summary(again.findings).startswith("serious" if irregular == "ignore" else "repair")


def test_chunks_inside_do_not_show(monkeypatch):
    data = hostile()
    for irregular in ("ignore", "resample", "channel"):
        _, (whole,) = fitted(data, irregular, time="t")
        with monkeypatch.context() as patched:
            patched.setattr("asrnn_jax.estimators.preparing.series.CHUNK", 7)
            _, (series,) = fitted(data, irregular, time="t")
        assert series.xs.tobytes() == whole.xs.tobytes()
        assert series.rows.tolist() == whole.rows.tolist()
