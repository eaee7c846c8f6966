"""Sums over the rows of each block, from which metrics are finished: see ``outcomes.Metric``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fintech_dl.evaluation.metrics import Floats

if TYPE_CHECKING:
    from fintech_dl.evaluation.outcomes import Outcome

Blocks = NDArray[np.intp]


def ratio(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, NaN where the whole is nothing."""
    quotient = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient


def mean(sums: Floats) -> Floats:
    """Return the mean of what `row_sums` or `day_sums` added up."""
    return ratio(sums[:, 0], sums[:, 1])


def row_sums(outcome: Outcome, values: Floats, block: Blocks, n_blocks: int) -> csr_array:
    """Sum the weighted values of the rows of each block, and their weights."""
    w, n = outcome.weights, len(outcome)
    column = np.repeat([0, 1], n)
    return sparse(np.tile(block, 2), column, np.concatenate([w * values, w]), n_blocks, 2)


def day_sums(outcome: Outcome, by_day: pd.Series[Any], block: Blocks, n_blocks: int) -> csr_array:
    """Sum one value per day, in time order, over the days of each block, and count the days.

    Days that have no value do not count.
    """
    days, first = np.unique(outcome.days, return_index=True)
    where = block[first][np.isin(days, by_day.index.to_numpy())]
    column = np.repeat([0, 1], len(where))
    values = np.concatenate([by_day.to_numpy(), np.ones(len(where))])
    return sparse(np.tile(where, 2), column, values, n_blocks, 2)


def sparse(
    row: NDArray[Any], column: NDArray[Any], values: NDArray[Any], n_rows: int, n_columns: int
) -> csr_array:
    """Return values added up at their rows and columns."""
    return csr_array((values, (row, column)), shape=(n_rows, n_columns))
