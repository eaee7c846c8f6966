"""The synthetic book of loans: what it promises of its columns, its drift and its risk."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fintech_dl.data.credit_book import NO_FILE, credit_book
from fintech_dl.data.frames import load_frame, read_dataset
from fintech_dl.errors import UsageError
from fintech_dl.evaluation.baselines import score_rows, with_preprocessing

ASIDE = ["application_id", "applied_on", "ead", "loss", "defaulted", "pd", "sex", "age_group"]


@pytest.fixture(scope="module")
def book():
    return credit_book(seed=3, reveal_pd=True)


def first_and_last(book):
    return book[book["applied_on"] < "2021-07-01"], book[book["applied_on"] >= "2022-07-01"]


def shift(before, after):
    """Return the population stability index of two samples of a column."""
    if before.dtype.kind not in "iuf":
        groups = before.unique()
        p, q = (np.array([(part == group).mean() for group in groups]) for part in (before, after))
    else:
        edges = np.unique(np.nanquantile(before, np.linspace(0, 1, 11)[1:-1]))
        p, q = (
            np.bincount(np.searchsorted(edges, part.dropna()), minlength=len(edges) + 1)
            / part.notna().sum()
            for part in (before, after)
        )
    return float(((p - q) * np.log((p + 1e-6) / (q + 1e-6))).sum())


def test_the_same_seed_gives_the_same_book(book):
    pd.testing.assert_frame_equal(book, credit_book(seed=3, reveal_pd=True))
    assert not book.equals(credit_book(seed=4, reveal_pd=True))
    pd.testing.assert_frame_equal(book.drop(columns="pd"), credit_book(seed=3))


def test_columns_keep_their_laws(book):
    assert len(book) == 20_000
    assert book["application_id"].tolist() == list(range(20_000))
    assert book["applied_on"].is_monotonic_increasing
    days = book["applied_on"].iloc[[0, -1]].dt.strftime("%Y-%m-%d").tolist()
    assert days == ["2021-01-01", "2022-12-31"]
    assert book["income"].dropna().between(2_000, 1_000_000).all()
    assert book["employment_years"].dropna().between(0, 40).all()
    assert book["amount"].between(1_000, 50_000).all()
    assert set(book["term_months"]) == {12, 24, 36, 48, 60}
    assert book["interest_rate"].between(2.5, 24).all()
    no_file = book["delinquencies"] == NO_FILE
    assert (book["utilisation"].isna() == no_file).all()
    assert book["delinquencies"][~no_file].between(0, 12).all()
    assert (book["loss"] < book["ead"]).all()
    assert (book["ead"] < book["amount"]).all()
    assert 0.04 < no_file.mean() < 0.25
    assert 0.03 < book["income"].isna().mean() < 0.2


def test_the_rate_of_default_is_that_of_retail_loans(book):
    before, after = first_and_last(book)
    assert 0.03 < before["defaulted"].mean() < 0.08
    assert before["defaulted"].mean() == pytest.approx(before["pd"].mean(), abs=0.01)
    assert 1.3 < after["defaulted"].mean() / before["defaulted"].mean() < 3


def test_small_books_cover_their_months_too():
    few = credit_book(rows=2, months=3, start="2023-01-15")
    assert few["applied_on"].tolist() == [pd.Timestamp("2023-01-15"), pd.Timestamp("2023-04-14")]


def test_applicants_change_only_where_there_is_drift(book):
    still = credit_book(seed=3, drift=0, shock=0)
    moved = {"age_group", "purpose", "amount"}
    for column in [*moved, "region"]:
        [large, none] = (
            shift(*(part[column] for part in first_and_last(each))) for each in (book, still)
        )
        assert none < 0.01, column
        assert (large > 0.015) == (column in moved), (column, large)
    no_file = [(part["delinquencies"] == NO_FILE).mean() for part in first_and_last(book)]
    assert no_file[1] > 1.3 * no_file[0]
    rates = [part["defaulted"].mean() for part in first_and_last(still)]
    assert abs(rates[0] - rates[1]) < 0.015


def test_the_shock_hits_late_vintages_and_renters_most(book):
    calm = credit_book(seed=3, shock=0, reveal_pd=True)

    def odds(frame):
        return np.log(frame["pd"] / (1 - frame["pd"]))

    added = (odds(book) - odds(calm)).to_numpy()
    late = (book["applied_on"] >= "2022-07-03").to_numpy()
    rent = (book["home"] == "rent").to_numpy()
    np.testing.assert_allclose(added[late & rent], 0.7)
    np.testing.assert_allclose(added[late & ~rent], 0.35)
    early = (book["applied_on"] < "2022-07-01").to_numpy()
    np.testing.assert_allclose(added[early], 0, atol=1e-12)


def test_income_is_missing_where_risk_is(book):
    asked = book[book["applied_on"] < "2022-07-01"]
    missing = asked["income"].isna()
    assert asked["pd"][missing].mean() > 1.2 * asked["pd"][~missing].mean()


def test_risk_is_monotone_where_it_should_be(book):
    for column, sign in (("income", -1), ("utilisation", 1), ("enquiries", 1)):
        known = book[column].notna()
        fifth = pd.qcut(book[column][known], 5, duplicates="drop")
        means = book["pd"][known].groupby(fifth, observed=True).mean()
        assert (sign * means.diff().dropna() > 0).all(), column


def test_there_is_more_to_know_than_straight_lines(book):
    train = (book["applied_on"] < "2021-10-01").to_numpy()
    test = (book["applied_on"] >= "2022-10-01").to_numpy()
    X, y = book.drop(columns=ASIDE), book["defaulted"]
    line = with_preprocessing(LogisticRegression(max_iter=1000)).fit(X[train], y[train])
    straight = roc_auc_score(y[test], score_rows(line, X[test]))
    best = roc_auc_score(y[test], book["pd"][test])
    assert 0.7 < straight < best - 0.03
    assert best < 0.9


def test_the_price_tells_no_more_than_a_scorecard(book):
    assert roc_auc_score(book["defaulted"], book["interest_rate"]) < 0.75


@pytest.mark.parametrize("name", ["synthetic_credit_book", "synthetic_credit_book_small"])
def test_shipped_books_keep_their_contract(name):
    reading = read_dataset(name)
    assert reading.facts["rows_quarantined"] == 0
    assert reading.facts["ignored_columns"] == []


def test_the_small_book_is_small_and_has_a_year_to_mature():
    small = load_frame("synthetic_credit_book_small")
    assert len(small) == 4_000
    late = small["applied_on"] >= "2022-10-01"
    assert small["defaulted"][late].sum() >= 30


@pytest.mark.parametrize("changes", [{"rows": 1}, {"months": 0}])
def test_parameters_out_of_range(changes):
    with pytest.raises(UsageError, match="allowed: 2 rows or more, 1 month or more"):
        credit_book(**changes)
