"""Rows that know nothing of each other: the columns as they are."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fintech_dl.errors import UsageError
from fintech_dl.features.columns import need_columns
from fintech_dl.table import Table


def as_they_are(
    frame: pd.DataFrame,
    *,
    target: str,
    positive: str = "",
    when: str = "",
    delay_days: float | None = None,
    weight: str = "",
    drop: Sequence[str] = (),
    aside: Sequence[str] = (),
    protected: Sequence[str] = (),
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
    positive : str
        The label that counts as 1 where labels are text, for example ``"bad"``; others count as 0.
    when : str
        Column of the time: datetime64, or seconds since the first moment of the data.
    delay_days : float, optional
        Days after ``when`` until the label is known. Default: labels have no date.
    weight : str
        Column of row weights; may be absent when rows are scored.
    drop : sequence of str
        Columns that are neither features nor kept, where they exist.
    aside : sequence of str
        Columns to keep beside the features, for costs and segments, where they exist; they stay
        features too unless ``drop`` names them.
    protected : sequence of str
        Columns that no decision may rest on (sex, age, nationality): kept beside the features, to
        measure fairness, and never among them.

    Returns
    -------
    Table
        ``X`` holds every other column as it is.

    Raises
    ------
    DataError
        The column of times is missing.
    UsageError
        ``delay_days`` without ``when``, or below 0.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.rows import as_they_are
    >>> frame = pd.DataFrame({"income": [900.0, 1200.0], "defaulted": [1, 0]})
    >>> as_they_are(frame, target="defaulted").X.columns.tolist()
    ['income']
    """
    need_columns(frame, [when] if when else [], "the table")
    if delay_days is not None and (not when or delay_days < 0):
        raise UsageError(
            f"as_they_are: delay_days = {delay_days} with when = {when!r}; it needs the column of "
            "the time, and is 0 or more"
        )
    hidden = {target, when, weight, *drop, *protected}
    times = until = None
    if when:
        column = frame[when]
        is_number = pd.api.types.is_numeric_dtype(column)
        times = pd.to_datetime(column, unit="s") if is_number else column
        if delay_days is not None:
            until = times + pd.Timedelta(days=delay_days)
    y = frame.get(target)
    if y is not None and positive:
        y = (y == positive).astype("int8").where(y.notna())
    beside = [name for name in dict.fromkeys([*aside, *protected]) if name in frame]
    return Table(
        X=frame[[name for name in frame if name not in hidden]],
        y=y,
        when=times,
        until=until,
        weight=frame.get(weight),
        aside=frame[beside] if beside else None,
    )
