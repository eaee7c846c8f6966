"""Sharpe ratios: intervals against closed forms, and the published examples of their luck."""

import math

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import kurtosis, norm, skew, t

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.sharpe_tests import (
    TrackRecord,
    deflated_sharpe,
    luckiest,
    probabilistic_sharpe,
    record_of,
    sharpe_interval,
    track_record_needed,
)


def returns_of(n=1000, seed=0, memory=0.0, mean=0.05):
    shocks = np.random.default_rng(seed).normal(size=n)
    return mean + lfilter([1.0], [1.0, -memory], shocks)


@pytest.mark.fault(30)
def test_the_interval_of_independent_returns_is_the_closed_form():
    """Lo's variance with skewness and kurtosis (Mertens, 2002), in moments divided by n."""
    x = np.random.default_rng(0).lognormal(size=500) - 1.2
    s = x.mean() / x.std()
    width = 1 - skew(x) * s + (kurtosis(x, fisher=False) - 1) / 4 * s**2
    half = t.ppf(0.975, 499) * np.sqrt(width / 500) * np.sqrt(252)
    low, high = sharpe_interval(x, 252, lags=0)
    assert (high - low) / 2 == pytest.approx(half)
    assert (low + high) / 2 == pytest.approx(np.sqrt(252) * x.mean() / x.std(ddof=1))


@pytest.mark.fault(30)
@pytest.mark.parametrize("memory", [0.0, 0.4])
def test_intervals_hold_the_truth_as_often_as_they_say(memory):
    truth = 0.05 * np.sqrt(1 - memory**2)
    held = [
        low <= truth <= high
        for low, high in (
            sharpe_interval(returns_of(seed=seed, memory=memory), 1) for seed in range(400)
        )
    ]
    assert 0.91 <= np.mean(held) <= 0.98


def test_neighbours_that_are_alike_make_it_wider():
    x = returns_of(memory=0.4)
    wide, narrow = (np.diff(sharpe_interval(x, 252, lags=lags)) for lags in (None, 0))
    assert wide > 1.2 * narrow


def test_returns_that_are_all_alike_have_no_interval():
    assert all(map(math.isnan, sharpe_interval([0.01] * 9, 252)))
    assert math.isnan(record_of([0.01] * 9).sharpe)
    with pytest.raises(DataError):
        sharpe_interval([0.01], 252)


def test_a_record_counts_its_moments():
    x = np.random.default_rng(0).lognormal(size=300)
    found = record_of(x)
    assert found.n == 300
    assert found.sharpe == pytest.approx(x.mean() / x.std(ddof=1))
    z = (x - x.mean()) / x.std()
    assert (found.skew, found.kurtosis) == pytest.approx(((z**3).mean(), (z**4).mean()))


@pytest.mark.fault(30)
def test_the_chance_of_luck_is_that_of_the_published_example():
    """Bailey and Lopez de Prado (2014): 2.5 a year over 1,250 days, the best of 100."""
    record = TrackRecord(2.5 / 250**0.5, skew=-3.0, kurtosis=10.0, n=1250)
    spread = (0.5 / 250) ** 0.5
    assert luckiest(100, spread) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(record, 100, spread) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(record, 1, spread) == probabilistic_sharpe(record)


def test_the_best_of_models_that_know_nothing():
    assert luckiest(10, 1.0) == pytest.approx(1.575, abs=5e-4)
    assert luckiest(45, (1 / 5) ** 0.5) == pytest.approx(1.0, abs=5e-3)  # a year, of five years
    best = np.random.default_rng(0).normal(size=(20_000, 45)).max(axis=1).mean()
    assert luckiest(45, 1.0) == pytest.approx(best, rel=0.02)
    assert luckiest(1, 1.0) == 0
    with pytest.raises(UsageError, match="tried: got 0"):
        luckiest(0, 1.0)


def test_without_a_spread_luck_makes_its_own():
    record = record_of(returns_of(n=300))
    assert deflated_sharpe(record, 20) == deflated_sharpe(record, 20, 299**-0.5)
    assert deflated_sharpe(record, 20) < deflated_sharpe(record, 2) < probabilistic_sharpe(record)


@pytest.mark.fault(30)
@pytest.mark.parametrize(("per_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_track_record_needed_is_that_of_the_published_example(per_year, years):
    """Bailey and Lopez de Prado (2012): 2 a year against 1, returns that are normal."""
    record = TrackRecord(2 / per_year**0.5, 0.0, 3.0, 0)
    needed = track_record_needed(record, benchmark=1 / per_year**0.5)
    assert needed / per_year == pytest.approx(years, abs=5e-3)


def test_after_the_track_record_needed_one_is_as_sure_as_asked():
    record = TrackRecord(0.08, -0.5, 6.0, 0)
    n = track_record_needed(record, sure=0.9)
    assert probabilistic_sharpe(record._replace(n=n)) == pytest.approx(0.9)
    assert track_record_needed(record, benchmark=0.08) == math.inf
    assert probabilistic_sharpe(record._replace(sharpe=0.0, n=50)) == norm.cdf(0)
