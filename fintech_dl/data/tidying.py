"""Whatever frame of prices somebody has -> long bars, or a sentence on what is ambiguous."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from fintech_dl.bars import NUMBERS, PRICES, check_bars
from fintech_dl.errors import DataError, UsageError

NAMES = {
    "date": ("date", "datetime", "day", "tradedate", "timestamp"),
    "asset": ("asset", "ticker", "symbol", "instrument"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "adj_close": ("adjclose", "adjustedclose", "closeadjusted"),
    "volume": ("volume", "vol"),
    "adj_factor": ("adjfactor",),
}
KNOWN = {word: name for name, words in NAMES.items() for word in words}
MIDNIGHT = re.compile(r"\d{4}-\d\d-\d\d[ T]00:00(:00)?(\.0+)?([+-]\d\d:?\d\d|Z)$")


def to_bars(frame: pd.DataFrame | Mapping[str, pd.DataFrame], *, asset: str = "") -> pd.DataFrame:
    """Bring a frame of daily prices into the one format of this package, long bars.

    For what you have already: a frame of yfinance (flat, or with MultiIndex columns either way
    round), a dictionary of frames by ticker, or a long frame under other names (``Date``,
    ``Ticker``, ``Symbol``, ``Adj Close``, ...). Nothing is filled, repaired or guessed: what can be
    read in two ways is refused. To get prices from Yahoo, use `load_prices`.

    Parameters
    ----------
    frame : DataFrame or mapping of str to DataFrame
        Dates are a column or the index. With a time zone they become the days of that zone, so they
        must be in that of the exchange.
    asset : str
        Name of the asset, where the frame is of one and has no column of names.

    Returns
    -------
    DataFrame
        ``date`` (datetime64, midnight, no time zone), ``asset`` (text), what there is of ``open``,
        ``high``, ``low``, ``close``, ``volume``, and ``adj_factor`` where there was an adjusted
        close beside the raw one (their ratio); in order of date, then asset; index 0, 1, ... A row
        of a wide frame in which an asset has no value at all is no bar of it.

    Raises
    ------
    DataError
        No dates, no names of assets, no close; two columns of one meaning; text among numbers;
        dates with hours or in several time zones; an adjusted close for some assets only; a pair
        of date and asset twice.
    UsageError
        ``asset`` for a frame that names its assets.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl import to_bars
    >>> frame = pd.DataFrame({"Date": ["2024-01-03", "2024-01-02"], "Close": [2.5, 2.0],
    ...                       "Adj Close": [2.5, 1.0]})
    >>> to_bars(frame, asset="ABC").to_dict("records")[0]
    {'date': Timestamp('2024-01-02 00:00:00'), 'asset': 'ABC', 'close': 2.0, 'adj_factor': 0.5}
    """
    if isinstance(frame, Mapping):
        if asset or not frame:
            raise UsageError("to_bars: a mapping names its assets by its keys; expected 1 or more")
        parts = [_one(part, str(name)) for name, part in frame.items()]
        return _checked(pd.concat(parts, ignore_index=True))
    if frame.columns.nlevels > 2:
        raise DataError(f"to_bars: the columns have {frame.columns.nlevels} levels, at most 2 fit")
    if frame.columns.nlevels == 2:
        if asset:
            raise UsageError(f"to_bars: asset={asset!r}: the columns of this frame name its assets")
        return _checked(_stacked(frame))
    return _checked(_one(frame, asset))


def _meaning(name: Any) -> str:
    plain = "".join(c for c in str(name).lower() if c.isalnum())
    return KNOWN.get(plain, "")


def _stacked(frame: pd.DataFrame) -> pd.DataFrame:
    """Take a frame with columns of two levels apart: prices on one, assets on the other."""
    words = [{_meaning(name) for name in frame.columns.unique(level)} for level in (0, 1)]
    prices = [level for level in (0, 1) if "close" in words[level]]
    if len(prices) != 1:
        found = [list(map(str, frame.columns.unique(level)[:5])) for level in (0, 1)]
        raise DataError(
            "to_bars: expected one of the two levels of columns to hold open, high, low, close and "
            f"the other the assets; they hold {found[0]} and {found[1]}"
        )
    level = 1 - prices[0]
    parts = []
    for name in frame.columns.unique(level):
        own: Any = frame.xs(name, axis=1, level=level)
        parts.append(_one(own[own.notna().any(axis=1)], str(name)))
    return pd.concat(parts, ignore_index=True)


def _one(frame: pd.DataFrame, asset: str) -> pd.DataFrame:
    """Bring a frame with plain columns under the names of long bars."""
    if any(name is not None and _meaning(name) in ("date", "asset") for name in frame.index.names):
        frame = frame.reset_index()
    elif isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.rename_axis("date").reset_index()
    meanings = [_meaning(name) for name in frame.columns]
    where = f"to_bars: {asset}" if asset else "to_bars"
    for name in NAMES:
        if meanings.count(name) > 1:
            same = [str(c) for c, m in zip(frame.columns, meanings, strict=True) if m == name]
            raise DataError(f"{where}: {' and '.join(map(repr, same))} both mean {name}; drop one")
    if absent := [name for name in ("date", "close") if name not in meanings]:
        alone = absent == ["close"] and "adj_close" in meanings
        hint = "; an adjusted close alone does not fit raw prices: rename it" if alone else ""
        raise DataError(
            f"{where}: no column or index means {' or '.join(absent)}; the frame has: "
            f"{', '.join(map(str, frame.columns[:20]))}{hint}. Expected one of: "
            + "; ".join(", ".join(NAMES[name]) for name in absent)
        )
    known = {m: frame.iloc[:, i] for i, m in enumerate(meanings) if m}
    if "asset" in known and asset:
        raise UsageError(f"to_bars: asset={asset!r}: the frame names its assets in a column")
    if "asset" not in known and not asset:
        raise DataError(
            "to_bars: no column names the asset; for a frame of one asset give asset=..., for a "
            "frame with one column of closes per asset make it long first (pandas.DataFrame.melt)"
        )
    names = known["asset"] if "asset" in known else pd.Series(asset, index=frame.index)
    if names.isna().any():
        raise DataError(f"{where}: {int(names.isna().sum())} rows name no asset")
    bars = pd.DataFrame({"date": _days(known["date"], where), "asset": names.astype("str")})
    for name in (*PRICES, "volume", "adj_close", "adj_factor"):
        if name in known:
            bars[name] = _numbers(known[name], f"{where}: column {name!r}")
    return bars


def _days(dates: "pd.Series[Any]", where: str) -> Any:
    if not is_datetime64_any_dtype(dates.dtype):
        if is_numeric_dtype(dates.dtype):
            raise DataError(
                f"{where}: dates are numbers such as {dates.iloc[0]!r}, which may count days or "
                "seconds; convert them with pandas.to_datetime"
            )
        zones = {getattr(date, "tzinfo", None) for date in dates}
        if len({str(zone) for zone in zones}) > 1:
            raise DataError(f"{where}: mixed time zones; bring every asset's dates to its own days")
        if dates.map(lambda date: isinstance(date, str) and MIDNIGHT.match(date) is not None).all():
            dates = dates.str[:10]  # the offset of a midnight changes with the clock, its day not
        try:
            dates = pd.to_datetime(dates, format="ISO8601")
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{where}: cannot read the dates: {error}; write them like 2024-01-31"
            ) from error
    if dates.isna().any():
        raise DataError(f"{where}: {int(dates.isna().sum())} rows have no date")
    local = dates.dt.tz_localize(None)
    if (hours := local != local.dt.normalize()).any():
        zone = f" in {dates.dt.tz}" if dates.dt.tz is not None else ""
        raise DataError(
            f"{where}: {local[hours].iloc[0]}{zone} is no day; expected daily bars with the dates "
            "of the exchange: convert to its time zone with tz_convert, or cut the hours off if "
            "they mean nothing"
        )
    return local.dt.as_unit("us")


def _numbers(cells: "pd.Series[Any]", where: str) -> Any:
    try:
        return cells.astype("float64")
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: expected numbers: {error}") from error


def _checked(bars: pd.DataFrame) -> pd.DataFrame:
    bars = bars.sort_values(["date", "asset"], kind="stable", ignore_index=True)
    if "adj_close" in bars:
        if "adj_factor" in bars:
            raise DataError("to_bars: both an adjusted close and adj_factor; drop one of them")
        mixed = bars["close"].notna() & bars["adj_close"].isna()
        if mixed.any():
            names = bars.loc[mixed, "asset"].unique()
            raise DataError(
                f"to_bars: adjusted and raw prices are mixed: {', '.join(names[:10])} have a close "
                "without its adjusted close; take them apart or get them again"
            )
        bars["adj_factor"] = bars.pop("adj_close") / bars["close"].replace(0, np.nan)
    bars = bars[["date", "asset", *[name for name in NUMBERS if name in bars.columns]]]
    check_bars(bars, "to_bars", few=True)
    return bars
