"""A classifier of streams: answers by row, live as on the whole, in the conventions of scikit-learn."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.utils.estimator_checks import check_class_weight_classifiers, check_estimator

from asrnn_jax.estimators import Series, StreamClassifier
from asrnn_jax.estimators.answering.class_answers import record, sure_below, weights_of, whole
from asrnn_jax.estimators.learning import fitting
from asrnn_jax.estimators.preparing.labels import Classes

SMALL = {"cell": "gru", "hidden": 8, "steps": 60, "rate": 0.02, "window": 40, "batch": 8, "minutes": None}


def recordings(streams=5, events=4, steps=40, seed=0, missing=0.0):
    """A slow and a fast oscillation, in turn, with a pause of 15 steps after each."""
    rng = np.random.default_rng(seed)
    parts = []
    for stream in range(streams):
        for event in range(events):
            kind = ["slow", "fast"][(event + stream) % 2]
            t = np.arange(steps)
            x = np.sin(t * (0.3 if kind == "slow" else 1.6) + 6 * rng.uniform()) + 0.1 * rng.normal(size=steps)
            parts.append(pd.DataFrame({"who": f"s{stream}", "x": x, "y": rng.normal(size=steps), "state": kind}))
            pause = {"who": f"s{stream}", "x": 0.05 * rng.normal(size=15), "y": rng.normal(size=15), "state": None}
            parts.append(pd.DataFrame(pause))
    table = pd.concat(parts, ignore_index=True)
    table["t"] = table.groupby("who").cumcount() * 0.5
    table.loc[rng.uniform(size=len(table)) < missing, "y"] = np.nan
    return table


@pytest.fixture(scope="module")
def model():
    return StreamClassifier(**SMALL).fit(recordings(missing=0.02), label="state", stream="who", time="t")


NEW = recordings(seed=1, missing=0.02)


def test_it_learns_and_says_nothing_in_pauses(model):
    found = model.evaluate(NEW)
    assert found["accuracy"] > 0.85
    assert model.score(NEW) == found["accuracy"]
    assert found["nothing"] > 0.5
    answers = model.predict(NEW)
    assert set(answers) == {"slow", "fast", None}
    there = NEW.state.notna().to_numpy()
    assert np.mean(answers[there] == NEW.state[there]) == pytest.approx(found["answered"])
    assert [answer is None for answer in answers] == model.predict_proba(NEW)["nothing"].tolist()


def test_the_table_that_comes_out_is_of_the_kind_that_came_in(model):
    unlabelled = NEW.drop(columns="state")
    expected = model.predict_proba(unlabelled)
    assert list(expected.columns) == ["who", "t", "fast", "slow", "entropy", "nothing"]
    np.testing.assert_allclose(expected[["fast", "slow"]].sum(axis=1), 1, rtol=1e-5)
    assert (expected.who == NEW.who).all()
    assert (expected.t == NEW.t).all()
    polars, arrow = model.predict_proba(pl.from_pandas(unlabelled)), model.predict_proba(pa.table(unlabelled))
    assert isinstance(polars, pl.DataFrame)
    assert isinstance(arrow, pa.Table)
    mapping = model.predict_proba({name: unlabelled[name].to_numpy() for name in unlabelled})
    for name in expected.columns:
        for other in (polars[name], arrow[name], mapping[name]):
            assert np.asarray(other).tolist() == expected[name].tolist()


def test_answers_are_in_the_order_of_the_rows(model):
    shuffled = NEW.sample(frac=1, random_state=0)
    expected = model.predict_proba(NEW).loc[shuffled.index].reset_index(drop=True)
    pd.testing.assert_frame_equal(model.predict_proba(shuffled).reset_index(drop=True), expected)
    twice = pd.concat([NEW, NEW.iloc[:3]], ignore_index=True)
    without = model.predict_proba(twice)["fast"].isna()
    assert without.sum() == 3
    assert set(model.predict(twice)[without]) == {None}


@pytest.mark.parametrize("chunk", [1, 7, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_session_gives_what_the_whole_gives(model, chunk, tmp_path):
    one = NEW[NEW.who == "s2"].drop(columns="state").reset_index(drop=True)[: 20 * chunk + 44]
    one.loc[20:25, ["x", "y"]] = np.nan  # whole steps are missing
    session, parts, labels = model.session(), [], []
    for start in range(0, len(one), chunk):
        found = session.push(one.iloc[start : start + chunk].to_dict("list"))
        parts.append(found.probabilities)
        labels += found.labels.tolist()
        if start == 0:
            session.save(tmp_path / "session")
            session = model.session()
            session.load(tmp_path / "session")
    whole_answers = model.predict_proba(one)
    np.testing.assert_allclose(np.concatenate(parts), whole_answers[["fast", "slow"]], atol=1e-5)
    assert np.mean([a == b for a, b in zip(labels, model.predict(one))]) > 0.99
    assert session.steps == len(one)


def test_a_file_holds_all_of_it(model, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = StreamClassifier.load(path)
    pd.testing.assert_frame_equal(loaded.predict_proba(NEW), model.predict_proba(NEW))
    assert loaded.get_params() == model.get_params()
    assert loaded.summary() == model.summary()
    assert loaded.history["loss"] == model.history["loss"]
    assert loaded.classes_.tolist() == ["fast", "slow"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="damaged"):
        StreamClassifier.load(path)


def test_a_saved_model_needs_neither_scikit_learn_nor_the_experiments(model, tmp_path):
    model.save(tmp_path / "m")
    code = (
        "import sys; from asrnn_jax.estimators import StreamClassifier; "
        f"s = StreamClassifier.load({str(tmp_path / 'm')!r}).session(); "
        "print(s.push({'t': 0.0, 'x': 1.0, 'y': 2.0}).labels.shape, [m for m in ('sklearn', 'experiments', 'pandas', "
        "'narwhals') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split("\n")[0] == "(1,) []"


def test_it_goes_on_from_where_it_was(model, tmp_path):
    model.save(tmp_path / "model")
    again = StreamClassifier.load(tmp_path / "model")
    before, steps = again.score(NEW), again.history["step"][-1]
    again.partial_fit(recordings(seed=2), steps=20)
    assert again.score(NEW) > before - 0.05
    assert again.history["step"][-1] == steps + 20
    assert max(again.history["rate"][-2:]) <= SMALL["rate"] / 3
    with pytest.raises(ValueError, match="no row has a label"):
        again.partial_fit(NEW.assign(state=None))


def test_equal_seeds_give_equal_bits(monkeypatch):
    monkeypatch.setattr(fitting, "TRIED", 3)
    monkeypatch.setattr(fitting, "FEWEST", 3)

    def fitted(seed):
        options = {**SMALL, "steps": 4, "rate": None, "seed": seed, "batch": 2}
        found = StreamClassifier(**options).fit(recordings(), label="state", stream="who")
        assert found.rate_ in fitting.RATES
        return found.params["output"]["kernel"]

    first = fitted(0)
    np.testing.assert_array_equal(first, fitted(0))
    assert not np.array_equal(first, fitted(1))


def test_unknown_steps_teach_nothing():
    steps = {"xs": np.zeros((3, 1), np.float32), "valid": np.ones(3, bool), "rows": np.arange(3)}
    one = Series(name="", labels=np.array([0, -1, 1]), targets=None, times=None, **steps)
    assert record(one, "unknown", "step").counted.tolist() == [1, 0, 1]
    assert record(one, "nothing", "step").counted.tolist() == [1, 1, 1]
    assert record(one, "nothing", "step").informative.tolist() == [1, 0, 1]


@pytest.mark.slow
def test_unknown_steps_that_look_like_a_class_do_not_spoil_it():
    table = recordings()
    every = (table.groupby("who").cumcount() // 55) % 2 == 0
    table = table[table.state.notna()].assign(state=lambda t: t.state.where(every[t.index], None))
    entropy = {}
    for unlabelled in ("nothing", "unknown"):
        found = StreamClassifier(**SMALL, unlabelled=unlabelled).fit(table, label="state", stream="who", time="t")
        entropy[unlabelled] = found.predict_proba(NEW[NEW.state.notna()])["entropy"].mean()
    assert entropy["unknown"] < entropy["nothing"] - 0.05


def test_series_with_one_label_each():
    rng = np.random.default_rng(0)
    kinds = rng.integers(2, size=40)
    series = [np.sin(np.arange(n)[:, None] * (0.3, 1.6)[k]) for n, k in zip(rng.integers(10, 30, 40), kinds)]
    found = StreamClassifier(**SMALL, refit=False).fit(series, ["ab"[k] for k in kinds])
    assert found.per_ == "stream"
    assert found.predict_proba(series).shape == (40, 2)
    assert found.score(series, ["ab"[k] for k in kinds]) > 0.9
    assert np.mean(found.predict(series) == np.array(["ab"[k] for k in kinds])) > 0.9
    cube = np.stack([one[:10] for one in series])
    assert found.predict(cube).shape == (40,)
    with pytest.raises(ValueError, match="2 features"):
        found.predict(np.zeros((3, 5, 2)))


def test_the_answer_for_a_stream_weighs_later_steps_more():
    p = np.array([[0.9, 0.1], [0.3, 0.7]])
    np.testing.assert_allclose(whole(np.log(p) + 5), np.log(p).T @ [1 / 3, 2 / 3], rtol=1e-6)


def test_steps_of_a_stream_with_one_answer_count_in_training_as_in_the_answer():
    steps = {"xs": np.zeros((3, 1), np.float32), "valid": np.array([True, False, True]), "rows": np.arange(3)}
    one = Series(name="", labels=np.zeros(3, int), targets=None, times=None, **steps)
    assert record(one, "nothing", "stream").counted.tolist() == [0.5, 0, 1.5]
    assert record(one, "nothing", "step").counted.tolist() == [1, 0, 1]


def test_class_weights_are_factors_by_name():
    classes = Classes((1, 2), (30, 10), (3, 3), "y")
    np.testing.assert_allclose(weights_of(classes, "balanced"), [2 / 3, 2])
    for given in ({2: 3.0}, {"2": 3.0}):  # as a saved model has it
        assert weights_of(classes, given).tolist() == [1, 3]
    for wrong, said in (({3: 1.0}, "3 is no class"), ({1: -1.0}, "class_weight of 1 is -1"), ("even", "class_weight=")):
        with pytest.raises(ValueError, match=said):
            weights_of(classes, wrong)


def test_the_threshold_of_nothing_tells_labelled_from_unlabelled(model):
    series = model.preparation.apply(model.preparation.table(NEW))[:1]
    sure = np.where(series[0].labels >= 0, 4.0, 1.0)  # entropy shares of 0.13 and 0.84
    right = np.where(series[0].labels == 0, 1, -1)
    assert 0.13 < sure_below(series, [np.stack([sure * right, 0 * sure], 1)]) < 0.84


def test_what_cannot_be_learned_is_said(model, without_type_checks):
    table = recordings()
    with pytest.raises(ValueError, match="one event cannot be learned from"):
        StreamClassifier().fit({"x": table.x, "alarm": (np.arange(len(table)) // 50 == 3).astype(int)}, label="alarm")
    with pytest.raises(ValueError, match="nothing to tell apart"):
        StreamClassifier().fit(table.assign(state="a"), label="state")
    choices = {"unlabelled": "maybe"}, {"per": "day"}, {"class_weight": "even"}
    for wrong in (*choices, {"hidden": 0}, {"starts": "other"}, {"minutes": 0}, {"gaps": "many"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            StreamClassifier(**wrong).fit(table, label="state", stream="who")
    for call in ("predict", "score", "partial_fit"):
        with pytest.raises(ValueError, match="not fitted"):
            getattr(StreamClassifier(), call)(table)
    with pytest.raises(ValueError, match="none; name their column"):
        model.score(NEW.drop(columns="state"))


def test_the_conventions_of_scikit_learn():
    first = StreamClassifier(hidden=5, cell="gru", steps=4)
    assert repr(first) == "StreamClassifier(cell='gru', hidden=5, steps=4)"
    copy = clone(first).set_params(hidden=6)
    assert (first.hidden, copy.hidden, copy.get_params()["cell"]) == (5, 6, "gru")
    with pytest.raises(ValueError, match="no parameter"):
        first.set_params(hiden=3)


@pytest.mark.slow
def test_a_grid_search_over_streams():
    table = recordings(streams=4, events=2)
    search = GridSearchCV(
        StreamClassifier(**{**SMALL, "steps": 30, "refit": False, "hold_out": 0.0}),
        {"rate": [1e-5, 0.02]},
        cv=GroupKFold(2),
        error_score="raise",
    )
    search.fit(table, groups=table.who, label="state", stream="who", time="t")
    assert search.best_params_ == {"rate": 0.02}


STEPS = "rows are the steps of a stream: shuffled, left out or alone they mean something else"
NOTHING = "predict answers None where it says that there is nothing, and the check computes with it"
WORDS = "it is refused, in words of our own"
NAMES = "the arguments have the names of tables: data, label, stream, time"
NOT_APPLICABLE = {
    "check_array_api_input": "an option of scikit-learn's",
    "check_class_weight_classifiers": NOTHING,
    "check_classifier_data_not_an_array": NOTHING,
    "check_classifiers_regression_target": "numbers are classes too where they come often enough",
    "check_classifiers_train": STEPS,
    "check_complex_data": WORDS,
    "check_dont_overwrite_parameters": "what it learned is public: preparation, network, params, history, findings",
    "check_estimator_sparse_array": WORDS,
    "check_estimator_sparse_matrix": WORDS,
    "check_estimator_sparse_tag": WORDS,
    "check_estimators_empty_data_messages": WORDS,
    "check_estimators_partial_fit_n_features": NAMES,
    "check_estimators_pickle": NOTHING,
    "check_estimators_unfitted": "a ValueError says so, without importing scikit-learn for its own",
    "check_fit2d_1sample": WORDS,
    "check_fit_idempotent": NOTHING,
    "check_fit_score_takes_y": NAMES,
    "check_methods_sample_order_invariance": STEPS,
    "check_methods_subset_invariance": STEPS,
    "check_n_features_in_after_fitting": "channels are found by name; of arrays a missing one is refused in our words",
    "check_positive_only_tag_during_fit": "one row is not a stream",
    "check_requires_y_none": WORDS,
    "check_supervised_y_2d": "labels are a column",
}
"""scikit-learn's checks that do not apply, and why."""


@pytest.mark.slow
def test_the_checks_of_scikit_learn(without_type_checks):
    small = StreamClassifier(cell="gru", hidden=4, steps=3, window=10, batch=2, rate=0.01, hold_out=0.0, minutes=None)
    with warnings.catch_warnings(action="ignore"):  # it is no BaseEstimator, for that would import scikit-learn
        results = check_estimator(small, expected_failed_checks=NOT_APPLICABLE, on_fail=None)
    failed = {one["check_name"]: one["exception"] for one in results if one["status"] == "failed"}
    assert not failed, failed


class MostLikely(StreamClassifier):
    """It never says that there is nothing."""

    def predict(self, data):
        return self.classes_[self.predict_proba(data).argmax(-1)]


@pytest.mark.slow
def test_scikit_learns_check_of_class_weights(without_type_checks):
    """It applies to the most likely class."""
    options = {"cell": "gru", "hidden": 4, "steps": 100, "window": 10, "batch": 2, "rate": 0.02}
    check_class_weight_classifiers("MostLikely", MostLikely(**options, hold_out=0.0, minutes=None))
