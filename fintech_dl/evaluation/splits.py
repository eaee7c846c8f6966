"""Splits by time: training lies in the past, and only labels known by then may teach."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.cards import Split, duration
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.cuts import Positions, is_classes, random_cut, random_folds
from fintech_dl.evaluation.purging import clear_of_test
from fintech_dl.table import Table

SHUFFLED = (
    'these rows have times and must not be shuffled; use kind = "holdout", "prequential" or '
    '"purged_kfold"'
)
TIMED = ("train", "test", "start", "remove_known")  # keys of a split that need times

Bounds = tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp, pd.Timestamp]


@dataclass(frozen=True, eq=False)
class Fold:
    """One pair of training and test rows.

    Attributes
    ----------
    name : str
        ``"fold 1"`` is the latest of a prequential split, the earliest of a k-fold.
    train, test : int arrays
        Positions in the table, increasing.
    train_from, train_to, test_from, test_to : Timestamp or None
        Where the windows begin and end; an end is the first moment that no longer belongs to the
        window. None where the rows have no time.
    purged : int
        Training rows left out because their labels reach into the test.
    removed_known : int
        Test rows left out because whom they are about was a known fraud case already.
    """

    name: str
    train: Positions
    test: Positions
    train_from: pd.Timestamp | None = None
    train_to: pd.Timestamp | None = None
    test_from: pd.Timestamp | None = None
    test_to: pd.Timestamp | None = None
    purged: int = 0
    removed_known: int = 0


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
    >>> from fintech_dl.cards import Split, duration
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
    if table.when is not None:
        return [time_holdout(table, split)]
    _refuse_times(split, "this table has none; set test_fraction")
    return [random_holdout(table, split.test_fraction)]


def time_holdout(table: Table, split: Split) -> Fold:
    """Train on the past, test on the latest rows: of length ``test``, else a fraction of the rows.

    With a length, the test ends with the last full day of the data (or follows ``start`` +
    ``train`` + ``gap``). Without one, the test is the last ``test_fraction`` of the rows; rows of
    one moment stay together.

    Raises
    ------
    UsageError, DataError
        As ``folds``.
    """
    when = _times(table, split)
    gap = _length(split, "gap")
    first, end = when.iloc[0], _next_day(when.iloc[-1])
    if split.test:
        test = _length(split, "test")
        if split.start and split.train:
            test_from = _start(split, when) + _length(split, "train") + gap
            end = test_from + test
        else:
            end = _end_of_last_full_day(when)
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
        train_from = _start(split, when)
    elif split.train:
        train_from = train_to - _length(split, "train")
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
    train, gap, test = (_length(split, name) for name in ("train", "gap", "test"))
    if split.folds < 1:
        raise UsageError(f"split.folds: got {split.folds}, allowed: 1 or more")
    latest = _end_of_last_full_day(when) - test - gap - train
    start = _start(split, when) if split.start else latest
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
    gap, embargo = _length(split, "gap"), _length(split, "embargo")
    if split.folds < 2:
        raise UsageError(f"split.folds: got {split.folds}, a k-fold split needs 2 or more")
    if split.remove_known:
        raise UsageError(
            'split.remove_known needs training before the test; use kind = "prequential"'
        )
    starts = [int(np.ceil(i * len(when) / split.folds)) for i in range(split.folds)]
    edges = [when.iloc[i] for i in starts] + [_next_day(when.iloc[-1])]
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
        _check(table, fold)
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
        _check(table, fold)
    return found


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
    _check(table, fold)
    return fold


def _fold(table: Table, name: str, bounds: Bounds, split: Split) -> Fold:
    """Make the fold whose windows are ``bounds``; purge, remove known cases, check."""
    train_from, train_to, test_from, test_to = bounds
    when = _times(table, split)
    begin, end = when.iloc[0].normalize(), _next_day(when.iloc[-1])
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
    _check(table, fold)
    return fold


def _known_cases(table: Table, since: pd.Timestamp) -> NDArray[np.bool_]:
    """Return the rows about whom a fraud decided ``since`` is known when their day begins."""
    if table.y is None or table.until is None or table.who is None or table.when is None:
        raise UsageError("split.remove_known needs a table with y, when, until and who")
    fraud = (table.y == 1) & (table.when >= since)
    first_known = table.until[fraud].groupby(table.who[fraud]).min()
    known_since = pd.to_datetime(table.who.map(first_known))  # never known: NaT, also if all are
    return np.asarray(known_since <= table.when.dt.normalize(), dtype=bool)


def _check(table: Table, fold: Fold) -> None:
    """Raise unless training and test have rows and, in a classification, more than one class."""
    for part, at, begin, end, left_out, why in (
        ("training", fold.train, fold.train_from, fold.train_to, fold.purged, "labels unknown"),
        ("test", fold.test, fold.test_from, fold.test_to, fold.removed_known, "known cases"),
    ):
        window = "" if begin is None else f" from {begin} to {end}"
        rest = f" ({left_out} left out: {why})" if left_out else ""
        if len(at) == 0:
            raise DataError(
                f"{fold.name}: no {part} rows{window}{rest}; choose other lengths, dates or horizon"
            )
        if table.y is None:
            continue
        if (missing := int(table.y.iloc[at].isna().sum())) > 0:
            raise DataError(
                f"{fold.name}: {missing} of {len(at)} {part} rows{window} have no label; "
                "leave them out before splitting"
            )
        if is_classes(table.y):
            counts = table.y.iloc[at].value_counts()
            if len(counts) < 2:
                raise DataError(
                    f"{fold.name}: all {len(at)} {part} rows{window} have the label "
                    f"{counts.index[0]}{rest}; both classes are needed, choose longer lengths "
                    "or other dates"
                )


def _times(table: Table, split: Split, embargo: bool = False) -> pd.Series[Any]:
    """Return the table's times, or say what is missing or superfluous for this kind of split."""
    if table.when is None:
        raise UsageError(
            f'split.kind = {split.kind!r} needs times and this table has none; use kind = "holdout"'
        )
    if len(table) == 0:
        raise DataError("the table has no rows to split")
    if not embargo and _length(split, "embargo") > pd.Timedelta(0):
        raise UsageError(
            f"split.embargo is of no use with kind = {split.kind!r}, where no training follows the "
            "test; set split.gap"
        )
    return table.when


def _refuse_times(split: Split, why: str) -> None:
    if given := [key for key in TIMED if getattr(split, key)]:
        raise UsageError(f"split.{given[0]} needs times and {why}")


def _length(split: Split, name: str) -> pd.Timedelta:
    """Return a length of time of the split, such as ``"7d"``."""
    try:
        length = pd.Timedelta(duration(getattr(split, name)))
    except UsageError as error:
        raise UsageError(f"split.{name}: {error}") from error
    if length <= pd.Timedelta(0) and name in ("train", "test"):
        raise UsageError(f"split.{name}: must be longer than 0, got {getattr(split, name)!r}")
    return length


def _start(split: Split, when: pd.Series[Any]) -> pd.Timestamp:
    """Return ``split.start`` as a time inside the data."""
    try:
        start = pd.Timestamp(split.start)
    except ValueError as error:
        raise UsageError(
            f'split.start: got {split.start!r}; give a date such as "2018-07-25"'
        ) from error
    if when.dt.tz is not None and start.tzinfo is None:
        start = start.tz_localize(when.dt.tz)
    if not when.iloc[0].normalize() <= start <= when.iloc[-1]:
        raise DataError(
            f"split.start: {split.start} lies outside the data, which run from {when.iloc[0]} to "
            f"{when.iloc[-1]}"
        )
    return start


def _next_day(moment: pd.Timestamp) -> pd.Timestamp:
    return moment.normalize() + pd.Timedelta(days=1)


def _end_of_last_full_day(when: pd.Series[Any]) -> pd.Timestamp:
    """Return the end of the last day whose rows go on as late as those of the days before.

    One hour earlier than the median of the days before still counts as late.
    """
    days = when.dt.normalize()
    ends = (when - days).groupby(days).max()
    usual = ends.iloc[:-1].median() if len(ends) > 1 else ends.iloc[-1]
    full = ends.iloc[-1] >= usual - pd.Timedelta(hours=1)
    return _next_day(when.iloc[-1]) if full else days.iloc[-1]
