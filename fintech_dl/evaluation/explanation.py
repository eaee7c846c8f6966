"""What the model relies on: permutation importance of original features on test rows."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.evaluation.outcomes import Outcome, evaluate, metric


def feature_groups(columns: Sequence[Hashable]) -> dict[str, list[Any]]:
    """Return the columns of each original feature: all steps ``name@-lag`` of a window together.

    Examples
    --------
    >>> from fintech_dl.evaluation.explanation import feature_groups
    >>> feature_groups(["amount@-1", "amount@-0", "country"])
    {'amount': ['amount@-1', 'amount@-0'], 'country': ['country']}
    """
    groups: dict[str, list[Any]] = {}
    for column in columns:
        groups.setdefault(re.sub(r"@-\d+$", "", str(column)), []).append(column)
    return groups


def permutation_importance(
    model: Any,
    X: pd.DataFrame,
    outcome: Outcome,
    name: str,
    *,
    groups: Mapping[str, Sequence[Hashable]] | None = None,
    n_repeats: int = 5,
    seed: int = 0,
    max_rows: int = 20_000,
) -> list[dict[str, Any]]:
    """Return how much worse the model gets when one feature is shuffled among the test rows.

    Use it to see what a model relies on; features that say the same hide each other, and a
    shuffled row may be impossible in life. It says nothing about causes.

    Parameters
    ----------
    model : fitted estimator or Pipeline
        Scored with ``baselines.score_rows``; or a function from rows to scores. Of several targets
        the first counts.
    X : DataFrame of shape (n_rows, n_features)
        Test rows.
    outcome : Outcome
        Of the same rows; its score is ignored.
    name : str
        Metric, see ``outcomes.evaluate``.
    groups : dict of str to list of columns, optional
        Columns that are shuffled together, by the same order of rows. Default: ``feature_groups``.
    n_repeats : int
        Shuffles of each feature, at least 2.
    seed : int
    max_rows : int
        More rows than this are sampled at random.

    Returns
    -------
    list of dict
        ``feature``, ``mean`` (fall of the metric, or rise where less is better), ``low`` and
        ``high`` (95 % t interval of the mean over shuffles; other test rows are not part of it),
        most important first.

    Raises
    ------
    UsageError
        Fewer than 2 repeats, rows of X and outcome that differ in number, unknown columns, or a
        metric of decisions.

    Notes
    -----
    Breiman, Random Forests (2001), s10, with groups of columns.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fintech_dl.evaluation.explanation import permutation_importance
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"noise": rng.normal(size=300), "signal": rng.normal(size=300)})
    >>> y = (X["signal"] > 0).astype(int)
    >>> model = LogisticRegression().fit(X, y)
    >>> found = permutation_importance(model, X, Outcome(y=y, score=y), "roc_auc")
    >>> found[0]["feature"], found[0]["mean"] > 0.3
    ('signal', True)
    """
    groups = feature_groups(list(X.columns)) if groups is None else groups
    if n_repeats < 2:
        raise UsageError(f"n_repeats: got {n_repeats}, allowed: 2 or more")
    if len(X) != len(outcome):
        raise UsageError(f"X has {len(X)} rows, the outcome {len(outcome)}")
    if name == "savings":
        raise UsageError("savings belongs to a decision, not to a score; name another metric")
    for feature, columns in groups.items():
        if unknown := [c for c in columns if c not in X.columns]:
            raise UsageError(f"groups: {feature!r} names columns that X lacks: {unknown[:5]}")
    rng = np.random.default_rng(seed)
    X, outcome = at_most(max_rows, X, outcome, rng)
    sign = 1 if metric(name).higher_is_better else -1
    say = model if callable(model) else partial(score_rows, model)

    def scores(rows: pd.DataFrame) -> Any:
        said = say(rows)
        return said if said.ndim == 1 else said[:, 0]

    own = evaluate(replace(outcome, score=scores(X)), [name])[name]
    orders = [rng.permutation(len(X)) for _ in range(n_repeats)]
    found = []
    for feature, columns in groups.items():
        falls = []
        for order in orders:
            shuffled = X.copy()
            for column in columns:
                shuffled[column] = X[column].iloc[order].set_axis(X.index)
            score = scores(shuffled)
            falls.append(sign * (own - evaluate(replace(outcome, score=score), [name])[name]))
        mean = float(np.mean(falls))
        half = float(t.ppf(0.975, n_repeats - 1) * np.std(falls, ddof=1) / np.sqrt(n_repeats))
        found.append({"feature": feature, "mean": mean, "low": mean - half, "high": mean + half})
    return sorted(found, key=lambda one: -one["mean"])


def at_most(
    n_rows: int, X: pd.DataFrame, outcome: Outcome, rng: np.random.Generator
) -> tuple[pd.DataFrame, Outcome]:
    """Return rows and their outcome, or as many drawn from them at random, in their order."""
    if len(X) <= n_rows:
        return X, outcome
    at = np.sort(rng.choice(len(X), n_rows, replace=False))
    parts = {f.name: getattr(outcome, f.name) for f in fields(outcome)}
    kept: dict[str, Any] = {k: v[at] if isinstance(v, np.ndarray) else v for k, v in parts.items()}
    return X.iloc[at], Outcome(**kept)
