"""What a Sharpe ratio is worth: its interval, the chance that it is luck, the time to be sure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kurtosis, norm, skew, t

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.forecasts import aligned
from fintech_dl.evaluation.newey_west import checked_lags, long_run_covariance
from fintech_dl.evaluation.portfolios import sharpe


class TrackRecord(NamedTuple):
    """A track record: Sharpe ratio of one period, skewness, kurtosis (normal: 3), periods."""

    sharpe: float
    skew: float
    kurtosis: float
    n: int


def record_of(returns: ArrayLike) -> TrackRecord:
    """Return what the chances of luck need to know of returns; NaN where all are alike.

    Examples
    --------
    >>> from fintech_dl.evaluation.sharpe_tests import record_of
    >>> round(record_of([0.01, 0.03, 0.02]).sharpe, 3)
    2.0
    """
    (x,) = aligned("record_of", returns=returns)
    if not x.std() > 0:
        return TrackRecord(float("nan"), float("nan"), float("nan"), len(x))
    return TrackRecord(sharpe(x, 1), float(skew(x)), float(kurtosis(x, fisher=False)), len(x))


def sharpe_interval(
    returns: ArrayLike, per_year: float, *, lags: int | None = None
) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a Sharpe ratio per year.

    Parameters
    ----------
    returns : array of shape (n_periods,)
        In time order, of periods that do not overlap.
    per_year : float
        Periods per year.
    lags : int, optional
        Neighbouring periods that may be alike. Default: ``newey_west_lags(n)``. 0 takes them for
        independent: Lo's interval, with skewness and kurtosis counted.

    Returns
    -------
    low, high : float
        NaN where all returns are alike.

    Raises
    ------
    DataError
        Fewer than 2 periods, or returns that are no finite numbers.

    Notes
    -----
    Lo, The statistics of Sharpe ratios (2002); Ledoit and Wolf, Robust performance hypothesis
    testing with the Sharpe ratio (2008): the delta method on mean and mean square, with Newey-West
    errors. After Student with n - 1 degrees of freedom.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.sharpe_tests import sharpe_interval
    >>> returns = np.random.default_rng(0).normal(0.001, 0.01, 1000)
    >>> low, high = sharpe_interval(returns, 252)
    >>> round(low, 1), round(high, 1)
    (-0.1, 1.8)
    """
    (x,) = aligned("sharpe_interval", returns=returns)
    used = checked_lags(len(x), 1, lags)
    mean, square = float(x.mean()), float((x**2).mean())
    spread = square - mean**2
    if not spread > 0:
        return float("nan"), float("nan")
    slopes = np.array([square, -mean / 2]) / spread**1.5
    covariance = long_run_covariance(np.column_stack([x, x**2]), used)
    error = float(np.sqrt(slopes @ covariance @ slopes / len(x)))
    half = float(t.ppf(0.975, len(x) - 1)) * error
    root, middle = float(np.sqrt(per_year)), sharpe(x, 1)
    return root * (middle - half), root * (middle + half)


def probabilistic_sharpe(record: TrackRecord, benchmark: float = 0.0) -> float:
    """Return the chance that the true Sharpe ratio is above a benchmark.

    Parameters
    ----------
    record : TrackRecord
    benchmark : float
        Sharpe ratio of one period.

    Notes
    -----
    Bailey and Lopez de Prado, The Sharpe ratio efficient frontier (2012).

    Examples
    --------
    >>> from fintech_dl.evaluation.sharpe_tests import TrackRecord, probabilistic_sharpe
    >>> round(probabilistic_sharpe(TrackRecord(0.1, 0.0, 3.0, 252)), 3)
    0.943
    """
    gap = (record.sharpe - benchmark) * np.sqrt(record.n - 1)
    return float(norm.cdf(gap / np.sqrt(_width(record))))


def luckiest(tried: int, spread: float) -> float:
    """Return the best Sharpe ratio to expect of so many models that know nothing.

    Parameters
    ----------
    tried : int
        Models, independent of each other.
    spread : float
        Standard deviation of their Sharpe ratios; with n periods luck alone makes about
        1 / sqrt(n - 1).

    Raises
    ------
    UsageError
        Fewer than one model.

    Notes
    -----
    Bailey and Lopez de Prado, The deflated Sharpe ratio (2014); of one model it is 0.

    Examples
    --------
    >>> from fintech_dl.evaluation.sharpe_tests import luckiest
    >>> round(luckiest(10, 1.0), 3)
    1.575
    """
    if tried < 1:
        raise UsageError(f"tried: got {tried}, allowed: 1 or more")
    if tried == 1:
        return 0.0
    rare, rarer = norm.isf(1 / tried), norm.isf(1 / (tried * np.e))
    return float(spread * ((1 - np.euler_gamma) * rare + np.euler_gamma * rarer))


def deflated_sharpe(record: TrackRecord, tried: int, spread: float | None = None) -> float:
    """Return the chance that a Sharpe ratio, the best of several tried, is more than luck.

    Parameters
    ----------
    record : TrackRecord
        Of the best.
    tried : int
        How many were tried, it included.
    spread : float, optional
        Standard deviation of the Sharpe ratios of all. Default: what luck alone makes,
        1 / sqrt(n - 1).

    Examples
    --------
    >>> from fintech_dl.evaluation.sharpe_tests import TrackRecord, deflated_sharpe
    >>> record = TrackRecord(2.5 / 250**0.5, -3.0, 10.0, 1250)  # the example of the article
    >>> round(deflated_sharpe(record, 100, (0.5 / 250) ** 0.5), 3)
    0.9
    """
    own = 1 / np.sqrt(record.n - 1) if spread is None else spread
    return probabilistic_sharpe(record, luckiest(tried, float(own)))


def track_record_needed(record: TrackRecord, benchmark: float = 0.0, sure: float = 0.95) -> float:
    """Return the periods after which such returns show a Sharpe ratio above a benchmark.

    Infinite where the Sharpe ratio is not above it.

    Notes
    -----
    The minimum track record length of Bailey and Lopez de Prado (2012).

    Examples
    --------
    >>> from fintech_dl.evaluation.sharpe_tests import TrackRecord, track_record_needed
    >>> days = track_record_needed(TrackRecord(2 / 252**0.5, 0.0, 3.0, 0), benchmark=1 / 252**0.5)
    >>> round(days / 252, 2)
    2.73
    """
    gap = record.sharpe - benchmark
    if not gap > 0:
        return float("inf")
    return float(1 + _width(record) * (norm.ppf(sure) / gap) ** 2)


def _width(record: TrackRecord) -> float:
    """Return the variance of a Sharpe ratio's error, times the periods."""
    s = record.sharpe
    return float(1 - record.skew * s + (record.kurtosis - 1) / 4 * s**2)
