"""Curves of the report: precision-recall, ROC and calibration, each with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import beta

from fintech_dl.evaluation.metrics import Floats, equal_mass_bins, probabilities
from fintech_dl.evaluation.outcomes import Metric, Outcome, as_folds, halves, ranking_sums
from fintech_dl.evaluation.resampling import limits, resample

RECALLS = np.linspace(0, 1, 101)
FALSE_POSITIVE_RATES = np.linspace(0, 1, 101) ** 2


def precision_recall_curve(
    outcomes: Outcome | Sequence[Outcome], n: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Return precision at 101 levels of recall with a 95 % bootstrap band.

    Precision is that of the first threshold (a score of the rows) whose recall reaches the level;
    nothing is interpolated. Folds are averaged level by level.

    Parameters
    ----------
    outcomes : Outcome or list of Outcome
        One per fold.
    n, seed : int
        Resamples, see ``significance.bootstrap``.

    Returns
    -------
    DataFrame
        ``recall``, ``precision``, ``low``, ``high``.

    Examples
    --------
    >>> from fintech_dl.evaluation.curves import precision_recall_curve
    >>> from fintech_dl.evaluation.outcomes import Outcome, as_folds
    >>> curve = precision_recall_curve(Outcome(y=[0, 1, 0, 1], score=[0.1, 0.4, 0.5, 0.8]), n=50)
    >>> curve.set_index("recall")["precision"][[0.5, 1.0]].round(3).tolist()
    [1.0, 0.667]
    """
    found = _banded(outcomes, partial(_precision_at_recalls, recalls=RECALLS), n, seed)
    return pd.DataFrame(
        {"recall": RECALLS, "precision": found[0], "low": found[1], "high": found[2]}
    )


def roc_curve(outcomes: Outcome | Sequence[Outcome], n: int = 500, seed: int = 0) -> pd.DataFrame:
    """Return recall at 101 false positive rates with a 95 % bootstrap band.

    The rates lie closer together near 0, where alarms are affordable. Between two thresholds the
    curve is a straight line, as rows of equal score would be picked by lot; ``recall_at_fpr``,
    which picks none of them, is never above it.

    Returns
    -------
    DataFrame
        ``fpr``, ``recall``, ``low``, ``high``; parameters as ``precision_recall_curve``.

    Examples
    --------
    >>> from fintech_dl.evaluation.curves import roc_curve
    >>> from fintech_dl.evaluation.outcomes import Outcome, as_folds
    >>> curve = roc_curve(Outcome(y=[0, 1, 0, 1], score=[0.1, 0.4, 0.5, 0.8]), n=50)
    >>> curve.set_index("fpr")["recall"][[0.0, 1.0]].tolist()
    [0.5, 1.0]
    """
    found = _banded(outcomes, partial(_recall_at_rates, rates=FALSE_POSITIVE_RATES), n, seed)
    columns = {"recall": found[0], "low": found[1], "high": found[2]}
    return pd.DataFrame({"fpr": FALSE_POSITIVE_RATES} | columns)


def calibration_curve(outcomes: Outcome | Sequence[Outcome], bins: int = 10) -> pd.DataFrame:
    """Return predicted against observed frequency by bins of equal weight.

    All folds together. The 95 % interval is that of Jeffreys; with row weights it takes Kish's
    effective number of rows.

    Parameters
    ----------
    outcomes : Outcome or list of Outcome
        Scores are probabilities.
    bins : int

    Returns
    -------
    DataFrame
        One line per bin that holds rows: ``predicted`` (mean probability), ``observed`` (share of
        positives), ``low``, ``high``, ``rows`` and ``positives`` (counted without weights).

    Raises
    ------
    UsageError
        Scores outside 0 to 1.

    Examples
    --------
    >>> from fintech_dl.evaluation.curves import calibration_curve
    >>> from fintech_dl.evaluation.outcomes import Outcome, as_folds
    >>> outcome = Outcome(y=[0, 1, 0, 1], score=[0.25, 0.25, 0.75, 0.75])
    >>> calibration_curve(outcome, bins=2)[["predicted", "observed", "rows"]]
       predicted  observed  rows
    0       0.25       0.5     2
    1       0.75       0.5     2
    """
    folds = as_folds(outcomes)
    y, p = (np.concatenate([getattr(o, name) for o in folds]) for name in ("y", "score"))
    w = np.concatenate([o.weights for o in folds])
    rows = pd.DataFrame({"bin": equal_mass_bins(probabilities(p), bins, weight=w), "w": w, "y": y})
    rows = rows.assign(wp=w * p, wy=w * y, ww=w * w)[w > 0]
    sums = rows.groupby("bin").sum()
    observed = sums["wy"] / sums["w"]
    effective = sums["w"] ** 2 / sums["ww"]
    low, high = jeffreys(observed.to_numpy() * effective.to_numpy(), effective.to_numpy())
    return pd.DataFrame(
        {
            "predicted": sums["wp"] / sums["w"],
            "observed": observed,
            "low": low,
            "high": high,
            "rows": rows.groupby("bin").size(),
            "positives": sums["y"].astype(int),
        }
    ).reset_index(drop=True)


def jeffreys(positives: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Return the 95 % Jeffreys interval of a share, reaching 0 or 1 where none or all are positive.

    Notes
    -----
    Brown, Cai and DasGupta, Interval Estimation for a Binomial Proportion (2001), s4.1.
    """
    a, b = np.asarray(positives) + 0.5, np.asarray(rows) - np.asarray(positives) + 0.5
    low = np.where(a <= 0.5 + 1e-9, 0.0, beta.ppf(0.025, a, b))
    high = np.where(b <= 0.5 + 1e-9, 1.0, beta.ppf(0.975, a, b))
    return low, high


def _banded(
    outcomes: Outcome | Sequence[Outcome], value: partial[Floats], n: int, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Return a curve, averaged over folds, with the ends of its band."""
    folds = as_folds(outcomes)
    own = []
    for outcome in folds:
        sums = ranking_sums(outcome, np.zeros(len(outcome), np.intp), 1).toarray()
        own.append(value(sums)[0])
    [drawn] = resample(folds, [Metric(ranking_sums, value)], n, seed)
    low, high = limits(drawn, folds)
    return np.mean(own, axis=0), low, high


def _precision_at_recalls(sums: Floats, recalls: Floats) -> Floats:
    """Return precision of shape (n_replicates, n_recalls); NaN without positives."""
    positive, negative = halves(sums)
    found = np.full((len(sums), len(recalls)), np.nan)
    for i, (true, false) in enumerate(zip(positive.cumsum(1), negative.cumsum(1), strict=True)):
        if true[-1] > 0:
            at = np.searchsorted(
                true, np.maximum(recalls * true[-1] * (1 - 1e-12), true[true > 0][0])
            )
            found[i] = true[at] / (true[at] + false[at])
    return found


def _recall_at_rates(sums: Floats, rates: Floats) -> Floats:
    """Return recall of shape (n_replicates, n_rates); NaN with one class only."""
    positive, negative = halves(sums)
    found = np.full((len(sums), len(rates)), np.nan)
    for i, (true, false) in enumerate(zip(positive.cumsum(1), negative.cumsum(1), strict=True)):
        if true[-1] > 0 and false[-1] > 0:
            at = np.searchsorted(false, rates * false[-1] * (1 + 1e-12), side="right") - 1
            reached = np.where(at >= 0, true[at], 0)
            line = np.interp(rates * false[-1], np.append(0, false), np.append(0, true))
            found[i] = np.maximum(reached, line) / true[-1]
    return found
