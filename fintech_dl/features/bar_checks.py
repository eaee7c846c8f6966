"""Daily bars to a table of what looks wrong in each, beside the asset's own bars before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fintech_dl.bars import PRICES, check_bars
from fintech_dl.features.own_bars import OwnBars, days_of, of_series
from fintech_dl.features.windows import Floats
from fintech_dl.table import Table

ASIDE = ("asset", "close", "kind")
LABELS = ("kind",)
RECENT, USUAL = 5, 60  # bars
REACH = USUAL + 2
LEAST_MOVE = 1e-4  # of a bar's log return: an asset that does not move has no usual move
FEWEST = 5  # assets of a date that make a market
NORMAL = 1.4826  # standard deviations of a normal law in its median absolute deviation


def daily(
    frame: pd.DataFrame,
    *,
    target: str = "is_planted",
    max_gap: int = 5,
    aside: Sequence[str] = ASIDE,
) -> Table:
    """Make the table of daily bars for the question "which of today's prices are wrong?".

    Use it before prices are used: each bar is looked at when it is over, beside the bars before and
    the other assets of the date, and a day later is never asked for. Unlike `prices.panel`
    it leaves no bar out for being faulty. All measures of what is usual are medians of earlier
    bars, so that an error does not make the next bar look odd.

    Parameters
    ----------
    frame : DataFrame
        Long bars in the order of ``date``, then ``asset``, see `fintech_dl.bars.check_bars`.
    target : str, default "is_planted"
        Column of labels, 0 or 1; may be absent.
    max_gap : int, default 5
        Dates that an asset may miss in a row; nothing is compared across a longer gap.
    aside : sequence of str
        Columns to keep beside the features, where they exist.

    Returns
    -------
    Table
        ``X`` is float32. In usual moves (1.48 x the median size of the log returns of 60 bars
        before), as asinh, so that ten times a price is far off but not out of all proportion:
        ``open_move``, ``high_move``, ``low_move``, ``close_move`` from the close before or from the
        median of the last five closes, whichever is nearer; ``close_in_market``, the close's less
        the median of all assets of the date (of five or more); ``outside``, how far open and close
        lie outside of high and low. Logarithms over the median of the bars before: ``range`` (high
        to low), ``turnover`` (close times volume: a split leaves it as it is). ``repeated``: share
        of the bar's prices that are those of the bar before; ``repeated_volume`` (0 or 1). NaN
        where a cell is empty.

        ``y`` is the target (None without the column), ``when`` the date, ``who`` the asset. Rows
        with fewer than 62 bars before are left out, counted by reason in ``X.attrs["left_out"]``.

    Raises
    ------
    DataError
        The frame is not in the format of long bars, or no asset has bars enough.

    Examples
    --------
    >>> from fintech_dl.data.markets import stock_panel
    >>> from fintech_dl.features.bar_checks import daily
    >>> bars = stock_panel(n_assets=2, days=70)
    >>> bars.loc[139, "close"] *= 2
    >>> daily(bars).X["close_move"].iloc[-1] > 3
    np.True_
    """
    check_bars(frame)
    names = [name for name in (*PRICES, "volume") if name in frame]
    values = {name: frame[name].to_numpy(np.float64, na_value=np.nan) for name in names}
    found = of_series(frame, values, {}, max_gap=max_gap)
    kept = found.complete(REACH)
    features = {
        name: found.order.to_rows(v)[found.order.to_rows(kept)]
        for name, v in _checks(found).items()
    }
    X = pd.DataFrame(features).astype(np.float32)
    X.attrs["left_out"] = found.left_out(kept, REACH)
    rows = frame[found.order.to_rows(kept)].reset_index(drop=True)
    return Table(
        X=X,
        y=rows.get(target),
        when=rows["date"],
        who=rows["asset"],
        aside=rows[[name for name in aside if name in rows]],
    )


def daily_days() -> int:
    """Return how many days of history ``daily`` needs.

    Examples
    --------
    >>> from fintech_dl.features.bar_checks import daily_days
    >>> daily_days()
    200
    """
    return days_of(REACH)


def _checks(found: OwnBars) -> dict[str, Floats]:
    """Return the features place by place."""
    cells = found.columns
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = {name: _positive(np.log(v)) for name, v in cells.items() if name != "volume"}
    by: Any = found.stretch
    close = pd.Series(logs["close"])
    before = close.groupby(by).shift(1).to_numpy()
    recent = _median_before(logs["close"], by, RECENT, 1)
    usual = NORMAL * _median_before(np.abs(logs["close"] - before), by, USUAL, USUAL // 3)
    usual = np.maximum(usual, LEAST_MOVE)
    features = {}
    for name, price in logs.items():
        one, two = price - before, price - recent
        features[f"{name}_move"] = np.arcsinh(
            np.where(np.abs(one) <= np.abs(two), one, two) / usual
        )
    dates = pd.Series(features["close_move"]).groupby(found.date)
    market = np.where(dates.transform("count") >= FEWEST, dates.transform("median"), 0.0)
    features["close_in_market"] = features["close_move"] - market
    if {"high", "low"} <= {*logs}:
        ends = [logs[name] for name in ("open", "close") if name in logs]
        top, bottom = np.fmax.reduce(ends), np.fmin.reduce(ends)
        over = np.maximum(top - logs["high"], 0) + np.maximum(logs["low"] - bottom, 0)
        features["outside"] = np.arcsinh(over / usual)
        reach = np.log(np.abs(logs["high"] - logs["low"]) + LEAST_MOVE)
        features["range"] = reach - _median_before(reach, by, USUAL, USUAL // 3)
    if "volume" in cells:
        turnover = np.log1p(np.maximum(cells["volume"], 0)) + logs["close"]
        features["turnover"] = turnover - _median_before(turnover, by, USUAL, USUAL // 3)
    same = {name: _same(values, by) for name, values in cells.items()}
    features["repeated"] = np.mean([same[name] for name in logs], axis=0)
    if "volume" in cells:
        features["repeated_volume"] = same["volume"]
    return features


def _positive(logs: Floats) -> Floats:
    """Return logarithms with NaN for those of prices of 0 or below."""
    return np.where(np.isfinite(logs), logs, np.nan)


def _median_before(values: Floats, by: Any, bars: int, fewest: int) -> Floats:
    """Return the median of so many bars before each one, NaN below the fewest."""
    shifted = pd.Series(values).groupby(by).shift(1)
    rolled = shifted.groupby(by).rolling(bars, min_periods=fewest).median()
    return np.asarray(rolled.droplevel(0))


def _same(values: Floats, by: Any) -> Floats:
    """Return 1 where a cell is that of the bar before, else 0."""
    before = pd.Series(values).groupby(by).shift(1)
    return np.asarray(values == before, dtype=np.float64)
