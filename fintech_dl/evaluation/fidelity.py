"""Whether the reasons for a decline can be trusted: that they add up, and stay what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from fintech_dl.cards.credit import MOST, REFERENCES
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.attribution import attributions, before_network, uncalibrated
from fintech_dl.evaluation.declines import reference_row, restored
from fintech_dl.evaluation.explanation import feature_groups
from fintech_dl.evaluation.reasons import MEASURES, reason_codes, reason_stability

TOLERANCE = 1e-4  # of the log odds: how far contributions may be from adding up


def reason_fidelity(
    model: Any,
    X: pd.DataFrame,
    declined: NDArray[np.bool_],
    *,
    protected: Sequence[str] = (),
    told: Mapping[str, Any] | None = None,
    seed: int = 0,
    max_rows: int = 100,
) -> dict[str, Any]:
    """Return how the reasons for declines are found, and how far they can be relied on.

    Declined rows are compared with the approved applicants' usual row, or with what the card's
    reasons are told against. Reasons should stay when that row is made of half as many rows, and
    from member to member of an ensemble, which differ by their seeds alone; those against another
    reference are reasons by another measure, and how far they differ shows how much the choice
    matters.

    Parameters
    ----------
    model : fitted classifier or Pipeline
        That ends in a network.
    X : DataFrame of shape (n_rows, n_features)
        Test rows.
    declined : array of bool of shape (n_rows,)
    protected : sequence of str
        Attributes that must not be among the reasons.
    told : mapping, optional
        Of ``declines.with_reference``: with what the card's reasons are told. Without it, features
        are told by their names.
    seed, max_rows : int
        More declined rows than this are sampled at random.

    Returns
    -------
    dict
        ``method``, ``rows``, ``completeness`` (largest distance between the sum of a row's
        contributions and its score less the reference's, in log odds), ``tolerance``, ``complete``,
        ``first`` (share of the rows by first reason, with its text), ``unexplained`` (share without
        any), ``between_halves``, ``between_references`` and ``between_members`` (agreement, see
        ``reasons.reason_stability``; the last is None for a single network, else the mean of all
        pairs of ``members``) and ``protected`` (protected attributes among the reasons). Only
        ``reason`` where there is no evidence.
    """
    if not declined.any() or declined.all():
        return {"reason": f"{int(declined.sum())} of {len(X)} rows are declined"}
    rows = np.flatnonzero(declined)
    if len(rows) > max_rows:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_rows, replace=False))
    X = X.reset_index(drop=True)
    some = X.iloc[rows]
    kind = told["reference"] if told else "approved"
    other = "approved" if kind == "best" else "best"
    half = np.random.default_rng(seed).permutation(len(X)) % 2 == 0
    half[np.flatnonzero(~declined)[0]] = True
    usual = restored(told, X) if told else reference_row(kind, model, X, declined)
    try:
        inner, seen, base, of = before_network(model, some, usual, "integrated_gradients")
        given = _settings(told, list(seen.columns), protected)
        added = attributions(model, some, usual).sum(axis=1).to_numpy()
        named = hasattr(inner, "feature_names_in_")  # else names would be a warning
        scores = [
            np.asarray(inner.decision_function(part if named else part.to_numpy()), float)
            for part in (seen, base)
        ]
        own, halved, otherwise = (
            reason_codes(model, some, reference, **given)
            for reference in (
                usual,
                reference_row(kind, model, X[half], declined[half]),
                reference_row(other, model, X, declined),
            )
        )
        members = {
            i: reason_codes(member, some, usual, **given)
            for i, member in enumerate(_members(model))
        }
    except (UsageError, DataError, AttributeError) as error:
        return {"reason": str(error)}
    gap = float(np.abs(added - (scores[0] - scores[1])).max())
    first = own.loc[own["rank"] <= 1, "feature"].value_counts(normalize=True)
    texts = {d["feature"]: d["text"] for d in told["texts"] if not d["condition"]} if told else {}
    every = [own, halved, otherwise, *members.values()]
    told_of = {str(name) for frame in every for name in frame["feature"]}
    return {
        "method": "integrated gradients",
        "of": of,
        "rows": len(some),
        "references": [REFERENCES[kind], REFERENCES[other]],
        "most": given["top"],
        "completeness": gap,
        "tolerance": TOLERANCE,
        "complete": gap <= TOLERANCE * max(1.0, float(np.abs(scores[0] - scores[1]).max())),
        "first": [
            {"feature": k, "text": texts.get(k, ""), "share": float(v)}
            for k, v in first.items()
            if k
        ],
        "unexplained": float((own["rank"] == 0).sum() / len(some)),
        "between_halves": _agreement({"own": own, "half": halved}),
        "between_references": _agreement({"own": own, "other": otherwise}),
        "members": max(len(members), 1),
        "between_members": _agreement(members) if members else None,
        "protected": sorted(told_of & set(protected)),
    }


def _settings(
    told: Mapping[str, Any] | None, columns: list[Any], protected: Sequence[str]
) -> dict[str, Any]:
    """Return how reasons are told: as the card says, or by the names of the features."""
    if told is None:
        names = list(feature_groups(columns))
        return {"texts": pd.DataFrame({"feature": names, "text": names}), "top": MOST}
    return {
        "texts": pd.DataFrame(told["texts"]),
        "top": told["most"],
        "groups": told["groups"],
        "excluded": told["excluded"],
        "protected": [*told["protected"], *protected],
    }


def _members(model: Any) -> list[Any]:
    """Return the members of an ensemble, each behind the steps of the whole; else nothing."""
    whole = uncalibrated(model)
    head, last = (
        (whole.steps[:-1], whole.steps[-1][1]) if isinstance(whole, Pipeline) else ([], whole)
    )
    if not hasattr(last, "single_members") or len(last.members_) < 2:
        return []
    members = last.single_members()
    return [Pipeline([*head, ("model", one)]) if head else one for one in members]


def _agreement(reasons: Mapping[Any, pd.DataFrame]) -> dict[str, float]:
    found = reason_stability(reasons).iloc[-1]
    return {key: float(found[key]) for key in MEASURES}
