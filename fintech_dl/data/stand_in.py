"""Seeded stand-ins for files that one may not pass on: the same columns, made-up values."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.cards import Column, DatasetCard, dataset_card
from fintech_dl.errors import UsageError

TELLING = 8  # so many columns carry the signal
WORDS = ["red", "green", "blue", "grey"]


def stand_in(
    *,
    dataset: str,
    rows: int = 2_000,
    start: str = "2018-01-01",
    months: int = 12,
    rate: float = 0.2,
    missing: float = 0.1,
    seed: int = 0,
) -> pd.DataFrame:
    """Rows that keep the contract of another dataset card, with a label that can be learned.

    For tests and for whoever does not have the real file: names, types, bounds and categories are
    those of the card, values and relations are not. Numbers are skewed towards their lower bound;
    the label follows the first eight columns that are no key and no time.

    Parameters
    ----------
    dataset : str
        Name of a dataset card. The first of its labels is made to be learned; of the two values
        that it allows, the last is the positive one.
    rows : int
        2 or more.
    start : str
        First day of a column of times; such times are the first days of months.
    months : int
        So many months are covered, 1 or more.
    rate : float
        Share of positive labels, above 0 and below 1.
    missing : float
        Share of empty cells where the card allows them.
    seed : int

    Returns
    -------
    DataFrame
        Columns under the names of the source, in time order.

    Raises
    ------
    UsageError
        A parameter out of range, or a card that this cannot imitate.

    Examples
    --------
    >>> from fintech_dl.data.stand_in import stand_in
    >>> stand_in(dataset="german_credit", rows=5)["housing"].isin(["own", "rent", "for free"]).all()
    np.True_
    """
    card = dataset_card(dataset)
    if rows < 2 or months < 1 or not 0 < rate < 1 or not 0 <= missing < 1:
        raise UsageError(
            f"stand_in: rows={rows}, months={months}, rate={rate}, missing={missing}; allowed: 2 "
            "rows or more, 1 month or more, a rate above 0 and below 1, missing from 0 to below 1"
        )
    label = _label(card)
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    signal, telling = np.zeros(rows), 0
    for name, rule in card.columns.items():
        source = rule.source or name
        if name == card.contract.key:
            made[source] = np.arange(1, rows + 1)
        elif rule.type == "datetime":
            moments = pd.date_range(start, periods=months, freq="MS").to_numpy()
            made[source] = moments[np.sort(rng.integers(0, months, rows))]
        elif name != label:
            values, position = _values(rng, rule, rows)
            if telling < TELLING and name not in card.contract.labels:
                signal += rng.choice([-1, 1]) * (position - position.mean()) / position.std()
                telling += 1
            empty = rng.random(rows) < missing
            made[source] = pd.Series(values).mask(empty) if rule.nullable else values
    noisy = signal + rng.logistic(size=rows)
    chosen = (noisy > np.quantile(noisy, 1 - rate)).astype(int)
    made[card.columns[label].source or label] = np.array(card.columns[label].allowed)[chosen]
    return pd.DataFrame(made)


def _label(card: DatasetCard) -> str:
    """Return the label, or say why the card cannot be imitated."""
    labels = card.contract.labels
    if not labels or len(card.columns[labels[0]].allowed) != 2:
        raise UsageError(
            f"stand_in: dataset {card.name!r} has the labels {labels}; expected one or more, the "
            "first with two allowed values"
        )
    if odd := [name for name in card.columns if "*" in name]:
        raise UsageError(f"stand_in: dataset {card.name!r} names columns by a pattern, {odd[0]!r}")
    return labels[0]


def _values(
    rng: np.random.Generator, rule: Column, rows: int
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Draw the cells of a column, and where each lies in the column's range."""
    if rule.type in ("category", "text", "boolean") or rule.allowed:
        choices = rule.allowed or ([False, True] if rule.type == "boolean" else WORDS)
        chances = 0.8 ** np.arange(len(choices))
        at = rng.choice(len(choices), rows, p=chances / chances.sum())
        return np.array(choices, dtype=object)[at], at.astype(float)
    low = rule.min if rule.min is not None else 0.0
    high = rule.max if rule.max is not None else max(10 * abs(low), 100.0)
    position = rng.beta(1.2, 5.0, rows)
    values = low + (high - low) * position
    return (np.round(values) if rule.type == "integer" else values), position
