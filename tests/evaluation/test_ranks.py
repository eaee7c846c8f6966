"""Information coefficients and returns by bucket, against SciPy and toy panels."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.newey_west import mean_test
from fintech_dl.evaluation.ranks import (
    by_period,
    decay,
    information_coefficient,
    monotonicity,
    quantile_returns,
    summarise,
)


def panel(n_dates=60, n_assets=30, strength=0.2, seed=0):
    random = np.random.default_rng(seed)
    score = random.normal(size=n_dates * n_assets)
    y = strength * score + random.normal(size=len(score))
    dates = np.repeat(pd.bdate_range("2023-11-15", periods=n_dates).to_numpy(), n_assets)
    return y, score, dates


@pytest.mark.parametrize("rank", [True, False])
def test_each_date_has_the_correlation_of_scipy(rank):
    y, score, dates = panel()
    score = np.round(score, 1)  # ties
    y[5], score[40] = np.nan, np.nan
    order = np.random.default_rng(1).permutation(len(y))
    found = information_coefficient(y[order], score[order], dates[order], rank=rank)
    assert list(found.index) == list(np.unique(dates))
    known = ~np.isnan(y) & ~np.isnan(score)
    for date, value in found.items():
        rows = known & (dates == np.datetime64(date))
        exact = (spearmanr if rank else pearsonr)(y[rows], score[rows]).statistic
        assert value == pytest.approx(exact)


def test_dates_without_order_are_counted_and_not_zero():
    y, score, dates = panel(4, 6)
    score[:6], y[6:12] = 0.1 + 0.2, 7.0
    for rank in (True, False):
        found = information_coefficient(y, score, dates, rank=rank)
        assert found.isna().tolist() == [True, True, False, False]
    summary = summarise(found)
    assert (summary.n, summary.undefined) == (2, 2)
    few = information_coefficient(y[:-2], score[:-2], dates[:-2])
    assert len(few) == 3  # a date of 4 assets is left out
    with pytest.raises(DataError, match="no date has 50 assets"):
        information_coefficient(y, score, dates, fewest=50)


def test_the_summary():
    found = summarise(pd.Series([0.2, -0.1, 0.3, np.nan, 0.2]), horizon=2)
    values = np.array([0.2, -0.1, 0.3, 0.2])
    test = mean_test(values, horizon=2)
    assert found.mean == pytest.approx(0.15)
    assert found.std == pytest.approx(values.std(ddof=1))
    assert found.icir == pytest.approx(0.15 / values.std(ddof=1))
    assert (found.t, found.p_value, found.low, found.high) == (
        test.t,
        test.p_value,
        test.low,
        test.high,
    )
    assert (found.hit, found.n, found.undefined) == (0.75, 4, 1)


def test_overlapping_returns_are_less_sure():
    """20 bars ahead, the coefficients of neighbours are alike: naive errors are far too small."""
    random = np.random.default_rng(0)
    steps = np.convolve(random.normal(size=519), np.ones(20) / 20, "valid")
    series = pd.Series(steps)
    assert abs(summarise(series, horizon=1).t) > 1.3 * abs(summarise(series, horizon=20).t)


def test_months_and_years():
    y, score, dates = panel()
    series = information_coefficient(y, score, dates)
    series.iloc[3] = np.nan
    months = by_period(series, "month")
    assert list(months.index) == ["2023-11", "2023-12", "2024-01", "2024-02"]
    november = series[series.index < "2023-12-01"]
    assert months.loc["2023-11", "mean"] == pytest.approx(november.mean())
    assert months.loc["2023-11", ["n", "undefined"]].tolist() == [len(november) - 1, 1]
    years = by_period(series, "year")
    assert years["n"].sum() == 59
    alone = by_period(series[:1], "year")
    assert alone.loc["2023", "mean"] == series.iloc[0]
    assert np.isnan(alone.loc["2023", "t"])
    with pytest.raises(UsageError, match="got 'week', allowed"):
        by_period(series, "week")


def test_decay():
    y, score, dates = panel()
    noise = np.random.default_rng(1).normal(size=len(y))
    found = decay({20: y + 4 * noise, 1: y}, score, dates)
    assert found.index.tolist() == [1, 20]
    assert found.loc[1, "mean"] == pytest.approx(information_coefficient(y, score, dates).mean())
    assert found.loc[1, "mean"] > found.loc[20, "mean"]
    one = summarise(information_coefficient(y + 4 * noise, score, dates), horizon=20)
    assert found.loc[20, "t"] == pytest.approx(one.t)


def test_buckets_by_hand():
    """Scores 0 to 9 in 5 buckets: two assets each; returns are 10 x score + date."""
    score = np.tile(np.arange(10.0), 3)
    dates = np.repeat([1, 2, 3], 10)
    found = quantile_returns(10 * score + dates, score, dates, n=5)
    assert found["mean"].tolist() == pytest.approx([7, 27, 47, 67, 87])
    assert found["n"].tolist() == [3] * 5
    assert (found["low"] < found["mean"]).all()
    assert monotonicity(found["mean"]) == pytest.approx(1)
    assert monotonicity(found["mean"][::-1]) == pytest.approx(-1)
    assert np.isnan(monotonicity([1.0, 1.0]))


def test_buckets_of_uneven_dates_and_ties():
    y, score, dates = panel(40, 23)
    found = quantile_returns(y, score, dates, n=10)
    assert (found["n"] == 40).all()
    assert found["mean"].iloc[-1] > found["mean"].iloc[0]
    tied = np.where(np.arange(len(score)) < 23, score, 0.0)
    with pytest.raises(DataError, match="bucket 1 holds rows on 1 date"):
        quantile_returns(y, tied, dates, n=10)
    with pytest.raises(DataError, match="no date has 24 assets"):
        quantile_returns(y, score, dates, n=24)
    with pytest.raises(UsageError, match="n: got 1"):
        quantile_returns(y, score, dates, n=1)


@pytest.mark.parametrize(
    ("y", "dates", "text"),
    [
        ([1.0, 2.0], [1, 1, 1], r"y has the shape \(2,\), dates \(3,\)"),
        ([1.0, np.inf, 0.0], [1, 1, 1], "y: 1 values are infinite"),
        ([1.0, 2.0, 3.0], [1, None, 1], "1 dates are missing"),
    ],
)
def test_what_cannot_be_ordered_is_named(y, dates, text):
    with pytest.raises(DataError, match=text):
        information_coefficient(y, [1.0, 2.0, 3.0], np.array(dates, dtype=float))


@pytest.mark.needs_data("sp500_stocks_5yr.parquet")
@pytest.mark.parametrize(("bars", "sign", "value"), [(5, -1, 0.0062), (120, 1, 0.0161)])
def test_known_rank_ics_of_sp500_stocks(bars, sign, value):
    """Reversal and momentum against open(t+1) to open(t+6), 2016-07 to 2018-02."""
    frame = pd.read_parquet(Path(os.environ["FINTECH_DL_DATA"]) / "sp500_stocks_5yr.parquet")
    wide = frame.pivot(index="date", columns="ticker", values=["open", "close"])
    score = sign * (wide["close"] / wide["close"].shift(bars) - 1)
    y = wide["open"].shift(-6) / wide["open"].shift(-1) - 1
    rows = pd.DataFrame({"score": score.stack(), "y": y.stack()}).dropna().reset_index()
    rows = rows[rows["date"] >= "2016-07-01"]
    found = information_coefficient(rows["y"], rows["score"], rows["date"])
    assert found.mean() == pytest.approx(value, abs=5e-5)
