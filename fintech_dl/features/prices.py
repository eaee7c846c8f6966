"""Prices to a table: what each asset's last bars say, and what came of it later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import UsageError
from fintech_dl.features import indicators, variances
from fintech_dl.features.alphas import NEEDS, WINDOWS, alphas
from fintech_dl.features.columns import need_columns
from fintech_dl.features.cross_section import ranks_by_date, zscores_by_date
from fintech_dl.features.forward import (
    Forward,
    forward_mean,
    forward_price,
    forward_return,
    known_by_date,
    of_horizons,
    target_of,
)
from fintech_dl.features.own_bars import FAULT_BARS, Mask, OwnBars, days_of, of_prices
from fintech_dl.features.steps import Kept, kept_rows
from fintech_dl.features.variances import BAR_NEEDS, bar_variance, volatilities
from fintech_dl.features.windows import Features, Floats, checked_lengths, in_blocks, means
from fintech_dl.table import Table

LABELS = ("return", "rank", "direction", "price", "variance")
RAW = "bars"
RAW_CHANNELS = ("close", "open", "high", "low", "volume")
SIGMA_BARS = 22

# name: function, the columns that it needs, the bars that it looks at
SETS: dict[str, tuple[Callable[..., Features], Sequence[str], int]] = {
    "alphas": (alphas, NEEDS, 0),
    "indicators": (indicators.indicators, indicators.NEEDS, indicators.REACH),
    "momentum": (indicators.momentum, ("close",), indicators.MOMENTUM_REACH),
    "returns": (indicators.returns, ("close",), indicators.RETURNS_REACH),
    "volatility": (volatilities, variances.NEEDS, variances.REACH),
    "ranges": (variances.ranges, variances.RANGE_NEEDS, max(variances.LAGS)),
}


def panel(
    frame: pd.DataFrame,
    *,
    features: Sequence[str] = ("alphas",),
    windows: Sequence[int] = WINDOWS,
    across: str = "",
    last: int = 1,
    label: str = "return",
    horizon: int | Sequence[int] = 5,
    lag: int = 1,
    price: str = "",
    variance: str = "close_to_close",
    asset: bool = False,
    max_gap: int = 0,
    labelled: bool = False,
    aside: Sequence[str] = (),
) -> Table:
    """Make the table of a panel of prices: features of each asset's last bars, and a label.

    Use it for rankings of stocks, for direction, and for forecasts of prices. A row is a bar, seen
    when it is over. It sees its own asset's bars up to then and, with ``across``, the other assets
    of the same date.

    Parameters
    ----------
    frame : DataFrame
        Long bars in the order of ``date``, then ``asset``; see `own_bars.of_prices`.
    features : sequence of str, default ("alphas",)
        Sets of features: ``"alphas"`` (of Qlib, 13 + 29 per window), ``"indicators"``,
        ``"momentum"``, ``"returns"`` (the close alone), ``"volatility"``, ``"ranges"`` (of day,
        week and month, for the scale of intervals); or ``"bars"``: the prices over the row's last
        close, and the volume over its mean, for networks of sequences.
    windows : sequence of int, default (5, 10, 20, 30, 60)
        Of ``"alphas"``.
    across : str
        ``"rank"`` or ``"zscore"``: features, other than ``"bars"``, as ranks from -0.5 to 0.5, or
        in standard deviations, among all assets of the date. Default: as they are.
    last : int, default 1
        Bars per row. With k > 1 the row holds the features of the asset's last k bars, each as it
        was at its own time.
    label : str, default "return"
        ``"return"`` of entering ``lag`` bars after the signal and leaving ``horizon`` later;
        ``"rank"`` of that return on its date, from -0.5 to 0.5; ``"direction"``, whether it is
        above 0; ``"price"``, the log of the close ``horizon`` bars ahead over the row's own (a
        forecast, nobody could trade it); ``"variance"``, the mean over the next ``horizon`` bars.
    horizon : int or list of int, default 5
        Of several horizons at once the first is the main one; directions have one.
    lag : int, default 1
        Bars from signal to entry, 1 or more.
    price : str
        ``"open"`` or ``"close"``: where one enters and leaves. Default: the open if there is one.
    variance : str, default "close_to_close"
        Which one ``label = "variance"`` takes, see `variances.bar_variance`.
    asset : bool, default False
        Whether the asset is a feature too (a category).
    max_gap : int, default 0
        Dates that an asset may miss in a row; nothing reaches across a longer gap. More than 0 for
        markets whose holidays differ; see `own_bars.of_prices`.
    labelled : bool, default False
        Whether to leave out rows whose label is not known (yet): for training.
    aside : sequence of str
        Further columns to keep beside the features.

    Returns
    -------
    Table
        ``X`` is float32; with ``last`` = k its columns are ``channel@-lag``, oldest first, with a
        channel ``present``: 0, like all channels of the step, before an asset's first usable bar.

        ``y`` is the label, of several horizons a DataFrame of ``return_next_5``,
        ``return_next_20``, ... (named by the label). ``when`` is the date of the bar, ``until`` the
        date at which the label is known (for ranks: that of the last asset of the date; of several
        horizons: that of the longest), ``who`` the asset. ``aside`` holds ``row`` (position in the
        frame), ``close``, ``entry`` (price of entry, for returns), ``forward_return`` (of the main
        horizon) and ``volatility`` (root of the mean squared log return of the last 22 bars).

        Rows whose windows touch a faulty bar, or are not full, are left out and counted by reason
        in ``X.attrs["left_out"]``. A label that would touch a faulty bar, the end of the asset's
        data or a gap is missing.

    Raises
    ------
    DataError
        The frame is not in the format of long bars, lacks a column that the features need, is
        shorter than the horizon, or has no full window of sound bars.
    UsageError
        A parameter out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from fintech_dl.features.prices import panel
    >>> close = 50 + np.arange(90.0)
    >>> frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=90), "asset": "AAA",
    ...                       "open": close, "high": close + 1, "low": close - 1, "close": close,
    ...                       "volume": 100.0})
    >>> table = panel(frame, windows=[5, 20], horizon=1)
    >>> table.X.shape, table.X.attrs["left_out"], table.until[0] - table.when[0]
    ((70, 71), {'too_few_bars': 20}, Timedelta('2 days 00:00:00'))
    """
    sets, lengths, reach = _checked(features, windows, across, last)
    needs = [name for own in sets if own != RAW for name in SETS[own][1]]
    need_columns(frame, list(dict.fromkeys([*needs, *aside])), "panel")
    found = of_prices(frame, max_gap=max_gap)
    target = _label(found, label, horizon, lag, price, variance)
    names, values = _features(found, sets, lengths, reach)
    _compare(values, found, found.complete(reach), across)
    raw = [name for name in RAW_CHANNELS if name in found.columns] if RAW in sets else []
    if raw:
        names = [*raw, *names]
        values = np.concatenate([[found.columns[name] for name in raw], values])
    scaled = [(i, "mean" if name == "volume" else "last") for i, name in enumerate(raw)]
    kept = kept_rows(
        frame,
        found,
        names,
        values,
        reach,
        last=last,
        scaled=scaled[::-1],  # the close at the end: the others are divided by it
        wanted=target.known if labelled else None,
        asset=asset,
    )
    y, until = _target(found, target, label, horizon, kept.place)
    beside = _beside(found, target, label, kept)
    beside |= {name: frame[name].iloc[kept.rows].to_numpy() for name in aside}
    return Table(
        X=kept.X,
        y=y,
        when=kept.when,
        until=kept.times(until),
        who=kept.who,
        aside=pd.DataFrame(beside),
    )


def panel_days(
    *, features: Sequence[str] = ("alphas",), windows: Sequence[int] = WINDOWS, last: int = 1
) -> int:
    """Return how many days of history ``panel`` needs for the same parameters.

    Bars at least this old change no bit of a row's features.

    Examples
    --------
    >>> from fintech_dl.features.prices import panel_days
    >>> panel_days()
    274
    """
    _, _, reach = _checked(features, windows, "", last)
    reach = max(reach, SIGMA_BARS + 1)
    return days_of(reach) + days_of(FAULT_BARS) + (days_of(last) if last > 1 else 0)


def _checked(
    features: Sequence[str], windows: Sequence[int], across: str, last: int
) -> tuple[list[str], tuple[int, ...], int]:
    """Return sets, windows, and the bars that a row needs."""
    sets, known = list(features), [*SETS, RAW]
    if isinstance(features, str) or not sets or len(set(sets)) < len(sets) or set(sets) - {*known}:
        raise UsageError(
            f"features={features!r}: must be a list of one or more different of {', '.join(known)}"
        )
    if across not in ("", "rank", "zscore"):
        raise UsageError(f"across={across!r}: must be 'rank', 'zscore' or empty")
    lengths = checked_lengths(windows, 3, "windows")
    checked_lengths([last], 1, "last")
    bars = {name: reach for name, (_, _, reach) in SETS.items()}
    bars |= {"alphas": max(lengths) + 1, RAW: 1}
    return sets, lengths, max(bars[name] for name in sets)


def _features(
    found: OwnBars, sets: Sequence[str], windows: Sequence[int], reach: int
) -> tuple[list[str], NDArray[np.float32]]:
    makers = [
        partial(alphas, windows=windows) if name == "alphas" else SETS[name][0]
        for name in sets
        if name != RAW
    ]

    def make(columns: dict[str, Floats]) -> Features:
        for maker in makers:
            yield from maker(columns)

    return in_blocks(make, found.columns, reach)


def _compare(values: NDArray[np.float32], found: OwnBars, sound: Mask, across: str) -> None:
    """Put ranks or z-scores among all assets of the date in the place of the values."""
    if not across:
        return
    rows = np.flatnonzero(found.order.to_rows(sound))
    place = found.order.place[rows]
    date = found.date[place]
    compare = ranks_by_date if across == "rank" else zscores_by_date

    def of_date(line: NDArray[np.float32]) -> None:
        line[place] = compare(line[place], date)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(of_date, values))


def _label(
    found: OwnBars, label: str, horizon: int | Sequence[int], lag: int, price: str, variance: str
) -> Forward:
    if label not in LABELS:
        raise UsageError(f"label={label!r}: must be one of {', '.join(LABELS)}")
    if label == "direction" and isinstance(horizon, list | tuple | np.ndarray):
        raise UsageError(
            f"horizon={horizon!r}: a classifier of directions has one target; give one horizon, "
            "or another label"
        )
    if label == "variance":
        if variance not in BAR_NEEDS:
            raise UsageError(f"variance={variance!r}: must be one of {', '.join(BAR_NEEDS)}")
        need_columns(pd.DataFrame(found.columns), BAR_NEEDS[variance], f"variance={variance!r}")
        values = bar_variance(found.columns, variance)
        return of_horizons(partial(forward_mean, found, values), horizon)
    if label == "price":
        return of_horizons(partial(forward_price, found), horizon)
    return of_horizons(partial(forward_return, found, lag=lag, price=price), horizon)


def _target(
    found: OwnBars,
    target: Forward,
    label: str,
    horizon: int | Sequence[int],
    place: NDArray[np.int64],
) -> tuple[pd.Series[Any] | pd.DataFrame, NDArray[np.int64]]:
    """Return what is to be forecast, and when it is known."""
    value, until, date = target.value[place], target.until[place], found.date[place]
    if label == "rank":
        columns = value.reshape(len(value), -1).T
        columns = np.where(target.known[place], columns, np.nan)  # the same assets at all horizons
        ranks = np.column_stack([ranks_by_date(column, date) for column in columns])
        value, until = ranks.reshape(value.shape), known_by_date(until, date)
    if label != "direction":
        return target_of(value, label, horizon), until
    unknown = np.isnan(value)
    rises = np.where(unknown, np.nan, value > 0) if unknown.any() else (value > 0).astype(np.int8)
    return pd.Series(rises, name=label), until


def _beside(found: OwnBars, target: Forward, label: str, kept: Kept) -> dict[str, NDArray[Any]]:
    """Return the columns to keep beside the features."""
    place = kept.place
    beside: dict[str, NDArray[Any]] = {"row": kept.rows, "close": found.columns["close"][place]}
    if label in ("return", "rank", "direction"):
        first = target.value if target.value.ndim == 1 else target.value[:, 0]
        beside |= {"entry": target.entry[place], "forward_return": first[place]}
    squares = bar_variance(found.columns, "close_to_close")
    sigma = np.sqrt(means(squares, [SIGMA_BARS])[SIGMA_BARS])
    sigma = np.where(found.complete(SIGMA_BARS + 1), sigma, np.nan)
    return {**beside, "volatility": sigma[place]}
