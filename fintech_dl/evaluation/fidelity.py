"""Whether the reasons for a decline can be trusted: that they add up, and stay what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.attribution import (
    attributions,
    before_network,
    best_profile,
    reference_profile,
)
from fintech_dl.evaluation.explanation import feature_groups
from fintech_dl.evaluation.reasons import MOST, reason_codes, reason_stability

TOLERANCE = 1e-4  # of the log odds: how far contributions may be from adding up
USUAL, BEST = "the approved applicants' usual row", "the row of best points"
HALF = "the usual row of a half of them"


def reason_fidelity(
    model: Any,
    X: pd.DataFrame,
    declined: NDArray[np.bool_],
    *,
    protected: Sequence[str] = (),
    special_codes: Mapping[Any, Sequence[float]] | None = None,
    seed: int = 0,
    max_rows: int = 100,
) -> dict[str, Any]:
    """Return how the reasons for declines are found, and how far they can be relied on.

    Declined rows are compared with the approved applicants' usual row. Reasons should stay when
    that row is taken from half of them; those by the row of best points are reasons by another
    measure, and how far they differ shows how much the choice matters. Features are told by name
    here; the texts that customers get are for ``reasons.reason_codes``.

    Parameters
    ----------
    model : fitted classifier or Pipeline
        That ends in a network.
    X : DataFrame of shape (n_rows, n_features)
        Test rows.
    declined : array of bool of shape (n_rows,)
    protected : sequence of str
        Attributes that must not be among the reasons.
    special_codes : dict of column to sequence of numbers, optional
        As the model has them.
    seed, max_rows : int
        More declined rows than this are sampled at random.

    Returns
    -------
    dict
        ``method``, ``rows``, ``completeness`` (largest distance between the sum of a row's
        contributions and its score less the reference's, in log odds), ``tolerance``, ``complete``,
        ``first`` (share of the rows by first reason), ``unexplained`` (share without any),
        ``between_halves`` and ``between_references`` (agreement, see ``reasons.reason_stability``)
        and ``protected`` (protected attributes among the reasons). Only ``reason`` where there is
        no evidence.
    """
    if not declined.any() or declined.all():
        return {"reason": f"{int(declined.sum())} of {len(X)} rows are declined"}
    rows = np.flatnonzero(declined)
    if len(rows) > max_rows:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_rows, replace=False))
    X = X.reset_index(drop=True)
    some = X.iloc[rows]
    good = X[~declined]
    usual = reference_profile(good, special_codes=special_codes)
    half = good.sample(frac=0.5, random_state=seed)
    references = {
        USUAL: usual,
        HALF: reference_profile(half if len(half) else good, special_codes=special_codes),
        BEST: best_profile(model, good, special_codes=special_codes),
    }
    try:
        inner, seen, base, of = before_network(model, some, usual, "integrated_gradients")
        names = list(feature_groups(list(seen.columns)))
        texts = pd.DataFrame({"feature": names, "text": names})
        added = attributions(model, some, usual).sum(axis=1).to_numpy()
        scores = [np.asarray(inner.decision_function(part), float) for part in (seen, base)]
        found = {
            name: reason_codes(model, some, reference, texts)
            for name, reference in references.items()
        }
    except (UsageError, DataError, AttributeError) as error:
        return {"reason": str(error)}
    gap = float(np.abs(added - (scores[0] - scores[1])).max())
    own = found[USUAL]
    first = own.loc[own["rank"] <= 1, "feature"].value_counts(normalize=True)
    named = {str(name) for frame in found.values() for name in frame["feature"]}
    return {
        "method": "integrated gradients",
        "of": of,
        "rows": len(some),
        "references": [USUAL, BEST],
        "most": MOST,
        "completeness": gap,
        "tolerance": TOLERANCE,
        "complete": gap <= TOLERANCE * max(1.0, float(np.abs(scores[0] - scores[1]).max())),
        "first": [{"feature": k, "share": float(v)} for k, v in first.items() if k],
        "unexplained": float((own["rank"] == 0).sum() / len(some)),
        "between_halves": _agreement(own, found[HALF]),
        "between_references": _agreement(own, found[BEST]),
        "protected": sorted(named & set(protected)),
    }


def _agreement(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, float]:
    found = reason_stability({"a": a, "b": b}).iloc[0]
    return {key: float(found[key]) for key in ("jaccard", "rank_biased", "same_first")}
