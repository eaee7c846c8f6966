"""Seeded generators of data that need no download, in the shape of the real ones.

Payments are made here; the others have modules of their own.
"""

from datetime import date
from inspect import Parameter, signature
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.cards import nearest
from fintech_dl.data.credit_book import credit_book
from fintech_dl.data.ledger import ledger
from fintech_dl.data.markets import garch_panel, random_walk, stock_panel, volatility_index
from fintech_dl.data.planted import planted
from fintech_dl.data.series import planted_series
from fintech_dl.data.stand_in import stand_in
from fintech_dl.errors import CardError, UsageError

DAY = 86_400
TERMINAL_DAYS = 28  # how long a terminal stays compromised
CUSTOMER_DAYS = 14  # how long the details of a card are misused
LARGE = 22_000  # cents


def generate(use: str, parameters: dict[str, Any], where: str = "source") -> pd.DataFrame:
    """Call a generator by its name, parameters checked.

    There are ``card_transactions``, ``card_components``, ``credit_book``, ``ledger``, ``stand_in``,
    ``planted``, ``planted_series``, ``garch_panel``, ``volatility_index``, ``stock_panel`` and
    ``random_walk``.

    Raises
    ------
    CardError
        An unknown generator or parameter, or one that is missing.

    Examples
    --------
    >>> from fintech_dl.data.synthetic import generate
    >>> len(generate("card_transactions", {"n_customers": 5, "n_terminals": 9, "days": 2})) > 0
    True
    """
    generators = (card_transactions, card_components, credit_book, ledger, stand_in)
    plants = (planted, planted_series)
    markets = (garch_panel, volatility_index, stock_panel, random_walk)
    known = generators + plants + markets
    found: dict[str, Any] = {function.__name__: function for function in known}
    if use not in found:
        raise CardError(f"{where}: unknown generator {use!r}; {nearest(use, list(found))}")
    allowed = signature(found[use]).parameters
    for name in parameters:
        if name not in allowed:
            hint = nearest(name, list(allowed))
            raise CardError(f"{where}: {use} has no parameter {name!r}; {hint}")
    for name, parameter in allowed.items():
        if parameter.default is Parameter.empty and name not in parameters:
            raise CardError(f"{where}: {use} needs the parameter {name!r}")
    frame: pd.DataFrame = found[use](**parameters)
    return frame


def card_transactions(
    *,
    n_customers: int,
    n_terminals: int,
    days: int,
    start: str | date = "2018-06-10",
    seed: int = 0,
    radius: float = 5.0,
    terminals_per_day: float = 1.0,
    customers_per_day: float = 1.0,
) -> pd.DataFrame:
    """Payments by card at terminals, a part of them fraud in three scenarios.

    Customers and terminals lie on a square of side 100. A customer has an own mean amount (5 to
    100, standard deviation half of it) and an own number of payments per day (0 to 4; every 100th
    customer pays about once a month), made around midday at any terminal within ``radius``.

    1. Every amount above 220 is fraud (``fraud_scenario`` 1): the simplest rule finds it.
    2. Every day ``terminals_per_day`` terminals are compromised; all their payments of 28 days are
       fraud (2): only the terminal's own past shows it.
    3. Every day the details of ``customers_per_day`` customers are stolen; a third of their
       payments of 14 days is fraud with five times the amount (3): the customer's past shows it.

    Compromises began before ``start``, so that the rate of fraud is steady from the first day.

    Parameters
    ----------
    n_customers, n_terminals : int
        1 or more.
    days : int
        Length of the simulation, 1 or more.
    start : str or date
        First day.
    seed : int
        The same seed gives the same frame.
    radius : float
        Reach of a customer; the nearest terminal is always within reach.
    terminals_per_day, customers_per_day : float
        Mean number of new compromises per day, 0 or more.

    Returns
    -------
    DataFrame
        ``transaction_id`` (0, 1, ... in time order), ``time`` (naive, whole seconds),
        ``customer_id``, ``terminal_id``, ``amount`` (whole cents, above 0), ``is_fraud`` (0 or 1)
        and ``fraud_scenario`` (0 to 3).

    Raises
    ------
    UsageError
        A parameter out of range, or too few customers and days for a single payment.

    Notes
    -----
    Written from the description of the simulator in Le Borgne, Siblini, Lebichot and Bontempi,
    Reproducible Machine Learning for Credit Card Fraud Detection: Practical Handbook (2022), ch. 3.
    Differences: the steady rate of fraud, the rare customers, no amount of 0. What it lacks of the
    real world: lost cards reported late, fraudsters who adapt, seasons, fees, refunds.

    Examples
    --------
    >>> from fintech_dl.data.synthetic import card_transactions
    >>> frame = card_transactions(n_customers=50, n_terminals=100, days=30, seed=7)
    >>> sorted(frame["fraud_scenario"].unique().tolist())
    [0, 1, 2, 3]
    """
    for name, value in (("n_customers", n_customers), ("n_terminals", n_terminals), ("days", days)):
        if value < 1:
            raise UsageError(f"card_transactions: {name} must be 1 or more, got {value}")
    if min(radius, terminals_per_day, customers_per_day) < 0:
        raise UsageError("card_transactions: radius and compromises per day must be 0 or more")
    rng = np.random.default_rng(seed)
    reach, first, count = _terminals_in_reach(rng, n_customers, n_terminals, radius)
    mean_amount = rng.uniform(5, 100, n_customers)
    per_day = rng.uniform(0, 4, n_customers)
    per_day[99::100] = 0.03

    payments = rng.poisson(per_day[:, None], (n_customers, days))
    customer, day = (np.repeat(at.ravel(), payments.ravel()) for at in np.indices(payments.shape))
    second = rng.normal(DAY / 2, 20_000, len(day))
    awake = (second > 0) & (second < DAY)
    customer, day, second = customer[awake], day[awake], second[awake].astype(np.int64)
    order = np.lexsort((customer, second, day))
    customer, day, second = customer[order], day[order], second[order]
    n = len(day)
    if not n:
        raise UsageError("card_transactions: no payment; take more customers or more days")

    terminal = reach[first[customer] + (rng.random(n) * count[customer]).astype(np.int64)]
    mean = mean_amount[customer]
    amount = rng.normal(mean, mean / 2)
    amount = np.where(amount < 0, rng.uniform(0, 2 * mean), amount)
    cents = np.maximum(np.rint(amount * 100), 1)

    bad_terminal = _compromised(rng, n_terminals, days, terminals_per_day, TERMINAL_DAYS)
    bad_customer = _compromised(rng, n_customers, days, customers_per_day, CUSTOMER_DAYS)
    misused = bad_customer[customer, day] & (rng.random(n) < 1 / 3)
    scenario = np.where(cents > LARGE, 1, 0)
    scenario[bad_terminal[terminal, day]] = 2
    scenario[misused] = 3
    cents[misused] *= 5
    return pd.DataFrame(
        {
            "transaction_id": np.arange(n, dtype=np.int32),
            "time": np.datetime64(pd.Timestamp(start).normalize(), "us")
            + (day * DAY + second).astype("timedelta64[s]"),
            "customer_id": customer.astype(np.int32),
            "terminal_id": terminal.astype(np.int32),
            "amount": cents / 100,
            "is_fraud": (scenario > 0).astype(np.int8),
            "fraud_scenario": scenario.astype(np.int8),
        }
    )


def card_components(
    *, n_rows: int, days: int = 2, fraud_rate: float = 0.002, n_components: int = 28, seed: int = 0
) -> pd.DataFrame:
    """Payments described by anonymous components, in the shape of the ULB data.

    Components are independent, each with a smaller spread than the one before; a fraud lies off
    the centre in every third of them, by an own share of a common shift. Amounts are log-normal.

    Parameters
    ----------
    n_rows : int
    days : int
        Days over which the payments are spread evenly.
    fraud_rate : float
        Share of frauds, above 0 and below 1.
    n_components : int
        Columns ``V1``, ``V2``, ...
    seed : int

    Returns
    -------
    DataFrame
        ``Time`` (seconds), ``V1`` to ``V28``, ``Amount``, ``Class`` (1: fraud), ``piece`` and
        ``weight`` (1), in time order.

    Raises
    ------
    UsageError
        A parameter out of range.

    Examples
    --------
    >>> from fintech_dl.data.synthetic import card_components
    >>> card_components(n_rows=1000, fraud_rate=0.1)["Class"].mean().round(1)
    np.float64(0.1)
    """
    if n_rows < 1 or days < 1 or n_components < 1 or not 0 < fraud_rate < 1:
        raise UsageError(
            f"card_components: n_rows={n_rows}, days={days}, n_components={n_components}, "
            f"fraud_rate={fraud_rate}; allowed: 1 or more, and a rate above 0 and below 1"
        )
    rng = np.random.default_rng(seed)
    fraud = rng.random(n_rows) < fraud_rate
    scale = np.linspace(2.0, 0.3, n_components)
    values = rng.normal(size=(n_rows, n_components)) * scale
    shift = np.where(np.arange(n_components) % 3 == 0, -2.0 * scale, 0.0)
    values += np.outer(fraud * rng.uniform(0, 2, n_rows), shift)
    return pd.DataFrame(
        {
            "Time": np.sort(rng.integers(0, days * DAY, n_rows)),
            **{f"V{i + 1}": values[:, i] for i in range(n_components)},
            "Amount": rng.lognormal(3.0, 1.5, n_rows).round(2),
            "Class": fraud.astype(np.int8),
            "piece": "uniform",
            "weight": 1.0,
        }
    )


def _terminals_in_reach(
    rng: np.random.Generator, n_customers: int, n_terminals: int, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the reachable terminals of all customers in one array, and where each one's lie."""
    from scipy.spatial import cKDTree

    home, shop = rng.uniform(0, 100, (n_customers, 2)), rng.uniform(0, 100, (n_terminals, 2))
    tree = cKDTree(shop)
    near = tree.query_ball_point(home, radius, return_sorted=True)
    nearest_one = tree.query(home)[1]
    lists = [at or [one] for at, one in zip(near, nearest_one, strict=True)]
    count = np.array([len(at) for at in lists])
    return np.concatenate(lists).astype(np.int64), np.cumsum(count) - count, count


def _compromised(
    rng: np.random.Generator, n: int, days: int, per_day: float, lasting: int
) -> NDArray[np.bool_]:
    """Return who (rows) is compromised on which day (columns)."""
    starts = np.repeat(np.arange(-lasting + 1, days), rng.poisson(per_day, days + lasting - 1))
    who = rng.integers(0, n, len(starts))
    changes = np.zeros((n, days + 1), dtype=np.int64)
    np.add.at(changes, (who, np.maximum(starts, 0)), 1)
    np.add.at(changes, (who, np.minimum(starts + lasting, days)), -1)
    compromised: NDArray[np.bool_] = changes.cumsum(axis=1)[:, :-1] > 0
    return compromised
