"""Tests of forecasts against constants of other libraries, closed forms and simulated truth."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from fintech_dl.errors import DataError, NotInstalledError, UsageError
from fintech_dl.evaluation.confidence_set import model_confidence_set
from fintech_dl.evaluation.forecast_tests import (
    clark_west,
    diebold_mariano,
    giacomini_white,
    mincer_zarnowitz,
    pesaran_timmermann,
)
from fintech_dl.evaluation.newey_west import by_date, mean_test, newey_west_lags

T = np.arange(1, 41)
SERIES = np.sin(T) + 0.1 * np.cos(3 * T) + 0.3
BASE, MODEL = 1 + np.sin(T) ** 2, 0.8 + 0.9 * np.cos(T) ** 2  # two series of losses
FORECAST = np.cos(T / 2) + 1.2
TRUTH = 0.2 + 0.8 * FORECAST + 0.5 * np.sin(T * T)


def overlapping(random, n, horizon):
    """Means over ``horizon`` neighbours of noise: what overlapping forecasts lose."""
    noise = random.normal(size=n + horizon - 1)
    return np.convolve(noise, np.ones(horizon) / horizon, "valid")


@pytest.mark.parametrize(
    ("lags", "error"),
    [(0, 0.11321794813946576), (3, 0.11180819677077428), (9, 0.07579616437893485)],
)
def test_newey_west_error_of_a_mean(lags, error):
    """statsmodels 0.15: OLS on a constant, cov_type="HAC", maxlags, use_correction=False."""
    found = mean_test(SERIES, lags=lags)
    assert found.value == pytest.approx(0.34727447884268137)
    assert found.error == pytest.approx(error, rel=1e-10)
    assert found.t == pytest.approx(found.value / found.error)
    assert found.low < found.value < found.high


def test_lags_follow_the_rule_and_never_fall_short():
    assert newey_west_lags(100) == 5
    assert newey_west_lags(100, 22) == 37
    assert newey_west_lags(5) == 3
    assert newey_west_lags(3) == 2
    with pytest.raises(UsageError, match="lags: got 3; forecasts 5 bars ahead overlap, 4 or more"):
        mean_test(SERIES, horizon=5, lags=3)
    with pytest.raises(UsageError, match="horizon: got 0"):
        mean_test(SERIES, horizon=0)
    with pytest.raises(DataError, match="2 dates or more, got 1"):
        mean_test([1.0])


def test_one_sided_p_value_is_half_or_the_rest():
    two, one = mean_test(SERIES), mean_test(SERIES, alternative="greater")
    assert one.p_value == pytest.approx(two.p_value / 2)
    assert mean_test(-SERIES, alternative="greater").p_value == pytest.approx(1 - one.p_value)


def test_a_panel_is_averaged_by_date_whatever_its_order():
    dates = np.array(["2024-01-02", "2024-01-01", "2024-01-02"], dtype="datetime64[D]")
    assert by_date([1.0, 5.0, 3.0], dates).tolist() == [5.0, 2.0]
    with pytest.raises(DataError, match=r"the shape \(2,\) with 0 missing; one per row"):
        by_date([1.0, 5.0, 3.0], dates[:2])
    dates[0] = "NaT"
    with pytest.raises(DataError, match="1 missing"):
        by_date([1.0, 5.0, 3.0], dates)


def test_diebold_mariano_without_lags_is_the_paired_t_test():
    """With h = 1 the correction turns the variance with n into that with n - 1."""
    found = diebold_mariano(BASE, MODEL, lags=0)
    exact = ttest_1samp(BASE - MODEL, 0)
    assert found.t == pytest.approx(exact.statistic)
    assert found.p_value == pytest.approx(exact.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(exact.confidence_interval()))


def test_diebold_mariano_with_lags_and_correction():
    """statsmodels 0.15 gives t = 11.115521042848304 with HAC errors and 5 lags; h = 3, n = 40."""
    found = diebold_mariano(BASE, MODEL, horizon=3, lags=5)
    factor = np.sqrt((40 + 1 - 2 * 3 + 3 * 2 / 40) / 40)
    assert found.t == pytest.approx(11.115521042848304 * factor)
    assert found.value == pytest.approx(np.mean(BASE - MODEL))
    assert diebold_mariano(MODEL, BASE, horizon=3, lags=5).t == pytest.approx(-found.t)


def test_diebold_mariano_counts_dates_and_not_rows():
    """A hundred assets that share their luck say no more than one."""
    alone = diebold_mariano(BASE, MODEL)
    dates = np.repeat(T, 100)
    panel = diebold_mariano(np.repeat(BASE, 100), np.repeat(MODEL, 100), dates=dates)
    assert panel.n == 40
    assert panel.t == pytest.approx(alone.t)
    shuffled = np.random.default_rng(0).permutation(4000)
    again = diebold_mariano(
        np.repeat(BASE, 100)[shuffled], np.repeat(MODEL, 100)[shuffled], dates=dates[shuffled]
    )
    assert again.t == pytest.approx(alone.t)


@pytest.mark.parametrize("horizon", [1, 5])
def test_diebold_mariano_rejects_one_in_twenty(horizon):
    random = np.random.default_rng(horizon)
    seeds = 600
    p = [
        diebold_mariano(overlapping(random, 500, horizon), np.zeros(500), horizon=horizon).p_value
        for _ in range(seeds)
    ]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.085
    if horizon > 1:  # what neighbours share may not be left out
        x = overlapping(random, 500, horizon)
        assert mean_test(x, horizon=horizon).error > 1.5 * mean_test(x, lags=0).error


def test_equal_forecasts_are_not_different():
    found = diebold_mariano(BASE, BASE)
    assert (found.t, found.p_value, found.low, found.high) == (0.0, 1.0, 0.0, 0.0)
    better = diebold_mariano(np.ones(9), np.zeros(9))
    assert (better.t, better.p_value) == (np.inf, 0.0)


def test_too_few_dates_for_the_horizon():
    with pytest.raises(DataError, match="9 dates are too few for a horizon of 5"):
        diebold_mariano(BASE[:9], MODEL[:9], horizon=5)


def test_clark_west():
    """statsmodels 0.15: mean 0.452488922737946, t 9.47930514984178 with HAC errors and 3 lags."""
    y = np.sin(T * T) + 0.1
    base, model = np.full(40, 0.1), 0.1 + 0.5 * np.sin(T * T + 0.4)
    found = clark_west(y, base, model, lags=3)
    assert found.value == pytest.approx(0.45248892273794555)
    assert found.t == pytest.approx(9.47930514984178)


def test_clark_west_gives_back_what_idle_parameters_cost():
    """A model of mere noise loses by squared errors, but not in this test."""
    random = np.random.default_rng(0)
    lost, p = [], []
    for _ in range(400):
        y, guess = random.normal(size=(2, 250))
        lost.append(diebold_mariano(y**2, (y - 0.3 * guess) ** 2).t)
        p.append(clark_west(y, np.zeros(250), 0.3 * guess).p_value)
    assert np.mean(lost) < -0.5
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09


def test_giacomini_white():
    """n R2 of a regression of 1 on the moments, statsmodels 0.15: 10.054120900888483 (39 dates)."""
    found = giacomini_white(BASE, MODEL)
    assert found.statistic == pytest.approx(10.054120900888483)
    assert found.df == 2


def test_giacomini_white_sees_what_alternates():
    """Equal on average, but yesterday tells who is better today."""
    random = np.random.default_rng(0)
    gain = np.tile([1.0, -1.0], 200) + random.normal(size=400)
    assert diebold_mariano(gain, np.zeros(400)).p_value > 0.05
    assert giacomini_white(gain, np.zeros(400)).p_value < 1e-6
    state = np.tile([1.0, 0.0], 200)
    assert giacomini_white(gain, np.zeros(400), known=state).p_value < 1e-6
    p = [
        giacomini_white(overlapping(random, 400, 3), np.zeros(400), horizon=3).p_value
        for _ in range(300)
    ]
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.12
    with pytest.raises(DataError, match="known has the shape"):
        giacomini_white(gain, np.zeros(400), known=state[:5])


def test_mincer_zarnowitz():
    """statsmodels 0.15: OLS with HAC errors, 4 lags, use_correction=False, and its Wald test."""
    found = mincer_zarnowitz(TRUTH, FORECAST, lags=4)
    assert found.intercept == pytest.approx(0.12554236004111652)
    assert found.slope == pytest.approx(0.8113337084551133)
    assert found.intercept_error == pytest.approx(0.08054984799589657)
    assert found.slope_error == pytest.approx(0.04973096056724942)
    assert found.r2 == pytest.approx(0.7306279750144493)
    assert found.test.statistic == pytest.approx(27.19891886848575)
    assert found.test.p_value == pytest.approx(1.2411658303948438e-06)


def test_mincer_zarnowitz_of_a_panel():
    """statsmodels 0.15: cov_type="hac-groupsum" (Driscoll and Kraay) with 20 dates, 2 lags."""
    found = mincer_zarnowitz(TRUTH, FORECAST, lags=2, dates=np.repeat(np.arange(20), 2))
    assert found.intercept_error == pytest.approx(0.07969608159377127)
    assert found.slope_error == pytest.approx(0.05088204470146048)
    with pytest.raises(DataError, match="40 rows with 1 different forecasts"):
        mincer_zarnowitz(TRUTH, np.ones(40))


def test_pesaran_timmermann_by_hand():
    """Of 10 truths 6 are up, of 10 forecasts 5; 9 are right, 5 would be by chance."""
    y = np.array([1, 1, 1, 1, 1, 1, -1, -1, -1, -1])
    said = np.array([1, 1, 1, 1, 1, -1, -1, -1, -1, -1])
    hits = (y == said).mean()
    found = pesaran_timmermann(y, said)
    p, q, n = 0.6, 0.5, 10
    chance = p * q + (1 - p) * (1 - q)
    variance = (
        chance * (1 - chance) / n
        - (
            (2 * p - 1) ** 2 * q * (1 - q)
            + (2 * q - 1) ** 2 * p * (1 - p)
            + 4 * p * q * 0.4 * 0.5 / n
        )
        / n
    )
    assert (found.hits, found.by_chance) == (hits, chance) == (0.9, 0.5)
    assert found.statistic == pytest.approx((0.9 - 0.5) / np.sqrt(variance))
    assert variance == pytest.approx(0.025 - 0.001 - 0.0024)


def test_pesaran_timmermann_is_not_fooled_by_a_rising_market():
    """Always nearly "up" is right as often as the market rises, and knows nothing."""
    random = np.random.default_rng(0)
    y = random.normal(1.0, 1.0, 3000)
    said = random.normal(2.0, 1.0, 3000)
    found = pesaran_timmermann(y, said)
    assert found.hits > 0.8
    assert found.hits == pytest.approx(found.by_chance, abs=0.01)
    assert abs(found.statistic) < 2
    assert pesaran_timmermann(y, y + random.normal(size=3000)).p_value < 1e-6


def test_directions_of_a_panel_count_by_date():
    random = np.random.default_rng(0)
    dates = np.repeat(np.arange(300), 50)
    alone, panel = [], []
    for _ in range(100):  # all assets move together: 300 flips of a coin, not 15,000
        y = np.repeat(random.normal(size=300), 50)
        said = np.repeat(random.normal(size=300), 50)
        alone.append(pesaran_timmermann(y, said).p_value < 0.05)
        panel.append(pesaran_timmermann(y, said, dates=dates).p_value < 0.05)
    assert np.mean(alone) > 0.25
    assert np.mean(panel) < 0.13
    y = random.normal(size=15_000)
    assert pesaran_timmermann(y, y + random.normal(size=15_000), dates=dates).statistic > 5
    with pytest.raises(DataError, match="forecast knows one direction only in 15000 rows"):
        pesaran_timmermann(y, np.ones(15_000))


def test_model_confidence_set():
    """arch 8.0.0, MCS(losses, 0.1, reps=1000, block_size=6, method="R", seed=0)."""
    pytest.importorskip("arch")
    losses = pd.DataFrame({"a": BASE, "b": MODEL, "c": BASE + 0.05, "d": MODEL + 0.3 * np.sin(T)})
    found = model_confidence_set(losses, seed=0)
    assert list(found.index[:2]) == ["b", "d"]
    assert found["p_value"][["b", "d", "a", "c"]].tolist() == pytest.approx(
        [1, 0.574, 0, 0], abs=0.02
    )
    assert found["kept"].tolist() == [True, True, False, False]
    assert found["loss"].tolist() == pytest.approx(losses.mean()[found.index].tolist())
    with pytest.raises(DataError, match="two models or more"):
        model_confidence_set(losses[["a"]], seed=0)
    with pytest.raises(UsageError, match="size: got 5"):
        model_confidence_set(losses, size=5, seed=0)


def test_without_arch_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotInstalledError, match=r"'arch'.*fintech-dl\[baselines\]"):
        model_confidence_set(pd.DataFrame({"a": BASE, "b": MODEL}), seed=0)
