"""Long bars set out asset by asset, so that windows and labels hold an asset's own bars only.

A bar that cannot be true stays in its place and is no number to anybody: each window, and each
label, that would touch it is left out. A window is never filled up with the bar before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.bars import PRICES, VOLUME_BARS, bar_faults, check_bars, check_days
from fintech_dl.errors import UsageError
from fintech_dl.features.columns import entity_numbers, need_columns, ordered_times
from fintech_dl.features.rolling import EntityOrder, Integers, by_entity
from fintech_dl.features.windows import Floats

Mask = NDArray[np.bool_]

FAULT_BARS = VOLUME_BARS + 1  # bars before that decide whether one is faulty
MICROSECONDS_A_DAY = 86_400_000_000


@dataclass(frozen=True, eq=False)
class OwnBars:
    """Bars asset by asset, each asset's in the order of time; `of_prices` or `of_series` make it.

    A *row* is a position in the frame, a *place* a position in this order.

    Attributes
    ----------
    order : EntityOrder
        From rows to places and back.
    columns : dict of str to float array of shape (n_rows,)
        The numbers at each place, NaN in a faulty bar.
    time : int array of shape (n_rows,)
        Microseconds since 1970 at each place.
    date : int array of shape (n_rows,)
        Number of the date at each place: the calendar is the dates of the frame.
    asset : int array of shape (n_rows,)
        Number of the asset at each place.
    stretch : int array of shape (n_rows,)
        Number of the stretch: an asset's bars between two gaps longer than ``max_gap`` dates.
    run : int array of shape (n_rows,)
        Sound bars in a row up to and with this one, within its stretch; 0 at a faulty bar. A
        window of n bars may be used where it is n or more.
    after_fault, after_gap : bool arrays of shape (n_rows,)
        Whether a faulty bar, or else a gap, limits ``run``, and not the beginning of the asset.
    faults : dict of str to bool array of shape (n_rows,)
        Rows, not places, by what is wrong with them.
    """

    order: EntityOrder
    columns: dict[str, Floats]
    time: Integers
    date: Integers
    asset: Integers
    stretch: Integers
    run: Integers
    after_fault: Mask
    after_gap: Mask
    faults: dict[str, Mask]

    def quarantined(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the faulty rows of the frame with ``source_row`` (from 1) and ``reason``."""
        reasons = [""] * len(frame)
        for code, rows in self.faults.items():
            for row in np.flatnonzero(rows):
                reasons[row] += f";{code}" if reasons[row] else code
        rows = np.array([row for row, reason in enumerate(reasons) if reason], dtype=np.int64)
        told = pd.Series([reasons[row] for row in rows], dtype="str")
        return frame.iloc[rows].reset_index(drop=True).assign(source_row=rows + 1, reason=told)

    def complete(self, reach: int) -> Mask:
        """Tell the places whose last ``reach`` bars are sound and span no more than `days_of`."""
        return (self.run >= reach) & (self._days(reach) <= days_of(reach))

    def left_out(self, kept: Mask, reach: int, last: int = 1) -> dict[str, int]:
        """Count the rows that are not kept, by the first reason that holds.

        Parameters
        ----------
        kept : bool array of shape (n_rows,)
            The places that are kept.
        reach : int
            Bars that a feature needs.
        last : int
            Bars whose features each row holds.

        Returns
        -------
        dict of str to int
            ``faulty``: the bar itself; ``touches_faulty``: an earlier bar of the window;
            ``touches_gap``: dates are missing from it; ``too_few_bars``: the asset began too late;
            ``window_too_long``: the bars span more days than `days_of` allows; ``other``: for a
            reason of the caller's.
        """
        short = self.run < reach + last - 1
        reasons = {
            "faulty": self.run == 0,
            "touches_faulty": short & self.after_fault,
            "touches_gap": short & self.after_gap,
            "too_few_bars": self.run < reach,
            "window_too_long": self._days(reach) > days_of(reach),
            "other": np.ones(len(kept), dtype=bool),
        }
        counts, rest = {}, ~kept
        for reason, places in reasons.items():
            if count := int((rest & places).sum()):
                counts[reason] = count
            rest = rest & ~places
        return counts

    def _days(self, bars: int) -> Integers:
        """Return the days from the first to the last of so many bars, where ``run`` is as long."""
        out = np.zeros(len(self.time), dtype=np.int64)
        back = bars - 1
        if 0 < back < len(out):
            out[back:] = -((self.time[:-back] - self.time[back:]) // MICROSECONDS_A_DAY)
        return out


def of_prices(frame: pd.DataFrame, *, max_gap: int = 0) -> OwnBars:
    """Check long bars and set them out asset by asset.

    For features and labels of prices. Which bars are faulty: `fintech_dl.bars.bar_faults`; besides,
    those whose column ``unfinished`` is true.

    Parameters
    ----------
    frame : DataFrame
        Long bars: ``date``, ``asset``, ``close`` and any of ``open``, ``high``, ``low``,
        ``volume``, ``adj_factor`` (prices are multiplied by it) and ``unfinished`` (bool).
    max_gap : int, default 0
        Dates of the frame that an asset may miss in a row; after more, no window or label reaches
        across. Above 0 a window bridges bars that a contract set aside before, splits that were not
        worked in among them: choose it for markets whose holidays differ.

    Returns
    -------
    OwnBars

    Raises
    ------
    DataError
        The frame is not in the format of long bars: see `fintech_dl.bars.check_bars`.
    UsageError
        ``max_gap`` below 0.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.own_bars import of_prices
    >>> frame = pd.DataFrame({"date": pd.to_datetime(["2024-05-02", "2024-05-03", "2024-05-06"]),
    ...                       "asset": "AAA", "close": [8.5, -1.0, 8.4]})
    >>> found = of_prices(frame)
    >>> found.run.tolist(), found.quarantined(frame)["reason"].tolist()
    ([1, 0, 1], ['not_above_0:close'])
    """
    check_bars(frame)
    names = [name for name in (*PRICES, "volume") if name in frame]
    values = {name: frame[name].to_numpy(np.float64, na_value=np.nan) for name in names}
    faults = bar_faults(frame)
    if "unfinished" in frame and frame["unfinished"].any():
        faults["unfinished"] = frame["unfinished"].fillna(False).to_numpy(dtype=bool)
    if "adj_factor" in frame:
        factor = frame["adj_factor"].to_numpy(np.float64, na_value=np.nan)
        values |= {name: values[name] * factor for name in PRICES if name in values}
    return of_series(frame, values, faults, max_gap=max_gap)


def of_series(
    frame: pd.DataFrame,
    values: Mapping[str, Floats],
    faults: Mapping[str, Mask],
    *,
    max_gap: int = 0,
) -> OwnBars:
    """Set out any numbers of dates and assets, given what is wrong with which row.

    For series that are no prices: variances, rates, yields.

    Parameters
    ----------
    frame : DataFrame
        With ``date`` and ``asset``.
    values : mapping of str to float array of shape (n_rows,)
        In the order of the frame's rows.
    faults : mapping of str to bool array of shape (n_rows,)
        The faulty rows by reason.
    max_gap : int, default 0
        As in `of_prices`.

    Returns
    -------
    OwnBars

    Raises
    ------
    DataError
        A missing column, dates with a time zone or hours, rows not in order of date, then asset, a
        pair of date and asset twice, a single day.
    UsageError
        ``max_gap`` below 0.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from fintech_dl.features.own_bars import of_series
    >>> frame = pd.DataFrame({"date": pd.to_datetime(["2024-05-02"] * 2 + ["2024-05-03"]),
    ...                       "asset": ["A", "B", "A"], "rv": [1.0, 4.0, 2.0]})
    >>> of_series(frame, {"rv": frame["rv"].to_numpy()}, {}).columns["rv"]
    array([1., 2., 4.])
    """
    if isinstance(max_gap, bool) or max_gap < 0:
        raise UsageError(f"max_gap={max_gap!r}: must be a whole number of dates, 0 or more")
    need_columns(frame, ["date", "asset"], "bars")
    time, number = ordered_times(frame, "date"), entity_numbers(frame, "asset")
    check_days(frame["date"].to_numpy(), frame["asset"].to_numpy(), "bars")
    order = by_entity(number, time)
    time, asset = time[order.row], number[order.row]
    date = np.unique(time, return_inverse=True)[1]
    faulty: Mask = np.zeros(len(frame), dtype=bool)
    for rows in faults.values():
        faulty |= rows
    starts = np.ones(len(frame), dtype=bool)
    starts[1:] = (asset[1:] != asset[:-1]) | (np.diff(date) > max_gap + 1)
    place, bad = np.arange(len(frame)), faulty[order.row]
    last_start = np.maximum.accumulate(np.where(starts, place, 0))
    last_fault = np.maximum.accumulate(np.where(bad, place, -1))
    first = np.searchsorted(asset, asset)  # the asset's first place
    return OwnBars(
        order=order,
        columns={name: np.where(bad, np.nan, v[order.row]) for name, v in values.items()},
        time=time,
        date=date,
        asset=asset,
        stretch=np.cumsum(starts) - 1,
        run=place - np.maximum(last_start - 1, last_fault),
        after_fault=last_fault >= last_start,
        after_gap=(last_fault < last_start) & (last_start > first),
        faults={code: rows for code, rows in faults.items() if rows.any()},
    )


def days_of(bars: int) -> int:
    """Return the days that so many bars may span; a longer window is not used.

    Twice as many as at an exchange with holidays, so that a history of that length is enough.

    Examples
    --------
    >>> from fintech_dl.features.own_bars import days_of
    >>> days_of(22)
    80
    """
    return 3 * bars + 14
