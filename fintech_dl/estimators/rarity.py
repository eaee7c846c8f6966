"""How rare a score is among the training rows, and which column makes it so. NumPy only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fintech_dl.estimators.columns import Columns
from fintech_dl.estimators.members import GRID
from fintech_dl.tails import tail_share

QUANTILES = (0.1, 0.5, 0.9)
MOST_ROWS = 10_000
AT_ONCE = 8192


def rarity_of(scores: np.ndarray) -> np.ndarray:
    """Return scores of training rows and how rare each is, as two rows of at most 1,025 numbers.

    Rarity is the number of tens by which rows that score as high are rare: 2 means one in a
    hundred. It is the decimal logarithm of a conformal p-value, with its sign changed.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.rarity import rarity_of
    >>> rarity_of(np.arange(99.0))[:, [0, -10, -1]].round(2).tolist()
    [[0.0, 89.0, 98.0], [0.0, 0.96, 1.7]]
    """
    ranked = np.sort(scores)
    known = np.unique(ranked[np.round(GRID * (len(ranked) - 1)).astype(int)])
    return np.stack([known, np.log10(1 / tail_share(ranked, known))])


def rarity(scores: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return how rare scores are among training rows; beyond these it rises by a logarithm.

    Parameters
    ----------
    scores : ndarray
    known : ndarray of shape (2, n_points)
        What `rarity_of` returned.

    Returns
    -------
    ndarray
        0 for the most ordinary rows; of the shape of ``scores``.
    """
    highest = known[0, -1]
    unit = highest - np.interp(np.log10(2), known[1], known[0])  # above the median
    beyond = np.maximum(scores - highest, 0) / (unit if unit > 0 else 1.0)
    return np.asarray(np.interp(scores, *known) + np.log10(1 + beyond))


def usual_values(rows: np.ndarray, columns: Columns) -> np.ndarray:
    """Return three usual values of each column of encoded rows, of shape (3, n_columns).

    Of numbers the quantiles at 10, 50 and 90 %, NaN if none is known; the most frequent categories.
    """
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_ROWS).astype(int))]
    found = np.full((len(QUANTILES), rows.shape[1]), np.nan, dtype=np.float32)
    for i, values in enumerate(rows.T):
        if columns[i]["kind"] == "category":
            codes, counts = np.unique(values, return_counts=True)
            found[:, i] = np.resize(codes[np.argsort(-counts, kind="stable")][: len(found)], 3)
        elif len(known := values[~np.isnan(values)]):
            found[:, i] = np.quantile(known, QUANTILES, method="nearest")
    return found


def lowest_scores(
    score: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, usual: np.ndarray
) -> np.ndarray:
    """Return the lowest score that each row has with a usual value in one of its columns.

    Parameters
    ----------
    score : callable
        Function of encoded rows; a row's score does not depend on other rows.
    rows : ndarray of shape (n_rows, n_columns)
    usual : ndarray of shape (n_values, n_columns)

    Returns
    -------
    float64 array of shape (n_rows, n_columns)
        At most the row's own score.
    """
    n, width = rows.shape
    found = np.repeat(score(rows)[:, None], width, axis=1)
    tries = np.arange(usual.size)
    step = max(1, AT_ONCE // n)
    for some in (tries[i : i + step] for i in range(0, len(tries), step)):
        moved = np.repeat(rows[None], len(some), axis=0)
        moved[np.arange(len(some)), :, some % width] = usual.ravel()[some, None]
        tried = score(moved.reshape(-1, width)).reshape(len(some), n)
        for column, scores in zip(some % width, tried, strict=True):
            np.minimum(found[:, column], scores, out=found[:, column])
    return found
