"""Splits of panels: no label that teaches touches the time of a label that is tested."""

from itertools import combinations, product
from math import comb

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score

from fintech_dl.cards import Split
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.panel_splits import (
    CombinatorialPurgedCV,
    PurgedKFold,
    PurgedWalkForward,
)
from fintech_dl.evaluation.splits import folds
from fintech_dl.table import Table

DAYS = pd.bdate_range("2024-01-01", periods=30).to_numpy()


def panel(n_assets=3, seed=0):
    """The dates of a panel in any order, some assets missing on some dates."""
    random = np.random.default_rng(seed)
    dates = np.repeat(DAYS, n_assets)[random.random(30 * n_assets) < 0.8]
    return random.permutation(np.concatenate([dates, DAYS]))  # no date is left out


def numbers(dates):
    return np.searchsorted(DAYS, dates)


SPLITTERS = [
    *(
        PurgedWalkForward(8, test, step, expanding, horizon, embargo)
        for test, step, expanding, horizon, embargo in product(
            (1, 4), (None, 3), (False, True), (0, 1, 5), (0, 2)
        )
    ),
    *(PurgedKFold(n, h, e) for n, h, e in product((2, 5), (0, 1, 4), (0, 3))),
    *(
        CombinatorialPurgedCV(n, k, h, e)
        for (n, k), h, e in product(((5, 2), (6, 3)), (0, 2), (0, 1))
    ),
]


@pytest.mark.parametrize("cv", SPLITTERS, ids=str)
@pytest.mark.parametrize("own_ends", [False, True])
def test_no_label_that_teaches_touches_a_tested_one(cv, own_ends):
    """Labels look at the dates after the decision up to their end, both sides."""
    dates = panel()
    when = numbers(dates)
    ends = when + cv.horizon
    until = None
    if own_ends:
        ends = when + np.random.default_rng(1).integers(0, cv.horizon + 1, len(when))
        calendar = pd.bdate_range("2024-01-01", periods=40).to_numpy()
        until = calendar[ends]
    seen = 0
    for train, test in cv.split(groups=dates, until=until):
        seen += 1
        assert len(train)
        assert len(test)
        assert not set(train) & set(test)
        assert (np.diff(train) > 0).all()
        assert (np.diff(test) > 0).all()
        tested = np.zeros(60, bool)  # the times that some tested label looks at
        for i in test:
            tested[when[i] + 1 : min(ends[i], 29 + 6) + 1] = True
        for i in train:
            assert not tested[when[i] + 1 : ends[i] + 1].any()
        assert not set(when[train]) & set(when[test])
        if isinstance(cv, PurgedKFold):
            after = when[train][when[train] > when[test].max()]
            assert (after >= ends[test].max() + cv.embargo).all()
    assert seen == cv.get_n_splits(groups=dates)


@pytest.mark.parametrize("cv", SPLITTERS, ids=str)
def test_nothing_more_is_left_out(cv):
    """Each row outside the test is trained on, or can be said why not."""
    dates = panel()
    when = numbers(dates)
    for train, test in cv.split(groups=dates):
        left_out = np.setdiff1d(np.arange(len(when)), np.concatenate([train, test]))
        tested = np.unique(when[test])
        starts = tested[np.diff(tested, prepend=-9) > 1]
        lasts = tested[np.diff(tested, append=99) > 1]
        for i in left_out:
            w, h, e = when[i], cv.horizon, cv.embargo
            if isinstance(cv, PurgedWalkForward):
                beyond = w >= starts[0] or (not cv.expanding and w < starts[0] - cv.train)
                assert beyond or max(w + h, w + 1) > starts[0] - e
            else:
                before = any(w < s < w + h for s in starts)
                after = any(b < w < max(b + h, b + 1) + e for b in lasts)
                assert before or after


def test_walking_forward_by_hand():
    """Dates 0 to 9, horizon 2: the label of date 3 is known at date 5, when the test begins."""
    cv = PurgedWalkForward(5, 3, horizon=2)
    found = [(train.tolist(), test.tolist()) for train, test in cv.split(groups=np.arange(10))]
    assert found == [([0, 1, 2, 3], [5, 6, 7]), ([3, 4, 5, 6], [8, 9])]
    cv = PurgedWalkForward(5, 3, expanding=True, horizon=2, embargo=1)
    found = [(train.tolist(), test.tolist()) for train, test in cv.split(groups=np.arange(10))]
    assert found == [([0, 1, 2], [5, 6, 7]), ([0, 1, 2, 3, 4, 5], [8, 9])]


def test_k_fold_by_hand():
    """Test 4 to 7, horizon 3: its last label is known at 10; an embargo of 1 makes it 11."""
    [_, (train, test), _] = PurgedKFold(3, horizon=3, embargo=1).split(groups=np.arange(12))
    assert test.tolist() == [4, 5, 6, 7]
    assert train.tolist() == [0, 1, 11]


def test_the_embargo_follows_the_purge_and_does_not_overlap_it():
    without = dict(enumerate(PurgedKFold(3, horizon=4).split(groups=np.arange(30))))
    embargoed = dict(enumerate(PurgedKFold(3, horizon=4, embargo=3).split(groups=np.arange(30))))
    for number in (0, 1):
        missing = np.setdiff1d(without[number][0], embargoed[number][0])
        assert missing.tolist() == [10 * number + 13, 10 * number + 14, 10 * number + 15]


def test_k_fold_is_that_of_tables():
    """On one asset with daily bars the table's purged k-fold and this one agree."""
    when = pd.Series(pd.date_range("2024-01-01", periods=40))
    table = Table(X=pd.DataFrame({"a": range(40)}), when=when, until=when + pd.Timedelta("3D"))
    theirs = folds(table, Split(kind="purged_kfold", folds=4, embargo="2d"))
    ours = PurgedKFold(4, embargo=2).split(groups=when, until=table.until)
    for fold, (train, test) in zip(theirs, ours, strict=True):
        assert fold.train.tolist() == train.tolist()
        assert fold.test.tolist() == test.tolist()


def test_combinations_and_paths():
    """6 blocks, 2 tested: 15 splits and 5 paths; 10 and 2: 45 and 9 (Lopez de Prado)."""
    for n, n_splits, n_paths in ((6, 15, 5), (10, 45, 9)):
        cv = CombinatorialPurgedCV(n, 2)
        assert (cv.get_n_splits(), cv.n_paths) == (n_splits, n_paths)
    dates = panel()
    for n, k in ((4, 1), (6, 2), (5, 3)):
        cv = CombinatorialPurgedCV(n, k, horizon=1)
        tested = np.zeros(len(dates), int)
        forecasts = []
        for number, (_, test) in enumerate(cv.split(groups=dates)):
            tested[test] += 1
            forecasts.append(np.full(len(test), number))
        assert set(tested) == {cv.n_paths} == {comb(n, k) * k // n}
        paths = cv.paths(forecasts, dates)
        assert paths.shape == (len(dates), cv.n_paths)
        starts = [-(-i * 30 // n) for i in range(1, n)]
        blocks = np.searchsorted(starts, numbers(dates), side="right")
        chosen = list(combinations(range(n), k))
        for row, block in zip(paths.astype(int), blocks, strict=True):
            assert len(set(row)) == cv.n_paths
            assert all(block in chosen[number] for number in row)
    with pytest.raises(UsageError, match="14 forecasts for 15 splits"):
        CombinatorialPurgedCV().paths([[]] * 14, dates)
    with pytest.raises(UsageError, match=r"forecast 1 has the shape \(1,\); its split tests"):
        CombinatorialPurgedCV().paths([[0.0]] * 15, dates)


def test_a_label_never_known_teaches_nothing_and_holds_nobody_back():
    dates = DAYS[:12]
    until = dates.copy()
    until[[1, 5]] = np.datetime64("NaT")
    [_, (train, test), _] = PurgedKFold(3).split(groups=dates, until=until)
    assert test.tolist() == [4, 5, 6, 7]
    assert train.tolist() == [0, 2, 3, 8, 9, 10, 11]


def test_ends_between_dates_count_as_the_next_date():
    dates = np.array(["2024-01-05", "2024-01-08", "2024-01-09"], dtype="datetime64[D]")
    until = np.array(["2024-01-06", "2024-01-08", "2024-01-09"], dtype="datetime64[D]")
    [(train, _), _] = PurgedWalkForward(1, 1).split(groups=dates, until=until)
    assert train.tolist() == [0]
    until[0] = np.datetime64("2024-01-09")
    with pytest.raises(DataError, match="leaves no row to train on"):
        next(iter(PurgedWalkForward(1, 1).split(groups=dates, until=until)))


@pytest.mark.parametrize("routing", [False, True])
def test_scikit_learn_takes_them(routing):
    random = np.random.default_rng(0)
    dates = panel()
    X, y = random.normal(size=(len(dates), 2)), random.normal(size=len(dates))
    cv = PurgedKFold(4, horizon=2, embargo=1)
    expected = [
        Ridge().fit(X[train], y[train]).score(X[test], y[test])
        for train, test in cv.split(groups=dates)
    ]
    with sklearn.config_context(enable_metadata_routing=routing):
        given = {"params": {"groups": dates}} if routing else {"groups": dates}
        assert cross_val_score(Ridge(), X, y, cv=cv, **given).tolist() == expected
        search = GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=cv)
        assert search.fit(X, y, groups=dates).n_splits_ == 4
    assert "horizon=2" in repr(cv)
    assert clone(search).cv.embargo == 1


@pytest.mark.parametrize(
    ("cv", "given", "error", "text"),
    [
        (PurgedKFold(3), {}, UsageError, "give the date of each row as `groups`"),
        (PurgedKFold(1), {"groups": DAYS}, UsageError, "n_splits: got 1, allowed: .* 2 or more"),
        (PurgedKFold(3, horizon=-1), {"groups": DAYS}, UsageError, "horizon: got -1"),
        (PurgedKFold(3, embargo=0.01), {"groups": DAYS}, UsageError, "embargo: got 0.01"),
        (PurgedKFold(3), {"groups": DAYS[:2]}, DataError, "2 dates cannot make 3 blocks"),
        (PurgedKFold(3, horizon=40), {"groups": DAYS}, DataError, "leaves no row to train on"),
        (PurgedKFold(3), {"groups": [np.datetime64("NaT")]}, DataError, "1 missing dates"),
        (PurgedKFold(3), {"groups": DAYS, "until": DAYS[:3]}, DataError, r"until has the shape"),
        (
            PurgedKFold(3),
            {"groups": DAYS, "until": DAYS - np.timedelta64(9, "D")},
            DataError,
            "labels are known before their row is decided",
        ),
        (PurgedWalkForward(30, 5), {"groups": DAYS}, DataError, "only 30 dates, none is left"),
        (PurgedWalkForward(5, 5), {"groups": DAYS[:1]}, DataError, "only 1 dates"),
        (PurgedWalkForward(5, 0), {"groups": DAYS}, UsageError, "test: got 0"),
        (PurgedWalkForward(5, 5, True), {"groups": DAYS}, UsageError, "step: got True"),
        (CombinatorialPurgedCV(3, 3), {"groups": DAYS}, UsageError, "allowed: below n_groups, 3"),
    ],
)
def test_what_cannot_be_split_is_named(cv, given, error, text):
    with pytest.raises(error, match=text):
        list(cv.split(**given))
