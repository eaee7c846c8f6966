"""Splits by time: training lies in the past, and only labels known by then may teach."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.cards import Split, nearest
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.cuts import random_cut, random_folds
from fintech_dl.evaluation.fold import Fold as Fold
from fintech_dl.evaluation.fold import check_fold
from fintech_dl.evaluation.purging import clear_of_test
from fintech_dl.evaluation.split_times import (
    end_of_last_full_day,
    length_of,
    next_day,
    start_of,
)
from fintech_dl.table import Table

SHUFFLED = (
    'these rows have times and must not be shuffled; use kind = "holdout", "prequential" or '
    '"purged_kfold"'
)
TIMED = ("train", "test", "start", "apart", "remove_known")  # keys of a split that need times

Bounds = tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp, pd.Timestamp]


def folds(table: Table, split: Split) -> list[Fold]:
    """Divide the rows of a table as its pipeline card says.

    Parameters
    ----------
    table : Table
    split : cards.Split
        ``holdout``: the latest rows are the test (a stratified random part where the table has no
        times). The other kinds: see the functions of these names.

    Returns
    -------
    list of Fold

    Raises
    ------
    UsageError
        An unreadable length of time, or times, labels or persons that the table lacks.
    DataError
        A fold outside the data, without rows, or with one class only.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.cards import Split, duration, nearest
    >>> from fintech_dl.evaluation.splits import folds
    >>> from fintech_dl.table import Table
    >>> when = pd.Series(pd.date_range("2024-01-01", periods=40, freq="12h"))
    >>> table = Table(
    ...     X=pd.DataFrame({"amount": range(40)}), y=pd.Series([0, 1] * 20), when=when,
    ...     until=when + pd.Timedelta("3D"),
    ... )
    >>> split = Split(kind="prequential", train="7d", gap="2d", test="4d", folds=2)
    >>> for fold in folds(table, split):
    ...     print(fold.name, len(fold.train), len(fold.test), fold.purged, fold.test_from.date())
    fold 1 13 8 1 2024-01-17
    fold 2 13 8 1 2024-01-13
    """
    if split.kind == "prequential":
        return prequential(table, split)
    if split.kind == "purged_kfold":
        return purged_kfold(table, split)
    if split.kind == "shuffled_kfold":
        return shuffled_kfold(table, split)
    if split.kind == "published":
        return [published(table, split)]
    if table.when is not None:
        return [time_holdout(table, split)]
    _refuse_times(split, "this table has none; set test_fraction")
    return [random_holdout(table, split.test_fraction)]


def time_holdout(table: Table, split: Split) -> Fold:
    """Train on the past, test on the latest rows: of length ``test``, else a fraction of the rows.

    With a length, the test ends with the last full day of the data, or as long before it as the
    rows told ``apart`` take (or follows ``start`` + ``train`` + ``gap``). Without one, the test is
    the last ``test_fraction`` of the rows; rows of one moment stay together.

    Raises
    ------
    UsageError, DataError
        As ``folds``.
    """
    when = _times(table, split)
    gap = length_of(split, "gap")
    first, end = when.iloc[0], next_day(when.iloc[-1])
    if split.apart and not split.test:
        raise UsageError('split.apart needs a test of some length; set split.test, such as "30d"')
    if split.test:
        test = length_of(split, "test")
        if split.start and split.train:
            test_from = start_of(split, when) + length_of(split, "train") + gap
            end = test_from + test
        else:
            end = end_of_last_full_day(when)
            end -= length_of(split, "apart") if split.apart else pd.Timedelta(0)
            test_from = end - test
    else:
        if not 0 < split.test_fraction < 1:
            raise UsageError(
                f"split.test_fraction: got {split.test_fraction}, allowed: above 0, below 1"
            )
        cut = min(int(np.ceil(len(when) * (1 - split.test_fraction))), len(when) - 1)
        test_from = when.iloc[cut]
    train_to = test_from - gap
    train_from = first
    if split.start:
        train_from = start_of(split, when)
    elif split.train:
        train_from = train_to - length_of(split, "train")
    return _fold(table, "holdout", (train_from, train_to, test_from, end), split)


def prequential(table: Table, split: Split) -> list[Fold]:
    """Train on a block, leave the gap in which labels arrive, test on the block after it; repeat.

    Use it where a model is refitted as time passes. Fold 1 is the latest: training from ``start``
    for ``train`` (with ``expanding``: from the first row on), then ``gap``, then a test of length
    ``test``. Every further fold lies one test length earlier. Without ``start`` the latest test
    ends with the last full day of the data.

    Raises
    ------
    UsageError, DataError
        As ``folds``.

    Notes
    -----
    Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection (2022), s5.3.
    """
    when = _times(table, split)
    train, gap, test = (length_of(split, name) for name in ("train", "gap", "test"))
    if split.folds < 1:
        raise UsageError(f"split.folds: got {split.folds}, allowed: 1 or more")
    latest = end_of_last_full_day(when) - test - gap - train
    start = start_of(split, when) if split.start else latest
    found = []
    for number in range(split.folds):
        train_to = start + train - number * test
        train_from = when.iloc[0].normalize() if split.expanding else train_to - train
        bounds = (train_from, train_to, train_to + gap, train_to + gap + test)
        found.append(_fold(table, f"fold {number + 1}", bounds, split))
    return found


def purged_kfold(table: Table, split: Split) -> list[Fold]:
    """Test on each of ``folds`` blocks of time in turn, train on what lies clear of the block.

    Use it to compare models on short histories; training also sees what came after the test, so
    the scores are no forecast of live use. Left out of training: rows before the block whose label
    reaches into it or that lie in the ``gap``, rows after it decided before the block's last label
    was known, and then an ``embargo``.

    Raises
    ------
    UsageError, DataError
        As ``folds``.

    Notes
    -----
    Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 7.
    """
    when = _times(table, split, embargo=True)
    gap, embargo = length_of(split, "gap"), length_of(split, "embargo")
    if split.folds < 2:
        raise UsageError(f"split.folds: got {split.folds}, a k-fold split needs 2 or more")
    if split.remove_known:
        raise UsageError(
            'split.remove_known needs training before the test; use kind = "prequential"'
        )
    starts = [int(np.ceil(i * len(when) / split.folds)) for i in range(split.folds)]
    edges = [when.iloc[i] for i in starts] + [next_day(when.iloc[-1])]
    until = when if table.until is None else table.until
    found = []
    for number, (test_from, test_to) in enumerate(pairwise(edges)):
        test = ((when >= test_from) & (when < test_to)).to_numpy()
        known = max(until[test].max(), test_to) if test.any() else test_to
        outside = ((when < test_from - gap) | (when >= test_to)).to_numpy()
        clear = outside & clear_of_test(when, until, test_from, known, embargo)
        fold = Fold(
            name=f"fold {number + 1}",
            train=np.flatnonzero(clear),
            test=np.flatnonzero(test),
            train_from=when.iloc[0],
            train_to=edges[-1],
            test_from=test_from,
            test_to=test_to,
            purged=int(outside.sum() - clear.sum()),
        )
        check_fold(table, fold)
        found.append(fold)
    return found


def shuffled_kfold(table: Table, split: Split, seed: int = 0) -> list[Fold]:
    """Test on each of ``folds`` random parts in turn, train on the others; only without times.

    Class shares are the same in all parts; rows about the same ``who`` stay in one. Where rows
    have times, scores of shuffled folds flatter: leave ``when`` out of the table to have them.

    Raises
    ------
    UsageError, DataError
        As ``folds``.
    """
    if table.when is not None:
        raise UsageError(SHUFFLED)
    _refuse_times(split, "shuffled folds have none")
    if split.folds < 2:
        raise UsageError(f"split.folds: got {split.folds}, a k-fold split needs 2 or more")
    parts = enumerate(random_folds(table, split.folds, seed), 1)
    found = [Fold(f"fold {number}", train, test) for number, (train, test) in parts]
    for fold in found:
        check_fold(table, fold)
    return found


def published(table: Table, split: Split) -> Fold:
    """Take training and test as the data come divided: the column that ``column`` names says so.

    For data whose publisher fixed the test, so that results compare with others'. Rows that are
    neither ``"train"`` nor ``"test"`` are left out.

    Raises
    ------
    UsageError
        The table sets no such column aside, or a key of the split needs times.
    DataError
        As ``folds``.
    """
    _refuse_times(split, "a published division is taken as it is")
    beside = [] if table.aside is None else [str(name) for name in table.aside]
    if table.aside is None or split.column not in beside:
        raise UsageError(
            f"split.column: {split.column!r} is no column that [table] sets aside; "
            f"{nearest(split.column, beside)}"
        )
    part = table.aside[split.column].astype("str")
    train, test = (np.flatnonzero(part == name) for name in ("train", "test"))
    fold = Fold(name="published", train=train, test=test)
    check_fold(table, fold)
    return fold


def random_holdout(table: Table, test_fraction: float = 0.25, seed: int = 0) -> Fold:
    """Put a random part of the rows aside as test; only for rows without time.

    Stratified by class. Where several rows are about the same ``who``, all of them stay on one
    side instead.

    Raises
    ------
    UsageError
        Rows with times: shuffled, the past would be judged by a model that saw the future.
    """
    if table.when is not None:
        raise UsageError(SHUFFLED)
    if not 0 < test_fraction < 1:
        raise UsageError(f"split.test_fraction: got {test_fraction}, allowed: above 0, below 1")
    train, test = random_cut(table, np.arange(len(table)), test_fraction, seed)
    fold = Fold(name="holdout", train=train, test=test)
    check_fold(table, fold)
    return fold


def _fold(table: Table, name: str, bounds: Bounds, split: Split) -> Fold:
    """Make the fold whose windows are ``bounds``; purge, remove known cases, check."""
    train_from, train_to, test_from, test_to = bounds
    when = _times(table, split)
    begin, end = when.iloc[0].normalize(), next_day(when.iloc[-1])
    if train_from < begin or test_to > end:
        raise DataError(
            f"{name}: training would begin {train_from} and the test would end {test_to}, but the "
            f"data run from {when.iloc[0]} to {when.iloc[-1]}; use fewer folds, shorter lengths "
            "or another split.start"
        )
    train = ((when >= train_from) & (when < train_to)).to_numpy()
    test = ((when >= test_from) & (when < test_to)).to_numpy()
    purged = removed = 0
    if table.until is not None:
        known = (table.until <= test_from).to_numpy()
        train, purged = train & known, int((train & ~known).sum())
    if split.remove_known:
        cases = test & _known_cases(table, train_from)
        test, removed = test & ~cases, int(cases.sum())
    at = np.flatnonzero(train), np.flatnonzero(test)
    fold = Fold(name, *at, *bounds, purged=purged, removed_known=removed)
    if split.apart:
        apart_to = test_to + length_of(split, "apart")
        later = np.flatnonzero((when >= test_to) & (when < apart_to))
        fold = replace(fold, apart=later, apart_to=apart_to)
    check_fold(table, fold)
    return fold


def _known_cases(table: Table, since: pd.Timestamp) -> NDArray[np.bool_]:
    """Return the rows about whom a fraud decided ``since`` is known when their day begins."""
    if table.y is None or table.until is None or table.who is None or table.when is None:
        raise UsageError("split.remove_known needs a table with y, when, until and who")
    fraud = (table.y == 1) & (table.when >= since)
    first_known = table.until[fraud].groupby(table.who[fraud]).min()
    known_since = pd.to_datetime(table.who.map(first_known))  # never known: NaT, also if all are
    return np.asarray(known_since <= table.when.dt.normalize(), dtype=bool)


def _times(table: Table, split: Split, embargo: bool = False) -> pd.Series[Any]:
    """Return the table's times, or say what is missing or superfluous for this kind of split."""
    if table.when is None:
        raise UsageError(
            f'split.kind = {split.kind!r} needs times and this table has none; use kind = "holdout"'
        )
    if len(table) == 0:
        raise DataError("the table has no rows to split")
    if split.apart and split.kind != "holdout":
        raise UsageError(f'split.apart goes with kind = "holdout", not with {split.kind!r}')
    if not embargo and length_of(split, "embargo") > pd.Timedelta(0):
        raise UsageError(
            f"split.embargo is of no use with kind = {split.kind!r}, where no training follows the "
            "test; set split.gap"
        )
    return table.when


def _refuse_times(split: Split, why: str) -> None:
    if given := [key for key in TIMED if getattr(split, key)]:
        raise UsageError(f"split.{given[0]} needs times and {why}")
