"""Losses of forecasts against closed forms."""

import numpy as np
import pytest
from scipy.stats import norm

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.forecasts import (
    absolute_error,
    aligned,
    bias,
    crps_from_quantiles,
    interval_score,
    mase,
    pinball,
    qlike,
    r2_out_of_sample,
    skill,
    squared_error,
)

RNG = np.random.default_rng(0)
Y = RNG.normal(size=2000)


def test_each_loss_is_least_where_it_should_be():
    grid = np.linspace(-2, 2, 401)

    def best(loss):
        return grid[np.argmin([loss(np.full(len(Y), g)).mean() for g in grid])]

    assert best(lambda f: squared_error(Y, f)) == pytest.approx(Y.mean(), abs=0.01)
    assert best(lambda f: absolute_error(Y, f)) == pytest.approx(np.median(Y), abs=0.01)
    assert best(lambda f: pinball(Y, f, 0.9)) == pytest.approx(np.quantile(Y, 0.9), abs=0.02)
    variance = Y**2
    means = np.linspace(0.5, 1.5, 201)
    losses = [qlike(variance, np.full(len(Y), m)).mean() for m in means]
    assert means[np.argmin(losses)] == pytest.approx(variance.mean(), abs=0.01)


def test_qlike_by_hand_and_in_any_unit():
    assert qlike([2.0], [1.0]) == pytest.approx([1 - np.log(2)])
    assert qlike([1.0], [2.0]) == pytest.approx([np.log(2) - 0.5])
    y, f = np.exp(Y), np.exp(0.5 * Y)
    assert qlike(1e4 * y, 1e4 * f) == pytest.approx(qlike(y, f))


def test_pinball_by_hand():
    assert pinball([1.0, -1.0, 0.5], [0.0, 0.0, 0.5], 0.25).tolist() == [0.25, 0.75, 0.0]


def test_interval_score_is_two_pinball_losses():
    """Width plus fines = 2 / alpha times the sum of the pinball losses of both ends."""
    low, high = np.full(len(Y), -1.2), np.full(len(Y), 1.5)
    pins = pinball(Y, low, 0.05) + pinball(Y, high, 0.95)
    assert interval_score(Y, low, high, 0.9) == pytest.approx(2 / 0.1 * pins)


@pytest.mark.parametrize("y", [0.0, 1.0, -2.5])
def test_crps_of_a_normal_forecast(y):
    """Closed form: Gneiting and Raftery (2007), equation 5 of Gneiting et al. (2005)."""
    levels = (np.arange(2000) + 0.5) / 2000
    exact = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)
    found = crps_from_quantiles([y], [norm.ppf(levels)], levels)
    assert found == pytest.approx([exact], abs=2e-4)


def test_crps_of_a_sure_forecast_is_its_absolute_error():
    quantiles = np.full((2, 3), 2.0)
    found = crps_from_quantiles([5.0, 2.0], quantiles, [0.05, 0.5, 0.95])
    weights = np.array([0.275, 0.45, 0.275])
    assert found == pytest.approx([2 * 3.0 * weights @ [0.05, 0.5, 0.95], 0.0])
    assert found[0] == pytest.approx(3.0)


def test_skill_and_r2():
    y = np.array([1.0, 2.0, 3.0, 4.0])
    assert skill(y, y, 0.0) == 1
    assert skill(y, np.zeros(4), 0.0) == 0
    assert r2_out_of_sample(y, np.full(4, 2.5)) == pytest.approx(1 - 5 / 30)
    assert r2_out_of_sample(y, np.full(4, 2.5), 2.5) == 0
    assert skill(y, y + 1, y + 2, absolute_error) == 0.5
    assert skill(y, y + 1, y + 2) == 0.75
    with pytest.raises(DataError, match="base makes no error"):
        skill(y, y + 1, y)


def test_mase_of_the_last_value_is_1():
    walk = np.cumsum(RNG.normal(size=500))
    assert mase(walk[1:], walk[:-1], walk) == pytest.approx(1.0)
    assert mase([12.0], [10.0], [1.0, 5.0, 2.0, 7.0], season=2) == pytest.approx(2 / 1.5)
    with pytest.raises(DataError, match="constant or too short for season 4"):
        mase([1.0], [1.0], [1.0, 2.0], season=4)
    with pytest.raises(UsageError, match="season: got 0"):
        mase([1.0], [1.0], [1.0, 2.0], season=0)


def test_bias_has_a_sign():
    assert bias([1.0, 2.0], [2.0, 4.0]) == 1.5


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: qlike([1.0, 0.0], [1.0, 1.0]), DataError, "1 of 2 values of y are 0 or below"),
        (lambda: qlike([1.0], [-1.0]), DataError, "forecast are 0 or below"),
        (lambda: pinball([1.0], [1.0], 1.0), UsageError, "level: got 1.0"),
        (lambda: interval_score([1.0], [2.0], [1.0], 0.9), DataError, "in 1 rows `high` lies"),
        (lambda: interval_score([1.0], [0.0], [1.0], 90), UsageError, "coverage: got 90"),
        (lambda: crps_from_quantiles([1.0], [[1, 2]], [0.9, 0.1]), UsageError, "must rise"),
        (lambda: crps_from_quantiles([1.0], [[1, 2]], [0.1]), UsageError, r"shape \(1, 2\)"),
        (lambda: squared_error([1.0, 2.0], [1.0]), DataError, r"forecast has the shape \(1,\)"),
        (lambda: squared_error([1.0, np.nan], [1, 2]), DataError, "1 of 2 values of y are no fin"),
        (lambda: aligned("here", y=[]), DataError, "here: y has the shape"),
    ],
)
def test_what_cannot_be_compared_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
