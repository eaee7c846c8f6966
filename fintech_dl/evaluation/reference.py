"""What rows looked like when the model was made, frozen in its artefact: counts in bins, no rows.

New rows are counted in the same bins as they are scored (``scoring.counts``), so that drift is told
from counts alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fintech_dl.cards import Decision
from fintech_dl.errors import DataError
from fintech_dl.evaluation.binning import MOST_CATEGORIES, frequent, quantile_bounds
from fintech_dl.evaluation.curves import calibration_curve
from fintech_dl.evaluation.decisions import decided
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.metrics import Floats, effective_rows
from fintech_dl.evaluation.outcomes import Outcome, evaluate
from fintech_dl.evaluation.plain import plain
from fintech_dl.evaluation.significance import bootstrap
from fintech_dl.evaluation.splits import Fold
from fintech_dl.table import Table

FORMAT = 1
MOST_SORTED = 100_000  # rows that bounds are taken from; all rows are counted
MOST_KNOWN = 10_000  # categories beyond the frequent ones that are kept by name
RESAMPLES = 300


def reference_record(
    table: Table,
    latest: Fold,
    own: Scored,
    decision: Decision | None,
    facts: Mapping[str, Any],
    *,
    labelled: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what an artefact keeps of the rows that its model learned from and was tested on.

    Parameters
    ----------
    table : Table
    latest : Fold
        Its training rows are the reference of the features, its test rows that of the score: a
        model's scores of rows that it has learned from are too sure.
    own : Scored
        The model; its first outcome is that of ``latest``.
    decision : cards.Decision, optional
    facts : dict
        Of the reading: rows read, and rows set aside by reason.
    labelled : bool
        Whether the labels of the outcome are real.
    seed : int
        Of the resamples.

    Returns
    -------
    dict
        JSON-plain: ``rows``, ``features`` (see ``describe_feature``; dates have none), ``score``,
        ``alert_rate``, ``quarantined_share`` with ``rows_read`` and ``quarantine_reasons``, and
        ``test``: the metrics that later labels are compared with. Counts of weighted rows are sums
        of weights, ``effective_rows`` is Kish's number of them.
    """
    outcome = own.outcomes[0]
    rows = table.rows(latest.train)
    weight = None if rows.weight is None else rows.weight.to_numpy(dtype=np.float64)
    features = [describe_feature(str(name), rows.X[name], weight) for name in rows.X]
    read = int(facts.get("rows_read") or 0)
    aside = int(facts.get("rows_quarantined") or 0)
    return {
        "format": FORMAT,
        "rows": len(rows),
        "effective_rows": _effective(weight, len(rows)),
        "features": [one for one in features if one is not None],
        "score": {
            **_numbers(np.asarray(outcome.score), outcome.weight),
            "rows": len(outcome),
            "effective_rows": _effective(outcome.weight, len(outcome)),
            "of": "latest test",
        },
        "alert_rate": _alert_rate(outcome, decision),
        "alert_rule": None if decision is None else decision.rule,
        "rows_read": read,
        "quarantined_share": aside / read if read else 0.0,
        "quarantine_reasons": dict(facts.get("quarantine_reasons") or {}),
        "test": measured(outcome, own.probabilities, seed=seed) if labelled else None,
    }


def describe_feature(
    name: str, values: pd.Series[Any], weight: Floats | None = None
) -> dict[str, Any] | None:
    """Return the bins of a feature and what they hold, None for dates.

    Parameters
    ----------
    name : str
    values : Series of shape (n_rows,)
        Numbers, or categories (text, truth values, pandas categories).
    weight : array of shape (n_rows,), optional

    Returns
    -------
    dict or None
        ``name``, ``kind``, ``counts`` and ``missing``. Of a ``"number"`` the rising ``edges``, one
        fewer than counts: a value equal to an edge lies below it. Of a ``"category"`` the 49 most
        frequent ``categories``, rows of all ``other`` ones and their names ``others`` (None beyond
        10,000 of them).

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.reference import describe_feature
    >>> found = describe_feature("housing", pd.Series(["own", "rent", None, "own"]))
    >>> found["categories"], found["counts"], found["missing"]
    (['own', 'rent'], [2, 1], 1)
    """
    if pd.api.types.is_datetime64_any_dtype(values):
        return None
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return {"name": name, "kind": "number", **_numbers(numbers, weight)}
    codes, labels = pd.factorize(values)
    known = codes >= 0
    named = np.array([str(label) for label in labels], dtype=object)
    w = np.ones(len(codes)) if weight is None else weight
    order = frequent(named[codes[known]], w[known])
    place = {label: i for i, label in enumerate(order)}
    at = np.append([place[label] for label in named], len(order)).astype(np.intp)[codes]
    mass = _mass(at, weight, len(order) + 1)
    kept = MOST_CATEGORIES - 1
    others = order[kept:]
    return {
        "name": name,
        "kind": "category",
        "categories": order[:kept],
        "counts": mass[:-1][:kept],
        "other": sum(mass[:-1][kept:]),
        "others": others if len(others) <= MOST_KNOWN else None,
        "missing": mass[-1],
    }


def measured(outcome: Outcome, probabilities: bool, *, seed: int = 0) -> dict[str, Any]:
    """Return the metrics of scored rows with labels, as a run keeps them to be compared later.

    Parameters
    ----------
    outcome : Outcome
    probabilities : bool
        Whether scores are meant as probabilities; the Brier score and the calibration curve then
        say something.
    seed : int
        Of the resamples.

    Returns
    -------
    dict
        ``rows``, ``positives`` and ``observed`` (share of positives; of numbers their mean),
        ``predicted`` (mean score), ``metrics`` by name with 95 % interval, ``curve`` (see
        ``curves.calibration_curve``) or None. A metric that is undefined on these rows is left out.

    Examples
    --------
    >>> from fintech_dl.evaluation.outcomes import Outcome, evaluate
    >>> from fintech_dl.evaluation.reference import measured
    >>> found = measured(Outcome(y=[0, 1, 0, 1], score=[0.1, 0.8, 0.2, 0.9]), True)
    >>> found["observed"], found["metrics"]["roc_auc"]["value"]
    (0.5, 1.0)
    """
    inside = bool(outcome.score.min() >= 0 and outcome.score.max() <= 1)
    sure = probabilities and inside and not outcome.numbers
    names = ["roc_auc", "average_precision", *(["brier"] if sure else [])]
    if outcome.numbers:
        names = ["mae", "mse", "bias"]
    names = [name for name in names if _defined(outcome, name)]
    found = bootstrap(outcome, names, n=RESAMPLES, seed=seed)
    weights = outcome.weights
    return {
        "rows": len(outcome),
        "positives": None if outcome.numbers else int(outcome.y.sum()),
        "observed": float(np.average(outcome.y, weights=weights)),
        "predicted": float(np.average(outcome.score, weights=weights)),
        "metrics": plain(found),
        "curve": plain(calibration_curve(outcome)) if sure else None,
    }


def _defined(outcome: Outcome, name: str) -> bool:
    try:
        evaluate(outcome, [name])
    except DataError:  # rows of one class
        return False
    return True


def _effective(weight: ArrayLike | None, rows: int) -> float:
    return float(rows) if weight is None else effective_rows(np.asarray(weight, dtype=np.float64))


def _numbers(values: Floats, weight: Floats | None) -> dict[str, Any]:
    """Return edges and counts; what is infinite lies beyond them."""
    missing = np.isnan(values)
    some = np.flatnonzero(np.isfinite(values))
    if len(some) > MOST_SORTED:
        some = some[np.linspace(0, len(some) - 1, MOST_SORTED).astype(np.intp)]
    edges = quantile_bounds(values[some], np.ones(len(some)) if weight is None else weight[some])
    at = np.where(missing, len(edges) + 1, np.searchsorted(edges, values, "left"))
    mass = _mass(at, weight, len(edges) + 2)
    return {"edges": edges.tolist(), "counts": mass[:-1], "missing": mass[-1]}


def _mass(at: NDArray[np.intp], weight: Floats | None, bins: int) -> list[Any]:
    found: list[Any] = np.bincount(at, weight, bins).tolist()
    return found


def _alert_rate(outcome: Outcome, decision: Decision | None) -> float | None:
    """Return the share of alerts, None where nothing is decided, or so many a day come what may."""
    if decision is None or decision.rule == "capacity":
        return None
    alerts = decided(outcome, decision).alerts
    return float(np.average(alerts, weights=outcome.weights))
