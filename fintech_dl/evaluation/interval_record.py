"""What intervals around forecasts hold, as the record of a run has it: in all, and by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fintech_dl.cards import Forecast
from fintech_dl.errors import DataError
from fintech_dl.evaluation.coverage import coverage_by_group, terciles
from fintech_dl.evaluation.forecasts import interval_score
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.risk_tests import christoffersen, kupiec, mcneil_frey, traffic_light
from fintech_dl.table import Table

INNER = 0.5  # coverage of the inner band
RISK = 0.05  # chance of a loss beyond the value at risk
EWMA = "ewma_94"  # the feature of `prices.panel` that is RiskMetrics' forecast of volatility


class Bands(NamedTuple):
    """Intervals of test rows: both ends by coverage, and value at risk with shortfall at 5 %."""

    ends: dict[float, tuple[Floats, Floats]]
    var: Floats
    shortfall: Floats


def stacked_bands(parts: Sequence[Bands], order: Any) -> Bands | None:
    """Return the bands of several folds as one, in another order of rows; None of none."""
    if not parts:
        return None

    def whole(values: Sequence[Floats]) -> Floats:
        return np.concatenate(values)[order]

    return Bands(
        ends={
            coverage: (
                whole([one.ends[coverage][0] for one in parts]),
                whole([one.ends[coverage][1] for one in parts]),
            )
            for coverage in parts[0].ends
        },
        var=whole([one.var for one in parts]),
        shortfall=whole([one.shortfall for one in parts]),
    )


def interval_record(forecast: Forecast, own: Outcome, bands: Bands, rows: Table) -> dict[str, Any]:
    """Return how many intervals held what they promised, and for prices the tests of risk.

    Terciles of volatility are those of the root mean squared return of the 22 bars up to the
    forecast (``volatility`` among ``aside``) and of its exponential average (the feature
    ``ewma_94``); both were known then.

    Parameters
    ----------
    forecast : cards.Forecast
    own : Outcome
        Of the model.
    bands : Bands
        Of the same rows.
    rows : Table
        The same rows.
    """
    assert forecast.intervals is not None
    low, high = bands.ends[forecast.coverage]
    years = pd.DatetimeIndex(own.days).year.astype(str)
    by_year = coverage_by_group(own.y, low, high, years, forecast.coverage)
    whole, asked = by_year.loc["all"], forecast.intervals
    scaled = f", scaled by {asked.scale}" if asked.scale else ""
    adapted = f", adaptive ({asked.adapt:g})" if asked.adapt else ""
    method = {"split": "split conformal", "cqr": "conformalised quantiles"}[asked.method]
    found: dict[str, Any] = {
        "coverage": forecast.coverage,
        "share": whole["covered"],
        "n": whole["n"],
        "width": whole["width"],
        "score": float(interval_score(own.y, low, high, forecast.coverage).mean()),
        "method": f"{method}{scaled}{adapted}",
        "by_year": _groups(by_year.drop("all")),
    }
    known = _volatilities(rows)
    for name, values in known.items():
        at = np.isfinite(values)
        if at.sum() < len(values) / 2:
            continue
        parts = (own.y[at], low[at], high[at], terciles(values[at]))
        by = coverage_by_group(*parts, forecast.coverage)
        order = [one for one in ("low", "middle", "high") if one in by.index]
        found[name] = _groups(by.loc[order])
    if forecast.kind == "price":
        found["risk"] = _risk(own, bands)
    return found


def _groups(found: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {"group": str(name), "n": int(line["n"]), "share": line["covered"]}
        | {end: line[end] for end in ("low", "high")}
        for name, line in found.iterrows()
    ]


def _volatilities(rows: Table) -> dict[str, Floats]:
    """Return what was known of the volatility of each row."""
    found = {}
    if rows.aside is not None and "volatility" in rows.aside:
        found["by_volatility"] = rows.aside["volatility"].to_numpy(dtype=float)
    if EWMA in rows.X:
        found["by_forecast_volatility"] = rows.X[EWMA].to_numpy(dtype=float)
    return found


def _risk(own: Outcome, bands: Bands) -> dict[str, Any]:
    """Return hits of the value at risk; tests only of one asset, whose periods do not overlap."""
    every = slice(None, None, own.horizon or 1)
    alone = own.who is None or len(np.unique(own.who.astype(str))) == 1
    at = every if alone else slice(None)
    hits = own.y[at] < -bands.var[at]
    found: dict[str, Any] = {"level": RISK, "hits": int(hits.sum()), "n": len(hits)}
    if not alone or len(hits) < 2:
        return found
    found |= {
        "kupiec_p": kupiec(hits, RISK).p_value,
        "christoffersen_p": christoffersen(hits).p_value,
        "traffic_light": traffic_light(hits, RISK).zone,
        "shortfall_p": _shortfall(own.y[at], bands.var[at], bands.shortfall[at]),
    }
    return found


def _shortfall(y: ArrayLike, var: ArrayLike, shortfall: ArrayLike) -> float | None:
    try:
        return mcneil_frey(y, var, shortfall).p_value
    except DataError:  # a shortfall that is no loss
        return None
