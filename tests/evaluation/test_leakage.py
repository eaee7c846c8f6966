import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fintech_dl.evaluation.leakage import leakage
from fintech_dl.evaluation.splits import Fold
from fintech_dl.table import Table


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    y = pd.Series(rng.integers(0, 2, 400))
    X = pd.DataFrame(
        {
            "noise": rng.normal(size=400),
            "reversed": -y + rng.normal(size=400),
            "status": np.where(y == 1, "charged off", "paid"),
        }
    )
    X.loc[:50, "noise"] = np.nan
    when = pd.Series(pd.date_range("2024-01-01", periods=400, freq="D"))
    return Table(X=X, y=y, when=when, until=when + pd.Timedelta(days=30))


def fold(train, test):
    return Fold("holdout", np.asarray(train), np.asarray(test))


def test_a_feature_that_tells_too_much_comes_first(table):
    found = leakage(table, fold(range(200), range(230, 400)), [])["alone"]
    assert [one["feature"] for one in found] == ["status", "reversed", "noise"]
    assert [one["suspicious"] for one in found] == [True, False, False]
    test = table.rows(range(230, 400))
    assert found[1]["auc"] == pytest.approx(1 - roc_auc_score(test.y, test.X["reversed"]))


def test_the_order_in_time(table):
    apart = leakage(table, fold(range(200), range(230, 400)), [])
    assert (apart["trained_before"], apart["labels_known"]) == (True, True)
    near = leakage(table, fold(range(210), range(230, 400)), [])
    assert (near["trained_before"], near["labels_known"]) == (True, False)
    mixed = leakage(table, fold([*range(200), 399], range(230, 399)), [])
    assert (mixed["trained_before"], mixed["labels_known"]) == (False, False)
    timeless = Table(X=table.X, y=table.y)
    found = leakage(timeless, fold(range(200), range(230, 400)), [])
    assert (found["trained_before"], found["labels_known"]) == (None, None)


def test_repeated_rows_and_protected_features(table):
    assert leakage(table, fold(range(200), range(230, 400)), ["sex"])["repeated"] == 0
    X = pd.concat([table.X[:200], table.X[:20], table.X[220:]], ignore_index=True)
    found = leakage(Table(X=X, y=table.y), fold(range(200), range(200, 400)), ["noise", "sex"])
    assert found["repeated"] == pytest.approx(0.1)
    assert found["protected"] == ["noise"]
