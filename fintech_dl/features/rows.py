"""Rows that know nothing of each other: the columns as they are."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fintech_dl.features.columns import need_columns
from fintech_dl.table import Table


def as_they_are(
    frame: pd.DataFrame,
    *,
    target: str,
    when: str = "",
    weight: str = "",
    drop: Sequence[str] = (),
    aside: Sequence[str] = (),
) -> Table:
    """Make a table of rows that already hold all that is known of them.

    Use it for applications, snapshots and public data sets; where a row should see earlier rows
    of the same customer, use a function of ``transactions``.

    Parameters
    ----------
    frame : DataFrame
        In time order if it has times.
    target : str
        Column of the label; may be absent when rows are scored.
    when : str
        Column of the time: datetime64, or seconds since the first moment of the data.
    weight : str
        Column of row weights; may be absent when rows are scored.
    drop : sequence of str
        Columns that are neither features nor kept, where they exist.
    aside : sequence of str
        Columns to keep beside the features, for costs and segments, where they exist; they stay
        features too unless ``drop`` names them.

    Returns
    -------
    Table
        ``X`` holds every other column as it is.

    Raises
    ------
    DataError
        The column of times is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.rows import as_they_are
    >>> frame = pd.DataFrame({"income": [900.0, 1200.0], "defaulted": [1, 0]})
    >>> as_they_are(frame, target="defaulted").X.columns.tolist()
    ['income']
    """
    need_columns(frame, [when] if when else [], "the table")
    hidden = {target, when, weight, *drop}
    times = None
    if when:
        column = frame[when]
        is_number = pd.api.types.is_numeric_dtype(column)
        times = pd.to_datetime(column, unit="s") if is_number else column
    beside = [name for name in aside if name in frame]
    return Table(
        X=frame[[name for name in frame if name not in hidden]],
        y=frame.get(target),
        when=times,
        weight=frame.get(weight),
        aside=frame[beside] if beside else None,
    )
