"""Stand-ins: rows that keep another card's contract, with a label to be learned."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fintech_dl.cards import dataset_card, names
from fintech_dl.data.frames import read_dataset
from fintech_dl.data.stand_in import stand_in
from fintech_dl.errors import CardError, UsageError
from fintech_dl.evaluation.baselines import score_rows, with_preprocessing

SHIPPED = [name for name in names("datasets") if dataset_card(name).source.use == "stand_in"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_stand_ins_have_the_columns_of_the_real_file(name):
    card = dataset_card(name)
    real = dataset_card(card.like)
    assert card.source.parameters["dataset"] == card.like
    assert (card.columns, card.contract) == (real.columns, real.contract)
    reading = read_dataset(name)
    assert reading.facts["rows_quarantined"] == 0
    assert reading.facts["ignored_columns"] == []
    assert set(reading.frame) == set(real.columns)


def test_the_label_can_be_learned_and_has_its_rate():
    frame = stand_in(dataset="german_credit", rows=2_000, rate=0.3, seed=5)
    assert (frame["class"] == "bad").mean() == pytest.approx(0.3, abs=0.001)
    X, y = frame.drop(columns="class"), (frame["class"] == "bad").astype(int)
    model = with_preprocessing(LogisticRegression(max_iter=1000)).fit(X[:1000], y[:1000])
    assert roc_auc_score(y[1000:], score_rows(model, X[1000:])) > 0.8
    with pytest.raises(AssertionError):
        pd.testing.assert_frame_equal(frame, stand_in(dataset="german_credit", rows=2_000, seed=6))


def test_cells_are_empty_only_where_they_may_be():
    frame = stand_in(dataset="give_me_some_credit", rows=3_000, missing=0.2)
    share = frame.isna().mean()
    assert share["MonthlyIncome"] == pytest.approx(0.2, abs=0.03)
    assert set(share[share > 0].index) == {"MonthlyIncome", "NumberOfDependents"}


def test_times_are_months_in_order():
    frame = stand_in(dataset="lending_club_2018", rows=500, start="2020-03-01", months=4)
    assert frame["issue_d"].is_monotonic_increasing
    months = frame["issue_d"].unique()
    assert [str(month)[:10] for month in months] == [f"2020-0{m}-01" for m in range(3, 7)]


def test_what_leaks_in_the_real_file_tells_nothing_here():
    frame = stand_in(dataset="lending_club_2018", rows=3_000)
    for column in ("last_pymnt_amnt", "total_rec_late_fee"):
        assert abs(roc_auc_score(frame["loan_status"], frame[column]) - 0.5) < 0.06


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"rows": 1}, UsageError, "rows=1"),
        ({"rate": 1.0}, UsageError, "rate=1.0"),
        ({"missing": 1.0}, UsageError, "missing=1.0"),
        ({"months": 0}, UsageError, "months=0"),
        ({"dataset": "german"}, CardError, "did you mean 'german_credit'"),
        ({"dataset": "ulb_creditcard_subset"}, UsageError, r"by a pattern, 'V\*'"),
    ],
)
def test_what_cannot_be_imitated(changes, error, told):
    with pytest.raises(error, match=told):
        stand_in(**{"dataset": "german_credit", **changes})


def test_a_label_needs_two_values(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'title = "Own"\nlicence = "own"\nsource = { kind = "file", path = "own.csv" }\n'
        '[columns]\namount = { type = "number" }\n'
    )
    with pytest.raises(UsageError, match=r"has the labels \[\]; expected one or more"):
        stand_in(dataset=str(path))


def test_the_same_seed_gives_the_same_rows():
    one, two = (stand_in(dataset="lending_club_2018", rows=200, seed=9) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    assert np.isfinite(one.select_dtypes("number").fillna(0)).all(axis=None)
