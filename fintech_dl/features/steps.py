"""From own bars to the rows of a table: those that are complete, one bar or the last few each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import DataError
from fintech_dl.features.own_bars import MICROSECONDS_A_DAY, Mask, OwnBars, days_of
from fintech_dl.features.rolling import Integers

Block = NDArray[np.float32]

BLOCK_ROWS = 2**13


class Kept(NamedTuple):
    """The rows of a table that is made of bars.

    Attributes
    ----------
    X : DataFrame of shape (n_rows, n_features)
        float32, with the rows left out by reason in ``attrs["left_out"]``.
    rows, place : int arrays of shape (n_rows,)
        Where each row stands in the frame, and among the own bars.
    when, who : Series
        Date and asset of each row.
    """

    X: pd.DataFrame
    rows: Integers
    place: Integers
    when: pd.Series[Any]
    who: pd.Series[Any]

    def times(self, microseconds: Integers) -> pd.Series[Any]:
        """Return times in the type of ``when``; the smallest integer stands for none."""
        return pd.Series(microseconds.view("datetime64[us]")).astype(self.when.dtype)


def kept_rows(
    frame: pd.DataFrame,
    found: OwnBars,
    names: Sequence[str],
    values: NDArray[Any],
    reach: int,
    *,
    last: int = 1,
    scaled: Sequence[tuple[int, str]] = (),
    wanted: Mask | None = None,
    asset: bool = False,
) -> Kept:
    """Choose the rows whose windows are full and sound, and take their features.

    Parameters
    ----------
    frame : DataFrame
    found : OwnBars
        Of the frame.
    names : sequence of str
    values : float array of shape (n_features, n_places)
    reach : int
        Bars that a value looks at.
    last : int
        Bars per row.
    scaled : sequence of (int, str)
        As in `stacked`.
    wanted : bool array of shape (n_places,), optional
        Places that have a label; default: labels do not matter.
    asset : bool
        Whether the asset joins the features.

    Returns
    -------
    Kept

    Raises
    ------
    DataError
        No row is left.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.own_bars import of_prices
    >>> from fintech_dl.features.steps import kept_rows
    >>> frame = pd.DataFrame({"date": pd.date_range("2024-05-01", periods=3), "asset": "AAA",
    ...                       "close": [5.0, 6.0, 7.0]})
    >>> found = of_prices(frame)
    >>> kept = kept_rows(frame, found, ["close"], found.columns["close"][None], reach=2)
    >>> kept.rows, kept.X.attrs["left_out"]
    (array([1, 2]), {'too_few_bars': 1})
    """
    sound = found.complete(reach)
    # short because the asset is young, a window is padded; short for a fault or gap it is not used
    keep = sound & ((found.run >= reach + last - 1) | ~(found.after_fault | found.after_gap))
    if wanted is not None:
        keep &= wanted
    rows = np.flatnonzero(found.order.to_rows(keep))
    left_out = found.left_out(keep, reach, last)
    if not len(rows):
        told = ", ".join(f"{reason}: {count:,}" for reason, count in left_out.items())
        if without := left_out.get("other"):
            raise DataError(
                f"of {len(frame):,} bars {without:,} have a full window of {reach + last - 1} "
                "sound bars, but none of these a label: the data end before the horizon; take a "
                "shorter horizon or more data"
            )
        raise DataError(
            f"of {len(frame):,} bars none has a full window of {reach + last - 1} sound bars "
            f"({told}); give more bars, shorter windows, or a larger max_gap if dates are missing"
        )
    place = found.order.place[rows]
    if last > 1 or scaled:
        block = stacked(found, values, sound, place, last, scaled)
        X = pd.DataFrame(block, columns=step_names(names, last), copy=False)
    else:
        block = values[:, place].astype(np.float32, copy=False).T
        X = pd.DataFrame(block, columns=list(names), copy=False)
    X.attrs["left_out"] = left_out
    who = frame["asset"].iloc[rows].reset_index(drop=True)
    if asset:
        X["asset"] = who.astype("category")
    return Kept(X, rows, place, frame["date"].iloc[rows].reset_index(drop=True), who)


def step_names(channels: Sequence[str], last: int) -> list[str]:
    """Return the names of the columns: each step's channels, the step's ``present`` behind them.

    Examples
    --------
    >>> from fintech_dl.features.steps import step_names
    >>> step_names(["close"], 2)
    ['close@-1', 'present@-1', 'close@-0', 'present@-0']
    """
    steps = range(last - 1, -1, -1)
    return [f"{name}@-{lag}" for lag in steps for name in [*channels, "present"]]


def stacked(
    found: OwnBars,
    channels: NDArray[Any],
    sound: Mask,
    places: Integers,
    last: int,
    scaled: Sequence[tuple[int, str]] = (),
) -> Block:
    """Return for each wanted place the channels of its last bars, and whether each is there.

    Parameters
    ----------
    found : OwnBars
    channels : float array of shape (n_channels, n_places)
    sound : bool array of shape (n_places,)
        The places whose channels may be used.
    places : int array of shape (n_rows,)
    last : int
        Bars per row, the place's own included.
    scaled : sequence of (int, str)
        Channels to divide by one number per row, one after the other. ``"last"``: channel 0 of the
        place itself; ``"mean"``: the channel's mean over the window (0 stays 0).

    Returns
    -------
    float32 array of shape (n_rows, last * (n_channels + 1))
        Named by `step_names`. Steps before the asset's first usable bar, or more than
        `days_of(last)` days old, hold zeros, and their ``present`` is 0.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from fintech_dl.features.own_bars import of_prices
    >>> from fintech_dl.features.steps import stacked
    >>> frame = pd.DataFrame({"date": pd.date_range("2024-05-01", periods=3), "asset": "AAA",
    ...                       "close": [5.0, 6.0, 7.0]})
    >>> found = of_prices(frame)
    >>> stacked(found, found.columns["close"][None], found.run > 0, np.array([0, 2]), last=2)
    array([[0., 0., 5., 1.],
           [6., 1., 7., 1.]], dtype=float32)
    """
    n_channels = len(channels)
    lines = np.ascontiguousarray(channels.T)
    out = np.empty((len(places), last, n_channels + 1), dtype=np.float32)
    lags = np.arange(last - 1, -1, -1)
    for first in range(0, len(places), BLOCK_ROWS):
        place = places[first : first + BLOCK_ROWS, None]
        at = np.maximum(place - lags, 0)
        recent = found.time[place] - found.time[at] <= days_of(last) * MICROSECONDS_A_DAY
        there = (lags < found.run[place]) & sound[at] & recent
        block = np.where(there[:, :, None], lines[at], 0)
        for channel, by in scaled:
            if by == "last":
                whole = block[:, -1, 0]
            else:
                whole = np.zeros(len(block))
                for step in range(last):  # one after the other: the same bits in every block
                    whole += block[:, step, channel]
                whole /= np.maximum(there.sum(axis=1), 1)
            block[:, :, channel] /= np.where(whole == 0, 1, whole)[:, None]
        part = out[first : first + BLOCK_ROWS]
        part[:, :, :-1] = block
        part[:, :, -1] = there
    return out.reshape(len(places), last * (n_channels + 1))
