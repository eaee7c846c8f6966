"""From errors of windows to scores of rows. NumPy and pandas only."""

from __future__ import annotations

import numpy as np
import pandas as pd

TO_DEVIATIONS = 1.4826  # from the median absolute deviation of a normal distribution
LEAST_SPREAD = 1e-3  # standard deviations of the series: an error below is none
FEWEST = 10
WARP = 11  # steps


def robust_z(error: np.ndarray, middle: np.ndarray, spread: np.ndarray, memory: int) -> np.ndarray:
    """Return each error's distance from the median of those before, in robust deviations of them.

    Parameters
    ----------
    error : ndarray of shape (n_rows, n_channels)
    middle, spread : ndarray of shape (n_channels,)
        Median and median absolute deviation to begin with, while there are few errors; a tenth of
        the spread is also the least that is divided by.
    memory : int
        Errors to look back on.

    Returns
    -------
    ndarray of shape (n_rows, n_channels)

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.series_errors import robust_z
    >>> error = np.array([[0.0], [1.0], [-1.0], [9.0]])
    >>> robust_z(error, np.zeros(1), np.ones(1), 10).ravel().round(1).tolist()
    [0.0, 0.7, 0.7, 6.1]
    """
    frame = pd.DataFrame(error)
    past = frame.rolling(memory, min_periods=FEWEST)
    level = past.median().shift(1).fillna(pd.Series(middle))
    deviation = (frame - level).abs()
    own = deviation.rolling(memory, min_periods=FEWEST).median().shift(1)
    width = np.maximum(own.fillna(pd.Series(spread)), np.maximum(spread / 10, LEAST_SPREAD))
    return np.asarray(deviation / (TO_DEVIATIONS * width), dtype=np.float64)


def mean_over_windows(values: np.ndarray, n: int) -> np.ndarray:
    """Return for each row the mean over all windows that hold it, at stride 1.

    Parameters
    ----------
    values : ndarray of shape (n_windows, steps)
    n : int
        Rows: n_windows + steps - 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.series_errors import mean_over_windows
    >>> mean_over_windows(np.array([[1.0, 2.0], [4.0, 5.0]]), 3)
    array([1., 3., 5.])
    """
    total, count = np.zeros(n), np.zeros(n)
    for step in range(values.shape[1]):
        total[step : step + len(values)] += values[:, step]
        count[step : step + len(values)] += 1
    return total / count


def end_errors(errors: np.ndarray, n: int, smooth: float) -> np.ndarray:
    """Return for each row the mean of the smoothed errors of the windows that begin and end there.

    The first of each kind, which the smoothing has not settled on, count as none.

    Parameters
    ----------
    errors : ndarray of shape (n_windows, 2)
        Of the first and of the last step of each window.
    n : int
        Rows.
    smooth : float
        Share of the windows that is the span of the exponential mean.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.series_errors import end_errors
    >>> end_errors(np.array([[1.0, 3.0], [2.0, 4.0]]), 3, smooth=0.0)
    array([1. , 2.5, 4. ])
    """
    m = len(errors)
    skipped = int(smooth * m)
    span = max(skipped, 1)
    first, last = pd.DataFrame(errors).ewm(span=span).mean().to_numpy().T.copy()
    first[:skipped] = first.min()
    last[:skipped] = 0.0
    total, count = np.zeros(n), np.zeros(n)
    total[:m] += first
    count[:m] += 1
    total[n - m :] += last
    count[n - m + skipped :] += 1
    return total / np.maximum(count, 1)


def warped_error(actual: np.ndarray, rebuilt: np.ndarray) -> np.ndarray:
    """Return for each row the distance of the steps around it by dynamic time warping.

    A shape that is rebuilt a step too late is hardly an error. Beyond the ends both are 0.

    Parameters
    ----------
    actual, rebuilt : ndarray of shape (n_rows, n_channels)

    Returns
    -------
    ndarray of shape (n_rows,)
        Root of the sum of squares along the cheapest path through 11 steps of each.

    Notes
    -----
    Sakoe and Chiba (1978); all rows at once, cell by cell.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.series_errors import warped_error
    >>> x = np.zeros((30, 1))
    >>> x[10] = 1.0
    >>> float(warped_error(x, x * 0)[10]), float(warped_error(x, np.roll(x, 1, axis=0))[10])
    (1.0, 0.0)
    """
    half = WARP // 2
    one, two = (np.pad(part, ((half, half), (0, 0))) for part in (actual, rebuilt))
    n = len(actual)
    costs = np.full((WARP + 1, WARP + 1, n), np.inf)
    costs[0, 0] = 0.0
    for i in range(WARP):
        for j in range(WARP):
            apart = np.square(one[i : i + n] - two[j : j + n]).mean(axis=1)
            before = np.minimum(np.minimum(costs[i, j], costs[i, j + 1]), costs[i + 1, j])
            costs[i + 1, j + 1] = apart + before
    return np.sqrt(costs[WARP, WARP])


def smoothed(error: np.ndarray, smooth: float) -> np.ndarray:
    """Return the mean over a share of the rows around each; the first of these at the lowest.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.series_errors import smoothed
    >>> smoothed(np.array([1.0, 2.0, 6.0]), smooth=0.0)
    array([1., 2., 6.])
    """
    size = min(int(len(error) * smooth), 200)
    if size < 2:
        return error
    mean = pd.Series(error).rolling(size, center=True, min_periods=size // 2).mean()
    out = np.array(mean)
    out[:size] = np.nanmin(out)
    return np.nan_to_num(out, nan=np.nanmin(out))


def in_range(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """Return values so that the bounds are 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.series_errors import in_range
    >>> in_range(np.array([0.0, 5.0]), (0.0, 10.0))
    array([1. , 1.5])
    """
    low, high = bounds
    return np.asarray(1 + (values - low) / (high - low if high > low else 1.0))
