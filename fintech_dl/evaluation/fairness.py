"""How a cut-off treats the groups of a protected attribute, which no model may see.

Evidence, not a verdict: which differences matter, and which law applies, is for people to say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.alerts import probabilities
from fintech_dl.evaluation.curves import jeffreys
from fintech_dl.evaluation.cutoffs import approved
from fintech_dl.evaluation.metrics import Floats, effective_rows

FEWEST_ROWS, FEWEST_OF_CLASS = 30, 10
FOUR_FIFTHS = 0.8
MISSING = "(missing)"


def fairness(
    y: ArrayLike,
    p: ArrayLike,
    groups: Any,
    cutoff: float,
    *,
    reference: str | dict[str, Any] | None = None,
    weight: ArrayLike | None = None,
) -> pd.DataFrame:
    """Return how each group of each protected attribute fares at a cut-off.

    Rows with a lower probability than the cut-off are approved. Approval is the wished-for result
    here, so that a *true positive* is a good that is approved, and a *false positive* a bad that
    is. Nothing is claimed of a group of fewer than 30 rows, or of goods (or bads) of which it has
    fewer than 10: it is shown, with NaN and a note; the same holds where the reference is so small.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a bad (a default), 0 for a good.
    p : array of shape (n_rows,)
        Probabilities of default.
    groups : Series, array or DataFrame
        The group of each row, or one column per protected attribute. Missing ones are a group.
    cutoff : float
    reference : str or dict, optional
        The group to compare with, or one per attribute; the largest group if not given.
    weight : array of shape (n_rows,), optional
        Intervals then take Kish's effective number of rows.

    Returns
    -------
    DataFrame
        One line per attribute and group, in the words of fairlearn's frames:
        ``sensitive_feature``, ``group``, ``is_reference``, ``count`` and ``bads`` (without
        weights), ``selection_rate`` (share approved), ``adverse_impact_ratio`` (of that to the
        reference's) with its 95 % interval ``air_low`` to ``air_high``, ``below_four_fifths``
        (ratio under 0.8; None where none is claimed), ``true_positive_rate`` and
        ``equal_opportunity_gap`` (goods approved, less the reference's, with ``_low`` and
        ``_high``), ``false_positive_rate`` and ``fpr_gap`` (bads approved, likewise),
        ``mean_pd``, ``smd`` (standardised difference of mean probability: above 0 the group is seen
        as riskier), ``observed`` (rate of bads, interval ``observed_low`` to ``observed_high``),
        ``calibration_gap`` (observed less mean probability: below 0 the group is judged too
        harshly) and ``note``.

    Raises
    ------
    DataError
        The cut-off approves or declines nobody, parts of unequal length, labels other than 0 and 1.
    UsageError
        Scores outside 0 to 1, or an unknown reference.

    Notes
    -----
    The interval of the ratio is that of Katz et al., Obtaining confidence intervals for the risk
    ratio in cohort studies (1978); those of the gaps are Wald's with Agresti and Caffo's four rows
    added (2000). The standard deviation of ``smd`` is the root of the mean variance of both groups.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.fairness import fairness
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.choice(["f", "m"], 2000, p=[0.4, 0.6])
    >>> p = np.clip(rng.beta(2, 8, 2000) + 0.1 * (sex == "f"), 0, 1)
    >>> found = fairness(rng.random(2000) < p, p, sex, cutoff=0.25)
    >>> found[["group", "is_reference", "below_four_fifths"]]
      group  is_reference  below_four_fifths
    0     f         False               True
    1     m          True              False
    """
    prob = probabilities(p)
    truth = np.asarray(y, dtype=float)
    w = np.ones(len(prob)) if weight is None else np.asarray(weight, dtype=float)
    frame = groups if isinstance(groups, pd.DataFrame) else pd.DataFrame({_name(groups): groups})
    if {len(truth), len(w), len(frame)} != {len(prob)} or not np.isin(truth, (0, 1)).all():
        raise DataError(
            f"fairness: {len(prob)} probabilities, {len(truth)} labels, {len(frame)} groups, "
            f"{len(w)} weights; each row needs one of each, labels 0 or 1 (they hold "
            f"{np.unique(truth)[:5]})"
        )
    inside = approved(prob, cutoff, weight=w)
    lines = []
    for name in frame.columns:
        codes, found = pd.factorize(frame[name], sort=True)
        labels = [*found.tolist(), MISSING]
        codes = np.where((codes < 0) & (w > 0), len(found), codes)
        codes = np.where(w > 0, codes, -1)
        present = [i for i in range(len(labels)) if (codes == i).any()]
        stats = {i: _of_group(truth, prob, inside, w, codes == i) for i in present}
        wanted = reference.get(name) if isinstance(reference, dict) else reference
        base = _reference(wanted, labels, present, codes, w, str(name))
        lines += [
            {
                "sensitive_feature": str(name),
                "group": labels[i],
                "is_reference": i == base,
                **_against(stats[i], stats[base], i == base),
            }
            for i in present
        ]
    return pd.DataFrame(lines)


def _name(groups: Any) -> str:
    return str(getattr(groups, "name", None) or "group")


def _reference(
    wanted: Any,
    labels: list[Any],
    present: list[int],
    codes: NDArray[np.intp],
    w: Floats,
    name: str,
) -> int:
    if wanted is None:
        return max(present, key=lambda i: w[codes == i].sum())
    if wanted not in [labels[i] for i in present]:
        known = ", ".join(str(labels[i]) for i in present)
        raise UsageError(f"fairness: {name} has no group {wanted!r} to compare with, only {known}")
    return labels.index(wanted)


def _of_group(
    y: Floats, p: Floats, inside: NDArray[np.bool_], w: Floats, at: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return what is known of one group alone; the three rates with their effective rows."""
    found: dict[str, Any] = {"count": int(at.sum()), "bads": int(y[at].sum())}
    for name, rows in (("all", at), ("goods", at & (y == 0)), ("bads", at & (y == 1))):
        mass = w[rows].sum()
        rate = float(w[rows & inside].sum() / mass) if mass > 0 else np.nan
        found[f"of_{name}"] = (rate, effective_rows(w[rows]))
    found["mean_pd"] = float(np.average(p[at], weights=w[at]))
    found["variance"] = float(np.average((p[at] - found["mean_pd"]) ** 2, weights=w[at]))
    found["observed"] = float(np.average(y[at], weights=w[at]))
    return found


def _against(own: dict[str, Any], base: dict[str, Any], same: bool) -> dict[str, Any]:
    """Return one line of the table: a group beside the reference."""
    notes: list[str] = []
    whole = _enough(own["count"], base["count"], FEWEST_ROWS, "rows", same, notes)
    counts = [(d["count"] - d["bads"], d["bads"]) for d in (own, base)]
    goods, bads = (
        whole and _enough(counts[0][i], counts[1][i], FEWEST_OF_CLASS, name, same, notes)
        for i, name in enumerate(("goods", "bads"))
    )
    ratio, low, high = _ratio(own["of_all"], base["of_all"], same) if whole else (np.nan,) * 3
    n = np.asarray(own["of_all"][1])
    ends = jeffreys(own["observed"] * n, n) if whole else (np.nan, np.nan)
    spread = np.sqrt((own["variance"] + base["variance"]) / 2)
    gap = own["mean_pd"] - base["mean_pd"]
    return {
        "count": own["count"],
        "bads": own["bads"],
        "selection_rate": own["of_all"][0],
        "adverse_impact_ratio": ratio,
        "air_low": low,
        "air_high": high,
        "below_four_fifths": bool(ratio < FOUR_FIFTHS) if ratio == ratio else None,
        "true_positive_rate": own["of_goods"][0] if goods else np.nan,
        **_gap("equal_opportunity_gap", own["of_goods"], base["of_goods"], goods, same),
        "false_positive_rate": own["of_bads"][0] if bads else np.nan,
        **_gap("fpr_gap", own["of_bads"], base["of_bads"], bads, same),
        "mean_pd": own["mean_pd"],
        "smd": float(gap / spread) if whole and spread > 0 else 0.0 if whole else np.nan,
        "observed": own["observed"],
        "observed_low": float(ends[0]),
        "observed_high": float(ends[1]),
        "calibration_gap": own["observed"] - own["mean_pd"] if whole else np.nan,
        "note": "; ".join(notes),
    }


def _enough(own: int, base: int, fewest: int, what: str, same: bool, notes: list[str]) -> bool:
    if own < fewest:
        notes.append(f"{own} {what}, fewer than {fewest}: nothing claimed of them")
    elif base < fewest and not same:
        notes.append(f"the reference has {base} {what}, fewer than {fewest}")
    return min(own, base) >= fewest


def _ratio(
    own: tuple[float, float], base: tuple[float, float], same: bool
) -> tuple[float, float, float]:
    """Return the ratio of two shares with its interval; NaN ends where a share is 0."""
    (a, n), (b, m) = own, base
    if same:
        return 1.0, 1.0, 1.0
    if b == 0:
        return np.nan, np.nan, np.nan
    if a == 0:
        return 0.0, np.nan, np.nan
    half = norm.ppf(0.975) * np.sqrt((1 - a) / (n * a) + (1 - b) / (m * b))
    return a / b, float(a / b * np.exp(-half)), float(a / b * np.exp(half))


def _gap(
    name: str, own: tuple[float, float], base: tuple[float, float], enough: bool, same: bool
) -> dict[str, float]:
    """Return a difference of two shares with its interval."""
    low = value = high = np.nan
    if same and enough:
        low = value = high = 0.0
    elif enough:
        (a, n), (b, m) = own, base
        value = a - b
        a, b = ((x * rows + 1) / (rows + 2) for x, rows in ((a, n), (b, m)))
        half = norm.ppf(0.975) * np.sqrt(a * (1 - a) / (n + 2) + b * (1 - b) / (m + 2))
        low, high = float(a - b - half), float(a - b + half)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
