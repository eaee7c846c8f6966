"""A table of prices cut for checks of leaks, and what such a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.cuts import Positions
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.panel_splits import PurgedWalkForward
from fintech_dl.table import Table

FEWEST_ASSETS = 5  # of a date, for ranks to say anything
CHECKS = (
    *("future", "shuffled labels", "noise", "planted signal", "follower"),
    *("truncated history", "asset constants", "label ends", "implausible", "bars"),
)


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    name : str
    passed : bool or None
        None where the check does not apply, or was switched off.
    text : str
        What was seen and, if it did not pass, what to do.
    number : float
        What ``text`` speaks of; NaN where nothing was counted.
    """

    name: str
    passed: bool | None
    text: str
    number: float = float("nan")


class Case(NamedTuple):
    """A labelled table, its rows to learn from and to test on, and the bars a label reaches."""

    table: Table
    train: Positions
    test: Positions
    horizon: int
    panel: bool


def labelled(table: Table) -> Table:
    """Return the rows that have a label, or say what the table lacks."""
    if table.y is None or table.when is None:
        raise UsageError("price_leaks: the table needs `y` and `when`")
    return table.rows(table.y.notna().to_numpy())


def case_of(table: Table, fold: tuple[Positions, Positions] | None) -> Case:
    """Return the table with its fold; by default the last 30 % of the dates are the test."""
    assert table.when is not None
    days, at = np.unique(table.when, return_inverse=True)
    horizon = 1
    if table.until is not None:
        ends = np.searchsorted(days, table.until.to_numpy(), side="left")
        horizon = max(int((ends - at)[table.until.notna().to_numpy()].max(initial=1)), 1)
    if fold is None:
        train = max(int(0.7 * len(days)), 1)
        cv = PurgedWalkForward(train, len(days), expanding=True, horizon=horizon)
        fold = next(iter(cv.split(groups=table.when, until=table.until)))
    panel = table.who is not None and float(np.median(np.bincount(at))) >= FEWEST_ASSETS
    return Case(table, np.asarray(fold[0]), np.asarray(fold[1]), horizon, panel)


def labels(table: Table, at: Positions) -> Floats:
    """Return the labels of these rows."""
    assert table.y is not None
    return np.asarray(table.y.iloc[at])


def dates(table: Table, at: Positions) -> NDArray[Any]:
    """Return the dates of these rows."""
    assert table.when is not None
    return np.asarray(table.when.iloc[at].to_numpy())
