"""Measures of scores and probabilities against what happened: the definitions.

Plain functions of arrays, weights respected. ``y`` holds 1 for a positive (a fraud, a default) and
0 for a negative; a higher score means a more likely positive. ``fintech_dl.evaluation.outcomes``
computes the same numbers fast for many resamples.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as sklearn_metrics

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.alerts import day_of, probabilities

Floats = NDArray[np.float64]
TINY = float(np.finfo(np.float64).eps)


class Separation(NamedTuple):
    """The largest distance between two cumulative shares, and the score at which it occurs."""

    value: float
    score: float


def average_precision(y: ArrayLike, score: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """Return precision averaged over recall; guessing gives the share of positives.

    The measure of choice for rare events. Tied scores count as one threshold.

    Examples
    --------
    >>> from fintech_dl.evaluation.metrics import average_precision
    >>> round(average_precision([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8]), 4)
    0.8333
    """
    _both_classes(y, weight)
    return float(sklearn_metrics.average_precision_score(y, score, sample_weight=weight))


def roc_auc(y: ArrayLike, score: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """Return the chance that a positive scores above a negative; a tie counts one half.

    Examples
    --------
    >>> from fintech_dl.evaluation.metrics import roc_auc
    >>> roc_auc([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8])
    0.75
    """
    _both_classes(y, weight)
    return float(sklearn_metrics.roc_auc_score(y, score, sample_weight=weight))


def gini(y: ArrayLike, score: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """Return the Gini coefficient, 2 AUC - 1: 0 is guessing, 1 perfect, below 0 upside down.

    Equal to the accuracy ratio of the CAP curve (``curves.accuracy_ratio``), ties included.

    Examples
    --------
    >>> from fintech_dl.evaluation.metrics import gini
    >>> gini([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8])
    0.5
    """
    return 2 * roc_auc(y, score, weight=weight) - 1


def ks(y: ArrayLike, score: ArrayLike, *, weight: ArrayLike | None = None) -> Separation:
    """Return the Kolmogorov-Smirnov distance between the scores of positives and of negatives.

    The most by which the share of positives at or above a score exceeds that of negatives. Only
    this direction counts, so that scores which are upside down get 0 and not a high value.

    Parameters
    ----------
    y, score : array of shape (n_rows,)
    weight : array of shape (n_rows,), optional

    Returns
    -------
    Separation
        ``value`` from 0 to 1, and ``score``: the rows at or above it are parted best from those
        below (the highest such score; infinity where the distance is 0).

    Raises
    ------
    DataError
        One class only.

    Examples
    --------
    >>> from fintech_dl.evaluation.metrics import ks
    >>> ks([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.8])
    Separation(value=0.5, score=0.8)
    """
    _both_classes(y, weight)
    false, true, thresholds = sklearn_metrics.roc_curve(
        y, score, sample_weight=weight, drop_intermediate=False
    )
    at = int(np.argmax(true - false))
    return Separation(float(true[at] - false[at]), float(thresholds[at]))


def recall_at_fpr(
    y: ArrayLike, score: ArrayLike, fpr: float, *, weight: ArrayLike | None = None
) -> float:
    """Return the share of positives caught while at most ``fpr`` of the negatives raise an alert.

    Parameters
    ----------
    y, score : array of shape (n_rows,)
    fpr : float
        Share of the negatives, 0 to 1. Thresholds are the scores themselves; nothing is
        interpolated between them.
    weight : array of shape (n_rows,), optional

    Examples
    --------
    >>> from fintech_dl.evaluation.metrics import recall_at_fpr
    >>> recall_at_fpr([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.8], 0.0)
    0.5
    """
    _both_classes(y, weight)
    false, true, _ = sklearn_metrics.roc_curve(
        y, score, sample_weight=weight, drop_intermediate=False
    )
    return float(true[false <= fpr * (1 + 1e-12)].max())


def precision_at_k(
    y: ArrayLike, score: ArrayLike, k: int, *, weight: ArrayLike | None = None
) -> float:
    """Return the share of positives among the ``k`` highest scores.

    With weights, ``k`` counts weight. Rows tied at the edge enter in equal parts, so the value is
    the expectation over all orders of the ties. Fewer rows than ``k`` still divide by ``k``.

    Examples
    --------
    >>> from fintech_dl.evaluation.metrics import precision_at_k
    >>> precision_at_k([0, 1, 1, 0], [0.9, 0.8, 0.5, 0.5], 3)
    0.5
    """
    truth = np.asarray(y, dtype=float)
    w = _weights(weight, len(truth))
    _, group = np.unique(-np.asarray(score, dtype=float), return_inverse=True)
    mass = np.bincount(group, weights=w)
    hits = np.bincount(group, weights=w * truth)
    above = np.concatenate([[0.0], np.cumsum(mass)[:-1]])
    share = np.divide(np.clip(k - above, 0, mass), mass, out=np.zeros_like(mass), where=mass > 0)
    return float((share * hits).sum() / k)


def card_precision_by_day(
    y: ArrayLike, score: ArrayLike, who: ArrayLike, when: ArrayLike, k: int
) -> pd.Series[Any]:
    """Return, for each day, the share of compromised cards among the ``k`` most suspicious.

    A card's score of a day is the highest of its transactions; it is compromised if any of them is
    a fraud. A compromised card among the ``k`` is blocked: it is left out of all later days. Cards
    with equal scores are taken in the order of their names. Days with fewer cards still divide by
    ``k``.

    Parameters
    ----------
    y, score, who, when : array of shape (n_rows,)
        ``who`` is the card, ``when`` the time of the transaction.
    k : int
        Cards that can be looked at in a day.

    Returns
    -------
    Series
        Indexed by day.

    Notes
    -----
    Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection (2022), s4.4.

    Examples
    --------
    >>> from fintech_dl.evaluation.metrics import card_precision_by_day
    >>> when = ["2024-01-01"] * 3 + ["2024-01-02"] * 2
    >>> card_precision_by_day([1, 0, 0, 1, 0], [0.9, 0.2, 0.3, 0.9, 0.1], list("abbab"), when, 1)
    2024-01-01    1.0
    2024-01-02    0.0
    dtype: float64
    """
    if k < 1:
        raise UsageError(f"card precision: got k = {k}, allowed: 1 or more")
    rows = pd.DataFrame(
        {
            "day": day_of(when),
            "who": np.asarray(who),
            "y": np.asarray(y, dtype=float),
            "score": np.asarray(score, dtype=float),
        }
    )
    cards = rows.groupby(["day", "who"], observed=True).max().reset_index()
    cards = cards.sort_values(["day", "score"], ascending=[True, False], kind="stable")
    blocked: set[Any] = set()
    values = {}
    for day, today in cards.groupby("day"):
        top = today[~today["who"].isin(blocked)].head(k)
        found = top.loc[top["y"] > 0, "who"]
        blocked |= set(found)
        values[day] = len(found) / k
    return pd.Series(values, dtype=float)


def card_precision_at_k(
    y: ArrayLike, score: ArrayLike, who: ArrayLike, when: ArrayLike, k: int
) -> float:
    """Return the mean over days of ``card_precision_by_day``."""
    return float(card_precision_by_day(y, score, who, when, k).mean())


def brier(y: ArrayLike, score: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """Return the mean squared distance between probability and what happened; 0 is perfect."""
    p = probabilities(score)
    return float(np.average((p - np.asarray(y)) ** 2, weights=_weights(weight, len(p))))


def log_loss(y: ArrayLike, score: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """Return the mean of -log(probability given to what happened); 0 is perfect.

    A probability of 0 or 1 counts as 2.2e-16 away from it.
    """
    p = probabilities(score)
    return float(np.average(row_log_loss(np.asarray(y), p), weights=_weights(weight, len(p))))


def ece(
    y: ArrayLike, score: ArrayLike, *, weight: ArrayLike | None = None, bins: int = 10
) -> float:
    """Return the expected calibration error: mean gap between predicted and observed frequency.

    Over bins of equal weight; see ``equal_mass_bins``. It is above 0 even for a perfect model
    (noise), so compare it between models on the same rows.

    Examples
    --------
    >>> from fintech_dl.evaluation.metrics import ece
    >>> round(ece([0, 1, 0, 1], [0.1, 0.3, 0.6, 0.8], bins=2), 6)
    0.25
    """
    p, truth = probabilities(score), np.asarray(y, dtype=float)
    w = _weights(weight, len(p))
    at = equal_mass_bins(p, bins, weight=w)
    return float(np.abs(np.bincount(at, weights=w * (p - truth))).sum() / w.sum())


def cost(
    y: ArrayLike,
    alerts: ArrayLike,
    amount: ArrayLike,
    false_alarm: float,
    *,
    weight: ArrayLike | None = None,
) -> float:
    """Return what decisions cost: a missed positive its amount, a false alarm a fixed sum.

    Parameters
    ----------
    y : array of shape (n_rows,)
    alerts : bool array of shape (n_rows,)
    amount : array of shape (n_rows,) or float
        Loss if the row is a positive and no alert is raised, in money.
    false_alarm : float
        Cost of an alert on a negative, in the same money.
    weight : array of shape (n_rows,), optional

    Examples
    --------
    >>> from fintech_dl.evaluation.metrics import cost
    >>> cost([1, 1, 0, 0], [True, False, True, False], [100, 30, 20, 10], 5)
    35.0
    """
    positive, alert = np.asarray(y) == 1, np.asarray(alerts, dtype=bool)
    loss = np.where(positive & ~alert, amount, 0.0) + np.where(~positive & alert, false_alarm, 0.0)
    return float((loss * _weights(weight, len(positive))).sum())


def savings(
    y: ArrayLike,
    alerts: ArrayLike,
    amount: ArrayLike,
    false_alarm: float,
    *,
    weight: ArrayLike | None = None,
) -> float:
    """Return the share of cost saved against the cheaper of alerting on nothing and on everything.

    1 is perfect, 0 no gain, below 0 a loss; parameters as in ``cost``.

    Notes
    -----
    Bahnsen et al., Example-dependent cost-sensitive decision trees (2015).
    """
    none, everything = np.zeros(np.shape(y), bool), np.ones(np.shape(y), bool)
    trivial = min(
        cost(y, which, amount, false_alarm, weight=weight) for which in (none, everything)
    )
    if trivial <= 0:
        raise DataError("savings: alerting on nothing, or on everything, costs nothing already")
    return 1 - cost(y, alerts, amount, false_alarm, weight=weight) / trivial


def equal_mass_bins(
    score: ArrayLike, bins: int = 10, *, weight: ArrayLike | None = None
) -> NDArray[np.intp]:
    """Return the bin of each row, 0 upwards: bins of equal weight by score, ties never parted.

    Ties may leave bins empty.
    """
    s = np.asarray(score, dtype=float)
    _, group = np.unique(s, return_inverse=True)
    mass = np.bincount(group, weights=_weights(weight, len(s)))
    middle = np.cumsum(mass) - mass / 2
    at = np.floor(bins * middle / max(mass.sum(), TINY)).astype(np.intp)
    return np.asarray(np.minimum(at, bins - 1)[group])


def effective_rows(weight: Floats) -> float:
    """Return Kish's effective number of weighted rows: so many of one weight are as sure.

    Parameters
    ----------
    weight : float64 array of shape (n_rows,)

    Returns
    -------
    float
        At most ``n_rows``; 0 where there is no weight.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.metrics import effective_rows
    >>> effective_rows(np.array([3.0, 3.0, 0.0])), effective_rows(np.array([3.0, 1.0]))
    (2.0, 1.6)
    """
    squares = (weight * weight).sum()
    return float(weight.sum() ** 2 / squares) if squares > 0 else 0.0


def row_log_loss(y: NDArray[Any], p: Floats) -> Floats:
    """Return -log(probability given to what happened) of each row."""
    happened = np.where(np.asarray(y) == 1, p, 1 - p)
    return np.asarray(-np.log(np.clip(happened, TINY, 1 - TINY)))


def _weights(weight: ArrayLike | None, n_rows: int) -> Floats:
    return np.ones(n_rows) if weight is None else np.asarray(weight, dtype=float)


def _both_classes(y: ArrayLike, weight: ArrayLike | None) -> None:
    truth = np.asarray(y)
    positives = _weights(weight, len(truth))[truth == 1].sum()
    negatives = _weights(weight, len(truth))[truth != 1].sum()
    if not (positives > 0 and negatives > 0):
        raise DataError(
            f"both classes are needed: {(truth == 1).sum()} positive and {(truth != 1).sum()} "
            f"negative rows, with weights {positives:.4g} and {negatives:.4g}"
        )
