"""Statistics of the last bars of a series: every window is summed anew, in the same order.

Each function takes one series in the order of time and returns, for each length, one value per
bar: of the window that ends with it. All lengths are made in one pass over the lags, by whole
arrays, so that a value depends on the numbers in its window alone, to the last bit: not on where
the series begins or ends, and not on how many rows are computed at once. The first bars, whose
window is not full, are NaN. Sums of deviations are taken from the newest value of the window: no
digits cancel, whatever the level of the series.

Several assets may stand one behind the other in a series; `own_bars.OwnBars.run` says which windows
lie within one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fintech_dl.errors import UsageError

Floats = NDArray[np.float64]
ByLength = dict[int, Floats]
Features = Iterable[tuple[str, Floats]]

LONGEST = 1000
BLOCK_ROWS = 2**13  # the arrays of one block stay in the processor's cache; threads gain nothing


def lagged(values: Floats, bars: int) -> Floats:
    """Return each bar's value of so many bars before, NaN where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import lagged
    >>> lagged(np.array([5.0, 7.0, 9.0]), 1)
    array([nan,  5.,  7.])
    """
    out = np.full(len(values), np.nan)
    if bars < len(values):
        out[bars:] = values[: len(values) - bars]
    return out


def sums(values: Floats, lengths: Sequence[int]) -> ByLength:
    """Return the sum of each window.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import sums
    >>> sums(np.array([1.0, 2.0, 3.0, 4.0]), [2])[2]
    array([nan,  3.,  5.,  7.])
    """
    total = values.copy()
    found: ByLength = {}
    for lag in range(max(lengths)):
        if lag:
            total[lag:] += values[:-lag]
        if lag + 1 in lengths:
            found[lag + 1] = _full(total.copy(), lag)
    return found


def means(values: Floats, lengths: Sequence[int]) -> ByLength:
    """Return the mean of each window.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import means
    >>> means(np.array([1.0, 2.0, 3.0, 4.0]), [2])[2]
    array([nan, 1.5, 2.5, 3.5])
    """
    return {n: total / n for n, total in sums(values, lengths).items()}


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Return the mean of the last ``len(weights)`` values, the newest weighted by the first.

    Weights are made to sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import weighted_mean
    >>> weighted_mean(np.array([1.0, 2.0, 4.0]), np.array([3.0, 1.0]))
    array([ nan, 1.75, 3.5 ])
    """
    shares = weights / weights.sum()
    total = values * shares[0]
    for lag in range(1, len(shares)):
        total[lag:] += shares[lag] * values[:-lag]
    return _full(total, len(shares) - 1)


def deviations(values: Floats, lengths: Sequence[int]) -> tuple[ByLength, ByLength]:
    """Return mean and standard deviation (n - 1 below the line) of each window.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import deviations
    >>> mean, spread = deviations(np.array([1.0, 3.0, 5.0]), [3])
    >>> mean[3][-1].item(), spread[3][-1].item()
    (3.0, 2.0)
    """
    mean, spread = {}, {}
    for n, total, squares, _ in _moments(values, lengths):
        mean[n] = _full(values + total / n, n - 1)
        scatter = np.maximum(squares - total * total / n, 0)
        spread[n] = _full(np.sqrt(scatter / max(n - 1, 1)), n - 1)
    return mean, spread


def trends(values: Floats, lengths: Sequence[int]) -> tuple[ByLength, ByLength, ByLength]:
    """Return slope per bar, R2 and the newest bar's residual of the line through each window.

    R2 is NaN where all values are the same.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import trends
    >>> slope, r2, residual = trends(np.array([1.0, 3.0, 5.0, 7.0]), [4])
    >>> [found[4][-1].item() for found in (slope, r2, residual)]
    [2.0, 1.0, 0.0]
    """
    slope, r2, residual = {}, {}, {}
    for n, total, squares, by_lag in _moments(values, lengths):
        middle = (n - 1) / 2
        spread = n * (n * n - 1) / 12
        shared = middle * total - by_lag
        rise = shared / spread
        slope[n] = _full(rise, n - 1)
        r2[n] = _full(_ratio(shared * shared, spread * (squares - total * total / n)), n - 1)
        residual[n] = _full(0 - (total / n + rise * middle), n - 1)
    return slope, r2, residual


def correlations(one: Floats, two: Floats, lengths: Sequence[int]) -> ByLength:
    """Return the correlation of two series in each window; NaN where one of them is constant.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import correlations
    >>> round(correlations(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0]), [3])[3][-1], 12)
    np.float64(-1.0)
    """
    total_x, total_y, xx, yy, xy = (np.zeros(len(one)) for _ in range(5))
    found: ByLength = {}
    for lag in range(1, max(lengths)):
        x, y = one[:-lag] - one[lag:], two[:-lag] - two[lag:]
        total_x[lag:] += x
        total_y[lag:] += y
        xx[lag:] += x * x
        yy[lag:] += y * y
        xy[lag:] += x * y
        if (n := lag + 1) in lengths:
            spread = (xx - total_x * total_x / n) * (yy - total_y * total_y / n)
            root = np.sqrt(np.maximum(spread, 0))
            found[n] = _full(_ratio(xy - total_x * total_y / n, root), lag)
            np.clip(found[n], -1, 1, out=found[n])
    return found


def highest(values: Floats, lengths: Sequence[int]) -> tuple[ByLength, ByLength]:
    """Return the highest value of each window and how many bars ago it was (the oldest of ties).

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import highest
    >>> value, ago = highest(np.array([7.0, 9.0, 9.0, 8.0]), [3])
    >>> value[3][-1].item(), ago[3][-1].item()
    (9.0, 2.0)
    """
    best, since = values.copy(), np.zeros(len(values))
    top: ByLength = {}
    ago: ByLength = {}
    for lag in range(max(lengths)):
        if lag:
            older = values[:-lag]
            np.copyto(since[lag:], lag, where=older >= best[lag:])
            np.maximum(best[lag:], older, out=best[lag:])
        if lag + 1 in lengths:
            top[lag + 1], ago[lag + 1] = _full(best.copy(), lag), _full(since.copy(), lag)
    return top, ago


def lowest(values: Floats, lengths: Sequence[int]) -> tuple[ByLength, ByLength]:
    """Return the lowest value of each window and how many bars ago it was (the oldest of ties).

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import lowest
    >>> value, ago = lowest(np.array([7.0, 5.0, 6.0]), [3])
    >>> value[3][-1].item(), ago[3][-1].item()
    (5.0, 1.0)
    """
    top, ago = highest(-values, lengths)
    return {n: -found for n, found in top.items()}, ago


def ranks(values: Floats, lengths: Sequence[int]) -> ByLength:
    """Return the newest value's rank in each window, above 0 to 1; ties share theirs.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import ranks
    >>> ranks(np.array([5.0, 9.0, 7.0, 7.0]), [4])[4][-1].item()
    0.625
    """
    below, same = np.zeros(len(values)), np.ones(len(values))
    found: ByLength = {}
    for lag in range(max(lengths)):
        if lag:
            older, newest = values[:-lag], values[lag:]
            below[lag:] += older < newest
            same[lag:] += older == newest
        if lag + 1 in lengths:
            found[lag + 1] = _full((below + (same + 1) / 2) / (lag + 1), lag)
    return found


def quantiles(values: Floats, lengths: Sequence[int], levels: Sequence[float]) -> list[ByLength]:
    """Return for each level that quantile of each window, interpolated between neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import quantiles
    >>> [low] = quantiles(np.array([4.0, 1.0, 2.0]), [3], [0.25])
    >>> low[3][-1].item()
    1.5
    """
    found: list[ByLength] = [{} for _ in levels]
    for n in lengths:
        ordered = _sorted_windows(values, n)
        for level, by_length in zip(levels, found, strict=True):
            below, part = divmod((n - 1) * level, 1)
            low = ordered[int(below)]
            high = ordered[min(int(below) + 1, n - 1)]
            by_length[n] = np.full(len(values), np.nan)
            by_length[n][n - 1 :] = low + (high - low) * part
    return found


def checked_lengths(lengths: Sequence[int], least: int, what: str) -> tuple[int, ...]:
    """Return lengths of windows in ascending order, checked.

    Raises
    ------
    UsageError
        No length, one given twice, or one that is no whole number from ``least`` to 1000.

    Examples
    --------
    >>> from fintech_dl.features.windows import checked_lengths
    >>> checked_lengths([20, 5], 3, "windows")
    (5, 20)
    """
    whole = all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) and least <= n <= LONGEST
        for n in lengths
    )
    if not whole or not lengths or len(set(lengths)) < len(lengths):
        raise UsageError(
            f"{what}={lengths!r}: must be one or more different whole numbers of bars from "
            f"{least} to {LONGEST}"
        )
    return tuple(sorted(int(n) for n in lengths))


def exponential(length: float, cut: int) -> Floats:
    """Return the weights of an exponential mean of span ``length``, newest first, cut off.

    Parameters
    ----------
    length : float
        The span n: each weight is 1 - 2 / (n + 1) of the newer one.
    cut : int
        Number of weights. At 4 spans 0.03 % of an endless mean's weight is cut off.

    Examples
    --------
    >>> from fintech_dl.features.windows import exponential
    >>> exponential(3, 4)
    array([1.   , 0.5  , 0.25 , 0.125])
    """
    return np.asarray((1 - 2 / (length + 1)) ** np.arange(cut), dtype=np.float64)


def in_blocks(
    make: Callable[[dict[str, Floats]], Features],
    columns: Mapping[str, Floats],
    reach: int,
    dtype: Any = np.float32,
) -> tuple[list[str], NDArray[Any]]:
    """Compute features of long series block by block, each with the bars before that it needs.

    Bounds the memory and keeps the work in the processor's cache; no bit depends on the blocks.

    Parameters
    ----------
    make : function
        Takes columns and yields (name, values), each as long as the columns.
    columns : mapping of str to float array of shape (n_rows,)
    reach : int
        Bars that a value may look at, its own included.
    dtype : dtype
        Of the result.

    Returns
    -------
    names : list of str
    values : array of shape (n_features, n_rows)

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.windows import in_blocks, sums
    >>> names, values = in_blocks(lambda c: [("sum_2", sums(c["x"], [2])[2])],
    ...                           {"x": np.arange(4.0)}, reach=2)
    >>> names, values.tolist()
    (['sum_2'], [[nan, 1.0, 3.0, 5.0]])
    """
    n_rows = len(next(iter(columns.values())))
    none = {name: values[:0] for name, values in columns.items()}
    names = [name for name, _ in make(none)]
    out = np.empty((len(names), n_rows), dtype=dtype)
    for start in range(0, n_rows, BLOCK_ROWS):
        first, end = max(start - reach + 1, 0), min(start + BLOCK_ROWS, n_rows)
        part = {name: values[first:end] for name, values in columns.items()}
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for line, (_, values) in zip(out, make(part), strict=True):
                line[start:end] = values[start - first :]
    return names, out


def _moments(
    values: Floats, lengths: Sequence[int]
) -> Iterator[tuple[int, Floats, Floats, Floats]]:
    """Yield length and the sums of d, d * d and lag * d, d being older less newest value."""
    total, squares, by_lag = (np.zeros(len(values)) for _ in range(3))
    for lag in range(max(lengths)):
        if lag:
            apart = values[:-lag] - values[lag:]
            total[lag:] += apart
            squares[lag:] += apart * apart
            by_lag[lag:] += lag * apart
        if lag + 1 in lengths:
            yield lag + 1, total, squares, by_lag


def _sorted_windows(values: Floats, n: int) -> Floats:
    """Return the sorted windows, one per column."""
    if len(values) < n:
        return np.empty((n, 0))
    windows = sliding_window_view(values, n)
    return np.sort(windows, axis=1).T


def _full(values: Floats, lacking: int) -> Floats:
    values[:lacking] = np.nan
    return values


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, NaN where the whole is not above 0."""
    return part / np.where(whole > 0, whole, np.nan)
