"""What a cut-off does: who is approved, what goes bad, what it costs; champion and challenger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.alerts import probabilities
from fintech_dl.evaluation.curves import jeffreys
from fintech_dl.evaluation.metrics import Floats, effective_rows
from fintech_dl.evaluation.significance import Difference

FEWEST_SWAPPED = 10
CELLS = ("in/in", "in/out", "out/in", "out/out")


@dataclass(frozen=True, eq=False)
class SwapSet:
    """Whom a challenger approves instead of whom a champion approves.

    Attributes
    ----------
    cells : DataFrame
        One line per cell, named ``champion/challenger``: ``in/in``, ``in/out`` (swapped out),
        ``out/in`` (swapped in), ``out/out``; with ``rows`` and ``bads`` (without weights),
        ``share`` (of the weight), ``bad_rate`` with its 95 % Jeffreys interval ``low`` to ``high``;
        where exposures are given also ``expected_champion`` and ``expected_challenger`` (expected
        loss by either model's probabilities) and ``loss`` (what was lost).
    champion_cutoff, challenger_cutoff : float
        Rows below it are approved.
    champion_rate, challenger_rate : float
        Approval rates reached; ties may keep them below the rate asked for.
    difference : Difference
        Bad rate among the approved, challenger less champion; below 0 the challenger is better. Its
        ends and p-value are NaN if fewer than 10 rows are swapped in or out.
    """

    cells: pd.DataFrame
    champion_cutoff: float
    challenger_cutoff: float
    champion_rate: float
    challenger_rate: float
    difference: Difference


def approved(p: ArrayLike, cutoff: float, *, weight: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Return which rows lie below the cut-off, and are approved.

    Raises
    ------
    DataError
        Nobody is approved, or nobody declined: nothing can be compared then.

    Examples
    --------
    >>> from fintech_dl.evaluation.cutoffs import approved
    >>> approved([0.01, 0.05, 0.20], 0.05)
    array([ True, False, False])
    """
    score = np.asarray(p, dtype=float)
    if not np.isfinite(score).all():
        raise DataError(f"cut-off: {(~np.isfinite(score)).sum()} scores are no finite numbers")
    found = score < cutoff
    used = _weights(weight, len(score)) > 0
    for nobody, way in ((~found, "approves"), (found, "declines")):
        if nobody[used].all():
            ends = f"{score[used].min():.4g} to {score[used].max():.4g}" if used.any() else "none"
            raise DataError(
                f"cut-off {cutoff:g} {way} none of the {used.sum()} rows, whose scores run from "
                f"{ends}; rows below the cut-off are approved: choose one between these ends"
            )
    return found


def cutoff_table(
    y: ArrayLike,
    p: ArrayLike,
    cutoffs: Sequence[float] | None = None,
    *,
    weight: ArrayLike | None = None,
    lgd: float | None = None,
    ead: ArrayLike | None = None,
    profit: ArrayLike | float | None = None,
) -> pd.DataFrame:
    """Return what each cut-off would have done: rows with a lower probability are approved.

    The outcome of every row must be known, also of those that would be declined; rows that were
    declined at the time have none, and a table without them speaks of the others only.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a bad (a default), 0 for a good.
    p : array of shape (n_rows,)
        Probabilities of default.
    cutoffs : sequence of float, optional
        If not given, those that approve 5 %, 10 %, ... 95 % of the rows.
    weight : array of shape (n_rows,), optional
    lgd : float, optional
        Share of the exposure that a default loses, 0 to 1.
    ead : array of shape (n_rows,), optional
        Exposure at default in money. With ``lgd`` it gives the losses.
    profit : array of shape (n_rows,) or float, optional
        What an approved good earns, in the same money.

    Returns
    -------
    DataFrame
        By rising cut-off: ``cutoff``, ``approval_rate``, ``bad_rate_approved`` and
        ``bad_rate_declined``, ``captured_bads`` (share of the bads that is declined); with ``lgd``
        and ``ead`` of the approved rows ``expected_loss`` (sum of probability x LGD x EAD) and
        ``loss`` (what was lost); with ``profit`` too ``profit`` (earned by goods, less that loss).

    Raises
    ------
    DataError
        A cut-off that approves or declines nobody, no bads, parts of unequal length.
    UsageError
        Scores outside 0 to 1, an LGD outside 0 to 1, one of ``lgd`` and ``ead`` without the other,
        ``profit`` without them.

    Examples
    --------
    >>> from fintech_dl.evaluation.cutoffs import cutoff_table
    >>> found = cutoff_table([0, 0, 0, 1], [0.01, 0.02, 0.1, 0.3], [0.05, 0.2],
    ...                      lgd=0.5, ead=[100, 100, 100, 100], profit=4)
    >>> found[["cutoff", "approval_rate", "bad_rate_declined", "expected_loss", "profit"]]
       cutoff  approval_rate  bad_rate_declined  expected_loss  profit
    0    0.05           0.50                0.5            1.5     8.0
    1    0.20           0.75                1.0            6.5    12.0
    """
    truth, score, w = _rows(y, probabilities(p), weight)
    expected, lost = _losses(truth, score, w, lgd, ead)
    if profit is not None and expected is None:
        raise UsageError("cutoff_table: profit needs lgd and ead too, to take the losses off")
    if not (w * truth).sum() > 0:
        raise DataError("cutoff_table: there are no bads; take more rows, or a longer time")
    lines = []
    for cutoff in _spread(score, w) if cutoffs is None else sorted(cutoffs):
        inside = approved(score, cutoff, weight=w)
        line = {
            "cutoff": float(cutoff),
            "approval_rate": w[inside].sum() / w.sum(),
            "bad_rate_approved": np.average(truth[inside], weights=w[inside]),
            "bad_rate_declined": np.average(truth[~inside], weights=w[~inside]),
            "captured_bads": (w * truth)[~inside].sum() / (w * truth).sum(),
        }
        if expected is not None and lost is not None:
            line |= {"expected_loss": expected[inside].sum(), "loss": lost[inside].sum()}
            if profit is not None:
                earned = w * (1 - truth) * np.asarray(profit, dtype=float)
                line["profit"] = earned[inside].sum() - line["loss"]
        lines.append(line)
    return pd.DataFrame(lines)


def cutoff_for(
    p: ArrayLike,
    *,
    approval_rate: float | None = None,
    bad_rate: float | None = None,
    y: ArrayLike | None = None,
    weight: ArrayLike | None = None,
) -> float:
    """Return the highest cut-off that keeps to an approval rate, or to a bad rate.

    Parameters
    ----------
    p : array of shape (n_rows,)
        Scores, higher for worse.
    approval_rate : float, optional
        At most this share of the rows is approved; above 0, below 1.
    bad_rate : float, optional
        At most this share of the approved is bad; 0 to 1. Needs ``y``. The cut-off with the most
        approvals, even if a lower one is worse.
    y : array of shape (n_rows,), optional
        1 for a bad, 0 for a good.
    weight : array of shape (n_rows,), optional

    Returns
    -------
    float
        One of the scores; rows below it are approved. Tied rows are approved or declined together.

    Raises
    ------
    UsageError
        Not exactly one of the two rates, one outside its range, or ``y`` is missing.
    DataError
        No cut-off keeps to it: too many rows are tied, or too many of the safest are bad.

    Examples
    --------
    >>> from fintech_dl.evaluation.cutoffs import cutoff_for
    >>> p, y = [0.01, 0.02, 0.1, 0.3], [0, 0, 1, 1]
    >>> cutoff_for(p, approval_rate=0.5), cutoff_for(p, bad_rate=0.4, y=y)
    (0.1, 0.3)
    """
    if (approval_rate is None) == (bad_rate is None) or (bad_rate is not None and y is None):
        raise UsageError("cutoff_for: give either approval_rate, or bad_rate together with y")
    name = "bad_rate" if approval_rate is None else "approval_rate"
    rate = bad_rate if approval_rate is None else approval_rate
    assert rate is not None
    if not 0 <= rate <= 1 or (approval_rate is not None and rate in (0, 1)):
        raise UsageError(f"cutoff_for: got {name} = {rate:g}, allowed: a share between 0 and 1")
    truth, score, w = _rows(np.zeros(len(np.asarray(p))) if y is None else y, p, weight)
    places, group = np.unique(score[w > 0], return_inverse=True)
    mass = np.cumsum(np.bincount(group, w[w > 0]))
    if len(places) < 2:
        raise DataError("cutoff_for: all rows have the same score, which no cut-off parts")
    reached = mass / mass[-1]
    if bad_rate is not None:
        reached = np.cumsum(np.bincount(group, (w * truth)[w > 0])) / mass
    reached = reached[:-1]  # no cut-off approves everybody
    kept = np.flatnonzero(reached <= rate * (1 + 1e-12))
    if not len(kept):
        raise DataError(
            f"cutoff_for: no cut-off keeps to {name} = {rate:g}; the least that one reaches is "
            f"{reached.min():.4g}, for {mass[reached.argmin()] / mass[-1]:.1%} of the rows: ask "
            "for that much"
        )
    return float(places[kept[-1] + 1])


def swap_set(
    y: ArrayLike,
    champion: ArrayLike,
    challenger: ArrayLike,
    approval_rate: float,
    *,
    weight: ArrayLike | None = None,
    lgd: float | None = None,
    ead: ArrayLike | None = None,
) -> SwapSet:
    """Return whom a challenger would approve and decline otherwise than the champion.

    Both approve the same share of the rows.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a bad, 0 for a good.
    champion, challenger : array of shape (n_rows,)
        Scores of both on the same rows, higher for worse; probabilities if losses are wanted.
    approval_rate : float
        Above 0, below 1.
    weight, lgd, ead
        As in ``cutoff_table``.

    Returns
    -------
    SwapSet

    Raises
    ------
    DataError, UsageError
        As ``cutoff_for`` and ``cutoff_table``.

    Notes
    -----
    The interval is that of a difference of two ratios on the same rows, by linearisation (delta
    method); rows count as independent, the cut-offs as given.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.cutoffs import swap_set
    >>> rng = np.random.default_rng(0)
    >>> risk = rng.normal(size=4000)
    >>> y = (risk + rng.normal(size=4000) > 2).astype(int)
    >>> found = swap_set(y, risk + 2 * rng.normal(size=4000), risk, approval_rate=0.7)
    >>> found.cells[["cell", "rows"]].set_index("cell")["rows"].sum(), found.difference.high < 0
    (np.int64(4000), True)
    """
    truth, old, w = _rows(y, champion, weight)
    new = _rows(y, challenger, weight)[1]
    cuts = [cutoff_for(score, approval_rate=approval_rate, weight=w) for score in (old, new)]
    ins = [approved(score, cut, weight=w) for score, cut in zip((old, new), cuts, strict=True)]
    losses = {}
    if lgd is not None or ead is not None:
        losses["expected_champion"], lost = _losses(truth, probabilities(old), w, lgd, ead)
        losses["expected_challenger"] = _losses(truth, probabilities(new), w, lgd, ead)[0]
        losses["loss"] = lost
    lines = []
    for name in CELLS:
        sides = [part == "in" for part in name.split("/")]
        at = (ins[0] == sides[0]) & (ins[1] == sides[1]) & (w > 0)
        mass, bads = w[at].sum(), (w * truth)[at].sum()
        effective = np.asarray(effective_rows(w[at]))
        share = bads / mass if at.any() else np.nan
        low, high = jeffreys(np.nan_to_num(share) * effective, effective)
        lines.append(
            {
                "cell": name,
                "rows": int(at.sum()),
                "bads": int(truth[at].sum()),
                "share": mass / w.sum(),
                "bad_rate": share,
                "low": float(low) if at.any() else np.nan,
                "high": float(high) if at.any() else np.nan,
                **{key: float(value[at].sum()) for key, value in losses.items()},
            }
        )
    cells = pd.DataFrame(lines)
    swapped = cells.loc[1:2, "rows"].to_numpy()
    return SwapSet(
        cells=cells,
        champion_cutoff=cuts[0],
        challenger_cutoff=cuts[1],
        champion_rate=float(w[ins[0]].sum() / w.sum()),
        challenger_rate=float(w[ins[1]].sum() / w.sum()),
        difference=_difference(truth, w, ins[1], ins[0], bool(swapped.min() >= FEWEST_SWAPPED)),
    )


def _difference(
    y: Floats, w: Floats, a: NDArray[np.bool_], b: NDArray[np.bool_], enough: bool
) -> Difference:
    """Return bad rate of the rows in a less that in b, with its interval."""
    rates = [np.average(y[at], weights=w[at]) for at in (a, b)]
    value = float(rates[0] - rates[1])
    if not enough:
        return Difference(value, np.nan, np.nan, np.nan)
    pull = [w * at * (y - r) / w[at].sum() for at, r in zip((a, b), rates, strict=True)]
    error = float(np.sqrt(((pull[0] - pull[1]) ** 2).sum()))
    if error == 0:
        return Difference(value, value, value, 1.0)
    half = float(norm.ppf(0.975) * error)
    return Difference(value, value - half, value + half, float(2 * norm.sf(abs(value) / error)))


def _losses(
    y: Floats, p: Floats, w: Floats, lgd: float | None, ead: ArrayLike | None
) -> tuple[Any, Any]:
    """Return expected and suffered loss of each row, None where nothing is said of exposures."""
    if lgd is None and ead is None:
        return None, None
    if lgd is None or ead is None:
        raise UsageError(
            "losses need both lgd (a share of the exposure) and ead (exposure at default per row)"
        )
    if not 0 <= lgd <= 1:
        raise UsageError(f"lgd: got {lgd:g}, allowed: a share from 0 to 1")
    exposure = np.asarray(ead, dtype=float)
    if exposure.shape != y.shape or not np.isfinite(exposure).all():
        raise DataError(
            f"ead: {exposure.size} values for {len(y)} rows, {(~np.isfinite(exposure)).sum()} of "
            "them no finite number; give the exposure of each row"
        )
    return w * p * lgd * exposure, w * y * lgd * exposure


def _rows(
    y: ArrayLike, score: ArrayLike, weight: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    truth, values = np.asarray(y, dtype=float), np.asarray(score, dtype=float)
    w = _weights(weight, len(values))
    if len(truth) != len(values) or len(w) != len(values) or not np.isin(truth, (0, 1)).all():
        raise DataError(
            f"cut-off: {len(values)} scores, {len(truth)} labels, {len(w)} weights; each row needs "
            f"one of each, labels 0 or 1 (they hold {np.unique(truth)[:5]})"
        )
    if not np.isfinite(values).all() or not w.sum() > 0:
        raise DataError(
            f"cut-off: {(~np.isfinite(values)).sum()} of {len(values)} scores are no finite "
            f"numbers, the weights sum to {w.sum():g}; score these rows anew, or leave them out"
        )
    return truth, values, w


def _spread(score: Floats, w: Floats) -> list[float]:
    """Return the cut-offs that approve about 5 %, 10 %, ... 95 %, each of them once."""
    found = set()
    for rate in np.arange(1, 20) / 20:
        try:
            found.add(cutoff_for(score, approval_rate=float(rate), weight=w))
        except DataError:  # too many rows are tied at the lowest score
            continue
    if not found:
        raise DataError("cutoff_table: more than 95 % of the rows have the lowest score; no table")
    return sorted(found)


def _weights(weight: ArrayLike | None, n_rows: int) -> Floats:
    return np.ones(n_rows) if weight is None else np.asarray(weight, dtype=float)
