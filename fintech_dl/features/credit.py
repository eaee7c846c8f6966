"""Features of credit: what a row's own statements, debts and late payments say of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import UsageError
from fintech_dl.features.columns import need_columns, numbers
from fintech_dl.features.rows import as_they_are
from fintech_dl.table import Table

BANDS = [0.05, 0.3, 0.6, 0.9, np.inf]  # of the share of a limit that is used, ends included
USED = ["up to 5 % used", "5 to 30 % used", "30 to 60 % used", "60 to 90 % used", "over 90 % used"]
USED += ["no limit"]


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
        ...: bill / limit; ``paid_share_1``, ...: payment / bill of the month before, from 0 to 2,
        missing where nothing was owed; ``utilisation_change``: the latest less the mean of the
        months before; ``months_late``, ``worst_status`` and ``standing``, a category of the latest
        status (3 and more together) and the band of the latest utilisation, in which a scorecard
        sees both at once.

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
    >>> table.X.iloc[0, -7:].to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'utilisation_1': 0.5, 'utilisation_2': 0.25, 'paid_share_1': 0.5, 'utilisation_change': 0.25,
     'months_late': 1.0, 'worst_status': 2.0, 'standing': '0, 30 to 60 % used'}
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
    share = np.clip(_ratio(paid[:, :-1], owed[:, 1:]), 0, 2)
    made: dict[str, Any] = {f"utilisation_{k + 1}": utilisation[:, k] for k in range(months)}
    made |= {f"paid_share_{k + 1}": share[:, k] for k in range(months - 1)}
    made |= {
        "utilisation_change": utilisation[:, 0] - utilisation[:, 1:].mean(axis=1),
        "months_late": (late >= 1).sum(axis=1).astype(float),
        "worst_status": late.max(axis=1),
        "standing": _standing(late[:, 0], utilisation[:, 0]),
    }
    roles = {"when": when, "drop": drop, "aside": aside, "protected": protected}
    return _joined(frame, made, target=target, **roles)


def borrowers(
    frame: pd.DataFrame,
    *,
    target: str,
    income: str,
    debt_ratio: str,
    late: Sequence[str],
    codes: Sequence[float] = (),
    lines: str = "",
    secured_lines: str = "",
    utilisation: str = "",
    when: str = "",
    drop: Sequence[str] = (),
    aside: Sequence[str] = (),
    protected: Sequence[str] = (),
) -> Table:
    """Make a table of borrowers, each with income, debts and counts of late payments.

    Use it for applications with data of a credit bureau, in which the debt ratio of who states no
    income is often the amount of the debts itself. The columns stay, and those join them that tell
    both cases apart and add up what belongs together.

    Parameters
    ----------
    frame : DataFrame
        In time order if it has times.
    target : str
        Column of the label; may be absent when rows are scored.
    income : str
        Column of the monthly income.
    debt_ratio : str
        Column of monthly payments on debts / monthly income; the payments themselves where the
        income is missing or not above 1.
    late : sequence of str
        Columns that count late payments, one or more.
    codes : sequence of float
        Values of these counts that are no counts.
    lines, secured_lines : str
        Columns of the number of all lines of credit, and of those on real estate.
    utilisation : str
        Column of balances / limits of cards and lines; needs the columns of lines.
    when, drop, aside, protected
        As in `rows.as_they_are`.

    Returns
    -------
    Table
        ``X`` holds the columns that stay and ``debt_payments`` (per month, in the unit of the
        income), ``debt_to_income`` (missing where the income is), ``times_late`` (all counts
        together, missing where each is a code or missing); with both columns of lines
        ``other_lines``, those not on real estate, and with utilisation ``used_lines``: how many of
        these would be used up.

    Raises
    ------
    DataError
        A column is missing, or holds no numbers.
    UsageError
        No column of late payments, only one of the two columns of lines, or utilisation alone.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.credit import borrowers
    >>> frame = pd.DataFrame({"income": [2000.0, None], "debt_ratio": [0.25, 900.0],
    ...                       "late_30": [1, 98], "late_90": [2, 98]})
    >>> table = borrowers(frame, target="defaulted", income="income", debt_ratio="debt_ratio",
    ...                   late=["late_30", "late_90"], codes=[98])
    >>> table.X.iloc[:, -3:].to_dict("list")
    {'debt_payments': [500.0, 900.0], 'debt_to_income': [0.25, nan], 'times_late': [3.0, nan]}
    """
    if not late or bool(lines) != bool(secured_lines) or (utilisation and not lines):
        raise UsageError(
            f"borrowers: late={list(late)}, lines={lines!r}, secured_lines={secured_lines!r}, "
            f"utilisation={utilisation!r}; expected one column of late payments or more, and both "
            "columns of lines or neither; utilisation only with them"
        )
    more = [name for name in (lines, secured_lines, utilisation) if name]
    need_columns(frame, [income, debt_ratio, *late, *more], "borrowers")
    earned, ratio, counts = numbers(frame, income), numbers(frame, debt_ratio), _matrix(frame, late)
    stated = earned > 1
    counts = np.where(np.isin(counts, list(codes)), np.nan, counts)
    known = ~np.isnan(counts)
    made = {
        "debt_payments": np.where(stated, ratio * earned, ratio),
        "debt_to_income": np.where(stated, ratio, np.nan),
        "times_late": np.where(known.any(axis=1), np.nansum(counts, axis=1), np.nan),
    }
    if lines:
        made["other_lines"] = numbers(frame, lines) - numbers(frame, secured_lines)
    if utilisation:
        made["used_lines"] = made["other_lines"] * numbers(frame, utilisation)
    roles = {"when": when, "drop": drop, "aside": aside, "protected": protected}
    return _joined(frame, made, target=target, **roles)


def _standing(late: NDArray[np.float64], utilisation: NDArray[np.float64]) -> NDArray[np.object_]:
    words = ["3 or more", "not known"]
    status = np.select([late >= 3, np.isnan(late)], words, np.char.mod("%d", np.nan_to_num(late)))
    # searchsorted puts NaN behind the last band
    used = np.array(USED)[np.searchsorted(BANDS, utilisation)]
    return np.char.add(np.char.add(status, ", "), used).astype(object)


def _joined(frame: pd.DataFrame, made: Mapping[str, Any], **roles: Any) -> Table:
    return as_they_are(pd.concat([frame, pd.DataFrame(made, index=frame.index)], axis=1), **roles)


def _matrix(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    return np.column_stack([numbers(frame, name) for name in names])


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return part / whole, missing where the whole is not above 0."""
    above = np.where(whole > 0, whole, np.nan)
    return np.asarray(part / above)
