"""Long bars, the one format of prices: a row per date and asset; what makes a bar or a file wrong.

Columns ``date`` (a day without hours, no time zone), ``asset`` (text), ``open``, ``high``, ``low``,
``close``, ``volume`` (numbers; all but ``close`` may be absent) and optionally ``adj_factor``
(what raw prices are multiplied with); sorted by date, then asset; the pair is unique.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from fintech_dl.errors import DataError

PRICES = ("open", "high", "low", "close")
NUMBERS = (*PRICES, "volume", "adj_factor")
ROUNDING = 1e-3  # prices of one bar may contradict each other by a tenth of a per cent
JUMP = 0.4  # overnight move from which a bar looks like a split that was not worked in
VOLUME_JUMP = 1.5  # ... if volume is off by this factor too
VOLUME_BARS = 20  # ... from the median of so many own bars before
STEP = 0.1  # of the logarithm of adj_factor, to be looked at

Mask = NDArray[np.bool_]


def check_bars(bars: pd.DataFrame, where: str = "bars", *, few: bool = False) -> None:
    """Refuse a frame that is not in the format of long bars; single wrong bars are no matter here.

    Parameters
    ----------
    bars : DataFrame
    where : str
        Begins the error text.
    few : bool
        A single day will do: rows to score.

    Raises
    ------
    DataError
        A column is missing or of a wrong type, dates with hours or a time zone, rows out of order,
        a pair of date and asset twice, or a single day.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.bars import check_bars
    >>> dates = pd.to_datetime(["2024-01-02", "2024-01-03"])
    >>> check_bars(pd.DataFrame({"date": dates, "asset": "A", "close": [1.0, 1.1]}))
    """
    if absent := [name for name in ("date", "asset", "close") if name not in bars.columns]:
        raise DataError(
            f"{where}: missing column {', '.join(map(repr, absent))}; the frame has: "
            f"{', '.join(map(str, bars.columns))}. Bring it into the format with to_bars"
        )
    dates = bars["date"]
    if not is_datetime64_any_dtype(dates.dtype) or dates.dt.tz is not None:
        zone = "times with a time zone" if is_datetime64_any_dtype(dates.dtype) else "no dates"
        raise DataError(
            f"{where}: column 'date': expected days without a time zone, got {zone} "
            f"({dates.dtype}). Bring them into the format with to_bars"
        )
    for name in NUMBERS:
        if name in bars.columns and not is_numeric_dtype(bars[name].dtype):
            raise DataError(f"{where}: column {name!r}: expected numbers, got {bars[name].dtype}")
    if empty := [name for name in ("date", "asset") if bars[name].isna().any()]:
        row = int(np.flatnonzero(bars[empty[0]].isna())[0]) + 1
        raise DataError(f"{where}: column {empty[0]!r} is empty in row {row}; every bar needs it")
    check_days(dates.to_numpy(), bars["asset"].to_numpy(), where, few=few)


def check_days(
    dates: NDArray[Any],
    assets: NDArray[Any],
    where: str,
    *,
    ordered: bool = True,
    few: bool = False,
) -> None:
    """Refuse days with hours, a pair of day and asset twice, rows out of order, a single day.

    Parameters
    ----------
    dates : array of datetime64
    assets : array
        Of the same length.
    where : str
        Begins the error text.
    ordered : bool
        Rows must be in order of date, then asset.
    few : bool
        A single day will do: rows to score.

    Raises
    ------
    DataError
        As said.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.bars import check_days
    >>> check_days(np.array(["2024-01-02", "2024-01-02"], "M8[us]"), np.array(["A", "A"]), "a.csv")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: a.csv: two rows of 'A' on 2024-01-02 (rows 1 and 2); keep one...
    """
    days = dates.astype("datetime64[D]")
    hours = np.flatnonzero(days.astype(dates.dtype) != dates)
    if len(hours):
        raise DataError(
            f"{where}: row {hours[0] + 1} is of {pd.Timestamp(dates[hours[0]])}; expected days "
            "without hours: convert times to the time zone of the exchange and cut the hours off"
        )
    codes = pd.factorize(assets, sort=True)[0]
    order = np.lexsort((np.arange(len(days)), codes, days))
    again = (days[order][1:] == days[order][:-1]) & (codes[order][1:] == codes[order][:-1])
    if again.any():
        one, two = order[int(np.flatnonzero(again)[0]) :][:2]
        raise DataError(
            f"{where}: two rows of {str(assets[one])!r} on {days[one]} (rows {one + 1} and "
            f"{two + 1}); keep one of them"
        )
    back = (days[1:] < days[:-1]) | ((days[1:] == days[:-1]) & (codes[1:] < codes[:-1]))
    if ordered and back.any():
        row = int(np.flatnonzero(back)[0]) + 1
        raise DataError(
            f"{where}: rows are not in order of date, then asset: row {row + 1} ({days[row]}, "
            f"{assets[row]}) comes after row {row} ({days[row - 1]}, {assets[row - 1]}); "
            "sort them; a dataset card does it with sorted = false in [contract]"
        )
    if not few and len(days) and days.min() == days.max():
        raise DataError(
            f"{where}: all rows are of one day, {days[0]}; nothing can be learned from a calendar "
            "of one day, take more of them"
        )


def bar_faults(bars: pd.DataFrame, *, nullable: Collection[str] = ()) -> dict[str, Mask]:
    """Return which bars are wrong, by reason: a bar itself, or beside the same asset's bar before.

    Reasons are ``rule:column``. ``missing``, ``infinite``, ``not_above_0`` (prices and factor),
    ``below_0`` (volume); ``high_below_low``, and ``outside_range``, an open or close above the high
    or below the low, each by more than 0.1 %. ``split_jump``: the open (the close, where there is
    none) is 40 % below the close before or the reverse, and volume changed by half from the median
    of the 20 bars before: a split or spin-off that was not worked in, or, rarely, news.
    ``mixed_adjustment``: a step of ``adj_factor`` that makes the return larger instead of
    explaining it.

    Parameters
    ----------
    bars : DataFrame
        ``date``, ``asset`` and what there is of prices, volume and factor, in any order.
    nullable : collection of str
        Columns that may be empty.

    Returns
    -------
    dict of str to array of bool, shape (rows,)
        Only reasons that occur.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.bars import bar_faults
    >>> bars = pd.DataFrame({"asset": "A", "high": [3.0, 2.0], "low": [1.0, 2.5], "close": 2.0})
    >>> bars["date"] = pd.to_datetime(["2024-01-02", "2024-01-03"])
    >>> {reason: mask.tolist() for reason, mask in bar_faults(bars).items()}
    {'high_below_low:high': [False, True], 'outside_range:close': [False, True]}
    """
    cells = {name: bars[name].to_numpy("float64") for name in NUMBERS if name in bars.columns}
    faults: dict[str, Mask] = {}
    for name, values in cells.items():
        if name not in nullable:
            faults[f"missing:{name}"] = np.isnan(values)
        faults[f"infinite:{name}"] = np.isinf(values)
        if name == "volume":
            faults["below_0:volume"] = values < 0
        else:
            faults[f"not_above_0:{name}"] = values <= 0
    high, low = cells.get("high"), cells.get("low")
    top = np.inf if high is None else high * (1 + ROUNDING)
    bottom = -np.inf if low is None else low * (1 - ROUNDING)
    if high is not None and low is not None:
        faults["high_below_low:high"] = (high < bottom) & (low > 0)
    for name, price in cells.items():
        if name not in ("open", "close"):
            continue
        faults[f"outside_range:{name}"] = (price > 0) & ((price > top) | (price < bottom))
    if "close" in cells:
        faults |= _beside_the_one_before(bars, cells)
    return {reason: mask for reason, mask in faults.items() if mask.any()}


def _beside_the_one_before(
    bars: pd.DataFrame, cells: dict[str, NDArray[np.float64]]
) -> dict[str, Mask]:
    """Look at each bar beside the same asset's bar before."""
    codes = pd.factorize(bars["asset"])[0]
    order = np.lexsort((bars["date"].to_numpy(), codes))
    same = codes[order][1:] == codes[order][:-1]
    own = {n: np.where(np.isfinite(v) & (v > 0), v, np.nan)[order] for n, v in cells.items()}

    def change(now: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(same, now[1:] / before[:-1], np.nan)

    close, factor = own["close"], own.get("adj_factor", np.ones(len(order)))
    night = change(own.get("open", close), close) * change(factor, factor)
    jump = (night < 1 - JUMP) | (night > 1 / (1 - JUMP))
    for at in np.flatnonzero(jump):  # few
        jump[at] = "volume" in own and _unusual(own["volume"], codes[order], int(at) + 1)
    step, move = np.log(change(factor, factor)), np.log(change(close, close))
    mixed = (np.abs(step) > STEP) & (np.abs(move + step) > np.abs(move))
    found = {"split_jump:close": jump, "mixed_adjustment:adj_factor": mixed}
    back = np.argsort(order)
    return {reason: np.append(False, mask)[back] for reason, mask in found.items()}


def _unusual(volume: NDArray[np.float64], assets: NDArray[np.intp], at: int) -> bool:
    """Return whether the volume at a place is far from the median of the same asset's before."""
    begin = max(at - VOLUME_BARS, int(np.searchsorted(assets, assets[at])))
    past = volume[begin:at]
    if np.isnan(past).all():
        return False
    change = volume[at] / np.nanmedian(past)
    return bool(change >= VOLUME_JUMP or change <= 1 / VOLUME_JUMP)
