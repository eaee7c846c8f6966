"""The noise part of the markets' benchmark: how often a verdict says *beats* where nothing is.

Each seed makes prices without anything to be found, splits their dates in half, fits a model on the
first and asks for the verdict against the best of the simple forecasts on the second.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from markets_state import Job, Line
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from fintech_dl.data.markets import garch_panel, random_walk
from fintech_dl.evaluation.forecast_evidence import verdict
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.volatility_baselines import LastValue, LogHAR
from fintech_dl.features.prices import panel
from fintech_dl.features.volatility import har
from fintech_dl.table import Table

SEEDS = 1000
BLOCK = 100  # seeds in a job
DAYS = 800
Maker = Callable[[int, int], tuple[Table, str, dict[str, Any]]]
Rivals = dict[str, Any]
SAME: Rivals = {"no change": DummyRegressor(strategy="constant", constant=0.0)}
DRIFT: Rivals = SAME | {"drift": DummyRegressor()}


def gbm_price(seed: int, horizon: int) -> tuple[Table, str, Rivals]:
    bars = random_walk(n_assets=4, days=DAYS, drift=0.05, seed=seed)
    return panel(bars, features=["returns"], label="price", horizon=horizon), "mse", DRIFT


def garch_price(seed: int, horizon: int) -> tuple[Table, str, Rivals]:
    bars = garch_panel(n_assets=4, days=DAYS, seed=seed)
    return panel(bars, features=["returns"], label="price", horizon=horizon), "mse", DRIFT


def gbm_rank(seed: int, horizon: int) -> tuple[Table, str, Rivals]:
    bars = random_walk(n_assets=20, days=DAYS, seed=seed)
    table = panel(bars, features=["returns"], across="rank", label="rank", horizon=horizon)
    return table, "rank_ic", {n: LastValue(n) for n in ("RETURN_20", "RETURN_60")}


def gbm_variance(seed: int, horizon: int) -> tuple[Table, str, Rivals]:
    bars = random_walk(n_assets=4, days=DAYS, seed=seed)
    table = har(bars, variance="rogers_satchell", floor=1e-8, horizon=horizon, market=False)
    month = LastValue("log_variance_22", log=True)
    return table, "qlike", {"mean": DummyRegressor(), "last month": month}


CASES: dict[str, Maker] = {
    "GBM, price": gbm_price,
    "GARCH, price": garch_price,
    "GBM, ranking": gbm_rank,
    "GBM, variance": gbm_variance,
}
HORIZONS = {"GBM, price": 1, "GARCH, price": 5, "GBM, ranking": 5, "GBM, variance": 5}
NETWORK = ("GBM, price", "GARCH, price")
METHODS = [f"{case}: linear" for case in CASES] + [f"{case}: network" for case in NETWORK]


def jobs(part: str) -> Iterator[Job]:
    for method in METHODS:
        number = 1 if method.endswith("network") else SEEDS // BLOCK
        for block in range(number):
            yield Job(part, HORIZONS[method.split(":")[0]], method, 0, block)


def measure(job: Job) -> Line:
    case, kind = job.method.split(": ")
    first = job.block * BLOCK
    said = [
        verdict_of(CASES[case], job.horizon, kind, seed) for seed in range(first, first + BLOCK)
    ]
    return {"seeds": BLOCK, **{word: said.count(word) for word in ("beats", "same", "worse")}}


def verdict_of(make: Maker, horizon: int, kind: str, seed: int) -> str:
    """Return ``beats``, ``same`` or ``worse``."""
    table, metric, rivals = make(seed, horizon)
    assert table.y is not None
    assert table.when is not None
    assert table.until is not None
    half = pd.Series(table.when.unique())[table.when.nunique() // 2]
    known = table.y.notna()
    train, test = known & (table.until < half), known & (table.when >= half)
    model = network(seed) if kind == "network" else linear(metric)
    outcomes = {}
    for name, each in {"model": model, **rivals}.items():
        forecast = each.fit(table.X[train], table.y[train]).predict(table.X[test])
        outcomes[name] = outcome(table, test, forecast, metric, horizon)
    return verdict(outcomes, metric)["outcome"]


def outcome(table: Table, test: Any, forecast: np.ndarray, metric: str, horizon: int) -> Outcome:
    returns = table.aside["forward_return"][test].to_numpy() if metric == "rank_ic" else None
    return Outcome(
        y=table.y[test].to_numpy(),
        score=forecast,
        when=table.when[test].to_numpy(),
        who=table.who[test].to_numpy(dtype=str),
        numbers=True,
        returns=returns,
        horizon=horizon,
    )


def linear(metric: str) -> Any:
    return LogHAR() if metric == "qlike" else LinearRegression()


def network(seed: int) -> Any:
    from fintech_dl import MLP, NeuralRegressor

    return NeuralRegressor(network=MLP(units=16), epochs=10, random_state=seed)
