"""Splits keep the future out of the past: exact against day-by-day loops."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold

from fintech_dl.cards import Split, duration
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.splits import folds, random_holdout
from fintech_dl.table import Table

DAY = pd.Timedelta("1D")
START = pd.Timestamp("2018-04-01")
WEEKS = {"train": "7d", "gap": "7d", "test": "7d"}


def transactions(days=42, n=4000, delay="7d", seed=0):
    """Rows at random seconds, about 60 customers, 6 % frauds, labels known after the delay."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, days * 86_400, n))
    when = pd.Series(START + pd.to_timedelta(seconds, unit="s"))
    return Table(
        X=pd.DataFrame({"amount": rng.lognormal(size=n)}),
        y=pd.Series((rng.random(n) < 0.06).astype("int8")),
        when=when,
        until=when + pd.Timedelta(duration(delay)),
        who=pd.Series(rng.integers(0, 60, n)),
    )


def prequential(**given):
    return Split(kind="prequential", **(WEEKS | given))


@pytest.mark.parametrize("start", ["", "2018-04-08"])
def test_rows_after_the_test_are_told_apart(start):
    table = transactions()
    given = {"kind": "holdout", "train": "14d", "gap": "7d", "test": "7d", "start": start}
    (fold,) = folds(table, Split(**given, apart="5d"))
    end = pd.Timestamp("2018-05-06") if start else START + 37 * DAY
    assert (fold.test_to, fold.apart_to) == (end, end + 5 * DAY)
    later = ((table.when >= end) & (table.when < end + 5 * DAY)).to_numpy()
    assert fold.apart.tolist() == np.flatnonzero(later).tolist()
    at = fold.test_to - 28 * DAY
    (alone,) = folds(table, Split(**given | {"start": at.isoformat()}))
    assert not len(alone.apart)
    assert alone.train.tolist() == fold.train.tolist()
    assert alone.test.tolist() == fold.test.tolist()


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"test_fraction": 0.2}, UsageError, "split.apart needs a test of some length"),
        ({**WEEKS, "start": "2018-04-22"}, DataError, "no apart rows from 2018-05-13"),
        ({"test": "7d", "kind": "purged_kfold", "folds": 3}, UsageError, "apart goes with kind"),
        ({"test": "7d", "train": "7d", "kind": "prequential"}, UsageError, "apart goes with kind"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(given, error, told):
    with pytest.raises(error, match=told):
        folds(transactions(), Split(**{"kind": "holdout", "apart": "5d"} | given))


def test_prequential_equals_a_loop_over_days():
    table = transactions()
    day = ((table.when - START) // DAY).to_numpy()
    fraud, who = (table.y == 1).to_numpy(), table.who.to_numpy()
    found = folds(table, prequential(folds=3, start="2018-04-20", remove_known=True))
    assert [f.name for f in found] == ["fold 1", "fold 2", "fold 3"]
    for number, fold in enumerate(found):
        first = 19 - 7 * number
        train = np.flatnonzero((day >= first) & (day < first + 7))
        known = set(who[train][fraud[train]])
        test, removed = [], 0
        for later in range(7):
            known |= set(who[(day == first + 7 + later - 1) & fraud])
            today = np.flatnonzero(day == first + 14 + later)
            kept = [i for i in today if who[i] not in known]
            removed += len(today) - len(kept)
            test += kept
        assert fold.train.tolist() == train.tolist()
        assert fold.test.tolist() == test
        assert fold.removed_known == removed > 0
        assert fold.purged == 0
        assert fold.train_from == START + first * DAY
        assert fold.train_to == fold.train_from + 7 * DAY
        assert fold.test_from == fold.train_from + 14 * DAY
        assert fold.test_to == fold.test_from + 7 * DAY


def test_prequential_ends_with_the_last_full_day():
    table = transactions()
    [fold] = folds(table, prequential())
    assert fold.test_to == START + 42 * DAY
    cut = table.rows(np.flatnonzero(table.when < START + 41 * DAY + pd.Timedelta("5h")))
    [fold] = folds(cut, prequential())
    assert fold.test_to == START + 41 * DAY


def test_days_without_clock_count_as_full():
    when = pd.Series(pd.date_range("2024-01-01", periods=30))
    table = Table(X=pd.DataFrame({"a": range(30)}), when=when)
    [fold] = folds(table, prequential(gap="0d"))
    assert fold.test.tolist() == list(range(23, 30))
    assert fold.train.tolist() == list(range(16, 23))


def test_labels_not_known_when_the_test_begins_are_purged():
    table = transactions(delay="10d")
    [fold] = folds(table, prequential(start="2018-04-10"))
    late = table.until > fold.test_from
    window = (table.when >= fold.train_from) & (table.when < fold.train_to)
    assert fold.purged == int((late & window).sum()) > 0
    assert (table.until.iloc[fold.train] <= fold.test_from).all()
    assert len(fold.train) == int((~late & window).sum())


def test_a_label_never_known_never_teaches():
    table = transactions()
    until = table.until.copy()
    until.iloc[::2] = pd.NaT
    table = Table(X=table.X, y=table.y, when=table.when, until=until, who=table.who)
    [fold] = folds(table, prequential())
    assert (fold.train % 2 == 1).all()


@pytest.mark.parametrize("gap", ["0d", "36h"])
def test_holdout_by_fraction(gap):
    table = transactions(delay="0d")
    [fold] = folds(table, Split(kind="holdout", test_fraction=0.2, gap=gap))
    assert fold.test.tolist() == list(range(3200, 4000))
    cut = table.when[3200]
    expected = np.flatnonzero(table.when < cut - pd.Timedelta(duration(gap)))
    assert fold.train.tolist() == expected.tolist()
    assert (fold.name, fold.test_from, fold.test_to) == ("holdout", cut, START + 42 * DAY)


def test_holdout_keeps_rows_of_one_moment_together():
    when = pd.Series(np.repeat(pd.date_range("2024-01-01", periods=4), 5))
    table = Table(X=pd.DataFrame({"a": range(20)}), when=when)
    [fold] = folds(table, Split(kind="holdout", test_fraction=0.4))
    assert fold.test.tolist() == list(range(10, 20))


def test_holdout_by_lengths_equals_one_prequential_fold():
    table = transactions()
    lengths = {"train": "7d", "gap": "7d", "test": "7d", "start": "2018-04-15"}
    [a] = folds(table, Split(kind="holdout", **lengths))
    [b] = folds(table, Split(kind="prequential", **lengths))
    assert a.train.tolist() == b.train.tolist()
    assert a.test.tolist() == b.test.tolist()
    [latest] = folds(table, Split(kind="holdout", test="7d", gap="7d"))
    assert latest.test_from == START + 35 * DAY
    assert latest.train.tolist() == np.flatnonzero(table.when < START + 28 * DAY).tolist()


def test_purged_kfold_equals_a_loop_over_rows():
    table = transactions(n=600, delay="3d")
    split = Split(kind="purged_kfold", folds=4, embargo="2d", gap="1d")
    found = folds(table, split)
    assert np.concatenate([f.test for f in found]).tolist() == list(range(600))
    when, until = table.when, table.until
    for fold in found:
        begin, known = when[fold.test].min(), until[fold.test].max()
        kept = []
        for i in range(600):
            before = when[i] < begin - DAY and until[i] <= begin
            after = when[i] > when[fold.test].max() and when[i] >= known + 2 * DAY
            if before or after:
                kept.append(i)
        assert fold.train.tolist() == kept
        assert fold.purged + len(kept) + len(fold.test) <= 600
        assert fold.purged > 0
        overlap = (when[kept] <= known) & (until[kept] > begin)
        assert not overlap.any()


def test_the_future_changes_no_training_row():
    table = transactions()
    [fold] = folds(table, prequential(start="2018-04-12", remove_known=True))
    cut = table.rows(np.flatnonzero(table.when < fold.test_to))
    [again] = folds(cut, prequential(start="2018-04-12", remove_known=True))
    assert again.train.tolist() == fold.train.tolist()
    assert again.test.tolist() == fold.test.tolist()


def test_random_holdout_is_stratified_and_seeded():
    y = pd.Series(["good"] * 70 + ["bad"] * 30)
    table = Table(X=pd.DataFrame({"a": range(100)}), y=y)
    [fold] = folds(table, Split(kind="holdout", test_fraction=0.2))
    assert (y[fold.test] == "bad").sum() == 6
    assert sorted([*fold.train, *fold.test]) == list(range(100))
    assert (np.diff(fold.test) > 0).all()
    assert random_holdout(table, 0.2, seed=1).test.tolist() != fold.test.tolist()
    assert random_holdout(table, 0.2, seed=0).test.tolist() == fold.test.tolist()


def test_random_holdout_keeps_a_person_on_one_side():
    rng = np.random.default_rng(0)
    who = pd.Series(rng.integers(0, 20, 100))
    table = Table(X=pd.DataFrame({"a": range(100)}), y=pd.Series([0, 1] * 50), who=who)
    fold = random_holdout(table, 0.3)
    assert not set(who[fold.train]) & set(who[fold.test])


def test_shuffled_folds_are_those_of_scikit_learn():
    y = pd.Series((np.random.default_rng(0).random(200) < 0.3).astype(int))
    table = Table(X=pd.DataFrame({"a": range(200)}), y=y)
    found = folds(table, Split(kind="shuffled_kfold", folds=5))
    assert [fold.name for fold in found] == [f"fold {i}" for i in range(1, 6)]
    known = StratifiedKFold(5, shuffle=True, random_state=0).split(table.X, y)
    for fold, (train, test) in zip(found, known, strict=True):
        assert fold.train.tolist() == train.tolist()
        assert fold.test.tolist() == test.tolist()
    assert np.bincount(np.concatenate([fold.test for fold in found])).tolist() == [1] * 200


@pytest.mark.parametrize("y", [[0, 1] * 50, np.linspace(0, 1, 100)])
def test_shuffled_folds_keep_a_person_in_one(y):
    who = pd.Series(np.random.default_rng(0).integers(0, 20, 100))
    table = Table(X=pd.DataFrame({"a": range(100)}), y=pd.Series(y), who=who)
    found = folds(table, Split(kind="shuffled_kfold", folds=4))
    assert sorted(np.concatenate([fold.test for fold in found])) == list(range(100))
    for fold in found:
        assert not set(who[fold.train]) & set(who[fold.test])


def test_amounts_need_no_two_classes():
    table = Table(X=pd.DataFrame({"a": range(40)}), y=pd.Series(np.linspace(0, 1, 40)))
    assert len(random_holdout(table, 0.25).test) == 10


UNTIMED = Table(X=pd.DataFrame({"a": range(20)}), y=pd.Series([0, 1] * 10))


@pytest.mark.parametrize(
    ("table", "split", "error", "text"),
    [
        (UNTIMED, prequential(), UsageError, "needs times"),
        (UNTIMED, Split(kind="purged_kfold", folds=3), UsageError, "needs times"),
        (UNTIMED, Split(kind="holdout", train="7d"), UsageError, "split.train needs times"),
        (UNTIMED, Split(kind="holdout", test_fraction=1.5), UsageError, "test_fraction: got 1.5"),
        (transactions(), Split(kind="holdout", test_fraction=0.0), UsageError, "test_fraction"),
        (transactions(), prequential(train=""), UsageError, "split.train"),
        (transactions(), prequential(gap="a week"), UsageError, "split.gap: 'a week'"),
        (transactions(), prequential(test="0d"), UsageError, "longer than 0"),
        (transactions(), prequential(folds=0), UsageError, "split.folds: got 0"),
        (transactions(), prequential(embargo="1d"), UsageError, "split.embargo"),
        (transactions(), prequential(start="soon"), UsageError, "split.start: got 'soon'"),
        (
            transactions(),
            prequential(start="2019-01-01"),
            DataError,
            "2019-01-01 lies outside the data, which run from 2018-04-01 .* to 2018-05-12",
        ),
        (transactions(), prequential(start="2018-05-01"), DataError, "fold 1: .*test would end"),
        (
            transactions(),
            prequential(folds=5),
            DataError,
            "fold 5: training would begin 2018-03-25",
        ),
        (transactions(), Split(kind="purged_kfold", folds=1), UsageError, "2 or more"),
        (UNTIMED, Split(kind="shuffled_kfold"), UsageError, "split.folds: got 1, .* 2 or more"),
        (UNTIMED, Split(kind="shuffled_kfold", folds=11), DataError, "rarest class has 10 row"),
        (
            UNTIMED,
            Split(kind="shuffled_kfold", folds=3, train="7d"),
            UsageError,
            "split.train needs times and shuffled folds have none",
        ),
        (
            transactions(),
            Split(kind="purged_kfold", folds=3, remove_known=True),
            UsageError,
            "remove_known",
        ),
        (
            transactions(delay="90d"),
            prequential(),
            DataError,
            "no training rows .*left out: labels",
        ),
    ],
)
def test_what_cannot_be_split_is_named(table, split, error, text):
    with pytest.raises(error, match=text):
        folds(table, split)


def test_shuffling_rows_with_times_is_an_error():
    with pytest.raises(UsageError, match="must not be shuffled"):
        random_holdout(transactions())
    with pytest.raises(UsageError, match="must not be shuffled"):
        folds(transactions(), Split(kind="shuffled_kfold", folds=3))


def test_remove_known_needs_persons():
    table = transactions()
    bare = Table(X=table.X, y=table.y, when=table.when)
    with pytest.raises(UsageError, match="y, when, until and who"):
        folds(bare, prequential(remove_known=True))


@pytest.mark.parametrize("part", ["training", "test"])
def test_one_class_only_names_the_fold_and_dates(part):
    table = transactions()
    [fold] = folds(table, prequential())
    y = table.y.copy()
    y.iloc[fold.train if part == "training" else fold.test] = 0
    table = Table(X=table.X, y=y, when=table.when, until=table.until)
    dates = "2018-04-22" if part == "training" else "2018-05-06"
    with pytest.raises(DataError, match=f"fold 1: all [0-9]+ {part} rows from {dates}.*label 0"):
        folds(table, prequential())


def test_missing_labels_are_named():
    table = transactions()
    y = table.y.astype(float)
    y.iloc[-5:] = np.nan
    table = Table(X=table.X, y=y, when=table.when, until=table.until)
    with pytest.raises(DataError, match=r"5 of [0-9]+ test rows .* have no label"):
        folds(table, prequential())


def test_walking_forward_with_all_of_the_past():
    table = transactions()
    rolling = folds(table, prequential(folds=3))
    expanding = folds(table, prequential(folds=3, expanding=True))
    for one, other in zip(rolling, expanding, strict=True):
        assert other.test.tolist() == one.test.tolist()
        assert (other.train_from, other.train_to) == (START, one.train_to)
        past = table.when < one.train_to
        assert (
            other.train.tolist() == np.flatnonzero(past & (table.until <= one.test_from)).tolist()
        )
    assert len(expanding[0].train) > len(expanding[2].train) > len(rolling[2].train)
