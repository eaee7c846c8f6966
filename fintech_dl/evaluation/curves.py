"""Curves: precision-recall, ROC, CAP, calibration and lift, each with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta

from fintech_dl.errors import DataError
from fintech_dl.evaluation.alerts import probabilities
from fintech_dl.evaluation.metrics import Floats, equal_mass_bins
from fintech_dl.evaluation.outcomes import Metric, Outcome, as_folds, halves, ranking_sums
from fintech_dl.evaluation.resampling import limits, resample

RECALLS = np.linspace(0, 1, 101)
POPULATION = np.linspace(0, 1, 101)
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


def cap_curve(outcomes: Outcome | Sequence[Outcome], n: int = 500, seed: int = 0) -> pd.DataFrame:
    """Return the cumulative accuracy profile: positives captured by share of the population.

    The population is taken from the highest score down, at 101 levels, with a 95 % bootstrap band;
    rows of equal score are taken in equal parts. Folds are averaged level by level.

    Returns
    -------
    DataFrame
        ``population``, ``captured``, ``low``, ``high`` and ``perfect``, what an ideal ranking would
        capture; parameters as ``precision_recall_curve``.

    Examples
    --------
    >>> from fintech_dl.evaluation.curves import cap_curve
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> curve = cap_curve(Outcome(y=[0, 1, 0, 1], score=[0.1, 0.4, 0.5, 0.8]), n=50)
    >>> curve.set_index("population")["captured"][[0.25, 0.5, 1.0]].tolist()
    [0.5, 0.5, 1.0]
    """
    captured, low, high = _banded(outcomes, partial(_captured, shares=POPULATION), n, seed)
    rates = [np.average(o.y, weights=o.weights) for o in as_folds(outcomes)]
    perfect = np.mean([np.minimum(POPULATION / rate, 1.0) for rate in rates], axis=0)
    columns = {"captured": captured, "low": low, "high": high, "perfect": perfect}
    return pd.DataFrame({"population": POPULATION} | columns)


def accuracy_ratio(outcome: Outcome) -> float:
    """Return the area between CAP curve and diagonal, as a share of that of an ideal ranking.

    Taken from the curve itself; it equals ``metrics.gini`` exactly, ties included.

    Raises
    ------
    DataError
        One class only.

    Examples
    --------
    >>> from fintech_dl.evaluation.curves import accuracy_ratio
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> round(accuracy_ratio(Outcome(y=[0, 1, 0, 1], score=[0.1, 0.4, 0.5, 0.8])), 6)
    0.5
    """
    sums = ranking_sums(outcome, np.zeros(len(outcome), np.intp), 1).toarray()
    positive, negative = (half[0] for half in halves(sums))
    if not (positive.sum() > 0 and negative.sum() > 0):
        raise DataError("accuracy_ratio: both classes are needed, with weights above 0")
    mass = positive + negative
    captured = np.append(0, positive.cumsum()) / positive.sum()
    area = np.trapezoid(captured, np.append(0, mass.cumsum()) / mass.sum())
    return float((2 * area - 1) * mass.sum() / negative.sum())


def lift_table(outcomes: Outcome | Sequence[Outcome], bins: int = 10) -> pd.DataFrame:
    """Return how many positives each tenth of the rows holds, from the highest scores down.

    All folds together. Rows of equal score stay together, so that a bin may be larger than the
    others, or missing.

    Parameters
    ----------
    outcomes : Outcome or list of Outcome
        One per fold.
    bins : int
        Of equal weight.

    Returns
    -------
    DataFrame
        One line per bin that holds rows: ``bin`` (1 has the highest scores), ``lowest``,
        ``highest`` (scores), ``rows`` and ``positives`` (counted without weights), ``share`` (of
        the weight), ``rate`` (share of positives) with its 95 % Jeffreys interval ``low`` to
        ``high``, ``lift`` (rate divided by that of all rows), ``captured`` (share of all positives)
        and from the top down ``cumulative_lift`` and ``cumulative_captured``.

    Raises
    ------
    DataError
        No positives.

    Examples
    --------
    >>> from fintech_dl.evaluation.curves import lift_table
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> outcome = Outcome(y=[0, 0, 0, 1], score=[0.1, 0.4, 0.5, 0.8])
    >>> lift_table(outcome, bins=2)[["bin", "rows", "positives", "lift", "cumulative_captured"]]
       bin  rows  positives  lift  cumulative_captured
    0    1     2          1   2.0                  1.0
    1    2     2          0   0.0                  1.0
    """
    y, score, w = _together(outcomes)
    if not (w * y).sum() > 0:
        raise DataError("lift_table: there are no positives to be found; take more rows")
    found = _by_bin(bins - 1 - equal_mass_bins(score, bins, weight=w), y, score, w)
    share, captured = found["w"] / w.sum(), found["wy"] / (w * y).sum()
    low, high = _rate_interval(found)
    return pd.DataFrame(
        {
            "bin": found.index + 1,
            "lowest": found["least"],
            "highest": found["most"],
            "rows": found["rows"],
            "positives": found["y"].astype(int),
            "share": share,
            "rate": found["wy"] / found["w"],
            "low": low,
            "high": high,
            "lift": captured / share,
            "captured": captured,
            "cumulative_lift": captured.cumsum() / share.cumsum(),
            "cumulative_captured": captured.cumsum(),
        }
    ).reset_index(drop=True)


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
    y, p, w = _together(outcomes)
    found = _by_bin(equal_mass_bins(probabilities(p), bins, weight=w), y, p, w)
    low, high = _rate_interval(found)
    return pd.DataFrame(
        {
            "predicted": found["wx"] / found["w"],
            "observed": found["wy"] / found["w"],
            "low": low,
            "high": high,
            "rows": found["rows"],
            "positives": found["y"].astype(int),
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


def _together(outcomes: Outcome | Sequence[Outcome]) -> tuple[Floats, Floats, Floats]:
    """Return labels, scores and weights of all folds."""
    folds = as_folds(outcomes)
    y, score, w = (
        np.concatenate([getattr(o, a) for o in folds]) for a in ("y", "score", "weights")
    )
    return y, score, w


def _by_bin(bin_: NDArray[np.intp], y: Floats, x: Floats, w: Floats) -> pd.DataFrame:
    """Return weighted and plain sums of each bin that holds rows."""
    parts = {"bin": bin_, "w": w, "y": y, "x": x, "wx": w * x, "wy": w * y, "ww": w * w}
    bins = pd.DataFrame(parts)[w > 0].groupby("bin")
    return bins.sum().assign(rows=bins.size(), least=bins["x"].min(), most=bins["x"].max())


def _rate_interval(found: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the Jeffreys interval of each bin's rate, with Kish's effective number of rows."""
    effective = (found["w"] ** 2 / found["ww"]).to_numpy()
    return jeffreys((found["wy"] / found["w"]).to_numpy() * effective, effective)


def _captured(sums: Floats, shares: Floats) -> Floats:
    """Return captured positives of shape (n_replicates, n_shares); NaN without positives."""
    positive, negative = halves(sums)
    found = np.full((len(sums), len(shares)), np.nan)
    for i, (true, all_) in enumerate(
        zip(positive.cumsum(1), (positive + negative).cumsum(1), strict=True)
    ):
        if true[-1] > 0:
            at = np.append(0, all_) / all_[-1]
            found[i] = np.interp(shares, at, np.append(0, true) / true[-1])
    return found


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
