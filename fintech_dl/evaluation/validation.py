"""The numbers of a model validation report: evidence of a run for those who have to judge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.cards import Validation
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation import evidence
from fintech_dl.evaluation.attribution import last_step
from fintech_dl.evaluation.curves import cap_curve, lift_table
from fintech_dl.evaluation.cutoffs import cutoff_for, cutoff_table, swap_set
from fintech_dl.evaluation.drift import shift_since_training, triggers
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.fairness import fairness
from fintech_dl.evaluation.fidelity import reason_fidelity
from fintech_dl.evaluation.grades import Scale, grade, grade_table, master_scale, scale_of
from fintech_dl.evaluation.groups import column_of, groups_in, periods
from fintech_dl.evaluation.leakage import leakage
from fintech_dl.evaluation.outcomes import evaluate
from fintech_dl.evaluation.plain import plain
from fintech_dl.evaluation.reliability import brier_decomposition, hosmer_lemeshow, spiegelhalter
from fintech_dl.evaluation.segments import by_segment, rank_stability
from fintech_dl.evaluation.sensitivity import perturbation
from fintech_dl.evaluation.significance import bootstrap, delong, delong_difference
from fintech_dl.evaluation.splits import Fold
from fintech_dl.table import Table


@dataclass(frozen=True, eq=False)
class _Tested:
    """The test rows of all folds together; ``rows`` are their places in the table."""

    y: NDArray[np.float64]
    p: NDArray[np.float64]
    weight: NDArray[np.float64] | None
    rows: NDArray[np.intp]


def validate(
    validation: Validation,
    scored: Sequence[Scored],
    model: Any,
    table: Table,
    parts: Sequence[Fold],
    record: Mapping[str, Any],
    *,
    told: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the numbers of a model validation report.

    Parameters
    ----------
    validation : cards.Validation
    scored : sequence of Scored
        The model first, then its baselines, as for ``evidence.evidence``.
    model : fitted Pipeline
        The model of the latest fold, to be scored with other inputs.
    table : Table
    parts : sequence of Fold
        Of these rows, the latest first.
    record : dict
        Of the run: its verdict names the best baseline, its data the rows set aside.
    told : mapping, optional
        Of ``declines.with_reference``: with what the card's reasons are told.
    seed : int
        Of the resamples.

    Returns
    -------
    dict
        JSON-plain: ``rows``, ``cutoff``, ``discrimination``, ``calibration``, ``challenger``,
        ``fairness``, ``segments``, ``vintages``, ``apart`` (vintages after the test), ``ranks``,
        ``stability``, ``leakage``, ``sensitivity``, ``reasons`` and ``triggers``; None or empty
        where the run has nothing for it. Folds are taken together, but for ``apart`` and the last
        six, which are of the latest fold.

    Raises
    ------
    DataError
        No cut-off both approves and declines; else as the statistics.
    UsageError
        The model gives no probabilities.
    """
    own, rivals = scored[0], [one for one in scored[1:] if one.outcomes]
    if not own.probabilities:
        raise UsageError(
            f"[validation] needs probabilities of default, which {own.title} does not give; take a "
            "classifier, or add [calibration]"
        )
    rows = _together(own, parts)
    asked = validation.approval_rate
    try:
        cutoff = cutoff_for(rows.p, approval_rate=asked, weight=rows.weight)
    except DataError as error:
        raise DataError(f"[validation] approval_rate = {asked:g}: {error}") from error
    money = _exposure(validation, table, rows.rows)
    scale = _scale(validation.grades)
    vintages, ranks, young = None, None, None
    if table.when is not None:
        period = periods(table.when.iloc[rows.rows], validation.vintage)
        vintages = by_segment(rows.y, rows.p, period, weight=rows.weight, seed=seed)
        ranks = rank_stability(rows.y, grade(rows.p, scale), period, weight=rows.weight)
        if (later := own.apart) is not None:
            period = periods(table.when.iloc[parts[0].apart], validation.vintage)
            young = by_segment(later.y, later.score, period, weight=later.weight, seed=seed)
    found = {
        "rows": len(rows.y),
        "cutoff": {
            "asked": asked,
            "lgd": validation.lgd,
            "chosen": cutoff_table(rows.y, rows.p, [cutoff], weight=rows.weight, **money),
            "table": cutoff_table(rows.y, rows.p, weight=rows.weight, **money),
        },
        "discrimination": {
            "models": [_ranked(one, own, seed) for one in (own, *rivals)],
            "lift": lift_table(own.outcomes),
        },
        "calibration": _calibration(rows, scale),
        "challenger": _challenger(validation, own, rivals, table, parts, record),
        "fairness": _fairness(validation, table, rows, cutoff),
        "segments": {
            name: by_segment(
                rows.y,
                rows.p,
                groups_in(validation, table, name).iloc[rows.rows],
                weight=rows.weight,
                seed=seed,
            )
            for name in validation.segments
        },
        "vintages": vintages,
        "apart": young,
        "ranks": ranks,
        "stability": shift_since_training(own, table, parts[0], validation.vintage),
        "leakage": leakage(table, parts[0], validation.protected),
        **_tried(validation, own, model, table.X.iloc[parts[0].test], cutoff, told, seed),
    }
    given: dict[str, Any] = plain(found)
    return given | {"triggers": plain(triggers(given, record.get("data") or {}))}


def _together(one: Scored, parts: Sequence[Fold]) -> _Tested:
    outcomes = one.outcomes
    weighted = outcomes[0].weight is not None
    return _Tested(
        y=np.concatenate([o.y for o in outcomes]),
        p=np.concatenate([o.score for o in outcomes]),
        weight=np.concatenate([o.weights for o in outcomes]) if weighted else None,
        rows=np.concatenate([fold.test for fold in parts]),
    )


def _exposure(validation: Validation, table: Table, rows: NDArray[np.intp]) -> dict[str, Any]:
    if validation.lgd is None:
        return {}
    ead = column_of(table, validation.ead).iloc[rows]
    return {"lgd": validation.lgd, "ead": ead.to_numpy(dtype=np.float64, na_value=np.nan)}


def _scale(grades: int | list[float]) -> Scale:
    return master_scale(grades) if isinstance(grades, int) else scale_of(grades)


def _ranked(one: Scored, own: Scored, seed: int) -> dict[str, Any]:
    """Return how well one model ranks, and after DeLong how far the run's own is above it."""
    names = ["roc_auc", "gini", "ks"]
    tested: dict[str, Any] = {"delong": [], "delong_difference": []}
    if own.outcomes[0].weight is None:
        tested["delong"] = [delong(outcome) for outcome in one.outcomes]
        if one is not own:
            pairs = zip(own.outcomes, one.outcomes, strict=True)
            tested["delong_difference"] = [delong_difference(a, b) for a, b in pairs]
    return {
        "name": one.title,
        **bootstrap(one.outcomes, names, evidence.RESAMPLES, seed),
        "train": None if one.train is None else evaluate(one.train, names),
        **tested,
        "cap": cap_curve(one.outcomes, seed=seed).to_dict("list"),
    }


def _calibration(rows: _Tested, scale: Scale) -> dict[str, Any]:
    y, p, w = rows.y, rows.p, rows.weight
    grades = grade_table(y, p, scale, weight=w)
    sure = np.isin(p, (0, 0.5, 1)).all()
    return {
        "brier": vars(brier_decomposition(y, p, weight=w)),
        "hosmer_lemeshow": hosmer_lemeshow(y, p) if w is None else None,
        "spiegelhalter": spiegelhalter(y, p) if w is None and not sure else None,
        "grades": grades.grades,
        "portfolio": grades.portfolio,
        "herfindahl": grades.herfindahl,
        "monotone": grades.monotone,
        "reversals": grades.reversals,
    }


def _challenger(
    validation: Validation,
    own: Scored,
    rivals: Sequence[Scored],
    table: Table,
    parts: Sequence[Fold],
    record: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Return whom the best baseline would approve otherwise; None where none has probabilities."""
    able = [one for one in rivals if one.probabilities]
    if not able:
        return None
    best = (record.get("verdict") or {}).get("rival")
    rival = next((one for one in able if one.title == best), able[0])
    rows, other = _together(own, parts), _together(rival, parts)
    money = _exposure(validation, table, rows.rows)
    try:
        found = swap_set(
            rows.y, rows.p, other.p, validation.approval_rate, weight=rows.weight, **money
        )
    except DataError as error:
        return {"name": rival.title, "reason": str(error)}
    return {"name": rival.title, **vars(found)}


def _tried(
    validation: Validation,
    own: Scored,
    model: Any,
    X: pd.DataFrame,
    cutoff: float,
    told: Mapping[str, Any] | None,
    seed: int,
) -> dict[str, Any]:
    """Return what needs the model itself: other inputs scored, reasons for declines told."""
    outcome, codes = own.outcomes[0], getattr(last_step(model), "special_codes", None)
    return {
        "sensitivity": perturbation(model, X, outcome, cutoff, special_codes=codes, seed=seed),
        "reasons": reason_fidelity(
            model,
            X,
            outcome.score >= cutoff,
            protected=validation.protected,
            told=told,
            seed=seed,
        ),
    }


def _fairness(
    validation: Validation, table: Table, rows: _Tested, cutoff: float
) -> pd.DataFrame | None:
    names = validation.protected
    if not names:
        return None
    groups = pd.DataFrame({name: groups_in(validation, table, name) for name in names})
    reference = {name: validation.reference.get(name) for name in names}
    return fairness(
        rows.y, rows.p, groups.iloc[rows.rows], cutoff, reference=reference, weight=rows.weight
    )
