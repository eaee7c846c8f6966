"""Which days a series of prices lacks, judged by its peers and by how long markets ever close.

There is no calendar of exchanges: a share should have the days that most shares of the same time
zone have. A hole in all of them, or in a share that was asked for alone, is one that is longer than
any holiday: 4 weekdays (11 to 14 September 2001), or 7 where Lunar New Year, Golden Week, Eid or
Orthodox Christmas may close a market, told by its time zone and the month. These are the longest
closures of 1990 to 2026 in the calendars of exchange_calendars 4.13 that were not panics.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

USUAL, LONG = 4, 7  # weekdays that a market may be closed on end
BEGUN_SUNDAY = ("Asia/Riyadh", "Asia/Jerusalem", "Asia/Qatar", "Asia/Kuwait", "Africa/Cairo")
ANY_MONTH = tuple(range(1, 13))  # the Islamic year is 11 days shorter
LONG_HOLIDAYS = {
    **dict.fromkeys((*BEGUN_SUNDAY, "Asia/Dubai", "Asia/Dhaka", "Asia/Karachi"), ANY_MONTH),
    **dict.fromkeys(("Asia/Jakarta", "Europe/Istanbul"), ANY_MONTH),
    **dict.fromkeys(("Asia/Taipei", "Asia/Ho_Chi_Minh"), (1, 2)),
    "Asia/Shanghai": (1, 2, 5, 9, 10),
    "Asia/Seoul": (1, 9, 10, 12),
    "Asia/Tokyo": (4, 5),
    "Asia/Manila": (1, 12),
    "Europe/Moscow": (1, 12),
}
MOST_SHOWN = 5

Dates = NDArray[np.datetime64]


class Series(NamedTuple):
    """What is known of the days of one series.

    Attributes
    ----------
    days : array of datetime64[D]
        With a price, rising, one or more.
    empty : array of datetime64[D]
        For which the source has a row, but no price.
    first, last : datetime64[D]
        Between which there should be prices, both included.
    zone : str
        Time zone of the exchange.
    """

    days: Dates
    empty: Dates
    first: np.datetime64
    last: np.datetime64
    zone: str


def missing_days(market: Mapping[str, Series]) -> dict[str, Dates]:
    """Return the days that each series of one market lacks.

    They are those that half of the other series that should have them, or more, do have; besides,
    in any series, the weekdays of a hole that no holiday explains. A row without a price is a hole
    at the beginning and at the end; in between it is a wrong row, which can be seen and is set
    aside as one, until there are too many on end.

    Parameters
    ----------
    market : dict of str to Series
        Series that have the same days of trade, by name; one alone will do.

    Returns
    -------
    dict of str to array of datetime64[D]
        Rising; empty where nothing is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.data.trading_days import Series, missing_days
    >>> days = np.arange("2024-01-08", "2024-01-13", dtype="M8[D]")
    >>> whole = Series(days, days[:0], days[0], days[-1], "America/New_York")
    >>> found = missing_days({"AAA": whole, "BBB": whole._replace(days=days[:3])})
    >>> {name: [str(day) for day in lacking] for name, lacking in found.items()}
    {'AAA': [], 'BBB': ['2024-01-11', '2024-01-12']}
    """
    every = np.unique(np.concatenate([one.days for one in market.values()]))
    have = np.array([np.isin(every, one.days) for one in market.values()])
    due = np.array([(every >= one.first) & (every <= one.last) for one in market.values()])
    votes, voters = have.sum(axis=0), due.sum(axis=0)
    lacking = {}
    for row, (name, own) in enumerate(market.items()):
        yes, all_others = votes - have[row], voters - due[row]
        wanted = every[due[row] & (yes > 0) & (2 * yes >= all_others)]
        inside = own.empty[(own.empty > own.days[0]) & (own.empty < own.days[-1])]
        if len(market) == 1:
            wanted = np.setdiff1d(own.empty[(own.empty >= own.first)], inside)
        told = np.union1d(own.days, inside)
        lacking[name] = np.union1d(np.setdiff1d(wanted, told), _holes(own))
    return lacking


def _holes(own: Series) -> Dates:
    """Return the weekdays of holes that are longer than a market's holidays."""
    dates = np.arange(own.first, own.last + 1)
    away = dates[np.is_busday(dates, "1111001" if own.zone in BEGUN_SUNDAY else "1111100")]
    away = np.setdiff1d(away, own.days)
    hole = np.searchsorted(own.days, away)
    month = away.astype("M8[M]").astype(int) % 12 + 1
    season = np.bincount(hole, np.isin(month, LONG_HOLIDAYS.get(own.zone, ())))
    return away[np.bincount(hole)[hole] > np.where(season > 0, LONG, USUAL)[hole]]


def described(lacking: Dates, days: Dates) -> str:
    """Return in words which days are missing, hole by hole.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.data.trading_days import described
    >>> days = np.arange("2024-01-08", "2024-01-13", dtype="M8[D]")
    >>> described(days[[1, 3]], days[[0, 2, 4]])
    'no price on 2 days: 2024-01-09; 2024-01-11'
    """
    holes = np.split(lacking, np.flatnonzero(np.diff(np.searchsorted(days, lacking))) + 1)
    texts = [f"{one[0]} to {one[-1]}" if len(one) > 1 else str(one[0]) for one in holes]
    more = f"; and {len(holes) - MOST_SHOWN} more holes" if len(holes) > MOST_SHOWN else ""
    count = f"{len(lacking)} day{'s' if len(lacking) > 1 else ''}"
    return f"no price on {count}: {'; '.join(texts[:MOST_SHOWN])}{more}"
