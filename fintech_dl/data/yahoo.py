"""Daily prices from Yahoo through yfinance, ticker by ticker, each answer told apart.

Needs the extra ``yahoo``. The data are for personal use; Yahoo's terms hold.
"""

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import sleep
from typing import Any

import numpy as np
import pandas as pd

from fintech_dl.data.trading_days import BEGUN_SUNDAY, Dates, Series, described, missing_days
from fintech_dl.errors import require

PASSING = ("rate_limited", "timeout", "unreachable", "not_data")  # worth another attempt
ATTEMPTS = 5
FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0  # seconds before another round, doubled each time
SHARES = ("EQUITY", "ETF", "INDEX")  # of one time zone they have the same days of trade
COLUMNS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adj_close",
    "Volume": "volume",
    "Dividends": "dividends",
    "Stock Splits": "splits",
}

Tell = Callable[[str, float], None]


def fetch(
    tickers: Sequence[str],
    start: pd.Timestamp,
    end: pd.Timestamp,
    *,
    timeout: float = 30.0,
    tell: Tell = lambda text, share: None,
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Ask for the raw daily bars and actions of each ticker, again and again where that may help.

    A round ends at the first answer that the rate is limited; between rounds it waits 2 seconds,
    then twice as long each time, and by chance half as much more or less. Then the days of each
    series are compared with those of the others: see `trading_days`.

    Parameters
    ----------
    tickers : sequence of str
    start, end : Timestamp
        First and last day, both included.
    timeout : float
        Seconds to wait for one answer.
    tell : callable
        Gets what is being done and how much is done.

    Returns
    -------
    frame : DataFrame
        ``date``, ``asset``, ``open``, ``high``, ``low``, ``close``, ``adj_close``, ``volume``,
        ``dividends``, ``splits``; as they came, but without the bar of a day that is not over.
    status : dict
        For each ticker ``status`` (ok; empty, unknown, rate_limited, timeout, unreachable,
        not_data, renamed, short, ended, gaps, shifted, split_not_applied, failed), ``text`` and
        facts.

    Raises
    ------
    NotInstalledError
        yfinance is absent.
    """
    require("yfinance", "yahoo")
    frames: dict[str, pd.DataFrame] = {}
    status: dict[str, dict[str, Any]] = {t: {"status": "not_asked", "attempts": 0} for t in tickers}
    waiting, wait = list(tickers), FIRST_WAIT
    with _raising(), _session() as session:
        for attempt in range(ATTEMPTS):
            _forget()
            if attempt:
                tell(f"waiting before asking again for {len(waiting)} tickers", 0.0)
                sleep(min(wait, LONGEST_WAIT) * random.uniform(0.5, 1.5))  # no rhythm with others
                wait *= 2
            for ticker in waiting:
                share = sum(one["status"] not in (*PASSING, "not_asked") for one in status.values())
                tell(f"getting {ticker}", share / len(status))
                frame, found = _ask(ticker, start, end, session, timeout)
                status[ticker] = {**found, "attempts": status[ticker]["attempts"] + 1}
                frames[ticker] = frame
                if found["status"] == "rate_limited":
                    break
            waiting = [t for t in waiting if status[t]["status"] in (*PASSING, "not_asked")]
            if not waiting:
                break
    for one in status.values():
        if one["status"] == "not_asked":
            one |= {"status": "rate_limited", "text": "not asked: Yahoo limits the rate"}
    for ticker, found in _not_whole(frames, status, start, end).items():
        status[ticker] |= found
    got = [frame for ticker in tickers if len(frame := frames.get(ticker, _nothing()))]
    return (pd.concat(got, ignore_index=True) if got else _nothing()), status


def _nothing() -> pd.DataFrame:
    columns: dict[str, Any] = {"date": pd.array([], dtype="M8[us]"), "asset": pd.array([], "str")}
    return pd.DataFrame({**columns, **{name: np.zeros(0) for name in COLUMNS.values()}})


def _forget() -> None:
    """Empty yfinance's memory of answers in this process, which holds HTML pages too."""
    from yfinance.data import YfData

    with suppress(AttributeError):
        YfData.cache_get.cache_clear()


@contextmanager
def _session() -> Iterator[Any]:
    """Yield the session that yfinance itself would make."""
    from yfinance._http import new_session

    session = new_session()
    try:
        yield session
    finally:
        session.close()


@contextmanager
def _raising() -> Iterator[None]:
    """Have yfinance raise what it would log, and keep its files in our cache."""
    import yfinance

    from fintech_dl.folders import cache

    with suppress(Exception):  # set already, and in use
        yfinance.set_tz_cache_location(str(cache() / "yfinance"))
    debug, logger = yfinance.config.debug, logging.getLogger("yfinance")
    hidden, level = debug.hide_exceptions, logger.level
    debug.hide_exceptions = False
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        debug.hide_exceptions = hidden
        logger.setLevel(level)


def _ask(
    ticker: str, start: pd.Timestamp, end: pd.Timestamp, session: Any, timeout: float
) -> tuple[pd.DataFrame, dict[str, Any]]:
    import yfinance

    try:
        asked = yfinance.Ticker(ticker, session=session)
        frame = asked.history(
            start=start.date().isoformat(),
            end=(end + pd.Timedelta(days=1)).date().isoformat(),  # yfinance leaves the end out
            interval="1d",
            auto_adjust=False,
            actions=True,
            keepna=True,
            timeout=timeout,
        )
        about = asked.history_metadata  # of the same answer
    except Exception as error:  # whatever one ticker does, the others are asked
        return _nothing(), _told(error)
    if frame.empty:
        return _nothing(), {"status": "empty", "text": "Yahoo has no bar of these days"}
    zone = str(frame.index.tz)
    listed = _day(about.get("firstTradeDate"), zone)
    days = frame.index.tz_localize(None).normalize().as_unit("us")
    bars = frame.reindex(columns=list(COLUMNS)).rename(columns=COLUMNS).astype("float64")
    bars.insert(0, "date", days)
    bars.insert(1, "asset", pd.array([ticker] * len(bars), dtype="str"))
    bars = bars.reset_index(drop=True)
    facts: dict[str, Any] = {
        "kind": about.get("instrumentType"),
        "currency": about.get("currency"),
        "timezone": zone,
        "listed": None if listed is None else str(listed.date()),
        "unfinished": None,
    }
    if _unfinished(days[-1], about, zone):
        facts["unfinished"] = str(days[-1].date())
        bars = bars.iloc[:-1]
    known = bars.loc[_priced(bars), "date"]
    facts |= {"rows": len(bars), "empty_rows": len(bars) - len(known)}
    if known.empty:
        return _nothing(), {**facts, "status": "empty", "text": "no finished bar has a price"}
    facts |= {"first": str(known.iloc[0].date()), "last": str(known.iloc[-1].date())}
    state, text = _judged(ticker, bars, start, end, about, zone)
    return bars, {**facts, "status": state, "text": text}


def _priced(bars: pd.DataFrame) -> "pd.Series[bool]":
    return bars[["close", "adj_close"]].notna().all(axis=1)


def _told(error: Exception) -> dict[str, Any]:
    """Name what went wrong; the classes of three libraries are told by their names."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    text = f"{type(error).__name__}: {error}"[:300]
    code = getattr(getattr(error, "response", None), "status_code", None)
    rules = {
        "rate_limited": code == 429 or "YFRateLimitError" in kinds,
        "timeout": any("Timeout" in kind for kind in kinds),
        "not_data": any("JSONDecodeError" in kind for kind in kinds) or "CURRENTLY DOWN" in text,
        "unknown": code == 404 or "YFTzMissingError" in kinds or "No data found" in text,
        "empty": "YFPricesMissingError" in kinds,
        "unreachable": any(k in ("ConnectionError", "RequestException", "OSError") for k in kinds),
    }
    return {"status": next((name for name, true in rules.items() if true), "failed"), "text": text}


def _day(moment: Any, zone: str) -> pd.Timestamp | None:
    """Return the day of a moment in a time zone; yfinance gives seconds or Timestamps."""
    if moment is None:
        return None
    at = moment if isinstance(moment, pd.Timestamp) else pd.Timestamp(moment, unit="s")
    at = at.tz_localize("UTC") if at.tzinfo is None else at
    return at.tz_convert(zone).tz_localize(None).normalize()


def _unfinished(last: pd.Timestamp, about: Mapping[str, Any], zone: str) -> bool:
    """Return whether the last bar is of a day whose trading is not over."""
    now = pd.Timestamp.now("UTC")
    regular = (about.get("currentTradingPeriod") or {}).get("regular") or {}
    ends = regular.get("end")
    if ends is None:
        return bool(last >= now.tz_convert(zone).tz_localize(None).normalize())
    ends = pd.Timestamp(ends, unit="s", tz="UTC") if not isinstance(ends, pd.Timestamp) else ends
    day = ends.tz_convert(zone).tz_localize(None).normalize()
    return bool(last > day or (last == day and now < ends))


def _judged(
    ticker: str,
    bars: pd.DataFrame,
    start: pd.Timestamp,
    end: pd.Timestamp,
    about: Mapping[str, Any],
    zone: str,
) -> tuple[str, str]:
    """Return ok, or what makes the answer other than what was asked for."""
    symbol = str(about.get("symbol") or ticker)
    if symbol.upper() != ticker.upper():
        return "renamed", f"Yahoo answers for {symbol}"
    if (
        bars["date"].iloc[0] < start
        or bars["date"].iloc[-1] > end
        or bars["date"].duplicated().any()
    ):
        return "shifted", "there are days that were not asked for, or one of them twice"
    weekend = bars["date"].dt.day_of_week.isin([5] if zone in BEGUN_SUNDAY else [5, 6]).mean()
    if about.get("instrumentType") in SHARES and weekend > 0.05:
        return "shifted", f"{weekend:.0%} of the days are of the weekend; is {zone} right?"
    return _splits(bars)


def _not_whole(
    frames: Mapping[str, pd.DataFrame],
    status: Mapping[str, dict[str, Any]],
    start: pd.Timestamp,
    end: pd.Timestamp,
) -> dict[str, dict[str, str]]:
    """Return status and text of the series that lack days, each compared with its peers."""
    markets: dict[str, dict[str, Series]] = {}
    for ticker, one in status.items():
        if one["status"] == "ok":
            peers = one["timezone"] if one["kind"] in SHARES else f"{ticker} alone"
            markets.setdefault(peers, {})[ticker] = _series(frames[ticker], one, start, end)
    found = {}
    for market in markets.values():
        for ticker, lacking in missing_days(market).items():
            if len(lacking):
                others = [name for name in market if name != ticker]
                found[ticker] = _lacking(lacking, market[ticker].days, others)
    return found


def _series(
    bars: pd.DataFrame, facts: Mapping[str, Any], start: pd.Timestamp, end: pd.Timestamp
) -> Series:
    days = bars["date"].to_numpy().astype("M8[D]")
    priced = _priced(bars).to_numpy()
    today = pd.Timestamp.now("UTC").tz_convert(facts["timezone"]).tz_localize(None)
    last = min(end, today).to_numpy().astype("M8[D]")
    if facts["unfinished"]:
        last = min(last, np.datetime64(facts["unfinished"]) - 1)
    first = max(start, pd.Timestamp(facts["listed"] or start)).to_numpy().astype("M8[D]")
    known = np.sort(days[priced])
    return Series(known, days[~priced], min(first, known[0]), last, facts["timezone"])


def _lacking(lacking: Dates, days: Dates, others: Sequence[str]) -> dict[str, str]:
    """Say of which days there is no price, beside whom, and what to do."""
    head, tail = lacking[0] < days[0], lacking[-1] > days[-1]
    inside = bool(((lacking > days[0]) & (lacking < days[-1])).any())
    beside = f" (compared with {', '.join(others[:3])})" if others else ""
    text = described(lacking, days) + beside
    if tail:
        text += "; delisted, renamed or cut"
    if head or tail:
        text += f"; ask for {days[0]} to {days[-1]}"
    if inside:
        text += "; ask again later, or leave it out"
    return {"status": "short" if head else "gaps" if inside else "ended", "text": text}


def _splits(bars: pd.DataFrame) -> tuple[str, str]:
    """Look whether prices before each split are those after it: then it was worked in."""
    night = bars["open"].to_numpy()[1:] / bars["close"].to_numpy()[:-1]
    for at in np.flatnonzero(bars["splits"].to_numpy()[1:] > 0):
        ratio = bars["splits"].iloc[at + 1]
        if abs(np.log(ratio)) > 0.3 and abs(np.log(night[at] * ratio)) < 0.2:
            day = bars["date"].iloc[at + 1].date()
            return "split_not_applied", f"a split of {ratio:g} on {day} is not in the prices before"
    return "ok", ""
