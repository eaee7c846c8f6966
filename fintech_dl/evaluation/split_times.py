"""When the windows of a split in time begin, how long they are, and where the data end."""

from __future__ import annotations

from typing import Any

import pandas as pd

from fintech_dl.cards import Split, duration
from fintech_dl.errors import DataError, UsageError


def length_of(split: Split, name: str) -> pd.Timedelta:
    """Return a length of time of the split, such as ``"7d"``."""
    try:
        length = pd.Timedelta(duration(getattr(split, name)))
    except UsageError as error:
        raise UsageError(f"split.{name}: {error}") from error
    if length <= pd.Timedelta(0) and name in ("train", "test"):
        raise UsageError(f"split.{name}: must be longer than 0, got {getattr(split, name)!r}")
    return length


def start_of(split: Split, when: pd.Series[Any]) -> pd.Timestamp:
    """Return ``split.start`` as a time inside the data."""
    try:
        start = pd.Timestamp(split.start)
    except ValueError as error:
        raise UsageError(
            f'split.start: got {split.start!r}; give a date such as "2018-07-25"'
        ) from error
    if when.dt.tz is not None and start.tzinfo is None:
        start = start.tz_localize(when.dt.tz)
    if not when.iloc[0].normalize() <= start <= when.iloc[-1]:
        raise DataError(
            f"split.start: {split.start} lies outside the data, which run from {when.iloc[0]} to "
            f"{when.iloc[-1]}"
        )
    return start


def next_day(moment: pd.Timestamp) -> pd.Timestamp:
    """Return the beginning of the day after."""
    return moment.normalize() + pd.Timedelta(days=1)


def end_of_last_full_day(when: pd.Series[Any]) -> pd.Timestamp:
    """Return the end of the last day whose rows go on as late as those of the days before.

    One hour earlier than the median of the days before still counts as late.
    """
    days = when.dt.normalize()
    ends = (when - days).groupby(days).max()
    usual = ends.iloc[:-1].median() if len(ends) > 1 else ends.iloc[-1]
    full = ends.iloc[-1] >= usual - pd.Timedelta(hours=1)
    return next_day(when.iloc[-1]) if full else days.iloc[-1]
