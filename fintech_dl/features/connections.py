"""Network connections to a table: each record by itself, amounts as logarithms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fintech_dl.features.columns import need_columns, refuse
from fintech_dl.features.rows import as_they_are
from fintech_dl.table import Table

AMOUNTS = (
    "duration",
    "src_bytes",
    "dst_bytes",
    "wrong_fragment",
    "urgent",
    "hot",
    "num_failed_logins",
    "num_compromised",
    "su_attempted",
    "num_root",
    "num_file_creations",
    "num_shells",
    "num_access_files",
    "count",
    "srv_count",
    "dst_host_count",
    "dst_host_srv_count",
)
ASIDE = ("attack", "difficulty", "split")


def records(
    frame: pd.DataFrame,
    *,
    target: str = "is_attack",
    when: str = "",
    amounts: Sequence[str] = AMOUNTS,
    drop: Sequence[str] = ("num_outbound_cmds",),
    aside: Sequence[str] = ASIDE,
    test_below: int | None = None,
) -> Table:
    """Make the table of connection records in the format of KDD Cup 99 and NSL-KDD.

    Use it for intrusion detection on records that already hold their counts of the last seconds
    and connections. It learns nothing and looks at no other row.

    Parameters
    ----------
    frame : DataFrame
    target : str, default "is_attack"
        Column of labels, 0 or 1; may be absent when rows are scored.
    when : str
        Column of the time, if there is one: datetime64, or seconds since the first moment.
    amounts : sequence of str
        Columns to replace by log(1 + amount): durations, bytes and counts.
    drop : sequence of str, default ("num_outbound_cmds",)
        Columns without information.
    aside : sequence of str
        Columns to keep beside the features, where they exist, and out of the model's sight.
    test_below : int, optional
        Of the rows that ``split`` calls ``test``, only those of a ``difficulty`` below this: 21 for
        KDDTest-21.

    Returns
    -------
    Table
        ``X`` holds every other column.

    Raises
    ------
    DataError
        A missing column, or an amount below 0; the first such row is named, counted from 0.

    References
    ----------
    Tavallaee, Bagheri, Lu and Ghorbani (2009), A detailed analysis of the KDD CUP 99 data set.

    Examples
    --------
    >>> from fintech_dl import load_frame
    >>> from fintech_dl.features.connections import records
    >>> frame = load_frame("synthetic_nsl_kdd")
    >>> frame.shape[1] - records(frame).X.shape[1]
    5
    """
    need_columns(frame, amounts, "the connection features")
    if test_below is not None:
        need_columns(frame, ["split", "difficulty"], "test_below")
        easy = (frame["split"] == "test") & (frame["difficulty"] >= test_below)
        frame = frame[~easy].reset_index(drop=True)
    logs = {}
    for name in amounts:
        refuse((frame[name] < 0).to_numpy(), frame, name, "must be 0 or more")
        logs[name] = np.log1p(frame[name].astype("float64")).astype("float32")
    frame, drop = frame.assign(**logs), [*drop, *aside]
    return as_they_are(frame, target=target, when=when, drop=drop, aside=aside)
