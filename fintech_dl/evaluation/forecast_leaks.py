"""Checks for leaks that every run of forecasts makes, and those that build its table anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fintech_dl.cards import Forecast
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.leak_cases import Case, Finding, case_of
from fintech_dl.evaluation.price_leaks import Build, price_leaks
from fintech_dl.evaluation.price_signs import asset_constants, follower, implausible, label_ends
from fintech_dl.evaluation.splits import Fold
from fintech_dl.table import Table

SHARPE_LIMIT = 3.0  # a year, after cost
ASSETS, DATES, MARKETS = 8, 500, 5  # of the part on which a table is built anew


def run_leaks(forecast: Forecast, scored: Scored, table: Table, part: Fold) -> list[Finding]:
    """Check the rows, labels and scores of a run: nothing is fitted or built.

    Parameters
    ----------
    forecast : cards.Forecast
    scored : Scored
        The model.
    table : Table
    part : Fold
        Its latest fold.

    Returns
    -------
    list of Finding
        ``label ends``, ``asset constants``, ``follower`` and ``implausible``.
    """
    case: Case = case_of(table, (part.train, part.test))
    score = scored.outcomes[0].score
    ranks = forecast.kind in ("ranking", "direction")
    orders = scored.outcomes[0].returns is not None
    return [
        label_ends(case),
        asset_constants(case),
        follower(case, score, ranks),
        implausible(
            case,
            score,
            forecast.ic_limit if orders else None,
            SHARPE_LIMIT,
            forecast.cost_bp / 1e4,
            forecast.bars_per_year,
        ),
    ]


def deep_leaks(
    forecast: Forecast,
    build: Build,
    model: Any,
    frame: pd.DataFrame,
    *,
    variance: str = "",
    everything: bool = False,
    seed: int = 0,
) -> list[Finding]:
    """Check how a table is built, and whether a model finds something in noise, on a few assets.

    Parameters
    ----------
    forecast : cards.Forecast
    build : function
        From a frame to a ``Table``; of several targets the first is looked at.
    model : estimator
        Clones of it are fitted, some ten times.
    frame : DataFrame
        With ``date`` and ``asset``.
    variance : str
        What the card's table names so: random markets need a random one too where it is a column
        of the frame, and not made of prices.
    everything : bool
        Whether to make those of `run_leaks` too, on the same part.
    seed : int

    Returns
    -------
    list of Finding
        As `price_leaks`.
    """
    names = frame["asset"].value_counts(sort=True).index[:ASSETS]
    some = frame[frame["asset"].isin(names)]
    present = some.groupby("date").size()
    last = present.index[present == present.max()][-1]  # one asset may go on for years alone
    days = present.index[present.index <= last][-DATES:]
    some = some[some["date"].between(days[0], last)].reset_index(drop=True)
    found = price_leaks(
        lambda bars: build(bars).main(),
        model,
        some,
        ranks=forecast.kind == "ranking",
        ic_limit=forecast.ic_limit if forecast.kind in ("ranking", "direction") else None,
        sharpe_limit=SHARPE_LIMIT,
        cost=forecast.cost_bp / 1e4,
        bars_per_year=forecast.bars_per_year,
        n_noise=MARKETS,
        variance=variance if variance in frame else "",
        seed=seed,
    )
    known = ("label ends", "asset constants", "follower", "implausible")
    return [one for one in found if everything or one.name not in known]


def warnings_of(leaks: Sequence[Finding]) -> list[str]:
    """Return what a reader must know before any number: checks that did not pass."""
    serious = ("implausible", "follower", "future", "noise", "shuffled labels", "label ends")
    return [one.text for one in leaks if one.passed is False and one.name in serious]
