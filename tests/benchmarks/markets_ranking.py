"""The ranking part of the markets' benchmark: 505 stocks, five days ahead.

Features are ranks of the date; a return begins with the open after the signal. Models learn from
labels known before 2016, choose on the last fifth of those dates and are tested from 2016-07 on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from markets_state import Job, Line, rounded
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from fintech_dl.data.frames import load_frame
from fintech_dl.evaluation.portfolios import long_short, performance
from fintech_dl.evaluation.ranks import information_coefficient, monotonicity, quantile_returns
from fintech_dl.features.prices import panel

HORIZON = 5
TRAINED, TESTED = "2016-01-01", "2016-07-01"
ALPHAS = (1e2, 1e3, 1e4, 1e5, 1e6)
WINDOWS = ((5, 10, 20, 30, 60), (5, 20, 60), (20, 30, 60), (30, 60), (60,))
COST = 0.0005
TREES: dict[str, Any] = {
    "learning_rate": 0.05,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 1000,
    "l2_regularization": 10.0,
    "max_iter": 300,
}
SEEDS = range(10)
NETWORK: dict[str, Any] = {"units": (32, 16, 8), "batch_norm": True, "l1": 1e-4}
SETTINGS: dict[str, Any] = {"loss": "ic", "epochs": 5, "batch_size": 2000}


@dataclass(frozen=True, eq=False)
class Panel:
    X: pd.DataFrame
    y: np.ndarray
    date: np.ndarray
    asset: np.ndarray
    reached: np.ndarray
    momentum: np.ndarray
    known: np.ndarray

    def rows(self, at: np.ndarray) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        return self.X[at].reset_index(drop=True), self.y[at], self.date[at]


@cache
def data() -> Panel:
    frame = load_frame("sp500_stocks_5yr")
    table = panel(frame, across="rank", label="rank", horizon=HORIZON, labelled=True)
    close = frame.pivot(index="date", columns="asset", values="close")
    far = (close / close.shift(120) - 1).stack()
    at = pd.MultiIndex.from_arrays([table.when, table.who.astype("str")])
    return Panel(
        table.X,
        table.y.to_numpy(),
        table.when.to_numpy(),
        table.who.to_numpy(dtype=str),
        table.aside["forward_return"].to_numpy(),
        far.reindex(at).to_numpy(),
        table.until.to_numpy(),
    )


def cuts(found: Panel) -> dict[str, np.ndarray]:
    """Return the rows to learn from while choosing, to choose on, to learn from, and to test."""
    train = found.known < np.datetime64(TRAINED)
    days = np.unique(found.date[train])
    cut = days[int(0.8 * len(days))]
    return {
        "first": train & (found.known < cut),
        "choice": train & (found.date >= cut),
        "train": train,
        "test": found.date >= np.datetime64(TESTED),
    }


def mean_ic(found: Panel, score: np.ndarray, at: np.ndarray) -> float:
    return float(information_coefficient(found.reached[at], score, found.date[at]).mean())


def of_windows(names: Sequence[str], windows: Sequence[int]) -> list[str]:
    """Return the features over these windows, and those of the bar itself."""
    last = tuple(map(str, windows))
    every = tuple(map(str, WINDOWS[0]))
    return [name for name in names if name.endswith(last) or not name.endswith(every)]


def ridge(found: Panel, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Score the test rows by a ridge whose penalty and windows were chosen on training rows."""
    at = cuts(found)
    X, y, _ = found.rows(at["first"])
    Z = found.X[at["choice"]]
    tried = {}
    for windows in WINDOWS:
        names = of_windows(list(X), windows)
        for alpha in ALPHAS:
            model = Ridge(alpha, solver="cholesky").fit(X[names], y)
            tried[windows, alpha] = mean_ic(found, model.predict(Z[names]), at["choice"])
    windows, alpha = max(tried, key=tried.__getitem__)
    names = of_windows(list(X), windows)
    X, y, _ = found.rows(at["train"])
    model = Ridge(alpha, solver="cholesky").fit(X[names], y)
    told = {"windows": windows, "alpha": alpha, "choice_ic": tried[windows, alpha]}
    return model.predict(found.X.loc[at["test"], names]), told


def trees(found: Panel, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Score by gradient boosting; the number of trees was chosen on training rows."""
    at = cuts(found)
    X, y, _ = found.rows(at["first"])
    model = HistGradientBoostingRegressor(**TREES, random_state=seed).fit(X, y)
    stages = model.staged_predict(found.X[at["choice"]])
    ics = [mean_ic(found, s, at["choice"]) for i, s in enumerate(stages, 1) if i % 25 == 0]
    number = 25 * (1 + int(np.argmax(ics)))
    X, y, _ = found.rows(at["train"])
    model = HistGradientBoostingRegressor(**{**TREES, "max_iter": number}, random_state=seed)
    told = {"trees": number, "choice_ic": max(ics)}
    return model.fit(X, y).predict(found.X[at["test"]]), told


def reversal(found: Panel, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    return found.X.loc[cuts(found)["test"], "ROC5"].to_numpy(dtype=float), {}


def momentum(found: Panel, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    return found.momentum[cuts(found)["test"]], {}


def network(
    settings: Mapping[str, Any], found: Panel, seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Score by a ranker; its settings were chosen on the training rows, once."""
    from fintech_dl import MLP, NeuralRanker

    at = cuts(found)
    X, y, dates = found.rows(at["train"])
    given = {**SETTINGS, **settings, "random_state": seed}
    model = NeuralRanker(network=MLP(**NETWORK), **given)
    return model.fit(X, y, groups=dates).predict(found.X[at["test"]]), {}


Scored = Callable[[Panel, int], tuple[np.ndarray, dict[str, Any]]]
RIVALS: dict[str, Scored] = {
    "ridge": ridge,
    "boosted trees": trees,
    "reversal, 5 days": reversal,
    "momentum, 120 days": momentum,
}
OURS: dict[str, Scored] = {
    "MLP, IC": partial(network, {}),
    "10 MLPs, IC": partial(network, {"n_members": 10}),
}


def jobs(part: str) -> Iterator[Job]:
    for method in [*RIVALS, *OURS]:
        for seed in SEEDS if method == "MLP, IC" else SEEDS[:1]:
            yield Job(part, HORIZON, method, seed)


def measure(job: Job) -> Line:
    """Return the rank IC of each test date, and what a portfolio of tenths earned."""
    found = data()
    score, told = {**RIVALS, **OURS}[job.method](found, job.seed)
    at = cuts(found)["test"]
    date, asset, reached = found.date[at], found.asset[at], found.reached[at]
    kept = ~np.isnan(score)
    rows = (score[kept], reached[kept], date[kept], asset[kept])
    accounts = long_short(*rows, share=0.1, cost=COST, every=HORIZON)
    buckets = quantile_returns(reached, score, date, n=10, horizon=HORIZON)
    ics = information_coefficient(reached, score, date)
    return {
        **told,
        "rank_ic": rounded(ics, 4),
        "ic": float(information_coefficient(reached, score, date, rank=False).mean()),
        "monotonicity": monotonicity(buckets["mean"]),
        **performance(accounts, every=HORIZON)._asdict(),
    }
