"""Intervals as they would have been given: from what was known at the time, date by date."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fintech_dl.errors import DataError
from fintech_dl.evaluation.conformal import (
    Forecast,
    dates_of,
    interval_of,
    outcomes,
    scores_of,
    wide,
)
from fintech_dl.evaluation.intervals import ConformalRegressor
from fintech_dl.evaluation.metrics import Floats


def online_intervals(
    model: ConformalRegressor,
    X: Any,
    y: ArrayLike,
    when: ArrayLike,
    until: ArrayLike | None = None,
    *,
    coverage: float | None = None,
) -> tuple[Floats, Floats]:
    """Return the intervals that would have been given, date by date, each from what was known.

    Before the intervals of a date are made, the model is updated with the outcomes that have become
    known since the date before, and with no others. Without it, tests of rolling or adaptive
    intervals know the future.

    Parameters
    ----------
    model : ConformalRegressor
        Calibrated on rows whose outcomes were known by the first date. Left as it is.
    X : DataFrame or array of shape (n_rows, n_columns)
    y : array of shape (n_rows,) or (n_rows, n_targets)
        NaN where the outcome is not known.
    when : array of shape (n_rows,)
        When each row is decided, in rising order.
    until : array of shape (n_rows,), optional
        When its outcome is known, later than ``when``; missing: never. Default: as many dates of
        ``when`` later as the ``horizon`` of the model.
    coverage : float, optional
        One of the model's; default: the first.

    Returns
    -------
    low, high : float64 arrays of shape (n_rows,) or (n_rows, n_targets)

    Raises
    ------
    DataError
        Dates missing or out of order, outcomes known when the row is decided, shapes that differ.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from fintech_dl import ConformalRegressor
    >>> from fintech_dl.evaluation.online import online_intervals
    >>> rng = np.random.default_rng(0)
    >>> y = rng.standard_normal(1500) * np.repeat([1.0, 3.0], [800, 700])  # a break
    >>> X, day = np.zeros((1500, 1)), np.arange(1500)
    >>> model = ConformalRegressor(DummyRegressor(), adapt=0.02, window=250)
    >>> model = model.fit(X[:300], y[:300]).calibrate(X[300:800], y[300:800])
    >>> for low, high in (model.predict_interval(X[800:]),
    ...                   online_intervals(model, X[800:], y[800:], day[800:])):
    ...     print(round(float(((low <= y[800:]) & (y[800:] <= high)).mean()), 2))
    0.4
    0.9
    """
    model._need_calibration()
    at = model._place(coverage)
    forecast = model._forecast(X)
    truth = outcomes("online_intervals", forecast, y)
    date = dates_of("online_intervals", when, len(truth))
    n_dates = int(date[-1]) + 1
    known = _known(date, when, until, model.horizon)
    known[~np.isfinite(wide(truth)).all(axis=1)] = n_dates
    residuals, scores = scores_of(forecast, truth)
    order = np.argsort(known, kind="stable")
    news = np.searchsorted(known[order], np.arange(n_dates + 1))
    rows = np.searchsorted(date, np.arange(n_dates + 1))
    walker, low, high = copy.copy(model), np.empty_like(truth), np.empty_like(truth)
    for step in range(n_dates):
        if step:
            fresh = order[news[step] : news[step + 1]]
            walker._learn(residuals[fresh], scores[fresh])
        today = slice(rows[step], rows[step + 1])
        part = Forecast(*(values[today] for values in forecast))
        low[today], high[today] = interval_of(part, walker.margins_[-1], at)
    return low, high


def _known(
    date: NDArray[np.int64], when: ArrayLike, until: ArrayLike | None, horizon: int
) -> NDArray[np.int64]:
    """Return the number of the first date on which each outcome is known."""
    if until is None:
        return date + horizon
    times, ends = pd.Series(np.asarray(when)), pd.Series(np.asarray(until))
    if len(ends) != len(times) or (early := ends <= times).any():
        what = "differs from `when` in length"
        if len(ends) == len(times):
            what = f"is not later than `when` in {int(early.sum())} rows (first: {early.argmax()})"
        raise DataError(f"online_intervals: `until` {what}; it says when an outcome is known")
    found = np.searchsorted(times.drop_duplicates(), ends, side="left")
    return np.where(ends.isna(), date[-1] + 1, found)
