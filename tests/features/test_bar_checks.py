"""Checks of daily bars: an error stands out on its own day and on no other."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.data.markets import stock_panel
from fintech_dl.data.planted import plant_errors
from fintech_dl.errors import DataError
from fintech_dl.features.bar_checks import daily, daily_days

PRICES = ["open", "high", "low", "close"]
MOVES = [f"{name}_move" for name in PRICES]
AT = 90  # the day that is changed, of the asset S03


@pytest.fixture(scope="module")
def bars():
    return stock_panel(n_assets=8, days=120, seed=4)


def with_cells(bars, changes, days=(AT,)):
    """Return the bars with cells of S03 multiplied on some days, and its features by day."""
    frame = bars.copy()
    own = frame.index[frame["asset"] == "S03"]
    for name, factor in changes.items():
        frame.loc[own[list(days)], name] *= factor
    table = daily(frame)
    X = table.X[(table.who == "S03").to_numpy()].set_index(table.when[table.who == "S03"])
    return X, frame.loc[own, "date"].iloc[AT]


def test_a_price_at_ten_times_stands_out_on_its_day_alone(bars):
    X, day = with_cells(bars, {"close": 10.0})
    assert X.loc[day, "close_move"] > 4
    assert X.loc[day, "outside"] > 4
    others = X.drop(index=day)
    assert others["close_move"].abs().max() < 3
    assert others["outside"].max() == 0


def test_a_split_stands_out_on_its_first_day_alone(bars):
    after = range(AT, 120)
    X, day = with_cells(bars, {**dict.fromkeys(PRICES, 0.5), "volume": 2.0}, after)
    assert X.loc[day, "close_move"] < -3.5
    assert X.loc[day, MOVES].max() < -3
    assert X.drop(index=day)["close_move"].abs().max() < 3
    assert X["turnover"].abs().max() < 1.5


def test_bars_that_repeat_the_one_before(bars):
    frame = bars.copy()
    own = frame.index[frame["asset"] == "S03"]
    frame.loc[own[AT], [*PRICES, "volume"]] = frame.loc[own[AT - 1], [*PRICES, "volume"]].to_numpy()
    frame.loc[own[AT + 5], "high"] = frame.loc[own[AT + 4], "high"]
    table = daily(frame)
    X = table.X[(table.who == "S03").to_numpy()].reset_index(drop=True)
    first = len(X) - 120 + AT
    assert X.loc[first, ["repeated", "repeated_volume"]].tolist() == [1, 1]
    assert X.loc[first + 5, ["repeated", "repeated_volume"]].tolist() == [0.25, 0]
    assert X.drop(index=[first, first + 5])["repeated"].max() == 0


def test_a_fall_of_the_whole_market_is_no_fall_in_the_market(bars):
    frame = bars.copy()
    day = frame["date"].unique()[AT]
    frame.loc[frame["date"] >= day, PRICES] *= 0.8
    table = daily(frame)
    X = table.X[(table.when == day).to_numpy()]
    assert (X["close_move"] < -2).all()
    assert X["close_in_market"].abs().median() < 1
    few = daily(frame[frame["asset"] < "S04"].reset_index(drop=True)).X
    assert np.array_equal(few["close_move"], few["close_in_market"])


def test_planted_errors_score_high_and_rows_are_counted():
    bars = plant_errors(stock_panel(n_assets=10, days=300), rate=0.01)
    table = daily(bars)
    X = table.X
    far = X[MOVES].abs().max(axis=1) > 2.2
    for kind, sign in {
        "spike": far,
        "split": far,
        "stale": X["repeated"] > 0.7,
        "fat_finger": far | (X["turnover"].abs() > 4),
    }.items():
        assert sign[table.aside["kind"] == kind].mean() > 0.9, kind
        assert sign[table.y == 0].mean() < 0.05, kind
    assert table.X.attrs["left_out"] == {"too_few_bars": 10 * 61}
    assert len(table) == 10 * (300 - 61)
    assert not {"kind", "is_planted", "asset"} & set(X)


def test_empty_cells_are_missing_and_absent_columns_do_without(bars):
    frame = bars.drop(columns="volume")
    frame.loc[frame["asset"] == "S01", "open"] = np.nan
    X = daily(frame).X
    assert "turnover" not in X
    assert X["open_move"].isna().mean() == pytest.approx(1 / 8, abs=0.01)
    assert X["close_move"].notna().all()
    closes = daily(frame[["date", "asset", "close"]]).X
    assert list(closes) == ["close_move", "close_in_market", "repeated"]


def test_bars_that_cannot_be_true_are_kept(bars):
    frame = bars.copy()
    frame.loc[frame.index[-3:], "close"] = [0.0, -1.0, np.nan]
    table = daily(frame)
    assert len(table) == 8 * (120 - 61)
    assert table.X["close_move"].iloc[-3:].isna().all()


def test_as_much_history_as_declared_is_enough(bars):
    frame = stock_panel(n_assets=3, days=250, seed=1)
    day = frame["date"].iloc[-1]
    start = day - pd.Timedelta(days=daily_days())
    recent = frame[frame["date"] >= start].reset_index(drop=True)
    one, two = (t.rows(np.asarray(t.when == day)).X for t in (daily(frame), daily(recent)))
    pd.testing.assert_frame_equal(one, two)


def test_what_is_no_bars_is_refused(bars):
    with pytest.raises(DataError, match="missing column 'close'"):
        daily(bars.drop(columns="close"))
