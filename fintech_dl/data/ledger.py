"""A seeded ledger: the journal lines of a firm, a few of them wrong or worse, and how."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from fintech_dl.errors import UsageError

KINDS = ("wrong_amount", "duplicate", "odd_accounts", "odd_hour", "split", "new_counterparty")
EXPENSES = [str(6000 + 100 * i) for i in range(12)]
ASSETS = ["0400", "0650"]  # machines, office equipment
CONTRAS = ["1600", "1800", "3300"]  # card clearing, bank, payables
INNER = ["0860", "1460", "2900", "3740"]  # among each other: transfers, accruals, corrections
CENTRES = [f"C{i:02d}" for i in range(1, 11)]
MINUTES_A_DAY = 1_440
FIRST_PLANTED = 0.1  # of the time: before, everybody would be new


def ledger(
    *,
    days: int = 180,
    counterparties: int = 150,
    users: int = 12,
    lines_per_day: float = 150.0,
    rate: float = 0.01,
    limit: float = 10_000.0,
    start: str | date = "2024-01-01",
    seed: int = 0,
) -> pd.DataFrame:
    """Make the journal lines of a firm, with six kinds of planted anomalies.

    For detectors of unusual postings. A counterparty has its own pair of accounts, cost centre,
    text code, users and amounts (log-normal; a fifth of them have one fixed amount a month). Lines
    are posted on business days from 7 to 19 h, more of them at the end of a month; 1 % in the
    evening, a few on Saturdays; 3 % to another cost centre or by another user; a tenth of the
    counterparties is new in the period.

    Planted, in equal numbers of cases, after the first tenth of the time:

    1. ``wrong_amount``: the counterparty's usual line at 10, 100, a tenth or a hundredth.
    2. ``duplicate``: a line posted again, one to six days later.
    3. ``odd_accounts``: two accounts that are in use, but not with each other.
    4. ``odd_hour``: at night or on a Sunday, by somebody who has hardly posted anything.
    5. ``split``: two to four lines within the hour, each a round amount just below ``limit``.
    6. ``new_counterparty``: a large round amount to somebody unknown, under a cost centre and text
       of another counterparty.

    Parameters
    ----------
    days : int
        Calendar days, 30 or more.
    counterparties, users : int
        5 or more, 4 or more.
    lines_per_day : float
        Mean number of lines per business day, 1 or more.
    rate : float
        Cases over lines, from 0 to 0.2; a split is one case and several lines.
    limit : float
        From this amount on, a second person must approve.
    start : str or date
        First day.
    seed : int
        The same seed gives the same frame.

    Returns
    -------
    DataFrame
        In time order: ``line_id`` (0, 1, ...), ``time`` (of posting, whole minutes), ``account``
        and ``contra_account`` (text), ``counterparty_id``, ``user_id``, ``amount`` (whole cents,
        above 0), ``text_code``, ``cost_centre``, ``is_planted`` (0 or 1) and ``kind`` (``"none"``
        or one of the six).

    Raises
    ------
    UsageError
        A parameter out of range.

    Examples
    --------
    >>> from fintech_dl.data.ledger import ledger
    >>> frame = ledger(days=60, rate=0.02, seed=1)
    >>> sorted(frame.loc[frame["is_planted"] == 1, "kind"].unique())[:3]
    ['duplicate', 'new_counterparty', 'odd_accounts']
    """
    if days < 30 or counterparties < 5 or users < 4 or lines_per_day < 1 or not 0 <= rate <= 0.2:
        raise UsageError(
            f"ledger: days={days}, counterparties={counterparties}, users={users}, "
            f"lines_per_day={lines_per_day}, rate={rate}; allowed: 30 days or more, 5 "
            "counterparties or more, 4 users or more, 1 line per day or more, a rate from 0 to 0.2"
        )
    if not 1 <= limit < np.inf:
        raise UsageError(f"ledger: limit={limit}; allowed: 1 or more")
    rng = np.random.default_rng(seed)
    usual = _usual(rng, counterparties, users, days)
    weekday = pd.Timestamp(start).day_of_week
    lines = _lines(rng, usual, days, lines_per_day, weekday, users)
    lines = _planted(rng, lines, usual, rate, limit, users, days, weekday)
    lines = lines.sort_values("minute", kind="stable", ignore_index=True)
    first = np.datetime64(pd.Timestamp(start).normalize(), "us")
    time = first + lines["minute"].to_numpy().astype("timedelta64[m]")
    lines.insert(0, "time", time)
    lines.insert(0, "line_id", np.arange(len(lines), dtype=np.int32))
    lines["amount"] = lines.pop("cents") / 100
    lines["is_planted"] = (lines["kind"] != "none").astype(np.int8)
    texts = ("account", "contra_account", "text_code", "cost_centre", "kind")
    lines = lines.astype(dict.fromkeys(texts, "str"))
    names = ("line_id", "time", "account", "contra_account", "counterparty_id", "user_id", "amount")
    return lines[[*names, "text_code", "cost_centre", "is_planted", "kind"]]


def _usual(rng: np.random.Generator, n: int, users: int, days: int) -> pd.DataFrame:
    """Return how each counterparty is usually posted."""
    inner = np.arange(n) % 12 == 5
    account = np.where(inner, rng.choice(INNER[:2], n), rng.choice([*EXPENSES, *ASSETS], n))
    contra = rng.choice(CONTRAS, n, p=[0.15, 0.25, 0.6])
    return pd.DataFrame(
        {
            "account": account,
            "contra_account": np.where(inner, rng.choice(INNER[2:], n), contra),
            "text_code": np.char.add("T", np.char.add(account, rng.choice(["a", "b"], n))),
            "cost_centre": rng.choice(CENTRES, n),
            "user_id": rng.integers(0, users, n),
            "deputy": rng.integers(0, users, n),
            "log_cents": rng.uniform(np.log(50_00), np.log(5_000_00), n),
            "spread": rng.uniform(0.1, 0.4, n),
            "often": rng.lognormal(0.0, 1.0, n),
            "monthly": np.arange(n) % 5 == 4,
            "since": np.where(np.arange(n) % 10 == 7, rng.uniform(0, 0.9 * days, n), 0.0),
        }
    )


def _lines(
    rng: np.random.Generator,
    usual: pd.DataFrame,
    days: int,
    lines_per_day: float,
    weekday: int,
    users: int,
) -> pd.DataFrame:
    """Return the lines of which nobody has to be told."""
    day = np.arange(days)
    business = (day + weekday) % 7 < 5
    busy = np.where(day % 30 >= 28, 1.6, 1.0) * business
    share = (usual["often"] * ~usual["monthly"]).to_numpy()
    who, when = [], []
    for on, number in enumerate(rng.poisson(lines_per_day * busy)):
        known = share * (usual["since"].to_numpy() <= on)
        who.append(rng.choice(len(usual), number, p=known / known.sum()))
        when.append(np.full(number, on))
    for at in np.flatnonzero(usual["monthly"]):
        due = np.arange(rng.integers(0, 30), days, 30)
        due = due[due >= usual["since"][at]]
        due = np.minimum(due + np.where(business[due], 0, 2), days - 1)
        who.append(np.full(len(due), at))
        when.append(due)
    one, today = np.concatenate(who), np.concatenate(when)
    n, own = len(one), usual.iloc[one]
    minute = rng.normal(np.where(rng.random(n) < 0.55, 630, 900), 90, n).clip(420, 1_139)
    minute = np.where(rng.random(n) < 0.01, rng.uniform(1_140, 1_320, n), minute)
    friday = (today + weekday) % 7 == 4
    saturday = friday & (rng.random(n) < 0.03) & (today + 1 < days)
    user = np.where(rng.random(n) < 0.2, own["deputy"], own["user_id"])
    user = np.where(rng.random(n) < 0.03, rng.integers(0, users, n), user)
    centre = np.where(rng.random(n) < 0.03, rng.choice(CENTRES, n), own["cost_centre"])
    spread = np.where(own["monthly"], 0.0, own["spread"] * rng.normal(size=n))
    cents = np.exp(own["log_cents"].to_numpy() + spread)
    whole = (rng.random(n) < 0.1) & ~own["monthly"].to_numpy()
    cents = np.where(whole, np.rint(cents / 100_00) * 100_00, np.rint(cents))
    return pd.DataFrame(
        {
            "minute": (today + saturday) * MINUTES_A_DAY + minute.astype(np.int64),
            "account": own["account"].to_numpy(),
            "contra_account": own["contra_account"].to_numpy(),
            "counterparty_id": one.astype(np.int32),
            "user_id": user.astype(np.int32),
            "cents": np.maximum(cents, 1.0),
            "text_code": own["text_code"].to_numpy(),
            "cost_centre": centre,
            "kind": "none",
        }
    )


def _planted(
    rng: np.random.Generator,
    lines: pd.DataFrame,
    usual: pd.DataFrame,
    rate: float,
    limit: float,
    users: int,
    days: int,
    weekday: int,
) -> pd.DataFrame:
    """Return the lines with cases of each kind among them."""
    late = np.flatnonzero(lines["minute"] >= FIRST_PLANTED * days * MINUTES_A_DAY)
    each = min(round(rate * len(lines) / len(KINDS)), len(late) // len(KINDS))
    chosen = rng.permutation(late)[: each * len(KINDS)].reshape(len(KINDS), each)
    at = dict(zip(KINDS, chosen, strict=True))
    again = lines.iloc[at["duplicate"]].assign(kind="duplicate")  # as they are, before all changes
    shift = rng.integers(1, 7, each) * MINUTES_A_DAY + rng.integers(-60, 61, each)
    again["minute"] += shift
    again = again[again["minute"] < days * MINUTES_A_DAY]
    lines = lines.copy()
    for kind in ("wrong_amount", "odd_accounts", "odd_hour", "split", "new_counterparty"):
        lines.loc[at[kind], "kind"] = kind

    slip = rng.choice([0.01, 0.1, 10.0, 100.0], each)
    lines.loc[at["wrong_amount"], "cents"] = np.maximum(
        np.rint(lines.loc[at["wrong_amount"], "cents"] * slip), 1
    )
    inner = lines.loc[at["odd_accounts"], "account"].isin(INNER).to_numpy()
    contra = np.where(inner, rng.choice(CONTRAS, each), rng.choice(INNER[2:], each))
    lines.loc[at["odd_accounts"], "contra_account"] = contra

    odd = at["odd_hour"]
    today = lines.loc[odd, "minute"] // MINUTES_A_DAY
    sunday = (6 - (today + weekday) % 7) * (rng.random(each) < 0.3)
    today = np.minimum(today + sunday, days - 1)
    lines.loc[odd, "minute"] = today * MINUTES_A_DAY + rng.integers(0, 270, each)
    lines.loc[odd, "user_id"] = users + np.arange(each, dtype=np.int32) // 2

    new = at["new_counterparty"]
    other = usual.iloc[rng.integers(0, len(usual), each)]
    lines.loc[new, "counterparty_id"] = len(usual) + np.arange(each, dtype=np.int32)
    lines.loc[new, "cents"] = np.rint(rng.uniform(0.3, 0.85, each) * limit / 100) * 100_00
    for name in ("text_code", "cost_centre"):
        lines.loc[new, name] = other[name].to_numpy()

    parts = np.repeat(at["split"], rng.integers(2, 5, each))
    pieces = lines.loc[parts]
    pieces["minute"] += rng.integers(1, 60, len(parts))
    near = rng.uniform(0.93, 1.0, len(parts)) * limit
    pieces["cents"] = np.floor((near - 1) / 50) * 50_00
    return pd.concat([lines.drop(at["split"]), pieces, again], ignore_index=True)
