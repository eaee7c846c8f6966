"""Card transactions to a table: what customer and terminal did before, as it was known then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

Floats = NDArray[np.float64]
Block = NDArray[np.float32]
Feature = tuple[str, EntityOrder | None, NDArray[Any]]

ASIDE = ("transaction_id", "customer_id", "terminal_id", "amount", "fraud_scenario")
REQUIRED = ("time", "customer_id", "terminal_id", "amount")
LABELS = ("is_fraud", "fraud_scenario")  # known later, so rows to score may lack them
VELOCITY_HOURS = (1, 6)
LARGEST_AMOUNT = 1e13  # below it a double tells cents apart
MOST_DAYS = 36_500

_MICROSECONDS = {"day": 86_400_000_000, "hour": 3_600_000_000}


def card_history(
    frame: pd.DataFrame,
    *,
    delay_days: float = 7,
    windows: Sequence[float] = (1, 7, 30),
    last: int = 1,
    horizon_days: float = 30,
    night_until: int = 6,
    extra: bool = True,
    aside: Sequence[str] = ASIDE,
    rows: Any = None,
) -> Table:
    """Make the table of card transactions: each row's own features and its history.

    Use it for the question "is this transaction fraud?" where labels arrive with a delay. A row
    sees itself and strictly earlier rows; rows with the very same time do not see each other. It
    sees the label of a row only once that is ``delay_days`` old, and a missing label never.
    Windows of d days reach back to, but do not include, the moment exactly d days ago.

    Do not use it where a customer's history is longer than the data given: windows start empty
    with the first row. ``card_history_days`` says how much history makes the features complete.

    Parameters
    ----------
    frame : DataFrame
        Transactions in time order with the columns ``time`` (datetime64), ``customer_id``,
        ``terminal_id``, ``amount`` (0 or more, rounded to cents for sums), those named in
        ``aside``, and, unless labels are unknown, ``is_fraud`` (0, 1 or missing).
    delay_days : float, default 7
        Days from a transaction until its label is known.
    windows : sequence of float, default (1, 7, 30)
        Lengths of the windows in days.
    last : int, default 1
        Events per row. With k > 1 the row holds the features of the customer's last k
        transactions, this one included, each as it was at its own time.
    horizon_days : float, default 30
        Days that the extra features and the window of events look back.
    night_until : int, default 6
        Last hour of the night: 6 means 00:00 to 06:59. -1 for no night.
    extra : bool, default True
        Whether to add features beyond the Handbook's.
    aside : sequence of str
        Columns to keep beside the features, out of the model's sight. Labels may be absent.
    rows : array of int or bool, optional
        Rows to return, ascending; all others serve as history only.

    Returns
    -------
    Table
        ``X`` is float32. Per row, with w a window and h the horizon: ``amount``, ``weekend``,
        ``night`` (0/1); ``customer_count_{w}d`` and ``customer_mean_amount_{w}d`` of the
        customer, this row included; ``terminal_count_{w}d``, the terminal's transactions with a
        known label in the window that ends ``delay_days`` ago, and ``terminal_risk_{w}d``, the
        share of frauds among them (0 if none).

        Extra: ``customer_count_1h`` and ``_6h``; ``customer_hours_since_last`` (at most h);
        ``new_terminal``, 1 if the customer has not used the terminal for h;
        ``amount_over_mean_{h}d``, the amount over the customer's mean of strictly earlier rows (1
        if there is none); ``amount_zscore_{h}d``, in logs: how many standard deviations
        (at least 0.1) log(1 + amount) lies above those rows' mean (0 if fewer than two).

        With ``last`` = k the columns are ``channel@-lag``, oldest first, ending with ``@-0``;
        the channel ``present`` is 1, or 0 where there is no such event (all its channels are 0).

        ``y`` is ``is_fraud`` (None without the column; missing labels are NaN), ``when`` the
        time, ``until`` that plus the delay, ``who`` the customer.

    Raises
    ------
    DataError
        A missing column, missing or unordered times, missing ids, amounts that are negative or
        not finite, labels other than 0 and 1; the first such row is named, counted from 0.
    UsageError
        A parameter out of range.

    References
    ----------
    Le Borgne, Siblini, Lebichot and Bontempi (2022), Reproducible Machine Learning for Credit
    Card Fraud Detection: Practical Handbook, section "Baseline feature transformation". There a
    row also sees rows of the same time that happen to stand before it.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.transactions import card_history
    >>> frame = pd.DataFrame({
    ...     "transaction_id": [1, 2, 3],
    ...     "time": pd.to_datetime(["2024-05-01 12:00", "2024-05-01 13:30", "2024-05-11 02:00"]),
    ...     "customer_id": [7, 7, 7], "terminal_id": [1, 2, 1],
    ...     "amount": [10.0, 30.0, 50.0], "is_fraud": [1, 0, 0],
    ... })
    >>> X = card_history(frame, extra=False).X
    >>> X[["night", "customer_count_30d", "customer_mean_amount_30d", "terminal_risk_7d"]]
       night  customer_count_30d  customer_mean_amount_30d  terminal_risk_7d
    0    0.0                 1.0                      10.0               0.0
    1    0.0                 2.0                      20.0               0.0
    2    1.0                 3.0                      30.0               1.0
    """
    _check_parameters(delay_days, windows, horizon_days, night_until)
    if isinstance(last, bool) or not isinstance(last, int | np.integer) or last < 1:
        raise UsageError(f"last={last!r}: must be a whole number of events, at least 1")
    customers = _by_customer(frame)
    need_columns(frame, [name for name in aside if name not in LABELS], "aside")
    taken = _positions(rows, len(frame))
    columns = _columns(frame, customers, delay_days, windows, horizon_days, night_until, extra)
    features = {name: _to_rows(order, values, np.float32) for name, order, values in columns}
    names, channels = list(features), list(features.values())
    if last > 1:
        values = _last_events(channels, customers, taken, int(last), horizon_days)
        names = [f"{c}@-{lag}" for lag in range(last - 1, -1, -1) for c in [*names, "present"]]
    else:
        values = np.stack([c if rows is None else c[taken] for c in channels]).T
    kept = frame.iloc[taken].reset_index(drop=True)
    return Table(
        X=pd.DataFrame(values, columns=names, copy=False),
        y=_target(kept),
        when=kept["time"],
        until=kept["time"] + pd.Timedelta(microseconds=_span(delay_days)),
        who=kept["customer_id"],
        aside=kept[[name for name in aside if name in kept]],
    )


def card_history_days(
    *,
    delay_days: float = 7,
    windows: Sequence[float] = (1, 7, 30),
    last: int = 1,
    horizon_days: float = 30,
    extra: bool = True,
) -> float:
    """Return how many days of history ``card_history`` needs for the same parameters.

    Rows at least this old change no bit of a row's features.

    Examples
    --------
    >>> from fintech_dl.features.transactions import card_history_days
    >>> card_history_days()
    37
    >>> card_history_days(last=5)
    67
    """
    own = delay_days + max(windows)
    if extra:
        own = max(own, horizon_days, *(hours / 24 for hours in VELOCITY_HOURS))
    return own if last == 1 else horizon_days + own


def history_columns(
    frame: pd.DataFrame,
    *,
    delay_days: float = 7,
    windows: Sequence[float] = (1, 7, 30),
    horizon_days: float = 30,
    night_until: int = 6,
    extra: bool = True,
) -> Iterator[tuple[str, Floats]]:
    """Return name and values of each feature of ``card_history``, one by one, as float64.

    For whoever needs the features before they are rounded to float32. Parameters, features and
    errors are those of ``card_history``; each array has the shape (n_rows,).

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.transactions import history_columns
    >>> frame = pd.DataFrame({
    ...     "time": pd.to_datetime(["2024-05-01 12:00", "2024-05-01 13:30"]),
    ...     "customer_id": [7, 7], "terminal_id": [1, 2], "amount": [10.0, 30.0],
    ... })
    >>> dict(history_columns(frame))["customer_hours_since_last"].tolist()
    [720.0, 1.5]
    """
    _check_parameters(delay_days, windows, horizon_days, night_until)
    customers = _by_customer(frame)
    columns = _columns(frame, customers, delay_days, windows, horizon_days, night_until, extra)
    return ((name, _to_rows(order, values, np.float64)) for name, order, values in columns)


def _to_rows(order: EntityOrder | None, values: NDArray[Any], dtype: type) -> NDArray[Any]:
    values = values.astype(dtype, copy=False)
    return values if order is None else order.to_rows(values)


def _by_customer(frame: pd.DataFrame) -> EntityOrder:
    need_columns(frame, REQUIRED, "the card features")
    return by_entity(entity_numbers(frame, "customer_id"), ordered_times(frame, "time"))


def _columns(
    frame: pd.DataFrame,
    customers: EntityOrder,
    delay_days: float,
    windows: Sequence[float],
    horizon_days: float,
    night_until: int,
    extra: bool,
) -> Iterator[Feature]:
    """Yield name, order and values of each feature; no order where they are row by row."""
    time = ordered_times(frame, "time")
    amount = _amounts(frame)
    cents = np.rint(amount * 100).astype(np.int64)
    terminal = entity_numbers(frame, "terminal_id")
    known, fraud = _labels(frame)

    day = time // _MICROSECONDS["day"]
    yield "amount", None, amount
    yield "weekend", None, (day + 3) % 7 >= 5  # day 0, 1970-01-01, was a Thursday
    hour = (time - day * _MICROSECONDS["day"]) // _MICROSECONDS["hour"]
    yield "night", None, hour <= night_until

    end = customers.same_time
    own = cents[customers.row]
    total = running_sum(own)
    for days in windows:
        start = customers.since(_span(days))
        count = end - start + 1
        yield f"customer_count_{days:g}d", customers, count
        mean = (total[end] - total[start] + own) / (count * 100)
        yield f"customer_mean_amount_{days:g}d", customers, mean
    if extra:
        yield from _habits(time, amount, customers, own, total, horizon_days)
        customer = entity_numbers(frame, "customer_id")
        pair = customer * (int(terminal.max(initial=0)) + 1) + terminal
        pairs = by_entity(pd.factorize(pair)[0].astype(np.int64), time)
        yield "new_terminal", pairs, pairs.same_time == pairs.since(_span(horizon_days))

    terminals = by_entity(terminal, time)
    # with no delay the label is known at once, yet never to the row itself or its twins in time
    end = np.minimum(terminals.since(_span(delay_days)), terminals.same_time)
    knowns, frauds = running_sum(known[terminals.row]), running_sum(fraud[terminals.row])
    for days in windows:
        start = terminals.since(_span(delay_days) + _span(days))
        count = knowns[end] - knowns[start]
        yield f"terminal_count_{days:g}d", terminals, count
        risk = (frauds[end] - frauds[start]) / np.maximum(count, 1)
        yield f"terminal_risk_{days:g}d", terminals, risk


def _habits(
    time: Integers,
    amount: Floats,
    customers: EntityOrder,
    own: Integers,
    total: Integers,
    horizon_days: float,
) -> Iterator[Feature]:
    """Yield velocity, time since last, and the amount against the customer's earlier amounts."""
    end = customers.same_time
    for hours in VELOCITY_HOURS:
        start = customers.since(hours * _MICROSECONDS["hour"])
        yield f"customer_count_{hours}h", customers, end - start + 1

    start = customers.since(_span(horizon_days))
    count = end - start
    at = time[customers.row]
    waited = np.where(count > 0, at - at[np.maximum(end - 1, 0)], _span(horizon_days))
    yield "customer_hours_since_last", customers, waited / _MICROSECONDS["hour"]

    spent = total[end] - total[start]
    ratio = np.ones(len(own))
    np.divide(own * count.astype(float), spent, out=ratio, where=spent > 0)
    yield f"amount_over_mean_{horizon_days:g}d", customers, ratio

    yield f"amount_zscore_{horizon_days:g}d", customers, zscores(customers, amount, start)


def _last_events(
    channels: list[Block], customers: EntityOrder, rows: Integers, last: int, horizon_days: float
) -> Block:
    """Return for each of ``rows`` the channels of its customer's last events, oldest first."""
    n_rows, n_channels = len(customers.row), len(channels) + 1
    # One line per event, customer by customer, so that an event's predecessors lie beside it; the
    # line after the last is all 0 and stands for every event that is not there.
    events = np.zeros((n_rows + 1, n_channels), dtype=np.float32)
    lines = np.ascontiguousarray(np.stack([*channels, np.ones_like(channels[0])]).T)
    np.take(lines, customers.row, axis=0, out=events[:n_rows], mode="clip")
    del lines
    place = customers.place[rows]
    line = customers.same_time[place][:, None] - np.arange(last - 1, -1, -1)
    line[:, -1] = place
    line[line < customers.since(_span(horizon_days))[place][:, None]] = n_rows
    windows: Block = events.take(line, axis=0)  # several times faster than events[line]
    return windows.reshape(len(rows), last * n_channels)


def _check_parameters(
    delay_days: float, windows: Sequence[float], horizon_days: float, night_until: int
) -> None:
    if not 0 <= delay_days <= MOST_DAYS:
        raise UsageError(f"delay_days={delay_days!r}: must be from 0 to {MOST_DAYS} days")
    if not 0 < horizon_days <= MOST_DAYS:
        raise UsageError(f"horizon_days={horizon_days!r}: must be above 0, at most {MOST_DAYS}")
    named = {f"{days:g}" for days in windows}
    if not named or len(named) < len(windows) or not all(0 < d <= MOST_DAYS for d in windows):
        raise UsageError(
            f"windows={windows!r}: must be one or more different lengths above 0 days, "
            f"at most {MOST_DAYS}"
        )
    if not -1 <= night_until <= 23:
        raise UsageError(f"night_until={night_until!r}: must be an hour from 0 to 23, or -1")


def _span(days: float) -> int:
    """Return a length of time in microseconds."""
    return round(days * _MICROSECONDS["day"])


def _amounts(frame: pd.DataFrame) -> Floats:
    amount = numbers(frame, "amount")
    wrong = ~((amount >= 0) & (amount <= LARGEST_AMOUNT))
    refuse(wrong, frame, "amount", f"must be a number from 0 to {LARGEST_AMOUNT:g}")
    return amount


def _labels(frame: pd.DataFrame) -> tuple[Integers, Integers]:
    """Return 0/1 per row: is the label known, is it fraud."""
    if "is_fraud" not in frame:
        none = np.zeros(len(frame), dtype=np.int64)
        return none, none
    label = numbers(frame, "is_fraud")
    known = ~np.isnan(label)
    wrong = known & (label != 0) & (label != 1)
    refuse(wrong, frame, "is_fraud", "must be 0, 1 or missing")
    return known.astype(np.int64), (label == 1).astype(np.int64)


def _target(frame: pd.DataFrame) -> pd.Series[Any] | None:
    if "is_fraud" not in frame:
        return None
    label = frame["is_fraud"].astype(np.float64)
    return label if label.isna().any() else label.astype(np.int8)


def _positions(rows: Any, n_rows: int) -> Integers:
    """Return the wanted row positions, checked."""
    if rows is None:
        return np.arange(n_rows)
    at = np.asarray(rows)
    if at.dtype == bool:
        if at.shape != (n_rows,):
            raise UsageError(f"rows: a mask of shape {at.shape}; the frame has {n_rows} rows")
        return np.flatnonzero(at)
    if at.ndim != 1 or (at.size and at.dtype.kind not in "iu"):
        raise UsageError(f"rows: must be positions or a mask, got {rows!r}")
    at = at.astype(np.int64)
    if at.size and (at[0] < 0 or at[-1] >= n_rows or (np.diff(at) <= 0).any()):
        raise UsageError(f"rows: must be ascending positions from 0 to {n_rows - 1}")
    return at
