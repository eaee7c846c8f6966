"""Files of prices that are wrong, through the command line: a file's fault is an error that says
what to do; a row's fault is set aside, and so is every window and label that touches it."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

DAYS, ASSETS, WINDOW, HORIZON = 80, ("A", "B", "C"), 6, 2
DONE, USAGE, DATA = 0, 2, 4
RUN = ("run", "mine.toml", "--dataset", "own.toml", "--out", "out", "-q")
DATASET = """
title = "Own prices"
licence = "own"
contract = { time = "date", asset = "asset", max_quarantined = 0.1, sorted = %s }
[source]
kind = "file"
path = "own.csv"
[columns]
date = { type = "datetime" }
asset = { type = "text" }
open = { type = "number", min = 0 }
high = { type = "number", min = 0 }
low = { type = "number", min = 0 }
close = { type = "number", min = 0 }
volume = { type = "number", min = 0 }
"""
PIPELINE = """
title = "Own prices"
question = "Where will each price be in two days?"
dataset = "own.toml"
history = "300d"
metrics = ["mae"]
[forecast]
kind = "price"
[table]
use = "prices.panel"
features = ["alphas"]
windows = [5]
label = "price"
horizon = 2
[split]
kind = "holdout"
test_fraction = 0.3
[[step]]
name = "model"
use = "sklearn.linear_model.Ridge"
[[baseline]]
use = "sklearn.dummy.DummyRegressor"
title = "The last price"
strategy = "constant"
constant = 0.0
"""


def prices():
    """Return the bars of every day and asset; bar ``3 * day + 0`` is A's, ``+ 1`` B's."""
    rng, size = np.random.default_rng(0), DAYS * len(ASSETS)
    close = 50 * np.exp(0.01 * rng.normal(size=(DAYS, len(ASSETS))).cumsum(axis=0)).ravel()
    columns = {
        "date": np.repeat(pd.bdate_range("2024-01-02", periods=DAYS).to_numpy(), len(ASSETS)),
        "asset": np.tile(ASSETS, DAYS),
        "open": close * rng.uniform(0.995, 1.005, size),
        "high": close * 1.01,
        "low": close * 0.99,
        "close": close,
        "volume": rng.uniform(500, 1500, size),
    }
    return pd.DataFrame(columns)


def cell(name, row, value):
    frame = prices()
    frame.loc[row, name] = value
    return frame


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINTECH_DL_CARDS", str(tmp_path))
    monkeypatch.setattr("fintech_dl.evaluation.evidence.RESAMPLES", 50)

    def write(frame, in_order=True):
        frame.to_csv(tmp_path / "own.csv", index=False)
        (tmp_path / "own.toml").write_text(DATASET % str(in_order).lower())
        (tmp_path / "mine.toml").write_text(PIPELINE)
        return tmp_path

    return write


def recorded(command, *words):
    """Return what a run of the card read, used and left out."""
    done = command(*RUN, *words)
    assert done.code == DONE, done.err
    return json.loads(Path("out/metrics.json").read_text())["data"]


def twice(frame):
    return pd.concat([frame, frame.tail(1)])


FILES = {
    # name: rows of the file, further words, exit code, what the message says
    "rows out of order": (
        prices()[::-1], (), DATA,
        "own.csv: rows are not in order of date, then asset: row 2 .*sorted = false in .contract",
    ),
    "a bar twice": (twice(prices()), (), DATA, "two rows of 'C' on 2024-04-22 .*keep one of them"),
    "a calendar of one day": (prices()[:3], (), DATA, "all rows are of one day, 2024-01-02; .*mo"),
    "dates with hours": (
        prices().assign(date=lambda f: f["date"] + pd.Timedelta("16h")), (), DATA,
        "expected days without hours",
    ),
    "no price above zero": (
        prices().assign(close=0.0), (), DATA, r"all 240 rows break the contract.*not_above_0:close"
    ),
    "a column missing": (prices().drop(columns="close"), (), DATA, "missing column 'close'"),
    "a horizon longer than the data": (
        prices(), ("--set", "table.horizon=80"), DATA,
        "horizon=80: a label needs 80 bars after the signal, but the longest series has 80 bars; "
        "take a shorter horizon or more data",
    ),
    "a horizon longer than what windows leave": (
        prices(), ("--set", "table.horizon=76"), DATA,
        "of 240 bars 225 have a full window of 6 sound bars, but none of these a label: the data "
        "end before the horizon; take a shorter horizon or more data",
    ),
    "a horizon longer than the training": (
        prices(), ("--set", "table.horizon=60"), DATA,
        "no training rows .*labels unknown.*choose other lengths, dates or horizon",
    ),
    "a horizon of text": (
        prices(), ("--set", "table.horizon=far"), USAGE, r"mine: \[table\] horizon: .*'far'"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_fault_of_the_file_is_an_error(name, place, command):
    frame, words, exit_code, says = FILES[name]
    folder = place(frame)
    code, out, err = command(*RUN, *words)
    assert (code, out) == (exit_code, ""), err
    assert err.startswith("fintech-dl: ")
    assert re.search(says, err, re.DOTALL), err
    assert not re.search("Traceback|not foreseen|Warning", err)
    assert sorted(path.name for path in folder.iterdir()) == ["mine.toml", "own.csv", "own.toml"]


def test_rows_out_of_order_are_sorted_where_the_card_says_so(place, command):
    place(prices()[::-1], in_order=False)
    unsorted = recorded(command)
    predictions = pd.read_parquet("out/predictions.parquet")
    place(prices())
    assert recorded(command, "--out", "again")["rows_in_table"] == unsorted["rows_in_table"]
    pd.testing.assert_frame_equal(pd.read_parquet("again/predictions.parquet"), predictions)


ROWS = {
    "no price": (cell("close", 100, np.nan), {"missing:close": 1}),
    "a price of zero": (cell("close", 100, 0.0), {"not_above_0:close": 1}),
    "a negative price": (
        cell("close", 100, -5.0), {"below_min:close": 1, "not_above_0:close": 1}
    ),
    "an infinite price": (
        cell("close", 100, np.inf), {"infinite:close": 1, "outside_range:close": 1}
    ),
    "a high below the low": (
        cell("high", 100, 1.0),
        {"high_below_low:high": 1, "outside_range:open": 1, "outside_range:close": 1},
    ),
    "text for a price": (prices().astype({"close": object}).assign(
        close=lambda f: f["close"].where(f.index != 100, "n/k")), {"wrong_type:close": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_fault_of_a_row_is_set_aside(name, place, command):
    frame, reasons = ROWS[name]
    place(frame)
    code, out, err = command("data", "show", "own.toml", "--json")
    found = json.loads(out)
    assert (code, found["rows_used"], err) == (DONE, 239, "")
    assert found["quarantine_reasons"] == reasons
    assert "row 101: " in found["quarantine_examples"][next(iter(reasons))]


def left_out(series):
    """Return what must be left out of so many unbroken series, by reason."""
    return {"too_few_bars": (WINDOW - 1) * series, "unlabelled": HORIZON * series}


def test_windows_and_labels_that_touch_a_wrong_bar_are_left_out_and_counted(place, command):
    place(cell("high", 100, 1.0))
    data = recorded(command)
    assert (data["rows_read"], data["rows_used"]) == (240, 239)
    lost = {"faulty": 1, "touches_faulty": WINDOW - 1, "too_few_bars": 15, "unlabelled": 8}
    assert data["left_out"] == lost
    assert data["rows_in_table"] == 240 - sum(lost.values())
    aside = pd.read_csv("out/quarantine.csv")
    assert aside[["source_row", "asset"]].to_numpy().tolist() == [[101, "B"]]


def test_an_asset_that_ends_early_has_no_label_at_its_end(place, command):
    frame = prices()
    place(frame[(frame["asset"] != "A") | (frame.index < 180)])  # delisted after 60 days
    data = recorded(command)
    assert (data["rows_used"], data["quarantine_reasons"]) == (220, {})
    assert data["left_out"] == left_out(3)
    predictions = pd.read_parquet("out/predictions.parquet")
    days = frame["date"].unique()
    last = predictions.groupby("who")["when"].max()
    assert last.to_dict() == {"A": days[57], "B": days[77], "C": days[77]}


def test_no_window_or_label_bridges_a_change_of_name(place, command):
    frame = prices()
    frame.loc[(frame["asset"] == "A") & (frame.index >= 180), "asset"] = "A2"
    place(frame.sort_values(["date", "asset"]))
    assert recorded(command)["left_out"] == left_out(4)
    predictions = pd.read_parquet("out/predictions.parquet")
    days = frame["date"].unique()
    assert predictions.loc[predictions["who"] == "A", "when"].max() == days[57]
    assert predictions.loc[predictions["who"] == "A2", "when"].min() == days[65]


def test_no_window_or_label_bridges_days_that_are_missing(place, command):
    frame = prices()
    place(frame.drop(index=[120, 123]))  # two days of A
    data = recorded(command)
    assert data["rows_used"] == 238
    lost = {"touches_gap": WINDOW - 1, "too_few_bars": 15, "unlabelled": 8}
    assert data["left_out"] == lost
