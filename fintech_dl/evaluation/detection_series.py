"""Scores of a detector along its series, for the report to draw, and the rates of a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.outcomes import Outcome

MOST = 4  # series drawn
STRETCHES = 300  # of each
FEWEST_ROWS = 50  # with fewer in most of them, rows of one name are no series


def rates(outcome: Outcome, flagged: NDArray[np.bool_], labelled: bool) -> dict[str, Any]:
    """Return the weighted share of rows flagged, and of negatives and positives where known."""
    w = outcome.weights
    found = {"flagged": float(w[flagged].sum() / w.sum())}
    if labelled:
        for name, rows in (("false_alarm_rate", outcome.y == 0), ("recall", outcome.y == 1)):
            there = float(w[rows].sum())
            found[name] = float(w[rows & flagged].sum()) / there if there else float("nan")
    return found


def along_series(
    outcome: Outcome,
    names: NDArray[Any],
    flagged: NDArray[np.bool_],
    limits: Floats | None,
    labelled: bool,
) -> list[dict[str, Any]]:
    """Return the scores along the series with most rows flagged.

    Parameters
    ----------
    outcome : Outcome
    names : array of shape (n_rows,)
        The series of each row, as text.
    flagged : bool array of shape (n_rows,)
    limits : float64 array of shape (n_rows,), optional
        Thresholds, where each series has its own; else the lowest score flagged is told.
    labelled : bool

    Returns
    -------
    list of dict
        ``name``, ``rows``, ``own`` (whether the threshold is), ``score`` (the threshold) and its
        `rates`; of stretches of equal length when they begin (``at``), the highest of the
        ``scores`` and whether any row is ``positive``. Empty where rows of one name are no series.
    """
    every, index, count = np.unique(names, return_inverse=True, return_counts=True)
    if limits is None and (not flagged.any() or np.median(count) < FEWEST_ROWS):
        return []
    order = np.argsort(-np.bincount(index[flagged], minlength=len(every)), kind="stable")
    found = []
    for i in order[:MOST]:
        at = np.flatnonzero(index == i)
        if outcome.when is not None:
            at = at[np.argsort(outcome.when[at], kind="stable")]
        score, y = outcome.score[at], outcome.y[at]
        level = outcome.score[flagged].min() if limits is None else np.median(limits[at])
        starts = np.unique(np.linspace(0, len(at), min(len(at), STRETCHES), False).astype(int))
        weight = None if outcome.weight is None else outcome.weight[at]
        line = {"name": str(every[i]), "rows": len(at), "own": limits is not None}
        line |= {"score": float(level), **rates(Outcome(y, score, weight), flagged[at], labelled)}
        when = (
            starts if outcome.when is None else outcome.when[at][starts].astype("M8[s]").astype(str)
        )
        line |= {"at": when.tolist(), "scores": np.maximum.reduceat(score, starts).tolist()}
        if labelled:
            line["positive"] = (np.maximum.reduceat(y, starts) == 1).tolist()
        found.append(line)
    return found
