"""Streams are a function of seed and time, and hold what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrnn_jax import streaming
from asrnn_jax.streaming import Gaps, Stream

rng = np.random.default_rng(0)
SAMPLES = rng.uniform(1, 2, (7, 9, 2)).astype(np.float32)
LABELS = np.array([3, 0, 1, 4, 2, 2, 0])
LENGTHS = np.array([9, 5, 9, 1, 9, 7, 9])


def stream(**options):
    options = {"gaps": Gaps(2, 6), "seed": 4, "lengths": LENGTHS, **options}
    return Stream(SAMPLES, LABELS, **options)


@settings(max_examples=40, deadline=None)
@given(start=st.integers(0, 3000), steps=st.integers(1, 200))
def test_any_window_is_the_same_piece_of_the_stream(start, steps):
    options = {"noise": 0.1, "drift": 0.2, "missing": 0.1}
    whole = stream(**options).window(0, 3200)
    piece = stream(**options).window(start, steps)
    for a, b in zip(piece, whole):
        np.testing.assert_array_equal(a, b[start : start + steps])


def test_samples_come_whole_once_a_pass_and_are_marked():
    window = stream(gaps=Gaps(2, 6, kinds=("silence",))).window(0, 400)
    starts, ends = np.flatnonzero(window.starts), np.flatnonzero(window.ends)
    seen = []
    for first, last in zip(starts, ends):
        piece = window.xs[first : last + 1]
        (match,) = [i for i in range(7) if LENGTHS[i] == len(piece) and np.array_equal(SAMPLES[i, : LENGTHS[i]], piece)]
        assert (window.labels[first : last + 1] == LABELS[match]).all()
        seen.append(match)
    for one_pass in np.array_split(seen[: len(seen) // 7 * 7], len(seen) // 7):
        assert sorted(one_pass) == list(range(7))
    gaps = window.labels < 0
    assert (window.xs[gaps] == 0).all()
    np.testing.assert_array_equal(window.informative, ~gaps)
    lengths = np.diff(np.flatnonzero(np.diff(np.r_[False, gaps, False].astype(int))))[::2]
    assert set(lengths[:-1]) <= set(range(2, 7))


def test_background_is_a_piece_of_the_recording():
    recording = np.arange(500.0)[:, None] + [0, 1000]
    window = stream(gaps=Gaps(2, 6, kinds=("background",)), background=recording).window(0, 400)
    gaps = window.xs[(window.labels < 0)]
    assert {tuple(row) for row in gaps} <= {tuple(row) for row in recording}
    follows = window.labels[1:] < 0
    follows &= window.labels[:-1] < 0
    assert set(np.diff(window.xs[:, 0])[follows] % 500) == {1}
    assert len(np.unique(gaps[:, 0])) > 50


@pytest.mark.parametrize("kind", [*streaming.NOISES, "distractor"])
def test_noises_have_the_level_they_are_given(kind):
    window = stream(gaps=Gaps(200, 200, kinds=(kind,), quietest=0.3, loudest=0.3)).window(0, 8000)
    gaps = window.xs[window.labels < 0]
    if kind == "silence":
        assert (gaps == 0).all()
    elif kind == "distractor":
        flat = {tuple(row) for row in SAMPLES.reshape(-1, 2)}
        assert {tuple(row) for row in gaps} <= flat
    else:
        np.testing.assert_allclose(np.sqrt((gaps**2).mean()), 0.3, rtol=0.2)


def test_disturbances_are_as_strong_as_asked():
    silent = {"gaps": Gaps(5000, 5000, kinds=("silence",))}
    np.testing.assert_allclose(stream(noise=0.2, **silent).window(0, 5000).xs.std(), 0.2, rtol=0.05)
    drift = stream(drift=0.5, gaps=Gaps(60000, 60000, kinds=("silence",))).window(0, 60000).xs
    np.testing.assert_allclose(np.sqrt((drift**2).mean()), 0.5, rtol=0.1)
    assert np.abs(np.diff(drift, axis=0)).max() < 0.02  # slow
    missing = stream(missing=0.25, **silent).window(0, 5000)
    np.testing.assert_allclose(1 - missing.valid.mean(), 0.25, atol=0.03)
    np.testing.assert_array_equal(np.isnan(missing.xs).all(-1), ~missing.valid)


def test_seeds_differ_and_windows_stack():
    both = streaming.windows([stream(seed=1), stream(seed=2)], 30, 40)
    assert both.xs.shape == (2, 40, 2)
    assert both.labels.shape == (2, 40)
    assert not np.array_equal(both.labels[0], both.labels[1])
    np.testing.assert_array_equal(both.xs[1], stream(seed=2).window(30, 40).xs)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Stream(SAMPLES[0], LABELS),
        lambda: Stream(SAMPLES[:0], LABELS[:0]),
        lambda: Stream(SAMPLES, LABELS[:3]),
        lambda: Stream(SAMPLES, LABELS - 1),
        lambda: Stream(SAMPLES, LABELS.astype(float)),
        lambda: Stream(SAMPLES * np.nan, LABELS),
        lambda: Stream(SAMPLES, LABELS, lengths=LENGTHS + 1),
        lambda: Stream(SAMPLES, LABELS, lengths=LENGTHS.astype(float)),
        lambda: Stream(SAMPLES, LABELS, missing=1.0),
        lambda: Stream(SAMPLES, LABELS, noise=np.nan),
        lambda: stream(gaps=Gaps(kinds=("background",))),
        lambda: stream(gaps=Gaps(kinds=("background",)), background=np.ones((5, 3))),
        lambda: stream(gaps=Gaps(kinds=("background",)), background=np.full((5, 2), np.nan)),
        lambda: Gaps(5, 3),
        lambda: Gaps(kinds=("pink",)),
        lambda: Gaps(quietest=0.0),
        lambda: stream().window(-1, 5),
        lambda: stream().window(0, 0),
        lambda: streaming.windows([], 0, 5),
    ],
)
def test_wrong_calls_say_what_is_wrong(call):
    with pytest.raises(ValueError, match=r"=|shape|pass|finite"):
        call()
