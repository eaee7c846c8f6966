"""How sure an alert is: p-values of anomaly scores, alerts with few false ones among them.

Scores are higher for worse rows. Nothing is assumed of the detector, only that the rows it is
calibrated on and new normal rows are alike (exchangeable); in a trend or after a break they are
not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.conformal import rows_for
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.tails import tail_share


def conformal_p_values(calibration: ArrayLike, scores: ArrayLike) -> Floats:
    """Return how often a normal row would score at least as high: (1 + rows that do) / (n + 1).

    Use it beside a threshold, to say how unusual each alert is. It cannot be less than 1 / (n + 1):
    for small p-values many rows must be calibrated on.

    Parameters
    ----------
    calibration : array of shape (n,)
        Anomaly scores of rows believed normal that the detector has not learned from.
    scores : array of shape (n_rows,)
        Anomaly scores of new rows.

    Returns
    -------
    array of shape (n_rows,)
        Above 0, up to 1. Of normal rows a share of at most ``a`` has a p-value of at most ``a``, on
        average over calibration sets.

    Raises
    ------
    DataError
        No calibration rows, or scores that are no finite numbers.

    Notes
    -----
    Bates, Candes, Lei, Romano & Sesia, Testing for outliers with conformal p-values (2023).

    Examples
    --------
    >>> from fintech_dl.evaluation.p_values import conformal_p_values
    >>> conformal_p_values([1, 2, 3, 4], [0, 3, 9]).tolist()
    [1.0, 0.6, 0.2]
    """
    known = np.sort(_finite("calibration", calibration))
    if not len(known):
        raise DataError("calibration: there are no scores; give those of rows believed normal")
    new = _finite("scores", scores)
    return tail_share(known, new)


def few_false_alerts(p: ArrayLike, share: float = 0.1) -> NDArray[np.bool_]:
    """Return which rows of a batch raise an alert so that few of the alerts are false.

    Use it where people look at a whole batch (a night's transactions) and mind what part of their
    work is for nothing; a threshold of `NeuralDetector.set_threshold` bounds false alarms among all
    normal rows instead. Of a batch without anomalies it raises any alert with a chance of at most
    ``share``.

    Parameters
    ----------
    p : array of shape (n_rows,)
        p-values of a batch, from `conformal_p_values`. With n rows to calibrate on, k alerts among
        m rows need n of at least ``m / (share k) - 1``.
    share : float, default=0.1
        False discovery rate: expected share of the alerts that are false, above 0 and below 1.

    Returns
    -------
    bool array of shape (n_rows,)

    Raises
    ------
    DataError
        p-values outside 0 to 1.
    UsageError
        A share out of range.

    Notes
    -----
    Benjamini & Hochberg, Controlling the false discovery rate (1995). It holds for conformal
    p-values, although these share their calibration rows: Bates et al. (2023).

    Examples
    --------
    >>> from fintech_dl.evaluation.p_values import few_false_alerts
    >>> few_false_alerts([0.001, 0.04, 0.5, 0.9])
    array([ True,  True, False, False])
    """
    _rate("share", share)
    values = _finite("p", p)
    if not len(values):
        return np.zeros(0, dtype=bool)
    if values.min() < 0 or values.max() > 1:
        raise DataError(
            f"p runs from {values.min():.4g} to {values.max():.4g}; p-values are between 0 and 1: "
            "make them of scores with conformal_p_values"
        )
    return np.asarray(false_discovery_control(values) <= share)


def false_alarm_rates(
    scores: ArrayLike, fpr: float = 0.01, seeds: Sequence[int] = range(20)
) -> Floats:
    """Return the false-alarm rates really reached when thresholds are set on half of normal rows.

    The proof that a rate holds: per seed the rows are halved at random, one half calibrates and the
    other is counted. The mean over seeds is to be about ``fpr``.

    Parameters
    ----------
    scores : array of shape (n,)
        Anomaly scores of normal rows that the detector has not learned from.
    fpr : float, default=0.01
        The rate asked for, above 0 and below 1.
    seeds : sequence of int, default=range(20)

    Returns
    -------
    array of shape (n_seeds,)

    Raises
    ------
    DataError
        Fewer scores than the rate needs.
    UsageError
        A rate out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.p_values import false_alarm_rates
    >>> scores = np.random.default_rng(0).normal(size=40_000)
    >>> 0.009 < float(false_alarm_rates(scores).mean()) < 0.011
    True
    """
    _rate("fpr", fpr)
    values = _finite("scores", scores)
    if len(values) < 2 * rows_for(fpr):
        raise DataError(
            f"fpr={fpr:g} needs {2 * rows_for(fpr)} scores or more, half of them to calibrate on; "
            f"there are {len(values)}"
        )
    found = []
    for seed in seeds:
        half, other = np.array_split(np.random.default_rng(seed).permutation(values), 2)
        found.append(np.mean(conformal_p_values(half, other) <= fpr))
    return np.array(found)


def _rate(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise UsageError(f"{name}={value!r}; allowed: above 0 and below 1")


def _finite(name: str, values: ArrayLike) -> Floats:
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise DataError(
            f"{name}: shape {found.shape}, {int((~np.isfinite(found)).sum())} not finite; expected "
            "one finite number per row"
        )
    return found
