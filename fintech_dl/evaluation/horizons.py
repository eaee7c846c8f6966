"""Forecasts of several horizons at once: at which of them the model is worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fintech_dl.evaluation.forecast_evidence import against_best
from fintech_dl.evaluation.outcomes import Outcome, evaluate


def by_horizon(horizons: Sequence[Mapping[str, Outcome]], name: str) -> list[dict[str, Any]]:
    """Return what a model lost at each horizon beside the best of its rivals there.

    Parameters
    ----------
    horizons : sequence of dict of str to Outcome
        By title, the model first, for each horizon all of the same rows.
    name : str
        A loss, see ``forecast_metrics.LOSSES``.

    Returns
    -------
    list of dict
        ``horizon``, ``n`` (rows), ``model`` (its loss) and, if there are rivals, ``rival_title``,
        ``rival`` (its loss), ``skill`` (share of it that is saved), ``dm`` and ``p_value`` of
        Diebold and Mariano, with the lags that the horizon asks for (None: too few dates), and
        ``outcome``, as ``forecast_evidence.verdict`` has it.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl.evaluation.horizons import by_horizon
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> y = np.random.default_rng(0).normal(size=200)
    >>> when = pd.date_range("2024-01-01", periods=200)
    >>> def told(error, bars):
    ...     return Outcome(y, y + error, when=when, numbers=True, horizon=bars)
    >>> found = by_horizon([{"MLP": told(0.1 * y, h), "last value": told(1.0, h)} for h in (1, 5)],
    ...                    "mse")
    >>> [(line["horizon"], line["outcome"]) for line in found]
    [(1, 'beats'), (5, 'beats')]
    """
    found = []
    for outcomes in horizons:
        own, *rivals = outcomes.values()
        line: dict[str, Any] = {"horizon": own.horizon, "n": len(own)}
        if not rivals:
            found.append({**line, "model": evaluate(own, [name])[name]})
            continue
        rival, ours, theirs, test = beside = against_best(outcomes, name)
        line |= {"model": ours, "rival_title": rival, "rival": theirs, "outcome": beside.outcome}
        line["skill"] = 1 - ours / theirs if theirs else None
        line |= {"dm": test and test.t, "p_value": test and test.p_value}
        found.append(line)
    return found
