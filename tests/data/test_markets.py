"""Simulated markets: what can be found in each is what its docstring says."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl import load_frame
from fintech_dl.bars import bar_faults, check_bars
from fintech_dl.cards import dataset_card, names
from fintech_dl.data.markets import garch_panel, random_walk, stock_panel
from fintech_dl.errors import UsageError

SHIPPED = [
    name
    for name in names("datasets")
    if dataset_card(name).source.use in ("garch_panel", "stock_panel", "random_walk")
]


def wide(frame, column="close"):
    return frame.pivot(index="date", columns="asset", values=column)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_markets_are_sound_bars(name):
    frame = load_frame(name)
    check_bars(frame)
    assert bar_faults(frame) == {}
    expected = dataset_card(name).source.parameters
    assert len(frame) == expected["n_assets"] * expected["days"]


@pytest.mark.parametrize("make", [garch_panel, stock_panel, random_walk])
def test_the_seed_makes_the_market(make):
    one, two, other = (make(n_assets=3, days=20, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert (one["close"] != other["close"]).all()
    with pytest.raises(UsageError, match="too few days"):
        make(days=0)


@pytest.mark.parametrize("make", [garch_panel, stock_panel, random_walk])
def test_a_longer_market_begins_like_a_shorter_one_in_its_range(make):
    frame = make(n_assets=3, days=50, seed=3)
    assert (frame["high"] > frame["low"]).all()
    opens, closes = wide(frame, "open"), wide(frame)
    night, day = np.log(opens / closes.shift()), np.log(closes / opens)
    assert 0.1 < (night.var() / day.var()).mean() < 0.4


def test_volatility_can_be_forecast_and_returns_cannot():
    frame = load_frame("synthetic_garch_panel")
    logs = np.log(wide(frame, "rv"))
    assert logs.corrwith(logs.shift()).mean() > 0.5
    assert np.corrcoef(logs.to_numpy().T).mean() > 0.25  # they move together
    returns = np.log(wide(frame)).diff()
    assert abs(returns.corrwith(returns.shift()).mean()) < 0.03
    assert returns.stack().kurt() > 2  # tails


def test_realised_variance_is_that_of_the_day():
    frame = load_frame("synthetic_garch_panel")
    day = 1e4 * np.log(frame["close"] / frame["open"]) ** 2
    assert day.mean() / frame["rv"].mean() == pytest.approx(1, abs=0.05)
    spread = np.log(frame["high"] / frame["low"]) ** 2 / (4 * np.log(2)) * 1e4
    assert spread.mean() / frame["rv"].mean() == pytest.approx(0.85, abs=0.15)  # few steps


def rank_ic(frame, horizon=1):
    """Return the mean rank correlation of last week's return, reversed, with the next bars'."""
    opens, closes = wide(frame, "open"), wide(frame)
    signal = -(closes / closes.shift(5) - 1)
    earned = opens.shift(-1 - horizon) / opens.shift(-1) - 1
    return signal.rank(axis=1).corrwith(earned.rank(axis=1), axis=1).dropna()


def test_a_ranking_can_find_the_reversal_with_the_next_bar():
    found = rank_ic(load_frame("synthetic_stocks"))
    assert 0.02 < found.mean() < 0.12
    assert found.mean() / found.std() * np.sqrt(len(found)) > 3
    assert rank_ic(load_frame("synthetic_stocks_small")).mean() > 0.1
    nothing = rank_ic(stock_panel(strength=0))
    assert abs(nothing.mean() / nothing.std() * np.sqrt(len(nothing))) < 3


def test_there_is_nothing_in_a_random_walk():
    frame = load_frame("synthetic_random_walk")
    returns = np.log(wide(frame)).diff().dropna()
    assert returns.std().mean() * np.sqrt(252) == pytest.approx(0.2, abs=0.01)
    assert abs(returns.corrwith(returns.shift()).mean()) < 0.03
    assert abs((returns**2).corrwith((returns**2).shift()).mean()) < 0.03
    assert abs(np.corrcoef(returns.T)[np.triu_indices(20, 1)].mean()) < 0.02
    with pytest.raises(UsageError, match="volatility must be above 0"):
        random_walk(volatility=0)
