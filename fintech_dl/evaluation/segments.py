"""Whether ranks and quality hold in every segment, vintage and period."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import kendalltau

from fintech_dl.errors import DataError
from fintech_dl.evaluation.alerts import probabilities
from fintech_dl.evaluation.curves import jeffreys
from fintech_dl.evaluation.metrics import effective_rows
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.significance import Interval, bootstrap, delong

FEWEST_ROWS, FEWEST_OF_CLASS = 30, 10
RESAMPLES = 500
ALL, MISSING = "(all)", "(missing)"


def rank_stability(
    y: ArrayLike,
    grade: ArrayLike,
    period: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    fewest_rows: int = FEWEST_ROWS,
) -> pd.DataFrame:
    """Return how well grades keep the order of their rates of default, period by period.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a default, 0 for none.
    grade : array of shape (n_rows,)
        Places on the scale, higher for worse, as of ``grades.grade``.
    period : array of shape (n_rows,)
        Anything that sorts: years, quarters.
    weight : array of shape (n_rows,), optional
    fewest_rows : int
        A grade with fewer rows in a period is left out there.

    Returns
    -------
    DataFrame
        ``period``, ``grades`` (with enough rows), ``tau`` (Kendall's, of grade and rate of default:
        1 if every worse grade defaulted more), ``common`` (grades with enough rows in the period
        before too) and ``tau_before`` (of the rates of both periods). NaN below three grades.

    Raises
    ------
    DataError
        No rows, or parts of unequal length.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.segments import rank_stability
    >>> y = np.concatenate([np.arange(100) < bads for bads in (1, 5, 20, 2, 9, 7)])
    >>> year, grade = np.repeat([2023, 2024], 300), np.tile(np.repeat([0, 1, 2], 100), 2)
    >>> rank_stability(y, grade, year)[["period", "tau", "tau_before"]].round(2)
       period   tau  tau_before
    0    2023  1.00         NaN
    1    2024  0.33        0.33
    """
    truth = np.asarray(y, dtype=float)
    w = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=float)
    parts = {"grade": np.asarray(grade), "period": np.asarray(period), "w": w, "wy": w * truth}
    if not len(truth) or {len(part) for part in parts.values()} != {len(truth)}:
        lengths = {name: len(part) for name, part in parts.items() if name != "wy"}
        raise DataError(f"rank_stability: {len(truth)} labels came with {lengths} (rows of each)")
    rows = pd.DataFrame({**parts, "n": 1})[w > 0]
    sums = rows.groupby(["period", "grade"], observed=True)[["w", "wy", "n"]].sum()
    rate = (sums["wy"] / sums["w"]).where(sums["n"] >= fewest_rows).unstack("period")
    lines: list[dict[str, Any]] = []
    before: pd.Series[Any] | None = None
    for name, own in rate.items():
        own = own.dropna()
        shared = own.index[:0] if before is None else own.index.intersection(before.index)
        lines.append(
            {
                "period": name,
                "grades": len(own),
                "tau": _tau(own.index, own),
                "common": len(shared),
                "tau_before": np.nan if before is None else _tau(own[shared], before[shared]),
            }
        )
        before = own
    return pd.DataFrame(lines)


def by_segment(
    y: ArrayLike,
    p: ArrayLike,
    segment: Any,
    *,
    weight: ArrayLike | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return rate, discrimination and calibration of each segment or vintage, and of all rows.

    Nothing is claimed of a segment of fewer than 30 rows, nor of the order of scores in one with
    fewer than 10 rows of a class: it is shown, with NaN and a note.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a default, 0 for none.
    p : array of shape (n_rows,)
        Probabilities.
    segment : array or Series of shape (n_rows,)
        A product, a region, or the month in which a loan was granted. Missing ones are a segment.
    weight : array of shape (n_rows,), optional
        Intervals then come from 500 resamples, else of the AUC from DeLong's method.
    seed : int
        Of the resamples.

    Returns
    -------
    DataFrame
        ``segment`` (the first line is ``"(all)"``), ``rows`` and ``positives`` (without weights),
        ``rate`` with its 95 % Jeffreys interval ``rate_low`` to ``rate_high``, ``auc`` and ``gini``
        each with ``_low`` and ``_high``, ``mean_pd``, ``gap`` (rate less mean probability) with
        ``gap_low`` and ``gap_high``, and ``note``.

    Raises
    ------
    DataError
        No rows, parts of unequal length, labels other than 0 and 1.
    UsageError
        Scores outside 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.segments import by_segment
    >>> rng = np.random.default_rng(0)
    >>> p = rng.uniform(0, 0.5, 1000)
    >>> region = np.where(np.arange(1000) < 990, "north", "south")
    >>> found = by_segment(rng.random(1000) < p, p, region)
    >>> found[["segment", "rows", "auc"]].round(2)
      segment  rows   auc
    0   (all)  1000  0.72
    1   north   990  0.73
    2   south    10   NaN
    >>> found["note"][2]
    '10 rows, fewer than 30: nothing claimed'
    """
    outcome = Outcome(y=y, score=probabilities(p), weight=weight)
    codes, names = pd.factorize(pd.Series(segment), sort=True)
    if len(codes) != len(outcome):
        raise DataError(f"by_segment: {len(codes)} segments for {len(outcome)} rows")
    lines = [_segment_line(ALL, outcome, seed)]
    for code in [*range(len(names)), -1]:
        if (at := codes == code).any():
            part = None if outcome.weight is None else outcome.weight[at]
            one = Outcome(y=outcome.y[at], score=outcome.score[at], weight=part)
            lines.append(_segment_line(MISSING if code < 0 else names[code], one, seed))
    return pd.DataFrame(lines)


def _segment_line(name: Any, one: Outcome, seed: int) -> dict[str, Any]:
    nothing = Interval(np.nan, np.nan, np.nan)
    w = one.weights
    rate, mean_pd = np.average(one.y, weights=w), np.average(one.score, weights=w)
    rows, positives = len(one), int(one.y.sum())
    n = effective_rows(w)
    low, high = (float(end) for end in jeffreys(np.asarray(rate * n), np.asarray(n)))
    area, note = nothing, ""
    if rows < FEWEST_ROWS:
        note = f"{rows} rows, fewer than {FEWEST_ROWS}: nothing claimed"
        low = high = mean_pd = np.nan
    elif (few := min(positives, rows - positives)) < FEWEST_OF_CLASS:
        which = "positives" if positives == few else "negatives"
        note = f"{few} {which}, fewer than {FEWEST_OF_CLASS}: no AUC"
    elif one.weight is None:
        area = Interval(*np.clip(delong(one), 0, 1).tolist())
    else:
        area = bootstrap(one, ["roc_auc"], n=RESAMPLES, seed=seed)["roc_auc"]
    ends = ("", "_low", "_high")
    return {
        "segment": name,
        "rows": rows,
        "positives": positives,
        "rate": rate,
        "rate_low": low,
        "rate_high": high,
        **{f"auc{end}": value for end, value in zip(ends, area, strict=True)},
        **{f"gini{end}": 2 * value - 1 for end, value in zip(ends, area, strict=True)},
        "mean_pd": mean_pd,
        "gap": rate - mean_pd,
        "gap_low": low - mean_pd,
        "gap_high": high - mean_pd,
        "note": note,
    }


def _tau(a: Any, b: Any) -> float:
    """Return Kendall's tau-b; NaN for fewer than three pairs, or where one side is constant."""
    return float(kendalltau(a, b).statistic) if len(a) > 2 else float("nan")
