"""Bars set aside by a contract leave a hole that no window and no return may bridge."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fintech_dl.cards import Column, Contract, DatasetCard, Melt, Source
from fintech_dl.data.frames import read_rows
from fintech_dl.data.gaps import put_back
from fintech_dl.features.volatility import har


def bars(assets=("A", "B"), days=60):
    rng = np.random.default_rng(0)
    close = 50 * np.exp(0.01 * rng.normal(size=(days, len(assets))).cumsum(axis=0))
    date = np.repeat(pd.bdate_range("2024-01-01", periods=days).as_unit("us"), len(assets))
    frame = pd.DataFrame({"date": date, "asset": np.tile(assets, days), "close": close.ravel()})
    return frame.assign(rv=1.0 + rng.random(len(frame)), volume=100.0)


def card(**more):
    numbers = {name: Column(type="number", min=0) for name in ("close", "rv", "volume")}
    keys = {"date": Column(type="datetime"), "asset": Column(type="text")}
    return DatasetCard(
        title="Bars",
        licence="own",
        source=Source(kind="file", path="bars.csv"),
        columns={**keys, **numbers},
        contract=Contract(time="date", asset="asset", max_quarantined=0.5, **more),
    )


@pytest.mark.parametrize("assets", [("A",), ("A", "B")])
def test_a_bar_set_aside_is_put_back_empty(assets):
    frame = bars(assets)
    at = 30 * len(assets)
    frame.loc[at, "rv"] = -1.0
    reading = read_rows(frame, card(), as_of="2025-01-01")
    assert reading.quarantined["reason"].tolist() == ["below_min:rv"]
    whole = reading.whole()
    assert len(whole) == len(frame)
    assert whole.loc[at, ["date", "asset"]].tolist() == frame.loc[at, ["date", "asset"]].tolist()
    assert whole.loc[at, ["close", "rv"]].isna().all()
    kept = whole.drop(index=at)
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), reading.frame)
    assert whole.dtypes.equals(reading.frame.dtypes)
    assert reading.rows.tolist() == [row for row in range(1, len(frame) + 1) if row != at + 1]


def test_no_window_and_no_label_bridges_it():
    frame = bars(("A",))
    frame.loc[30, "rv"] = -1.0
    reading = read_rows(frame, card(), as_of="2025-01-01")
    bridged, whole = (
        har(f, variance="rv", lags=[1, 5], market=False, labelled=True)
        for f in (reading.frame, reading.whole())
    )
    day = frame["date"].tolist()
    assert {day[31], day[34]} <= set(bridged.when)  # the day before is taken for a neighbour
    assert not {*day[29:35]} & set(whole.when)  # its own label, the bar, four windows
    assert {day[28], day[35]} <= set(whole.when)
    assert whole.X.attrs["left_out"]["touches_faulty"] == 4


def test_days_to_come_are_no_gaps():
    frame = bars(("A",))
    frame.loc[10, "close"] = np.nan
    reading = read_rows(frame, card(), as_of=str(frame["date"].iloc[-2].date()))
    reasons = set(reading.quarantined["reason"])
    assert reasons == {"missing:close", "unfinished_day:date", "future_time:date"}
    assert reading.gaps["date"].tolist() == [frame["date"].iloc[10]]


def test_without_gaps_the_frame_is_the_same_object():
    frame = bars()
    for gaps in (None, frame[["date", "asset"]].iloc[:0]):
        whole, origin = put_back(frame, gaps)
        assert whole is frame
        assert origin.tolist() == list(range(len(frame)))


def test_a_gap_that_is_there_already_is_not_put_back():
    frame = bars()
    whole, origin = put_back(frame, frame[["date", "asset"]].iloc[[3]])
    assert len(whole) == len(frame)
    assert (origin >= 0).all()


def test_rows_that_are_long_already_need_no_melting():
    wide = card()
    source = Source(kind="file", path="rates.csv", melt=Melt(value="close"))
    columns = {name: wide.columns[name] for name in ("date", "asset", "close")}
    melting = replace(wide, source=source, columns=columns)
    long = bars()[["date", "asset", "close"]]
    one = read_rows(long, melting, as_of="2025-01-01").frame
    two = read_rows(
        long.pivot(index="date", columns="asset", values="close").reset_index(),
        melting,
        as_of="2025-01-01",
    ).frame
    pd.testing.assert_frame_equal(one, two)
