"""Scores against values worked out by hand on a tiny stream, and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from asrnn_jax import losses
from asrnn_jax.streaming import scores

# Two streams of 20 steps, "." is nothing. Events: 0 at 2-6, 1 at 10-13, 1 at 14-15 (told apart by `starts`), 2 at 2-4.
LABELS = ["..00000...111111....", "..222..............."]
ANSWERS = [".0.0000..1111..1..0.", "..00...22.2...1....."]


def read(lines):
    return np.array([[-1 if c == "." else int(c) for c in line] for line in lines])


Y, A = read(LABELS), read(ANSWERS)
STARTS = np.zeros_like(Y, bool)
STARTS[0, [2, 10, 14]] = STARTS[1, 2] = True


def test_events_are_runs_of_one_label():
    found = scores.events(Y, STARTS)
    np.testing.assert_array_equal(found.stream, [0, 0, 0, 1])
    np.testing.assert_array_equal(found.start, [2, 10, 14, 2])
    np.testing.assert_array_equal(found.stop, [7, 14, 16, 5])
    np.testing.assert_array_equal(found.label, [0, 1, 1, 2])
    np.testing.assert_array_equal(scores.events(Y).start, [2, 10, 2])
    assert len(scores.events(np.full(5, -1)).start) == 0
    assert len(scores.events(np.zeros((0, 5), int)).start) == 0


def test_found_late_and_alarms_by_hand():
    """Event 0: right from its second step (1 late). 1: from its first (0). The second 1: from its second (1). 2: never.

    Gaps have 9 + 17 = 26 steps. Answers in them: stream 0 at 1, 9, 18; stream 1 at 7, 8 and 10, 14: six alarms, of
    which one is two steps long; with up to one quiet step between them 7 to 10 are one.
    """
    np.testing.assert_array_equal(scores.delays(scores.events(Y, STARTS), A), [1, 0, 1, np.nan])
    found = scores.event_scores(Y, A, step_seconds=2.0, starts=STARTS)
    assert found.events == 4
    assert found.found == 0.75
    np.testing.assert_allclose(found.delay, 2.0 * (2 / 3 + 1))
    np.testing.assert_allclose(found.false_alarms_per_hour, 6 / (26 * 2 / 3600))
    for (grace, apart), number in {(0, 1): 6, (0, 2): 5, (0, 4): 4, (0, None): 4, (2, 1): 5, (3, None): 1}.items():
        assert scores.false_alarms(Y, A, grace=grace, apart=apart) == number, (grace, apart)


def test_segments_by_hand():
    """True segments: 0 at 2-6, 1 at 10-15 (without `starts`), 2 at 2-4. Answered: 0 at 3-6, 4 of 5 steps; 1 at 9-12, 3
    of 7; 1 at 15, 1 of 6; the other six do not meet one of their class."""
    at = scores.segment_f1(Y, A)
    assert (at.matched, at.answered, at.true) == (1, 9, 3)
    np.testing.assert_allclose((at.precision, at.recall, at.f1), (1 / 9, 1 / 3, 2 / 12))
    assert scores.segment_f1(Y, A, overlap=3 / 7).matched == 2
    assert scores.segment_f1(Y, A, overlap=0.81).matched == 0
    split = scores.segment_f1(Y, A, starts=STARTS)  # 1 at 10-13 against 9-12: 3 of 5; 14-15 against 15: 1 of 2
    assert (split.matched, split.true) == (3, 4)
    assert scores.segment_f1(Y, Y).f1 == 1
    nothing = scores.segment_f1(np.full(4, -1), np.full(4, -1))
    assert np.isnan([nothing.precision, nothing.recall, nothing.f1]).all()


def test_one_answer_matches_one_event():
    halves = read(["0000."]), read(["00.00"])  # both halves overlap it: 2 of 4, 1 of 5
    assert scores.segment_f1(*halves).matched == 1
    assert scores.segment_f1(read(["00.00"]), read(["00000"]), overlap=0.4).matched == 1


def test_classes_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    for y, a in ((Y, A), tuple(rng.integers(-1, 4, size=(2, 5, 40)))):
        found = scores.by_class(y, a, classes=4)
        expected = precision_recall_fscore_support(y.ravel(), a.ravel(), labels=range(4), zero_division=0)
        there = np.isin(range(4), np.r_[y.ravel(), a.ravel()])
        for ours, theirs in zip(found, expected):
            np.testing.assert_allclose(ours[there], theirs[there])
        np.testing.assert_allclose(found.macro_f1, expected[2][there].mean())
        assert np.isnan(found.f1[~there]).all()
    by_hand = scores.by_class(
        Y, A, classes=3
    )  # class 0: 4 right, answered 8 times, 5 steps; class 1: 4, 6, 6; 2: 0, 3, 3
    np.testing.assert_allclose(by_hand.precision, [4 / 8, 4 / 6, 0])
    np.testing.assert_allclose(by_hand.recall, [4 / 5, 4 / 6, 0])


def test_reliability_by_hand():
    """Confidences 0.9, 0.8, 0.6, 0.75 (wrong) in two bins of 0.5: all in the upper one; in four, 3 over 0.75."""
    p = np.array([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.75, 0.25], [0.5, 0.5]]])
    y = np.array([[0, 1, 0, 1, -1]])
    two = scores.reliability(p, y, bins=2)
    np.testing.assert_array_equal(two.count, [0, 4])
    np.testing.assert_allclose(two.accuracy, [np.nan, 0.75])
    np.testing.assert_allclose(two.confidence, [np.nan, 3.05 / 4])
    np.testing.assert_allclose(scores.calibration_error(two), 3.05 / 4 - 0.75)
    four = scores.reliability(p, y, bins=4)  # 0.75 belongs to the third bin, which it ends
    np.testing.assert_array_equal(four.count, [0, 0, 2, 2])
    np.testing.assert_allclose(scores.calibration_error(four), (2 * (0.675 - 0.5) + 2 * (1 - 0.85)) / 4)
    assert scores.gap_entropy(p, y) == 1
    np.testing.assert_allclose(
        scores.gap_entropy(p, np.array([[-1, 0, 0, 0, 0]])), -(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1))
    )
    assert scores.gap_entropy(np.array([[[1.0, 0.0]]]), np.array([[-1]])) == 0
    assert np.isnan(scores.gap_entropy(p, np.zeros((1, 5), int)))
    assert np.isnan(scores.calibration_error(scores.reliability(p, np.full((1, 5), -1))))
    np.testing.assert_array_equal(scores.reliability(p[0], y[0], bins=4).count, four.count)


def test_answers_are_classes_or_nothing():
    logits = np.array([[9.0, 0.0, 0.0], [0.1, 0.2, 0.0], [0.0, 3.0, 2.9]])
    np.testing.assert_array_equal(scores.answers(logits), [0, -1, -1])
    shares = np.asarray(losses.entropy_share(logits))
    np.testing.assert_array_equal(scores.answers(logits, sure=shares[2] + 1e-9), [0, -1, 1])


def test_coverage_along_and_costs_by_hand():
    low, high = np.array([[0.0, 1.0]] * 4), np.array([[2.0, 2.0]] * 4)
    targets = np.array([[1.0, 0.5], [2.0, 1.5], [3.0, np.nan], [0.0, np.nan]])
    np.testing.assert_allclose(scores.coverage(low, high, targets), [0.75, 0.5])
    steps, values = np.array([5, 1, 3, 2, 4, 0, 6]), np.array([50.0, 10, 30, 20, 40, 0, np.nan])
    np.testing.assert_allclose(scores.along(steps, values, parts=3), [5, 25, 45])
    np.testing.assert_allclose(scores.along(np.arange(103), np.arange(103.0))[[0, -1]], [4.5, 97.5])
    assert np.isnan(scores.along([], [])).all()
    costs = np.zeros((4, 4))
    costs[-1, :3], costs[:3, -1], costs[2, 0] = 1.0, 10.0, 100.0  # false alarm, miss, a 2 taken for a 0
    # 7 steps of false alarm; missed: 2, 13, 14, and one of the 2; two of it are taken for 0.
    np.testing.assert_allclose(scores.cost_per_step(Y, A, costs), (7 * 1 + 4 * 10 + 2 * 100) / 40)


def test_streams_come_as_arrays_lists_and_tables():
    lists = [Y[0], Y[1, :12]], [A[0], A[1, :12]]
    assert scores.event_scores(*lists, step_seconds=1.0).events == 3
    assert scores.segment_f1(Y[0], A[0]).true == 2
    order = np.random.default_rng(0).permutation(40)
    table = {"stream": np.repeat(["x", "y"], 20)[order], "time": np.tile(np.arange(20), 2)[order]}
    table |= {"label": Y.ravel()[order], "answer": A.ravel()[order]}
    y, a = scores.per_stream(table, "label", "answer")
    np.testing.assert_array_equal(np.stack(y), Y)
    np.testing.assert_array_equal(np.stack(a), A)


def test_bootstrap_is_that_of_the_mean():
    """For a mean, the interval is about 1.64 standard errors to both sides."""
    values = np.random.default_rng(0).normal(size=(200, 3))
    of = lambda seed: scores.bootstrap(lambda v: v.mean(), (values,), number=4000, seed=seed)  # noqa: E731
    found = of(1)
    assert found == of(1)
    assert found != of(2)
    error = values.mean(1).std() / np.sqrt(200)
    np.testing.assert_allclose(
        [found.low, found.high], found.value + 1.645 * error * np.array([-1, 1]), atol=0.1 * error
    )
    lists = [list(row) for row in values]
    np.testing.assert_allclose(
        scores.bootstrap(np.mean, (lists,), number=10, seed=3).low,
        scores.bootstrap(np.mean, (values,), number=10, seed=3).low,
    )
    several = scores.bootstrap(lambda y, a: scores.event_scores(y, a, step_seconds=1.0), (Y, A), number=50)
    assert several.low.found <= several.value.found <= several.high.found
    assert np.isnan(scores.bootstrap(lambda v: np.nan, (values,), number=5).low)
    assert scores.bootstrap(lambda v: v.mean((0, 1)), (values[..., None],), number=5).low.shape == (1,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scores.event_scores(Y, A[:, 1:], step_seconds=1.0), "answers has streams of other lengths"),
        (lambda: scores.event_scores(Y, A, step_seconds=0.0), "step_seconds=0"),
        (lambda: scores.segment_f1(Y, A, overlap=0.0), "overlap=0"),
        (lambda: scores.segment_f1(3, 3), r"labels has shape \(\)"),
        (lambda: scores.by_class(Y, A, classes=2), "has 2: with 2 classes"),
        (lambda: scores.reliability(np.ones((2, 3, 2)), np.ones((2, 3), int), bins=0), "bins=0"),
        (lambda: scores.along([1, 2], [1.0]), "steps has 2"),
        (lambda: scores.cost_per_step(Y, A, np.zeros((3, 3))), r"pass \(4, 4\)"),
        (lambda: scores.bootstrap(np.mean, ([1], [1, 2])), "streams has"),
        (lambda: scores.bootstrap(np.mean, ([1],), level=1.0), "level=1"),
        (lambda: scores.per_stream({"stream": [1], "time": [1]}, "label"), "no column 'label'"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, message, without_type_checks):
    with pytest.raises(ValueError, match=message):
        call()
