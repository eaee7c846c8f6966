"""From scores to alerts: the decision rule of a pipeline card. NumPy only, for a quick start."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fintech_dl.cards import Decision
from fintech_dl.errors import UsageError

Floats = NDArray[np.float64]


def decide(
    decision: Decision,
    score: ArrayLike,
    amount: ArrayLike | None = None,
    when: ArrayLike | None = None,
) -> NDArray[np.bool_]:
    """Return which rows raise an alert.

    Parameters
    ----------
    decision : cards.Decision
        ``cost``: alert where probability x loss exceeds ``false_alarm``. ``capacity``: the
        ``per_day`` highest scores of each day; of equal scores, the earlier row. ``threshold``:
        scores at or above ``threshold``.
    score : array of shape (n_rows,)
        For ``cost`` a calibrated probability.
    amount : array of shape (n_rows,), optional
        Loss of a missed positive, in money; not needed where the decision has ``miss``.
    when : array of datetime64 of shape (n_rows,), optional
        Needed for ``capacity``.

    Returns
    -------
    bool array of shape (n_rows,)

    Raises
    ------
    UsageError
        What the rule needs is missing, or the scores are no probabilities.

    Examples
    --------
    >>> from fintech_dl.cards import Decision
    >>> from fintech_dl.evaluation.alerts import decide
    >>> decide(Decision(rule="cost", false_alarm=5.0), [0.1, 0.1, 0.9], [30.0, 100.0, 5.0])
    array([False,  True, False])
    """
    s = np.asarray(score, dtype=float)
    if decision.rule == "threshold":
        return s >= decision.threshold
    if decision.rule == "cost":
        loss = losses(decision, amount, len(s))
        if loss is None:
            raise UsageError(
                'decision.rule = "cost" needs what a missed positive costs; name the column with '
                "`amount`, or give one sum for all rows with `miss`"
            )
        return probabilities(s) * loss > decision.false_alarm
    if when is None:
        raise UsageError(
            'decision.rule = "capacity" needs the time of each row; use rule = "threshold"'
        )
    if decision.per_day < 1:
        raise UsageError(f"decision.per_day: got {decision.per_day}, allowed: 1 or more")
    days = day_of(when)
    order = np.lexsort((-s, days))  # stable: of equal scores, the earlier row
    first = np.flatnonzero(np.append(True, days[order][1:] != days[order][:-1]))
    position = np.arange(len(s)) - np.repeat(first, np.diff(np.append(first, len(s))))
    alerts = np.zeros(len(s), dtype=bool)
    alerts[order] = position < decision.per_day
    return alerts


def losses(decision: Decision, amount: ArrayLike | None, n_rows: int) -> Floats | None:
    """Return what missing each row costs if it is a positive, None where the card does not say."""
    if decision.miss is not None:
        return np.full(n_rows, decision.miss)
    return None if amount is None else np.asarray(amount, dtype=float)


def probabilities(score: ArrayLike) -> Floats:
    """Return the scores as probabilities, or raise UsageError if they are none."""
    p = np.asarray(score, dtype=float)
    if len(p) and (p.min() < 0 or p.max() > 1):
        raise UsageError(
            f"this metric needs probabilities between 0 and 1, and the scores run from "
            f"{p.min():.4g} to {p.max():.4g}; leave it out of `metrics`, or add [calibration]"
        )
    return p


def day_of(when: ArrayLike) -> NDArray[Any]:
    """Return the calendar day of each time on its own wall clock, as datetime64."""
    times = np.asarray(when)
    if times.dtype.kind == "M":
        return times.astype("datetime64[D]")
    import pandas as pd  # times with a zone are rare, and a quick start needs no pandas

    return np.asarray(pd.DatetimeIndex(when).tz_localize(None).normalize())  # type: ignore[arg-type]
