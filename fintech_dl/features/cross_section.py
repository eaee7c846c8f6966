"""Values of one date against each other: ranks and z-scores of all assets of that date."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintech_dl.features.rolling import Integers

BLOCK_CELLS = 2**20


def ranks_by_date(values: NDArray[Any], date: Integers) -> NDArray[Any]:
    """Return each value's rank among those of its date, from -0.5 (lowest) to 0.5.

    For features and labels of rankings: the same scale on every date, no matter how wild it was.

    Parameters
    ----------
    values : float array of shape (n_rows,)
        Missing values (NaN) stay missing, and count for nobody.
    date : int array of shape (n_rows,)
        Ascending numbers of dates.

    Returns
    -------
    float array of shape (n_rows,)
        In the dtype of ``values``. Ties share the mean of their ranks; a value alone has 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.cross_section import ranks_by_date
    >>> ranks_by_date(np.array([5.0, 9.0, 7.0, np.nan, 3.0]), np.array([1, 1, 1, 1, 2]))
    array([-0.5,  0.5,  0. ,  nan,  0. ])
    """
    out = np.full_like(values, np.nan)
    for rows, at in _padded(date):
        block = np.where(at < 0, np.nan, values[rows][at])
        order = np.argsort(block, axis=1)  # NaN last
        ordered = np.take_along_axis(block, order, axis=1)
        count = (~np.isnan(ordered)).sum(axis=1)[:, None]
        rank = np.broadcast_to(np.arange(block.shape[1], dtype=np.float64), block.shape).copy()
        tied = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
        rank[tied] = _shared(ordered[tied])
        rank = rank / np.maximum(count - 1, 1) - np.where(count > 1, 0.5, 0)
        rank[np.isnan(ordered)] = np.nan
        found = np.empty_like(block)
        np.put_along_axis(found, order, rank.astype(block.dtype), axis=1)
        out[rows][at[at >= 0]] = found[at >= 0]
    return out


def zscores_by_date(values: NDArray[Any], date: Integers) -> NDArray[Any]:
    """Return how many standard deviations each value lies above the mean of its date.

    Where the size of differences matters; outliers stay outliers, `ranks_by_date` tames them.

    Parameters
    ----------
    values : float array of shape (n_rows,)
        Missing values (NaN) stay missing, and count for nobody.
    date : int array of shape (n_rows,)
        Ascending numbers of dates.

    Returns
    -------
    float array of shape (n_rows,)
        In the dtype of ``values``. 0 where all values of the date are the same.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.cross_section import zscores_by_date
    >>> zscores_by_date(np.array([1.0, 2.0, 3.0, 8.0]), np.array([1, 1, 1, 2]))
    array([-1.,  0.,  1.,  0.])
    """
    if not len(values):
        return values.copy()
    starts = np.flatnonzero(np.append(True, np.diff(date) != 0))
    size = np.diff(np.append(starts, len(date)))
    there = ~np.isnan(values)
    known = np.where(there, values, 0).astype(np.float64)
    count = np.maximum(np.add.reduceat(there.astype(np.int64), starts), 1)
    away = known - np.repeat(np.add.reduceat(known, starts) / count, size)
    away[~there] = 0
    scatter = np.add.reduceat(away * away, starts) / np.maximum(count - 1, 1)
    # what is left of rounding where all values are the same is no spread
    level = np.maximum.reduceat(np.abs(known), starts)
    root = np.where(np.sqrt(scatter) > 1e-12 * level, np.sqrt(scatter), np.inf)
    out = away / np.repeat(root, size)
    out[~there] = np.nan
    return np.asarray(out, dtype=values.dtype)


def _shared(ordered: NDArray[Any]) -> NDArray[np.float64]:
    """Return the places in ordered lines, equal values sharing the mean of theirs."""
    width = ordered.shape[1]
    column = np.broadcast_to(np.arange(width), ordered.shape)
    new = np.ones(ordered.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    last = np.ones(ordered.shape, dtype=bool)
    last[:, :-1] = new[:, 1:]
    first = np.maximum.accumulate(np.where(new, column, 0), axis=1)
    end = np.minimum.accumulate(np.where(last, column, width)[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((first + end) / 2)


def _padded(date: Integers) -> Iterator[tuple[slice, Integers]]:
    """Yield rows of whole dates and, one line per date, their positions in them; -1 pads."""
    if not len(date):
        return
    starts = np.flatnonzero(np.append(True, np.diff(date) != 0))
    sizes = np.diff(np.append(starts, len(date)))
    step = max(BLOCK_CELLS // int(sizes.max()), 1)
    for first in range(0, len(starts), step):
        begin, size = starts[first : first + step], sizes[first : first + step]
        column = np.arange(int(size.max()))
        at = np.where(column < size[:, None], (begin - begin[0])[:, None] + column, -1)
        yield slice(int(begin[0]), int(begin[-1] + size[-1])), at
