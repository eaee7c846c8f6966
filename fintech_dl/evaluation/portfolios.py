"""What an order of assets is worth in money: portfolios by rank, gross and net of costs.

A quick answer on given returns, at costs in proportion to what is traded. Fills, market impact,
borrowing and weights that drift between two dates are the business of a backtest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.metrics import Floats


class Performance(NamedTuple):
    """What a portfolio earned, in shares of its capital (of one leg, if long-short).

    ``gross`` and ``net`` are returns per year, summed and not compounded; ``sharpe_gross`` and
    ``sharpe_net`` are annual, of the returns as they are, with no interest taken off; ``turnover``
    is the share of the positions that is replaced at each trade; ``break_even`` the cost per side
    at which the net return is 0; ``drawdown`` the deepest fall of the compounded net equity; ``n``
    the number of periods.
    """

    gross: float
    net: float
    sharpe_gross: float
    sharpe_net: float
    turnover: float
    break_even: float
    drawdown: float
    n: int


def long_short(
    score: ArrayLike,
    returns: ArrayLike,
    dates: ArrayLike,
    assets: ArrayLike,
    *,
    share: float = 0.1,
    cost: float = 0.0005,
    every: int = 1,
    missing: float | None = None,
) -> pd.DataFrame:
    """Return what buying the best and selling the worst assets of each date earned.

    Parameters
    ----------
    score : array of shape (n_rows,)
        Higher for a better asset; rows without a score cannot be held.
    returns : array of shape (n_rows,)
        From the first price that can be traded on after the score, over ``every`` bars.
    dates, assets : array of shape (n_rows,)
    share : float
        Of the assets of a date, in each leg, one asset at least; equal weights that sum to 1 in the
        long leg and to -1 in the short one.
    cost : float
        Per side, as a share of what is traded: 0.0005 is 5 basis points.
    every : int
        Trade on every so many dates, that is, hold as long as ``returns`` reach.
    missing : float, optional
        Return to count where that of a held asset is unknown, such as -0.3 for a delisting.

    Returns
    -------
    DataFrame
        Indexed by ``date``: ``gross``, ``traded`` (sum of the absolute changes of weights, the
        first purchase included), ``cost``, ``net``, ``held`` (sum of the absolute weights).

    Raises
    ------
    UsageError
        A share that is not above 0 and at most 0.5, a cost below 0, or ``every`` below 1.
    DataError
        Parts of unequal length, an asset twice on a date, too few assets, or returns of held
        assets that are unknown while ``missing`` is not given.

    Notes
    -----
    Assets of equal score are taken in the order of their names.

    Examples
    --------
    >>> from fintech_dl.evaluation.portfolios import long_short
    >>> found = long_short(
    ...     score=[3, 2, 1, 1, 2, 3], returns=[0.02, 0.0, -0.01, 0.03, 0.0, 0.01],
    ...     dates=[1, 1, 1, 2, 2, 2], assets=["A", "B", "C"] * 2, share=0.3, cost=0.001,
    ... )
    >>> found[["gross", "traded", "net"]].round(4).to_numpy().tolist()
    [[0.03, 2.0, 0.028], [-0.02, 4.0, -0.024]]
    """
    if not 0 < share <= 0.5:
        raise UsageError(f"long_short: share: got {share}, allowed: above 0, at most 0.5")
    rows = _ordered(score, returns, dates, assets, every)
    number = np.maximum(np.floor(rows["of"] * share + 1e-9), 1)
    if (rows["of"] < 2).any():
        raise DataError("long_short: a date has one asset only; two or more are needed")
    best, worst = rows["place"] < number, rows["place"] >= rows["of"] - number
    rows["weight"] = (best.astype(float) - worst.astype(float)) / number
    return _accounts(rows[best | worst], cost, missing)


def top_k(
    score: ArrayLike,
    returns: ArrayLike,
    dates: ArrayLike,
    assets: ArrayLike,
    *,
    k: int = 50,
    cost: float = 0.0005,
    every: int = 1,
    missing: float | None = None,
) -> pd.DataFrame:
    """Return what buying the ``k`` best assets of each date, in equal parts, earned.

    Parameters
    ----------
    score, returns, dates, assets
        As in ``long_short``.
    k : int
        Assets to hold; all, on dates that have fewer.
    cost, every, missing
        As in ``long_short``.

    Returns
    -------
    DataFrame
        As ``long_short``; the weights sum to 1.

    Raises
    ------
    UsageError, DataError
        As ``long_short``.

    Examples
    --------
    >>> from fintech_dl.evaluation.portfolios import top_k
    >>> found = top_k([2, 1, 1, 2], [0.02, 0.0, 0.03, 0.01], [1, 1, 2, 2], list("ABAB"), k=1)
    >>> found["gross"].tolist(), found["traded"].tolist()
    ([0.02, 0.01], [1.0, 2.0])
    """
    if k < 1:
        raise UsageError(f"top_k: k: got {k}, allowed: 1 or more")
    rows = _ordered(score, returns, dates, assets, every)
    rows = rows[rows["place"] < k].copy()
    rows["weight"] = 1 / np.minimum(rows["of"], k)
    return _accounts(rows, cost, missing)


def performance(
    accounts: pd.DataFrame, *, bars_per_year: float = 252, every: int = 1
) -> Performance:
    """Return what the accounts of a portfolio come to.

    Parameters
    ----------
    accounts : DataFrame
        Of ``long_short`` or ``top_k``.
    bars_per_year : float
        Of the data: 252 for daily bars of shares, 52 for weekly ones.
    every : int
        As given to ``long_short``.

    Returns
    -------
    Performance

    Raises
    ------
    DataError
        Fewer than 2 periods.

    Notes
    -----
    ``break_even`` is the sum of gross returns by the sum of what is traded, the first purchase
    included. A long-short portfolio that replaces a share t of both legs trades 4 t of a leg.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.portfolios import performance
    >>> accounts = pd.DataFrame(
    ...     {"gross": [0.02, -0.01], "traded": [2.0, 4.0], "net": [0.018, -0.014], "held": 2.0}
    ... )
    >>> round(performance(accounts).break_even, 5)
    0.00167
    """
    if len(accounts) < 2:
        raise DataError(f"performance: {len(accounts)} periods are too few; 2 or more are needed")
    gross, net = accounts["gross"].to_numpy(float), accounts["net"].to_numpy(float)
    traded, held = accounts["traded"].to_numpy(float), accounts["held"].to_numpy(float)
    per_year = bars_per_year / every
    return Performance(
        gross=float(gross.mean() * per_year),
        net=float(net.mean() * per_year),
        sharpe_gross=sharpe(gross, per_year),
        sharpe_net=sharpe(net, per_year),
        turnover=float((traded[1:] / (held[1:] + held[:-1])).mean()),
        break_even=float(gross.sum() / traded.sum()) if traded.sum() > 0 else float("nan"),
        drawdown=drawdown(net),
        n=len(net),
    )


def sharpe(returns: ArrayLike, per_year: float) -> float:
    """Return mean / standard deviation of returns, times the root of the periods per year.

    Examples
    --------
    >>> from fintech_dl.evaluation.portfolios import sharpe
    >>> round(sharpe([0.01, 0.03], 252), 3)
    22.45
    """
    values = np.asarray(returns, dtype=float)
    spread = values.std(ddof=1)
    return float(values.mean() / spread * np.sqrt(per_year)) if spread > 0 else float("nan")


def drawdown(returns: ArrayLike) -> float:
    """Return the deepest fall of the compounded equity below its earlier peak, as a share of it.

    Examples
    --------
    >>> from fintech_dl.evaluation.portfolios import drawdown
    >>> drawdown([0.5, -0.5, 0.2])
    0.5
    """
    equity: Floats = np.concatenate([[1.0], np.cumprod(1 + np.asarray(returns, dtype=float))])
    return float((1 - equity / np.maximum.accumulate(equity)).max())


def _ordered(
    score: ArrayLike, returns: ArrayLike, dates: ArrayLike, assets: ArrayLike, every: int
) -> pd.DataFrame:
    """Return the rows that can be held on dates of trading: place by score, and out of how many."""
    parts = {"score": score, "returns": returns, "date": dates, "asset": assets}
    columns = {name: np.asarray(part) for name, part in parts.items()}
    if len({values.shape for values in columns.values()}) > 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in columns.items())
        raise DataError(f"scores, returns, dates and assets differ in shape: {shapes}")
    if every < 1:
        raise UsageError(f"every: got {every}, allowed: 1 or more")
    rows = pd.DataFrame(columns)
    twice = rows.duplicated(["date", "asset"])
    if twice.any():
        first = rows[twice].iloc[0]
        raise DataError(
            f"{int(twice.sum())} rows repeat a date and asset; the first is {first['asset']} on "
            f"{first['date']}"
        )
    trading = np.unique(columns["date"])[::every]
    rows = rows[rows["score"].notna() & rows["date"].isin(trading)]
    if rows.empty:
        raise DataError("no row has a score")
    rows = rows.sort_values(["date", "score", "asset"], ascending=[True, False, True])
    rows["place"] = rows.groupby("date").cumcount()
    rows["of"] = rows.groupby("date")["asset"].transform("size")
    return rows


def _accounts(held: pd.DataFrame, cost: float, missing: float | None) -> pd.DataFrame:
    if cost < 0:
        raise UsageError(f"cost: got {cost}, allowed: 0 or more")
    returns = held["returns"].astype(float)
    if (unknown := int(returns.isna().sum())) and missing is None:
        raise DataError(
            f"{unknown} returns of held assets are unknown; give what to count for them as "
            "`missing`, or leave rows without a future out before scoring"
        )
    if missing is not None:
        returns = returns.fillna(missing)
    weights: Any = held.pivot(index="date", columns="asset", values="weight").fillna(0.0)
    value = (held["weight"] * returns).groupby(held["date"]).sum()
    traded = weights.diff().fillna(weights.iloc[:1]).abs().sum(axis=1)
    found = pd.DataFrame({"gross": value, "traded": traded, "cost": cost * traded})
    found["net"] = found["gross"] - found["cost"]
    return found.assign(held=weights.abs().sum(axis=1))
