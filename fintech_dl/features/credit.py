"""Features of credit accounts: what a row's own monthly statements say of its months."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import UsageError
from fintech_dl.features.columns import need_columns, numbers
from fintech_dl.features.rows import as_they_are
from fintech_dl.table import Table


def card_statements(
    frame: pd.DataFrame,
    *,
    target: str,
    limit: str,
    bills: Sequence[str],
    payments: Sequence[str],
    status: Sequence[str],
    when: str = "",
    drop: Sequence[str] = (),
    aside: Sequence[str] = (),
    protected: Sequence[str] = (),
) -> Table:
    """Make a table of revolving credit accounts, each with its last monthly statements.

    Use it for behavioural scores: one row per account, with columns for each of several months.
    The columns stay, and ratios that a network would have to learn join them.

    Parameters
    ----------
    frame : DataFrame
        In time order if it has times.
    target : str
        Column of the label; may be absent when rows are scored.
    limit : str
        Column of the credit limit.
    bills, payments, status : sequence of str
        Columns of the amount billed, the amount paid and the months overdue (1 or more: late), each
        the latest month first, all of as many months. What is paid in a month answers the bill of
        the month before.
    when, drop, aside, protected
        As in `rows.as_they_are`.

    Returns
    -------
    Table
        ``X`` holds the columns that stay and ``utilisation_1`` (latest month), ``utilisation_2``,
        ...: bill / limit; ``paid_share_1``, ...: payment / bill of the month before, from 0 to 1,
        missing where nothing was owed; ``utilisation_change``: the latest less the mean of the
        months before; ``months_late`` and ``worst_status``.

    Raises
    ------
    DataError
        A column is missing, or holds no numbers.
    UsageError
        Columns of differing numbers of months, or of a single one.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.credit import card_statements
    >>> frame = pd.DataFrame({"limit": [200.0], "bill_1": [100.0], "bill_2": [50.0],
    ...                       "paid_1": [25.0], "paid_2": [0.0], "late_1": [0], "late_2": [2]})
    >>> months = {"bills": ["bill_1", "bill_2"], "payments": ["paid_1", "paid_2"]}
    >>> table = card_statements(frame, target="defaulted", limit="limit", **months,
    ...                         status=["late_1", "late_2"])
    >>> table.X.iloc[0, -6:].to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'utilisation_1': 0.5, 'utilisation_2': 0.25, 'paid_share_1': 0.5, 'utilisation_change': 0.25,
     'months_late': 1.0, 'worst_status': 2.0}
    """
    months = len(bills)
    if months < 2 or len(payments) != months or len(status) != months:
        raise UsageError(
            f"card_statements: {months} bills, {len(payments)} payments and {len(status)} status "
            "columns; expected as many of each, 2 or more"
        )
    need_columns(frame, [limit, *bills, *payments, *status], "card statements")
    owed, paid, late = (_matrix(frame, names) for names in (bills, payments, status))
    utilisation = _ratio(owed, numbers(frame, limit)[:, None])
    share = np.clip(_ratio(paid[:, :-1], owed[:, 1:]), 0, 1)
    made = {f"utilisation_{k + 1}": utilisation[:, k] for k in range(months)}
    made |= {f"paid_share_{k + 1}": share[:, k] for k in range(months - 1)}
    made |= {
        "utilisation_change": utilisation[:, 0] - utilisation[:, 1:].mean(axis=1),
        "months_late": (late >= 1).sum(axis=1).astype(float),
        "worst_status": late.max(axis=1),
    }
    return as_they_are(
        pd.concat([frame, pd.DataFrame(made, index=frame.index)], axis=1),
        target=target,
        when=when,
        drop=drop,
        aside=aside,
        protected=protected,
    )


def _matrix(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    return np.column_stack([numbers(frame, name) for name in names])


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return part / whole, missing where the whole is not above 0."""
    above = np.where(whole > 0, whole, np.nan)
    return np.asarray(part / above)
