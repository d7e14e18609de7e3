"""Planted collapses are found where they are, nothing is found where there is none, and intervals cover."""

import numpy as np
import pytest
from scipy.stats import norm, t

from asrnn_jax import audit
from asrnn_jax.audit import Need
from asrnn_jax.audit.measures import Sums, interval
from asrnn_jax.streaming import scores
from experiments.tools import audit_toys as toys


def check_plant(seed):
    k, found = toys.planted(seed)
    by_kind = {gap.kind: gap.collapses for gap in found.gaps}
    assert found.verdict.need is Need.HELPS
    assert (by_kind["silence"], by_kind["samples"]) == (k, None)
    assert f"collapses after {k} steps of silence" in found.verdict.text
    assert "not after samples" in found.verdict.text


def check_contractive(seed):
    found = toys.audited_contractive(seed)
    assert found.verdict.need is Need.NONE, found.verdict
    assert all(gap.collapses is None for gap in found.gaps)
    assert (found.memory.agrees or 0) < 60
    assert found.memory.agrees is not None


@pytest.mark.parametrize("seed", range(1))
def test_a_planted_collapse_is_found_at_its_step(seed):
    check_plant(seed)


@pytest.mark.parametrize("seed", range(1))
def test_a_contractive_model_is_not_accused(seed):
    check_contractive(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 20))
def test_all_planted_collapses_are_found(seed):
    check_plant(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 20))
def test_no_contractive_model_is_accused(seed):
    check_contractive(seed)


def test_a_model_that_has_to_warm_up_is_harmed():
    step, start = toys.harmed(8)
    found = audit.resets(step, start, toys.streams(0), **toys.QUICK)
    assert found.verdict.need is Need.HARM
    assert "worse by" in found.verdict.text


def test_one_stream_is_too_little():
    found = audit.resets(toys.sticky(10), toys.STICKY, toys.streams(0, number=1), **toys.QUICK)
    assert found.verdict.need is Need.UNCLEAR
    assert np.isnan(found.rows[0].score.low)


@pytest.mark.parametrize(("streams", "sims"), [(10, 400), (30, 200)])
def test_intervals_cover_what_they_should(streams, sims):
    """Shares that differ from stream to stream; the truth is the mean of all streams there could be. 95 % are aimed
    at; of so many simulations the share has a standard deviation of about 1.4 points."""
    rng, covered = np.random.default_rng(1), []
    for i in range(sims):
        shares = rng.beta(6, 3, size=(streams, 1))
        part = rng.binomial(50, shares).astype(float)
        found = interval(Sums(part, np.full_like(part, 50)), number=1000, seed=i)
        covered.append(found.low <= 6 / 9 <= found.high)
    assert 0.91 <= np.mean(covered) <= 0.985


def test_an_interval_is_that_of_the_scores():
    """The same draws; levels are widened for few streams, so a narrower one is asked for here."""
    rng = np.random.default_rng(0)
    part, whole = rng.binomial(40, 0.7, size=(12, 1)).astype(float), np.full((12, 1), 40.0)
    wide = 1 - 2 * norm.cdf(np.sqrt(12 / 11) * t.ppf(0.05, 11))
    ours = interval(Sums(part, whole), level=0.9, number=2000)
    theirs = scores.bootstrap(lambda p, w: p.sum() / w.sum(), (part, whole), level=wide, number=2000)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_a_difference_is_of_the_same_streams():
    """What all streams share cancels: two policies that differ by 0.1 in every stream do so without any doubt."""
    whole = np.full((8, 1), 10.0)
    part = np.arange(8.0)[:, None]
    found = interval(Sums(part + 1, whole), Sums(part, whole))
    np.testing.assert_allclose([found.value, found.low, found.high], 0.1)
