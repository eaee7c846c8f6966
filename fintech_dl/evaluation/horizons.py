"""Forecasts of several horizons at once: at which of them the model is worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fintech_dl.errors import DataError
from fintech_dl.evaluation.forecast_evidence import advantage, verdict
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
        line["model"] = evaluate(own, [name])[name]
        if rivals:
            said = verdict(outcomes, name)
            rival = outcomes[said["rival"]]
            loss = evaluate(rival, [name])[name]
            line |= {"rival_title": said["rival"], "rival": loss, "outcome": said["outcome"]}
            line["skill"] = 1 - line["model"] / loss if loss else None
            try:
                test = advantage(own, rival, name)
                line |= {"dm": test.t, "p_value": test.p_value}
            except DataError:
                line |= {"dm": None, "p_value": None}
        found.append(line)
    return found
