"""Journal lines to a table: how unusual each posting is beside what was posted before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import UsageError
from fintech_dl.features.columns import (
    entity_numbers,
    need_columns,
    numbers,
    ordered_times,
    refuse,
)
from fintech_dl.features.rolling import EntityOrder, Integers, by_entity, running_sum, zscores
from fintech_dl.table import Table

ASIDE = ("line_id", "counterparty_id", "user_id", "amount", "kind")
CATEGORIES = ("account", "contra_account", "text_code", "cost_centre")
REQUIRED = ("time", "counterparty_id", "user_id", "amount", *CATEGORIES)
LABELS = ("kind",)  # known later, so rows to score may lack it
DAY, HOUR = 86_400_000_000, 3_600_000_000  # microseconds
NEAR_LIMIT = 0.9
LARGEST_AMOUNT = 1e13  # below it a double tells cents apart


def lines(
    frame: pd.DataFrame,
    *,
    history_days: float = 90,
    limit: float = 10_000.0,
    night_until: int = 6,
    target: str = "is_planted",
    aside: Sequence[str] = ASIDE,
) -> Table:
    """Make the table of journal lines: each line itself, and what was posted like it before.

    Use it for the question "which postings should somebody look at?". A line sees itself and
    strictly earlier lines; lines of the very same time do not see each other. Counts are logarithms
    of 1 + the number of lines in the ``history_days`` before.

    Do not use it where less than ``history_days`` of lines stand before those of interest: then
    everything looks new.

    Parameters
    ----------
    frame : DataFrame
        Lines in time order with the columns ``time`` (datetime64), ``account``,
        ``contra_account``, ``text_code``, ``cost_centre``, ``counterparty_id``, ``user_id`` and
        ``amount`` (above 0).
    history_days : float, default 90
        Days to look back.
    limit : float, default 10,000
        Amount from which on a second person must approve; in the unit of ``amount``.
    night_until : int, default 6
        Last hour of the night: 6 means 00:00 to 06:59. -1 for no night.
    target : str, default "is_planted"
        Column of labels, 0 or 1; may be absent.
    aside : sequence of str
        Columns to keep beside the features, out of the model's sight. ``kind`` may be absent.

    Returns
    -------
    Table
        ``X``: the four categories as they are; ``log_amount`` (base 10), ``round`` (whole
        hundreds), ``near_limit`` (from 90 % of the limit to below it), ``hour``, ``night``,
        ``weekend``; ``seen_accounts`` (the pair of accounts), ``seen_counterparty``,
        ``seen_user``, ``seen_text_accounts`` (text with the pair), ``seen_counterparty_accounts``,
        ``seen_counterparty_centre``, ``seen_counterparty_user``: how many lines of this kind came
        before; ``amount_zscore`` in the logs of the counterparty's own amounts, as
        `rolling.zscores`; ``days_since_same``: days since the counterparty had this very amount
        (``history_days`` if it had not); ``near_limit_today``: the counterparty's lines near the
        limit in the last 24 hours, this one included.

        ``y`` is the target (None without the column), ``when`` the time, ``who`` the user.

    Raises
    ------
    DataError
        A missing column, missing or unordered times, missing ids, an amount that is not above 0;
        the first such row is named, counted from 0.
    UsageError
        A parameter out of range.

    Examples
    --------
    >>> from fintech_dl.data.ledger import ledger
    >>> from fintech_dl.features.journal import lines
    >>> table = lines(ledger(days=40, lines_per_day=20))
    >>> table.X.loc[0, ["days_since_same", "seen_user"]].tolist()
    [90.0, 0.0]
    """
    if not 0 < history_days <= 36_500 or not 0 < limit < np.inf or not -1 <= night_until <= 23:
        raise UsageError(
            f"lines: history_days={history_days}, limit={limit}, night_until={night_until}; "
            "allowed: days above 0, a limit above 0, an hour from 0 to 23 or -1"
        )
    need_columns(frame, REQUIRED, "the journal features")
    need_columns(frame, [name for name in aside if name not in LABELS], "aside")
    time, amount = ordered_times(frame, "time"), numbers(frame, "amount")
    wrong = ~((amount > 0) & (amount <= LARGEST_AMOUNT))
    refuse(wrong, frame, "amount", f"must be above 0 and at most {LARGEST_AMOUNT:g}")
    back = round(history_days * DAY)
    hour = time % DAY // HOUR
    near = (amount >= NEAR_LIMIT * limit) & (amount < limit)
    features: dict[str, NDArray[Any]] = {
        "log_amount": np.log10(amount),
        "round": np.rint(amount * 100) % 100_00 == 0,
        "near_limit": near,
        "hour": time % DAY / HOUR,
        "night": hour <= night_until,
        "weekend": (time // DAY + 3) % 7 >= 5,  # day 0, 1970-01-01, was a Thursday
    }
    ids = {name: entity_numbers(frame, name) for name in (*CATEGORIES, *REQUIRED[1:3])}
    accounts = _pair(ids["account"], ids["contra_account"])
    who = ids["counterparty_id"]
    for name, entity in {
        "accounts": accounts,
        "counterparty": who,
        "user": ids["user_id"],
        "text_accounts": _pair(accounts, ids["text_code"]),
        "counterparty_accounts": _pair(who, accounts),
        "counterparty_centre": _pair(who, ids["cost_centre"]),
        "counterparty_user": _pair(who, ids["user_id"]),
    }.items():
        order = by_entity(entity, time)
        count = order.same_time - order.since(back)
        features[f"seen_{name}"] = order.to_rows(np.log1p(count))
    order = by_entity(who, time)
    features["amount_zscore"] = order.to_rows(zscores(order, amount, order.since(back)))
    cents = pd.factorize(np.rint(amount * 100))[0].astype(np.int64)
    same = by_entity(_pair(who, cents), time)
    features["days_since_same"] = same.to_rows(_days_since(same, time, back))
    nears = running_sum(near.astype(np.int64)[order.row])
    today = nears[order.same_time] - nears[order.since(DAY)] + near[order.row]
    features["near_limit_today"] = order.to_rows(today)
    X = pd.DataFrame({name: values.astype(np.float32) for name, values in features.items()})
    for name in reversed(CATEGORIES):
        X.insert(0, name, frame[name].reset_index(drop=True))
    kept = frame.reset_index(drop=True)
    return Table(
        X=X,
        y=kept.get(target),
        when=kept["time"],
        who=kept["user_id"],
        aside=kept[[name for name in aside if name in kept]],
    )


def lines_days(*, history_days: float = 90) -> float:
    """Return how many days of history ``lines`` needs for the same parameters.

    Examples
    --------
    >>> from fintech_dl.features.journal import lines_days
    >>> lines_days()
    90
    """
    return max(history_days, 1)


def _pair(one: Integers, two: Integers) -> Integers:
    """Return the number of each pair."""
    code = one * (int(two.max(initial=0)) + 1) + two
    return pd.factorize(code)[0].astype(np.int64)


def _days_since(order: EntityOrder, time: Integers, back: int) -> NDArray[np.float64]:
    """Return for each place the days since the entity's row before, at most ``back``."""
    at, end = time[order.row], order.same_time
    waited = at - at[np.maximum(end - 1, 0)]
    return np.where(end > order.since(back), waited, back) / DAY
