"""What intervals around forecasts hold, as the record of a run has it: in all, and by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fintech_dl.cards import Forecast, Intervals
from fintech_dl.errors import DataError
from fintech_dl.evaluation.coverage import coverage_by_group, terciles
from fintech_dl.evaluation.forecasts import interval_score
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.risk_tests import christoffersen, kupiec, mcneil_frey, traffic_light
from fintech_dl.table import Table

INNER = 0.5  # coverage of the inner band
RISK = 0.05  # chance of a loss beyond the value at risk
LEAST_TESTED = 5  # of fewer periods no test of risk can say anything
EWMA = ("ewma_94", "log_ewma_variance")  # features that are RiskMetrics' forecast of volatility


class Bands(NamedTuple):
    """Intervals of test rows: both ends by coverage, and value at risk with shortfall at 5 %.

    Of outcomes that are no gains there is no risk. ``frozen`` are the ends of the first coverage as
    they would have been without learning as days came, if the others have learnt.
    """

    ends: dict[float, tuple[Floats, Floats]]
    var: Floats | None = None
    shortfall: Floats | None = None
    frozen: tuple[Floats, Floats] | None = None


def stacked_bands(parts: Sequence[Bands], order: Any) -> Bands | None:
    """Return the bands of several folds as one, in another order of rows; None of none."""
    if not parts:
        return None

    def whole(values: Sequence[Floats | None]) -> Floats | None:
        known = [value for value in values if value is not None]
        return np.concatenate(known)[order] if known else None

    def both(pairs: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        low, high = (np.concatenate(ends)[order] for ends in zip(*pairs, strict=True))
        return low, high

    frozen = [one.frozen for one in parts if one.frozen is not None]
    return Bands(
        ends={c: both([one.ends[c] for one in parts]) for c in parts[0].ends},
        var=whole([one.var for one in parts]),
        shortfall=whole([one.shortfall for one in parts]),
        frozen=both(frozen) if frozen else None,
    )


def interval_record(forecast: Forecast, own: Outcome, bands: Bands, rows: Table) -> dict[str, Any]:
    """Return how many intervals held what they promised, and for prices the tests of risk.

    Terciles of volatility are those of the root mean variance of the 22 bars up to the forecast
    (``volatility`` among ``aside``) and of its exponential average (the feature ``ewma_94`` or
    ``log_ewma_variance``); both were known then.

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
    whole = by_year.loc["all"]
    found: dict[str, Any] = {
        "coverage": forecast.coverage,
        "share": whole["covered"],
        "n": whole["n"],
        "width": whole["width"],
        "score": float(interval_score(own.y, low, high, forecast.coverage).mean()),
        "method": _method(forecast.intervals),
        "by_year": _groups(by_year.drop("all")),
    }
    if bands.frozen is not None:
        low_then, high_then = bands.frozen
        found["frozen"] = {
            "share": float(((low_then <= own.y) & (own.y <= high_then)).mean()),
            "width": float((high_then - low_then).mean()),
            "score": float(interval_score(own.y, *bands.frozen, forecast.coverage).mean()),
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
        found["risk"] = risk_record(own, bands)
    return found


def _method(asked: Intervals) -> str:
    """Return in words how intervals are made."""
    parts = [{"split": "split conformal", "cqr": "conformalised quantiles"}[asked.method]]
    if asked.logs:
        parts.append("of logarithms")
    if asked.scale:
        several = not isinstance(asked.scale, str)
        names = ", ".join(asked.scale) if several else str(asked.scale)
        parts.append(f"scaled by {names}{' as errors of training rows say' if several else ''}")
    if not asked.symmetric:
        parts.append("each side for itself")
    if asked.adapt:
        parts.append(f"adaptive ({asked.adapt:g})")
    if asked.updated:
        kept = f", the latest {asked.window} dates kept" if asked.window else ""
        parts.append(f"updated as days came{kept}")
    return ", ".join(parts)


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
    if name := next((one for one in EWMA if one in rows.X), ""):
        found["by_forecast_volatility"] = rows.X[name].to_numpy(dtype=float)
    return found


def risk_record(own: Outcome, bands: Bands) -> dict[str, Any]:
    """Return hits of the value at risk, and how many assets the tests of risk reject.

    An asset is tested on every ``horizon``-th of its rows, so that its periods do not overlap.
    """
    assert bands.var is not None
    assert bands.shortfall is not None
    every = own.horizon or 1
    names = np.zeros(len(own)) if own.who is None else own.who.astype(str)
    groups = [np.flatnonzero(names == name)[::every] for name in np.unique(names)]
    hits = own.y < -bands.var
    tested = np.concatenate(groups)
    found: dict[str, Any] = {"level": RISK, "hits": int(hits[tested].sum()), "n": len(tested)}
    groups = [at for at in groups if len(at) >= LEAST_TESTED]
    if not groups:
        return found
    values: dict[str, list[float | None]] = {
        "kupiec": [kupiec(hits[at], RISK).p_value for at in groups],
        "christoffersen": [christoffersen(hits[at]).p_value for at in groups],
        "shortfall": [_shortfall(own.y[at], bands.var[at], bands.shortfall[at]) for at in groups],
    }
    zones = [traffic_light(hits[at], RISK).zone for at in groups]
    if len(groups) == 1:
        alone = {f"{test}_p": ps[0] for test, ps in values.items()}
        return found | alone | {"traffic_light": zones[0]}
    known = {test: [p for p in ps if p is not None] for test, ps in values.items()}
    return found | {
        "assets": len(groups),
        "rejected": {t: sum(p < 0.05 for p in ps) for t, ps in known.items() if ps},
        "tested": {t: len(ps) for t, ps in known.items() if ps},
        "traffic_lights": {zone: zones.count(zone) for zone in ("green", "yellow", "red")},
    }


def _shortfall(y: ArrayLike, var: ArrayLike, shortfall: ArrayLike) -> float | None:
    try:
        return mcneil_frey(y, var, shortfall).p_value
    except DataError:  # a shortfall that is no loss
        return None
