"""Intervals, paired tests and the verdict: whether a difference is more than luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.outcomes import Outcome, as_folds, evaluate, metric
from fintech_dl.evaluation.resampling import limits, p_value, resample
from fintech_dl.evaluation.wording import metric as wording


class Interval(NamedTuple):
    """A value with its 95 % interval; NaN ends where none can be given."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """How far the first of two models is above the second, with interval and p-value."""

    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Verdict:
    """What may be said of a model against the best of its baselines.

    ``outcome`` is ``"beats"``, ``"is not distinguishable from"`` or ``"is worse than"``.
    """

    outcome: str
    text: str
    metric: str
    rival: str
    difference: Difference


def bootstrap(
    outcomes: Outcome | Sequence[Outcome], names: Sequence[str], n: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """Return metrics with 95 % bootstrap intervals; several folds are averaged.

    Whole days are resampled where rows have times (rows of one day share its luck) and a fold has
    5 days or more, else rows. Metrics that are means over days have no interval below 5 days.

    Parameters
    ----------
    outcomes : Outcome or list of Outcome
        One per fold. Outcomes about the same days (several seeds) are resampled alike; their
        interval says how sure the mean over seeds is.
    names : list of str
        Names of metrics, see ``outcomes.evaluate``.
    n : int
        Resamples.
    seed : int

    Returns
    -------
    dict of str to Interval
        ``(value, low, high)`` by name; value is that of the rows themselves.

    Raises
    ------
    UsageError, DataError
        As ``outcomes.evaluate``.

    Notes
    -----
    Percentile intervals, widened for few days: see ``resampling.limits``. Resamples on which a
    metric is undefined are left out. The interval of ``ece`` lies high, since noise adds to it.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.outcomes import Outcome, as_folds
    >>> from fintech_dl.evaluation.significance import bootstrap
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 500)
    >>> found = bootstrap(Outcome(y=y, score=y + rng.normal(size=500)), ["roc_auc"], n=200)
    >>> found["roc_auc"].low < found["roc_auc"].value < found["roc_auc"].high
    True
    """
    folds = as_folds(outcomes)
    values = _average(folds, names)
    drawn = resample(folds, [_metric(name, folds) for name in names], n, seed)
    found = {}
    for name, several in zip(names, drawn, strict=True):
        low, high = limits(several, folds)
        found[name] = Interval(values[name], float(low), float(high))
    return found


def paired_difference(
    outcomes_a: Outcome | Sequence[Outcome],
    outcomes_b: Outcome | Sequence[Outcome],
    name: str,
    n: int = 2000,
    seed: int = 0,
) -> Difference:
    """Return metric of a minus metric of b, with interval and two-sided p-value.

    Both models must have scored the same rows; both are evaluated on the same resampled days (or
    rows), so what is hard for both cancels out.

    Returns
    -------
    Difference
        ``(value, low, high, p_value)``; the last three are NaN where ``bootstrap`` gives no
        interval.

    Raises
    ------
    UsageError
        The two were not scored on the same rows; else as ``bootstrap``.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.outcomes import Outcome, as_folds
    >>> from fintech_dl.evaluation.significance import paired_difference
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 500)
    >>> good, poor = Outcome(y, y + rng.normal(size=500)), Outcome(y, rng.normal(size=500))
    >>> paired_difference(good, poor, "roc_auc", n=500).p_value < 0.05
    True
    """
    a, b = as_folds(outcomes_a), as_folds(outcomes_b)
    _same_rows(a, b)
    found = [_metric(name, a)]
    value = _average(a, [name])[name] - _average(b, [name])[name]
    drawn = resample(a, found, n, seed)[0] - resample(b, found, n, seed)[0]
    low, high = limits(drawn, a)
    return Difference(value, float(low), float(high), p_value(drawn, a))


def verdict(
    model: str,
    outcomes: Mapping[str, Outcome | Sequence[Outcome]],
    name: str,
    n: int = 2000,
    seed: int = 0,
) -> Verdict:
    """Return by rule what may be said of a model against the best of its baselines.

    Parameters
    ----------
    model : str
        Key of the model in ``outcomes``; all others are baselines.
    outcomes : dict of str to list of Outcome
        Per model one outcome per fold, all on the same rows.
    name : str
        The metric that decides, the first of the pipeline card.
    n, seed : int
        As in ``bootstrap``.

    Returns
    -------
    Verdict
        ``beats`` or ``is worse than`` only where the two-sided paired test against the baseline
        with the best value says so at 5 %, else ``is not distinguishable from``.

    Raises
    ------
    UsageError
        There is no baseline; else as ``paired_difference``.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.outcomes import Outcome, as_folds
    >>> from fintech_dl.evaluation.significance import verdict
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 500)
    >>> good, poor = Outcome(y, y + rng.normal(size=500)), Outcome(y, rng.normal(size=500))
    >>> verdict("MLP", {"MLP": good, "prior": poor}, "roc_auc", n=500).outcome
    'beats'
    """
    if model not in outcomes:
        raise UsageError(f"verdict: there is no {model!r} among {', '.join(outcomes)}")
    rivals = [who for who in outcomes if who != model]
    if not rivals:
        raise UsageError(f"no claim without a rival: {model} has no baseline to be compared with")
    values = {who: _average(as_folds(folds), [name])[name] for who, folds in outcomes.items()}
    sign = 1 if metric(name).higher_is_better else -1
    best = max(rivals, key=lambda who: sign * values[who])
    found = paired_difference(outcomes[model], outcomes[best], name, n, seed)
    outcome = "is not distinguishable from"
    if found.p_value < 0.05:
        outcome = "beats" if sign * found.value > 0 else "is worse than"
    if np.isnan(found.p_value):
        evidence = "too few days for a test"
    else:
        p = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
        evidence = (
            f"difference {found.value:+.3f}, 95 % interval {found.low:+.3f} to {found.high:+.3f}, "
            f"paired test {p}"
        )
    which = "its only baseline" if len(rivals) == 1 else "the best baseline"
    text = (
        f"{model} {outcome} {which}, {best}, on {wording(name).title}: "
        f"{values[model]:.3f} against {values[best]:.3f} ({evidence})."
    )
    return Verdict(outcome, text, name, best, found)


def delong(outcome: Outcome) -> Interval:
    """Return the area under the ROC curve with its 95 % interval after DeLong.

    Rows count as independent; use ``bootstrap`` where rows of one day share their luck.

    Raises
    ------
    UsageError
        Row weights, which the method does not know.
    DataError
        Fewer than two rows of a class.

    Notes
    -----
    DeLong, DeLong and Clarke-Pearson (1988), by ranks as in Sun and Xu (2014).

    Examples
    --------
    >>> from fintech_dl.evaluation.outcomes import Outcome, as_folds
    >>> from fintech_dl.evaluation.significance import delong
    >>> delong(Outcome(y=[0, 0, 1, 1], score=[1, 3, 2, 4])).value
    0.75
    """
    area, covariance = _delong([outcome])
    half = norm.ppf(0.975) * np.sqrt(covariance[0, 0])
    return Interval(float(area[0]), float(area[0] - half), float(area[0] + half))


def delong_difference(a: Outcome, b: Outcome) -> Difference:
    """Return area under the ROC curve of a minus that of b on the same rows, after DeLong.

    Raises
    ------
    UsageError
        Row weights, or other rows in b than in a.
    DataError
        Fewer than two rows of a class.
    """
    _same_rows([a], [b])
    area, covariance = _delong([a, b])
    value = float(area[0] - area[1])
    error = np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0))
    if error == 0:
        return Difference(value, value, value, 1.0 if value == 0 else 0.0)
    half = float(norm.ppf(0.975) * error)
    return Difference(value, value - half, value + half, float(2 * norm.sf(abs(value) / error)))


def _delong(outcomes: Sequence[Outcome]) -> tuple[Floats, NDArray[Any]]:
    """Return the areas of several models on the same rows and their covariance matrix."""
    if any(o.weight is not None for o in outcomes):
        raise UsageError("the DeLong test knows no row weights; use paired_difference or bootstrap")
    positive = outcomes[0].y == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        raise DataError(f"DeLong needs two rows of each class: {m} positive, {n} negative")
    scores = np.array([o.score for o in outcomes])
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    below = 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / m
    covariance = np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n
    return above.mean(axis=1), covariance


def _metric(name: str, folds: Sequence[Outcome]) -> Any:
    return metric(name, timed=folds[0].when is not None)


def _average(folds: Sequence[Outcome], names: Sequence[str]) -> dict[str, float]:
    values = [evaluate(outcome, names) for outcome in folds]
    return {name: float(np.mean([v[name] for v in values])) for name in names}


def _same_rows(a: Sequence[Outcome], b: Sequence[Outcome]) -> None:
    if len(a) != len(b):
        raise UsageError(f"a paired test: {len(a)} folds of one model, {len(b)} of the other")
    for number, (one, other) in enumerate(zip(a, b, strict=True), start=1):
        same_times = (one.when is None) == (other.when is None) and (
            one.when is None or np.array_equal(one.when, other.when)
        )
        if not (np.array_equal(one.y, other.y) and same_times):
            raise UsageError(f"a paired test needs the same rows; they differ in fold {number}")
