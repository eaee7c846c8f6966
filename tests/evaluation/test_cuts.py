"""The latest training rows are cut off; nothing of them reaches the fitting rows."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.cuts import validation_cut
from fintech_dl.table import Table


def daily(n=40, delay=3):
    when = pd.Series(pd.date_range("2024-01-01", periods=n))
    return Table(
        X=pd.DataFrame({"a": range(n)}),
        y=pd.Series(np.arange(n) % 4 == 0).astype(int),
        when=when,
        until=when + pd.Timedelta(days=delay),
    )


def test_the_latest_rows_are_cut_and_overlapping_labels_purged():
    fit, late = validation_cut(daily(), np.arange(30), 0.2)
    assert late.tolist() == list(range(24, 30))
    assert fit.tolist() == list(range(22))
    fit, late = validation_cut(daily(), np.arange(30), 0.2, purge=False)
    assert fit.tolist() == list(range(24))


def test_rows_of_one_moment_stay_together():
    when = pd.Series(np.repeat(pd.date_range("2024-01-01", periods=5), 4))
    table = Table(X=pd.DataFrame({"a": range(20)}), when=when)
    fit, late = validation_cut(table, np.arange(20), 0.3)
    assert late.tolist() == list(range(12, 20))
    assert fit.tolist() == list(range(12))


def test_rows_without_time_are_stratified():
    table = Table(X=pd.DataFrame({"a": range(80)}), y=pd.Series([0, 0, 0, 1] * 20))
    train = np.arange(10, 70)
    fit, late = validation_cut(table, train, 0.2, seed=3)
    assert sorted([*fit, *late]) == train.tolist()
    assert table.y[late].sum() == 3
    assert validation_cut(table, train, 0.2, seed=3)[1].tolist() == late.tolist()


def test_nothing_left_to_fit_is_said():
    with pytest.raises(DataError, match="labels of all of them were not yet known"):
        validation_cut(daily(delay=35), np.arange(30), 0.2)


@pytest.mark.parametrize("fraction", [0, 1, -0.1])
def test_fraction_out_of_range(fraction):
    with pytest.raises(UsageError, match="above 0, below 1"):
        validation_cut(daily(), np.arange(30), fraction)


def test_a_class_of_one_row_cannot_be_split():
    table = Table(X=pd.DataFrame({"a": range(8)}), y=pd.Series([0] * 7 + [1]))
    with pytest.raises(DataError, match="the class 1 has one row only"):
        validation_cut(table, np.arange(8), 0.25)
