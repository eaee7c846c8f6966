"""The synthetic ledger: each planted kind is what its description says, and nothing else is."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl import load_frame
from fintech_dl.data.ledger import KINDS, ledger
from fintech_dl.errors import UsageError

PAIR = ["account", "contra_account"]


@pytest.fixture(scope="module")
def book():
    return ledger(days=150, lines_per_day=120, rate=0.03, seed=3)


def lines_of(book, kind):
    return book[book["kind"] == kind]


def usual(book):
    return lines_of(book, "none")


def test_the_seed_decides_everything(book):
    pd.testing.assert_frame_equal(book, ledger(days=150, lines_per_day=120, rate=0.03, seed=3))
    assert len(ledger(days=40, seed=1)) != len(ledger(days=40, seed=2))


def test_lines_stand_in_time_order_within_the_days(book):
    assert book["line_id"].tolist() == list(range(len(book)))
    assert book["time"].is_monotonic_increasing
    assert book["time"].iloc[0] >= pd.Timestamp("2024-01-01")
    assert book["time"].iloc[-1] < pd.Timestamp("2024-01-01") + pd.Timedelta(days=150)
    cents = book["amount"] * 100
    assert np.allclose(cents, cents.round())
    assert (book["amount"] > 0).all()


def test_every_kind_is_planted_as_often_and_after_the_beginning(book):
    counts = book["kind"].value_counts()
    assert set(counts.index) == {"none", *KINDS}
    one = counts["wrong_amount"]
    assert one == pytest.approx(0.03 * len(book) / 6, rel=0.08)
    assert (counts[["odd_accounts", "odd_hour", "new_counterparty"]] == one).all()
    assert 2 * one <= counts["split"] <= 4 * one
    assert 0.8 * one < counts["duplicate"] <= one
    assert (book["is_planted"] == (book["kind"] != "none")).all()
    assert book.loc[book["is_planted"] == 1, "time"].min() >= pd.Timestamp("2024-01-16")
    assert ledger(days=40, rate=0)["is_planted"].sum() == 0


def test_wrong_amounts_are_off_by_a_factor(book):
    typical = usual(book).groupby("counterparty_id")["amount"].median()
    wrong = lines_of(book, "wrong_amount")
    off = np.log10(wrong["amount"] / wrong["counterparty_id"].map(typical)).abs()
    normal = usual(book)
    usually = np.log10(normal["amount"] / normal["counterparty_id"].map(typical)).abs()
    assert off.min() > 0.4
    assert usually.quantile(0.99) < 0.5


def test_duplicates_have_a_twin_some_days_before(book):
    for _, line in lines_of(book, "duplicate").iterrows():
        same = (book["counterparty_id"] == line["counterparty_id"]) & (
            book["amount"] == line["amount"]
        )
        days = (line["time"] - book.loc[same & (book["time"] < line["time"]), "time"]).dt.days
        assert days.between(0, 7).any()


def test_odd_accounts_are_in_use_but_not_together(book):
    pairs = set(usual(book)[PAIR].itertuples(index=False, name=None))
    odd = lines_of(book, "odd_accounts")
    assert not pairs & set(odd[PAIR].itertuples(index=False, name=None))
    for name in PAIR:
        assert set(odd[name]) <= set(usual(book)[name])


def test_odd_hours_are_of_newcomers_at_night(book):
    odd = lines_of(book, "odd_hour")
    assert (odd["time"].dt.hour < 5).all()
    assert (odd["user_id"] >= 12).all()
    assert odd["user_id"].value_counts().max() <= 2
    assert (odd["time"].dt.day_of_week == 6).any()
    assert (usual(book)["user_id"] < 12).all()
    assert (usual(book)["time"].dt.hour >= 7).all()


def test_splits_are_several_lines_just_below_the_limit(book):
    split = lines_of(book, "split")
    assert split["amount"].between(9_000, 9_999.99).all()
    assert (split["amount"] % 50 == 0).all()
    cases = split.groupby([split["counterparty_id"], split["time"].dt.date]).size()
    assert cases.min() >= 2
    low = ledger(days=40, limit=500.0, rate=0.1)
    assert lines_of(low, "split")["amount"].max() < 500


def test_new_counterparties_have_no_other_line(book):
    new = lines_of(book, "new_counterparty")
    others = book.drop(new.index)["counterparty_id"]
    assert not set(new["counterparty_id"]) & set(others)
    assert (new["amount"] % 100 == 0).all()


def test_months_end_with_more_lines_and_weekends_rest(book):
    time = usual(book)["time"]
    assert (time.dt.day_of_week == 6).sum() == 0
    assert 0 < (time.dt.day_of_week == 5).mean() < 0.02


@pytest.mark.parametrize(
    "changes",
    [
        {"days": 29},
        {"counterparties": 4},
        {"users": 3},
        {"lines_per_day": 0.5},
        {"rate": 0.3},
        {"rate": -0.1},
    ],
)
def test_parameters_out_of_range(changes):
    name, value = next(iter(changes.items()))
    with pytest.raises(UsageError, match=f"{name}={value}"):
        ledger(**changes)
    with pytest.raises(UsageError, match="limit=0"):
        ledger(limit=0)


def test_the_shipped_ledgers_keep_their_contract():
    small = load_frame("synthetic_ledger_small")
    assert 8_000 < len(small) < 14_000
    assert set(small["kind"]) == {"none", *KINDS}
