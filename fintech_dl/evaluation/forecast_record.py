"""The part ``forecast`` of a run's record: how good forecasts are, when, and against whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fintech_dl.cards import Forecast
from fintech_dl.errors import DataError, NotInstalledError
from fintech_dl.evaluation.attribution import uncalibrated
from fintech_dl.evaluation.confidence_set import model_confidence_set
from fintech_dl.evaluation.conformal import last_step
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.forecast_evidence import advantage, best_rival, joined, naive
from fintech_dl.evaluation.forecast_leaks import warnings_of
from fintech_dl.evaluation.forecast_metrics import by_date
from fintech_dl.evaluation.forecast_tests import clark_west, mincer_zarnowitz, pesaran_timmermann
from fintech_dl.evaluation.horizons import by_horizon
from fintech_dl.evaluation.interval_record import Bands, interval_record, stacked_bands
from fintech_dl.evaluation.leak_cases import Finding
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.order_record import ranking, trading
from fintech_dl.evaluation.outcomes import Outcome, evaluate, metric
from fintech_dl.evaluation.plain import plain
from fintech_dl.evaluation.resampling import blocks
from fintech_dl.evaluation.splits import Fold
from fintech_dl.table import Table

SHOWN = {
    "volatility": ("qlike", "mse", "mae", "bias"),
    "price": ("mae", "mse", "bias"),
    "direction": ("log_loss", "brier"),
    "ranking": (),
}
LEVEL = 0.9  # of the confidence set
LONGEST_FAN = 120


class Told(NamedTuple):
    """What is known of a run of forecasts, the rows of all folds in time order.

    ``rows`` are the test rows, ``table`` all rows, ``outcomes`` by title with the model first,
    ``names`` by title, ``metric`` what decides, ``bands`` the intervals of the model if it has any,
    ``horizons`` the outcomes by title at each horizon if there are several.
    """

    rows: Table
    table: Table
    outcomes: dict[str, Outcome]
    names: dict[str, str]
    metric: str
    bands: Bands | None
    horizons: Sequence[dict[str, Outcome]] = ()

    @property
    def own(self) -> Outcome:
        """What the model said."""
        return next(iter(self.outcomes.values()))


def told(
    scored: Sequence[Scored],
    table: Table,
    parts: Sequence[Fold],
    metric: str,
) -> Told:
    """Put the folds of a run together, in time order.

    Parameters
    ----------
    scored : sequence of Scored
        The model first.
    table : Table
    parts : sequence of Fold
    metric : str
        What decides.
    """
    assert table.when is not None
    at = np.concatenate([part.test for part in parts])
    order = np.argsort(table.when.iloc[at].to_numpy(), kind="stable")
    if len(parts) == 1:
        order = np.arange(len(at))
    present = [one for one in scored if one.outcomes]
    return Told(
        rows=table.rows(at[order]),
        table=table,
        outcomes={one.title: joined(one.outcomes) for one in present},
        names={one.title: one.name for one in present},
        metric=metric,
        bands=stacked_bands(present[0].bands, order),
        horizons=_horizons(present),
    )


def forecast_record(
    forecast: Forecast,
    run: Told,
    leaks: Sequence[Finding] = (),
    *,
    lag: int | None = None,
    unit: str = "",
    price_unit: str = "",
    tried: int = 1,
    members: dict[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the part ``forecast`` of the record, JSON-plain; parts that say nothing are absent.

    Parameters
    ----------
    forecast : cards.Forecast
    run : Told
    leaks : sequence of Finding
    lag : int, optional
        Bars from a signal to the entry, where positions are taken.
    unit, price_unit : str
        Of what is forecast, and of prices.
    tried : int
        Settings of which the model is the best.
    members : dict, optional
        As `members_record`.
    seed : int
        Of resamples.
    """
    kind, own = forecast.kind, run.own
    series = _series(run)
    rival = best_rival(run.outcomes, run.metric) if len(run.outcomes) > 1 else ""
    record: dict[str, Any] = {
        "kind": kind,
        "horizon": own.horizon,
        "lag": lag,
        "unit": unit,
        "assets": 1 if own.who is None else len(np.unique(own.who.astype(str))),
        "dates": len(np.unique(own.days)),
        "task_loss": run.metric,
        "days_drawn_together": blocks(own).stretch,  # by the bootstrap of all metrics' intervals
        "losses": _losses(run, SHOWN[kind], rival),
        "by_year": _by_year(run, series, rival),
        "leaks": [
            {"name": one.name, "passed": one.passed, "what": one.text, "number": one.number}
            for one in leaks
        ],
        "warnings": warnings_of(leaks),
        "members": members,
    }
    if own.numbers and kind != "ranking":
        record["calibration_line"] = _calibration_line(own)
    if rival:
        gained = (series[rival] - series.iloc[:, 0]).cumsum()
        record["loss_difference"] = {
            "date": _dates(gained.index),
            "cumulative": gained.tolist(),
            "rival": rival,
        }
        record["confidence_set"] = _confidence_set(series, seed)
    record["by_horizon"] = by_horizon(run.horizons, run.metric)
    if kind == "price":
        record["naive"] = naive(own, run.metric)
        nested = clark_west(
            own.y, np.zeros(len(own)), own.score, horizon=own.horizon or 1, dates=own.days
        )
        record["nested"] = {"t": nested.t, "p_value": nested.p_value}
    if kind in ("volatility", "price"):
        if run.bands:
            record["intervals"] = interval_record(forecast, run.own, run.bands, run.rows)
        record["fan"] = _fan(forecast, run, price_unit if kind == "price" else unit)
    if kind == "direction":
        record["direction"] = _direction(own)
    if own.returns is not None:
        record["ranking"] = ranking(run.outcomes, run.rows, run.table)
        record["trading"] = trading(forecast, own, tried)
    return {key: plain(value) for key, value in record.items() if value not in (None, [], {})}


def members_record(model: Any, X: Any, own: Outcome, name: str) -> dict[str, Any] | None:
    """Return how good the members of a model are one by one; None of a single one.

    Parameters
    ----------
    model : fitted Pipeline, or one with intervals or calibration around it
        A calibration is left out.
    X : DataFrame
        Rows of a test.
    own : Outcome
        Of the model on these rows.
    name : str
        The metric.
    """
    before, last = last_step(uncalibrated(model))
    if not hasattr(last, "predict_members") or len(last.members_) < 2:
        return None
    scores = last.predict_members(X if before is None else before.transform(X))
    if scores.ndim > 2:  # of two classes, or of several horizons
        scores = scores[:, :, 0 if own.numbers else -1]
    alone = [evaluate(replace(own, score=score), [name])[name] for score in scores]
    found = {"metric": name, "n": len(alone), "together": evaluate(own, [name])[name]}
    least, median, most = np.quantile(alone, (0, 0.5, 1))
    return plain(found | {"least": least, "median": median, "most": most})


def _horizons(present: Sequence[Scored]) -> list[dict[str, Outcome]]:
    """Return the outcomes by title at each horizon, all folds as one; none if there is only one."""
    if not any(present[0].further):
        return []
    folds = {
        one.title: [[own, *rest] for own, rest in zip(one.outcomes, one.further, strict=True)]
        for one in present
    }
    number = range(len(folds[present[0].title][0]))
    return [{title: joined([f[i] for f in own]) for title, own in folds.items()} for i in number]


def _series(run: Told) -> pd.DataFrame:
    """Return the loss of each date by model; of orders of assets, the negative of how good."""
    sign = -1 if metric(run.metric).higher_is_better else 1
    return pd.DataFrame(
        {title: sign * by_date(one, run.metric) for title, one in run.outcomes.items()}
    )


def _losses(run: Told, shown: Sequence[str], rival: str) -> list[dict[str, Any]]:
    if not shown:
        return []
    best = evaluate(run.outcomes[rival], [run.metric])[run.metric] if rival else None
    found = []
    for title, one in run.outcomes.items():
        line: dict[str, Any] = {"name": run.names[title], "title": title}
        if not one.numbers and (one.score.min() < 0 or one.score.max() > 1):
            found.append(line)  # no probabilities
            continue
        line |= evaluate(one, shown)
        if rival and title != rival:
            line["skill"] = 1 - line[run.metric] / best if best else None
            try:
                test = advantage(one, run.outcomes[rival], run.metric)
                line |= {"dm": test.t, "p_value": test.p_value}
            except DataError:
                line |= {"dm": None, "p_value": None}
        found.append(line)
    return found


def _by_year(run: Told, series: pd.DataFrame, rival: str) -> list[dict[str, Any]]:
    sign = -1 if metric(run.metric).higher_is_better else 1
    rows = pd.Series(pd.DatetimeIndex(run.own.days).year).value_counts()
    found = []
    for year, part in series.groupby(pd.DatetimeIndex(series.index).year):
        line: dict[str, Any] = {"year": int(str(year)), "n": int(rows[year])}
        line["model"] = sign * part.iloc[:, 0].mean()
        if rival:
            line |= {"rival": sign * part[rival].mean(), "rival_title": rival}
        found.append(line)
    return found


def _calibration_line(own: Outcome) -> dict[str, Any] | None:
    try:
        line = mincer_zarnowitz(own.y, own.score, horizon=own.horizon or 1, dates=own.days)
    except DataError:  # all forecasts alike
        return None
    return {"intercept": line.intercept, "slope": line.slope, "p_value": line.test.p_value}


def _confidence_set(series: pd.DataFrame, seed: int) -> dict[str, Any] | None:
    try:
        found = model_confidence_set(series, size=1 - LEVEL, seed=seed)
    except (NotInstalledError, DataError):
        return None
    return {"level": LEVEL, "titles": found.index[found["kept"]].tolist()}


def _fan(forecast: Forecast, run: Told, unit: str) -> dict[str, Any] | None:
    """Return the last forecasts of one asset, in the order of the dates that they are about.

    None where the table does not keep what was last seen: the close, or the variance.
    """
    own, rows = run.own, run.rows
    seen = "close" if forecast.kind == "price" else "variance"
    if rows.aside is None or seen not in rows.aside or rows.until is None:
        return None
    who = np.zeros(len(own)) if own.who is None else own.who.astype(str)
    names, counts = np.unique(who, return_counts=True)
    asset = names[np.argmax(counts)]
    at = np.flatnonzero(who == asset)[-LONGEST_FAN:]
    last = rows.aside[seen].to_numpy(dtype=float)[at]

    def of(values: Floats) -> Floats:
        return last * np.exp(values) if seen == "close" else values

    return {
        "asset": "" if own.who is None else str(asset),
        "unit": unit,
        "date": _dates(pd.DatetimeIndex(rows.until.iloc[at])),
        "actual": of(own.y[at]).tolist(),
        "forecast": of(own.score[at]).tolist(),
        "last": last.tolist(),
        "bands": [
            {"coverage": c, "low": of(low[at]).tolist(), "high": of(high[at]).tolist()}
            for c, (low, high) in (sorted(run.bands.ends.items()) if run.bands else ())
        ],
    }


def _direction(own: Outcome) -> dict[str, Any] | None:
    """Return how often the direction was right, beside what chance gives."""
    said = np.where(own.score >= 0.5, 1.0, -1.0)
    try:
        found = pesaran_timmermann(2 * own.y - 1, said, horizon=own.horizon or 1, dates=own.days)
    except DataError:  # one direction only
        return None
    return {"hits": found.hits, "by_chance": found.by_chance, "p_value": found.p_value}


def _dates(index: Any) -> list[str]:
    return [str(day) for day in pd.DatetimeIndex(index).strftime("%Y-%m-%d")]
