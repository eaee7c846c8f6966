"""Frames as people have them -> long bars, or a sentence."""

import pandas as pd
import pytest

from fintech_dl import to_bars
from fintech_dl.errors import DataError, UsageError

DATES = pd.DatetimeIndex(["2024-01-02", "2024-01-03"], name="Date")


def flat(first=10.0, **more):
    columns = {"Open": first, "High": first + 1, "Low": first - 1, "Close": first, "Volume": 100}
    return pd.DataFrame({**columns, **more}, index=DATES)


def two(order):
    frame = pd.concat({"AAA": flat(), "BBB": flat(20.0)}, axis=1, names=["Ticker", "Price"])
    return frame if order == "ticker" else frame.swaplevel(axis=1).sort_index(axis=1)


EXPECTED = to_bars({"AAA": flat(), "BBB": flat(20.0)})


def test_the_format():
    assert list(EXPECTED) == ["date", "asset", "open", "high", "low", "close", "volume"]
    assert EXPECTED["asset"].tolist() == ["AAA", "BBB", "AAA", "BBB"]
    assert EXPECTED["close"].tolist() == [10, 20, 10, 20]
    assert str(EXPECTED["date"].dtype) == "datetime64[us]"
    assert EXPECTED["volume"].dtype == "float64"


@pytest.mark.parametrize("order", ["ticker", "price"])
def test_columns_of_two_levels_either_way_round(order):
    pd.testing.assert_frame_equal(to_bars(two(order)), EXPECTED)
    zoned = two(order).tz_localize("America/New_York")
    pd.testing.assert_frame_equal(to_bars(zoned), EXPECTED)


@pytest.mark.parametrize("names", [("Date", "Ticker"), ("datetime", "Symbol"), ("date", "asset")])
def test_long_frames_under_other_names(names):
    long = EXPECTED.rename(columns={"date": names[0], "asset": names[1], "close": "CLOSE"})
    pd.testing.assert_frame_equal(to_bars(long.sample(frac=1, random_state=1)), EXPECTED)
    pd.testing.assert_frame_equal(to_bars(long.set_index(list(names))), EXPECTED)
    pd.testing.assert_frame_equal(to_bars(EXPECTED), EXPECTED)


def test_a_flat_frame_needs_the_name_of_its_asset():
    assert to_bars(flat(), asset="AAA")["asset"].tolist() == ["AAA", "AAA"]
    with pytest.raises(DataError, match="no column names the asset"):
        to_bars(flat())
    with pytest.raises(UsageError, match="names its assets in a column"):
        to_bars(EXPECTED, asset="AAA")


def test_an_adjusted_close_becomes_a_factor():
    bars = to_bars(flat(**{"Adj Close": [5.0, 10.0]}), asset="AAA")
    assert bars["adj_factor"].tolist() == [0.5, 1.0]
    assert bars["close"].tolist() == [10, 10]


def test_a_day_that_an_asset_did_not_trade_is_no_bar_of_it():
    frame = two("ticker")
    frame.loc[DATES[0], "BBB"] = float("nan")
    assert to_bars(frame)["asset"].tolist() == ["AAA", "AAA", "BBB"]
    long = EXPECTED.copy()
    long.loc[1, ["open", "high", "low", "close", "volume"]] = float("nan")
    assert len(to_bars(long)) == 4  # in a long frame it says so itself: a bar that is wrong


def test_days_written_as_text_with_the_offset_of_the_season():
    dates = ["2024-03-08 00:00:00-05:00", "2024-03-11 00:00:00-04:00"]
    bars = to_bars(pd.DataFrame({"Date": dates, "Close": [1.0, 2.0]}), asset="AAA")
    assert bars["date"].dt.strftime("%Y-%m-%d").tolist() == ["2024-03-08", "2024-03-11"]


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (flat().tz_localize("America/New_York").tz_convert("UTC"), "2024-01-02 05:00:00 in UTC"),
        (flat().set_axis(DATES + pd.Timedelta("9h30min")), "09:30:00 is no day"),
        (flat().reset_index().assign(Date=[19724, 19725]), "may count days or seconds"),
        (flat().reset_index().assign(Date=["02.01.2024", "03.01.2024"]), "cannot read the dates"),
        (flat().reset_index().assign(Date=[pd.NaT, DATES[0]]), "1 rows have no date"),
        (flat().assign(Close=["a", "b"]), "'close': expected numbers"),
        (flat().assign(close=1.0), "'Close' and 'close' both mean close"),
        (flat().rename(columns={"Close": "Adj Close"}), "an adjusted close alone"),
        (flat().reset_index(drop=True), "no column or index means date"),
        (pd.concat([flat(), flat()]), "two rows of 'X' on 2024-01-02"),
    ],
)
def test_what_is_ambiguous_is_refused(frame, told):
    with pytest.raises(DataError, match=told):
        to_bars(frame, asset="X")


def test_mixed_time_zones_and_mixed_adjustment_are_refused():
    mixed = [pd.Timestamp("2024-01-02", tz=z) for z in ("America/New_York", "Asia/Tokyo")]
    frame = pd.DataFrame({"date": pd.Series(mixed, dtype=object), "asset": "A", "close": 1.0})
    with pytest.raises(DataError, match="mixed time zones"):
        to_bars(frame)
    with pytest.raises(DataError, match="adjusted and raw prices are mixed: BBB"):
        to_bars({"AAA": flat(**{"Adj Close": 5.0}), "BBB": flat(20.0)})
    with pytest.raises(DataError, match="one of the two levels"):
        to_bars(two("ticker").rename(columns={"Close": "Last"}))
    with pytest.raises(UsageError, match="1 or more"):
        to_bars({})
