"""Losses of forecasts, row by row, and what they say beside those of a simple forecast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.metrics import Floats

Loss = Callable[[ArrayLike, ArrayLike], Floats]


def squared_error(y: ArrayLike, forecast: ArrayLike) -> Floats:
    """Return the squared error of each row; the forecast that minimises it is the mean.

    Examples
    --------
    >>> from fintech_dl.evaluation.forecasts import squared_error
    >>> squared_error([1.0, 2.0], [1.5, 2.0])
    array([0.25, 0.  ])
    """
    truth, guess = aligned("squared_error", y=y, forecast=forecast)
    return (truth - guess) ** 2


def absolute_error(y: ArrayLike, forecast: ArrayLike) -> Floats:
    """Return the absolute error of each row; the forecast that minimises it is the median."""
    truth, guess = aligned("absolute_error", y=y, forecast=forecast)
    return np.abs(truth - guess)


def qlike(y: ArrayLike, forecast: ArrayLike) -> Floats:
    """Return the QLIKE loss of variance forecasts, row by row: y/f - ln(y/f) - 1.

    It punishes forecasts that are too low more than those that are too high, does not depend on the
    unit, and ranks forecasts rightly even if ``y`` is a noisy measure of variance.

    Parameters
    ----------
    y, forecast : array of shape (n_rows,)
        Variances, not volatilities; above 0.

    Returns
    -------
    float64 array of shape (n_rows,)
        0 where the forecast is exact.

    Raises
    ------
    DataError
        Values of 0 or below; days without trade need a floor before.

    Notes
    -----
    Patton, Volatility forecast comparison using imperfect volatility proxies (2011).

    Examples
    --------
    >>> from fintech_dl.evaluation.forecasts import qlike
    >>> qlike([1.0, 1.0, 1.0], [1.0, 0.5, 2.0]).round(4)
    array([0.    , 0.3069, 0.1931])
    """
    truth, guess = aligned("qlike", y=y, forecast=forecast)
    for name, values in (("y", truth), ("forecast", guess)):
        if (values <= 0).any():
            raise DataError(
                f"qlike: {int((values <= 0).sum())} of {len(values)} values of {name} are 0 or "
                f"below (lowest: {values.min():g}); variances are above 0: set a floor first"
            )
    ratio = truth / guess
    return ratio - np.log(ratio) - 1


def pinball(y: ArrayLike, quantile: ArrayLike, level: float) -> Floats:
    """Return the pinball loss of each row; the forecast that minimises it is the quantile.

    Parameters
    ----------
    y, quantile : array of shape (n_rows,)
    level : float
        Which quantile, above 0 and below 1.

    Examples
    --------
    >>> from fintech_dl.evaluation.forecasts import pinball
    >>> pinball([1.0, -1.0], [0.0, 0.0], 0.9)
    array([0.9, 0.1])
    """
    if not 0 < level < 1:
        raise UsageError(f"pinball: level: got {level}, allowed: above 0, below 1")
    truth, guess = aligned("pinball", y=y, quantile=quantile)
    return np.maximum(level * (truth - guess), (level - 1) * (truth - guess))


def interval_score(y: ArrayLike, low: ArrayLike, high: ArrayLike, coverage: float) -> Floats:
    """Return the interval (Winkler) score of each row: width, plus a fine for what lies outside.

    The fine is 2 / (1 - coverage) times the distance to the interval, so that neither wide nor
    overconfident intervals pay.

    Raises
    ------
    UsageError
        A coverage that is not between 0 and 1.
    DataError
        Intervals that end before they begin.

    Notes
    -----
    Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation (2007), s6.2.

    Examples
    --------
    >>> from fintech_dl.evaluation.forecasts import interval_score
    >>> interval_score([0.0, 3.0], [-1.0, -1.0], [1.0, 1.0], 0.9).round(6)
    array([ 2., 42.])
    """
    if not 0 < coverage < 1:
        raise UsageError(f"interval_score: coverage: got {coverage}, allowed: above 0, below 1")
    truth, bottom, top = aligned("interval_score", y=y, low=low, high=high)
    if (turned := top < bottom).any():
        raise DataError(f"interval_score: in {int(turned.sum())} rows `high` lies below `low`")
    outside = np.maximum(bottom - truth, 0) + np.maximum(truth - top, 0)
    return top - bottom + 2 / (1 - coverage) * outside


def crps_from_quantiles(y: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> Floats:
    """Return the continuous ranked probability score of each row, from its quantiles.

    Twice the pinball loss, averaged over the levels; each level stands for the part of 0 to 1 that
    lies nearest to it. The more levels, the closer to the score of the whole distribution; compare
    models at the same levels only.

    Parameters
    ----------
    y : array of shape (n_rows,)
    quantiles : array of shape (n_rows, n_levels)
    levels : array of shape (n_levels,)
        Rising, above 0 and below 1.

    Returns
    -------
    float64 array of shape (n_rows,)
        In the unit of ``y``; of a sure forecast, its absolute error.

    Raises
    ------
    UsageError
        Levels that do not rise from above 0 to below 1, or not one per column.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import norm
    >>> from fintech_dl.evaluation.forecasts import crps_from_quantiles
    >>> levels = (np.arange(100) + 0.5) / 100
    >>> crps_from_quantiles([0.0], [norm.ppf(levels)], levels).round(3)  # exact: 0.2337
    array([0.234])
    """
    at = np.asarray(levels, dtype=float)
    table = np.asarray(quantiles, dtype=float)
    if at.ndim != 1 or (np.diff(np.concatenate([[0.0], at, [1.0]])) <= 0).any():
        raise UsageError(f"crps: levels must rise from above 0 to below 1, got {at.tolist()}")
    if table.ndim != 2 or table.shape[1] != len(at):
        raise UsageError(f"crps: {len(at)} levels and quantiles of shape {table.shape}")
    edges = np.concatenate([[0.0], (at[1:] + at[:-1]) / 2, [1.0]])
    losses = [pinball(y, table[:, i], level) for i, level in enumerate(at)]
    return 2 * np.asarray(np.diff(edges) @ np.array(losses))


def skill(y: ArrayLike, forecast: ArrayLike, base: ArrayLike, loss: Loss = squared_error) -> float:
    """Return the share of the base's mean loss that a forecast saves: 1 is perfect, 0 no gain.

    Parameters
    ----------
    y, forecast, base : array of shape (n_rows,)
        ``base`` may be one number.
    loss : function
        Of this module, or any of ``(y, forecast)`` that gives a loss per row.

    Raises
    ------
    DataError
        The base is exact, so that nothing is left to save.

    Examples
    --------
    >>> from fintech_dl.evaluation.forecasts import absolute_error, skill
    >>> skill([1.0, 2.0, 3.0], [1.5, 2.0, 2.5], 2.0, absolute_error)
    0.5
    """
    simple = float(np.mean(loss(y, np.broadcast_to(np.asarray(base, float), np.shape(y)))))
    if simple == 0:
        raise DataError("skill: the base makes no error, so that no forecast can be better")
    return 1 - float(np.mean(loss(y, forecast))) / simple


def r2_out_of_sample(y: ArrayLike, forecast: ArrayLike, base: ArrayLike = 0.0) -> float:
    """Return R2 against a base that was known beforehand, and not against the mean of the test.

    The base is 0 for returns of single stocks, the mean of the past for those of an index, and the
    last value for prices.

    Examples
    --------
    >>> from fintech_dl.evaluation.forecasts import r2_out_of_sample
    >>> r2_out_of_sample([1.0, -1.0], [0.5, 0.5])
    -0.25
    """
    return skill(y, forecast, base)


def mase(y: ArrayLike, forecast: ArrayLike, history: ArrayLike, season: int = 1) -> float:
    """Return the mean absolute error in units of that of the last value on the history.

    Below 1, the forecast errs less than "as ``season`` bars ago" did on the history, one bar
    ahead; for longer horizons compare it with the same number of the last value.

    Parameters
    ----------
    y, forecast : array of shape (n_rows,)
    history : array of shape (n_past,)
        The same series before the test, in time order.
    season : int
        1 is the last value.

    Raises
    ------
    DataError
        A history that is constant, or no longer than ``season``.

    Notes
    -----
    Hyndman and Koehler, Another look at measures of forecast accuracy (2006).

    Examples
    --------
    >>> from fintech_dl.evaluation.forecasts import mase
    >>> mase([5.0, 6.0], [4.0, 4.0], history=[1.0, 2.0, 4.0])
    1.0
    """
    (past,) = aligned("mase", history=history)
    if season < 1:
        raise UsageError(f"mase: season: got {season}, allowed: 1 or more")
    steps = np.abs(past[season:] - past[:-season])
    if len(steps) == 0 or steps.sum() == 0:
        raise DataError(
            f"mase: the history of {len(past)} values is constant or too short for season {season}"
        )
    return float(absolute_error(y, forecast).mean() / steps.mean())


def bias(y: ArrayLike, forecast: ArrayLike) -> float:
    """Return the mean of forecast minus truth: above 0, the forecasts are too high."""
    truth, guess = aligned("bias", y=y, forecast=forecast)
    return float((guess - truth).mean())


def aligned(where: str, **parts: ArrayLike) -> list[Floats]:
    """Return parts as float arrays of one length without gaps, or say which does not fit.

    Raises
    ------
    DataError
        Not one-dimensional, of different lengths, empty, or with values that are no finite numbers.

    Examples
    --------
    >>> from fintech_dl.evaluation.forecasts import aligned
    >>> aligned("demo", y=[1, 2], forecast=[3, 4])
    [array([1., 2.]), array([3., 4.])]
    """
    found = {name: np.asarray(part, dtype=float) for name, part in parts.items()}
    first = next(iter(found))
    for name, values in found.items():
        if values.ndim != 1 or len(values) != len(found[first]) or len(values) == 0:
            raise DataError(
                f"{where}: {name} has the shape {values.shape}, {first} {found[first].shape}; "
                "one value per row is needed of each"
            )
        if not np.isfinite(values).all():
            raise DataError(
                f"{where}: {int((~np.isfinite(values)).sum())} of {len(values)} values of {name} "
                "are no finite numbers; leave these rows out of all forecasts that are compared"
            )
    return list(found.values())
