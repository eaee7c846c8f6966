"""Daily prices by ticker, as long bars, out of vintages that can be named to read them again."""

import warnings
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from inspect import signature
from typing import Any, NamedTuple

import pandas as pd

from fintech_dl.bars import PRICES, check_bars
from fintech_dl.cards import duration, nearest
from fintech_dl.data import vintages, yahoo
from fintech_dl.errors import CardError, DataError, DownloadError, UsageError

SOURCES = ("yahoo",)
PARTIAL = ("short", "ended", "gaps")  # true bars, but not all that were asked for

Day = str | date | pd.Timestamp


class Prices(NamedTuple):
    """Prices and where they come from.

    Attributes
    ----------
    bars : DataFrame
        Long bars.
    vintage : str
        Name of the vintage they were read from.
    status : dict
        The vintage's own: source, moment, request, SHA-256, and for each ticker how it went.
    missing : dict of str to str
        Tickers that are absent from ``bars``, or not whole in them, and why.
    """

    bars: pd.DataFrame
    vintage: str
    status: dict[str, Any]
    missing: dict[str, str]


def load_prices(
    tickers: str | Sequence[str],
    start: Day,
    end: Day,
    *,
    adjusted: bool = True,
    source: str = "yahoo",
    vintage: str | None = None,
    max_age: str = "1d",
    allow_missing: bool = False,
) -> pd.DataFrame:
    """Return daily prices as long bars, from a stored vintage or from the source.

    What the source answers is kept, raw prices and actions, as a vintage in the cache that is never
    overwritten. The newest one that holds what is asked for is used while it is younger than
    ``max_age``; then the source is asked anew. Name a ``vintage`` to get the same bits again: a
    source changes its own past. To use prices you have, `to_bars`; for the name of the vintage and
    the state of each ticker, ``fintech_dl.data.prices.read_prices``.

    Yahoo's prices are for personal use only. The bar of a day whose trading is not over is left
    out; nothing else is left out, filled or repaired. A share is whole if it has the days of the
    other shares of its time zone that are asked for with it, and no hole longer than a holiday:
    ``fintech_dl.data.trading_days``.

    Parameters
    ----------
    tickers : str or sequence of str
        As the source names them; a str may hold several, with commas.
    start, end : str, date or Timestamp
        First and last day, both included.
    adjusted : bool
        Prices adjusted for splits and dividends. Otherwise as traded (Yahoo's for splits only),
        with ``adj_factor`` to multiply them with. Volume is the source's own.
    source : str
        ``"yahoo"``, through yfinance (extra ``yahoo``).
    vintage : str, optional
        Name of the vintage to read; the source is not asked.
    max_age : str
        Length such as ``"12h"`` or ``"7d"``: an older vintage is not used unless it is named.
    allow_missing : bool
        Return what there is where tickers are missing or their series are not whole, with a
        warning that names them. Otherwise that is an error.

    Returns
    -------
    DataFrame
        ``date``, ``asset``, ``open``, ``high``, ``low``, ``close``, ``volume`` and, raw,
        ``adj_factor``; in order of date, then asset. Days on which the source says nothing of a
        ticker stay, as rows of NaN.

    Raises
    ------
    UsageError
        No ticker, an end before the start, an unknown source.
    DataError
        Tickers without data or with a part of them only, named one by one; a vintage that does not
        hold what is asked for, or was changed.
    DownloadError
        The same, where asking again later may help: limited rate, time-out, HTML instead of data.
    NotInstalledError
        yfinance is absent and has to be asked.

    Examples
    --------
    >>> from fintech_dl import load_prices
    >>> load_prices(["AAPL"], "2024-12-31", "2024-01-02")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.UsageError: load_prices: end 2024-01-02 is before start 2024-12-31
    """
    found = read_prices(
        tickers,
        start,
        end,
        adjusted=adjusted,
        source=source,
        vintage=vintage,
        max_age=max_age,
        allow_missing=allow_missing,
    )
    return found.bars


def read_prices(
    tickers: str | Sequence[str],
    start: Day,
    end: Day,
    *,
    adjusted: bool = True,
    source: str = "yahoo",
    vintage: str | None = None,
    max_age: str = "1d",
    allow_missing: bool = False,
    tell: Callable[[str, float], None] = lambda text, share: None,
) -> Prices:
    """Return what `load_prices` returns, with the vintage and the state of each ticker.

    Parameters
    ----------
    tickers, start, end, adjusted, source, vintage, max_age, allow_missing
        As in `load_prices`.
    tell : callable
        Gets what is being done and how much is done.

    Returns
    -------
    Prices

    Raises
    ------
    UsageError, DataError, DownloadError, NotInstalledError
        As in `load_prices`.
    """
    wanted, first, last = _request(tickers, start, end)
    if source not in SOURCES:
        raise UsageError(f"load_prices: unknown source {source!r}; {nearest(source, [*SOURCES])}")
    age = duration(max_age)
    if vintage is not None:
        status = vintages.status_of(source, vintage)
        if lacking := _lacking(status, wanted, first, last):
            raise DataError(f"{source}: vintage {vintage} does not hold {lacking}; ask anew")
        name = vintage
    else:
        now = pd.Timestamp.now("UTC")
        young = (
            (name, status)
            for name, status in vintages.statuses(source)
            if now - pd.Timestamp(status["fetched"]) <= age
            and not _lacking(status, wanted, first, last)
            and (allow_missing or not _missing(status, wanted))
        )
        name, status = next(young, None) or _fetched(source, wanted, first, last, tell)
    missing = _missing(status, wanted)
    if missing and not allow_missing:
        raise _not_whole(missing, status, name, source)
    raw = vintages.read(source, name)
    out = [t for t in wanted if t in missing and status["tickers"][t]["status"] not in PARTIAL]
    rows = raw["asset"].isin([t for t in wanted if t not in out])
    raw = raw[rows & (raw["date"] >= first) & (raw["date"] <= last)]
    if missing:
        told = "; ".join(f"{ticker} ({why})" for ticker, why in missing.items())
        warnings.warn(f"load_prices: missing or not whole: {told}", UserWarning, stacklevel=3)
    return Prices(_bars(raw, adjusted), name, status, missing)


def told(parameters: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the parameters of a card's source, checked against those of `load_prices`.

    Raises
    ------
    CardError
        An unknown one, or one that is missing.

    Examples
    --------
    >>> from fintech_dl.data.prices import told
    >>> told({"tickers": ["AAPL"], "start": "2024-01-02"}, "mine.toml")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.CardError: mine.toml: source.parameters: load_prices needs 'end'
    """
    allowed = [name for name in signature(load_prices).parameters]
    for name in parameters:
        if name not in allowed:
            raise CardError(
                f"{where}: source.parameters: load_prices has no {name!r}; {nearest(name, allowed)}"
            )
    for name in ("tickers", "start", "end"):
        if name not in parameters:
            raise CardError(f"{where}: source.parameters: load_prices needs {name!r}")
    return parameters


def _request(
    tickers: str | Sequence[str], start: Day, end: Day
) -> tuple[list[str], pd.Timestamp, pd.Timestamp]:
    words = tickers.split(",") if isinstance(tickers, str) else list(tickers)
    wanted = list(dict.fromkeys(str(word).strip().upper() for word in words if str(word).strip()))
    if not wanted:
        raise UsageError("load_prices: no ticker; name one or more, such as AAPL,MSFT")
    days = []
    for name, day in (("start", start), ("end", end)):
        try:
            at = pd.Timestamp(day)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f'load_prices: {name}: {day!r} is no day; write it like "2024-01-31"'
            ) from error
        if pd.isna(at) or at.tzinfo is not None or at != at.normalize():
            raise UsageError(f"load_prices: {name}: {day!r}: expected a day without hours or zone")
        days.append(at.as_unit("us"))
    if days[1] < days[0]:
        raise UsageError(f"load_prices: end {days[1].date()} is before start {days[0].date()}")
    return wanted, days[0], days[1]


def _lacking(
    status: dict[str, Any], wanted: list[str], first: pd.Timestamp, last: pd.Timestamp
) -> str:
    """Return what a vintage was never asked for; empty if all is in it."""
    request = status["request"]
    if absent := [ticker for ticker in wanted if ticker not in status["tickers"]]:
        return ", ".join(absent)
    if first < pd.Timestamp(request["start"]) or last > pd.Timestamp(request["end"]):
        return f"days outside {request['start']} to {request['end']}"
    return ""


def _missing(status: dict[str, Any], wanted: list[str]) -> dict[str, str]:
    states = {ticker: status["tickers"][ticker] for ticker in wanted}
    return {
        ticker: f"{one['status']}: {one['text']}" if one.get("text") else one["status"]
        for ticker, one in states.items()
        if one["status"] != "ok"
    }


def _fetched(
    source: str,
    wanted: list[str],
    first: pd.Timestamp,
    last: pd.Timestamp,
    tell: Callable[[str, float], None],
) -> tuple[str, dict[str, Any]]:
    """Ask the source and keep what it answers, failures too."""
    frame, states = yahoo.fetch(wanted, first, last, tell=tell)
    status = {
        "source": source,
        "fetched": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
        "library": f"yfinance {version('yfinance')}",
        "request": {
            "tickers": wanted,
            "start": str(first.date()),
            "end": str(last.date()),
        },
        "tickers": states,
    }
    return vintages.keep(source, frame, status)


def _not_whole(
    missing: dict[str, str], status: dict[str, Any], name: str, source: str
) -> DataError:
    states = [status["tickers"][ticker]["status"] for ticker in missing]
    passing = all(state in yahoo.PASSING for state in states)
    lines = [f"  {ticker}: {why}" for ticker, why in list(missing.items())[:50]]
    lines += [f"  and {len(missing) - 50} more"] if len(missing) > 50 else []
    what = "try again later" if passing else "correct the tickers or the days"
    kind = DownloadError if passing else DataError
    return kind(
        f"{source}: {len(missing)} of {len(status['tickers'])} tickers are missing or not whole "
        f"(vintage {name}):\n" + "\n".join(lines) + f"\nNothing was returned; {what}, or set "
        "allow_missing (--allow-missing) to go on with what there is"
    )


def _bars(raw: pd.DataFrame, adjusted: bool) -> pd.DataFrame:
    """Make long bars of raw prices: adjusted ones by the ratio of adjusted close to close."""
    raw = raw.sort_values(["date", "asset"], ignore_index=True)
    factor = raw["adj_close"] / raw["close"].where(raw["close"] != 0)
    prices = {name: raw[name] * factor if adjusted else raw[name] for name in PRICES}
    if adjusted:
        prices["close"] = raw["adj_close"]  # not rounded twice
    bars = pd.DataFrame({"date": raw["date"], "asset": raw["asset"], **prices})
    bars["volume"] = raw["volume"]
    if not adjusted:
        bars["adj_factor"] = factor
    check_bars(bars, "load_prices", few=True)
    return bars
