import pandas as pd
import pytest

from fintech_dl.errors import DataError
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


def test_a_missing_time_is_named():
    with pytest.raises(DataError, match="'seconds' is missing"):
        as_they_are(FRAME.drop(columns="seconds"), target="is_fraud", when="seconds")
