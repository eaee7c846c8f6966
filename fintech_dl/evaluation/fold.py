"""One pair of training and test rows, and what makes it of no use."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from fintech_dl.errors import DataError
from fintech_dl.evaluation.cuts import Positions, is_classes
from fintech_dl.table import Table


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
    apart : int array
        Positions of the rows after the test that are scored too, and told apart; usually none.
    apart_to : Timestamp or None
        Where their window ends; it begins where that of the test ends.
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
    apart: Positions = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    apart_to: pd.Timestamp | None = None


def check_fold(table: Table, fold: Fold) -> None:
    """Raise unless each part has rows and, in a classification, more than one class."""
    apart = ("apart", fold.apart, fold.test_to, fold.apart_to, 0, "")
    for part, at, begin, end, left_out, why in (
        ("training", fold.train, fold.train_from, fold.train_to, fold.purged, "labels unknown"),
        ("test", fold.test, fold.test_from, fold.test_to, fold.removed_known, "known cases"),
        *([] if fold.apart_to is None else [apart]),
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
