"""What the decision rule of a pipeline card costs and what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.cards import Decision
from fintech_dl.evaluation.alerts import decide as decide
from fintech_dl.evaluation.alerts import losses as losses
from fintech_dl.evaluation.metrics import Floats, card_precision_by_day, cost
from fintech_dl.evaluation.outcomes import Outcome, as_folds


def decided(outcome: Outcome, decision: Decision) -> Outcome:
    """Return the outcome with the alerts of a decision and what errors cost, ready for savings.

    ``outcome.amount`` holds the amounts on the way in and the loss per row on the way out.
    """
    alerts = decide(decision, outcome.score, outcome.amount, outcome.when)
    loss = losses(decision, outcome.amount, len(outcome))
    return replace(outcome, alerts=alerts, amount=loss, false_alarm=decision.false_alarm)


def summary(outcomes: Outcome | Sequence[Outcome], decision: Decision) -> dict[str, Any]:
    """Return what a decision does on all folds together, as the report shows it.

    Row weights count: with them all numbers speak of the population.

    Parameters
    ----------
    outcomes : Outcome or list of Outcome
        One per fold.
    decision : cards.Decision

    Returns
    -------
    dict
        ``rule``, ``text`` (the rule in words), ``threshold`` (least expected loss, or least score,
        that raises an alert; None if capacity raised none), ``false_alarm``, ``days``, ``alerts``,
        ``alerts_per_day``, ``true_alerts``, ``precision``, ``recall``, ``cost``,
        ``cost_of_best_trivial``, ``best_trivial`` and ``savings``. None where rows have no times or
        a miss has no price.

    Examples
    --------
    >>> from fintech_dl.cards import Decision
    >>> from fintech_dl.evaluation.decisions import summary
    >>> from fintech_dl.evaluation.outcomes import Outcome, as_folds
    >>> outcome = Outcome(y=[1, 0, 1], score=[0.9, 0.2, 0.1], amount=[100, 100, 20])
    >>> found = summary(outcome, Decision(rule="cost", false_alarm=5.0))
    >>> found["alerts"], found["cost"], found["cost_of_best_trivial"], found["savings"]
    (2.0, 25.0, 5.0, -4.0)
    """
    folds = [decided(o, decision) for o in as_folds(outcomes)]
    y, w = _joined([o.y for o in folds]) == 1, _joined([o.weights for o in folds])
    alerts = _joined([o.alerts for o in folds])
    days = None if folds[0].when is None else sum(len(np.unique(o.days)) for o in folds)
    threshold: float | None = decision.threshold
    if decision.rule == "cost":
        threshold = decision.false_alarm
    elif decision.rule == "capacity":
        raised = _joined([o.score for o in folds])[alerts]
        threshold = float(raised.min()) if len(raised) else None
    found: dict[str, Any] = {
        "rule": decision.rule,
        "text": _text(decision),
        "threshold": threshold,
        "false_alarm": decision.false_alarm,
        "days": days,
    }
    found |= _counts(y, alerts, w, days)
    found |= {"cost": None, "cost_of_best_trivial": None, "best_trivial": None, "savings": None}
    if folds[0].amount is not None:
        loss = _joined([o.amount for o in folds])
        none, everything = np.zeros(len(y), bool), np.ones(len(y), bool)
        price = {
            name: cost(y, which, loss, decision.false_alarm, weight=w)
            for name, which in (("own", alerts), ("none", none), ("all", everything))
        }
        best = "none" if price["none"] <= price["all"] else "all"
        found |= {
            "cost": price["own"],
            "cost_of_best_trivial": price[best],
            "best_trivial": best,
            "savings": 1 - price["own"] / price[best] if price[best] > 0 else None,
        }
    return found


def cost_curve(
    outcomes: Outcome | Sequence[Outcome], decision: Decision, points: int = 200
) -> pd.DataFrame:
    """Return what every threshold would do: the curve on which the decision is one point.

    The threshold runs over the expected loss (rule ``cost``) or over the score (other rules).

    Parameters
    ----------
    outcomes : Outcome or list of Outcome
        One per fold; all folds together.
    decision : cards.Decision
    points : int
        Most thresholds to return: three quarters of them for the first alerts, up to ten times as
        many as there are positives; the rest for the rows below.

    Returns
    -------
    DataFrame
        By falling threshold: ``threshold`` (alert at or above it), ``alerts``, ``alerts_per_day``,
        ``true_alerts``, ``precision``, ``recall`` and ``cost``; None or NaN as in ``summary``.

    Examples
    --------
    >>> from fintech_dl.cards import Decision
    >>> from fintech_dl.evaluation.decisions import cost_curve
    >>> from fintech_dl.evaluation.outcomes import Outcome, as_folds
    >>> outcome = Outcome(y=[1, 0, 1], score=[0.9, 0.2, 0.1], amount=[100, 100, 20])
    >>> cost_curve(outcome, Decision(rule="cost", false_alarm=5.0))[["threshold", "cost"]]
       threshold  cost
    0       90.0  20.0
    1       20.0  25.0
    2        2.0   5.0
    """
    folds = [decided(o, decision) for o in as_folds(outcomes)]
    y, w = _joined([o.y for o in folds]) == 1, _joined([o.weights for o in folds])
    worth = _joined([o.score for o in folds])
    loss = None if folds[0].amount is None else _joined([o.amount for o in folds])
    if decision.rule == "cost" and loss is not None:
        worth = worth * loss
    order = np.argsort(-worth, kind="stable")
    worth, y, w = worth[order], y[order], w[order]
    last = np.flatnonzero(np.append(np.diff(worth) != 0, True))
    at = last[_spread(len(last), int(np.searchsorted(last, 10 * y.sum())), points)]
    alerts, hits = np.cumsum(w)[at], np.cumsum(w * y)[at]
    curve = pd.DataFrame({"threshold": worth[at], "alerts": alerts})
    if folds[0].when is not None:
        curve["alerts_per_day"] = alerts / sum(len(np.unique(o.days)) for o in folds)
    curve["true_alerts"] = hits
    curve["precision"] = np.divide(hits, alerts, out=np.zeros(len(at)), where=alerts > 0)
    curve["recall"] = hits / max((w * y).sum(), np.finfo(float).tiny)
    if loss is not None:
        missed = (w * y * loss[order]).sum() - np.cumsum(w * y * loss[order])[at]
        curve["cost"] = missed + decision.false_alarm * (alerts - hits)
    return curve


def by_day(outcome: Outcome, decision: Decision, k: int = 100) -> pd.DataFrame:
    """Return the work and the catch of each test day.

    Returns
    -------
    DataFrame
        ``day``, ``rows``, ``positives``, ``alerts``, ``true_alerts``, ``precision`` and ``recall``
        of the decision (NaN on days without alerts or positives), and ``card_precision`` at ``k``
        where rows are about persons and have no weights.

    Raises
    ------
    UsageError
        Rows without times.
    """
    done = decided(outcome, decision)
    w, y = done.weights, done.y
    rows = pd.DataFrame(
        {
            "day": done.days,
            "rows": w,
            "positives": w * y,
            "alerts": w * done.alerts,
            "true_alerts": w * y * done.alerts,
        }
    )
    days = rows.groupby("day").sum()
    days["precision"] = days["true_alerts"] / days["alerts"].where(days["alerts"] > 0)
    days["recall"] = days["true_alerts"] / days["positives"].where(days["positives"] > 0)
    if done.who is not None and done.weight is None:
        cards = card_precision_by_day(done.y, done.score, done.who, done.when, k)
        days["card_precision"] = cards
    return days.reset_index()


def _text(decision: Decision) -> str:
    if decision.rule == "cost":
        loss = decision.amount or "amount"
        loss = f"a loss of {decision.miss:,.2f}" if decision.miss is not None else loss
        return f"alert where probability x {loss} exceeds {decision.false_alarm:,.2f}"
    if decision.rule == "capacity":
        return f"alert on the {decision.per_day:,} highest scores of each day"
    return f"alert where the score is {decision.threshold:g} or more"


def _counts(
    y: NDArray[np.bool_], alerts: NDArray[np.bool_], w: Floats, days: int | None
) -> dict[str, Any]:
    raised, hits, positives = (float(w[rows].sum()) for rows in (alerts, alerts & y, y))
    return {
        "alerts": raised,
        "alerts_per_day": raised / days if days else None,
        "true_alerts": hits,
        "precision": hits / raised if raised > 0 else None,
        "recall": hits / positives if positives > 0 else None,
    }


def _spread(n: int, dense: int, points: int) -> NDArray[np.intp]:
    """Return at most ``points`` of 0..n-1: three quarters below ``dense``, both ends included."""
    if n <= points:
        return np.arange(n)
    dense = min(max(dense, 1), n - 1)
    many = min(3 * points // 4, dense)
    head = np.linspace(0, dense, many, endpoint=False)
    tail = np.linspace(dense, n - 1, points - many)
    return np.unique(np.concatenate([head, tail]).astype(np.intp))


def _joined(parts: list[Any]) -> NDArray[Any]:
    return np.concatenate(parts)
