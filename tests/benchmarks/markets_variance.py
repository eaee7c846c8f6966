"""The variance parts of the markets' benchmark: S&P 500 alone, and 24 indices together.

``sp500-rv``: realised variance in %^2 with VIX; test 2008-01 to 2018-04, fitted again as time
passes. ``indices``: the common days of 24 indices taken as consecutive, as the published comparison
takes them; fitted on the first 70 %, tested on the rest. Forecast is the mean variance of the next
1, 5 or 22 days; the loss is QLIKE.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd
from markets_state import Job, Line, rounded
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fintech_dl.data.frames import load_frame
from fintech_dl.evaluation.forecasts import qlike
from fintech_dl.evaluation.newey_west import by_date
from fintech_dl.evaluation.panel_splits import PurgedWalkForward
from fintech_dl.evaluation.volatility_baselines import HAR, LastValue, LogHAR
from fintech_dl.evaluation.walk_forward import walk_forward
from fintech_dl.features.market import market_rows
from fintech_dl.features.variances import ewma_variance
from fintech_dl.features.volatility import har
from fintech_dl.table import Table

HORIZONS = (1, 5, 22)
LAGS = (1, 5, 22)
LOGS = [f"log_variance_{n}" for n in LAGS]
MARKET = [f"market_{name}" for name in LOGS]
LEVELS = [f"variance_{n}" for n in LAGS]
FALLS = [f"leverage_{n}" for n in LAGS]
MONTH, YEAR, ALWAYS = 22, 252, 10_000  # days until a model is fitted again
ROLLING = 630  # days of training
LEADER = ".SPX"  # of those that close last on a date
BLOCKS = {"sp500-rv": 11, "indices": 1}  # fits of a network
OF_DATE = ("std_of_date", "max_of_date")


@dataclass(frozen=True, eq=False)
class Task:
    """Rows to forecast; the test begins at the date number ``start``."""

    X: pd.DataFrame
    y: np.ndarray
    when: np.ndarray
    until: np.ndarray
    who: np.ndarray
    day: np.ndarray  # the true date, where ``when`` is a number of days
    start: int

    def rows(self, keep: np.ndarray, first: int) -> "Task":
        parts = (self.y, self.when, self.until, self.who, self.day)
        return Task(self.X[keep].reset_index(drop=True), *(p[keep] for p in parts), first)


@dataclass(frozen=True)
class Method:
    """How a forecast is made: a model, and when it is fitted again."""

    model: Any
    every: int = MONTH
    window: int = 0  # days to train on; 0: the whole past
    by_block: bool = False  # each fit is a job of its own
    features: Callable[[Task], pd.DataFrame] = attrgetter("X")
    ours: bool = False  # ``model`` is then a function of the seed
    blend: bool = False  # also the mean of its forecast, as a logarithm, and ``rolling``'s
    of: tuple[str, ...] = ()  # the methods whose forecasts it averages, as logarithms


@cache
def sp500(horizon: int) -> Task:
    frame = load_frame("sp500_rv_vix")
    frame = frame[frame["rv"].notna()].reset_index(drop=True)
    table = har(
        frame,
        variance="rv",
        horizon=horizon,
        forms=["log", "level"],
        market=False,
        leverage="return",
        exog=["vix"],
        labelled=True,
    )
    averages = ewma_variance(frame["rv"].to_numpy())[table.aside["row"]]
    X = table.X.assign(ewma=averages)
    full = X.notna().all(axis=1).to_numpy()
    when = table.when.to_numpy()
    days = np.unique(when[full])
    start = int(np.searchsorted(days, np.datetime64("2008-01-01")))
    task = Task(X, table.y.to_numpy(), when, table.until.to_numpy(), table.who.to_numpy(), when, 0)
    return task.rows(full, start)


@cache
def indices(horizon: int) -> Task:
    """Return the rows of 24 indices; a day's own distance to the common day before is not seen."""
    frame = load_frame("oxford_man_sqrt_rv_24")
    days = np.unique(frame["date"])
    in_a_row = pd.bdate_range(days[0], periods=len(days)).as_unit("us").to_numpy()
    counted = frame.assign(date=in_a_row[np.searchsorted(days, frame["date"])])
    table = har(counted, variance="rv", horizon=horizon, asset=True, labelled=True)
    when = table.when.to_numpy()
    kept = np.unique(when)
    start = int(np.searchsorted(kept, in_a_row[int(0.7 * len(days))]))
    day = frame["date"].to_numpy()[table.aside["row"]]
    who = table.who.to_numpy(dtype=str)
    return Task(table.X, table.y.to_numpy(), when, table.until.to_numpy(), who, day, start)


def with_others(task: Task) -> pd.DataFrame:
    """Return the features with those of all assets of the date beside them."""
    own = task.X[LOGS].assign(when=task.when, who=task.who)
    wide = own.pivot(index="when", columns="who", values=LOGS)
    wide.columns = [f"{name}_of_{who}" for name, who in wide.columns]
    others = wide.loc[task.when].reset_index(drop=True)
    return pd.concat([task.X, others], axis=1)


class CrossRidge(RegressorMixin, BaseEstimator):
    """Log-HAR of each index on the lags of all: ridge, its penalty chosen on training rows."""

    def fit(self, X: Any, y: Any) -> "CrossRidge":
        self.lines_ = {}
        names = [name for name in X if "_of_" in name]
        for who in X["asset"].cat.categories:
            at = (X["asset"] == who).to_numpy()
            line = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 4, 9)))
            line.fit(X.loc[at, names], np.log(y[at]))
            rest = np.log(y[at]) - line.predict(X.loc[at, names])
            self.lines_[who] = line, float(rest.var() / 2)
        return self

    def predict(self, X: Any) -> np.ndarray:
        names, found = [name for name in X if "_of_" in name], np.empty(len(X))
        for who, (line, half) in self.lines_.items():
            at = (X["asset"] == who).to_numpy()
            found[at] = line.predict(X.loc[at, names]) + half
        return np.exp(found)


class MarketNetwork(RegressorMixin, BaseEstimator):
    """One network that sees all indices of a date and forecasts all; each has its own line."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: Any, y: Any) -> "MarketNetwork":
        market = market_rows(_dated(X, y), shared=MARKET)
        assert isinstance(market.y, pd.DataFrame)
        self.assets_ = list(market.y)
        lines = [[*(f"{name}_of_{who}" for name in LOGS), *MARKET] for who in self.assets_]
        self.model_ = clone(self.model).set_params(offset_columns=lines).fit(market.X, market.y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        market = market_rows(_dated(X), assets=self.assets_, shared=MARKET)
        day, who = pd.Index(market.when), pd.Index(self.assets_)
        at = day.get_indexer(X["when"]), who.get_indexer(X["asset"])
        return np.asarray(self.model_.predict(market.X)[at])


def _dated(X: Any, y: Any = None) -> Table:
    rows = X.reset_index(drop=True)
    target = None if y is None else pd.Series(y)
    return Table(rows[[*LOGS, *MARKET]], y=target, when=rows["when"], who=rows["asset"])


TASKS: dict[str, Callable[[int], Task]] = {"sp500-rv": sp500, "indices": indices}
LOG_X = [*LOGS, "log_vix", *FALLS]
ROLLING_X = "log-HAR-X, 630 days"


def baselines(part: str, horizon: int) -> dict[str, Method]:
    """Return the simple rivals of a part by their titles."""
    if part == "sp500-rv":
        return {
            "last value": Method(LastValue(f"variance_{horizon}")),
            "EWMA .94": Method(LastValue("ewma")),
            "HAR-OLS": Method(HAR(LEVELS)),
            "HAR-WLS": Method(HAR(LEVELS, weighted=True)),
            "log-HAR": Method(LogHAR(LOGS)),
            "log-HAR + VIX": Method(LogHAR([*LOGS, "log_vix"])),
            "log-HAR-X": Method(LogHAR(LOG_X), blend=True),
            "log-HAR + VIX, 630 days": Method(LogHAR([*LOGS, "log_vix"]), 1, ROLLING),
            ROLLING_X: Method(LogHAR(LOG_X), 1, ROLLING),
        }
    return {
        "log-HAR": Method(LogHAR(LOGS, by="asset"), ALWAYS),
        "log-HAR + global": Method(LogHAR([*LOGS, *MARKET], by="asset"), ALWAYS),
        "ridge, all 72 lags": Method(CrossRidge(), ALWAYS, features=with_others),
        "log-HAR, every 22 days": Method(LogHAR(LOGS, by="asset")),
        "log-HAR, pooled, every 22 days": Method(LogHAR(LOGS)),
        "log-HAR + global, every 22 days": Method(LogHAR([*LOGS, *MARKET], by="asset")),
        "ridge, all 72 lags, every 22 days": Method(CrossRidge(), features=with_others),
    }


def volatility(network: str, sizes: dict[str, Any], settings: dict[str, Any], seed: int) -> Any:
    import fintech_dl

    return fintech_dl.NeuralVolatilityRegressor(
        network=getattr(fintech_dl, network)(**sizes), random_state=seed, **settings
    )


def own_lags(task: Task) -> pd.DataFrame:
    """Return what log-HAR + global sees."""
    return task.X[[*LOGS, *MARKET, "asset"]]


def dated_lags(task: Task) -> pd.DataFrame:
    """Return what log-HAR + global sees, with the date."""
    return own_lags(task).assign(when=task.when)


def seen(task: Task) -> pd.DataFrame:
    """Return what log-HAR-X sees."""
    return task.X[LOG_X]


def last_month(task: Task) -> pd.DataFrame:
    """Return what each of the last 22 days showed; missing where there were fewer."""
    X = task.X[LOG_X] if "log_vix" in task.X else more_lags(task)[[*LOGS, *MARKET, *OF_DATE]]
    own = X.groupby(task.who)
    return pd.concat([own.shift(lag).add_suffix(f"@-{lag}") for lag in range(21, -1, -1)], axis=1)


def more_lags(task: Task) -> pd.DataFrame:
    """Return own and market lags of more lengths, and how the indices stood to each other."""
    X = own_lags(task).copy()
    day = X[LOGS[0]].astype(float)
    for n in (2, 3, 10, 66):
        for name in (LOGS[0], MARKET[0]):
            own = X[name].groupby(task.who)
            X[f"{name[:-2]}_{n}"] = own.transform(lambda v, n=n: v.rolling(n, min_periods=1).mean())
    for name in OF_DATE:
        X[name] = day.groupby(task.when).transform(name.removesuffix("_of_date"))
    first = task.who == LEADER
    for name in LOGS[:2]:
        X[f"leader_{name}"] = X[name][first].set_axis(task.when[first]).loc[task.when].to_numpy()
    return X


def all_lags(task: Task) -> pd.DataFrame:
    """Return `more_lags`, and the lags of all indices."""
    return with_others(task).iloc[:, len(task.X.columns) :].join(more_lags(task))


SMALL = {"units": (32, 16), "activation": "gelu", "dropout": 0.1}
OF_ONE: dict[str, Any] = {"n_members": 10, "batch_size": 128, "offset_columns": LOG_X}
OF_ALL: dict[str, Any] = {
    "n_members": 10,
    "batch_size": 1536,
    "epochs": 20,
    "offset_columns": [*LOGS, *MARKET],
}
STOPPED = {"epochs": 60, "validation_fraction": 0.2, "temporal": True, "patience": 8}
# chosen on training rows: the years 2006 and 2007, and the last fifth of the first 70 %
NETWORKS: dict[str, dict[str, tuple[Any, ...]]] = {
    "sp500-rv": {
        "MLP": ("MLP", SMALL, {**OF_ONE, "epochs": 30}, seen),
        "GRU": ("GRU", {"units": 16}, {**OF_ONE, "epochs": 20}, last_month),
    },
    "indices": {
        "MLP": ("MLP", SMALL, {**OF_ALL, "by": "asset"}, own_lags),
        "MLP, stopped early": ("MLP", SMALL, {**OF_ALL, **STOPPED, "by": "asset"}, own_lags),
        "MLP, more lags": ("MLP", SMALL, {**OF_ALL, "by": "asset"}, more_lags),
        "MLP, all 72 lags": ("MLP", {**SMALL, "dropout": 0.3}, {**OF_ALL, "by": "asset"}, all_lags),
        "GRU": ("GRU", {"units": 16}, {**OF_ALL, "n_members": 3, "epochs": 10}, last_month),
    },
}


OF_MARKET: tuple[Any, ...] = (
    "MLP",
    {"units": 64, "activation": "gelu", "dropout": 0.1},
    {**STOPPED, "n_members": 5, "batch_size": 64},
)


def market_network(seed: int) -> MarketNetwork:
    return MarketNetwork(volatility(*OF_MARKET, seed))


def ours(part: str) -> dict[str, Method]:
    """Return our networks."""
    alone = part == "sp500-rv"
    found = {
        title: Method(
            partial(volatility, *how),
            YEAR if alone else ALWAYS,
            by_block=True,
            features=features,
            ours=True,
            blend=alone,
        )
        for title, (*how, features) in NETWORKS[part].items()
    }
    if not alone:
        shared: dict[str, Any] = {"every": ALWAYS, "by_block": True, "ours": True}
        found["market network"] = Method(market_network, features=dated_lags, **shared)
        found["MLP and GRU, averaged"] = Method(None, of=("MLP", "GRU"), **shared)
    return found


@cache
def rolling(horizon: int) -> np.ndarray:
    """Return the forecasts of the S&P 500's test rows by log-HAR-X of the last 630 days."""
    task = sp500(horizon)
    method = baselines("sp500-rv", horizon)[ROLLING_X]
    at, forecast = forecasts(task, method.model, method)
    found = np.full(len(task.y), np.nan)
    found[at] = forecast
    return found


def methods(part: str, horizon: int) -> dict[str, Method]:
    return baselines(part, horizon) | ours(part)


def jobs(part: str) -> Iterator[Job]:
    for horizon in HORIZONS:
        for title, method in methods(part, horizon).items():
            for block in range(BLOCKS[part] if method.by_block else 1):
                yield Job(part, horizon, title, block=block)


def measure(job: Job) -> Line:
    """Return the losses of the test rows of a job; with ``blend``, those of two forecasts' mean."""
    task = TASKS[job.part](job.horizon)
    method = methods(job.part, job.horizon)[job.method]
    at, forecast = forecasts_of(task, job)
    line = losses(task, at, forecast)
    if method.blend:
        line["blend"] = losses(task, at, np.sqrt(forecast * rolling(job.horizon)[at]))
    return line


def forecasts_of(task: Task, job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Return the test rows of a job, and the forecast of each by its method."""
    method = methods(job.part, job.horizon)[job.method]
    if method.of:
        both = [forecasts_of(task, job._replace(method=title)) for title in method.of]
        return both[0][0], np.exp(np.mean([np.log(forecast) for _, forecast in both], axis=0))
    model = method.model(job.seed) if method.ours else method.model
    return forecasts(task, model, method, job.block)


def losses(task: Task, at: np.ndarray, forecast: np.ndarray) -> Line:
    """Return the losses by date, by year, by asset and in all."""
    y, day = task.y[at], task.day[at]
    loss = qlike(y, forecast)
    years = pd.Series(loss).groupby(day.astype("datetime64[Y]").astype(str))
    return {
        "qlike": rounded(by_date(loss, task.when[at]), 4),
        "years": {year: [round(float(own.mean()), 5), len(own)] for year, own in years},
        "assets": rounded(pd.Series(loss).groupby(task.who[at]).mean(), 4),
        "mse": float(((y - forecast) ** 2).mean()),
        "mae": float(np.abs(np.sqrt(y) - np.sqrt(forecast)).mean()),
        "bias": float((forecast - y).mean()),
        "rows": len(y),
    }


def forecasts(
    task: Task, model: Any, method: Method, block: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the test rows, or those of a block, and the forecast of each."""
    days = np.unique(task.when)
    first = task.start - method.window if method.window else 0
    kept = np.flatnonzero(task.when >= days[first])
    X = method.features(task).iloc[kept].reset_index(drop=True)
    y, when, until = task.y[kept], task.when[kept], task.until[kept]
    cv = PurgedWalkForward(task.start - first, method.every, expanding=not method.window)
    if not method.by_block:
        found = walk_forward(model, X, y, when, cv, until=until)
        tested = when >= days[task.start]
        return kept[tested], found[tested]
    train, test = next(islice(cv.split(groups=when, until=until), block, None))
    train = train[X.iloc[train].notna().all(axis=1)]
    return kept[test], model.fit(X.iloc[train], y[train]).predict(X.iloc[test])
