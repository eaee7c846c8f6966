"""Whether a pipeline of prices knows what it should not: checks that change the data and look.

Each plants a fault, or takes away what there is to know, and sees what the pipeline makes of it. To
pass all of them is no proof of innocence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.base import clone

from fintech_dl.bars import PRICES
from fintech_dl.errors import UsageError
from fintech_dl.evaluation.baselines import fit_rows, score_rows
from fintech_dl.evaluation.cuts import Positions
from fintech_dl.evaluation.forecast_tests import diebold_mariano
from fintech_dl.evaluation.leak_cases import (
    FEWEST_ASSETS,
    Case,
    Finding,
    case_of,
    dates,
    labelled,
    labels,
)
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.newey_west import mean_test
from fintech_dl.evaluation.noise_bars import noise_bars
from fintech_dl.evaluation.price_signs import (
    asset_constants,
    bars_in_order,
    follower,
    implausible,
    label_ends,
)
from fintech_dl.evaluation.ranks import information_coefficient
from fintech_dl.table import Table

CLEAR, LIKELY = 3.0, 1.645  # t-values: of what cannot be luck, and one-sided at 5 %
RARE = 0.001
PLANTED = 3  # markets with a signal; their t-values are added (Stouffer)

Build = Callable[[pd.DataFrame], Table]


def price_leaks(
    build: Build,
    model: Any,
    frame: pd.DataFrame,
    *,
    fold: tuple[Positions, Positions] | None = None,
    ranks: bool = False,
    ic_limit: float | None = 0.1,
    sharpe_limit: float = 3.0,
    cost: float = 0.0005,
    bars_per_year: float = 252,
    n_noise: int = 20,
    variance: str = "",
    seed: int = 0,
) -> list[Finding]:
    """Check a pipeline of prices for leaks: its features, its labels, its split and its model.

    Use it before a result is believed, and on a part of the assets: the pipeline is built anew some
    ``n_noise`` + 8 times.

    Parameters
    ----------
    build : function
        From the frame to a ``Table`` with ``y``, ``when``, ``until`` and, for a panel, ``who``.
        Rows without a label may be in it.
    model : estimator
        Left as it is; clones are fitted, and told the date of each row as ``groups`` if they ask.
    frame : DataFrame
        With a column ``date``, for a panel ``asset``, and what ``build`` needs. The checks on noise
        need long bars, or ``variance``.
    fold : tuple of int arrays, optional
        Positions of training and test rows among the labelled rows of the table, as used for the
        result. Default: the last 30 % of the dates are the test, and training is purged.
    ranks : bool
        The model only orders the assets of a date: it is judged by rank IC. Default: its forecasts
        are compared with the mean of the training labels, of all and of the same asset, by squared
        error.
    ic_limit : float, optional
        Mean rank IC above which a result is not believed. None where the label can be forecast
        well, such as a variance.
    sharpe_limit, cost, bars_per_year : float
        Net Sharpe ratio of the best against the worst tenth above which a result is not believed,
        the cost per side it is net of, and bars per year; needs ``forward_return`` in ``aside``.
    n_noise : int
        Random markets to try; 0 to leave that out.
    variance : str
        A column of variances that labels and features are made of, which must be random too in a
        random market.
    seed : int

    Returns
    -------
    list of Finding
        ``future``, ``shuffled labels``, ``noise``, ``planted signal``, ``follower``, ``truncated
        history``, ``asset constants``, ``label ends``, ``implausible`` and ``bars``.

    Raises
    ------
    UsageError
        A table without ``y`` or ``when``.
    DataError
        Too few dates to split.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.linear_model import LinearRegression
    >>> from fintech_dl.evaluation.price_leaks import price_leaks
    >>> from fintech_dl.table import Table
    >>> def build(bars):
    ...     past = np.log(bars["close"]).diff()
    ...     X = pd.DataFrame({"past": past, "next": past.shift(-1)})  # a look ahead
    ...     until = bars["date"].shift(-1)
    ...     parts = {"X": X, "y": past.shift(-1), "when": bars["date"], "until": until}
    ...     return Table(**{k: v[1:-1].reset_index(drop=True) for k, v in parts.items()})
    >>> steps = np.random.default_rng(0).normal(0, 0.01, 300)
    >>> bars = pd.DataFrame({"date": pd.bdate_range("2023-01-02", periods=300),
    ...                      "close": np.exp(steps.cumsum()), "asset": "A"})
    >>> found = price_leaks(build, LinearRegression(), bars, n_noise=5)
    >>> [finding.name for finding in found if finding.passed is False]
    ['future', 'noise']
    """
    whole = build(frame)
    table = labelled(whole)
    case = case_of(table, fold)
    fitted, score = _scored(model, case)
    return [
        _future(build, fitted, frame, whole, seed),
        _shuffled(model, case, ranks, seed),
        *_noise(build, model, frame, ranks, n_noise, variance, seed),
        follower(case, score, ranks),
        _truncated(build, frame, whole, case),
        asset_constants(case),
        label_ends(case),
        implausible(case, score, ic_limit, sharpe_limit, cost, bars_per_year),
        bars_in_order(frame),
    ]


def _future(build: Build, fitted: Any, frame: pd.DataFrame, whole: Table, seed: int) -> Finding:
    """Put noise in the place of the future: the past must keep its bits."""
    rng = np.random.default_rng(seed)
    assert whole.when is not None
    days = np.unique(whole.when)
    columns: dict[str, int] = {}
    for share in (0.3, 0.6, 0.9):
        moment = days[int(share * (len(days) - 1))]
        other = build(_with_noise(frame, (frame["date"] > moment).to_numpy(), rng))
        columns |= _different(whole, other, moment)
        if not columns and (unlike := _scored_apart(fitted, whole, other, moment)):
            columns |= {"the model's score": unlike}
    if columns:
        return Finding(
            "future",
            False,
            f"{_names(columns)} changed when bars after a date became noise; build each row from "
            "its own and earlier bars only",
            len(columns),
        )
    return Finding("future", True, "noise in the place of later bars changed no earlier row", 0)


def _shuffled(model: Any, case: Case, ranks: bool, seed: int) -> Finding:
    """Take what the labels say away: nothing may be found in the test."""
    rng = np.random.default_rng(seed)
    table, name = case.table, "shuffled labels"
    assert table.y is not None
    y = table.y.to_numpy().copy()
    order = rng.random(len(y))
    if ranks:  # what a date's assets have in common is no part of an order
        assert table.when is not None
        by_date = np.lexsort((order, table.when.to_numpy()))
        y[np.lexsort((np.arange(len(y)), table.when.to_numpy()))] = y[by_date]
    else:
        y = y[np.argsort(order)]
    shuffled = case._replace(table=replace(table, y=pd.Series(y)))
    t = _evidence(shuffled, _scored(model, shuffled)[1], ranks)
    if t > CLEAR:
        return Finding(
            name,
            False,
            f"shuffled labels are forecast with t = {t:.1f}; the model has seen its test rows: "
            "look for rows that are in training and test",
            t,
        )
    return Finding(name, True, f"nothing is found in shuffled labels (t = {t:.1f})", t)


def _noise(
    build: Build, model: Any, frame: pd.DataFrame, ranks: bool, n: int, variance: str, seed: int
) -> list[Finding]:
    """Run the whole pipeline on random walks, and on a market that can be forecast."""
    names = ("noise", "planted signal")
    if n < 1:
        return [Finding(name, None, "switched off") for name in names]
    if ("close" not in frame and not variance) or "asset" not in frame:
        return [Finding(name, None, "the frame holds no long bars") for name in names]

    def trial(i: int = 0, planted: bool = False) -> float:
        made = noise_bars(frame, seed=seed + i, planted=planted, variance=variance)
        case = case_of(labelled(build(made)), None)
        return _evidence(case, _scored(model, case)[1], ranks)

    t = [trial(i) for i in range(n)]
    found = int((np.array(t) > LIKELY).sum())
    chance = float(binom.sf(found - 1, n, 0.05))
    text = f"{found} of {n} random walks were forecast (1 in 20 is luck)"
    if chance < RARE:
        text += "; something in features, labels or split knows the future"
    signal = sum(trial(i, planted=True) for i in range(PLANTED)) / float(np.sqrt(PLANTED))
    told = f"a planted drift and volatility are found with t = {signal:.1f}"
    if signal <= LIKELY:
        told += ", not above 1.6: the model learns nothing, or labels and features do not match"
    return [
        Finding(names[0], chance >= RARE, text, found / n),
        Finding(names[1], signal > LIKELY, told, signal),
    ]


def _scored(model: Any, case: Case) -> tuple[Any, Floats]:
    """Fit a clone on the training rows; return it and its scores of the test rows."""
    fitted = fit_rows(clone(model), case.table.rows(case.train))
    return fitted, score_rows(fitted, case.table.X.iloc[case.test])


def _evidence(case: Case, score: Floats, ranks: bool) -> float:
    """Return the t-value of "the forecasts are better than none" on the test rows."""
    y, when = labels(case.table, case.test), dates(case.table, case.test)
    if ranks:
        if not case.panel:
            raise UsageError(f"ranks: a date needs {FEWEST_ASSETS} assets or more")
        found = information_coefficient(y, score, when, fewest=FEWEST_ASSETS).dropna()
        return mean_test(found, horizon=case.horizon).t if len(found) > 1 else 0.0
    known = case.table.rows(case.train)
    usual = float(known.y.mean())
    bases: list[Any] = [usual]
    if known.who is not None and case.table.who is not None:
        # that one asset is larger than another is not what is to be forecast
        own = known.y.groupby(known.who.astype(str)).mean()
        bases.append(case.table.who.iloc[case.test].astype(str).map(own).fillna(usual).to_numpy())
    losses = ((y - base) ** 2 for base in bases)
    model = (y - score) ** 2
    return min(diebold_mariano(one, model, horizon=case.horizon, dates=when).t for one in losses)


def _truncated(build: Build, frame: pd.DataFrame, whole: Table, case: Case) -> Finding:
    """Cut the test off: training rows must keep their bits."""
    name, begin = "truncated history", dates(case.table, case.test).min()
    cut = build(frame[(frame["date"] < begin).to_numpy()])
    columns = _different(whole, cut, begin - np.timedelta64(1, "us"))
    if columns:
        return Finding(
            name,
            False,
            f"{_names(columns)} of training rows changed when the test was cut off: scaled or "
            "filled by a statistic of the whole history",
            len(columns),
        )
    return Finding(name, True, "training rows are the same without the test", 0)


def _scored_apart(fitted: Any, one: Table, two: Table, moment: Any) -> int:
    """Return how many rows up to a moment get other bits beside other later rows.

    Both times as many rows stand in the same places: what remains is what a model makes of them.
    """
    assert one.when is not None
    late = (one.when > moment).to_numpy()
    at = _keys(two).get_indexer(_keys(one))
    later = np.flatnonzero(late & (at >= 0))
    past, rest = one.X[~late], (one.X.iloc[later], two.X.iloc[at[later]])
    scores = [score_rows(fitted, pd.concat([past, part]))[: len(past)] for part in rest]
    return int((~np.equal(*scores) & ~np.isnan(scores).all(axis=0)).sum())


def _with_noise(
    frame: pd.DataFrame, rows: NDArray[np.bool_], rng: np.random.Generator
) -> pd.DataFrame:
    """Return the frame with numbers of these rows off by random factors, alike for all prices.

    Those of prices are small, so that no bar looks like a split and is left out.
    """
    changed = frame.copy()
    common = np.exp(rng.normal(0, 0.02, len(frame)))
    for column in frame.select_dtypes("number"):
        factor = common if column in PRICES else np.exp(rng.normal(0, 0.3, len(frame)))
        values = frame[column].to_numpy(dtype=float)
        changed[column] = np.where(rows, values * factor, values)
    return changed


def _different(one: Table, two: Table, moment: Any) -> dict[str, int]:
    """Return in which columns, and in how many rows, what is known at a moment differs.

    Rows that the second lacks count only if their label was known by then: a table may leave out
    rows without.
    """
    a, b = _known_at(one, moment), _known_at(two, moment)
    keys, others = _keys(a), _keys(b)
    missing = ~keys.isin(others)
    if a.until is not None:
        missing &= (a.until <= moment).to_numpy()
    found = {"the number of rows": int(missing.sum())} if missing.any() else {}
    shared = keys.intersection(others)
    a, b = a.rows(keys.get_indexer(shared)), b.rows(others.get_indexer(shared))
    for name in a.X:
        same = (a.X[name] == b.X[name]) | (a.X[name].isna() & b.X[name].isna())
        if not same.all():
            found[str(name)] = int((~same).sum())
    if a.y is not None and b.y is not None and a.until is not None:
        known = (a.until <= moment).to_numpy()
        unlike = (a.y != b.y)[known] & ~(a.y.isna() & b.y.isna())[known]
        if unlike.any():
            found["the label"] = int(unlike.sum())
    return found


def _known_at(table: Table, moment: Any) -> Table:
    assert table.when is not None
    return table.rows((table.when <= moment).to_numpy())


def _keys(table: Table) -> pd.MultiIndex:
    """Return date and asset of each row, which tell it apart from others."""
    assert table.when is not None
    who = np.zeros(len(table)) if table.who is None else table.who.astype(str).to_numpy()
    return pd.MultiIndex.from_arrays([table.when, who])


def _names(columns: dict[str, int]) -> str:
    first = ", ".join(list(columns)[:3])
    return first if len(columns) < 4 else f"{first} and {len(columns) - 3} more columns"
