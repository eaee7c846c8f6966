"""Scores from a table of points alone, and how far they are from the model's.

Scoring with a table needs no Keras: a CSV file of it says all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from fintech_dl.errors import DataError
from fintech_dl.estimators.columns import encode_columns
from fintech_dl.estimators.points import FIELDS, RULES, scale

if TYPE_CHECKING:
    from fintech_dl.estimators.classifier import NeuralClassifier


def score_points(table: pd.DataFrame, frame: pd.DataFrame) -> pd.Series[float]:
    """Score rows by a table of :func:`~fintech_dl.points_table` alone.

    Use it to prove a table against its model, or to score without Keras. Rows are read as the
    model reads them: the same cells count as missing, and the same are refused.

    Parameters
    ----------
    table : DataFrame
        As `points_table` made it, or read from its CSV file with ``pandas.read_csv``.
    frame : DataFrame
        With the columns of the table; others are ignored.

    Returns
    -------
    Series
        The score of each row; more points, less risk.

    Raises
    ------
    DataError
        The table lacks what a table of points has, or the frame lacks one of its columns.
    ValueError
        Cells that the model would refuse too: infinity, text where there were numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl import score_points
    >>> table = pd.DataFrame({
    ...     "feature": ["(base)", "age", "age", "age", "age"],
    ...     "rule": ["base", "range", "range", "range", "missing"],
    ...     "from": [None, -float("inf"), 20.0, 60.0, None],
    ...     "to": [None, 20.0, 60.0, float("inf"), None],
    ...     "value": None,
    ...     "points_from": [600.0, -10.0, -10.0, 30.0, 0.0],
    ...     "points_to": [600.0, -10.0, 30.0, 30.0, 0.0]})
    >>> score_points(table, pd.DataFrame({"age": [18, 40, 70]})).tolist()
    [590.0, 610.0, 630.0]
    """
    if lacking := [name for name in FIELDS if name not in table]:
        raise DataError(f"table of points: no column {lacking}; expected {FIELDS}")
    if unknown := sorted({str(rule) for rule in table["rule"]} - set(RULES)):
        raise DataError(f"table of points: rule {unknown[0]!r}; allowed: {', '.join(RULES)}")
    if table["feature"].isna().any():
        raise DataError(
            "table of points: a line without a feature; expected a name in each. Was one read as "
            "missing? Then read the file with pandas.read_csv(..., "
            'converters={"feature": str})'
        )
    is_base = table["rule"] == "base"
    if is_base.sum() != 1:
        raise DataError(f"table of points: {is_base.sum()} lines of rule 'base'; expected one")
    features = {str(name): lines for name, lines in table[~is_base].groupby("feature", sort=False)}
    at = {str(name): i for i, name in enumerate(frame.columns)}
    if absent := [name for name in features if name not in at]:
        raise DataError(f"the frame lacks columns of the table of points: {absent}")
    columns = [_column(name, lines) for name, lines in features.items()]
    rows = encode_columns(frame.iloc[:, [at[name] for name in features]], columns)
    total = np.full(len(frame), float(table.loc[is_base, "points_from"].iloc[0]))
    for values, column, lines in zip(rows.T, columns, features.values(), strict=True):
        total += _points(values, column, lines)
    return pd.Series(total, index=frame.index, name="score")


def default_probability(
    score: Any, *, pdo: float = 20.0, base_score: float = 600.0, base_odds: float = 50.0
) -> np.ndarray:
    """Return the probability of default that scores stand for.

    Parameters
    ----------
    score : array-like of shape (n_rows,)
        Of `score_points`.
    pdo, base_score, base_odds : float
        As the table was made with.

    Returns
    -------
    float64 array of shape (n_rows,)

    Examples
    --------
    >>> from fintech_dl.estimators.point_scores import default_probability
    >>> default_probability([600, 620], base_odds=49).round(4)
    array([0.02  , 0.0101])
    """
    factor, offset = scale(pdo, base_score, base_odds)
    return np.asarray(expit((offset - np.asarray(score, dtype=np.float64)) / factor))


def compare_points(
    model: NeuralClassifier,
    table: pd.DataFrame,
    frame: pd.DataFrame,
    cutoff: float,
    *,
    pdo: float = 20.0,
    base_score: float = 600.0,
    base_odds: float = 50.0,
) -> dict[str, float]:
    """Count the rows that a table of points decides otherwise than its model.

    Use it before a rounded table goes to production.

    Parameters
    ----------
    model : NeuralClassifier
    table : DataFrame
        Made of the model by `points_table`.
    frame : DataFrame
        Rows to decide on.
    cutoff : float
        Rows with this score or more are approved.
    pdo, base_score, base_odds : float
        As the table was made with.

    Returns
    -------
    dict
        ``rows``; ``largest_gap`` and ``mean_gap`` between the scores, in points; ``flips``, the
        rows approved by one and not by the other, of them ``approved_by_table``.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl import NeuralClassifier, Scorecard, points_table
    >>> from fintech_dl.estimators.point_scores import compare_points
    >>> X = pd.DataFrame({"debt": np.random.default_rng(0).normal(size=200)})
    >>> model = NeuralClassifier(network=Scorecard(), epochs=2, random_state=0)
    >>> model = model.fit(X, (X["debt"] > 0).astype(int))
    >>> compare_points(model, points_table(model), X, cutoff=490)["flips"]
    0
    """
    factor, offset = scale(pdo, base_score, base_odds)
    network = offset - factor * model.decision_function(frame).astype(np.float64)
    score = score_points(table, frame).to_numpy()
    gap = np.abs(score - network)
    flips = (score >= cutoff) != (network >= cutoff)
    return {
        "rows": len(frame),
        "largest_gap": float(gap.max()),
        "mean_gap": float(gap.mean()),
        "flips": int(flips.sum()),
        "approved_by_table": int((flips & (score >= cutoff)).sum()),
    }


def _column(name: str, lines: pd.DataFrame) -> dict[str, Any]:
    """Return a feature of the table as `encode_columns` wants it."""
    is_category = (lines["rule"] == "other").any()
    values = [
        json.loads(value) if isinstance(value, str) else value
        for value in lines.loc[lines["rule"].isin(["code", "category"]), "value"]
    ]
    kinds = {"kind": "category", "categories": values} if is_category else {"kind": "number"}
    return {"name": name, "categories": [], "codes": values, **kinds}


def _points(values: np.ndarray, column: dict[str, Any], lines: pd.DataFrame) -> np.ndarray:
    """Return the points of encoded cells."""

    def of(*rules: str) -> np.ndarray:
        return lines.loc[lines["rule"].isin(rules), "points_from"].to_numpy(dtype=float)

    if column["kind"] == "category":
        return np.asarray(np.concatenate([of("other"), of("category")])[values.astype(int)])
    ranges = lines[lines["rule"].isin(["range", "whole"])].sort_values("from")
    start, stop, first, last = (
        ranges[name].to_numpy(dtype=float) for name in ("from", "to", "points_from", "points_to")
    )
    start, stop = (x.astype(np.float32).astype(float) for x in (start, stop))
    x = values.astype(np.float64)
    at = np.clip(np.searchsorted(start, x, side="right") - 1, 0, len(start) - 1)
    bent = np.isfinite(start) & np.isfinite(stop) & (stop > start)
    width = np.where(bent, stop - start, 1.0)
    begin = np.where(bent, start, 0.0)
    share = np.where(bent[at], np.clip((x - begin[at]) / width[at], 0, 1), 0.0)
    points = first[at] + share * (last - first)[at]
    points = np.where(np.isnan(x), of("missing")[0], points)
    for code, p in zip(column["codes"], of("code"), strict=True):
        points = np.where(values == np.float32(code), p, points)
    return np.asarray(points)
