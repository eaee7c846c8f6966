"""Bars in which there is nothing to find, or something known to be there, shaped like real ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from fintech_dl.bars import PRICES
from fintech_dl.errors import DataError
from fintech_dl.evaluation.metrics import Floats

DRIFT, DRIFT_MEMORY = 0.4, 0.95  # of the planted drift: in volatilities, from bar to bar
SPREAD, SPREAD_MEMORY = 0.6, 0.97  # of the planted log volatility
NIGHT = 0.3  # of a bar's variance lies between close and open
STRETCHES = 78  # of a day, whose squared returns make its realised variance


def noise_bars(
    bars: pd.DataFrame, *, seed: int, planted: bool = False, variance: str = ""
) -> pd.DataFrame:
    """Return bars of the same dates and assets with random prices in place of the real ones.

    Use it to see whether a whole pipeline finds something where nothing is, and finds what is
    there.

    Parameters
    ----------
    bars : DataFrame
        Long bars; only ``date``, ``asset``, the first close and the volatility of each asset count.
        Columns other than prices, volume and ``variance`` are kept as they are.
    seed : int
    planted : bool
        Let each asset drift slowly up and down, and its volatility rise and fall: what past bars
        show goes on for a while. Without it each close is a random walk of constant volatility.
    variance : str, optional
        A column of variances to make as well: each the sum of the squares of 78 random returns (a
        day has as many stretches of five minutes), about as large as the asset's median. Prices
        need not be there then.

    Returns
    -------
    DataFrame
        With the columns of ``bars``, in the same order of rows.

    Raises
    ------
    DataError
        There is neither a column ``close`` nor one of variances.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.noise_bars import noise_bars
    >>> dates = pd.bdate_range("2024-01-01", periods=3)
    >>> bars = pd.DataFrame({"date": dates, "asset": "A", "close": [10.0, 11.0, 12.0]})
    >>> found = noise_bars(bars, seed=0)
    >>> (found["close"] == bars["close"]).tolist()
    [True, False, False]
    """
    if variance and variance not in bars:
        raise DataError(f"noise_bars: no column {variance!r} among {list(bars.columns)}")
    if not variance and "close" not in bars:
        raise DataError(f"noise_bars: no column 'close' among {list(bars.columns)}")
    rng = np.random.default_rng(seed)
    found = bars.copy()
    rows = bars.reset_index(drop=True)
    for _, own in rows.sort_values("date", kind="stable").groupby("asset", sort=True):
        at, n = own.index.to_numpy(), len(own)
        close = own["close"].to_numpy(dtype=float) if "close" in own else np.ones(n)
        good = close[np.isfinite(close) & (close > 0)]
        first = float(good[0]) if len(good) else 100.0
        steps = np.diff(np.log(good))
        usual = float(np.median(np.abs(steps))) / 0.6745 if len(steps) else 0.0
        wave = np.exp(_memory(rng, n, SPREAD, SPREAD_MEMORY)) if planted else np.ones(n)
        made = _bars(rng, first, (usual or 0.01) * wave, planted)
        if variance:
            level = float(own[variance].median())
            made[variance] = level * wave**2 * rng.chisquare(STRETCHES, n) / STRETCHES
        for name, values in made.items():
            if name in found:
                found.iloc[at, found.columns.get_loc(name)] = values  # type: ignore[index]
    return found


def _bars(
    rng: np.random.Generator, first: float, spread: Floats, planted: bool
) -> dict[str, Floats]:
    """Return random prices and volumes of one asset; the first close is given."""
    n, drift = len(spread), np.zeros(len(spread))
    if planted:
        drift = spread * _memory(rng, n, DRIFT, DRIFT_MEMORY)
    night = np.sqrt(NIGHT) * spread * rng.normal(size=n)
    day = np.sqrt(1 - NIGHT) * spread * rng.normal(size=n) + drift
    night[0] = day[0] = 0.0
    close = np.log(first) + np.cumsum(night + day)
    begin = close - day
    top = np.maximum(begin, close) + 0.3 * spread * np.abs(rng.normal(size=n))
    bottom = np.minimum(begin, close) - 0.3 * spread * np.abs(rng.normal(size=n))
    logs = dict(zip(PRICES, (begin, top, bottom, close), strict=True))
    prices = {name: np.exp(values) for name, values in logs.items()}
    prices["close"][0] = first
    return prices | {"volume": np.round(1e6 * np.exp(rng.normal(0, 0.3, n)))}


def _memory(rng: np.random.Generator, n: int, spread: float, memory: float) -> Floats:
    """Return a series of mean 0 and the given spread that slowly forgets where it was."""
    shocks = rng.normal(0, spread * np.sqrt(1 - memory**2), n)
    shocks[0] = rng.normal(0, spread)
    return np.asarray(lfilter([1.0], [1.0, -memory], shocks))
