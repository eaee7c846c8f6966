"""Folds for a search: before every test, of known labels, divided as the card divides."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from fintech_dl.cards import Split, duration
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.earlier import earlier_folds
from fintech_dl.evaluation.splits import folds
from fintech_dl.table import Table

WEEKS = Split(kind="prequential", train="7d", gap="3d", test="7d", folds=3)
SPLITS = {
    "weeks": WEEKS,
    "one week": Split(kind="prequential", train="7d", gap="3d", test="7d"),
    "known removed": Split(**{**vars(WEEKS), "remove_known": True}),
    "less gap than delay": Split(**{**vars(WEEKS), "gap": "1d"}),
    "from a day": Split(kind="prequential", train="7d", gap="3d", test="7d", start="2024-02-20"),
    "last quarter": Split(kind="holdout", gap="3d"),
    "last days": Split(kind="holdout", test="10d", gap="3d"),
    "days of lengths": Split(kind="holdout", train="10d", test="10d", gap="3d"),
    "too long to move": Split(kind="holdout", train="20d", test="18d", gap="3d"),
}


def payments(n=1200, delay="3D", days=70):
    """Return payments over some days, each label known three days later."""
    random = np.random.default_rng(0)
    seconds = np.sort(random.integers(0, days * 86_400, n))
    when = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(seconds, unit="s"))
    return Table(
        X=pd.DataFrame({"row": np.arange(n)}),
        y=pd.Series((random.random(n) < 0.3).astype(int)),
        when=when,
        until=when + pd.Timedelta(delay),
        who=pd.Series(random.integers(0, n // 4, n)),
    )


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_a_search_sees_only_what_was_known_before_every_test(split):
    table = payments()
    tests = folds(table, split)
    first = min(part.test_from for part in tests)
    found = earlier_folds(table, split, tests, 3)
    assert len(found) == 3
    for fold in found:
        assert len(fold.train) > 20
        assert len(fold.test) > 20
        used = np.concatenate([fold.train, fold.test])
        assert table.until.iloc[used].max() <= first
        assert table.until.iloc[fold.train].max() <= fold.test_from
        assert table.when.iloc[fold.train].max() < fold.test_from - duration(split.gap)
        assert table.when.iloc[fold.test].min() >= fold.test_from
        assert table.when.iloc[fold.test].max() <= fold.test_to
        for part in tests:
            assert not np.intersect1d(used, part.test).size
    for late, early in pairwise(found):
        assert not np.intersect1d(late.test, early.test).size
        assert late.test_from > early.test_from


def test_fixed_lengths_move_back_as_they_are():
    table = payments()
    tests = folds(table, WEEKS)
    found = earlier_folds(table, WEEKS, tests, 2)
    day = pd.Timedelta("1D")
    assert found[0].test_to == tests[-1].train_to  # the earliest test's training window
    for fold in found:
        assert fold.train_to - fold.train_from == fold.test_to - fold.test_from == 7 * day
        assert fold.test_from - fold.train_to == 3 * day
    inside = (table.when >= found[1].train_from) & (table.when < found[1].train_to)
    assert found[1].train.tolist() == np.flatnonzero(inside).tolist()


def test_known_cases_are_removed_as_in_the_test():
    table = payments()
    kept = earlier_folds(table, WEEKS, folds(table, WEEKS), 3)
    split = SPLITS["known removed"]
    found = earlier_folds(table, split, folds(table, split), 3)
    for fold, whole in zip(found, kept, strict=True):
        assert fold.removed_known == len(whole.test) - len(fold.test) > 0


def test_a_fraction_is_cut_from_the_training_rows_in_equal_parts():
    table = payments(delay="0D")
    split = Split(kind="holdout", test_fraction=0.25)
    (test,) = folds(table, split)
    found = earlier_folds(table, split, [test], 3)
    assert all(abs(len(fold.test) - 225) <= 1 for fold in found)
    assert found[0].test[-1] == test.train[-1]
    for fold in found:  # all that comes before
        assert fold.train.tolist() == list(range(fold.test[0]))
    assert abs(len(found[-1].train) - 225) <= 1


def test_rows_without_time_are_stratified_and_persons_stay_together():
    n = 300
    y = pd.Series(np.arange(n) % 10 == 0).astype(int)
    table = Table(X=pd.DataFrame({"row": np.arange(n)}), y=y)
    split = Split(kind="holdout")
    (test,) = folds(table, split)
    found = earlier_folds(table, split, [test], 3, seed=1)
    assert sorted(np.concatenate([f.test for f in found])) == test.train.tolist()
    for fold in found:
        assert abs(y.iloc[fold.test].mean() - 0.1) < 0.02
        assert not np.intersect1d(fold.train, fold.test).size
    again = earlier_folds(table, split, [test], 3, seed=1)
    other = earlier_folds(table, split, [test], 3, seed=2)
    assert [f.test.tolist() for f in again] == [f.test.tolist() for f in found]
    assert [f.test.tolist() for f in other] != [f.test.tolist() for f in found]
    who = pd.Series(np.random.default_rng(0).integers(0, 60, n))
    table = Table(X=table.X, y=y, who=who)
    (test,) = folds(table, split)
    for fold in earlier_folds(table, split, [test], 3):
        assert not set(who.iloc[fold.train]) & set(who.iloc[fold.test])
    amounts = Table(X=table.X, y=pd.Series(np.linspace(0, 1, n)))
    (test,) = folds(amounts, split)
    assert len(earlier_folds(amounts, split, [test], 4)) == 4


def test_labels_that_come_too_late_to_wait_twice_are_those_known_at_the_test():
    table = payments(delay="30D", days=70)
    split = Split(kind="holdout", train="25d", gap="30d", test="10d")
    tests = folds(table, split)
    with pytest.raises(DataError, match=r"no 2 folds fit .*set search\.wait = false"):
        earlier_folds(table, split, tests, 2)
    found = earlier_folds(table, split, tests, 2, wait=False)
    for fold in found:
        used = np.concatenate([fold.train, fold.test])
        assert set(used) <= set(tests[0].train)
        assert table.until.iloc[used].max() <= tests[0].test_from
        assert table.when.iloc[fold.train].max() < table.when.iloc[fold.test].min()
        assert len(fold.train) > 100 < len(fold.test)


def test_what_cannot_be_divided_is_said():
    table = payments()
    split = Split(kind="purged_kfold", folds=3)
    with pytest.raises(UsageError, match="tests every row and leaves none to search on"):
        earlier_folds(table, split, folds(table, split), 3)
    with pytest.raises(UsageError, match="'shuffled_kfold' tests every row and leaves none"):
        earlier_folds(table, Split(kind="shuffled_kfold", folds=3), [], 3)
    short = payments(days=18)
    with pytest.raises(DataError, match=r"search: no 9 folds fit before the earliest test \(2024"):
        earlier_folds(short, SPLITS["one week"], folds(short, SPLITS["one week"]), 9)
    plain = Table(X=pd.DataFrame({"row": range(40)}), y=pd.Series([0, 1, 1, 1] * 10))
    tests = folds(plain, Split(kind="holdout"))
    with pytest.raises(UsageError, match="rows without time need 2 or more"):
        earlier_folds(plain, Split(kind="holdout"), tests, 1)
    with pytest.raises(DataError, match="7 training rows of the rarest class; set"):
        earlier_folds(plain, Split(kind="holdout"), tests, 9)
