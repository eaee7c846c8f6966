"""Whether one forecast is better than another, or better than luck: tests for series in time.

Losses of neighbouring dates are alike, and rows of one date share its luck. So each test averages
over the rows of a date first, and its errors are Newey-West's (Bartlett weights).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm

from fintech_dl.errors import DataError
from fintech_dl.evaluation.forecasts import aligned
from fintech_dl.evaluation.newey_west import (
    MeanTest,
    WaldTest,
    by_date,
    checked_lags,
    date_numbers,
    long_run_covariance,
    mean_test,
    student,
)


class DirectionTest(NamedTuple):
    """Share of directions that were right, what chance alone gives, and a one-sided test."""

    hits: float
    by_chance: float
    statistic: float
    p_value: float


@dataclass(frozen=True)
class Calibration:
    """A regression of what happened on its forecast, after Mincer and Zarnowitz.

    Attributes
    ----------
    intercept, slope : float
        0 and 1 for forecasts that need no correction.
    intercept_error, slope_error : float
        Newey-West errors.
    r2 : float
    test : WaldTest
        Of intercept 0 and slope 1 together.
    """

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float
    r2: float
    test: WaldTest


def diebold_mariano(
    loss_base: ArrayLike,
    loss_model: ArrayLike,
    *,
    horizon: int = 1,
    dates: ArrayLike | None = None,
    lags: int | None = None,
) -> MeanTest:
    """Test whether two forecasts have the same mean loss; positive: the model is better.

    Use it for forecasts that are not nested; where the base is a special case of the model, see
    ``clark_west``.

    Parameters
    ----------
    loss_base, loss_model : array of shape (n_rows,)
        Losses of the same rows, in time order unless ``dates`` are given.
    horizon : int
        Bars that a forecast reaches ahead.
    dates : array of shape (n_rows,), optional
        Needed where several rows share a date (a panel): their losses are averaged first.
    lags : int, optional
        See ``mean_test``.

    Returns
    -------
    MeanTest
        Of loss_base - loss_model, two-sided, with the correction of Harvey, Leybourne and Newbold
        for short series.

    Raises
    ------
    DataError
        Too few dates for the horizon; else as ``mean_test``.

    Notes
    -----
    Diebold and Mariano, Comparing predictive accuracy (1995); Harvey, Leybourne and Newbold,
    Testing the equality of prediction mean squared errors (1997). Bartlett weights, because the
    equal weights of the original can give a variance below 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.forecast_tests import diebold_mariano
    >>> rng = np.random.default_rng(0)
    >>> losses = rng.chisquare(1, (2, 400))
    >>> diebold_mariano(losses[0], 0.5 * losses[1]).p_value < 0.01
    True
    """
    base, model = aligned("diebold_mariano", loss_base=loss_base, loss_model=loss_model)
    series = by_date(base - model, dates)
    n, h = len(series), horizon
    factor = (n + 1 - 2 * h + h * (h - 1) / n) / n
    if n < 2 * h or factor <= 0:
        raise DataError(
            f"diebold_mariano: {n} dates are too few for a horizon of {h}; test on more dates"
        )
    plain = mean_test(series, horizon=h, lags=lags)
    return student(plain.value, plain.error / float(np.sqrt(factor)), n, plain.lags, "two-sided")


def clark_west(
    y: ArrayLike,
    base: ArrayLike,
    model: ArrayLike,
    *,
    horizon: int = 1,
    dates: ArrayLike | None = None,
    lags: int | None = None,
) -> MeanTest:
    """Test whether a model that contains the base has something to add, by squared errors.

    The larger model pays for parameters that are 0 in truth; the test gives that back. One-sided:
    a small p-value says that the additions help on average, not that the forecasts are better.

    Parameters
    ----------
    y, base, model : array of shape (n_rows,)
        What happened, and the forecasts of the smaller and of the larger model.
    horizon, dates, lags
        As in ``diebold_mariano``.

    Returns
    -------
    MeanTest
        Of e_base^2 - (e_model^2 - (base - model)^2); ``p_value`` of "no more than 0".

    Notes
    -----
    Clark and West, Approximately normal tests for equal predictive accuracy in nested models
    (2007).

    Examples
    --------
    >>> from fintech_dl.evaluation.forecast_tests import clark_west
    >>> clark_west([1.0, -1.0, 2.0], [0.0, 0.0, 0.0], [0.5, -0.5, 0.5], lags=0).value
    1.3333333333333333
    """
    truth, small, large = aligned("clark_west", y=y, base=base, model=model)
    gain = (truth - small) ** 2 - ((truth - large) ** 2 - (small - large) ** 2)
    return mean_test(by_date(gain, dates), horizon=horizon, lags=lags, alternative="greater")


def giacomini_white(
    loss_base: ArrayLike,
    loss_model: ArrayLike,
    *,
    known: ArrayLike | None = None,
    horizon: int = 1,
    dates: ArrayLike | None = None,
) -> WaldTest:
    """Test whether what is known beforehand tells which of two forecasts will lose less.

    Parameters
    ----------
    loss_base, loss_model : array of shape (n_rows,)
    known : array of shape (n_dates, n_known), optional
        What was known when each date's forecasts were made, one row per date. Default: the
        difference of losses last seen by then, ``horizon`` dates ago. A constant is added.
    horizon, dates
        As in ``diebold_mariano``.

    Returns
    -------
    WaldTest
        Of "not on average, and not foreseeably": chi-squared, one degree of freedom per instrument.

    Notes
    -----
    Giacomini and White, Tests of conditional predictive ability (2006). Valid for models refitted
    on windows of limited length; of an expanding window it is an approximation.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.forecast_tests import giacomini_white
    >>> losses = np.random.default_rng(0).chisquare(1, (2, 400))
    >>> giacomini_white(losses[0], losses[1]).p_value > 0.05
    True
    """
    base, model = aligned("giacomini_white", loss_base=loss_base, loss_model=loss_model)
    gain = by_date(base - model, dates)
    if known is None:
        seen, gain = gain[:-horizon, None], gain[horizon:]
    else:
        seen = np.asarray(known, dtype=float).reshape(len(known), -1)  # type: ignore[arg-type]
        if len(seen) != len(gain) or not np.isfinite(seen).all():
            raise DataError(
                f"giacomini_white: known has the shape {seen.shape}; one row of finite numbers is "
                f"needed for each of the {len(gain)} dates"
            )
    moments = np.column_stack([np.ones(len(gain)), seen]) * gain[:, None]
    n, df = moments.shape
    if n <= df + horizon:
        raise DataError(f"giacomini_white: {n} dates are too few for {df} instruments")
    mean = moments.mean(axis=0)
    covariance = long_run_covariance(moments, horizon - 1, centred=False)
    statistic = float(n * mean @ np.linalg.pinv(covariance) @ mean)
    return WaldTest(statistic, df, float(chi2.sf(statistic, df)))


def mincer_zarnowitz(
    y: ArrayLike,
    forecast: ArrayLike,
    *,
    horizon: int = 1,
    dates: ArrayLike | None = None,
    lags: int | None = None,
) -> Calibration:
    """Regress what happened on its forecast, to see whether the forecast needs a correction.

    Parameters
    ----------
    y, forecast : array of shape (n_rows,)
    horizon, dates, lags
        As in ``diebold_mariano``; rows of one date count together.

    Returns
    -------
    Calibration

    Raises
    ------
    DataError
        Fewer than 3 rows, or forecasts that are all the same.

    Notes
    -----
    Mincer and Zarnowitz, The evaluation of economic forecasts (1969). For panels the errors are
    those of Driscoll and Kraay (1998).

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.forecast_tests import mincer_zarnowitz
    >>> forecast = np.random.default_rng(0).normal(size=300)
    >>> noise = np.random.default_rng(1).normal(size=300)
    >>> mincer_zarnowitz(0.5 * forecast + noise, forecast).test.p_value < 0.01
    True
    """
    truth, guess = aligned("mincer_zarnowitz", y=y, forecast=forecast)
    if len(truth) < 3 or np.ptp(guess) == 0:
        raise DataError(
            f"mincer_zarnowitz: {len(truth)} rows with {len(np.unique(guess))} different "
            "forecasts; 3 rows and 2 forecasts are needed"
        )
    of_row = np.arange(len(truth)) if dates is None else date_numbers(dates, len(truth))
    n = int(of_row.max()) + 1
    X = np.column_stack([np.ones(len(guess)), guess])
    inverse = np.linalg.inv(X.T @ X)
    beta = inverse @ X.T @ truth
    rest = truth - X @ beta
    scores = np.array([np.bincount(of_row, x * rest, n) for x in X.T], dtype=float).T
    spread = long_run_covariance(scores, checked_lags(n, horizon, lags), centred=False)
    covariance = n * inverse @ spread @ inverse
    off = beta - [0.0, 1.0]
    statistic = float(off @ np.linalg.pinv(covariance) @ off)
    errors = np.sqrt(np.diag(covariance))
    variance = ((truth - truth.mean()) ** 2).sum()
    return Calibration(
        intercept=float(beta[0]),
        slope=float(beta[1]),
        intercept_error=float(errors[0]),
        slope_error=float(errors[1]),
        r2=float(1 - (rest**2).sum() / variance) if variance > 0 else float("nan"),
        test=WaldTest(statistic, 2, float(chi2.sf(statistic, 2))),
    )


def pesaran_timmermann(
    y: ArrayLike, forecast: ArrayLike, *, horizon: int = 1, dates: ArrayLike | None = None
) -> DirectionTest:
    """Test whether forecasts have the right sign more often than chance gives.

    Chance already gives more than half where both mostly say "up". Above 0 is up, all else is not.

    Parameters
    ----------
    y, forecast : array of shape (n_rows,)
    horizon, dates
        With a horizon above 1, or with dates (a panel), rows are not independent: the statistic is
        then the Newey-West t-value of the covariance between both directions, by date.

    Returns
    -------
    DirectionTest
        ``p_value`` is one-sided, after the normal distribution.

    Raises
    ------
    DataError
        One direction only, in truth or forecast.

    Notes
    -----
    Pesaran and Timmermann, A simple nonparametric test of predictive performance (1992).

    Examples
    --------
    >>> from fintech_dl.evaluation.forecast_tests import pesaran_timmermann
    >>> y = [1, 1, -1, -1, 1, -1, 1, -1]
    >>> found = pesaran_timmermann(y, [2, 1, -1, -2, 1, -1, -1, 1])
    >>> found.hits, found.by_chance, round(found.statistic, 3)
    (0.75, 0.5, 1.512)
    """
    truth, guess = aligned("pesaran_timmermann", y=y, forecast=forecast)
    up, said = (truth > 0).astype(float), (guess > 0).astype(float)
    p, q, n = up.mean(), said.mean(), len(up)
    for name, share in (("y", p), ("forecast", q)):
        if share in (0, 1):
            raise DataError(
                f"pesaran_timmermann: {name} knows one direction only in {n} rows; nothing to test"
            )
    hits = float((up == said).mean())
    chance = float(p * q + (1 - p) * (1 - q))
    if dates is None and horizon == 1:
        variance = chance * (1 - chance) / n
        variance -= (2 * p - 1) ** 2 * q * (1 - q) / n + (2 * q - 1) ** 2 * p * (1 - p) / n
        variance -= 4 * p * q * (1 - p) * (1 - q) / n**2
        statistic = float((hits - chance) / np.sqrt(variance))
    else:
        statistic = mean_test(by_date((up - p) * (said - q), dates), horizon=horizon).t
    return DirectionTest(hits, chance, statistic, float(norm.sf(statistic)))
