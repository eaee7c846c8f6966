"""Whether probabilities come true: the Brier score in its parts, and tests of calibration.

Calibration curves are in ``curves``, tests by rating grade in ``grades``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.alerts import probabilities
from fintech_dl.evaluation.metrics import Floats, equal_mass_bins


class CalibrationTest(NamedTuple):
    """A test of "the probabilities are right": statistic, degrees of freedom, p-value."""

    statistic: float
    df: int
    p_value: float


@dataclass(frozen=True)
class BrierParts:
    """The Brier score as a sum of what is good and bad about probabilities.

    ``brier = reliability - resolution + uncertainty + within_variance - within_covariance``.

    Attributes
    ----------
    brier : float
    reliability : float
        Mean squared gap between predicted and observed frequency of a bin; 0 is calibrated.
    resolution : float
        How far the bins' observed frequencies lie apart; more is better.
    uncertainty : float
        Of the outcome itself: rate x (1 - rate).
    within_variance, within_covariance : float
        What the bins hide: the spread of probabilities within a bin, and twice their covariance
        with what happened.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_variance: float
    within_covariance: float


def brier_decomposition(
    y: ArrayLike, p: ArrayLike, *, weight: ArrayLike | None = None, bins: int = 10
) -> BrierParts:
    """Return the parts of the Brier score; they add up to it exactly.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a positive, 0 for a negative.
    p : array of shape (n_rows,)
        Probabilities.
    weight : array of shape (n_rows,), optional
    bins : int
        Of equal weight, see ``metrics.equal_mass_bins``.

    Returns
    -------
    BrierParts

    Raises
    ------
    UsageError
        Scores outside 0 to 1.

    Notes
    -----
    Stephenson, Coelho and Jolliffe, Two Extra Components in the Brier Score Decomposition (2008).

    Examples
    --------
    >>> from fintech_dl.evaluation.reliability import brier_decomposition
    >>> found = brier_decomposition([0, 0, 1, 1], [0.25, 0.25, 0.5, 1.0], bins=2)
    >>> found.brier, found.reliability, found.resolution, found.uncertainty
    (0.09375, 0.0625, 0.25, 0.25)
    """
    truth, prob = _checked(y, p)
    w = np.ones(len(prob)) if weight is None else np.asarray(weight, dtype=float)
    at = equal_mass_bins(prob, bins, weight=w)
    mass = np.bincount(at, weights=w)
    held = np.where(mass > 0, mass, 1.0)
    predicted, observed = np.bincount(at, w * prob) / held, np.bincount(at, w * truth) / held
    total, rate = w.sum(), np.average(truth, weights=w)
    off = prob - predicted[at]
    return BrierParts(
        brier=float(np.average((prob - truth) ** 2, weights=w)),
        reliability=float((mass * (predicted - observed) ** 2).sum() / total),
        resolution=float((mass * (observed - rate) ** 2).sum() / total),
        uncertainty=float(rate * (1 - rate)),
        within_variance=float((w * off**2).sum() / total),
        within_covariance=float(2 * (w * (truth - observed[at]) * off).sum() / total),
    )


def hosmer_lemeshow(
    y: ArrayLike, p: ArrayLike, *, groups: int = 10, in_sample: bool = False
) -> CalibrationTest:
    """Return the Hosmer-Lemeshow test over groups of equally many rows by probability.

    It sees gaps between predicted and observed numbers of positives in any group. With many rows it
    finds the smallest gap, so look at the calibration curve too.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a positive, 0 for a negative. Rows count as independent; there are no weights.
    p : array of shape (n_rows,)
        Probabilities.
    groups : int
        Tied rows stay together, so that fewer groups may hold rows.
    in_sample : bool
        Whether the probabilities were fitted on these very rows, which costs two degrees of
        freedom.

    Returns
    -------
    CalibrationTest
        ``df`` is the number of groups that hold rows, less two if ``in_sample``.

    Raises
    ------
    UsageError
        Scores outside 0 to 1, or too few groups.

    Notes
    -----
    Hosmer, Lemeshow and Sturdivant, Applied Logistic Regression (2013), s5.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.reliability import hosmer_lemeshow
    >>> y, p = np.tile([0, 0, 0, 1], 50), np.repeat([0.2, 0.25], 100)
    >>> found = hosmer_lemeshow(y, p, groups=2)
    >>> round(found.statistic, 4), found.df, round(found.p_value, 4)
    (1.5625, 2, 0.4578)
    """
    truth, prob = _checked(y, p)
    at = equal_mass_bins(prob, groups)
    rows = np.bincount(at)
    expected, found = (np.bincount(at, weights=values)[rows > 0] for values in (prob, truth))
    rows = rows[rows > 0]
    df = len(rows) - (2 if in_sample else 0)
    if df < 1:
        raise UsageError(
            f"hosmer_lemeshow: {len(rows)} groups hold rows (groups = {groups}), which leaves no "
            "degree of freedom; take more groups"
        )
    variance = expected * (1 - expected / rows)
    gap = (found - expected) ** 2
    sure = np.where(gap > 0, np.inf, 0.0)  # a group of which the model is certain
    statistic = float(np.divide(gap, variance, out=sure, where=variance > 0).sum())
    return CalibrationTest(statistic, df, float(chi2.sf(statistic, df)))


def spiegelhalter(y: ArrayLike, p: ArrayLike) -> CalibrationTest:
    """Return Spiegelhalter's test: whether the Brier score is what right probabilities would give.

    It needs no groups. Above 0: the probabilities are worse than they claim, mostly because they
    are too extreme; below 0: better than they claim.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a positive, 0 for a negative. Rows count as independent; there are no weights.
    p : array of shape (n_rows,)
        Probabilities.

    Returns
    -------
    CalibrationTest
        ``statistic`` is normal if the probabilities are right, ``df`` is 0, the p-value two-sided.

    Raises
    ------
    UsageError
        Scores outside 0 to 1.
    DataError
        All probabilities are 0, 0.5 or 1, about which this test says nothing.

    Notes
    -----
    Spiegelhalter, Probabilistic prediction in patient management and clinical trials (1986).

    Examples
    --------
    >>> from fintech_dl.evaluation.reliability import spiegelhalter
    >>> found = spiegelhalter([0, 0, 0, 0, 1], [0.2, 0.2, 0.2, 0.2, 0.2])
    >>> round(found.statistic, 6), found.p_value > 0.99
    (0.0, True)
    """
    truth, prob = _checked(y, p)
    spread = float(((1 - 2 * prob) ** 2 * prob * (1 - prob)).sum())
    if spread <= 0:
        raise DataError(
            "spiegelhalter: all probabilities are 0, 0.5 or 1, about which it says nothing; look "
            "at the calibration curve instead"
        )
    z = float(((truth - prob) * (1 - 2 * prob)).sum() / np.sqrt(spread))
    return CalibrationTest(z, 0, float(2 * norm.sf(abs(z))))


def _checked(y: ArrayLike, p: ArrayLike) -> tuple[Floats, Floats]:
    truth, prob = np.asarray(y, dtype=float), probabilities(p)
    if len(truth) != len(prob) or not len(prob):
        raise DataError(f"{len(truth)} labels and {len(prob)} probabilities; one of each is needed")
    return truth, prob
