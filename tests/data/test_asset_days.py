"""Datasets with a row per day and asset: their contract, wide files, the shipped cards."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl import load_frame
from fintech_dl.bars import bar_faults, check_days
from fintech_dl.cards import Column, Contract, DatasetCard, Melt, Source, dataset_card, names
from fintech_dl.cards.datasets import check_dataset
from fintech_dl.data.contract import check_rows
from fintech_dl.data.describing import export
from fintech_dl.data.frames import read_dataset, read_file
from fintech_dl.data.shaping import shape
from fintech_dl.errors import CardError, DataError

PRICES = {
    "date": Column(type="datetime", timezone="America/New_York"),
    "asset": Column(type="text", source="ticker"),
    "open": Column(type="number", min=0, nullable=True, empty=[0]),
    "high": Column(type="number", min=0),
    "low": Column(type="number", min=0),
    "close": Column(type="number", min=0, source="Last"),
    "volume": Column(type="number", min=0),
}


def card(columns=None, source=None, **contract):
    rules = {"time": "date", "asset": "asset", "max_quarantined": 0.2, **contract}
    made = DatasetCard(
        title="Prices",
        licence="own",
        source=source or Source(kind="file", path="prices.csv"),
        columns=columns or PRICES,
        contract=Contract(**rules),
        name="prices",
    )
    check_dataset(made, "prices.toml")
    return made


def frame(n=20, **changes):
    close = np.repeat(100.0 + np.arange(n), 2)
    dates = np.repeat(pd.bdate_range("2024-01-01", periods=n).to_numpy(), 2)
    columns = {"date": dates, "ticker": ["B", "C"] * n, "open": close, "high": close + 1}
    made = pd.DataFrame({**columns, "low": close - 1, "Last": close, "volume": 1000.0})
    for name, cells in changes.items():
        for row, value in cells.items():
            made.loc[row, name] = value
    return made


def test_sound_bars_pass():
    checked = check_rows(frame(), card(), as_of="2024-01-27")
    assert checked.reasons == {}
    assert checked.clean["asset"].tolist()[:2] == ["B", "C"]
    assert checked.clean["close"].tolist() == frame()["Last"].tolist()


@pytest.mark.parametrize(
    ("changes", "reasons", "example"),
    [
        ({"high": {7: 90.0}}, {"high_below_low:high": 1, "outside_range:open": 1,
                               "outside_range:close": 1}, "row 8: high is '90.0'"),
        ({"Last": {7: np.nan}}, {"missing:close": 1}, "row 8: Last is empty"),
        ({"Last": {7: 0.0}}, {"not_above_0:close": 1}, "row 8: Last is '0.0'"),
        ({"Last": {7: -1.0}}, {"below_min:close": 1, "not_above_0:close": 1}, "'-1.0'"),
        ({"volume": {7: np.inf}}, {"infinite:volume": 1}, "row 8: volume is 'inf'"),
        ({"open": {7: 0.0}}, {}, None),
        ({"open": {7: np.nan}}, {}, None),
    ],
)  # fmt: skip
def test_bars_that_are_wrong_are_set_aside(changes, reasons, example):
    checked = check_rows(frame(**changes), card())
    assert checked.reasons == reasons
    assert len(checked.clean) == 40 - bool(reasons)
    assert example is None or any(example in told for told in checked.examples.values())


def test_a_number_that_means_an_empty_cell_is_one():
    checked = check_rows(frame(open={7: 0.0, 8: 104.0}), card())
    assert np.isnan(checked.clean["open"].iloc[7])
    assert checked.clean["open"].iloc[8] == 104


def test_a_split_that_was_not_worked_in_is_set_aside():
    raw = frame()
    rows = raw.index[raw["ticker"] == "C"][10:]
    raw.loc[rows, ["open", "high", "low", "Last"]] /= 2
    raw.loc[rows, "volume"] *= 2
    checked = check_rows(raw, card())
    assert checked.reasons == {"split_jump:close": 1}
    assert checked.quarantined["source_row"].tolist() == [rows[0] + 1]


@pytest.mark.parametrize(
    ("as_of", "reasons"),
    [
        ("2024-01-27", {}),
        ("2024-01-26 16:30", {"unfinished_day:date": 2}),
        ("2024-01-26", {"unfinished_day:date": 2}),
        ("2024-01-25 12:00", {"unfinished_day:date": 2, "future_time:date": 2}),
        (pd.Timestamp("2024-01-27 01:00", tz="UTC"), {"unfinished_day:date": 2}),  # 20:00 there
    ],
)
def test_a_day_that_is_not_over_is_set_aside(as_of, reasons):
    assert check_rows(frame(), card(), as_of=as_of).reasons == reasons


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: pd.concat([f, f.tail(1)]), "two rows of 'C' on 2024-01-26"),
        (lambda f: f.iloc[::-1], "not in order of date, then asset.*sorted = false"),
        (lambda f: f.head(2), "all rows are of one day"),
        (lambda f: f.assign(date=f["date"] + pd.Timedelta("16h")), "expected days without hours"),
        (lambda f: f.drop(columns="Last"), "missing column 'Last'"),
        (lambda f: f.assign(high="x"), "expected number"),
    ],
)
def test_files_that_are_wrong_are_errors(change, told):
    with pytest.raises(DataError, match=f"(?s){told}"):
        check_rows(change(frame()), card())


def test_twice_is_wrong_even_beside_a_broken_row_and_when_sorting():
    raw = pd.concat([frame(), frame(Last={39: np.nan}).tail(1)])
    with pytest.raises(DataError, match="two rows of 'C'"):
        check_rows(raw, card(sorted=False))


def test_rows_are_sorted_by_day_then_asset_where_the_card_says_so():
    raw = frame().sort_values("ticker", kind="stable", ascending=False)
    checked = check_rows(raw, card(sorted=False))
    check_days(checked.clean["date"].to_numpy(), checked.clean["asset"].to_numpy(), "clean")
    pd.testing.assert_frame_equal(checked.clean, check_rows(frame(), card()).clean)


def test_one_day_can_be_scored():
    assert len(check_rows(frame().tail(2), card(), scoring=True).clean) == 2


def test_days_of_a_zone_are_the_exchange_s():
    zoned = frame()
    zoned["date"] = zoned["date"].dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    pd.testing.assert_frame_equal(
        check_rows(zoned, card()).clean, check_rows(frame(), card()).clean
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"time": ""}, "contract.asset: needs contract.time"),
        ({"asset": "volume"}, "'volume' is no text or category"),
        ({"asset": "assets"}, "no column 'assets' is declared; did you mean 'asset'"),
    ],
)
def test_a_card_whose_assets_make_no_sense(changes, told):
    with pytest.raises(CardError, match=told):
        card(**changes)


RATES = {
    "date": Column(type="datetime"),
    "asset": Column(type="text"),
    "rv": Column(type="number", min=0),
}


def wide():
    days = ["2024-01-02", "2024-01-03", "2024-01-04"]
    return pd.DataFrame({"date": days, "Z": [0.01, 0.0, 0.02], "A": [0.03, np.nan, 0.01]})


def melting(**keys):
    return card(RATES, Source(kind="file", path="x.csv", melt=Melt(value="rv", **keys)))


def test_a_wide_file_becomes_long():
    long = shape(wide(), melting(), "x.csv")
    assert long["asset"].tolist() == ["A", "Z", "Z", "A", "Z"]  # an empty cell is no row
    assert long["rv"].tolist() == [0.03, 0.01, 0.0, 0.01, 0.02]
    assert long["date"].tolist() == [wide()["date"][i] for i in (0, 0, 1, 2, 2)]


def test_roots_become_variances_with_a_floor():
    long = shape(wide(), melting(power=2, scale=10_000, floor=1e-4), "x.csv")
    assert long["rv"].tolist() == pytest.approx([9, 1, 1e-4, 1, 4])


def test_rows_without_dates_get_business_days_in_their_order():
    long = shape(wide().drop(columns="date"), melting(first_day="2024-01-05"), "x.csv")
    days = ["01-05", "01-05", "01-08", "01-09", "01-09"]
    assert long["date"].dt.strftime("%m-%d").tolist() == days
    with pytest.raises(DataError, match="missing column 'date' of dates"):
        shape(wide().drop(columns="date"), melting(), "x.csv")
    with pytest.raises(DataError, match="expected numbers in every column but 'date'"):
        shape(wide().assign(note="x"), melting(), "x.csv")


def test_what_was_exported_is_read_as_it_is(tmp_path):
    wide().to_csv(tmp_path / "x.csv", index=False)
    (tmp_path / "rates.toml").write_text(
        'title = "R"\nlicence = "own"\ncontract = { time = "date", asset = "asset" }\n'
        '[source]\nkind = "file"\npath = "x.csv"\nconstants = { unit = "%" }\n'
        'melt = { value = "rv", power = 2, scale = 10000 }\n'
        '[columns]\ndate = { type = "datetime" }\nasset = { type = "text" }\n'
        'rv = { type = "number" }\nunit = { type = "text" }\n'
    )
    rates = dataset_card(tmp_path / "rates.toml")
    reading = export(rates, tmp_path / "long.csv")
    assert reading.frame["rv"].tolist() == pytest.approx([9, 1, 0, 1, 4])
    assert set(reading.frame["unit"]) == {"%"}
    again = read_file(tmp_path / "long.csv", rates).frame
    pd.testing.assert_frame_equal(again, reading.frame)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ({"melt": Melt(value="vr")}, "source.melt: no column 'vr' is declared; did you mean 'rv'"),
        ({"melt": Melt(value="rv", first_day="x")}, "first_day: 'x' is no date"),
    ],
)
def test_a_melt_that_makes_no_sense(text, told):
    with pytest.raises(CardError, match=told):
        card(RATES, Source(kind="file", path="x.csv", **text))
    with pytest.raises(CardError, match="name the column of assets"):
        card(RATES, Source(kind="file", path="x.csv", melt=Melt(value="rv")), asset="")
    with pytest.raises(CardError, match="empty is for numbers"):
        card({**RATES, "rv": Column(type="number", empty=[0])})


REAL = {  # rows used, assets, days, quarantined
    "sp500_stocks_5yr": (619_012, 505, 1_259, 28),
    "index_daily": (38_333, 3, 24_789, 47),
    "sp500_rv_vix": (11_938, 1, 11_938, 0),
    "oxford_man_sqrt_rv_24": (82_104, 24, 3_421, 0),
    "oxford_man_rv_30idx": (52_433, 30, 1_826, 4),
    "exchange_rate": (60_704, 8, 7_588, 0),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.needs_data(f"{n}.parquet")) for n in REAL]
)
def test_the_real_files_keep_their_cards(name):
    reading = read_dataset(name)
    used, assets, days, quarantined = REAL[name]
    found = reading.frame
    assert (len(found), found["asset"].nunique()) == (used, assets)
    assert found["date"].nunique() == days
    assert len(reading.quarantined) == quarantined
    check_days(found["date"].to_numpy(), found["asset"].to_numpy(), name)
    assert not reading.facts["ignored_columns"] or name == "index_daily"
    if "close" in found:
        assert bar_faults(found, nullable=["open", "volume"]).keys() <= {"split_jump:close"}


@pytest.mark.needs_data("oxford_man_sqrt_rv_24.parquet")
def test_no_realised_variance_is_zero():
    assert load_frame("oxford_man_sqrt_rv_24")["rv"].min() == 1e-4


def test_every_card_of_days_and_assets_says_until_when():
    for name in names("datasets"):
        rules = dataset_card(name).contract
        assert not rules.asset or rules.as_of, name
