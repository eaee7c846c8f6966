"""Technical indicators under their usual names, all as ratios, so that assets may be pooled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fintech_dl.features.windows import (
    Features,
    Floats,
    deviations,
    exponential,
    highest,
    lagged,
    lowest,
    means,
    sums,
    weighted_mean,
)

NEEDS = ("high", "low", "close", "volume")
SPANS = 3  # exponential means are cut off after so many spans: 0.25 % of the weight
WILDER = 27  # the span of Wilder's mean of 14: each weight is 13 / 14 of the newer one
REACH = 2 * SPANS * WILDER  # bars that ADX14 looks at: a mean of a mean of differences
MOMENTUM_REACH = 253
RETURNS_REACH = 61


def indicators(columns: Mapping[str, Floats]) -> Features:
    """Yield name and values of each indicator.

    For models of one asset or of a pool of them. Each value looks at most 162 bars back.

    Parameters
    ----------
    columns : mapping of str to float array of shape (n_bars,)
        ``high``, ``low``, ``close`` above 0 and ``volume``, one asset's bars in a row.

    Yields
    ------
    name : str
    values : float array of shape (n_bars,)
        NaN where the window is not full. 0.5 (RSI, MFI, stochastic, Bollinger) or 0 where nothing
        moved.

    Notes
    -----
    C is the close, TP the typical price (H + L + C) / 3, TR the true range: the largest of H - L,
    abs(H - C-1) and abs(L - C-1). EMA n weighs each bar 1 - 2 / (n + 1) of the newer one, Wilder's
    mean W 13 / 14; both are cut off after 3 spans (3 n, and 81 bars) and reweighted to 1.

    ===============================  ==============================================================
    SMA10 SMA20 SMA50 EMA12 EMA26    C over the mean, less 1
    ROC10                            C over C of 10 bars ago, less 1
    RSI14                            W(rises) / (W(rises) + W(falls)), from 0 to 1
    MACD MACD_SIGNAL MACD_HIST       EMA 12 less EMA 26; EMA 9 of that; their difference; over C
    BOLLINGER_B BOLLINGER_WIDTH      place of C from SMA20 - 2 s (0) to SMA20 + 2 s (1), s with n
                                     below the line; 4 s / SMA20
    ATR14                            W(TR) / C
    STOCHASTIC_K STOCHASTIC_D        (C - lowest L) / (highest H - lowest L) of 14 bars; its mean
                                     of 3
    WILLIAMS_R                       (C - highest H) / (highest H - lowest L) of 14, from -1 to 0
    CCI20                            (TP - mean TP) / (1.5 x mean absolute deviation)
    MFI14                            TP V of bars whose TP rose over that of bars where it moved
    OBV20                            V of bars that rose less V of bars that fell, over V, of 20
    PLUS_DI14 MINUS_DI14             W(+DM) / W(TR), W(-DM) / W(TR)
    ADX14                            W(abs(+DI - -DI) / (+DI + -DI)), from 0 to 1
    ===============================  ==============================================================

    Wilder (1978), New Concepts in Technical Trading Systems: RSI, ATR, ADX. The usual factors of
    100 are left out (CCI: its 0.015 is 1.5 here).

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.indicators import indicators
    >>> close = np.linspace(50, 60, 200)
    >>> columns = {"high": close + 1, "low": close - 1, "close": close, "volume": np.ones(200)}
    >>> found = dict(indicators(columns))
    >>> found["RSI14"][-1].item(), found["OBV20"][-1].item()
    (1.0, 1.0)
    """
    high, low, close, volume = (columns[name] for name in NEEDS)
    before = lagged(close, 1)
    change = close - before
    yield from _averages(close)
    yield "ROC10", close / lagged(close, 10) - 1
    rises, falls = (_wilder(np.maximum(side, 0)) for side in (change, -change))
    yield "RSI14", _or(rises, rises + falls, 0.5)
    yield from _macd(close)

    mean, spread = deviations(close, [20])
    wide = 2 * spread[20] * np.sqrt(19 / 20)
    yield "BOLLINGER_B", _or(close - mean[20] + wide, 2 * wide, 0.5)
    yield "BOLLINGER_WIDTH", 2 * wide / mean[20]

    span = np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before)))
    yield "ATR14", _wilder(span) / close
    top, bottom = highest(high, [14])[0][14], lowest(low, [14])[0][14]
    place = _or(close - bottom, top - bottom, 0.5)
    yield "STOCHASTIC_K", place
    yield "STOCHASTIC_D", means(place, [3])[3]
    yield "WILLIAMS_R", place - 1
    yield from _of_volume(high, low, close, volume, change)
    yield from _direction(high, low, span)


def momentum(columns: Mapping[str, Floats]) -> Features:
    """Yield the slow returns that rank stocks: of 1, 3, 6 months, of 12 months without the last.

    Parameters
    ----------
    columns : mapping of str to float array of shape (n_bars,)
        ``close``, above 0, one asset's bars in a row; a month is taken as 21 bars.

    Yields
    ------
    name : str
        ``MOM1``, ``MOM3``, ``MOM6``, ``MOM12_1``, and ``HIGH12``: the close over the highest of
        12 months.
    values : float array of shape (n_bars,)
        NaN in the first 252 bars.

    Notes
    -----
    Jegadeesh and Titman (1993); George and Hwang (2004) for the high.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.indicators import momentum
    >>> found = dict(momentum({"close": 1.001 ** np.arange(300)}))
    >>> round(found["MOM12_1"][-1].item(), 6) == round(1.001 ** 231 - 1, 6)
    True
    """
    close = columns["close"]
    for months in (1, 3, 6):
        yield f"MOM{months}", close / lagged(close, 21 * months) - 1
    yield "MOM12_1", lagged(close, 21) / lagged(close, 252) - 1
    yield "HIGH12", close / highest(close, [252])[0][252]


def returns(columns: Mapping[str, Floats]) -> Features:
    """Yield scaled returns of the last 1 to 60 bars; they need the close alone.

    For series without highs, lows and volumes: exchange rates, indices.

    Parameters
    ----------
    columns : mapping of str to float array of shape (n_bars,)
        ``close``, above 0, one asset's bars in a row.

    Yields
    ------
    name : str
        ``RETURN_n``: the log return of n bars over sigma times the root of n; ``SIGMA_RATIO``: the
        log of sigma of 10 bars over that of 60.
    values : float array of shape (n_bars,)
        sigma is the root of the mean squared log return, of 60 bars where nothing else is said.
        0 where the price did not move.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.indicators import returns
    >>> found = dict(returns({"close": 1.01 ** np.arange(100)}))
    >>> round(found["RETURN_1"][-1].item(), 6)
    1.0
    """
    logs = np.log(columns["close"])
    square = (logs - lagged(logs, 1)) ** 2
    mean = means(square, [10, 60])
    sigma = np.sqrt(mean[60])
    for n in (1, 2, 3, 5, 10, 20, 60):
        yield f"RETURN_{n}", _or(logs - lagged(logs, n), sigma * np.sqrt(n), 0)
    ratio = mean[10] / np.where(mean[60] > 0, mean[60], 1)
    yield "SIGMA_RATIO", np.where(ratio == 0, 0, np.log(np.where(ratio == 0, 1, ratio)) / 2)


def _averages(close: Floats) -> Features:
    for n, mean in means(close, [10, 20, 50]).items():
        yield f"SMA{n}", close / mean - 1
    for n in (12, 26):
        yield f"EMA{n}", close / _ema(close, n) - 1


def _macd(close: Floats) -> Features:
    line = _ema(close, 12) - _ema(close, 26)
    signal = _ema(line, 9)
    yield "MACD", line / close
    yield "MACD_SIGNAL", signal / close
    yield "MACD_HIST", (line - signal) / close


def _of_volume(
    high: Floats, low: Floats, close: Floats, volume: Floats, change: Floats
) -> Features:
    typical = (high + low + close) / 3
    mean = deviations(typical, [20])[0][20]  # exact where the price stands still
    away = np.abs(typical - mean)
    for lag in range(1, 20):
        away[lag:] += np.abs(typical[:-lag] - mean[lag:])
    yield "CCI20", _or(typical - mean, 1.5 * away / 20, 0)
    moved = typical - lagged(typical, 1)
    flow = typical * volume
    into, out_of = (
        sums(np.where(np.isnan(moved), np.nan, flow * side), [14])[14]
        for side in (moved > 0, moved < 0)
    )
    yield "MFI14", _or(into, into + out_of, 0.5)
    yield "OBV20", _or(sums(np.sign(change) * volume, [20])[20], sums(volume, [20])[20], 0)


def _direction(high: Floats, low: Floats, span: Floats) -> Features:
    up, down = high - lagged(high, 1), lagged(low, 1) - low
    plus = np.maximum(up, 0) * (up > down)
    minus = np.maximum(down, 0) * (down > up)
    reach = _wilder(span)
    plus, minus = (_or(_wilder(moved), reach, 0) for moved in (plus, minus))
    yield "PLUS_DI14", plus
    yield "MINUS_DI14", minus
    yield "ADX14", _wilder(_or(np.abs(plus - minus), plus + minus, 0))


def _ema(values: Floats, span: int) -> Floats:
    return weighted_mean(values, exponential(span, SPANS * span))


def _wilder(values: Floats) -> Floats:
    return weighted_mean(values, exponential(WILDER, SPANS * WILDER))


def _or(part: Floats, whole: Floats, otherwise: float) -> Floats:
    """Return part / whole, or the other value where the whole is 0: nothing moved."""
    return np.where(whole == 0, otherwise, part / np.where(whole == 0, 1, whole))
