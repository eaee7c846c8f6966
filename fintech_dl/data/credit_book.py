"""A seeded book of consumer loans: applications, prices, and who defaulted within a year."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import UsageError

Floats = NDArray[np.float64]

AGES = ["18-25", "26-35", "36-50", "51-65", "over 65"]
HOMES = ["rent", "mortgage", "own", "other"]
PURPOSES = ["car", "consolidation", "renovation", "medical", "business", "other"]
REGIONS = ["north", "east", "south", "west", "centre", "coast", "capital", "islands"]
TERMS = np.array([12, 24, 36, 48, 60])
NO_FILE = -9  # in `delinquencies`: the credit bureau knows nothing of the person

AGE_EFFECT = np.array([0.30, 0.10, 0.0, -0.05, 0.05])
HOME_EFFECT = np.array([0.15, -0.25, -0.35, 0.25])
PURPOSE_EFFECT = np.array([-0.30, 0.10, -0.10, 0.20, 0.35, 0.0])
REGION_EFFECT = np.array([-0.15, 0.10, 0.15, -0.05, 0.0, 0.05, -0.15, 0.15])


def credit_book(
    *,
    rows: int = 20_000,
    months: int = 24,
    start: str | date = "2021-01-01",
    seed: int = 0,
    shock: float = 0.35,
    drift: float = 1.0,
    reveal_pd: bool = False,
) -> pd.DataFrame:
    """Loan applications of several vintages, with default within 12 months of each.

    The probability of default falls with income and years in employment; it rises with the use of
    credit lines, past delinquencies, enquiries and term, faster where two of them meet: drawn lines
    and enquiries, debt service and rent, a business and a long term. So a straight line cannot
    follow it, while the lender's own price, ``interest_rate``, knows a part of it.

    As in real books, income is missing more often where it is low; whoever has no file at the
    credit bureau has the special code -9; applicants change (younger, more often without a file,
    higher amounts); and in the last quarter of the months a shock raises defaults, of renters most.

    Parameters
    ----------
    rows : int
        Applications, 2 or more.
    months : int
        Length of the book, 1 or more.
    start : str or date
        First day.
    seed : int
        The same seed gives the same frame.
    shock : float
        Added to the log-odds of default in the last quarter of the months; renters get twice that.
    drift : float
        How far applicants change from the first month to the last; 0: not at all.
    reveal_pd : bool
        Add ``pd``, the probability with which each default was drawn: the best score there can be.

    Returns
    -------
    DataFrame
        In order of ``applied_on``: ``application_id``, ``applied_on`` (whole days), ``income`` (EUR
        per year, missing where not stated), ``employment_years`` (missing where not stated),
        ``amount`` (EUR), ``term_months``, ``interest_rate`` (% per year), ``utilisation`` (share of
        credit lines drawn, missing without a file), ``delinquencies`` (of two years, -9: no file),
        ``enquiries`` (of six months), ``home``, ``purpose``, ``region``, ``age_group``, ``sex``,
        ``ead`` (EUR owed when the loan defaults, half a year in), ``loss`` (EUR lost then) and
        ``defaulted`` (0 or 1).

    Raises
    ------
    UsageError
        A parameter out of range.

    Examples
    --------
    >>> from fintech_dl.data.credit_book import credit_book
    >>> book = credit_book(rows=5000, seed=1)
    >>> bool(0.04 < book["defaulted"].mean() < 0.15)
    True
    """
    if rows < 2 or months < 1:
        raise UsageError(
            f"credit_book: rows={rows}, months={months}; allowed: 2 rows or more, 1 month or more"
        )
    rng = np.random.default_rng(seed)
    first = pd.Timestamp(start).normalize()
    n_days = (first + pd.DateOffset(months=months) - first).days
    day = np.sort(rng.integers(0, n_days, rows))
    day[[0, -1]] = 0, n_days - 1  # the book covers its months whole, however few the rows
    past = day / n_days
    book = _applicants(rng, past * drift)
    logit = _log_odds(book)
    late = past >= 0.75
    logit += late * shock * np.where(book["home"] == HOMES.index("rent"), 2.0, 1.0)
    pd_true = 1 / (1 + np.exp(-logit))
    defaulted = rng.random(rows) < pd_true

    rate = _price(book) + rng.normal(0, 1.2, rows)
    ead = book["amount"] * (1 - 6 / book["term"])
    loss_rate = np.where(np.isin(book["home"], [1, 2]), 0.35, 0.55)
    income = np.round(book["income"], -2)
    income[rng.random(rows) < 1 / (1 + np.exp(2.6 + 1.5 * np.log(book["income"] / 30_000)))] = (
        np.nan
    )
    years = np.floor(book["employment_years"])
    years[rng.random(rows) < 0.03 + 0.12 * (years < 1)] = np.nan
    frame = {
        "application_id": np.arange(rows, dtype=np.int32),
        "applied_on": np.datetime64(first, "us") + day.astype("timedelta64[D]"),
        "income": income,
        "employment_years": years,
        "amount": book["amount"],
        "term_months": book["term"],
        "interest_rate": np.clip(np.round(rate * 4) / 4, 2.5, 24.0),
        "utilisation": np.where(book["no_file"], np.nan, np.round(book["utilisation"], 3)),
        "delinquencies": np.where(book["no_file"], NO_FILE, book["delinquencies"]),
        "enquiries": book["enquiries"],
        "home": np.array(HOMES)[book["home"]],
        "purpose": np.array(PURPOSES)[book["purpose"]],
        "region": np.array(REGIONS)[book["region"]],
        "age_group": np.array(AGES)[book["age"]],
        "sex": np.where(book["woman"], "female", "male"),
        "ead": np.round(ead, 2),
        "loss": np.round(ead * loss_rate, 2),
        "defaulted": defaulted.astype(np.int8),
    }
    return pd.DataFrame({**frame, "pd": pd_true} if reveal_pd else frame)


def _applicants(rng: np.random.Generator, past: Floats) -> dict[str, Any]:
    """Draw who applies for what; ``past`` runs from 0, the first day, to 1."""
    n = len(past)
    age = _drawn(rng, [0.10, 0.28, 0.36, 0.20, 0.06], [0.24, 0.34, 0.26, 0.12, 0.04], past)
    woman = rng.random(n) < 0.47
    own = np.array([0.04, 0.14, 0.26, 0.42, 0.60])[age]
    mortgage = np.array([0.04, 0.26, 0.42, 0.26, 0.06])[age]
    u = rng.random(n)
    home = np.select([u < own, u < own + mortgage, u < 0.94], [2, 1, 0], 3)
    career = np.array([1.5, 5.0, 10.0, 14.0, 12.0])[age]
    years = np.minimum(rng.gamma(0.9, career), 40)
    centre = 10.1 + np.array([-0.25, 0.0, 0.15, 0.12, -0.2])[age] - 0.12 * woman
    income = np.exp(centre + 0.12 * np.log1p(years) + 0.40 * rng.normal(size=n))
    strain = rng.normal(size=n) - 0.4 * (np.log(income) - 10.3)
    no_file = rng.random(n) < np.array([0.28, 0.10, 0.05, 0.04, 0.05])[age] * (1 + past)
    purposes = [0.24, 0.30, 0.18, 0.08, 0.08, 0.12], [0.18, 0.32, 0.12, 0.10, 0.14, 0.14]
    purpose = _drawn(rng, *purposes, past)
    share = np.exp(-1.1 + 0.25 * (purpose == 4) + 0.18 * past + 0.55 * rng.normal(size=n))
    amount = np.round(np.clip(income * share, 1_000, 50_000), -2)
    term = TERMS[np.clip(rng.binomial(4, 0.55, n) + (amount > 15_000) - (amount < 4_000), 0, 4)]
    return {
        "age": age,
        "woman": woman,
        "home": home,
        "employment_years": years,
        "income": income,
        "no_file": no_file,
        "utilisation": 1.05 / (1 + np.exp(0.5 - 1.1 * strain - 0.6 * rng.normal(size=n))),
        "delinquencies": np.minimum(rng.poisson(0.22 * np.exp(0.7 * strain)), 12),
        "enquiries": np.minimum(rng.poisson(0.9 * np.exp(0.35 * strain)), 15),
        "purpose": purpose,
        "region": rng.integers(0, len(REGIONS), n),
        "amount": amount,
        "term": term,
    }


def _drawn(
    rng: np.random.Generator, before: list[float], after: list[float], past: Floats
) -> NDArray[np.intp]:
    """Draw a category per row, with chances that move from ``before`` to ``after``."""
    chances = np.outer(1 - past, before) + np.outer(past, after)
    above = rng.random((len(past), 1)) > chances.cumsum(axis=1)[:, :-1]
    return np.asarray(above.sum(axis=1))


def _price(book: dict[str, Any]) -> Floats:
    """Return the lender's price, which follows a few straight lines."""
    risk = np.where(book["no_file"], 0.6, book["utilisation"] + np.log1p(book["delinquencies"]))
    return np.asarray(
        6.0
        + 1.5 * risk
        - 1.2 * np.log(book["income"] / 30_000)
        + 0.03 * (book["term"] - 36)
        + 0.8 * (book["home"] == 0)
    )


def _log_odds(book: dict[str, Any]) -> Floats:
    """Return the log-odds of default within a year, before any shock."""
    known = ~book["no_file"]
    debt_service = 12 * book["amount"] / book["term"] / book["income"]
    drawn = np.where(known, book["utilisation"], 0.0)
    bad_months = np.where(known, np.log1p(book["delinquencies"]), 0.0)
    enquiries, years = book["enquiries"], book["employment_years"]
    fresh = np.exp(-years / 2)
    return np.asarray(
        -4.4
        - 0.6 * np.tanh(1.5 * np.log(book["income"] / 30_000))
        + 0.5 * fresh
        + np.where(known, 0.0, 0.2 + 1.8 * fresh)
        + 0.9 * drawn**3
        + 0.5 * bad_months
        + 2.2 / (1 + np.exp(-25 * (drawn - 0.70))) * np.minimum(enquiries, 4) / 2
        + 4.5 * np.clip(debt_service - 0.22, 0, 0.4) * np.where(book["home"] == 0, 1.8, 0.6)
        + 0.010 * (book["term"] - 36)
        + 1.5 * (book["purpose"] == 4) * (book["term"] >= 48)
        + AGE_EFFECT[book["age"]]
        + HOME_EFFECT[book["home"]]
        + PURPOSE_EFFECT[book["purpose"]]
        + REGION_EFFECT[book["region"]]
    )
