import numpy as np
import pandas as pd
import pytest

from fintech_dl import load_frame
from fintech_dl.cards import pipeline_card
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.splits import folds
from fintech_dl.features.credit import borrowers, card_statements
from fintech_dl.pipelines import make_table

FRAME = pd.DataFrame(
    {
        "limit": [100, 0, 200],
        "b1": [50, 10, -20],
        "b2": [100, 10, 40],
        "b3": [30, 0, 0],
        "p1": [25, 5, 90],
        "p2": [60, 5, 5],
        "p3": [0, 0, 0],
        "s1": [2, -1, 0],
        "s2": [0, -2, 1],
        "s3": [1, -2, 3],
        "sex": ["f", "m", "f"],
        "defaulted": [1, 0, 1],
    },
    index=[5, 6, 7],
)
COLUMNS = {"limit": "limit", "bills": ["b1", "b2", "b3"], "payments": ["p1", "p2", "p3"]}
COLUMNS |= {"status": ["s1", "s2", "s3"]}


def test_ratios_by_hand():
    X = card_statements(FRAME, target="defaulted", **COLUMNS, drop=["s3"], protected=["sex"]).X
    assert list(X)[:9] == ["limit", *COLUMNS["bills"], *COLUMNS["payments"], "s1", "s2"]
    nan = np.nan
    expected = {
        "utilisation_1": [0.5, nan, -0.1],
        "utilisation_2": [1.0, nan, 0.2],
        "utilisation_3": [0.3, nan, 0.0],
        "paid_share_1": [0.25, 0.5, 2.0],  # 90 paid of 40 owed: twice as much counts
        "paid_share_2": [2.0, nan, nan],  # nothing was owed in the month before
        "utilisation_change": [0.5 - 0.65, nan, -0.1 - 0.1],
        "months_late": [2, 0, 2],
        "worst_status": [2, -1, 3],
    }
    assert list(X)[9:] == [*expected, "standing"]
    assert X["standing"].tolist() == ["2, 30 to 60 % used", "-1, no limit", "0, up to 5 % used"]
    for name, values in expected.items():
        np.testing.assert_allclose(X[name], values, err_msg=name)
    assert X.index.tolist() == [5, 6, 7]


def test_roles_are_kept_apart():
    table = card_statements(FRAME, target="defaulted", **COLUMNS, protected=["sex"])
    assert table.y.tolist() == [1, 0, 1]
    assert list(table.aside) == ["sex"]
    assert not {"sex", "defaulted"} & set(table.X)


@pytest.mark.parametrize(
    "changes", [{"status": ["s1"]}, {"bills": ["b1"], "payments": ["p1"], "status": ["s1"]}]
)
def test_months_have_to_match(changes):
    with pytest.raises(UsageError, match="expected as many of each, 2 or more"):
        card_statements(FRAME, target="defaulted", **{**COLUMNS, **changes})


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="card statements: the column 'p2' is missing"):
        card_statements(FRAME.drop(columns="p2"), target="defaulted", **COLUMNS)


PERSONS = pd.DataFrame(
    {
        "income": [3000, np.nan, 1, 0],
        "ratio": [0.5, 800, 20, 7],
        "late_30": [1, 98, 96, 2],
        "late_90": [0, 98, 3, np.nan],
        "lines": [5, 4, 3, 2],
        "houses": [1, 4, 0, 0],
        "use": [0.5, 1.0, np.nan, 2.0],
        "defaulted": [0, 1, 1, 0],
    }
)
BUREAU = {"target": "defaulted", "income": "income", "debt_ratio": "ratio", "codes": [96, 98]}
BUREAU |= {"late": ["late_30", "late_90"], "lines": "lines", "secured_lines": "houses"}
BUREAU |= {"utilisation": "use"}


def test_debts_and_late_payments_by_hand():
    X = borrowers(PERSONS, **BUREAU).X
    expected = {
        "debt_payments": [1500, 800, 20, 7],
        "debt_to_income": [0.5, np.nan, np.nan, np.nan],
        "times_late": [1, np.nan, 3, 2],
        "other_lines": [4, 0, 3, 2],
        "used_lines": [2, 0, np.nan, 4],
    }
    assert list(X)[-5:] == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(X[name], values, err_msg=name)
    alone = {"lines": "", "secured_lines": "", "utilisation": ""}
    assert list(borrowers(PERSONS, **{**BUREAU, **alone}).X)[-1] == "times_late"


@pytest.mark.parametrize(
    "changes", [{"late": []}, {"lines": ""}, {"lines": "", "secured_lines": ""}]
)
def test_late_payments_and_both_kinds_of_lines_are_needed(changes):
    with pytest.raises(UsageError, match="one column of late payments or more, and both columns"):
        borrowers(PERSONS, **{**BUREAU, **changes})


def test_a_missing_count_is_named():
    with pytest.raises(DataError, match="borrowers: the column 'late_90' is missing"):
        borrowers(PERSONS.drop(columns="late_90"), **BUREAU)


@pytest.mark.parametrize(
    ("name", "protected"),
    [
        ("credit", {"sex", "age_group"}),
        ("credit-taiwan", {"sex", "age", "marriage"}),
        ("credit-gmsc", {"age"}),
        ("credit-german", {"personal_status", "age", "foreign_worker"}),
    ],
)
def test_shipped_cards_keep_protected_attributes_and_ids_out(name, protected):
    card = pipeline_card(name)
    small = pipeline_card(name, dataset=card.test.dataset)
    table = make_table(small.table, load_frame(small.dataset))
    assert protected == set(card.table["protected"]) <= set(table.aside)
    assert not [column for column in table.X if column in protected or column.endswith("_id")]


def months(table, rows):
    return sorted(table.when.iloc[rows].dt.month.unique().tolist())


def test_immature_vintages_stand_apart():
    card = pipeline_card("credit-lending-club", dataset="synthetic_lending_club")
    table = make_table(card.table, load_frame(card.dataset))
    [fold] = folds(table, card.split)
    assert months(table, fold.train) == [1, 2, 3, 4, 5]
    assert months(table, fold.test) == [6, 7, 8, 9]
    assert months(table, fold.apart) == [10, 11, 12]


@pytest.mark.parametrize("name", ["synthetic_credit_book", "synthetic_credit_book_small"])
def test_no_label_of_the_test_year_teaches(name):
    card = pipeline_card("credit", dataset=name)
    table = make_table(card.table, load_frame(name))
    [fold] = folds(table, card.split)
    assert table.until.iloc[fold.train].max() <= table.when.iloc[fold.test].min()
    assert fold.purged == 0
    assert len(fold.train) > 2.5 * len(fold.test)


def test_what_is_known_after_payout_is_no_feature():
    card = pipeline_card("credit-lending-club")
    frame = load_frame(card.test.dataset)
    late = {"last_pymnt_amnt", "total_rec_late_fee", "defaulted"}
    assert late < set(frame)
    assert not late & set(make_table(card.table, frame).X)
