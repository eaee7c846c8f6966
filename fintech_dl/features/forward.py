"""Labels of prices: what happens after the next bar, and when it is known.

A signal is made of the close of a bar. Nobody can trade at that very price: labels begin at the
bar after. At the end of an asset's bars, at a gap and at faulty bars there is no label; a shorter
one is never made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fintech_dl.errors import DataError, UsageError
from fintech_dl.features.own_bars import Mask, OwnBars
from fintech_dl.features.rolling import Integers
from fintech_dl.features.windows import Floats, means

NEVER = np.iinfo(np.int64).min  # as NaT among datetime64


class Forward(NamedTuple):
    """What follows each bar, at the places of `own_bars.OwnBars`.

    Attributes
    ----------
    value : float array of shape (n_rows,) or (n_rows, n_horizons)
        NaN where there is none.
    until : int array of shape (n_rows,)
        When it is known, of several horizons the longest: microseconds since 1970, the smallest
        integer (NaT) where the last bar that it needs is not there.
    entry : float array of shape (n_rows,)
        The price at which one enters; NaN where there is none, or nothing is traded.
    """

    value: Floats
    until: Integers
    entry: Floats

    @property
    def known(self) -> Mask:
        """Where there is a label, of every horizon."""
        return np.asarray(~np.isnan(self.value.reshape(len(self.value), -1)).any(axis=1))


def forward_return(found: OwnBars, horizon: int, *, lag: int = 1, price: str = "") -> Forward:
    """Return the return of entering after the signal and leaving ``horizon`` bars later.

    Parameters
    ----------
    found : OwnBars
        Of `own_bars.of_prices`.
    horizon : int
        Bars between entry and exit, 1 or more.
    lag : int, default 1
        Bars from the signal to the entry, 1 or more: the bar of the signal itself is over.
    price : str
        ``"open"`` or ``"close"``: where in its bar one enters, and leaves. Default: the open where
        there is one.

    Returns
    -------
    Forward
        ``value`` = P(t + lag + horizon) / P(t + lag) - 1.

    Raises
    ------
    UsageError
        A horizon or lag below 1, or a price of another name.
    DataError
        The column of the price is missing, or the horizon is longer than every asset's bars.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.own_bars import of_prices
    >>> from fintech_dl.features.forward import forward_return
    >>> frame = pd.DataFrame({"date": pd.date_range("2024-05-01", periods=4), "asset": "AAA",
    ...                       "close": [8.0, 10.0, 11.0, 12.1]})
    >>> forward_return(of_prices(frame), 1).value.round(6)
    array([0.1, 0.1, nan, nan])
    """
    if price not in ("", "open", "close"):
        raise UsageError(f"price={price!r}: must be 'open' or 'close'")
    price = price or ("open" if "open" in found.columns else "close")
    if price not in found.columns:
        raise DataError(
            f"forward_return: the column {price!r} is missing; price='close' needs none"
        )
    _check(found, horizon, lag, lag + horizon)
    traded = found.columns[price]
    sound, until = _ends(found, lag + horizon)
    entry = _ahead(traded, lag)
    value = np.where(sound, _ahead(traded, lag + horizon) / entry - 1, np.nan)
    return Forward(value, until, np.where(sound, entry, np.nan))


def forward_price(found: OwnBars, horizon: int) -> Forward:
    """Return the log of the close ``horizon`` bars ahead over the bar's own close.

    What a forecast of the price is about, with "stays as it is" as its rival. It is no return that
    anybody could earn: nobody trades at the close that the forecast is made of.

    Parameters
    ----------
    found : OwnBars
    horizon : int

    Returns
    -------
    Forward
        ``entry`` is NaN throughout.

    Raises
    ------
    UsageError, DataError
        As `forward_return`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from fintech_dl.features.forward import forward_price
    >>> from fintech_dl.features.own_bars import of_prices
    >>> frame = pd.DataFrame({"date": pd.date_range("2024-05-01", periods=3), "asset": "AAA",
    ...                       "close": np.exp([2.0, 2.1, 2.3])})
    >>> forward_price(of_prices(frame), 1).value.round(6)
    array([0.1, 0.2, nan])
    """
    _check(found, horizon, 1, horizon)
    sound, until = _ends(found, horizon)
    logs = np.log(found.columns["close"])
    value = np.where(sound, _ahead(logs, horizon) - logs, np.nan)
    return Forward(value, until, np.full(len(value), np.nan))


def forward_mean(found: OwnBars, values: Floats, horizon: int) -> Forward:
    """Return the mean of the next ``horizon`` bars' values, for example of their variance.

    Parameters
    ----------
    found : OwnBars
    values : float array of shape (n_rows,)
        One per place; the bar's own is not in its mean.
    horizon : int

    Returns
    -------
    Forward
        ``entry`` is NaN throughout.

    Raises
    ------
    UsageError, DataError
        As `forward_return`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from fintech_dl.features.own_bars import of_prices
    >>> from fintech_dl.features.forward import forward_mean
    >>> frame = pd.DataFrame({"date": pd.date_range("2024-05-01", periods=4), "asset": "AAA",
    ...                       "close": [8.0, 10.0, 11.0, 12.0]})
    >>> forward_mean(of_prices(frame), np.array([1.0, 2.0, 4.0, 6.0]), 2).value
    array([ 3.,  5., nan, nan])
    """
    _check(found, horizon, 1, horizon)
    sound, until = _ends(found, horizon)
    value = np.where(sound, _ahead(means(values, [horizon])[horizon], horizon), np.nan)
    return Forward(value, until, np.full(len(value), np.nan))


def of_horizons(make: Callable[[int], Forward], horizon: int | Sequence[int]) -> Forward:
    """Return the labels of one horizon, or those of several side by side.

    Parameters
    ----------
    make : function
        From a horizon to its `Forward`.
    horizon : int or list of int
        A list names two or more, each once.

    Returns
    -------
    Forward
        Of a list ``value`` has a column per horizon, ``until`` is that of the longest and
        ``entry`` that of the first.

    Raises
    ------
    UsageError
        A list of fewer than two horizons, or one of them twice; else as ``make``.

    Examples
    --------
    >>> from functools import partial
    >>> import numpy as np
    >>> import pandas as pd
    >>> from fintech_dl.features.own_bars import of_prices
    >>> from fintech_dl.features.forward import forward_mean, of_horizons
    >>> frame = pd.DataFrame({"date": pd.date_range("2024-05-01", periods=4), "asset": "AAA",
    ...                       "close": [8.0, 10.0, 11.0, 12.0]})
    >>> make = partial(forward_mean, of_prices(frame), np.array([1.0, 2.0, 4.0, 6.0]))
    >>> of_horizons(make, [1, 2]).value
    array([[ 2.,  3.],
           [ 4.,  5.],
           [ 6., nan],
           [nan, nan]])
    """
    if not isinstance(horizon, list | tuple | np.ndarray):
        return make(horizon)  # type: ignore[arg-type]
    if len(horizon) < 2 or len(set(horizon)) < len(horizon):
        raise UsageError(
            f"horizon={horizon!r}: must be one whole number of bars, or a list of two or more "
            "different ones"
        )
    parts = [make(bars) for bars in horizon]
    longest = parts[int(np.argmax(horizon))]
    return Forward(np.column_stack([p.value for p in parts]), longest.until, parts[0].entry)


def target_of(value: Floats, name: str, horizon: int | Sequence[int]) -> Any:
    """Return labels as the target of a table: a series, or a column ``{name}_next_{h}`` each.

    Parameters
    ----------
    value : array of shape (n_rows,) or (n_rows, n_horizons)
    name : str
        What is forecast.
    horizon : int or sequence of int
        As `of_horizons` took it.

    Returns
    -------
    Series or DataFrame

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.forward import target_of
    >>> target_of(np.ones((1, 2)), "variance", [1, 5]).columns.tolist()
    ['variance_next_1', 'variance_next_5']
    """
    if value.ndim == 1:
        return pd.Series(value, name=name)
    assert isinstance(horizon, Sequence | np.ndarray)
    return pd.DataFrame(value, columns=[f"{name}_next_{bars}" for bars in horizon])


def known_by_date(until: Integers, date: Integers) -> Integers:
    """Return when the labels of a date are all known: for ranks, which need every one of them.

    Parameters
    ----------
    until : int array of shape (n_rows,)
        When each label is known, the smallest integer where never.
    date : int array of shape (n_rows,)
        Number of the date, in any order.

    Returns
    -------
    int array of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.forward import known_by_date
    >>> known_by_date(np.array([5, 9, 7]), np.array([0, 0, 1]))
    array([9, 9, 7])
    """
    latest = np.full(int(date.max(initial=0)) + 1, NEVER)
    np.maximum.at(latest, date, until)
    return np.where(until == NEVER, NEVER, latest[date])


def _check(found: OwnBars, horizon: int, lag: int, ahead: int) -> None:
    for name, n in (("horizon", horizon), ("lag", lag)):
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise UsageError(f"{name}={n!r}: must be a whole number of bars, 1 or more")
    longest = int(np.bincount(found.asset).max(initial=0))
    if ahead >= longest:
        raise DataError(
            f"horizon={horizon}: a label needs {ahead} bars after the signal, but the longest "
            f"series has {longest} bars; take a shorter horizon or more data"
        )


def _ends(found: OwnBars, ahead: int) -> tuple[Mask, Integers]:
    """Tell whether the next bars are there and sound, and the time of the last of them."""
    n = len(found.run)
    sound = np.zeros(n, dtype=bool)
    until = np.full(n, NEVER)
    if ahead < n:
        sound[:-ahead] = found.run[ahead:] > ahead
        same = found.stretch[ahead:] == found.stretch[:-ahead]
        until[:-ahead] = np.where(same, found.time[ahead:], NEVER)
    return sound, until


def _ahead(values: Floats, bars: int) -> Floats:
    out = np.full(len(values), np.nan)
    out[: len(out) - bars] = values[bars:]
    return out
