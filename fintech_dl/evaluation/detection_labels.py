"""Runs without labels: what may do without, and what is then left to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import get_tags

from fintech_dl.cards import Decision, PipelineCard, nearest
from fintech_dl.errors import CardError, DataError
from fintech_dl.evaluation.attribution import last_step
from fintech_dl.evaluation.decisions import summary
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.plain import plain
from fintech_dl.table import Table


def is_detector(model: Any) -> bool:
    """Return whether a model tells the unusual from the usual, and needs no label to do so."""
    return bool(get_tags(last_step(model)).estimator_type == "outlier_detector")


def check_table(
    card: PipelineCard, table: Table, *, numbers: bool, detects: bool, searched: bool
) -> None:
    """Refuse, before anything is fitted, a table that does not serve its card.

    Parameters
    ----------
    card : PipelineCard
    table : Table
    numbers : bool
        Whether numbers are forecast.
    detects : bool
        Whether the model is a detector, which learns without labels.
    searched : bool
        Whether parameters will be searched.

    Raises
    ------
    DataError
        No labels where they are needed, one label only, or others than 0 and 1 for classes.
    CardError
        ``kinds``, or the ``amount`` of the decision, is no column that is set aside.
    """
    beside = [] if table.aside is None else [str(name) for name in table.aside]
    amount = card.decision.amount if card.decision else ""
    kinds = card.kinds if table.y is not None else ""
    for key, name in (("[decision] amount", amount), ("kinds", kinds)):
        if name and name not in beside:
            raise CardError(
                f"{card.name}: {key} = {name!r} is no column that [table] sets aside; "
                f"{nearest(name, beside)}"
            )
    where = f"dataset {card.dataset}"
    if table.y is None:
        if not detects:
            raise DataError(f"{where}: holds no labels to learn from")
        if card.validation or searched:
            what = "[validation]" if card.validation else "--search"
            raise DataError(f"{where}: holds no labels, which {what} needs; leave it out")
        return
    if table.y.nunique() < 2:
        raise DataError(
            f"{where}: all {len(table):,} rows have the label {table.y.iloc[0]}; "
            "there is nothing to tell apart. Check the label column, or take a longer time"
        )
    if not numbers and not table.y.dropna().isin((0, 1)).all():
        seen = ", ".join(map(repr, table.y.dropna().unique().tolist()[:5]))
        raise DataError(
            f"{where}: the label holds {seen}; allowed: 0 and 1. Choose what "
            "counts as 1 before the file is read, or set `allowed = [0, 1]` in its card, so that "
            "other rows are set aside"
        )


def without_labels(scored: Sequence[Scored], decision: Decision | None) -> dict[str, Any]:
    """Return what ``evidence`` would, of rows whose labels nobody knows: no metric, no verdict.

    Parameters
    ----------
    scored : sequence of Scored
    decision : cards.Decision, optional

    Examples
    --------
    >>> from fintech_dl.evaluation.detection_labels import without_labels
    >>> sorted(without_labels([], None))
    ['comparison', 'decision', 'models', 'verdict']
    """
    measured = ["name", "title", "is_baseline", "reason"]
    measured += ["fit_seconds", "rows_per_second", "peak_memory_mb"]
    decided = {} if decision is None else summary(scored[0].outcomes, decision)
    known = ("rule", "text", "threshold", "days", "alerts", "alerts_per_day")
    return {
        "models": [
            {name: getattr(one, name) for name in measured} | {"ran": bool(one.outcomes)}
            for one in scored
        ],
        "comparison": [],
        "verdict": {"text": "No label is known: nothing tells how many of the alerts are right."},
        "decision": plain({k: v for k, v in decided.items() if k in known}),
    }


def unlabelled(table: Table) -> Table:
    """Return a table without labels as one that can be scored: no row is known to be a positive."""
    return replace(table, y=pd.Series(np.zeros(len(table), dtype=np.int8)))
