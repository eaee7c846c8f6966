"""Variances of bars: from closes, from ranges, over windows, and weighted by age.

Variances are of one bar's log return, as fractions: 0.0001 is a volatility of 1 % a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fintech_dl.errors import UsageError
from fintech_dl.features.windows import (
    Features,
    Floats,
    deviations,
    exponential,
    lagged,
    means,
    weighted_mean,
)

NEEDS = ("open", "high", "low", "close")
WINDOWS = (5, 22, 60)
BAR_NEEDS = {
    "close_to_close": ("close",),
    "parkinson": ("high", "low"),
    "garman_klass": NEEDS,
    "rogers_satchell": NEEDS,
}
WINDOW_KINDS = (*BAR_NEEDS, "yang_zhang")
LN2 = float(np.log(2))
DECAY = 0.94
EWMA_BARS = 75  # 1 % of an endless mean's weight lies further back
REACH = max(*WINDOWS, EWMA_BARS) + 1  # bars that `volatilities` looks at
LAGS = (1, 5, 22)
RANGE_NEEDS = BAR_NEEDS["parkinson"]
RANGE_FLOOR = 1e-8  # of a bar's variance: a bar without a range would have no logarithm


def bar_variance(columns: Mapping[str, Floats], kind: str) -> Floats:
    """Return the variance of each bar.

    For series without intraday data: ranges tell a day's variance five to seven times as precisely
    as its return does. All but ``close_to_close`` see the session only, not the night before.

    Parameters
    ----------
    columns : mapping of str to float array of shape (n_bars,)
        ``close`` and, for the range estimators, ``high``, ``low`` and ``open``; above 0.
    kind : str
        With O, H, L, C the bar's prices and C-1 the close before:
        ``close_to_close`` ln(C / C-1)^2; ``parkinson`` ln(H / L)^2 / (4 ln 2), no drift, needs no
        open; ``garman_klass`` ln(H / L)^2 / 2 - (2 ln 2 - 1) ln(C / O)^2, no drift;
        ``rogers_satchell`` ln(H / C) ln(H / O) + ln(L / C) ln(L / O), whatever the drift.

    Returns
    -------
    float array of shape (n_bars,)
        ``garman_klass`` may be slightly negative for a bar whose prices contradict each other.

    Raises
    ------
    UsageError
        Another kind. Yang and Zhang's is defined over windows only.

    Notes
    -----
    Parkinson (1980), Garman and Klass (1980), Rogers and Satchell (1991).

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.variances import bar_variance
    >>> bar_variance({"high": np.array([np.e]), "low": np.array([1.0])}, "parkinson").round(6)
    array([0.360674])
    """
    if kind == "close_to_close":
        logs = np.log(columns["close"])
        return np.square(logs - lagged(logs, 1))
    if kind == "parkinson":
        return np.asarray(np.square(np.log(columns["high"] / columns["low"])) / (4 * LN2))
    if kind == "garman_klass":
        reach = np.log(columns["high"] / columns["low"])
        body = np.log(columns["close"] / columns["open"])
        return np.asarray(np.square(reach) / 2 - (2 * LN2 - 1) * np.square(body))
    if kind == "rogers_satchell":
        start, top, bottom, end = (np.log(columns[name]) for name in NEEDS)
        return np.asarray((top - end) * (top - start) + (bottom - end) * (bottom - start))
    raise UsageError(f"kind={kind!r}: must be one of {', '.join(BAR_NEEDS)}")


def window_variances(
    columns: Mapping[str, Floats], kind: str, windows: Sequence[int]
) -> dict[int, Floats]:
    """Return the variance per bar over each window.

    Parameters
    ----------
    columns : mapping of str to float array of shape (n_bars,)
        As in `bar_variance`.
    kind : str
        One of those of `bar_variance`: the mean over the window (``close_to_close``: the sample
        variance of the log returns, n - 1 below the line). Or ``yang_zhang``: the sample variance
        of the overnight returns ln(O / C-1), plus k times that of ln(C / O), plus 1 - k times the
        mean of ``rogers_satchell``, with k = 0.34 / (1.34 + (n + 1) / (n - 1)): the night included,
        whatever the drift.
    windows : sequence of int
        Bars, 2 or more.

    Returns
    -------
    dict of int to float array of shape (n_bars,)

    Raises
    ------
    UsageError
        Another kind.

    Notes
    -----
    Yang and Zhang (2000), Drift-independent volatility estimation.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.variances import window_variances
    >>> close = np.exp([0.0, 0.01, 0.0, 0.01, 0.0])
    >>> window_variances({"close": close}, "close_to_close", [4])[4][-1].round(8)
    np.float64(0.00013333)
    """
    if kind == "close_to_close":
        logs = np.log(columns["close"])
        _, spread = deviations(logs - lagged(logs, 1), windows)
        return {n: found**2 for n, found in spread.items()}
    if kind != "yang_zhang":
        return means(bar_variance(columns, kind), windows)
    start, end = np.log(columns["open"]), np.log(columns["close"])
    _, night = deviations(start - lagged(end, 1), windows)
    _, day = deviations(end - start, windows)
    session = means(bar_variance(columns, "rogers_satchell"), windows)
    found = {}
    for n in windows:
        k = 0.34 / (1.34 + (n + 1) / (n - 1))
        found[n] = night[n] ** 2 + k * day[n] ** 2 + (1 - k) * session[n]
    return found


def ewma_variance(variance: Floats, decay: float = DECAY, cut: int = EWMA_BARS) -> Floats:
    """Return the exponentially weighted mean of each bar's variance and those before (RiskMetrics).

    Parameters
    ----------
    variance : float array of shape (n_bars,)
        For example squared returns.
    decay : float, default 0.94
        Weight of a bar over that of the next one.
    cut : int, default 75
        Bars in the mean; their weights sum to 1. At 0.94 the bars left out held 1 % of them.

    Returns
    -------
    float array of shape (n_bars,)

    Raises
    ------
    UsageError
        ``decay`` not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.variances import ewma_variance
    >>> ewma_variance(np.array([1.0, 1.0, 4.0]), decay=0.5, cut=2)
    array([nan,  1.,  3.])
    """
    if not 0 < decay < 1:
        raise UsageError(f"decay={decay!r}: must be above 0 and below 1")
    return weighted_mean(variance, exponential(2 / (1 - decay) - 1, cut))


def leverages(change: Floats, sigma: Floats, lags: Sequence[int] = LAGS) -> dict[int, Floats]:
    """Return for each lag the mean of the last falls over sigma, squeezed into -1 to 0.

    Falls raise tomorrow's variance more than rises do. Without a bound, exp() of a crash makes a
    log model explode.

    Parameters
    ----------
    change : float array of shape (n_bars,)
        Returns.
    sigma : float array of shape (n_bars,)
        Volatility known at the bar, in the unit of the returns.
    lags : sequence of int
        Bars in the mean.

    Returns
    -------
    dict of int to float array of shape (n_bars,)
        tanh(mean of min(r, 0) / sigma); 0 where sigma is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.variances import leverages
    >>> leverages(np.array([0.01, -0.5]), np.array([0.01, 0.01]), [1])[1].round(6)
    array([ 0., -1.])
    """
    falls = means(np.minimum(change, 0), lags)
    return {n: np.tanh(fall / np.where(sigma == 0, np.inf, sigma)) for n, fall in falls.items()}


def volatilities(columns: Mapping[str, Floats], windows: Sequence[int] = WINDOWS) -> Features:
    """Yield volatilities by every estimator and window, EWMA's, and how far the last bars fell.

    Parameters
    ----------
    columns : mapping of str to float array of shape (n_bars,)
        ``open``, ``high``, ``low``, ``close``, above 0, one asset's bars in a row.
    windows : sequence of int, default (5, 22, 60)

    Yields
    ------
    name : str
        ``close_to_close_5``, ..., ``yang_zhang_60``, ``ewma_94``, ``leverage_1``, ``leverage_5``,
        ``leverage_22``.
    values : float array of shape (n_bars,)
        Roots of the variances, per bar.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.variances import volatilities
    >>> flat = np.full(100, 5.0)
    >>> found = dict(volatilities({"open": flat, "high": flat, "low": flat, "close": flat}))
    >>> len(found), found["yang_zhang_22"][-1].item()
    (19, 0.0)
    """
    for kind in WINDOW_KINDS:
        for n, variance in window_variances(columns, kind, windows).items():
            yield f"{kind}_{n}", np.sqrt(np.maximum(variance, 0))
    squares = bar_variance(columns, "close_to_close")
    yield "ewma_94", np.sqrt(ewma_variance(squares))
    logs = np.log(columns["close"])
    sigma = np.sqrt(means(squares, [22])[22])
    for n, found in leverages(logs - lagged(logs, 1), sigma).items():
        yield f"leverage_{n}", found


def ranges(columns: Mapping[str, Floats], lags: Sequence[int] = LAGS) -> Features:
    """Yield how far prices ranged in the last day, week and month: the terms of a log-HAR model.

    For the `scale` of intervals, whose weights are learnt. Volatilities after Parkinson, per bar.

    Parameters
    ----------
    columns : mapping of str to float array of shape (n_bars,)
        ``high`` and ``low``, above 0.
    lags : sequence of int
        Bars in the geometric means.

    Yields
    ------
    name : str
        ``range_1``, ``range_5``, ``range_22``.
    values : float array of shape (n_bars,)
        0.0001 or more.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.variances import ranges
    >>> found = dict(ranges({"high": np.exp([0.01, 0.04]), "low": np.ones(2)}, [1, 2]))
    >>> found["range_1"].round(4), found["range_2"].round(4)
    (array([0.006, 0.024]), array([  nan, 0.012]))
    """
    logs = np.log(np.maximum(bar_variance(columns, "parkinson"), RANGE_FLOOR))
    for n, mean in means(logs, lags).items():
        yield f"range_{n}", np.exp(mean / 2)
