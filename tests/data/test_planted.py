"""Planted errors of bars: what changes, what stays, and that the labels say where."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl import load_frame
from fintech_dl.data.markets import stock_panel
from fintech_dl.data.planted import APART, FIRST, KINDS, plant_errors, planted
from fintech_dl.errors import DataError, UsageError

CELLS = ["open", "high", "low", "close", "volume"]


@pytest.fixture(scope="module")
def bars():
    return stock_panel(n_assets=12, days=400, seed=5)


@pytest.fixture(scope="module")
def wrong(bars):
    return plant_errors(bars, rate=0.01, seed=1)


def by_asset(frame):
    return {name: part.reset_index(drop=True) for name, part in frame.groupby("asset")}


def test_the_seed_decides_everything_and_the_bars_given_stay(bars, wrong):
    before = bars.copy()
    pd.testing.assert_frame_equal(wrong, plant_errors(bars, rate=0.01, seed=1))
    pd.testing.assert_frame_equal(bars, before)
    assert not wrong.equals(plant_errors(bars, rate=0.01, seed=2))
    none = plant_errors(bars, rate=0)
    pd.testing.assert_frame_equal(none[list(bars)], bars)
    assert none["is_planted"].sum() == 0


def test_so_many_cases_of_each_kind_apart_from_each_other(bars, wrong):
    counts = wrong["kind"].value_counts()
    assert set(counts.index) == {"none", *KINDS}
    cases = round(0.01 * len(bars) / 4)
    assert counts["spike"] == counts["split"] == counts["fat_finger"] == cases
    assert 2 * cases <= counts["stale"] <= 5 * cases
    for own in by_asset(wrong).values():
        at = np.flatnonzero(own["is_planted"])
        assert at.min() >= FIRST
        jumps = np.diff(at)
        assert ((jumps == 1) | (jumps > APART // 2 - 5)).all()


def test_only_labelled_bars_and_what_follows_a_split_are_changed(bars, wrong):
    for name, own in by_asset(wrong).items():
        true = by_asset(bars)[name]
        splits = own["kind"] == "split"
        scale = np.ones(len(own))
        for at in np.flatnonzero(splits):
            scale[at:] *= own["close"][at] / true["close"][at] / scale[at]
        good = own["kind"] == "none"
        for cell in ("open", "high", "low", "close"):
            expected = true[cell] * scale
            assert np.allclose(own.loc[good | splits, cell], expected[good | splits])
        assert np.allclose((own["volume"] * scale)[good | splits], true["volume"][good | splits])


def test_a_spike_is_far_from_the_bars_around_it(wrong):
    for own in by_asset(wrong).values():
        moves = np.log(own["close"]).diff().abs()
        usual = moves[own["kind"] == "none"].median()
        for at in np.flatnonzero(own["kind"] == "spike"):
            assert moves[at] > 4 * usual
            assert own["high"][at] >= own["close"][at] >= own["low"][at]


def test_stale_bars_repeat_the_one_before(wrong):
    quiet = 0
    for own in by_asset(wrong).values():
        for at in np.flatnonzero(own["kind"] == "stale"):
            assert (own.loc[at, CELLS[:4]] == own.loc[at - 1, CELLS[:4]]).all()
            quiet += own["volume"][at] == 0
    assert 0 < quiet < (wrong["kind"] == "stale").sum()


def test_a_fat_finger_touches_one_cell(bars, wrong):
    for name, own in by_asset(wrong).items():
        true = by_asset(bars)[name]
        for at in np.flatnonzero(own["kind"] == "fat_finger"):
            ratio = (own.loc[at, CELLS] / true.loc[at, CELLS]).astype(float)
            usual = ratio[CELLS[:4]].median()
            off = (ratio[CELLS[:4]] / usual).to_numpy()
            assert ((off < 0.6) | (off > 1.9)).sum() + (ratio["volume"] * usual > 900) == 1


def test_cells_may_be_empty_and_columns_absent(bars):
    few = bars.drop(columns=["volume", "open"]).copy()
    few.loc[::7, "high"] = np.nan
    found = plant_errors(few, rate=0.01)
    assert set(found["kind"]) == {"none", *KINDS}
    assert found["high"].isna().sum() >= few["high"].isna().sum() - 60


def test_what_cannot_be_planted(bars):
    with pytest.raises(UsageError, match=r"rate=0\.5; allowed: 0 to 0\.02"):
        plant_errors(bars, rate=0.5)
    with pytest.raises(DataError, match="no asset has more than 70 bars"):
        plant_errors(stock_panel(n_assets=3, days=60))
    with pytest.raises(DataError, match="not in order"):
        plant_errors(bars.iloc[::-1])


def test_planting_in_a_dataset():
    frame = planted(dataset="synthetic_stocks_small", start="2018-03-01", rate=0.01)
    assert frame["date"].min() == pd.Timestamp("2018-03-01")
    shipped = load_frame("synthetic_planted_stocks_small")
    assert len(shipped) == 20 * 250
    assert set(shipped["kind"]) == {"none", *KINDS}
