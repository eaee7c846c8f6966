"""What an order of assets is worth, as a run's record has it: coefficients, books that trade."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fintech_dl.cards import Forecast
from fintech_dl.errors import DataError
from fintech_dl.evaluation.forecast_evidence import advantage
from fintech_dl.evaluation.forecast_metrics import by_date
from fintech_dl.evaluation.leak_cases import FEWEST_ASSETS
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.portfolios import drawdown, long_short, performance, sharpe, top_k
from fintech_dl.evaluation.ranks import (
    Coefficients,
    by_period,
    information_coefficient,
    monotonicity,
    quantile_returns,
    summarise,
)
from fintech_dl.evaluation.sharpe_tests import (
    deflated_sharpe,
    record_of,
    sharpe_interval,
    track_record_needed,
)
from fintech_dl.table import Table

COSTS = (0.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # basis points per side
REACHES = (1, 2, 5, 10, 20)  # bars after which a score may still be worth something


def ranking(outcomes: Mapping[str, Outcome], rows: Table, table: Table) -> dict[str, Any] | None:
    """Return how well scores order the assets of a date; None where dates have too few assets.

    Parameters
    ----------
    outcomes : dict of str to Outcome
        By title, the model first, with ``returns``.
    rows, table : Table
        The rows of the outcomes, and all rows, with ``entry`` (the price at which one enters)
        among ``aside``, for the decay.
    """
    own = next(iter(outcomes.values()))
    horizon = own.horizon or 1
    if not _panel(own):
        return None
    series = {name: by_date(own, name) for name in ("ic", "rank_ic")}
    months = by_period(series["rank_ic"], "month")["mean"]
    found: dict[str, Any] = {
        **{name: _summary(summarise(one, horizon=horizon)) for name, one in series.items()},
        "rank_ic_rivals": [
            _beside(own, one, title) for title, one in outcomes.items() if one is not own
        ],
        "by_month": {"month": months.index.tolist(), "rank_ic": months.tolist()},
        "decay": _decay(own, rows, table),
    }
    n = 10 if _assets(own) >= 30 else 5
    try:
        means = quantile_returns(own.returns, own.score, own.days, n=n, horizon=horizon)["mean"]
    except DataError:  # scores that are mostly alike
        return found
    found["quantiles"] = [
        {"quantile": q, "mean_return": v} for q, v in zip(means.index.tolist(), means, strict=True)
    ]
    found["monotonicity"] = monotonicity(means)
    return found


def trading(forecast: Forecast, own: Outcome, tried: int = 1) -> dict[str, Any] | None:
    """Return what buying the best and selling the worst earned, gross and net of costs.

    Positions are entered and left where the label's are, and held for the horizon: the book is
    renewed every so many dates, so that no two periods overlap. Returns are summed, not compounded.

    Parameters
    ----------
    forecast : cards.Forecast
    own : Outcome
        Of the model, with ``returns``.
    tried : int
        Settings of which the model is the best; its Sharpe ratio is deflated for them.
    """
    if not _panel(own):
        return None
    every, year = own.horizon or 1, forecast.bars_per_year
    _, of_row, count = np.unique(own.days, return_inverse=True, return_counts=True)
    full = count[of_row] >= FEWEST_ASSETS
    rows = tuple(part[full] for part in (own.score, own.returns, own.days, own.who.astype(str)))
    cost = forecast.cost_bp / 1e4
    book = long_short(*rows, share=forecast.top, cost=cost, every=every)
    alike = (np.zeros(len(rows[0])), *rows[1:])
    everything = top_k(*alike, k=len(own), cost=cost, every=every)
    if len(book) < 2:
        return None
    earned = performance(book, bars_per_year=year, every=every)
    curves = {"gross": book["gross"], "net": book["net"], "equal_weight": everything["net"]}
    record, per_year = record_of(book["net"]), year / every
    return {
        "cost_bp": forecast.cost_bp,
        "bars_per_year": year,
        "top": forecast.top,
        "every": every,
        "turnover": earned.turnover,
        **{
            name: {
                "return_per_year": float(values.mean() * per_year),
                "sharpe": sharpe(values, per_year),
                **dict(zip(("low", "high"), sharpe_interval(values, per_year), strict=True)),
                "drawdown": drawdown(values),
            }
            for name, values in curves.items()
        },
        "luck": {
            "tried": tried,
            "deflated_sharpe": deflated_sharpe(record, tried),
            "years": len(book) / per_year,
            "years_needed": track_record_needed(record) / per_year,
        },
        "break_even_bp": 1e4 * earned.break_even,
        "by_cost": [
            {
                "cost_bp": bp,
                "sharpe": sharpe(book["gross"] - bp / 1e4 * book["traded"], per_year),
            }
            for bp in sorted({*COSTS, forecast.cost_bp})
        ],
        "curve": {
            "date": [str(day) for day in pd.DatetimeIndex(book.index).strftime("%Y-%m-%d")],
            **{name: values.cumsum().tolist() for name, values in curves.items()},
        },
    }


def _panel(own: Outcome) -> bool:
    return own.who is not None and own.returns is not None and _assets(own) >= FEWEST_ASSETS


def _assets(own: Outcome) -> float:
    """Return the usual number of assets on a date."""
    return float(np.median(np.unique(own.days, return_counts=True)[1]))


def _summary(found: Coefficients) -> dict[str, Any]:
    named = {key: getattr(found, key) for key in ("mean", "std", "icir", "t", "low", "high")}
    return {**named, "hit_share": found.hit}


def _beside(own: Outcome, rival: Outcome, title: str) -> dict[str, Any]:
    other = summarise(by_date(rival, "rank_ic"), horizon=own.horizon or 1)
    test = advantage(own, rival, "rank_ic")
    return {
        "title": title,
        "mean": other.mean,
        "low": other.low,
        "high": other.high,
        "difference": test.value,
        "difference_low": test.low,
        "difference_high": test.high,
    }


def _decay(own: Outcome, rows: Table, table: Table) -> list[dict[str, Any]]:
    """Return the rank IC against returns over other horizons, from the prices of entry."""
    if table.aside is None or "entry" not in table.aside or table.who is None:
        return []
    assert table.when is not None
    assert rows.when is not None
    assert rows.who is not None
    who = table.who.astype(str)
    keys = pd.MultiIndex.from_arrays([table.when, who])
    prices = pd.Series(table.aside["entry"].to_numpy(dtype=float), keys).unstack()
    at = (
        prices.index.get_indexer(pd.Index(rows.when)),
        prices.columns.get_indexer(pd.Index(rows.who.astype(str))),
    )
    found = []
    for bars in sorted({*REACHES, own.horizon or 1}):
        returns = (prices.shift(-bars) / prices - 1).to_numpy()[at]
        try:
            mean = float(information_coefficient(returns, own.score, own.days).mean())
        except DataError:  # the data end first
            continue
        found.append({"horizon": bars, "rank_ic": mean})
    return found
