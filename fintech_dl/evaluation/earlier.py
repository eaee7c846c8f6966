"""Folds that lie before every test: where parameters may be chosen without seeing a test row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

from fintech_dl.cards import Split, duration
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.cuts import Positions, is_classes
from fintech_dl.evaluation.splits import Fold, prequential, time_holdout
from fintech_dl.table import Table


def earlier_folds(
    table: Table,
    split: Split,
    parts: Sequence[Fold],
    n_folds: int,
    *,
    seed: int = 0,
    wait: bool = True,
) -> list[Fold]:
    """Divide the rows from before every test once more, for a search of parameters.

    With several test folds, the training rows of a late one hold test rows of an early one:
    parameters chosen on them would have seen the answers of that test. So the search ends where
    the *earliest* fold's training ends, and sees only rows whose label was known when the earliest
    test began.

    Inside, the card's own split is repeated: the same purge, gap and removal of known cases. A
    split of fixed lengths (``train``, ``test``) moves back in time as a whole, beyond the training
    window of the earliest fold, for a window no longer than the delay of its labels holds nothing
    to validate on. Where the data do not reach back so far, and without fixed lengths, the training
    rows of the earliest fold are cut into ``n_folds + 1`` parts of equal size, each but the first
    tested by what comes before it. Rows without time: stratified folds of the training rows,
    persons kept together.

    Parameters
    ----------
    table : Table
    split : cards.Split
    parts : sequence of Fold
        The folds of the run, from ``splits.folds``.
    n_folds : int
    seed : int
        For rows without time.
    wait : bool
        False: cut the training rows of the earliest fold into parts as above, without a gap and
        without a purge. For labels that come so late that waiting for them twice leaves nothing:
        the search still touches no test row, and no label that was unknown when the test began.

    Returns
    -------
    list of Fold
        Positions in the table; the latest first.

    Raises
    ------
    UsageError
        A k-fold split, which tests every row; one fold for rows without time.
    DataError
        Too little data before the tests.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.cards import Split
    >>> from fintech_dl.evaluation.earlier import earlier_folds
    >>> from fintech_dl.evaluation.splits import folds
    >>> from fintech_dl.table import Table
    >>> when = pd.Series(pd.date_range("2024-01-01", periods=80, freq="12h"))
    >>> table = Table(
    ...     X=pd.DataFrame({"amount": range(80)}), y=pd.Series([0, 1] * 40), when=when,
    ...     until=when + pd.Timedelta("2D"),
    ... )
    >>> split = Split(kind="prequential", train="7d", gap="2d", test="4d", folds=2)
    >>> tests = folds(table, split)
    >>> print(min(part.test_from for part in tests).date())
    2024-02-02
    >>> for fold in earlier_folds(table, split, tests, 2):
    ...     print(fold.train_from.date(), fold.train_to.date(), fold.test_to.date())
    2024-01-18 2024-01-25 2024-01-31
    2024-01-14 2024-01-21 2024-01-27
    """
    if split.kind.endswith("_kfold"):
        raise UsageError(
            f"search: split.kind = {split.kind!r} tests every row and leaves none to search on; "
            'use "prequential" or "holdout"'
        )
    if table.when is None:
        return _stratified(table, parts[0].train, n_folds, seed)
    first = min(parts, key=lambda part: part.test[0])  # rows are in time order
    try:
        split = replace(split, apart="")
        if not wait:
            at_once = replace(split, gap="0d", remove_known=False)
            return _cut(replace(table, until=None), at_once, first.train, n_folds)
        moved = _moved_back(table, split, first, n_folds)
        return moved or _cut(table, split, first.train, n_folds)
    except DataError as error:
        raise DataError(
            f"search: no {n_folds} folds fit before the earliest test ({first.test_from}): "
            f"{error}. Where labels come too late to wait for them twice, set search.wait = false"
        ) from error


def _moved_back(table: Table, split: Split, first: Fold, n_folds: int) -> list[Fold]:
    """Return the split moved back in time, the latest first; none where data do not reach."""
    if not (split.train and split.test) or table.when is None:
        return []
    known = table.when < first.train_to
    if table.until is not None:
        known &= table.until <= first.test_from
    at = np.flatnonzero(known)
    if not len(at):
        return []
    train, gap, test = (
        pd.Timedelta(duration(text)) for text in (split.train, split.gap, split.test)
    )
    end = min(first.train_to, table.when.iloc[at[-1]].normalize() + pd.Timedelta(days=1))
    start = end - test - gap - train
    if start - (n_folds - 1) * test < table.when.iloc[0].normalize():
        return []
    own = replace(split, kind="prequential", folds=n_folds, start=start.isoformat(), embargo="0d")
    return [_in_table(fold, at) for fold in prequential(table.rows(at), own)]


def _cut(table: Table, split: Split, train: Positions, n_folds: int) -> list[Fold]:
    """Return tests of equal size in time, the latest first, each after all that it learns from."""
    assert table.when is not None
    found: list[Fold] = []
    own = replace(split, kind="holdout", train="", test="", start="")
    for left in range(n_folds, 0, -1):
        share = replace(own, test_fraction=1 / (left + 1))
        fold = _in_table(time_holdout(table.rows(train), share), train)
        end = found[-1].test_from if found else fold.test_to
        found.append(replace(fold, name=f"fold {len(found) + 1}", test_to=end))
        train = train[(table.when.iloc[train] < fold.test_from).to_numpy()]
    return found


def _stratified(table: Table, train: Positions, n_folds: int, seed: int) -> list[Fold]:
    """Return folds of rows without time."""
    if n_folds < 2:
        raise UsageError("search.folds: got 1; rows without time need 2 or more")
    rows = table.rows(train)
    assert rows.y is not None
    options = {"n_splits": n_folds, "shuffle": True, "random_state": seed}
    if not is_classes(rows.y):
        pairs = KFold(**options).split(rows.X)
    elif rows.who is not None and rows.who.duplicated().any():
        pairs = StratifiedGroupKFold(**options).split(rows.X, rows.y, rows.who)
    elif (least := int(rows.y.value_counts().min())) < n_folds:
        raise DataError(
            f"search: {n_folds} folds, but only {least} training rows of the rarest class; set "
            "search.folds lower"
        )
    else:
        pairs = StratifiedKFold(**options).split(rows.X, rows.y)
    return [
        Fold(name=f"fold {number}", train=train[fit], test=train[test])
        for number, (fit, test) in enumerate(pairs, 1)
    ]


def _in_table(fold: Fold, at: Positions) -> Fold:
    """Return a fold of the rows at positions ``at`` as one of the whole table."""
    return replace(fold, train=at[fold.train], test=at[fold.test])
