"""Scores of model and baselines on the same rows to the evidence part of a run's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from fintech_dl.cards import Decision
from fintech_dl.errors import UsageError
from fintech_dl.evaluation import forecast_evidence
from fintech_dl.evaluation.curves import calibration_curve, precision_recall_curve, roc_curve
from fintech_dl.evaluation.decisions import by_day, cost_curve, decided, summary
from fintech_dl.evaluation.interval_record import Bands
from fintech_dl.evaluation.outcomes import Outcome, evaluate, metric
from fintech_dl.evaluation.plain import plain
from fintech_dl.evaluation.resampling import blocks
from fintech_dl.evaluation.significance import bootstrap, paired_difference, verdict

RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Scored:
    """A model, or a baseline, and what it scored: one outcome per fold.

    ``reason`` says why a baseline did not run; ``train`` is the outcome on the latest fold's
    training rows; ``probabilities`` is whether scores are probabilities; ``bands`` are the
    intervals of each fold, if any; ``further`` are the outcomes of each fold beyond the main
    horizon; ``apart`` is the outcome on rows after the test that count in no verdict.
    """

    name: str
    title: str
    is_baseline: bool
    outcomes: list[Outcome] = field(default_factory=list)
    train: Outcome | None = None
    fit_seconds: float = 0.0
    rows_per_second: float = 0.0
    peak_memory_mb: float = 0.0
    probabilities: bool = True
    reason: str = ""
    bands: list[Bands] = field(default_factory=list)
    further: list[list[Outcome]] = field(default_factory=list)
    apart: Outcome | None = None


def evidence(
    scored: Sequence[Scored],
    metrics: Sequence[str],
    decision: Decision | None,
    *,
    forecast: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the parts ``models``, ``comparison``, ``verdict`` and ``decision`` of the record.

    Parameters
    ----------
    scored : sequence of Scored
        The model first, then its baselines.
    metrics : sequence of str
        See ``outcomes.evaluate``; the first decides the verdict.
    decision : cards.Decision, optional
    forecast : dict, optional
        Of forecasts in time the part ``forecast`` of the record: all folds then count together, and
        the tests are those of ``forecast_evidence``. A model whose ``trading`` earned nothing after
        cost *beats* nobody.
    seed : int
        Of the resamples.

    Raises
    ------
    UsageError
        There is no metric, or one that is unknown.
    """
    if not metrics:
        raise UsageError("the card names no metrics; the first of them decides the verdict")
    check_metrics(metrics)
    if decision is not None:
        scored = [_with_alerts(one, decision) for one in scored]
    present = [one for one in scored if one.outcomes]
    own, rivals = present[0], present[1:]
    in_time = forecast is not None
    whole = {one.title: forecast_evidence.joined(one.outcomes) for one in present if in_time}
    record: dict[str, Any] = {
        "models": [_model(one, metrics, decision, whole.get(one.title), seed) for one in scored],
        "comparison": [
            _compared(own, rival, name, whole, seed)
            for rival in rivals
            for name in metrics
            if _fits(own, name) and _fits(rival, name)
        ],
        "verdict": {},
        "decision": {},
    }
    if rivals and forecast is not None:
        book = forecast.get("trading")
        record["verdict"] = forecast_evidence.verdict(whole, metrics[0], book)
    elif rivals:
        found = verdict(
            own.title,
            {one.title: one.outcomes for one in present},
            metrics[0],
            n=RESAMPLES,
            seed=seed,
        )
        words = {"beats": "beats", "is worse than": "worse"}
        record["verdict"] = {
            "text": found.text,
            "outcome": words.get(found.outcome, "same"),
            "metric": metrics[0],
            "rival": found.rival,
        }
    if decision is not None:
        record["decision"] = _decision(own, decision, seed)
        record["decision"]["rivals"] = [
            _decided(rival, decision, seed) for rival in rivals if _decidable(rival, decision)
        ]
    return record


def check_metrics(names: Sequence[str], numbers: bool | None = None) -> None:
    """Raise UsageError unless all metrics are known and the first can decide the verdict.

    ``numbers`` says whether numbers are forecast, or (False) classes.
    """
    found = [metric(name, numbers=numbers) for name in names]
    if found and found[0].whole:
        raise UsageError(
            f"metrics: {names[0]!r} stands first and would decide the verdict, but it is of whole "
            "series and has no paired test; name another one first, such as 'average_precision'"
        )


def _model(
    one: Scored,
    metrics: Sequence[str],
    decision: Decision | None,
    whole: Outcome | None,
    seed: int,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": one.name,
        "title": one.title,
        "is_baseline": one.is_baseline,
        "ran": bool(one.outcomes),
        "reason": one.reason,
    }
    if not one.outcomes:
        return found
    fitting = [name for name in metrics if _fits(one, name)]
    intervals = bootstrap(one.outcomes if whole is None else whole, fitting, n=RESAMPLES, seed=seed)
    per_fold = [evaluate(outcome, fitting) for outcome in one.outcomes]
    curves = {}
    if whole is None:
        curves["precision_recall"] = _columns(precision_recall_curve(one.outcomes, seed=seed))
        curves["roc"] = _columns(roc_curve(one.outcomes, seed=seed))
    if one.probabilities and not one.outcomes[0].numbers:
        curves["calibration"] = _columns(calibration_curve(one.outcomes))
    found |= {
        "metrics": {
            name: {
                **plain(value),
                "folds": plain([values[name] for values in per_fold]),
            }
            for name, value in intervals.items()
        },
        **({} if one.apart is None else {"apart": _apart(one.apart, fitting, seed)}),
        "train_metrics": {} if one.train is None else plain(evaluate(one.train, fitting)),
        "fit_seconds": one.fit_seconds,
        "rows_per_second": one.rows_per_second,
        "peak_memory_mb": one.peak_memory_mb,
        "curves": curves,
    }
    if decision and _decidable(one, decision) and one.outcomes[0].when is not None:
        days = pd.concat([by_day(outcome, decision) for outcome in one.outcomes])
        days = days.sort_values("day", kind="stable").assign(day=lambda d: d["day"].astype(str))
        found["by_day"] = _columns(days)
    return found


def _with_alerts(one: Scored, decision: Decision) -> Scored:
    """Return the same with the decision's alerts in every outcome, so that savings are defined."""
    if not one.outcomes or not _decidable(one, decision):
        return one
    train, apart = (o and decided(o, decision) for o in (one.train, one.apart))
    outcomes = [decided(o, decision) for o in one.outcomes]
    return replace(one, outcomes=outcomes, train=train, apart=apart)


def _apart(outcome: Outcome, metrics: Sequence[str], seed: int) -> dict[str, Any]:
    found = bootstrap(outcome, metrics, n=RESAMPLES, seed=seed)
    return {name: plain(value) for name, value in found.items()}


def _compared(
    own: Scored, rival: Scored, name: str, whole: Mapping[str, Outcome], seed: int
) -> dict[str, Any]:
    if whole:
        ours, theirs = whole[own.title], whole[rival.title]
        told = forecast_evidence.compared(ours, theirs, name, n=RESAMPLES, seed=seed)
        return {"rival": rival.title, "metric": name, **plain(told)}
    found = paired_difference(own.outcomes, rival.outcomes, name, n=RESAMPLES, seed=seed)
    by_days = all(blocks(outcome).days for outcome in own.outcomes)
    return {
        "rival": rival.title,
        "metric": name,
        "difference": plain(found.value),
        "low": plain(found.low),
        "high": plain(found.high),
        "p_value": plain(found.p_value),
        "test": f"paired bootstrap of {'days' if by_days else 'rows'}, two-sided",
    }


def _decision(one: Scored, decision: Decision, seed: int) -> dict[str, Any]:
    if not _decidable(one, decision):
        raise UsageError(
            f'decision.rule = "cost" needs probabilities, which {one.title} does not give; '
            'use rule = "capacity"'
        )
    return _decided(one, decision, seed)


def _decided(one: Scored, decision: Decision, seed: int) -> dict[str, Any]:
    found = summary(one.outcomes, decision)
    saved: dict[str, Any] = {"value": found["savings"], "low": None, "high": None}
    if found["savings"] is not None:
        interval = bootstrap(one.outcomes, ["savings"], n=RESAMPLES, seed=seed)["savings"]
        saved |= {"low": plain(interval.low), "high": plain(interval.high)}
    curve = _columns(cost_curve(one.outcomes, decision))
    return {"name": one.name, **plain(found), "savings": saved, "curve": curve}


def _decidable(one: Scored, decision: Decision) -> bool:
    return one.probabilities or decision.rule == "capacity"


def _fits(one: Scored, name: str) -> bool:
    """Whether a metric says something about this model's scores."""
    metric(name)
    return one.probabilities or name not in ("brier", "log_loss", "ece", "savings", "mcc")


def _columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): plain(frame[name].tolist()) for name in frame.columns}
