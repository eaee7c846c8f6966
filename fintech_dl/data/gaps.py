"""Bars that a contract has set aside, put back as bars without numbers: no window may skip them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def put_back(
    frame: pd.DataFrame, gaps: pd.DataFrame | None
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return rows with the gaps among them: a row for each, empty but for day and asset.

    Without it, the bar before a faulty one would look like its neighbour's neighbour, and a return
    over both like that of a day.

    Parameters
    ----------
    frame : DataFrame
        Rows that keep their contract, by day and asset.
    gaps : DataFrame or None
        Day and asset of the rows set aside, under the names that they have in the frame.

    Returns
    -------
    frame : DataFrame
        By day, then asset; the frame itself if there are no gaps.
    origin : int array
        The position of each row in the frame that was given, -1 for a gap.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.data.gaps import put_back
    >>> days = pd.date_range("2024-05-01", periods=3)
    >>> frame = pd.DataFrame({"date": days[[0, 2]], "asset": "A", "close": [5.0, 6.0]})
    >>> whole, origin = put_back(frame, pd.DataFrame({"date": days[[1]], "asset": "A"}))
    >>> whole["close"].tolist(), origin
    ([5.0, nan, 6.0], array([ 0, -1,  1]))
    """
    origin = np.arange(len(frame))
    if gaps is None or gaps.empty:
        return frame, origin
    keys = list(gaps.columns)
    there = pd.MultiIndex.from_frame(gaps).isin(pd.MultiIndex.from_frame(frame[keys]))
    lacking = gaps[~there].drop_duplicates()
    whole = pd.concat([frame, lacking], ignore_index=True)
    origin = np.concatenate([origin, np.full(len(lacking), -1)])
    whole = whole.sort_values(keys, kind="stable")
    return whole.reset_index(drop=True), origin[whole.index.to_numpy()]
