"""Rows of a whole market: every asset's features and targets at their own places."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl import MLP, NeuralVolatilityRegressor
from fintech_dl.errors import UsageError
from fintech_dl.evaluation.forecasts import qlike
from fintech_dl.features.market import market_rows
from fintech_dl.features.volatility import har
from fintech_dl.table import Table

MARKET = [f"market_log_variance_{n}" for n in (1, 5, 22)]


def variances(assets="ABC", n=80, seed=0):
    random = np.random.default_rng(seed)
    days = pd.bdate_range("2022-01-03", periods=n)
    index = pd.MultiIndex.from_product([days, list(assets)], names=["date", "asset"])
    frame = index.to_frame(index=False)
    return frame.assign(rv=random.gamma(2, 0.5, len(frame)))


FRAME = variances()
TABLE = har(FRAME, variance="rv", horizon=5, labelled=True, asset=True)


def test_each_asset_stands_at_its_own_place():
    market = market_rows(TABLE, shared=MARKET)
    days = TABLE.when.unique()
    assert market.when.tolist() == list(days)
    assert market.y.columns.tolist() == ["A", "B", "C"]
    assert len(market.X.columns) == 3 * 3 + 3
    for asset in "ABC":
        own = TABLE.rows((TABLE.who == asset).to_numpy())
        np.testing.assert_array_equal(market.y[asset], own.y)
        for name in ("log_variance_1", "log_variance_22"):
            np.testing.assert_array_equal(market.X[f"{name}_of_{asset}"], own.X[name])
        np.testing.assert_array_equal(market.X["market_log_variance_5"], own.X[MARKET[1]])
        assert market.until.tolist() == own.until.tolist()
    assert (market.X.dtypes == np.float32).all()
    assert market.who is None


def test_what_is_not_there_is_missing_and_the_rest_stays():
    gone = (TABLE.who == "B") & (TABLE.when == TABLE.when.unique()[3])
    whole = market_rows(TABLE, shared=MARKET)
    market = market_rows(TABLE.rows(~gone.to_numpy()), shared=MARKET)
    own = [name for name in market.X if name.endswith("_of_B")]
    assert market.X[own].isna().all(axis=1).tolist() == [i == 3 for i in range(len(market))]
    assert market.y["B"].isna().tolist() == [i == 3 for i in range(len(market))]
    rest = market.X.columns.drop(own)
    pd.testing.assert_frame_equal(market.X[rest], whole.X[rest])
    pd.testing.assert_frame_equal(market.y[["A", "C"]], whole.y[["A", "C"]])


def test_later_rows_have_the_columns_of_the_training_table():
    late = TABLE.rows(((TABLE.who != "A") & (TABLE.when > "2022-04-01")).to_numpy())
    market = market_rows(late, assets=market_rows(TABLE).y.columns)
    assert list(market.X) == list(market_rows(TABLE).X)
    assert market.X["log_variance_1_of_A"].isna().all()
    few = market_rows(TABLE, assets=["C", "A"])
    assert few.y.columns.tolist() == ["C", "A"]
    np.testing.assert_array_equal(few.y["C"], TABLE.y[TABLE.who == "C"])


def test_a_label_that_is_not_known_yet_leaves_its_date_open():
    market = market_rows(har(FRAME, variance="rv", horizon=5))
    assert market.until.isna().tolist() == [False] * (len(market) - 5) + [True] * 5
    some = har(FRAME[~((FRAME["asset"] == "A") & (FRAME.index > 200))], variance="rv", horizon=5)
    open_dates = market_rows(some).until.isna()
    lacking = some.y.isna().groupby(some.when).any()
    assert open_dates.tolist() == lacking.tolist()
    assert 5 < open_dates.sum() < len(open_dates)


def test_windows_stay_windows():
    table = har(FRAME, variance="rv", last=2, lags=[1, 5])
    market = market_rows(table, shared=["market_log_variance_1", "market_log_variance_5"])
    names = ["log_variance_1_of_A", "log_variance_1_of_B", "log_variance_1_of_C"]
    assert list(market.X)[:3] == [f"{name}@-1" for name in names]
    half = len(market.X.columns) // 2
    early, late = ([name[:-3] for name in part] for part in np.split(market.X.columns, [half]))
    assert early == late


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"who": None}, "needs `when` and `who`"),
        ({"y": pd.DataFrame({"a": TABLE.y, "b": TABLE.y})}, r"2 horizons, \['a', 'b'\]"),
        ({"who": pd.Series("A", index=TABLE.X.index)}, "two rows"),
        ({"X": TABLE.X.assign(sector="bank")}, "'sector' is no number"),
    ],
)
def test_tables_that_are_no_panel_are_refused(change, told):
    parts = {"X": TABLE.X, "y": TABLE.y, "when": TABLE.when, "who": TABLE.who, **change}
    with pytest.raises(UsageError, match=told):
        market_rows(Table(**parts))


@pytest.mark.parametrize(
    ("parameters", "told"),
    [({"assets": ["Z"]}, r"none of the assets \['Z'\]"), ({"shared": ["vix"]}, "'vix' is no")],
)
def test_names_that_are_not_there_are_refused(parameters, told):
    with pytest.raises(UsageError, match=told):
        market_rows(TABLE, **parameters)


def follower(n=900, seed=0):
    """Return a panel in which B does tomorrow what A did today; A knows only itself."""
    random = np.random.default_rng(seed)
    a = np.zeros(n)
    for t in range(1, n):
        a[t] = 0.5 * a[t - 1] + random.normal()
    b = np.concatenate([[0.0], 0.9 * a[:-1]]) + 0.3 * random.normal(size=n)
    days = pd.bdate_range("2020-01-01", periods=n)
    index = pd.MultiIndex.from_product([days, ["A", "B"]], names=["date", "asset"])
    return index.to_frame(index=False).assign(rv=np.exp(np.column_stack([a, b]).ravel()))


def test_what_the_others_did_helps_where_one_follows_another():
    table = har(follower(), variance="rv", lags=[1, 5], market=False, labelled=True)
    market = market_rows(table)
    gaps = np.random.default_rng(1).random(len(market)) < 0.1
    market.y.loc[gaps, "A"] = np.nan  # holidays of one asset
    lags = [[f"{name}_of_{asset}" for name in table.X] for asset in market.y]
    model = NeuralVolatilityRegressor(
        network=MLP(units=16, activation="tanh"), offset_columns=lags, random_state=0
    )
    train, test = market.rows(np.arange(600)), market.rows(np.arange(600, len(market)))

    def loss(epochs, rate):
        model.set_params(epochs=epochs, learning_rate=rate).fit(train.X, train.y)
        return qlike(test.y["B"], model.predict(test.X)[:, 1]).mean()

    own_lags, everything = loss(1, 1e-9), loss(60, 0.01)
    assert everything < 0.4 * own_lags
