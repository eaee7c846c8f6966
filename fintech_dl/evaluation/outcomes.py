"""Scored rows with what happened to them, and the metrics that a pipeline card may name.

Every metric here is a sum over rows, finished: that is why thousands of resamples cost little more
than one evaluation. The definitions are the plain functions of ``fintech_dl.evaluation.metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fintech_dl.cards import nearest
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation import forecast_metrics
from fintech_dl.evaluation.alerts import day_of, probabilities
from fintech_dl.evaluation.metrics import (
    Floats,
    card_precision_by_day,
    equal_mass_bins,
    precision_at_k,
    row_log_loss,
)
from fintech_dl.evaluation.series_scores import vus_sums
from fintech_dl.evaluation.sums import Blocks, day_sums, mean, ratio, row_sums, sparse


@dataclass(frozen=True, eq=False)
class Outcome:
    """Rows that were scored, and what happened.

    Attributes
    ----------
    y : array of shape (n_rows,)
        1 for a positive (a fraud, a default), 0 for a negative; any number if ``numbers``.
    score : float array of shape (n_rows,)
        Higher for a more likely positive; may be a probability. A forecast of ``y`` if ``numbers``.
    weight : float array of shape (n_rows,), optional
        How many rows of the population each row stands for.
    when : datetime64 array of shape (n_rows,), optional
        When each row was decided; intervals then resample whole days.
    who : array of shape (n_rows,), optional
        Whom each row is about.
    amount : float array of shape (n_rows,), optional
        What missing the row costs if it is a positive, in money.
    alerts : bool array of shape (n_rows,), optional
        What was decided (see ``decisions.decided``).
    false_alarm : float, optional
        What an alert on a negative costs, in money.
    numbers : bool
        Whether numbers are forecast, and not classes.
    returns : float array of shape (n_rows,), optional
        What a position in the row's asset earned; orders of assets are judged by it.
    horizon : int, optional
        Bars that a forecast reaches ahead. Neighbouring days are then alike, and intervals
        resample stretches of them.

    Raises
    ------
    DataError
        Parts of unequal length, labels other than 0 and 1 (of classes), parts that are no finite
        numbers, no rows.

    Examples
    --------
    >>> from fintech_dl.evaluation.outcomes import Outcome, evaluate
    >>> outcome = Outcome(y=[0, 1, 0, 1], score=[0.0, 0.5, 0.5, 1.0])
    >>> evaluate(outcome, ["roc_auc", "brier"])
    {'roc_auc': 0.875, 'brier': 0.125}
    """

    y: Any
    score: Any
    weight: Any = None
    when: Any = None
    who: Any = None
    amount: Any = None
    alerts: Any = None
    false_alarm: float | None = None
    numbers: bool = False
    returns: Any = None
    horizon: int | None = None

    def __post_init__(self) -> None:
        put = partial(object.__setattr__, self)
        floats = dict.fromkeys(("y", "score", "weight", "amount", "returns"), float)
        for name, kind in {**floats, "alerts": bool, "who": None}.items():
            if (part := getattr(self, name)) is not None:
                put(name, np.asarray(part, dtype=kind))
        if self.when is not None:
            put("when", pd.DatetimeIndex(self.when).tz_localize(None).to_numpy())
        n = len(self.y)
        for f in fields(self):
            part = getattr(self, f.name)
            if isinstance(part, np.ndarray) and part.shape != (n,):
                raise DataError(f"outcome: {f.name} has shape {part.shape}, y has {n} rows")
        if n == 0:
            raise DataError("outcome: there are no rows to evaluate")
        if not self.numbers and not np.isin(self.y, (0, 1)).all():
            raise DataError(f"outcome: y holds {np.unique(self.y)[:5]}, allowed: 0 and 1")
        for name in floats:
            part = getattr(self, name)
            if part is not None and not np.isfinite(part).all():
                bad = np.flatnonzero(~np.isfinite(part))
                raise DataError(
                    f"outcome: {name} is no finite number in {len(bad)} of {n} rows, first row "
                    f"{bad[0]}"
                )
        if self.weight is not None and (self.weight.min() < 0 or self.weight.sum() <= 0):
            raise DataError("outcome: weights must be 0 or more, and not all of them 0")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def weights(self) -> Floats:
        """The weight of each row, 1 where none was given."""
        return np.ones(len(self)) if self.weight is None else np.asarray(self.weight)

    @property
    def days(self) -> NDArray[Any]:
        """The calendar day of each row."""
        if self.when is None:
            raise UsageError("this needs the time of each row (`when`), and the table has none")
        return day_of(self.when)


Sums = Callable[[Outcome, Blocks, int], csr_array]
Value = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Metric:
    """A metric in two steps, so that resamples reuse the first.

    Attributes
    ----------
    sums : callable
        From an outcome, the block of each row and the number of blocks, to sums over the rows of
        each block, sparse of shape (n_blocks, n_sums).
    value : callable
        From summed sums of shape (n_replicates, n_sums) to values of shape (n_replicates,), NaN
        where undefined.
    higher_is_better : bool
    per_day : bool
        A mean over days, which only whole days can resample.
    whole : bool
        Of the series as it is, which nothing can resample: it has no interval and decides nothing.
    of : str
        Whether ``"classes"``, ``"numbers"`` or ``"both"`` can be judged by it.
    """

    sums: Sums
    value: Value
    higher_is_better: bool = True
    per_day: bool = False
    whole: bool = False
    of: Literal["classes", "numbers", "both"] = "classes"


def evaluate(outcome: Outcome, names: Sequence[str]) -> dict[str, float]:
    """Return the value of each named metric.

    Parameters
    ----------
    outcome : Outcome
    names : list of str
        Of ``METRICS``, or ``card_precision_at_<k>``, ``precision_at_<k>``, ``vus_pr_<rows>``,
        ``recall_at_fpr_<percent>``.

    Raises
    ------
    UsageError
        An unknown name, or a metric that needs what the outcome lacks.
    DataError
        A metric that is undefined on these rows, such as the AUC of one class.
    """
    values = {}
    everything = np.zeros(len(outcome), np.intp)
    for name in names:
        found = metric(name, timed=outcome.when is not None, numbers=outcome.numbers)
        values[name] = float(found.value(found.sums(outcome, everything, 1).toarray())[0])
        if np.isnan(values[name]):
            raise DataError(
                f"{name} is undefined on these {len(outcome)} rows"
                + ("" if outcome.numbers else f", of which {int(outcome.y.sum())} are positive")
            )
    return values


def as_folds(outcomes: Outcome | Sequence[Outcome]) -> list[Outcome]:
    """Return one outcome or several as a list, one per fold."""
    several = [outcomes] if isinstance(outcomes, Outcome) else list(outcomes)
    if not several:
        raise UsageError("there is no outcome to evaluate")
    return several


def metric(name: str, timed: bool = True, numbers: bool | None = None) -> Metric:
    """Return a metric by its name, or raise UsageError with the nearest name.

    Parameters
    ----------
    name : str
    timed : bool
        Whether rows have times; ``precision_at_<k>`` is then a mean over days.
    numbers : bool, optional
        Whether it is to judge forecasts of numbers, or (False) of classes.
    """
    found = _named(name, timed)
    wanted = {None: found.of, True: "numbers", False: "classes"}[numbers]
    if found.of not in (wanted, "both"):
        fitting = [key for key, known in METRICS.items() if known.of in (wanted, "both")]
        raise UsageError(
            f"metric {name!r} judges {found.of}, and here {wanted} are forecast; allowed: "
            f"{', '.join(fitting)}"
        )
    return found


def _named(name: str, timed: bool) -> Metric:
    if name in METRICS:
        return METRICS[name]
    family, _, text = name.rpartition("_")
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if family == "recall_at_fpr" and 0 < number < 100:
        return Metric(ranking_sums, partial(_recall_at_fpr, fpr=number / 100))
    if number >= 1 and number == int(number):
        k = int(number)
        if family == "card_precision_at":
            return Metric(partial(_card_precision_sums, k=k), mean, per_day=True)
        if family == "precision_at" and timed:
            return Metric(partial(_precision_sums, k=k), mean, per_day=True)
        if family == "precision_at":
            return Metric(ranking_sums, partial(_precision_at_k, k=k))
        if family == "vus_pr":
            return Metric(partial(vus_sums, buffer=k), mean, whole=True)
    families = ["card_precision_at_100", "precision_at_100", "recall_at_fpr_1"]
    raise UsageError(f"unknown metric {name!r}; {nearest(name, [*METRICS, *families])}")


def ranking_sums(outcome: Outcome, block: Blocks, n_blocks: int) -> csr_array:
    """Sum weights of positives, then of negatives, by place in the order of scores, best first.

    Places are the distinct scores of positives and the spaces between them, so all that a ranking
    metric needs fits in twice as many sums as there are positives.
    """
    positive = outcome.y == 1
    thresholds = np.unique(outcome.score[positive])
    width = 2 * len(thresholds) + 1
    lower = np.searchsorted(thresholds, outcome.score, "left")
    not_higher = np.searchsorted(thresholds, outcome.score, "right")
    place = width - 1 - (lower + not_higher)
    return sparse(block, place + np.where(positive, 0, width), outcome.weights, n_blocks, 2 * width)


def halves(sums: Floats) -> tuple[Floats, Floats]:
    """Return the parts of ``ranking_sums``: weights of positives and of negatives by place."""
    width = sums.shape[1] // 2
    return sums[:, :width], sums[:, width:]


def _average_precision(sums: Floats) -> Floats:
    positive, negative = halves(sums)
    true, false = positive.cumsum(axis=1), negative.cumsum(axis=1)
    precision = np.nan_to_num(ratio(true, true + false))
    return ratio((positive * precision).sum(axis=1), true[:, -1])


def _roc_auc(sums: Floats) -> Floats:
    positive, negative = halves(sums)
    all_positive, all_negative = positive.sum(axis=1), negative.sum(axis=1)
    below = all_negative[:, None] - negative.cumsum(axis=1) + negative / 2
    return ratio((positive * below).sum(axis=1), all_positive * all_negative)


def _gini(sums: Floats) -> Floats:
    return np.asarray(2 * _roc_auc(sums) - 1)


def _ks(sums: Floats) -> Floats:
    positive, negative = halves(sums)
    caught = ratio(positive.cumsum(axis=1), positive.sum(axis=1, keepdims=True))
    alarmed = ratio(negative.cumsum(axis=1), negative.sum(axis=1, keepdims=True))
    return np.asarray((caught - alarmed).max(axis=1))


def _recall_at_fpr(sums: Floats, fpr: float) -> Floats:
    positive, negative = halves(sums)
    true, false = positive.cumsum(axis=1), negative.cumsum(axis=1)
    few = false <= fpr * false[:, -1:] * (1 + 1e-12)
    caught = ratio(np.where(few, true, 0).max(axis=1), true[:, -1])
    return np.where(false[:, -1] > 0, caught, np.nan)


def _precision_at_k(sums: Floats, k: int) -> Floats:
    positive, negative = halves(sums)
    mass = positive + negative
    above = mass.cumsum(axis=1) - mass
    share = np.nan_to_num(ratio(np.clip(k - above, 0, mass), mass))
    return np.asarray((share * positive).sum(axis=1) / k)


def _brier_sums(outcome: Outcome, block: Blocks, n_blocks: int) -> csr_array:
    return row_sums(outcome, (probabilities(outcome.score) - outcome.y) ** 2, block, n_blocks)


def _log_loss_sums(outcome: Outcome, block: Blocks, n_blocks: int) -> csr_array:
    loss = row_log_loss(outcome.y, probabilities(outcome.score))
    return row_sums(outcome, loss, block, n_blocks)


def _ece_sums(outcome: Outcome, block: Blocks, n_blocks: int, bins: int = 10) -> csr_array:
    p, w, n = probabilities(outcome.score), outcome.weights, len(outcome)
    column = np.concatenate([equal_mass_bins(p, bins, weight=w), np.full(n, bins)])
    values = np.concatenate([w * (p - outcome.y), w])
    return sparse(np.tile(block, 2), column, values, n_blocks, bins + 1)


def _ece(sums: Floats) -> Floats:
    return ratio(np.abs(sums[:, :-1]).sum(axis=1), sums[:, -1])


def _savings_sums(outcome: Outcome, block: Blocks, n_blocks: int) -> csr_array:
    if outcome.alerts is None or outcome.amount is None or outcome.false_alarm is None:
        raise UsageError(
            "savings needs decisions and what a miss and a false alarm cost; give the pipeline "
            "card a [decision] with `amount` (or `miss`) and `false_alarm`"
        )
    w, positive = outcome.weights, outcome.y == 1
    missed = w * np.where(positive, outcome.amount, 0.0)
    alarmed = w * np.where(positive, 0.0, outcome.false_alarm)
    values = np.concatenate([np.where(outcome.alerts, alarmed, missed), missed, alarmed])
    column = np.repeat([0, 1, 2], len(outcome))
    return sparse(np.tile(block, 3), column, values, n_blocks, 3)


def _savings(sums: Floats) -> Floats:
    return 1 - ratio(sums[:, 0], np.minimum(sums[:, 1], sums[:, 2]))


def _card_precision_sums(outcome: Outcome, block: Blocks, n_blocks: int, k: int) -> csr_array:
    if outcome.who is None or outcome.when is None:
        raise UsageError(f"card_precision_at_{k} needs a table with who (the card) and when")
    if outcome.weight is not None and np.ptp(outcome.weight) > 0:
        raise UsageError(
            f"card_precision_at_{k} counts cards and cannot respect row weights; leave it out"
        )
    by_day = card_precision_by_day(outcome.y, outcome.score, outcome.who, outcome.when, k)
    return day_sums(outcome, by_day, block, n_blocks)


def _precision_sums(outcome: Outcome, block: Blocks, n_blocks: int, k: int) -> csr_array:
    w, (days, day) = outcome.weights, np.unique(outcome.days, return_inverse=True)
    rows = [np.flatnonzero(day == d) for d in range(len(days))]
    values = [precision_at_k(outcome.y[r], outcome.score[r], k, weight=w[r]) for r in rows]
    return day_sums(outcome, pd.Series(values, days), block, n_blocks)


METRICS: dict[str, Metric] = {
    "average_precision": Metric(ranking_sums, _average_precision),
    "roc_auc": Metric(ranking_sums, _roc_auc),
    "gini": Metric(ranking_sums, _gini),
    "ks": Metric(ranking_sums, _ks),
    "brier": Metric(_brier_sums, mean, higher_is_better=False),
    "log_loss": Metric(_log_loss_sums, mean, higher_is_better=False),
    "ece": Metric(_ece_sums, _ece, higher_is_better=False),
    "savings": Metric(_savings_sums, _savings),
    "vus_pr": Metric(vus_sums, mean, whole=True),
    "mcc": Metric(forecast_metrics.direction_sums, forecast_metrics.mcc),
    **{
        name: Metric(sums, mean, higher_is_better=False, of="numbers")
        for name, sums in forecast_metrics.loss_sums_of.items()
    },
    "bias": Metric(forecast_metrics.bias_sums, mean, higher_is_better=False, of="numbers"),
    "r2": Metric(forecast_metrics.r2_sums, forecast_metrics.r2, of="numbers"),
    **{
        name: Metric(sums, mean, per_day=True, of="both")
        for name, sums in forecast_metrics.order_sums_of.items()
    },
}
