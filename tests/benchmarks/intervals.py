"""Whether 90 % intervals of returns hold in calm, in between and in storm.

Run in the repository, with index_daily.parquet and sp500_stocks_5yr.parquet in FINTECH_DL_DATA:

    FINTECH_DL_DATA=/my/data python tests/benchmarks/intervals.py

Speed and window of the adaptive intervals are chosen on rows before the test. It takes about 20
minutes on 2 cores. `--only ranges` measures the lines whose name holds that word, and keeps the
others of the newest result.
"""

import argparse
import itertools
import json
import os
import time
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from results import FOLDER, write_result
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fintech_dl import MLP, ConformalRegressor, NeuralQuantileRegressor, load_frame
from fintech_dl.evaluation.coverage import terciles
from fintech_dl.evaluation.forecasts import interval_score
from fintech_dl.evaluation.online import online_intervals
from fintech_dl.evaluation.risk_tests import (
    christoffersen,
    kupiec,
    mcneil_frey,
    traffic_light,
)
from fintech_dl.evaluation.volatility_baselines import LogHAR
from fintech_dl.features.prices import panel
from fintech_dl.features.volatility import har
from fintech_dl.table import Table

COVERAGE = 0.9
RANGES = ["range_1", "range_5", "range_22"]
THIRDS = ("low", "middle", "high")
FIRST = "1900-01-01"
STARTED = time.perf_counter()
SPEEDS = (0.0, 0.005, 0.01, 0.02, 0.05)


class Task(NamedTuple):
    """Rows, in time order, and the dates at which each part begins."""

    title: str
    table: Table
    calibration: str  # training before
    walk: str  # rows from here to the test decide speed and window
    test: str
    end: str
    windows: tuple[int | None, ...]

    def rows(self, start: str, end: str) -> Any:
        """Return a mask of rows decided from the start on whose outcome is known by the end."""
        when, until = self.table.when, self.table.until
        return ((when >= start) & (until < end)).to_numpy()


def index() -> Task:
    """Return one-day log returns of the S&P 500."""
    bars = load_frame("index_daily")
    bars = bars[(bars["asset"] == "SP500") & (bars["date"] >= "1989-06-01")].reset_index(drop=True)
    features = ["volatility", "ranges"]
    table = panel(bars, features=features, label="price", horizon=1, labelled=True)
    table = with_spreads(bars, table, horizon=1, train="1998-01-01")
    windows = (250, 500, 1000, None)
    dates = ("1998-01-01", "2002-01-01", "2006-01-01", "2024-01-01")
    return Task("SP500, 1 day", table, *dates, windows)


def stocks() -> Task:
    """Return five-day returns of the stocks of the S&P 500, entered at the next open."""
    bars = load_frame("sp500_stocks_5yr")
    table = panel(bars, features=["volatility", "ranges"], horizon=5, labelled=True)
    table = with_spreads(bars, table, horizon=5, train="2015-01-01")
    dates = ("2015-01-01", "2015-07-01", "2016-07-01", "2018-03-01")
    return Task("S&P stocks, 5 days", table, *dates, (60, 125, 250, None))


def with_spreads(bars: pd.DataFrame, table: Table, horizon: int, train: str) -> Table:
    """Add three spreads known at the row's date; rows without all of them are left out."""
    variances = har(bars, variance="parkinson", market=False, horizon=horizon, floor=1e-8)
    known = ((variances.until < train) & variances.y.notna()).to_numpy()
    names = [f"log_variance_{n}" for n in (1, 5, 22)]
    model = LogHAR(names).fit(variances.X[known], variances.y[known])
    expected = pd.Series(model.predict(variances.X), variances.aside["row"])
    X = table.X.assign(
        month=np.sqrt(horizon) * table.aside["volatility"],
        ewma=np.sqrt(horizon) * table.X["ewma_94"].astype(float),
        har=np.sqrt(horizon * expected.reindex(table.aside["row"]).to_numpy()),
    )
    positive = [name for name in X if not name.startswith("leverage")]
    sound = ((X[positive] > 0) & np.isfinite(X[positive])).all(axis=1).to_numpy()
    inputs = np.log(X.loc[sound, positive].drop(columns=RANGES)).add_prefix("log_")
    rows = table.rows(sound)
    X = pd.concat([X[sound].reset_index(drop=True), inputs.reset_index(drop=True)], axis=1)
    return Table(X=X, y=rows.y, when=rows.when, until=rows.until, who=rows.who, aside=rows.aside)


def inputs(X: pd.DataFrame) -> pd.DataFrame:
    """Return logs of volatilities and the falls of the last bars."""
    return X[[name for name in X if name.startswith(("log_", "leverage"))]]


def network(task: Task) -> Pipeline:
    """Return quantiles of returns, learnt before the calibration."""
    before = task.rows(FIRST, task.calibration)
    epochs = 30 if before.sum() < 10_000 else 5
    model = NeuralQuantileRegressor(network=MLP(units=(32, 16)), epochs=epochs, random_state=0)
    whole = make_pipeline(FunctionTransformer(inputs), model)
    return whole.fit(task.table.X[before], task.table.y[before])


def intervals(
    task: Task, model: ConformalRegressor, start: str, end: str, *, since: str, walk: bool
) -> tuple[Any, Any, Any]:
    """Return the mask of tested rows and their intervals, calibrated on rows before."""
    table = task.table
    before, test = task.rows(since, start), task.rows(start, end)
    early = task.rows(FIRST, task.calibration)
    model.fit(table.X[early], table.y[early])  # learns the weights of several scales alone
    model.calibrate(table.X[before], table.y[before], table.when[before])
    X, y, when, until = (part[test] for part in (table.X, table.y, table.when, table.until))
    found = online_intervals(model, X, y, when, until) if walk else model.predict_interval(X)
    return test, *found


def held_by(inside: Any, values: Any) -> dict[str, float]:
    group = terciles(values)
    return {third: float(inside[group == third].mean()) for third in THIRDS}


def tuned(task: Task, model: ConformalRegressor, since: str) -> dict[str, Any]:
    """Return speed and window that came closest to the promise in every third, before the test."""
    best: tuple[float, dict[str, Any]] = (np.inf, {})
    for adapt, window in itertools.product(SPEEDS, task.windows):
        found = {"adapt": adapt, "window": window}
        test, low, high = intervals(
            task, model.set_params(**found), task.walk, task.test, since=since, walk=True
        )
        inside = inside_of(task, test, low, high)
        shares = held_by(inside, task.table.aside["volatility"][test])
        apart = max(abs(share - COVERAGE) for share in shares.values())
        best = min(best, (apart, found), key=lambda pair: pair[0])
    return best[1]


def inside_of(task: Task, test: Any, low: Any, high: Any) -> Any:
    y = task.table.y[test].to_numpy()
    return (low <= y) & (y <= high)


def judged(task: Task, test: Any, low: Any, high: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a line of the table, and coverage by year for the JSON file."""
    part = task.table.rows(test)
    inside = inside_of(task, test, low, high)
    realised = held_by(inside, part.aside["volatility"])
    ewma = held_by(inside, part.X["ewma"])
    years = {
        int(year): float(inside[(part.when.dt.year == year).to_numpy()].mean())
        for year in part.when.dt.year.unique()
    }
    line = {"all": f"{inside.mean():.3f}"}
    line["thirds of realised volatility"] = " ".join(f"{realised[t]:.3f}" for t in THIRDS)
    line["thirds of EWMA"] = " ".join(f"{ewma[t]:.3f}" for t in THIRDS)
    line["years"] = f"{min(years.values()):.3f} to {max(years.values()):.3f}"
    line["width"] = f"{(high - low).mean():.4f}"
    line["Winkler"] = f"{interval_score(part.y, low, high, COVERAGE).mean():.4f}"
    kept = all(abs(share - COVERAGE) <= 0.02 + 1e-9 for share in realised.values())
    line["bar"] = "kept" if kept else "missed"
    hits = part.y.to_numpy() < low
    if part.who.nunique() == 1:
        line |= series_tests(hits, (1 - COVERAGE) / 2)
    else:
        line |= panel_tests(part, hits, (1 - COVERAGE) / 2)
    return line, {"realised": realised, "ewma": ewma, "years": years, "hits": float(hits.mean())}


def series_tests(hits: Any, level: float) -> dict[str, Any]:
    return {
        "hits below": f"{hits.mean():.3f}",
        "Kupiec p": f"{kupiec(hits, level).p_value:.3f}",
        "Christoffersen p": f"{christoffersen(hits).p_value:.3f}",
        "traffic light": traffic_light(hits, level).zone,
    }


def panel_tests(part: Table, hits: Any, level: float) -> dict[str, Any]:
    """Test each stock on every sixth date, so that labels do not overlap."""
    every = part.when.rank(method="dense").to_numpy() % 6 == 1
    apart = pd.DataFrame({"who": part.who[every].to_numpy(), "hit": hits[every]})
    own = [group.to_numpy() for _, group in apart.groupby("who")["hit"] if len(group) > 30]
    zones = [traffic_light(h, level).zone for h in own]
    return {
        "hits below": f"{hits.mean():.3f}",
        "Kupiec p": f"below .05 for {np.mean([kupiec(h, level).p_value < 0.05 for h in own]):.1%}",
        "Christoffersen p": "below .05 for "
        f"{np.mean([christoffersen(h).p_value < 0.05 for h in own]):.1%}",
        "traffic light": f"{np.mean([zone == 'green' for zone in zones]):.1%} green",
    }


def risk(task: Task, model: ConformalRegressor) -> list[str]:
    """Return what the tests say of value at risk and expected shortfall at two levels."""
    test, *_ = intervals(task, model, task.test, task.end, since=FIRST, walk=False)
    part = task.table.rows(test)
    y, lines = part.y.to_numpy(), []
    for level in (0.01, 0.05):
        var, shortfall = model.predict_risk(part.X, level=level)
        hits = y < -var
        found = series_tests(hits, level)
        p = mcneil_frey(y, var, shortfall).p_value
        lines.append(
            f"{task.title}, value at risk of {1 - level:.0%}, static, EWMA: {hits.mean():.2%} "
            f"hits, Kupiec p {found['Kupiec p']}, Christoffersen p {found['Christoffersen p']}, "
            f"traffic light {found['traffic light']}, shortfall (McNeil-Frey) p {p:.3f}"
        )
    return lines


def zero(**parameters: Any) -> ConformalRegressor:
    return ConformalRegressor(
        DummyRegressor(strategy="constant", constant=0.0), coverage=COVERAGE, **parameters
    )


def lines_of(task: Task, only: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the table's lines of a task: every model, static and as days come."""
    begin = task.calibration
    makers: dict[str, tuple[str, Any]] = {
        "0; scale none": (FIRST, zero()),
        "0; scale month": (FIRST, zero(scale="month")),
        "0; scale EWMA": (FIRST, zero(scale="ewma")),
        "0; scale EWMA, each side": (FIRST, zero(scale="ewma", symmetric=False)),
        f"0; scale EWMA, since {begin[:4]}": (begin, zero(scale="ewma")),
        "0; scale HAR": (begin, zero(scale="har")),
        "0; scale HAR, each side": (begin, zero(scale="har", symmetric=False)),
        "0; scale ranges": (begin, zero(scale=RANGES)),
        "0; scale ranges, each side": (begin, zero(scale=RANGES, symmetric=False)),
    }
    makers = {name: maker for name, maker in makers.items() if only in name}
    found = {}
    if only in "network":
        quantiles = network(task)
        for title, scale in (("none", None), ("EWMA", "ewma"), ("HAR", "har")):
            model = ConformalRegressor(FrozenEstimator(quantiles), method="cqr", scale=scale)
            makers[f"network, CQR; scale {title}"] = begin, model
        own = task.rows(task.test, task.end)
        alone = quantiles[-1].predict_interval(inputs(task.table.X[own]), COVERAGE)
        found["network alone"] = (own, *alone)
    for name, (since, model) in makers.items():
        test = {"start": task.test, "end": task.end, "since": since}
        found[f"{name}; static"] = intervals(task, model, **test, walk=False)
        chosen = tuned(task, model, since)
        how = f"adapt {chosen['adapt']:g}, window {chosen['window'] or 'all'}"
        model.set_params(**chosen)
        found[f"{name}; online, {how}"] = intervals(task, model, **test, walk=True)
    rows, raw = [], {}
    for name, parts in found.items():
        line, raw[name] = judged(task, *parts)
        rows.append({"data": task.title, "intervals": name, **line})
        print(rows[-1], flush=True)
    return rows, raw


def main(only: str) -> None:
    rows, raw, notes = [], {}, []
    kept: dict[str, Any] = {"rows": [], "raw": {}, "total_seconds": 0}
    if only:
        newest = max(FOLDER.glob("intervals_*.json"))
        kept = json.loads(newest.read_text(encoding="utf-8"))
    for task in (index(), stocks()):
        start = time.perf_counter()
        lines, measured = lines_of(task, only)
        old = [
            r for r in kept["rows"] if r["data"] == task.title and r["intervals"] not in measured
        ]
        rows += old + lines
        raw[task.title] = kept["raw"].get(task.title, {}) | measured
        own = task.rows(task.test, task.end)
        when = task.table.when[own]
        notes.append(
            f"{task.title}: tested on {own.sum():,} rows, {when.min():%Y-%m-%d} to "
            f"{when.max():%Y-%m-%d}; network and HAR learnt before {task.calibration}, intervals "
            "calibrated on the rows from then to the test; where nothing is learnt (0 with none, "
            "month, EWMA), on all rows before the test. "
            f"{time.perf_counter() - start:.0f} s{f', {only} alone' if only else ''}."
        )
        if task.table.who.nunique() == 1:
            notes += risk(task, zero(scale="ewma"))
    notes += [
        "Speed and window of the online intervals are those that came closest to 90 % in every "
        "third of realised volatility in 2002 to 2005 (index) and 2015-07 to 2016-06 (stocks); "
        f"speeds {SPEEDS}.",
        "Thirds: of the volatility of the 22 bars up to the row (realised) and of the EWMA (0.94) "
        "of squared returns, both over all tested rows: coverage in the low, middle and high one.",
        "Scales, all known at the row's close: month = volatility of the last 22 bars, ewma = EWMA "
        "0.94, har = log-HAR on Parkinson variances, fitted before the calibration; times the root "
        "of the horizon. ranges = Parkinson's volatilities of the last 1, 5 and 22 bars, weighted "
        "as outcomes before the calibration say: what a card has. static = calibrated once; online "
        "= each date from what was known by then.",
        "hits below: outcomes under the low end, of which there should be 5 %; Kupiec, "
        "Christoffersen and traffic light are of these. Of the stocks: each on every sixth date, "
        "so that its labels do not overlap; stocks of one date are alike, so shares say more than "
        "5 % even of a perfect model.",
        "years: lowest and highest coverage of a year; each year is in the JSON file.",
        "Bar: coverage .88 to .92 in every third of realised volatility.",
    ]
    command = "FINTECH_DL_DATA=/my/data python tests/benchmarks/intervals.py"
    seconds = kept["total_seconds"] + time.perf_counter() - STARTED
    print(write_result("intervals", rows, notes, command, raw=raw, seconds=seconds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="measure lines whose name holds this")
    main(parser.parse_args().only)
