import pandas as pd
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.features.rows import as_they_are

FRAME = pd.DataFrame(
    {
        "seconds": [0.0, 86_400.0],
        "amount": [5.0, 7.0],
        "piece": ["a", "b"],
        "weight": [1.0, 9.7],
        "is_fraud": [0, 1],
    }
)


def test_columns_stay_as_they_are_and_roles_are_taken_out():
    table = as_they_are(
        FRAME, target="is_fraud", when="seconds", weight="weight", drop=["piece"], aside=["amount"]
    )
    assert list(table.X) == ["amount"]
    assert table.when.tolist() == [pd.Timestamp("1970-01-01"), pd.Timestamp("1970-01-02")]
    assert table.y.tolist() == [0, 1]
    assert table.weight.tolist() == [1.0, 9.7]
    assert table.aside["amount"].tolist() == [5.0, 7.0]


def test_rows_to_score_lack_label_and_weight():
    new = FRAME.drop(columns=["is_fraud", "weight", "piece"])
    table = as_they_are(new, target="is_fraud", when="seconds", weight="weight", drop=["piece"])
    assert table.y is None
    assert table.weight is None
    assert list(table.X) == ["amount"]


def test_what_is_protected_is_kept_aside_and_never_a_feature():
    roles = {"target": "is_fraud", "when": "seconds", "weight": "weight"}
    table = as_they_are(FRAME, **roles, protected=["piece", "sex"], aside=["amount", "piece"])
    assert list(table.X) == ["amount"]
    assert list(table.aside) == ["amount", "piece"]


def test_labels_of_text_become_0_and_1():
    for column in (pd.Series(["bad", "good"]), pd.Series(["bad", "good"], dtype="category")):
        table = as_they_are(pd.DataFrame({"a": [1, 2], "y": column}), target="y", positive="bad")
        assert table.y.tolist() == [1, 0]
        assert table.y.dtype == "int8"
    unknown = pd.DataFrame({"a": [1, 2, 3], "y": ["bad", None, "good"]})
    y = as_they_are(unknown, target="y", positive="bad").y
    assert y.isna().tolist() == [False, True, False]
    assert y.dropna().tolist() == [1, 0]


def test_labels_are_known_after_the_delay():
    roles = {"target": "is_fraud", "when": "seconds"}
    table = as_they_are(FRAME, **roles, delay_days=365)
    assert (table.until - table.when).tolist() == [pd.Timedelta("365D")] * 2
    assert as_they_are(FRAME, **roles).until is None
    with pytest.raises(UsageError, match="delay_days = 365 with when = ''; it needs the column"):
        as_they_are(FRAME, target="is_fraud", delay_days=365)
    with pytest.raises(UsageError, match="delay_days = -1"):
        as_they_are(FRAME, **roles, delay_days=-1)


def test_a_missing_time_is_named():
    with pytest.raises(DataError, match="'seconds' is missing"):
        as_they_are(FRAME.drop(columns="seconds"), target="is_fraud", when="seconds")
