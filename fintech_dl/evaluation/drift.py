"""How far the test differs from what was learned from, and when a model in use needs a look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.groups import periods
from fintech_dl.evaluation.splits import Fold
from fintech_dl.evaluation.stability import SHIFT, WATCH, csi, psi
from fintech_dl.table import Table

POINTS = 0.05  # of the approval rate: what counts whatever chance says


def shift_since_training(own: Scored, table: Table, latest: Fold, length: str) -> dict[str, Any]:
    """Return how far a fold's test rows differ from its training rows, all and by vintage.

    Parameters
    ----------
    own : Scored
        The model; its ``train`` holds the scores of the training rows.
    table : Table
    latest : Fold
        The fold of ``own.train``; its first outcome holds the scores of the test rows.
    length : str
        ``"month"`` or ``"quarter"``: of a vintage.

    Returns
    -------
    dict
        ``rows_expected``, ``rows_actual``, ``score`` (see ``stability.Shift``), ``features`` (see
        ``stability.csi``) and ``vintages``: per vintage ``rows``, PSI of the score and of each
        feature; empty where rows have no times.
    """
    assert own.train is not None
    train, test = table.rows(latest.train), table.rows(latest.test)
    learned, score = own.train.score, own.outcomes[0].score
    sides: dict[str, Any] = {"weight_expected": train.weight, "weight_actual": test.weight}
    vintages = []
    period = None if test.when is None else periods(test.when, length)
    for name in [] if period is None else sorted(set(period)):
        at = np.flatnonzero(period == name)
        part = test.rows(at)
        weights: dict[str, Any] = {"weight_expected": train.weight, "weight_actual": part.weight}
        found, features = psi(learned, score[at], **weights), csi(train.X, part.X, **weights)
        vintages.append(
            {
                "vintage": name,
                "rows": len(at),
                "psi": found.psi,
                "chance_95": found.chance_95,
                "rule_of_thumb": found.rule_of_thumb,
                "beyond_chance": found.beyond_chance,
                "features": dict(zip(features["feature"].map(str), features["psi"], strict=True)),
            }
        )
    return {
        "rows_expected": len(train),
        "rows_actual": len(test),
        "score": vars(psi(learned, score, **sides)),
        "features": csi(train.X, test.X, **sides),
        "vintages": vintages,
    }


def triggers(found: Mapping[str, Any], data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return from which values on a model in use is to be watched, and to be acted upon.

    Drawn from what the run saw, as a proposal: people decide, and say so in the report.

    Parameters
    ----------
    found : dict
        What ``validation.validate`` has gathered.
    data : dict
        Of the run's record.

    Returns
    -------
    list of dict
        ``measure``, ``normal`` (in this run), ``watch`` and ``act``.
    """
    own = found["discrimination"]["models"][0]
    rate = found["cutoff"]["chosen"][0]["approval_rate"]
    sizes = [line["rows"] for line in found["stability"]["vintages"]] or [found["rows"]]
    spread = 1.96 * float(np.sqrt(rate * (1 - rate) / np.median(sizes)))
    score, whole = found["stability"]["score"], found["calibration"]["portfolio"][0]
    lines = [
        {"measure": "score_psi", "normal": score["psi"], "watch": WATCH, "act": SHIFT},
        {
            "measure": "feature_psi",
            "normal": max(line["psi"] for line in found["stability"]["features"]),
            "watch": WATCH,
            "act": SHIFT,
        },
        {
            "measure": "approval_rate",
            "normal": rate,
            "watch": spread,
            "act": max(2 * spread, POINTS),
        },
        {"measure": "default_rate", "normal": whole["jeffreys_p"], "watch": 0.05, "act": 0.01},
    ]
    if own["gini"]["low"] is not None:
        value, low = own["gini"]["value"], own["gini"]["low"]
        act = max(low - (value - low), 0.0)
        lines.insert(0, {"measure": "gini", "normal": value, "watch": low, "act": act})
    if data.get("rows_read"):
        share = data.get("rows_quarantined", 0) / data["rows_read"]
        watch = max(2 * share, 0.01)
        lines.append({"measure": "quarantined", "normal": share, "watch": watch, "act": 5 * watch})
    return lines
