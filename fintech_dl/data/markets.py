"""Seeded markets: long bars with a path inside the day, so that ranges and realised variance hold.

What can be found in each is known: volatility that clusters, a small reversal, or nothing.
"""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import UsageError

Floats = NDArray[np.float64]

STEPS = 26  # of a day's path: a quarter of an hour each
NIGHT = 0.2  # variance between close and open, as a share of that of the day
ALPHA, BETA = 0.12, 0.87  # of GARCH(1,1)
FREEDOM = 8.0  # of Student's t
LOOK_BACK = 5  # bars of the planted reversal


def garch_panel(
    *, n_assets: int = 24, days: int = 1_500, start: str | date = "2016-01-04", seed: int = 0
) -> pd.DataFrame:
    """Make indices whose volatility clusters and moves together; returns cannot be forecast.

    The return of an asset is its share (0.6 to 1.4) of a common factor's and one of its own. Both
    have a GARCH(1,1) variance (0.12, 0.87) and Student's t with 8 degrees of freedom; 18 % a year
    on average. The realised variance is the sum of the 26 squared returns of the day's path.

    Parameters
    ----------
    n_assets, days : int
        1 or more.
    start : str or date
        From here on, business days.
    seed : int

    Returns
    -------
    DataFrame
        Long bars ``date``, ``asset``, ``open``, ``high``, ``low``, ``close``, ``volume``, and
        ``rv``, the realised variance from open to close in %^2.

    Raises
    ------
    UsageError
        Fewer than one asset or day.

    Examples
    --------
    >>> from fintech_dl.data.markets import garch_panel
    >>> len(garch_panel(n_assets=2, days=10))
    20
    """
    _check("garch_panel", n_assets=n_assets, days=days)
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.6, 1.4, n_assets)
    usual = np.full(n_assets + 1, 0.008**2)  # the last one is the factor
    variance = usual.copy()
    tails = (FREEDOM - 2) / rng.chisquare(FREEDOM, (days, n_assets + 1))
    shocks = rng.normal(size=(days, n_assets + 1, STEPS + 1))
    night, path = np.empty((days, n_assets)), np.empty((days, n_assets, STEPS))
    for day in range(days):
        moves = shocks[day] * np.sqrt(variance * tails[day])[:, None]
        own = moves[:, :STEPS] / np.sqrt(STEPS)
        path[day] = share[:, None] * own[-1] + own[:-1]
        night[day] = np.sqrt(NIGHT) * (share * moves[-1, STEPS] + moves[:-1, STEPS])
        variance = (1 - ALPHA - BETA) * usual + ALPHA * own.sum(axis=1) ** 2 + BETA * variance
    rv = 1e4 * (path**2).sum(axis=2)
    busy = np.sqrt(rv) * rng.lognormal(0.0, 0.2, rv.shape)
    return _bars(night, path, 1e6 * busy, start, rv=rv)


def volatility_index(
    *, days: int = 1_500, start: str | date = "2016-01-04", seed: int = 0
) -> pd.DataFrame:
    """Make one index, and one of its implied volatility, which knows more than prices do.

    The index is one of `garch_panel`. The implied volatility is the root of a year's variance at
    the pace of the five days before and the three to come, above it by 20 % and noisy: such as
    option prices, it foretells more than past prices do.

    Parameters
    ----------
    days : int
        10 or more.
    start : str or date
        From here on, business days.
    seed : int

    Returns
    -------
    DataFrame
        ``date``, ``asset``, ``return`` and ``open_close`` (logarithmic, in %), ``rv`` (%^2) and
        ``vix`` (% per year).

    Raises
    ------
    UsageError
        Fewer than 10 days.

    Examples
    --------
    >>> from fintech_dl.data.markets import volatility_index
    >>> list(volatility_index(days=10))
    ['date', 'asset', 'return', 'open_close', 'rv', 'vix']
    """
    _check("volatility_index", days=days - 9)
    bars = garch_panel(n_assets=1, days=days, start=start, seed=seed)
    opened, close = (np.log(bars[name].to_numpy()) for name in ("open", "close"))
    near = bars["rv"].rolling(9, min_periods=1).mean().shift(-3).ffill()
    noise = np.random.default_rng(seed + 1).lognormal(0.0, 0.1, days)
    return pd.DataFrame(
        {
            "date": bars["date"],
            "asset": "SPX",
            "return": 100 * np.diff(close, prepend=close[:1]),
            "open_close": 100 * (close - opened),
            "rv": bars["rv"],
            "vix": 1.2 * np.sqrt(252 * near) * noise,
        }
    )


def stock_panel(
    *,
    n_assets: int = 60,
    days: int = 600,
    strength: float = 0.08,
    start: str | date = "2018-01-01",
    seed: int = 0,
) -> pd.DataFrame:
    """Make stocks with a small reversal between them that a ranking can find.

    A day's own return of a stock is drawn to where it stood among the others after the close
    before: by ``strength`` of its own volatility per standard deviation of the last 5 days' return,
    against it, and between open and close only, so that it can be earned with the next bar.

    Parameters
    ----------
    n_assets : int
        2 or more.
    days : int
        1 or more.
    strength : float
        0 leaves nothing to be found.
    start : str or date
        From here on, business days.
    seed : int

    Returns
    -------
    DataFrame
        Long bars ``date``, ``asset``, ``open``, ``high``, ``low``, ``close``, ``volume``.

    Raises
    ------
    UsageError
        Too few assets or days.

    Examples
    --------
    >>> from fintech_dl.data.markets import stock_panel
    >>> stock_panel(n_assets=3, days=2)["asset"].tolist()
    ['S01', 'S02', 'S03', 'S01', 'S02', 'S03']
    """
    _check("stock_panel", n_assets=n_assets - 1, days=days)
    rng = np.random.default_rng(seed)
    share, own = rng.uniform(0.6, 1.4, n_assets), rng.uniform(0.01, 0.025, n_assets)
    market = 0.008 * rng.normal(size=(days, 1, STEPS + 1))
    moves = share[:, None] * market + own[:, None] * rng.normal(size=(days, n_assets, STEPS + 1))
    night, path = np.sqrt(NIGHT) * moves[:, :, STEPS], moves[:, :, :STEPS] / np.sqrt(STEPS)
    closes = np.zeros((days + 1, n_assets))  # logarithms, after each day
    for day in range(days):
        if day >= LOOK_BACK:
            past = closes[day] - closes[day - LOOK_BACK]
            drawn = -strength * own * (past - past.mean()) / past.std()
            path[day] += drawn[:, None] / STEPS
        closes[day + 1] = closes[day] + night[day] + path[day].sum(axis=1)
    busy = 1 + np.abs(path.sum(axis=2)) / own
    volume = rng.lognormal(14.0, 1.0, n_assets) * busy * rng.lognormal(0.0, 0.3, busy.shape)
    return _bars(night, path, volume, start, letter="S")


def random_walk(
    *,
    n_assets: int = 20,
    days: int = 1_000,
    volatility: float = 0.2,
    drift: float = 0.0,
    start: str | date = "2018-01-01",
    seed: int = 0,
) -> pd.DataFrame:
    """Make prices without anything to be found: geometric Brownian motion, each asset on its own.

    Whoever finds something here has looked into the future, or too often.

    Parameters
    ----------
    n_assets, days : int
        1 or more.
    volatility : float
        Per year of 252 days, above 0.
    drift : float
        Of the logarithm of the price, per year.
    start : str or date
        From here on, business days.
    seed : int

    Returns
    -------
    DataFrame
        Long bars ``date``, ``asset``, ``open``, ``high``, ``low``, ``close``, ``volume``.

    Raises
    ------
    UsageError
        Fewer than one asset or day, or no volatility.

    Examples
    --------
    >>> from fintech_dl.data.markets import random_walk
    >>> random_walk(n_assets=1, days=3)["asset"].tolist()
    ['A01', 'A01', 'A01']
    """
    _check("random_walk", n_assets=n_assets, days=days)
    if volatility <= 0:
        raise UsageError(f"random_walk: volatility must be above 0, got {volatility}")
    rng = np.random.default_rng(seed)
    daily = volatility / np.sqrt(252) / np.sqrt(1 + NIGHT)
    moves = daily * rng.normal(size=(days, n_assets, STEPS + 1))
    path = moves[:, :, :STEPS] / np.sqrt(STEPS) + drift / 252 / STEPS
    volume = 1e6 * rng.lognormal(0.0, 0.3, (days, n_assets))
    return _bars(np.sqrt(NIGHT) * moves[:, :, STEPS], path, volume, start)


def _check(what: str, **least: int) -> None:
    for name, value in least.items():
        if value < 1:
            raise UsageError(f"{what}: too few {name}; take more")


def _bars(
    night: Floats,
    path: Floats,
    volume: Floats,
    start: str | date,
    letter: str = "A",
    **more: Floats,
) -> pd.DataFrame:
    """Make long bars of logarithmic returns: over night, and in the steps of each day."""
    days, n_assets, _ = path.shape
    within = np.cumsum(path, axis=2)
    close = np.log(100.0) + np.cumsum(night + within[:, :, -1], axis=0)
    opened = close - within[:, :, -1]
    columns: dict[str, Any] = {
        "open": opened,
        "high": opened + np.maximum(within.max(axis=2), 0),
        "low": opened + np.minimum(within.min(axis=2), 0),
        "close": opened + within[:, :, -1],
    }
    columns = {name: np.exp(values).ravel() for name, values in columns.items()}
    names = np.array([f"{letter}{i + 1:02d}" for i in range(n_assets)], dtype=object)
    return pd.DataFrame(
        {
            "date": np.repeat(pd.bdate_range(start, periods=days).as_unit("us"), n_assets),
            "asset": pd.array(np.tile(names, days), dtype="str"),
            **columns,
            "volume": np.rint(volume).ravel(),
            **{name: values.ravel() for name, values in more.items()},
        }
    )
