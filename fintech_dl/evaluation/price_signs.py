"""Signs of leaks in a table of prices that need no second look at the data."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fintech_dl.bars import bar_faults, check_bars, check_days
from fintech_dl.errors import DataError
from fintech_dl.evaluation.leak_cases import FEWEST_ASSETS, Case, Finding, dates, labels
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.portfolios import long_short, performance
from fintech_dl.evaluation.ranks import information_coefficient
from fintech_dl.table import Table

FOLLOWS = 0.01  # share of squared error that a forecast must save against the last known value


def follower(case: Case, score: Floats, ranks: bool) -> Finding:
    """See whether forecasts only repeat the last label that was known."""
    name, table = "follower", case.table
    if ranks:
        return Finding(name, None, "scores that only order assets have no scale to compare")
    last = last_known(table)[case.test]
    y = labels(table, case.test)
    known = np.isfinite(last)
    if table.until is None or known.sum() < 10:
        return Finding(name, None, "no labels are known early enough to be followed")
    who = None if table.who is None else table.who.iloc[case.test].to_numpy()[known]
    parts = pd.DataFrame({"score": score[known], "y": y[known], "last": last[known]})
    own = parts if who is None else parts - parts.groupby(who).transform("mean")
    alike = own.corr().loc["score"]
    saved = 1 - float(
        ((y - score)[known] ** 2).mean() / max(((y - last)[known] ** 2).mean(), 1e-300)
    )
    if alike["last"] > alike["y"] and saved < FOLLOWS:
        return Finding(
            name,
            False,
            f"forecasts are more like the last known value (correlation {alike['last']:.3f}) than "
            f"like what they forecast ({alike['y']:.3f}) and err no less than it: they follow",
            saved,
        )
    return Finding(
        name, True, f"forecasts save {saved:.1%} of the squared error of the last value", saved
    )


def asset_constants(case: Case) -> Finding:
    """Look for numbers that only say which asset a row is about."""
    name, table = "asset constants", case.table
    if table.who is None or table.who.nunique() < 2:
        return Finding(name, None, "one asset only")
    numbers = table.X.iloc[case.train].select_dtypes("number")
    by = numbers.groupby(table.who.iloc[case.train].to_numpy())
    if (by.size() < 2).all():
        return Finding(name, None, "one row per asset only")
    still = ((by.max() - by.min()).fillna(0) == 0).all() & (numbers.nunique() > 1)
    columns = [str(column) for column in numbers.columns[still.to_numpy()]]
    if columns:
        return Finding(
            name,
            False,
            f"{', '.join(columns)}: the same for all dates of an asset, different between assets; "
            "a model learns with it which assets did well",
            len(columns),
        )
    return Finding(name, True, "no number stands for an asset", 0)


def label_ends(case: Case) -> Finding:
    """Look for training labels that are not known when the test begins."""
    name, table = "label ends", case.table
    if table.until is None:
        return Finding(name, False, "the table has no `until`: nothing can be purged")
    begin = dates(case.table, case.test).min()
    ends = table.until.iloc[case.train].to_numpy()
    late = int((~(ends <= begin)).sum())
    inside = int((dates(table, case.train) >= begin).sum())
    if late:
        return Finding(
            name,
            False,
            f"{late} of {len(ends)} training labels are not known when the test begins "
            f"({inside} of the rows are not even decided); purge them",
            late,
        )
    return Finding(name, True, "every training label is known when the test begins", 0)


def implausible(
    case: Case,
    score: Floats,
    ic_limit: float | None,
    sharpe_limit: float,
    cost: float,
    bars_per_year: float,
) -> Finding:
    """Doubt results that nobody has."""
    told: list[str] = []
    bad: list[str] = []
    name, table = "implausible", case.table
    when, number = dates(table, case.test), float("nan")
    if case.panel and ic_limit is not None:
        y = labels(table, case.test)
        number = float(information_coefficient(y, score, when, fewest=FEWEST_ASSETS).mean())
        (bad if number > ic_limit else told).append(f"mean rank IC {number:.3f}")
    aside = table.aside
    if case.panel and aside is not None and "forward_return" in aside and table.who is not None:
        returns = aside["forward_return"].iloc[case.test].to_numpy()
        known = np.isfinite(returns)
        who = table.who.iloc[case.test].to_numpy()
        every = case.horizon
        made = long_short(
            score[known], returns[known], when[known], who[known], cost=cost, every=every
        )
        if len(made) > 1:
            earned = performance(made, bars_per_year=bars_per_year, every=every)
            words = f"net Sharpe ratio {earned.sharpe_net:.1f}"
            (bad if earned.sharpe_net > sharpe_limit else told).append(words)
    if bad:
        text = f"{' and '.join(bad)} on the test: too good to be believed; look for a leak first"
        return Finding(name, False, text, number)
    if not told:
        return Finding(name, None, "no panel of returns")
    return Finding(name, True, f"{' and '.join(told)} on the test", number)


def bars_in_order(frame: pd.DataFrame) -> Finding:
    """Look for dates out of order or twice, and for prices that are not adjusted."""
    name = "bars"
    try:
        if "close" in frame and "asset" in frame:
            check_bars(frame, "frame")
        else:
            assets = frame["asset"] if "asset" in frame else pd.Series("", index=frame.index)
            check_days(frame["date"].to_numpy(), assets.to_numpy(), "frame")
    except DataError as error:
        return Finding(name, False, str(error))
    if "close" not in frame or "asset" not in frame:
        return Finding(name, True, "dates are in order, none twice", 0)
    faults = {
        reason: int(mask.sum())
        for reason, mask in bar_faults(frame).items()
        if reason.startswith(("split_jump", "mixed_adjustment"))
    }
    if faults:
        told = ", ".join(f"{count} {reason}" for reason, count in faults.items())
        text = f"{told}: prices that are not adjusted, or not all; adjust them or drop these bars"
        return Finding(name, False, text, sum(faults.values()))
    return Finding(name, True, "dates are in order, none twice, no jump like a split", 0)


def last_known(table: Table) -> Floats:
    """Return, for each row, the last label of its asset that was known by then."""
    if table.until is None or table.y is None or table.when is None:
        return np.full(len(table), np.nan)
    who = np.zeros(len(table)) if table.who is None else table.who.astype(str).to_numpy()
    left = pd.DataFrame({"time": table.when.to_numpy(), "who": who, "row": np.arange(len(table))})
    right = pd.DataFrame(
        {"time": table.until.to_numpy(), "who": who, "last": table.y.to_numpy(dtype=float)}
    )
    right = right.dropna().sort_values("time", kind="stable")
    both = pd.merge_asof(left.sort_values("time", kind="stable"), right, on="time", by="who")
    return np.asarray(both.sort_values("row")["last"], dtype=float)
