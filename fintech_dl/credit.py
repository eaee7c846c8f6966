"""What a run tells a lender beside its scores: reasons for declines, and a table of points."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from fintech_dl.cards import PipelineCard
from fintech_dl.errors import CardError, DataError, UsageError
from fintech_dl.estimators.point_scores import compare_points, default_probability, score_points
from fintech_dl.estimators.points import check_scorecard, points_table
from fintech_dl.evaluation.alerts import decide
from fintech_dl.evaluation.attribution import last_step
from fintech_dl.evaluation.declines import RECORD, decline_table, settle, with_reference
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.plain import plain
from fintech_dl.table import Table

FIRST, SHOWN = ["feature_1", "text_1"], ["feature", "text"]


@dataclass(frozen=True, eq=False)
class Told:
    """What a card asked for, ready to be kept.

    Attributes
    ----------
    record : dict
        Parts of the run's record, JSON-plain: ``reasons``, ``points``.
    kept : dict
        Records for the artefact, by name: with what reasons are told of new rows.
    tables : dict
        Name of a CSV file to its lines.
    """

    record: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


def check_told(card: PipelineCard, model: Pipeline, X: pd.DataFrame) -> dict[str, Any] | None:
    """Return what reasons will be told with, None without ``[reasons]``; nothing is fitted yet.

    Raises
    ------
    CardError
        A feature without a text, a model without gradients; ``[points]`` of what is no scorecard.
    """
    if card.points:
        try:
            check_scorecard(model[-1])
        except UsageError as error:
            raise CardError(f"{card.name}: [points]: {error}") from error
    if not card.reasons:
        return None
    if not hasattr(model[-1], "input_gradients"):
        raise CardError(
            f"{card.name}: [reasons]: {type(model[-1]).__name__} has no gradients, of which "
            "reasons are made; take a model of fintech_dl, such as fintech_dl.NeuralClassifier"
        )
    protected = [*card.table.get("protected", [])]
    protected += card.validation.protected if card.validation else []
    return settle(card.reasons, X[:0], protected, f"{card.name}: [reasons]", card.folder)


def tell_lender(
    card: PipelineCard,
    settled: dict[str, Any] | None,
    model: Any,
    table: Table,
    test: NDArray[np.intp],
    outcome: Outcome,
    key: str = "",
) -> Told:
    """Return reasons and points of the newest test rows.

    Parameters
    ----------
    card : PipelineCard
    settled : dict, optional
        Of ``check_told``.
    model : fitted Pipeline
        Of the newest fold.
    table : Table
    test : array of int
        Positions of these rows.
    outcome : Outcome
        Their scores.
    key : str
        Column by which rows are known; their position in the table if it is not ``aside``.

    Returns
    -------
    Told

    Warns
    -----
    UserWarning
        Reasons cannot be told: the run keeps everything else.
    """
    found = Told()
    rows = table.rows(test)
    declined = None
    if card.decision:
        declined = decide(card.decision, outcome.score, outcome.amount, outcome.when)
    if card.points:
        points = _points(card, model, rows.X, outcome, declined)
        found.tables["points.csv"] = points["table"]
        found.record["points"] = plain(points)
    if settled is None or declined is None:
        return found
    ids = pd.DataFrame({"row": test})
    if rows.aside is not None and key in rows.aside:
        ids = rows.aside[[key]].reset_index(drop=True)
    try:
        record = with_reference(settled, model, rows.X, declined)
        lines = decline_table(record, model, rows.X, ids, outcome.score, declined)
    except (DataError, UsageError) as error:
        warnings.warn(f"saved without reasons: {error}", stacklevel=2)
        found.record[RECORD] = {"reason": str(error)}
        return found
    found.kept[RECORD] = record
    found.tables["reasons.csv"] = lines
    told = lines[lines["feature_1"] != ""].rename(columns=dict(zip(FIRST, SHOWN, strict=True)))
    named = told.groupby(SHOWN, as_index=False).size().rename(columns={"size": "rows"})
    found.record[RECORD] = {
        "rows": len(rows),
        "declined": len(lines),
        "unexplained": int((lines["feature_1"] == "").sum()),
        "reference": record["reference"],
        "first": plain(named.sort_values("rows", ascending=False, kind="stable")),
    }
    return found


def _points(
    card: PipelineCard,
    model: Any,
    X: pd.DataFrame,
    outcome: Outcome,
    declined: NDArray[np.bool_] | None,
) -> dict[str, Any]:
    """Return the table of points, and how far its scores and decisions are from the model's."""
    assert card.points
    network, scale = last_step(model), asdict(card.points)
    table = points_table(network, **scale)
    del scale["round_to"]
    gaps = compare_points(network, table, X, cutoff=card.points.base_score, **scale)
    found: dict[str, Any] = {key: gaps[key] for key in ("rows", "largest_gap", "mean_gap")}
    found |= {**asdict(card.points), "table": table, "flips": None}
    if card.decision and declined is not None:
        p = default_probability(score_points(table, X), **scale)
        by_points = decide(card.decision, p, outcome.amount, outcome.when)
        found |= {
            "declined": int(declined.sum()),
            "flips": int((by_points != declined).sum()),
            "declined_by_points_alone": int((by_points & ~declined).sum()),
        }
    return found
