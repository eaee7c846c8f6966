"""HAR tables: means of what was, the mean of what comes, and nothing from a faulty day."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.forecasts import qlike
from fintech_dl.evaluation.panel_splits import PurgedWalkForward
from fintech_dl.evaluation.volatility_baselines import LogHAR
from fintech_dl.evaluation.walk_forward import walk_forward
from fintech_dl.features.variances import bar_variance, leverages
from fintech_dl.features.volatility import har, har_days


def variances(assets="ABC", n=200, seed=0):
    random = np.random.default_rng(seed)
    days = pd.bdate_range("2022-01-03", periods=n)
    index = pd.MultiIndex.from_product([days, list(assets)], names=["date", "asset"])
    frame = index.to_frame(index=False)
    return frame.assign(
        rv=random.gamma(2, 0.5, len(frame)),
        change=random.normal(0, 1, len(frame)),
        vix=np.repeat(15 + random.random(n) * 10, len(assets)),
    )


FRAME = variances()


def own(name, asset="A"):
    return FRAME[name][FRAME["asset"] == asset].reset_index(drop=True)


def test_the_terms_are_means_of_the_last_day_week_and_month():
    table = har(FRAME, variance="rv", forms=["log", "log_mean", "root", "level"], market=False)
    a = table.rows(table.who == "A").X
    for name, values in {
        "log_variance": np.log(own("rv")),
        "volatility": np.sqrt(own("rv")),
        "variance": own("rv"),
    }.items():
        for n in (1, 5, 22):
            expected = values.rolling(n).mean()[21:].to_numpy()
            np.testing.assert_allclose(a[f"{name}_{n}"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.exp(a["log_mean_variance_5"]), a["variance_5"], rtol=1e-5)
    assert table.X.attrs["left_out"] == {"too_few_bars": 63}


def test_the_exponential_mean_is_riskmetrics():
    table = har(FRAME, variance="rv", ewma=True)
    a, rv = table.rows(table.who == "A"), own("rv").to_numpy()
    weights = 0.94 ** np.arange(75)
    expected = rv[:75][::-1] @ weights / weights.sum()
    assert np.exp(a.X["log_ewma_variance"][0]) == pytest.approx(expected, rel=1e-5)
    assert a.when[0] == own("date")[74]
    assert har_days(ewma=True) > har_days()


def test_the_target_is_the_mean_variance_to_come():
    table = har(FRAME, variance="rv", horizon=5)
    a, rv = table.rows(table.who == "A"), own("rv")
    assert a.y[0] == pytest.approx(rv[22:27].mean())
    assert a.until[0] == own("date")[26]
    assert a.when[0] == own("date")[21]
    assert a.y.isna().tolist() == [False] * (len(a) - 5) + [True] * 5
    assert a.until.isna().sum() == 5
    np.testing.assert_array_equal(a.aside["variance"], rv[21:])
    assert a.aside["volatility"].iloc[0] == pytest.approx(np.sqrt(rv[:22].mean()))


def test_several_horizons_are_targets_side_by_side():
    table = har(FRAME, variance="rv", horizon=[1, 22, 5])
    assert table.y.columns.tolist() == ["variance_next_1", "variance_next_22", "variance_next_5"]
    for column, bars in zip(table.y, (1, 22, 5), strict=True):
        one = har(FRAME, variance="rv", horizon=bars)
        np.testing.assert_array_equal(table.y[column], one.y)
        pd.testing.assert_frame_equal(table.X, one.X)
        if bars == 22:
            pd.testing.assert_series_equal(table.until, one.until)
    labelled = har(FRAME, variance="rv", horizon=[1, 22, 5], labelled=True)
    assert len(labelled) == len(table) - 22 * 3
    assert not labelled.y.isna().any(axis=None)


def test_the_market_is_the_mean_of_the_logs_of_all():
    table = har(FRAME, variance="rv")
    market = np.log(FRAME["rv"]).groupby(FRAME["date"]).mean().rolling(5).mean().dropna()
    found = table.X["market_log_variance_5"][table.who == "B"]
    np.testing.assert_allclose(found, market[17:], rtol=1e-5, atol=1e-6)


def test_leverage_and_exogenous_columns():
    table = har(FRAME, variance="rv", leverage="change", exog=["vix"], market=False)
    a = table.rows(table.who == "A").X
    sigma = np.sqrt(own("rv").rolling(22).mean().to_numpy())
    expected = leverages(own("change").to_numpy(), sigma, [5])[5]
    np.testing.assert_allclose(a["leverage_5"], expected[22:], rtol=1e-5)
    np.testing.assert_allclose(a["log_vix"], np.log(own("vix"))[22:], rtol=1e-6)


def test_a_floor_raises_what_lies_below_it():
    low = FRAME.copy()
    low.loc[300, "rv"] = 0.0
    with_floor = har(low, variance="rv", floor=1e-4)
    assert with_floor.aside["variance"].min() == 1e-4
    assert "faulty" not in with_floor.X.attrs["left_out"]
    without = har(low, variance="rv")
    assert without.X.attrs["left_out"]["faulty"] == 1
    assert without.X.attrs["left_out"]["touches_faulty"] == 21
    assert (without.y > 0).sum() < (with_floor.y > 0).sum()


def test_a_missing_day_is_left_out_of_the_market_alone():
    lacking = FRAME.copy()
    lacking.loc[301, "rv"] = np.nan  # asset B
    table = har(lacking, variance="rv")
    day = lacking["date"][301]
    today = (table.when == day) & (table.who == "A")
    market = np.log(FRAME["rv"][[300, 302]]).mean()
    assert table.X["market_log_variance_1"][today].item() == pytest.approx(market, rel=1e-5)
    assert not ((table.when == day) & (table.who == "B")).any()


@pytest.mark.parametrize("kind", ["close_to_close", "parkinson", "garman_klass", "rogers_satchell"])
def test_variances_may_be_made_of_prices(kind):
    random = np.random.default_rng(0)
    close = 50 * np.exp(random.normal(0, 0.01, len(FRAME))).cumprod()
    start = close * 1.001
    prices = FRAME[["date", "asset"]].assign(
        open=start, high=np.maximum(start, close) * 1.01, low=start * 0.98, close=close
    )
    prices["low"] = prices[["low", "close"]].min(axis=1) * 0.99
    a = prices[prices["asset"] == "A"]
    table = har(prices, variance=kind, leverage="close", floor=1e-9, market=False)
    expected = bar_variance({name: a[name].to_numpy() for name in a.columns[2:]}, kind)
    mine = table.rows(table.who == "A")
    np.testing.assert_allclose(mine.aside["variance"], expected[22:])
    assert table.X.attrs["left_out"] == {"too_few_bars": 66}
    assert mine.X["leverage_1"].between(-1, 0).all()


def test_the_last_days_may_stand_side_by_side():
    table = har(FRAME, variance="rv", last=3)
    flat = har(FRAME, variance="rv")
    a, one = table.rows(table.who == "A"), flat.rows(flat.who == "A")
    expected = one.X["log_variance_1"].shift(2).fillna(0)
    np.testing.assert_array_equal(a.X["log_variance_1@-2"], expected)
    assert a.X["present@-2"].tolist() == [0, 0] + [1] * (len(a) - 2)


@pytest.mark.parametrize("parameters", [{}, {"leverage": "change"}, {"last": 10, "lags": [1, 5]}])
def test_days_before_the_history_that_it_needs_change_no_bit(parameters):
    frame = variances("CAB", 600).sort_values(["date", "asset"], ignore_index=True)
    first = frame["date"].iloc[-30]
    begin = first - pd.Timedelta(days=har_days(**parameters))
    late = frame[~((frame["asset"] == "A") & (frame["date"] < begin))].reset_index(drop=True)
    for whole in (frame, late):  # whichever asset comes first
        cut = whole[whole["date"] >= begin].reset_index(drop=True)
        assert len(cut) < len(whole)
        one, two = (har(f, variance="rv", **parameters) for f in (whole, cut))
        one, two = (table.rows(table.when >= first) for table in (one, two))
        assert len(one) == 30
        assert one.X.to_numpy().tobytes() == two.X.to_numpy().tobytes()


@pytest.mark.needs_data("sp500_rv_vix.parquet")
@pytest.mark.parametrize(
    ("horizon", "log_har", "with_vix"), [(1, 0.2331, 0.2086), (5, 0.2029, 0.1835)]
)
def test_linear_models_on_these_terms_reach_the_known_losses_of_sp500_variance(
    horizon, log_har, with_vix
):
    """Test 2008-01 to 2018-04, refitted every 22 days: QLIKE of an independent computation."""
    frame = pd.read_parquet(Path(os.environ["FINTECH_DL_DATA"]) / "sp500_rv_vix.parquet")
    frame = frame[frame["rv"].notna()].assign(asset="SPX")
    table = har(frame, variance="rv", horizon=horizon, market=False, exog=["vix"], labelled=True)
    start = int((table.when < "2008-01-01").sum())
    cv = PurgedWalkForward(start, 22, expanding=True, horizon=horizon)
    logs = [f"log_variance_{n}" for n in (1, 5, 22)]
    for columns, known in [(logs, log_har), ([*logs, "log_vix"], with_vix)]:
        forecast = walk_forward(LogHAR(columns), table.X, table.y, table.when, cv)[start:]
        loss = qlike(table.y[start:].to_numpy(), forecast)
        assert loss.mean() == pytest.approx(known, abs=0.001)


def test_the_market_has_the_same_bits_whichever_asset_came_first():
    # logs that add up to nothing: what is left of them depends on the order alone
    level = np.exp(np.select([FRAME["asset"] == "A", FRAME["asset"] == "B"], [0.1, 0.2], -0.3))
    frame = FRAME.assign(rv=level)
    late = frame[(frame["asset"] != "A") | (frame.index > 60)].reset_index(drop=True)
    one, two = (
        table.rows(table.when >= FRAME["date"][300]).X["market_log_variance_1"].to_numpy()
        for table in (har(frame, variance="rv"), har(late, variance="rv"))
    )
    assert 0 < abs(one[0]) < 1e-15
    assert one.tobytes() == two.tobytes()


def test_rows_without_a_label_may_be_left_out():
    table = har(FRAME, variance="rv", horizon=5, labelled=True, asset=True)
    assert not table.y.isna().any()
    assert table.X.attrs["left_out"] == {"too_few_bars": 63, "other": 15}
    assert table.X["asset"].dtype == "category"


@pytest.mark.parametrize(
    ("parameters", "error", "told"),
    [
        ({"variance": "rv5"}, DataError, "'rv5' is missing"),
        ({"variance": "parkinson"}, DataError, "'high' is missing"),
        ({"variance": "rv", "leverage": "r"}, DataError, "'r' is missing"),
        ({"variance": "rv", "exog": ["change"]}, DataError, "change is -.*above 0 or missing"),
        ({"variance": "rv", "forms": ["cube"]}, UsageError, "forms="),
        ({"variance": "rv", "lags": [0]}, UsageError, "lags="),
        ({"variance": "rv", "floor": -1}, UsageError, "floor=-1"),
        ({"variance": "rv", "horizon": 200}, DataError, "longest series has 200 bars"),
    ],
)
def test_what_cannot_be_is_refused(parameters, error, told):
    with pytest.raises(error, match=told):
        har(FRAME, **parameters)
