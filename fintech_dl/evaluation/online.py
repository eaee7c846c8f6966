"""Intervals as they would have been given: from what was known at the time, date by date."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fintech_dl.errors import DataError
from fintech_dl.evaluation.conformal import (
    Said,
    dates_of,
    outcomes,
    risk_of,
    scores_of,
    tails_of,
    wide,
)
from fintech_dl.evaluation.interval_record import RISK, Bands
from fintech_dl.evaluation.intervals import ConformalRegressor
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.table import Table

Steps = Iterator[tuple[slice, ConformalRegressor]]  # the rows of a date, and the model as of then
Walk = tuple[Said, Floats, Steps]


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
    low, high = _ends(*_walk(model, X, y, when, until), model._place(coverage))
    return low, high


def online_ends(
    model: ConformalRegressor, table: Table, at: Any, coverage: float | None = None
) -> tuple[Floats, Floats]:
    """Return the intervals of one coverage alone that `online_bands` gives: what scoring needs.

    Parameters
    ----------
    model, table, at
        As for `online_bands`.
    coverage : float, optional
        One of the model's; default: the first.

    Returns
    -------
    low, high : float64 arrays
        Of several horizons those of the first.
    """
    own, walk = _walk_since(model, table, at)
    return of_main(_ends(*walk, model._place(coverage))[:, own])


def online_bands(model: ConformalRegressor, table: Table, at: Any) -> Bands:
    """Return what would have been said of some rows of a table, date by date: intervals, and risk.

    The walk of `online_intervals`, through all rows later than those that the model was calibrated
    on. Learnt is from these alone, so that a run and whoever scores later rows, with the rows
    between as their history, say the same to the bit.

    Parameters
    ----------
    model : ConformalRegressor
        Calibrated with dates. Left as it is.
    table : Table
        With ``y``, missing where the outcome is not known, ``when`` and ``until``.
    at : int array
        Positions of the rows, in rising order.

    Returns
    -------
    Bands
        ``frozen`` holds the intervals that the model gives as it is. Of several horizons those of
        the first.

    Raises
    ------
    DataError
        As `online_intervals`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.dummy import DummyRegressor
    >>> from fintech_dl import ConformalRegressor
    >>> from fintech_dl.evaluation.online import online_bands
    >>> from fintech_dl.table import Table
    >>> day = pd.Series(pd.date_range("2024-01-01", periods=100))
    >>> y = pd.Series(np.random.default_rng(0).normal(size=100)) * ([1.0] * 50 + [3.0] * 50)
    >>> table = Table(X=pd.DataFrame({"x": y * 0}), y=y, when=day, until=day + pd.Timedelta("1D"))
    >>> model = ConformalRegressor(DummyRegressor(), adapt=0.05).fit(table.X[:50], y[:50])
    >>> model = model.calibrate(table.X[:50], y[:50], day[:50])
    >>> bands = online_bands(model, table, np.arange(90, 100))
    >>> [bool((ends[1] - ends[0] > 5).all()) for ends in (bands.ends[0.9], bands.frozen)]
    [True, False]
    """
    own, (forecast, truth, walk) = _walk_since(model, table, at)
    coverages = np.atleast_1d(model.coverage).tolist()
    ends = np.empty((len(coverages), 2, *truth.shape))
    risk = None if model.logs else np.empty((2, *truth.shape))
    for today, then in walk:
        part = _part(forecast, today)
        for i in range(len(coverages)):
            ends[i, :, today] = then._interval(part, i)
        if risk is not None:
            risk[:, today] = risk_of(part, tails_of(then.residuals_, RISK))
    return Bands(
        ends={c: of_main(pair[:, own]) for c, pair in zip(coverages, ends, strict=True)},
        var=None if risk is None else of_main(risk[:, own])[0],
        shortfall=None if risk is None else of_main(risk[:, own])[1],
        frozen=of_main(model._interval(_part(forecast, own), 0)),
    )


def of_main(pair: Iterable[Floats]) -> tuple[Floats, Floats]:
    """Return two ends of the main horizon alone, the first of several.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.online import of_main
    >>> of_main((np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])))
    (array([1.]), array([3.]))
    """
    low, high = (ends if ends.ndim == 1 else ends[:, 0] for ends in pair)
    return low, high


def with_forecasts(model: ConformalRegressor, predict: Callable[[Any], Any]) -> ConformalRegressor:
    """Return a calibrated model whose forecasts another function gives, such as that of its graph.

    Conformalised quantiles come from the network itself: there the model stays as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from fintech_dl import ConformalRegressor
    >>> from fintech_dl.evaluation.online import with_forecasts
    >>> X, y = np.zeros((20, 1)), np.linspace(-1, 1, 20)
    >>> model = ConformalRegressor(DummyRegressor()).fit(X, y).calibrate(X, y)
    >>> with_forecasts(model, lambda X: np.full(len(X), 5.0)).predict_interval(X[:1])
    (array([4.]), array([6.]))
    """
    if model.method == "cqr":
        return model
    found = copy.copy(model)
    found.estimator_ = SimpleNamespace(predict=predict)
    return found


def since_calibration(model: ConformalRegressor, table: Table) -> NDArray[np.intp]:
    """Return the positions of the rows later than all that a model was calibrated on.

    None, if it was calibrated without dates.
    """
    if model.last_ is None or table.when is None:
        return np.array([], dtype=np.intp)
    return np.flatnonzero(table.when.to_numpy() > model.last_[0])


def _walk_since(model: ConformalRegressor, table: Table, at: Any) -> tuple[Any, Walk]:
    """Walk through all rows since the calibration; return where the rows ``at`` are among them."""
    later = since_calibration(model, table)
    walked = np.union1d(at, later[later <= at[-1]])
    rows = table.rows(walked)
    assert rows.when is not None
    y = np.array(table.y, dtype=float)[walked]
    y[~np.isin(walked, later)] = np.nan
    return np.searchsorted(walked, at), _walk(model, rows.X, y, rows.when, rows.until)


def _ends(forecast: Said, truth: Floats, walk: Steps, place: int) -> Floats:
    """Return both ends of one coverage, as they were on each date."""
    ends = np.empty((2, *truth.shape))
    for today, then in walk:
        ends[:, today] = then._interval(_part(forecast, today), place)
    return ends


def _part(forecast: Said, rows: Any) -> Said:
    return Said(*(values[rows] for values in forecast))


def _walk(
    model: ConformalRegressor, X: Any, y: ArrayLike, when: ArrayLike, until: ArrayLike | None
) -> Walk:
    """Return forecasts, outcomes, and for each date its rows with the model as it was then.

    Outcomes are learnt together if they became known together, whatever dates the table has: rows
    that nothing can be learnt from change nothing.
    """
    forecast = model._forecast(X)
    truth = outcomes("online_intervals", forecast, y, logs=model.logs)
    residuals, scores = scores_of(forecast, truth)
    date = dates_of("online_intervals", when, len(truth))
    now, known = _known(date, when, until, model.horizon)
    known = np.where(np.isfinite(wide(truth)).all(axis=1), known, -1)
    order = np.argsort(known, kind="stable")
    order = order[np.searchsorted(known[order], 0) :]
    news = np.split(order, np.flatnonzero(np.diff(known[order])) + 1)

    def steps() -> Iterator[tuple[slice, ConformalRegressor]]:
        walker, learnt = copy.copy(model), 0
        given: list[Floats] = []
        starts = np.flatnonzero(np.diff(date, prepend=-1))
        for first, end in zip(starts, [*starts[1:], len(date)], strict=True):
            while learnt < len(news) and len(news[learnt]) and known[news[learnt][0]] <= now[first]:
                fresh = news[learnt]
                margins = np.stack([given[i] for i in date[fresh]])
                walker._learn(residuals[fresh], scores[fresh], margins)
                learnt += 1
            given.append(walker.margins_[-1])
            yield slice(first, end), walker

    return forecast, truth, steps()


def _known(
    date: NDArray[np.int64], when: ArrayLike, until: ArrayLike | None, horizon: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return numbers in time order: of each row's date, and of when its outcome is known.

    -1: never.
    """
    if until is None:
        return date, date + horizon
    times, ends = pd.Series(np.asarray(when)), pd.Series(np.asarray(until))
    if len(ends) != len(times) or (early := ends <= times).any():
        what = "differs from `when` in length"
        if len(ends) == len(times):
            what = f"is not later than `when` in {int(early.sum())} rows (first: {early.argmax()})"
        raise DataError(f"online_intervals: `until` {what}; it says when an outcome is known")
    codes, _ = pd.factorize(pd.concat([times, ends], ignore_index=True), sort=True)
    return codes[: len(times)], codes[len(times) :]
