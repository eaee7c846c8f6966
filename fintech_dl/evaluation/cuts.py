"""Cut training rows in two: for early stopping, calibration, or a test of rows without time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from fintech_dl.errors import DataError, UsageError
from fintech_dl.table import Table

Positions = NDArray[np.intp]


def validation_cut(
    table: Table, train: Positions, fraction: float, *, purge: bool = True, seed: int = 0
) -> tuple[Positions, Positions]:
    """Cut the latest part of the training rows off, for early stopping or calibration.

    Parameters
    ----------
    table : Table
    train : int array
        Positions of the training rows.
    fraction : float
        Share of the training rows to cut off, above 0 and below 1. Rows of one moment stay
        together.
    purge : bool
        Leave out fitting rows whose label reaches into the validation rows. Switch it off only
        where ``until`` is a mere delay of a label that says nothing about later rows.
    seed : int
        For rows without time, which are cut at random.

    Returns
    -------
    fit, validation : int arrays
        Positions in the table.

    Raises
    ------
    UsageError
        A fraction that is not between 0 and 1.
    DataError
        No fitting row is left.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl.evaluation.cuts import validation_cut
    >>> from fintech_dl.table import Table
    >>> when = pd.Series(pd.date_range("2024-01-01", periods=10))
    >>> table = Table(X=pd.DataFrame({"a": range(10)}), when=when, until=when + pd.Timedelta("2D"))
    >>> validation_cut(table, np.arange(8), 0.25)
    (array([0, 1, 2, 3, 4]), array([6, 7]))
    """
    if not 0 < fraction < 1:
        raise UsageError(f"validation fraction: got {fraction}, allowed: above 0, below 1")
    train = np.sort(train)
    if table.when is None:
        return random_cut(table, train, fraction, seed)
    when = table.when.iloc[train]
    cut = when.iloc[min(int(np.ceil(len(train) * (1 - fraction))), len(train) - 1)]
    late = (when >= cut).to_numpy()
    fit = ~late
    if purge and table.until is not None:
        fit &= (table.until.iloc[train] <= cut).to_numpy()
    if not fit.any():
        raise DataError(
            f"validation: of the {len(train)} training rows from {when.iloc[0]} to "
            f"{when.iloc[-1]}, {(~late).sum()} come before the validation rows (from {cut}), and "
            "the labels of all of them were not yet known then; train on a longer time, or take a "
            "smaller validation fraction"
        )
    return train[fit], train[late]


def random_cut(
    table: Table, rows: Positions, fraction: float, seed: int
) -> tuple[Positions, Positions]:
    """Divide rows without time at random, keeping persons or class shares together."""
    y = None if table.y is None else table.y.iloc[rows]
    options: dict[str, Any] = {"n_splits": 1, "test_size": fraction, "random_state": seed}
    groups = None if table.who is None else table.who.iloc[rows]
    if groups is not None and groups.duplicated().any():
        parts = GroupShuffleSplit(**options).split(rows, y, groups)
    elif y is not None and is_classes(y):
        if (counts := y.value_counts()).min() < 2:
            raise DataError(
                f"the class {counts.idxmin()} has one row only; each class needs two to be split"
            )
        parts = StratifiedShuffleSplit(**options).split(rows, y)
    else:
        parts = ShuffleSplit(**options).split(rows)
    kept, cut = next(iter(parts))
    return np.sort(rows[kept]), np.sort(rows[cut])


def random_folds(table: Table, n_folds: int, seed: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield training and test rows of shuffled folds, keeping persons and class shares together.

    Raises
    ------
    DataError
        A class, or the whole table, has fewer rows than there are folds.
    """
    y, at = table.y, np.arange(len(table))
    classes = y is not None and is_classes(y)
    fewest = int(y.value_counts().min()) if y is not None and classes else len(at)
    if fewest < n_folds:
        raise DataError(
            f"split.folds = {n_folds}: {'the rarest class' if classes else 'the table'} has "
            f"{fewest} row(s); take fewer folds"
        )
    options: dict[str, Any] = {"n_splits": n_folds, "shuffle": True, "random_state": seed}
    if table.who is not None and table.who.duplicated().any():
        kind = StratifiedGroupKFold if classes else GroupKFold
        yield from kind(**options).split(at, y, table.who)
    else:
        yield from (StratifiedKFold if classes else KFold)(**options).split(at, y)


def is_classes(y: pd.Series[Any]) -> bool:
    """Return whether a target names classes rather than amounts."""
    if not pd.api.types.is_numeric_dtype(y):
        return True
    return y.nunique() <= 100 and bool((y % 1 == 0).all())
