"""Long bars: which files are none, and which bars are wrong."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.bars import bar_faults, check_bars
from fintech_dl.errors import DataError


def bars(n=30, assets=("A", "B"), **changes):
    dates = pd.bdate_range("2024-01-01", periods=n).as_unit("us")
    close = np.repeat(100.0 + np.arange(n), len(assets))
    frame = pd.DataFrame({"date": np.repeat(dates, len(assets)), "asset": list(assets) * n})
    frame = frame.assign(open=close, high=close + 1, low=close - 1, close=close, volume=1000.0)
    for name, cells in changes.items():
        for row, value in cells.items():
            frame.loc[row, name] = value
    return frame


def found(frame, **options):
    return {code: np.flatnonzero(m).tolist() for code, m in bar_faults(frame, **options).items()}


def test_sound_bars():
    check_bars(bars())
    assert found(bars()) == {}
    assert found(bars().head(0)) == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f.drop(columns="close"), "missing column 'close'"),
        (lambda f: f.assign(date=f["date"].dt.tz_localize("UTC")), "with a time zone"),
        (lambda f: f.assign(date=f["date"].astype(str)), "got no dates"),
        (lambda f: f.assign(open="x"), "'open': expected numbers"),
        (lambda f: f.assign(date=f["date"] + pd.Timedelta("16h")), "row 1 is of 2024-01-01 16:00"),
        (lambda f: pd.concat([f, f.tail(1)]), r"two rows of 'B' on 2024-02-09 \(rows 60 and 61\)"),
        (lambda f: f.iloc[::-1], "not in order of date, then asset: row 2"),
        (lambda f: f.sort_values("asset", kind="stable"), "not in order"),
        (lambda f: f.head(2), "all rows are of one day, 2024-01-01"),
        (lambda f: f.assign(asset=f["asset"].where(f.index != 3)), "'asset' is empty in row 4"),
    ],
)
def test_files_that_are_no_bars(change, told):
    with pytest.raises(DataError, match=f"mine: .*{told}"):
        check_bars(change(bars()), "mine")


def test_one_day_will_do_for_scoring():
    check_bars(bars().head(2), few=True)


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"close": {9: np.nan}}, {"missing:close": [9]}),
        ({"volume": {9: -1}}, {"below_0:volume": [9]}),
        ({"volume": {9: np.inf}}, {"infinite:volume": [9]}),
        ({"low": {9: 0.0}}, {"not_above_0:low": [9]}),
        ({"open": {9: -2.0}}, {"not_above_0:open": [9]}),
        ({"open": {9: 106.0}}, {"outside_range:open": [9]}),
        ({"close": {9: 102.0}}, {"outside_range:close": [9]}),
        ({"high": {9: 102.9}, "low": {9: 103.1}, "close": {9: 103}, "open": {9: 103}},
         {"high_below_low:high": [9]}),
    ],
)  # fmt: skip
def test_bars_that_contradict_themselves(changes, codes):
    assert {code: rows for code, rows in found(bars(**changes)).items() if code in codes} == codes


def test_rounding_is_no_contradiction():
    assert found(bars(open={9: 105.05})) == {}
    assert found(bars(open={9: 105.2})) == {"outside_range:open": [9]}


def test_columns_may_be_empty_where_that_is_allowed():
    frame = bars(open={9: np.nan}, volume={4: np.nan})
    assert found(frame) == {"missing:open": [9], "missing:volume": [4]}
    assert found(frame, nullable=["open", "volume"]) == {}


def split(frame, asset="A", at=10, ratio=4.0, volume=4.0):
    """Divide an asset's prices from a bar on, as a split that was not worked in."""
    rows = frame.index[frame["asset"] == asset][at:]
    frame.loc[rows, ["open", "high", "low", "close"]] /= ratio
    frame.loc[rows, "volume"] *= volume
    return rows[0]


@pytest.mark.parametrize(("ratio", "volume"), [(4.0, 4.0), (2.0, 2.0), (0.1, 0.1)])
def test_a_split_that_was_not_worked_in(ratio, volume):
    frame = bars()
    row = split(frame, ratio=ratio, volume=volume)
    assert found(frame) == {"split_jump:close": [row]}
    mixed_up = frame.sample(frac=1, random_state=0)  # the order of rows is no matter
    assert mixed_up.index[bar_faults(mixed_up)["split_jump:close"]].tolist() == [row]


def test_a_jump_without_a_change_of_volume_is_none():
    frame = bars()
    split(frame, volume=1.0)
    assert found(frame) == {}
    assert found(frame.drop(columns="volume")) == {}


def test_assets_are_not_compared_with_each_other():
    frame = bars()
    frame.loc[frame["asset"] == "B", ["open", "high", "low", "close", "volume"]] *= 50
    assert found(frame) == {}


def test_a_factor_that_explains_the_split():
    frame = bars()
    row = split(frame)
    before = (frame["asset"] == "A") & (frame.index < row)
    frame["adj_factor"] = np.where(before, 0.25, 1.0)
    assert found(frame) == {}


def test_adjusted_and_raw_bars_mixed():
    frame = bars().assign(adj_factor=1.0)
    frame.loc[20, "adj_factor"] = 0.5  # one adjusted bar among raw ones
    assert found(frame) == {"mixed_adjustment:adj_factor": [20, 22]}
