"""Means of series in time and their errors, where neighbours are alike: Newey-West."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.forecasts import aligned
from fintech_dl.evaluation.metrics import Floats


class MeanTest(NamedTuple):
    """A mean over dates with its Newey-West error, t-value, p-value and 95 % interval."""

    value: float
    error: float
    t: float
    p_value: float
    low: float
    high: float
    n: int
    lags: int


class WaldTest(NamedTuple):
    """A chi-squared statistic with its degrees of freedom and p-value."""

    statistic: float
    df: int
    p_value: float


def mean_test(
    values: ArrayLike,
    *,
    horizon: int = 1,
    lags: int | None = None,
    alternative: Literal["two-sided", "greater"] = "two-sided",
) -> MeanTest:
    """Test whether the mean of a series in time is 0, with Newey-West errors.

    Parameters
    ----------
    values : array of shape (n_dates,)
        In time order.
    horizon : int
        Bars that each value reaches ahead; neighbours overlap by one bar less.
    lags : int, optional
        Default: ``newey_west_lags(n, horizon)``; never fewer than horizon - 1.
    alternative : str
        ``"greater"`` asks whether the mean is above 0; the interval stays two-sided.

    Returns
    -------
    MeanTest
        With t and interval after Student with n - 1 degrees of freedom.

    Raises
    ------
    DataError
        Fewer than 2 values, or values that are no finite numbers.
    UsageError
        Fewer lags than horizon - 1.

    Notes
    -----
    Newey and West, A simple, positive semi-definite, heteroskedasticity and autocorrelation
    consistent covariance matrix (1987).

    Examples
    --------
    >>> from fintech_dl.evaluation.newey_west import mean_test
    >>> found = mean_test([1.0, 2.0, 3.0, 4.0], lags=1)
    >>> round(found.error, 4), round(found.t, 4)
    (0.625, 4.0)
    """
    (series,) = aligned("mean_test", values=values)
    n = len(series)
    used = checked_lags(n, horizon, lags)
    value = float(series.mean())
    error = float(np.sqrt(long_run_covariance(series[:, None], used)[0, 0] / n))
    return student(value, error, n, used, alternative)


def newey_west_lags(n: int, horizon: int = 1) -> int:
    """Return the usual number of lags: 1.5 horizon + 4 (n / 100)^(2/9), rounded down.

    Examples
    --------
    >>> from fintech_dl.evaluation.newey_west import newey_west_lags
    >>> newey_west_lags(2599), newey_west_lags(2599, 22)
    (9, 41)
    """
    return min(int(1.5 * horizon + 4 * (n / 100) ** (2 / 9)), n - 1)


def by_date(values: ArrayLike, dates: ArrayLike | None) -> Floats:
    """Return the mean of each date's rows, in time order; without dates, the values themselves."""
    (series,) = aligned("by_date", values=values)
    if dates is None:
        return series
    of_row = date_numbers(dates, len(series))
    return np.asarray(np.bincount(of_row, series) / np.bincount(of_row))


def long_run_covariance(values: Floats, lags: int, centred: bool = True) -> Floats:
    """Return the covariance of (n, k) values with that of their neighbours, by Bartlett weights.

    Without ``centred`` the values are taken to have a mean of 0, as moments have.
    """
    x = values - values.mean(axis=0) if centred else values
    total = x.T @ x
    for lag in range(1, lags + 1):
        cross = x[lag:].T @ x[:-lag]
        total = total + (1 - lag / (lags + 1)) * (cross + cross.T)
    return np.asarray(total / len(x))


def date_numbers(dates: ArrayLike, n: int) -> NDArray[np.intp]:
    """Return which date each row has, numbered from 0 in time order."""
    found = np.asarray(dates)
    if found.shape != (n,) or pd.isna(found).any():
        raise DataError(
            f"dates have the shape {found.shape} with {int(pd.isna(found).sum())} missing; one per "
            f"row is needed, {n} in all"
        )
    return np.unique(found, return_inverse=True)[1]


def checked_lags(n: int, horizon: int, lags: int | None) -> int:
    """Return the lags to use, or say why the number given will not do."""
    if n < 2:
        raise DataError(f"a test over dates needs 2 dates or more, got {n}")
    if horizon < 1:
        raise UsageError(f"horizon: got {horizon}, allowed: 1 or more")
    if lags is None:
        return newey_west_lags(n, horizon)
    if lags < horizon - 1:
        raise UsageError(
            f"lags: got {lags}; forecasts {horizon} bars ahead overlap, {horizon - 1} or more are "
            "needed"
        )
    return min(lags, n - 1)


def student(value: float, error: float, n: int, lags: int, alternative: str) -> MeanTest:
    """Return the test of a mean with this error, after Student with n - 1 degrees of freedom."""
    if error > 0:
        statistic, half = value / error, float(t.ppf(0.975, n - 1)) * error
    else:  # every date the same
        statistic, half = (0.0 if value == 0 else float(np.copysign(np.inf, value))), 0.0
    tail = statistic if alternative == "greater" else abs(statistic)
    p = float(t.sf(tail, n - 1)) * (1 if alternative == "greater" else 2)
    return MeanTest(value, error, statistic, p, value - half, value + half, n, lags)
