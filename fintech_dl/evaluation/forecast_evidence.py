"""What forecasts are worth beside those of simple rivals: tests by date, and a verdict by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.forecast_metrics import LOSSES, ORDERS, by_date
from fintech_dl.evaluation.forecast_tests import diebold_mariano
from fintech_dl.evaluation.newey_west import MeanTest, mean_test
from fintech_dl.evaluation.outcomes import Outcome, evaluate, metric
from fintech_dl.evaluation.resampling import blocks
from fintech_dl.evaluation.significance import paired_difference
from fintech_dl.evaluation.wording import metric as wording

SURE = 0.05


class Against(NamedTuple):
    """A model beside the best of its rivals: both values, and the test; None: too few dates."""

    rival: str
    own_value: float
    rival_value: float
    test: MeanTest | None

    @property
    def outcome(self) -> str:
        """Either ``beats`` or ``worse``, only where the test says so, or ``same``."""
        if self.test is None or self.test.p_value >= SURE:
            return "same"
        return "beats" if self.test.value > 0 else "worse"


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcomes of several folds as one, in time order.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.forecast_evidence import joined
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> days = pd.date_range("2024-05-01", periods=4)
    >>> late, early = (Outcome([1, 2], [3, 4], when=d, numbers=True) for d in (days[2:], days[:2]))
    >>> bool(joined([late, early]).when[0] == early.when[0])
    True
    """
    if len(outcomes) == 1:
        return outcomes[0]
    order = np.arange(sum(map(len, outcomes)))
    if outcomes[0].when is not None:
        order = np.argsort(np.concatenate([o.when for o in outcomes]), kind="stable")
    parts: dict[str, Any] = {}
    for f in fields(Outcome):
        values = [getattr(o, f.name) for o in outcomes]
        whole = isinstance(values[0], np.ndarray)
        parts[f.name] = np.concatenate(values)[order] if whole else values[0]
    return Outcome(**parts)


def advantage(own: Outcome, rival: Outcome, name: str) -> MeanTest:
    """Test whether a model forecasts better than a rival; a value above 0: it does.

    Losses are compared by Diebold-Mariano, the mean over a date's rows first; orders of assets by
    the difference of their coefficients, with Newey-West errors.

    Parameters
    ----------
    own, rival : Outcome
        Of the same rows, with times and a horizon.
    name : str
        Of ``forecast_metrics.LOSSES`` or ``ORDERS``.

    Returns
    -------
    MeanTest
        Of loss of the rival - loss of the model, or of coefficient of the model - that of the
        rival.

    Raises
    ------
    DataError
        Too few dates.
    UsageError
        Another metric, rows without times, or other rows.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl.evaluation.forecast_evidence import advantage
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> y = np.random.default_rng(0).normal(size=200)
    >>> when = pd.date_range("2024-01-01", periods=200)
    >>> own, rival = (Outcome(y, y + e, when=when, numbers=True, horizon=1) for e in (0.1 * y, 1.0))
    >>> advantage(own, rival, "mse").p_value < 0.001
    True
    """
    if own.when is None or rival.when is None or not np.array_equal(own.when, rival.when):
        raise UsageError("a test of two forecasts needs the same rows, with their dates")
    horizon = own.horizon or 1
    if name in ORDERS:
        gain = by_date(own, name) - by_date(rival, name)
        return mean_test(gain.to_numpy(), horizon=horizon)
    if name not in LOSSES:
        raise UsageError(f"{name} is no loss of a row; allowed: {', '.join([*LOSSES, *ORDERS])}")
    losses = [LOSSES[name](one.y, one.score) for one in (rival, own)]
    return diebold_mariano(*losses, horizon=horizon, dates=own.days)


def compared(own: Outcome, rival: Outcome, name: str, *, n: int, seed: int) -> dict[str, Any]:
    """Return the difference of a metric, model minus rival, with interval, p-value and test.

    Parameters
    ----------
    own, rival : Outcome
        Of the same rows.
    name : str
        A metric of ``outcomes``.
    n, seed : int
        Resamples, for metrics that are no means over dates.
    """
    if name not in LOSSES and name not in ORDERS:
        drawn = blocks(own)
        what = f"stretches of {drawn.stretch} days" if drawn.days else "rows"
        found = paired_difference(own, rival, name, n=n, seed=seed)
        values = found._asdict()
        return {
            "difference": values["value"],
            **{key: values[key] for key in ("low", "high", "p_value")},
            "test": f"paired bootstrap of {what}, two-sided",
        }
    kind = "Newey-West, by date" if name in ORDERS else "Diebold-Mariano with HLN, by date"
    try:
        test = advantage(own, rival, name)
    except DataError:
        nothing = dict.fromkeys(("low", "high", "p_value"))
        gap = evaluate(own, [name])[name] - evaluate(rival, [name])[name]
        return {"difference": gap, **nothing, "test": "too few dates for a test"}
    sign = 1 if metric(name).higher_is_better else -1
    low, high = sorted((sign * test.low, sign * test.high))
    return {
        "difference": sign * test.value,
        "low": low,
        "high": high,
        "p_value": test.p_value,
        "test": f"{kind}, {test.lags} lags, two-sided",
    }


def best_rival(outcomes: Mapping[str, Outcome], name: str) -> str:
    """Return the title of the rival whose metric is best; the first of the outcomes is no rival.

    Raises
    ------
    UsageError
        There is no rival.
    """
    titles = list(outcomes)
    if len(titles) < 2:
        raise UsageError(f"no claim without a rival: {titles[0]} has no baseline to compare with")
    sign = 1 if metric(name).higher_is_better else -1
    return max(titles[1:], key=lambda title: sign * evaluate(outcomes[title], [name])[name])


def against_best(outcomes: Mapping[str, Outcome], name: str) -> Against:
    """Compare a model, the first of the outcomes, with the best of its rivals; as `verdict`."""
    model, rival = next(iter(outcomes)), best_rival(outcomes, name)
    own, other = outcomes[model], outcomes[rival]
    try:
        test = advantage(own, other, name)
    except DataError:
        test = None
    return Against(rival, evaluate(own, [name])[name], evaluate(other, [name])[name], test)


def verdict(
    outcomes: Mapping[str, Outcome], name: str, book: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return by rule what may be said of a model against the best of its rivals.

    Parameters
    ----------
    outcomes : dict of str to Outcome
        By title, the model first, all of the same rows.
    name : str
        The metric that decides.
    book : dict, optional
        What trading on the forecasts earned, as `order_record.trading` has it.

    Returns
    -------
    dict
        ``text``, ``outcome`` (``beats`` or ``worse`` only where `advantage` says so at 5 %,
        two-sided; else ``same``), ``metric`` and ``rival``. A model whose book lost money after
        cost never *beats*: the outcome is then ``same``, and ``unpaid`` is True.

    Raises
    ------
    UsageError
        There is no rival; else as `advantage`.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl.evaluation.forecast_evidence import verdict
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> y = np.random.default_rng(0).normal(size=200)
    >>> when = pd.date_range("2024-01-01", periods=200)
    >>> own, rival = (Outcome(y, y + e, when=when, numbers=True, horizon=1) for e in (0.1 * y, 1.0))
    >>> verdict({"MLP": own, "last value": rival}, "mse")["outcome"]
    'beats'
    """
    model, beside = next(iter(outcomes)), against_best(outcomes, name)
    rival, test, outcome, but = beside.rival, beside.test, beside.outcome, ""
    said = {"beats": "beats", "worse": "is worse than", "same": "is no better than"}[outcome]
    if test is None:
        evidence = "too few dates for a test"
    else:
        p = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
        kind = "Newey-West" if name in ORDERS else "Diebold-Mariano"
        evidence = f"{kind} t = {test.t:+.2f}, {p}, {test.n:,} dates"
    found: dict[str, Any] = {"metric": name, "rival": rival}
    if book is not None:
        net, charged = book["net"], f"{book['cost_bp']:g} bp a side"
        if net["sharpe"] is not None:
            ratio = " [".join(f"{net[key]:.2f}" for key in ("sharpe", "low"))
            evidence += f"; Sharpe ratio after cost {ratio}, {net['high']:.2f}]"
        if outcome == "beats" and not net["return_per_year"] > 0:
            found["unpaid"] = True
            outcome, said = "same", f"{'orders' if name in ORDERS else 'forecasts'} better than"
            but = f", but trading on it loses money after {charged}"
    which = "its only baseline" if len(outcomes) == 2 else "the best baseline"
    text = (
        f"{model} {said} {which}, {rival}, on {wording(name).title}: {beside.own_value:.4g} "
        f"against {beside.rival_value:.4g}{but} ({evidence})."
    )
    return {"text": text, "outcome": outcome, **found}


def naive(outcome: Outcome, name: str) -> dict[str, Any]:
    """Return whether forecasts of a change beat "it stays as it is", and the sentence about it.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl.evaluation.forecast_evidence import naive
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> y = np.random.default_rng(0).normal(size=200)
    >>> noise = np.random.default_rng(1).normal(size=200)
    >>> when = pd.date_range("2024-01-01", periods=200)
    >>> naive(Outcome(y, noise, when=when, numbers=True, horizon=1), "mae")["beats"]
    False
    """
    last = Outcome(
        y=outcome.y,
        score=np.zeros(len(outcome)),
        when=outcome.when,
        numbers=True,
        horizon=outcome.horizon,
    )
    values = [evaluate(one, [name])[name] for one in (outcome, last)]
    numbers = f"{wording(name).title} {values[0]:.4g} against {values[1]:.4g}"
    try:
        test = advantage(outcome, last, name)
    except DataError:
        return {"beats": False, "text": f"Too few dates to compare with the last price ({numbers})"}
    beats = bool(test.p_value < SURE and test.value > 0)
    said = "beats" if beats else "does not beat"
    if test.p_value < SURE and test.value < 0:
        said = "is worse than"
    p = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
    text = f"The forecast {said} the last price: {numbers} (Diebold-Mariano {p})."
    return {"beats": beats, "text": text}
