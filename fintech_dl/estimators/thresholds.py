"""Where an alert begins: thresholds on anomaly scores, apart from how rows are scored. NumPy only.

Scores are higher for worse rows, and a row is flagged where its score lies above the threshold.
"""

from __future__ import annotations

import math

import numpy as np

POINTS = 200  # quantiles that stand for all scores in the rule "auto"


def share_threshold(scores: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Return the threshold above which a share of the weight lies, between two rows' scores.

    Rows of equal scores are flagged together or not at all, so that at most the share is.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
    weight : ndarray of shape (n_rows,)
        Above 0.
    share : float

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.thresholds import share_threshold
    >>> share_threshold(np.arange(10.0), np.ones(10), 0.2)
    7.5
    """
    ranked, at = np.unique(-scores, return_inverse=True)
    above = np.cumsum(np.bincount(at, weights=weight)) <= share * weight.sum() * (1 + 1e-9)
    n = int(above.sum())
    return -float(ranked[0] if n == 0 else (ranked[n - 1] + ranked[min(n, len(ranked) - 1)]) / 2)


def fence_threshold(scores: np.ndarray, weight: np.ndarray) -> float:
    """Return the upper fence of the adjusted boxplot: what most rows' scores do not reach.

    Of rows without anomalies it flags 0.2 to 2 %, more the heavier the tail of their scores; up to
    a quarter of the rows may be anomalies. The threshold never lies above all scores: the worst row
    is flagged, unless all rows score alike.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Of training rows.
    weight : ndarray of shape (n_rows,)
        Above 0.

    Returns
    -------
    float

    Notes
    -----
    Hubert & Vandervieren, An adjusted boxplot for skewed distributions (2008): the third quartile
    plus 1.5 exp(3 MC) interquartile ranges, where MC is the medcouple, a robust skewness (exp(4 MC)
    where that is below 0).

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.thresholds import fence_threshold
    >>> scores = np.append(np.linspace(0, 1, 98), [9.0, 10.0])
    >>> 1 < fence_threshold(scores, np.ones(100)) < 9
    True
    """
    at = (np.arange(POINTS) + 0.5) / POINTS
    usual = np.quantile(scores, at, weights=weight, method="inverted_cdf").astype(np.float64)
    low, middle, high = np.quantile(usual, [0.25, 0.5, 0.75])
    below = (middle - usual[usual <= middle])[:, None]
    above = (usual[usual >= middle] - middle)[None]
    wide = above + below
    skew = float(np.median((above - below) / np.where(wide > 0, wide, 1.0)))
    fence = high + 1.5 * math.exp((3 if skew >= 0 else 4) * skew) * (high - low)
    return min(float(fence), float(np.unique(scores)[-2:].mean()))


def false_alarm_threshold(scores: np.ndarray, fpr: float) -> float:
    """Return the threshold that a new normal row exceeds with a probability of at most ``fpr``.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Of rows that are believed normal and that the detector has not learned from.
    fpr : float
        False-alarm rate, above 0 and below 1.

    Returns
    -------
    float
        One of the scores.

    Raises
    ------
    ValueError
        A rate that is out of range, or that needs more rows; the text says how many.

    Notes
    -----
    Split conformal prediction: if old and new normal rows are alike (exchangeable), the rate holds
    on average over calibration sets, whatever the detector. A row is flagged where its conformal
    p-value (`fintech_dl.evaluation.p_values`) is at most ``fpr``.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.thresholds import false_alarm_threshold
    >>> false_alarm_threshold(np.arange(1.0, 100.0), 0.05)
    95.0
    """
    if not 0 < fpr < 1:
        raise ValueError(f"fpr={fpr!r}; allowed: above 0 and below 1, such as 0.01")
    n = len(scores)
    alarms = math.floor(fpr * (n + 1) + 1e-9)
    if alarms < 1:
        raise ValueError(
            f"fpr={fpr:g} needs {math.ceil(1 / fpr - 1e-9) - 1} calibration rows or more, X has "
            f"{n}; calibrate on more rows that are believed normal, or allow more false alarms"
        )
    return float(np.partition(scores, n - alarms)[n - alarms])


def budget_threshold(scores: np.ndarray, per_day: float, days: float) -> float:
    """Return the threshold that gives at most so many alerts a day, on average over coming days.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Of all rows of some days, normal or not, that the detector has not learned from.
    per_day : float
        Alerts that people can look at in a day.
    days : float
        How many days the rows are of.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        A budget or days of 0 or less, less than one alert in all, or one for every row.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.thresholds import budget_threshold
    >>> budget_threshold(np.arange(1.0, 101.0), per_day=5, days=2)
    91.0
    """
    for name, value in (("per_day", per_day), ("days", days)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value!r}; allowed: a number above 0")
    budget, n = per_day * days, len(scores)
    if budget < 1:
        raise ValueError(
            f"per_day={per_day:g} over days={days:g} is less than one alert in all; calibrate on "
            "the rows of more days"
        )
    if budget >= n:
        raise ValueError(
            f"per_day={per_day:g} over days={days:g} allows {budget:g} alerts, and X has {n} rows; "
            "with as many alerts as rows no threshold is needed. Check `days`"
        )
    return false_alarm_threshold(scores, budget / n)
