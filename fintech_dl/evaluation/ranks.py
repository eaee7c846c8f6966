"""How well scores order the assets of a date: information coefficients and returns by bucket.

What the order is worth in money is in ``portfolios``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.newey_west import mean_test


class Coefficients(NamedTuple):
    """A series of information coefficients in a few numbers.

    ``mean`` with its 95 % interval ``low`` to ``high`` and Newey-West ``t`` and ``p_value``,
    ``std`` over dates, ``icir`` = mean / std, ``hit`` the share of dates above 0, ``n`` dates,
    ``undefined`` dates on which all scores, or all returns, were alike.
    """

    mean: float
    low: float
    high: float
    t: float
    p_value: float
    std: float
    icir: float
    hit: float
    n: int
    undefined: int


def information_coefficient(
    y: ArrayLike, score: ArrayLike, dates: ArrayLike, *, rank: bool = True, fewest: int = 5
) -> pd.Series[Any]:
    """Return the correlation of score and return over the assets of each date.

    Parameters
    ----------
    y : array of shape (n_rows,)
        What happened, such as the return over the next bars. NaN: the row is left out.
    score : array of shape (n_rows,)
        Higher for a better asset. NaN: the row is left out.
    dates : array of shape (n_rows,)
    rank : bool
        Correlate ranks (Spearman, the rank IC) instead of values (Pearson, the IC).
    fewest : int
        Dates with fewer assets are left out.

    Returns
    -------
    Series
        By date, -1 to 1; NaN where all scores, or all returns, of a date are alike.

    Raises
    ------
    DataError
        Parts of unequal length, infinite values, or no date with enough assets.

    Examples
    --------
    >>> from fintech_dl.evaluation.ranks import information_coefficient
    >>> y = [0.01, 0.02, 0.03, 0.01, 0.02, 0.03]
    >>> score, dates = [1, 2, 3, 1, 3, 2], [1, 1, 1, 2, 2, 2]
    >>> information_coefficient(y, score, dates, fewest=3).round(2).tolist()
    [1.0, 0.5]
    """
    rows = _rows(dates, y=y, score=score).dropna()
    days, date, count = np.unique(rows["date"], return_inverse=True, return_counts=True)
    many = count >= fewest
    if not many.any():
        raise DataError(
            f"information_coefficient: no date has {fewest} assets with score and return"
        )
    rows, date, count = rows[many[date]], (np.cumsum(many) - 1)[date[many[date]]], count[many]
    given = values = rows[["y", "score"]]
    if rank:
        values = values.groupby(date).rank()
    start = np.cumsum(count) - count  # rows are in time order
    parts = values.to_numpy() - (np.add.reduceat(values.to_numpy(), start) / count[:, None])[date]
    both = np.add.reduceat(parts[:, 0] * parts[:, 1], start)
    roots = np.sqrt(np.add.reduceat(parts**2, start))
    largest, scale = (np.maximum.reduceat(np.abs(p), start) for p in (parts, given.to_numpy()))
    found = np.full(len(count), np.nan)
    np.divide(both, roots.prod(axis=1), out=found, where=(largest > 1e-12 * scale).all(axis=1))
    index = pd.Index(days[many], name="date")
    return pd.Series(found, index, name="rank_ic" if rank else "ic")


def summarise(coefficients: pd.Series[Any], *, horizon: int = 1) -> Coefficients:
    """Return mean, interval, t-value and spread of a series of information coefficients.

    Parameters
    ----------
    coefficients : Series
        In time order; dates that are NaN are left out and counted.
    horizon : int
        Bars that a return reaches ahead; see ``newey_west.mean_test``.

    Returns
    -------
    Coefficients

    Raises
    ------
    DataError
        Fewer than 2 dates.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.ranks import summarise
    >>> found = summarise(pd.Series([0.1, -0.02, 0.04, 0.08]))
    >>> round(found.mean, 3), round(found.icir, 3), found.hit
    (0.05, 0.945, 0.75)
    """
    known = coefficients.dropna().to_numpy(dtype=float)
    test = mean_test(known, horizon=horizon)
    std = float(known.std(ddof=1))
    return Coefficients(
        mean=test.value,
        low=test.low,
        high=test.high,
        t=test.t,
        p_value=test.p_value,
        std=std,
        icir=test.value / std if std > 0 else float("nan"),
        hit=float((known > 0).mean()),
        n=test.n,
        undefined=len(coefficients) - len(known),
    )


def by_period(
    coefficients: pd.Series[Any], period: Literal["month", "year"], *, horizon: int = 1
) -> pd.DataFrame:
    """Return ``summarise`` of each month or year; one date alone has a mean only.

    Parameters
    ----------
    coefficients : Series
        By date.
    period : str
        ``"month"`` or ``"year"``.
    horizon : int

    Returns
    -------
    DataFrame
        Indexed by period (``2024-01`` or ``2024``), with the fields of ``Coefficients``.

    Raises
    ------
    UsageError
        Another period.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.ranks import by_period
    >>> dates = pd.to_datetime(["2023-12-28", "2023-12-29", "2024-01-02", "2024-01-03"])
    >>> by_period(pd.Series([0.1, 0.3, -0.1, 0.0], dates), "year")["mean"].round(3).to_dict()
    {'2023': 0.2, '2024': -0.05}
    """
    forms = {"month": "%Y-%m", "year": "%Y"}
    if period not in forms:
        raise UsageError(f"by_period: got {period!r}, allowed: 'month' or 'year'")
    labels = pd.DatetimeIndex(coefficients.index).strftime(forms[period])
    found = {}
    for label, part in coefficients.groupby(labels):
        if part.notna().sum() > 1:
            found[label] = summarise(part, horizon=horizon)._asdict()
        else:
            few = {"mean": part.mean(), "n": int(part.notna().sum())}
            found[label] = few | {"undefined": int(part.isna().sum())}
    return pd.DataFrame.from_dict(found, orient="index", columns=list(Coefficients._fields))


def decay(
    returns: Mapping[int, ArrayLike], score: ArrayLike, dates: ArrayLike, *, rank: bool = True
) -> pd.DataFrame:
    """Return ``summarise`` of the same scores against returns over several horizons.

    Use it to see for how long a score is worth something, and so how often to trade on it.

    Parameters
    ----------
    returns : dict of int to array of shape (n_rows,)
        By horizon in bars, the returns of the rows.
    score, dates : array of shape (n_rows,)
    rank : bool
        As in ``information_coefficient``.

    Returns
    -------
    DataFrame
        Indexed by horizon, with the fields of ``Coefficients``.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.ranks import decay
    >>> rng = np.random.default_rng(0)
    >>> score, dates = rng.normal(size=2000), np.repeat(np.arange(100), 20)
    >>> week = score + rng.normal(size=2000)
    >>> found = decay({5: week, 20: week + 3 * rng.normal(size=2000)}, score, dates)
    >>> bool(found.loc[5, "mean"] > found.loc[20, "mean"] > 0)
    True
    """
    found = {
        horizon: summarise(
            information_coefficient(y, score, dates, rank=rank), horizon=horizon
        )._asdict()
        for horizon, y in sorted(returns.items())
    }
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("horizon")


def quantile_returns(
    y: ArrayLike, score: ArrayLike, dates: ArrayLike, *, n: int = 10, horizon: int = 1
) -> pd.DataFrame:
    """Return the mean return of each bucket of assets by score, the lowest scores first.

    Parameters
    ----------
    y, score, dates : array of shape (n_rows,)
        As in ``information_coefficient``. Tied scores share a bucket.
    n : int
        Buckets; dates with fewer assets are left out.
    horizon : int
        Bars that a return reaches ahead.

    Returns
    -------
    DataFrame
        Indexed by ``bucket`` from 1: ``mean`` of the dates' mean returns with its 95 % interval
        ``low`` to ``high``, and ``n`` dates that have rows in it.

    Raises
    ------
    UsageError
        Fewer than 2 buckets.
    DataError
        No date with enough assets, or a bucket that holds rows on fewer than 2 dates.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.ranks import monotonicity, quantile_returns
    >>> rng = np.random.default_rng(0)
    >>> y, dates = rng.normal(size=2000), np.repeat(np.arange(100), 20)
    >>> found = quantile_returns(y, y + rng.normal(size=2000), dates, n=5)
    >>> round(monotonicity(found["mean"]), 3)
    1.0
    """
    if n < 2:
        raise UsageError(f"quantile_returns: n: got {n}, allowed: 2 or more")
    rows = _rows(dates, y=y, score=score).dropna()
    count = rows.groupby("date")["y"].transform("size")
    rows, count = rows[count >= n], count[count >= n]
    if rows.empty:
        raise DataError(f"quantile_returns: no date has {n} assets with score and return")
    place = rows.groupby("date")["score"].rank() - 0.5
    bucket = ((place / count * n).astype(int) + 1).clip(upper=n).rename("bucket")
    means = rows["y"].groupby([bucket, rows["date"]]).mean()
    found = {}
    for number, series in means.groupby("bucket"):
        if len(series) < 2:
            raise DataError(
                f"quantile_returns: bucket {number} holds rows on {len(series)} date(s) only; "
                "take fewer buckets"
            )
        test = mean_test(series.to_numpy(), horizon=horizon)
        found[number] = {"mean": test.value, "low": test.low, "high": test.high, "n": test.n}
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("bucket")


def monotonicity(means: ArrayLike) -> float:
    """Return the rank correlation of bucket and mean return: 1 where each bucket earns more.

    Examples
    --------
    >>> from fintech_dl.evaluation.ranks import monotonicity
    >>> monotonicity([0.1, 0.3, 0.2])
    0.5
    """
    values = np.asarray(means, dtype=float)
    if len(values) < 2 or np.ptp(values) == 0:
        return float("nan")
    return float(spearmanr(np.arange(len(values)), values).statistic)


def _rows(dates: ArrayLike, **parts: ArrayLike) -> pd.DataFrame:
    """Return the parts beside their dates, in time order; missing values stay."""
    found: dict[str, Floats] = {k: np.asarray(v, dtype=float) for k, v in parts.items()}
    when = np.asarray(dates)
    for name, values in found.items():
        if values.shape != when.shape or when.ndim != 1:
            raise DataError(f"{name} has the shape {values.shape}, dates {when.shape}")
        if np.isinf(values).any():
            raise DataError(f"{name}: {int(np.isinf(values).sum())} values are infinite")
    if pd.isna(when).any():
        raise DataError(f"{int(pd.isna(when).sum())} dates are missing")
    return pd.DataFrame({"date": when, **found}).sort_values("date", kind="stable")
