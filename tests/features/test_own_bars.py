"""Own bars: an asset's bars and nobody else's; a faulty one breaks the run."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.features.own_bars import days_of, of_prices, of_series

DAYS = pd.bdate_range("2024-01-01", periods=10)


def frame(assets="AB", days=DAYS):
    index = pd.MultiIndex.from_product([days, list(assets)], names=["date", "asset"])
    out = index.to_frame(index=False)
    return out.assign(close=100.0 + np.arange(len(out)) / 10)


def test_bars_stand_asset_by_asset_in_order_of_time():
    found = of_prices(frame())
    closes = frame()["close"].to_numpy()
    np.testing.assert_array_equal(found.columns["close"], [*closes[0::2], *closes[1::2]])
    assert found.run.tolist() == [*range(1, 11)] * 2
    np.testing.assert_array_equal(found.order.to_rows(found.columns["close"]), closes)


def test_a_faulty_bar_is_no_number_and_breaks_the_run():
    wrong = frame()
    wrong.loc[8, "close"] = 0.0  # the fifth bar of A
    found = of_prices(wrong)
    assert np.isnan(found.columns["close"][4])
    assert found.run[:10].tolist() == [1, 2, 3, 4, 0, 1, 2, 3, 4, 5]
    assert found.after_fault[:10].tolist() == [False] * 4 + [True] * 6
    assert found.run[10:].tolist() == [*range(1, 11)]
    assert found.complete(3).sum() == 2 + 3 + 8
    left = found.left_out(found.complete(3), 3)
    assert left == {"faulty": 1, "touches_faulty": 2, "too_few_bars": 4}


def test_faulty_rows_are_set_aside_with_their_reasons():
    wrong = frame().assign(high=200.0, low=50.0)
    wrong.loc[3, "low"] = 300.0
    wrong.loc[5, "close"] = np.nan
    aside = of_prices(wrong).quarantined(wrong)
    assert aside["source_row"].tolist() == [4, 6]
    assert aside["reason"].tolist() == ["high_below_low:high;outside_range:close", "missing:close"]


@pytest.mark.parametrize(
    ("max_gap", "runs"), [(3, [1, 2, 3, 4, 5, 6, 7]), (2, [1, 2, 3, 1, 2, 3, 4])]
)
def test_an_asset_that_misses_too_many_dates_starts_anew(max_gap, runs):
    gone = frame()
    gone = gone[(gone["asset"] == "B") | ~gone["date"].isin(DAYS[3:6])].reset_index(drop=True)
    found = of_prices(gone, max_gap=max_gap)
    assert found.run[:7].tolist() == runs
    assert not found.after_fault.any()  # a gap is no fault
    assert found.after_gap.tolist() == [max_gap < 3 and 3 <= i < 7 for i in range(17)]
    if max_gap < 3:
        left = found.left_out(found.complete(3), 3)
        assert left == {"touches_gap": 2, "too_few_bars": 4}
    with pytest.raises(UsageError, match="max_gap=-1"):
        of_prices(gone, max_gap=-1)


def test_days_on_which_nobody_trades_are_no_gap():
    found = of_prices(frame(days=pd.to_datetime(["2024-01-05", "2024-02-05", "2024-03-05"])))
    assert found.run[:3].tolist() == [1, 2, 3]


def test_a_window_that_spans_too_many_days_is_not_used():
    days = pd.to_datetime(["2024-01-01", "2024-01-21", "2024-01-22"])
    found = of_prices(frame("A", days))
    assert days_of(2) == 20
    assert found.complete(2).tolist() == [False, True, True]
    found = of_prices(frame("A", days + pd.to_timedelta([0, 1, 1], unit="D")))
    assert found.complete(2).tolist() == [False, False, True]
    assert found.left_out(found.complete(2), 2) == {"too_few_bars": 1, "window_too_long": 1}


def test_an_unfinished_bar_is_faulty_when_its_column_says_so():
    last = frame().assign(unfinished=lambda f: f["date"] == DAYS[-1])
    found = of_prices(last)
    assert found.quarantined(last)["reason"].tolist() == ["unfinished", "unfinished"]
    assert found.run.tolist() == [*range(1, 10), 0] * 2


def test_raw_prices_are_multiplied_by_their_factor():
    split = frame("A").assign(open=100.0, close=100.0, volume=1.0, adj_factor=0.5)
    split.loc[5:, ["open", "close", "volume"]] = [50.0, 50.0, 2.0]
    split.loc[5:, "adj_factor"] = 1.0
    found = of_prices(split)
    assert not found.faults
    assert (found.columns["close"] == 50).all()
    assert list(of_prices(split.drop(columns="adj_factor")).faults) == ["split_jump:close"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda f: f.iloc[::-1], "not in order"),
        (lambda f: pd.concat([f, f.iloc[[-1]]]), "two rows of 'B'"),
        (lambda f: f.drop(columns="close"), "'close'"),
        (lambda f: f.assign(date=f["date"].dt.tz_localize("UTC")), "time zone"),
        (lambda f: f.assign(date=f["date"].astype(str)), "date"),
        (lambda f: f.assign(close="high"), "numbers"),
        (lambda f: f.iloc[:2], "one day"),
        (lambda f: f.assign(asset=None), "asset"),
    ],
)
def test_a_file_that_is_no_long_bars_is_refused(spoil, told):
    wrong = spoil(frame()).reset_index(drop=True)
    with pytest.raises(DataError, match=told):
        of_prices(wrong)
    if "close" in wrong and told != "numbers":
        values = {"x": wrong["close"].to_numpy()}
        with pytest.raises(DataError):
            of_series(wrong, values, {})
