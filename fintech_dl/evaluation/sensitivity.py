"""How far scores move when inputs do: each feature a little off, or all of them together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.evaluation.explanation import at_most, feature_groups
from fintech_dl.evaluation.outcomes import Outcome, evaluate

ALL_NUMBERS = "(all numbers)"


def perturbation(
    model: Any,
    X: pd.DataFrame,
    outcome: Outcome,
    cutoff: float,
    *,
    share: float = 0.1,
    special_codes: Mapping[Any, Sequence[float]] | None = None,
    seed: int = 0,
    max_rows: int = 20_000,
) -> pd.DataFrame:
    """Return what happens to the AUC and to approvals when inputs are a little wrong.

    Every number is raised and lowered by a share of itself, every category is set to the most
    frequent one, feature by feature; then all numbers together. A model whose approvals jump rests
    on inputs that have to be measured that well.

    Parameters
    ----------
    model : fitted estimator or Pipeline
        Scored with ``baselines.score_rows``.
    X : DataFrame of shape (n_rows, n_features)
        Test rows.
    outcome : Outcome
        Of the same rows; its score is ignored.
    cutoff : float
        Rows with a score below it are approved.
    share : float
        Above 0, below 1.
    special_codes : dict of column to sequence of numbers, optional
        Values that are no amounts; they stay.
    seed, max_rows : int
        More rows than this are sampled at random.

    Returns
    -------
    DataFrame
        One line per feature and change, the feature with the largest effect on the AUC first, all
        numbers together last: ``feature``, ``change`` (in words), ``changed`` (share of the rows),
        ``auc``, ``auc_change``, ``approval_rate``, ``approval_change`` and ``mean_change`` (of the
        score).

    Raises
    ------
    UsageError
        A share out of range, or rows of X and outcome that differ in number.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> from fintech_dl.evaluation.sensitivity import perturbation
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"debt": rng.lognormal(size=500), "noise": rng.normal(size=500)})
    >>> y = (X["debt"] + rng.normal(size=500) > 2).astype(int)
    >>> found = perturbation(LogisticRegression().fit(X, y), X, Outcome(y=y, score=y), cutoff=0.4)
    >>> found.iloc[-1]["feature"], bool(found.iloc[-2:]["approval_change"].abs().min() > 0)
    ('(all numbers)', True)
    """
    if not 0 < share < 1:
        raise UsageError(f"perturbation: got share = {share:g}, allowed: above 0, below 1")
    if len(X) != len(outcome):
        raise UsageError(f"X has {len(X)} rows, the outcome {len(outcome)}")
    X, outcome = at_most(max_rows, X, outcome, np.random.default_rng(seed))
    codes, w = special_codes or {}, outcome.weights
    base = _state(score_rows(model, X), outcome, cutoff)

    def line(feature: str, change: str, columns: Mapping[Hashable, Any]) -> dict[str, Any]:
        differs = np.zeros(len(X), dtype=bool)
        for name, values in columns.items():
            differs |= _differs(values, X[name])
        found = base
        if differs.any():
            found = _state(score_rows(model, X.assign(**_named(columns))), outcome, cutoff)
        return {
            "feature": feature,
            "change": change,
            "changed": float(w[differs].sum() / w.sum()),
            "auc": found[0],
            "auc_change": found[0] - base[0],
            "approval_rate": found[1],
            "approval_change": found[1] - base[1],
            "mean_change": found[2] - base[2],
        }

    lines, numbers = [], [name for name in X.columns if _is_number(X[name])]
    ways = {f"+{share:.0%}": 1 + share, f"-{share:.0%}": 1 - share}
    for feature, columns in feature_groups(list(X.columns)).items():
        scaled = [name for name in columns if name in numbers]
        modes = {name: _mode(X[name]) for name in columns if name not in numbers}
        for change, factor in ways.items() if scaled else ():
            moved = {name: _scaled(X[name], factor, codes.get(name, ())) for name in scaled}
            lines.append(line(feature, change, moved))
        if modes:
            which = ", ".join(dict.fromkeys(str(v.iloc[0]) for v in modes.values()))
            lines.append(line(feature, f"all {which}", modes))
    largest: dict[str, float] = {}
    for one in lines:
        largest[one["feature"]] = max(largest.get(one["feature"], 0.0), abs(one["auc_change"]))
    lines.sort(key=lambda one: -largest[one["feature"]])
    for change, factor in ways.items() if len(numbers) > 1 else ():
        moved = {name: _scaled(X[name], factor, codes.get(name, ())) for name in numbers}
        lines.append(line(ALL_NUMBERS, change, moved))
    return pd.DataFrame(lines)


def _state(score: Any, outcome: Outcome, cutoff: float) -> tuple[float, float, float]:
    auc = evaluate(replace(outcome, score=score), ["roc_auc"])["roc_auc"]
    w = outcome.weights
    return auc, float(np.average(score < cutoff, weights=w)), float(np.average(score, weights=w))


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _scaled(column: pd.Series[Any], factor: float, codes: Sequence[float]) -> pd.Series[Any]:
    values = column.astype("float64")
    return (values * factor).where(~values.isin(list(codes)), values)


def _differs(new: pd.Series[Any], old: pd.Series[Any]) -> NDArray[np.bool_]:
    if not _is_number(old):
        texts = [part.astype(object).map(str).to_numpy() for part in (new, old)]
        return np.asarray(texts[0] != texts[1])
    a, b = (part.to_numpy(dtype=np.float64, na_value=np.nan) for part in (new, old))
    return np.asarray((a != b) & ~(np.isnan(a) & np.isnan(b)))


def _mode(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return the column with its most frequent value in every row, of the same type."""
    found = column.mode()
    first = found.iloc[0] if len(found) else None
    return pd.Series([first] * len(column), index=column.index, dtype=column.dtype)


def _named(columns: Mapping[Hashable, Any]) -> dict[str, Any]:
    return dict(columns)  # type: ignore[arg-type]  # a frame takes any name
