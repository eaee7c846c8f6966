"""Labels: made of bars after the signal alone, whole or not at all, dated when they are known."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.features.forward import (
    NEVER,
    forward_mean,
    forward_price,
    forward_return,
    known_by_date,
    of_horizons,
)
from fintech_dl.features.own_bars import of_prices

DAYS = pd.bdate_range("2024-01-01", periods=12)


def bars(assets="A", days=DAYS, **changes):
    index = pd.MultiIndex.from_product([days, list(assets)], names=["date", "asset"])
    frame = index.to_frame(index=False)
    n = len(frame)
    close = 100 * 1.01 ** np.arange(n)
    return frame.assign(
        open=close * 1.001, high=close * 1.02, low=close * 0.98, close=close
    ).assign(**changes)


@pytest.mark.parametrize(("lag", "horizon"), [(1, 1), (1, 5), (3, 2)])
@pytest.mark.parametrize("price", ["open", "close"])
def test_a_return_is_entered_after_the_signal_and_held_for_the_horizon(lag, horizon, price):
    frame = bars()
    frame["open"] = frame["close"] * (1 + np.arange(12) / 1000)
    found = of_prices(frame)
    made = forward_return(found, horizon, lag=lag, price=price)
    traded, ahead = frame[price].to_numpy(), lag + horizon
    for t in range(12 - ahead):
        assert made.value[t] == traded[t + ahead] / traded[t + lag] - 1
        assert made.entry[t] == traded[t + lag]
        assert pd.Timestamp(made.until[t], unit="us") == DAYS[t + ahead]
    assert np.isnan(made.value[12 - ahead :]).all()
    assert (made.until[12 - ahead :] == NEVER).all()


def test_where_there_is_an_open_one_enters_there():
    frame = bars()
    opens = forward_return(of_prices(frame), 1).entry
    closes = forward_return(of_prices(frame.drop(columns="open")), 1).entry
    assert opens[0] == frame["open"][1]
    assert closes[0] == frame["close"][1]


def test_the_signal_itself_earns_nothing():
    """A jump at the signal's own close, and the gap to the next open, are nobody's return."""
    frame = bars(open=100.0, high=130.0, low=90.0, close=100.0)
    frame.loc[4, "close"] = 110.0
    frame.loc[5:, ["open", "close"]] = 120.0
    value = forward_return(of_prices(frame), 1).value
    assert value[4] == 0  # seen at close 4, entered at 120
    assert value[3] == pytest.approx(0.2)  # entered at the open of bar 4


def test_no_label_reaches_into_another_asset():
    frame = bars("AB")
    found = of_prices(frame)
    for made in (forward_return(found, 2), forward_price(found, 3)):
        value = found.order.to_rows(made.value)
        assert np.isnan(value[-6:]).all()
        assert not np.isnan(value[:-6]).any()


@pytest.mark.parametrize(("missing", "breaks"), [(5, False), (6, True)])
def test_a_gap_longer_than_max_gap_has_no_label_across(missing, breaks):
    frame = bars("AB")
    gone = (frame["asset"] == "A") & frame["date"].isin(DAYS[2 : 2 + missing])
    found = of_prices(frame[~gone].reset_index(drop=True), max_gap=5)
    made = forward_return(found, 1, price="close")
    assert np.isnan(made.value[0]) == breaks
    assert np.isnan(made.value[1]) == breaks
    assert (made.until[1] == NEVER) == breaks


def test_a_faulty_bar_spoils_every_label_that_touches_it_and_no_other():
    frame = bars()
    frame.loc[6, "close"] = -1.0
    value = forward_mean(of_prices(frame), np.arange(12.0), 3).value
    assert np.flatnonzero(np.isnan(value)).tolist() == [3, 4, 5, 6, 9, 10, 11]
    assert value[7] == 9.0


def test_a_price_label_begins_at_the_close_itself():
    frame = bars()
    value = forward_price(of_prices(frame), 2).value
    assert value[0] == pytest.approx(2 * np.log(1.01))


def test_a_rank_is_known_when_the_last_of_its_date_is():
    until = np.array([5, 9, NEVER, 7, NEVER])
    assert known_by_date(until, np.array([0, 0, 0, 1, 2])).tolist() == [9, 9, NEVER, 7, NEVER]


@pytest.mark.parametrize("horizon", [0, -1, 1.5, True])
def test_a_horizon_of_no_bars_is_refused(horizon):
    with pytest.raises(UsageError, match=r"horizon=.*1 or more"):
        forward_return(of_prices(bars()), horizon)


def test_trading_at_the_bar_of_the_signal_is_refused():
    with pytest.raises(UsageError, match="lag=0"):
        forward_return(of_prices(bars()), 1, lag=0)


@pytest.mark.parametrize(
    ("make", "needs"),
    [
        (lambda found: forward_return(found, 11), 12),
        (lambda found: forward_mean(found, np.ones(12), 12), 12),
    ],
)
def test_a_horizon_longer_than_the_data_is_refused(make, needs):
    with pytest.raises(DataError, match=f"needs {needs} bars .* longest series has 12"):
        make(of_prices(bars()))


def test_an_unknown_price_is_refused():
    with pytest.raises(UsageError, match="'open' or 'close'"):
        forward_return(of_prices(bars()), 1, price="vwap")
    with pytest.raises(DataError, match="'open' is missing"):
        forward_return(of_prices(bars().drop(columns="open")), 1, price="open")


def test_labels_of_several_horizons_stand_side_by_side():
    found = of_prices(bars("AB"))
    make = partial(forward_price, found)
    both, short, long = of_horizons(make, [4, 1]), make(1), make(4)
    np.testing.assert_array_equal(both.value, np.column_stack([long.value, short.value]))
    assert (both.until == long.until).all()
    assert both.known.sum() == (~np.isnan(long.value)).sum() < (~np.isnan(short.value)).sum()
    assert of_horizons(make, 4).value.shape == long.value.shape
    trades = of_horizons(partial(forward_return, found), [1, 4])
    np.testing.assert_array_equal(trades.entry, forward_return(found, 1).entry)


@pytest.mark.parametrize(
    ("horizon", "told"),
    [
        ([], r"horizon=\[\]: must be one whole number of bars, or a list of two"),
        ([5], "a list of two or more different ones"),
        ([5, 5], "a list of two or more different ones"),
        ([5, 0], "horizon=0: must be a whole number"),
        ("5", "horizon='5': must be a whole number"),
    ],
)
def test_lists_that_name_no_horizons_are_refused(horizon, told):
    with pytest.raises(UsageError, match=told):
        of_horizons(partial(forward_price, of_prices(bars())), horizon)
