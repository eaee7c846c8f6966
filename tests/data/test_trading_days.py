"""Days that a series of prices lacks: real holidays are none, holes are."""

import numpy as np
import pytest

from fintech_dl.data.trading_days import Series, described, missing_days


def series(away, zone="America/New_York", first="2001-01-01", last="2025-12-31", weekend=(5, 6)):
    """Return the days of a market that closes on weekends and from one day to another."""
    days = np.arange(first, last, dtype="M8[D]")
    begin, stop = (np.datetime64(day) for day in away)
    weekday = (days.astype(int) + 3) % 7
    there = days[~np.isin(weekday, weekend) & ~((days >= begin) & (days <= stop))]
    return Series(there, days[:0], days[0], days[-1], zone)


HOLIDAYS = {  # from the exchanges' own calendars: the day after the last before, and the last
    "11 September": ("America/New_York", "2001-09-11", "2001-09-16"),
    "Easter": ("Europe/Oslo", "2024-03-28", "2024-04-01"),
    "Lunar New Year of Shanghai": ("Asia/Shanghai", "2024-02-09", "2024-02-18"),
    "Golden Week of Shanghai": ("Asia/Shanghai", "2023-09-29", "2023-10-08"),
    "Lunar New Year of Taipei": ("Asia/Taipei", "2023-01-19", "2023-01-29"),
    "Golden Week of Tokyo": ("Asia/Tokyo", "2019-04-27", "2019-05-06"),
    "Chuseok": ("Asia/Seoul", "2017-09-30", "2017-10-09"),
    "Eid of Jakarta": ("Asia/Jakarta", "2025-03-28", "2025-04-07"),
    "Eid of Riyadh": ("Asia/Riyadh", "2024-06-13", "2024-06-23"),
    "Christmas of Moscow": ("Europe/Moscow", "2011-01-01", "2011-01-10"),
}


@pytest.mark.parametrize("name", HOLIDAYS)
def test_a_holiday_is_no_hole(name):
    zone, *away = HOLIDAYS[name]
    weekend = (4, 5) if zone == "Asia/Riyadh" else (5, 6)
    lacking = missing_days({"A": series(away, zone, weekend=weekend)})
    assert lacking["A"].tolist() == []


@pytest.mark.parametrize(
    ("zone", "away", "count"),
    [
        ("America/New_York", ("2024-02-09", "2024-02-18"), 6),  # as Lunar New Year, elsewhere
        ("Asia/Tokyo", ("2024-02-09", "2024-02-18"), 6),
        ("Asia/Shanghai", ("2024-07-05", "2024-07-14"), 6),  # ... or in another month
        ("Asia/Shanghai", ("2024-02-05", "2024-02-15"), 9),  # longer than that
        ("Asia/Jakarta", ("2025-03-24", "2025-04-03"), 9),
        ("America/New_York", ("2024-07-08", "2024-07-12"), 5),  # a week
    ],
)
def test_what_no_holiday_explains_is_a_hole(zone, away, count):
    lacking = missing_days({"A": series(away, zone)})["A"]
    assert len(lacking) == count
    assert [str(lacking[0]), str(lacking[-1])] == [
        str(np.busday_offset(away[0], 0, "forward")),
        str(np.busday_offset(away[1], 0, "backward")),
    ]


def test_a_day_is_expected_if_half_of_the_others_have_it():
    whole, hole = series(("2024-07-10", "2024-07-09")), series(("2024-07-10", "2024-07-10"))
    day = [np.datetime64("2024-07-10").item()]
    found = missing_days({"A": hole, "B": whole, "C": hole})
    assert [found[name].tolist() for name in "ABC"] == [day, [], day]
    found = missing_days({"A": hole, "B": whole, "C": hole, "D": hole})
    assert [found[name].tolist() for name in "ABCD"] == [[], [], [], []]


def test_nothing_is_expected_before_the_listing_nor_after_the_last_finished_day():
    whole = series(("2024-07-10", "2024-07-09"))
    late = whole.days[whole.days >= np.datetime64("2024-05-01")][:-1]
    own = whole._replace(days=late, first=late[0], last=late[-1])
    assert missing_days({"A": whole, "B": own})["B"].tolist() == []
    assert len(missing_days({"A": whole, "B": own._replace(first=whole.first)})["B"]) > 1000
    assert len(missing_days({"A": whole, "B": own._replace(last=whole.last)})["B"]) == 1


def test_a_single_day_is_a_series():
    days = np.array(["2024-07-10"], "M8[D]")
    found = missing_days({"A": Series(days, days[:0], days[0], days[0], "Europe/Paris")})
    assert found["A"].tolist() == []


def test_many_holes_are_told_shortly():
    days = np.arange("2024-07-01", "2024-07-31", dtype="M8[D]")
    text = described(days[1::2], days[::2])
    assert text.startswith("no price on 15 days: 2024-07-02; 2024-07-04; ")
    assert text.endswith("; 2024-07-10; and 10 more holes")
