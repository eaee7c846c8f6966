"""The features of new rows, made of all rows and their history at once, before they are cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.cards import duration
from fintech_dl.data.frames import Reading
from fintech_dl.data.gaps import put_back
from fintech_dl.errors import DataError
from fintech_dl.pipelines import make_table
from fintech_dl.scoring.opened import NO_WINDOW, Opened
from fintech_dl.table import Table


class Features(NamedTuple):
    """New rows on their way to the model, in the order of the contract.

    Attributes
    ----------
    X : DataFrame
    named : DataFrame
        Key, time and asset, as far as the contract has them.
    amount : array or None
        What the decision weighs.
    when : Series or None
        When each row is decided.
    table : Table
        Past and new rows.
    at : int array
        Positions of the new ones in it.
    new : Reading
        Rows of which no features can be made (a bar is missing in their window) are among those
        set aside.
    """

    X: pd.DataFrame
    named: pd.DataFrame
    amount: Any
    when: Any
    table: Table
    at: NDArray[np.intp]
    new: Reading


def features_of(opened: Opened, new: Reading, past: Reading | None) -> Features:
    """Return the features of clean rows, given the clean rows before them.

    Parameters
    ----------
    opened : Opened
    new, past : Reading
        ``past`` is None where features look at their own row alone.

    Returns
    -------
    Features

    Raises
    ------
    UsageError
        The history is missing.
    DataError
        It does not fit the new rows, is too short, or lacks labels that were known by then.
    """
    if opened.pipeline.history and past is None:
        raise opened.no_history()
    rows = new.frame if past is None else _joined(opened, new.frame, past.frame)
    gaps = [one.gaps for one in (past, new) if one is not None and one.gaps is not None]
    whole, origin = put_back(rows, pd.concat(gaps) if gaps else None)
    table = make_table(opened.pipeline.table, whole)
    if past is not None:
        _check_labels(opened, table)
    if len(table) < len(whole) and table.aside is not None:
        origin = origin[table.aside["row"].to_numpy()]
    first = len(rows) - len(new.frame)
    at = np.flatnonzero(origin >= first)
    kept = origin[at] - first
    contract, decision = opened.dataset.contract, opened.pipeline.decision
    named = pd.DataFrame(index=range(len(kept)))
    for name in (contract.key, contract.time, contract.asset):
        if name:
            named[name] = new.frame[name].to_numpy()[kept]
    aside = pd.DataFrame() if table.aside is None else table.aside.iloc[at]
    return Features(
        X=table.X.iloc[at],
        named=named,
        amount=aside[decision.amount].to_numpy() if decision and decision.amount else None,
        when=None if table.when is None else table.when.iloc[at],
        table=table,
        at=at,
        new=_without(opened, new, kept),
    )


def _without(opened: Opened, new: Reading, kept: NDArray[np.int64]) -> Reading:
    """Return what was read with the rows that are not kept among those set aside."""
    left = np.setdiff1d(np.arange(len(new.frame)), kept)
    if new.rows is None:
        return new
    if not len(left):
        frame = new.frame.iloc[kept].reset_index(drop=True)
        return replace(new, frame=frame, rows=new.rows[kept])
    names = {name: rule.source or name for name, rule in opened.dataset.columns.items()}
    rows = new.frame.iloc[left].rename(columns=names)
    rows = rows.assign(source_row=new.rows[left], reason=NO_WINDOW)
    facts = new.facts
    return replace(
        new,
        frame=new.frame.iloc[kept].reset_index(drop=True),
        quarantined=pd.concat([new.quarantined, rows], ignore_index=True),
        facts={
            **facts,
            "rows_used": len(kept),
            "rows_quarantined": facts["rows_quarantined"] + len(left),
            "quarantine_reasons": {**facts["quarantine_reasons"], NO_WINDOW: len(left)},
        },
        rows=new.rows[kept],
    )


def _joined(opened: Opened, new: pd.DataFrame, past: pd.DataFrame) -> pd.DataFrame:
    """Return past and new rows as one frame, or say why they do not fit together."""
    key, time = opened.dataset.contract.key, opened.dataset.contract.time
    first = new[time].iloc[0]
    if past[time].iloc[-1] > first:
        late = int((past[time] > first).sum())
        raise DataError(
            f"history: {late} rows are later than the first row to score ({first}); "
            "the history must end where the new rows begin"
        )
    if key and (both := np.intersect1d(past[key], new[key])).size:
        raise DataError(
            f"history: {both.size} rows are also among the rows to score, the first with "
            f"{key} = {both[0]}; remove them from one of the files"
        )
    back = opened.pipeline.history
    needed = first - duration(back) if back else first
    if past[time].iloc[0] > needed:
        raise DataError(
            f"history: begins at {past[time].iloc[0]}, but pipeline "
            f"{opened.pipeline.name!r} looks back {back} and the "
            f"first row to score is of {first}; give rows from {needed} on"
        )
    return pd.concat([past, new], ignore_index=True)


def _check_labels(opened: Opened, table: Table) -> None:
    """Refuse to score without labels that were known by then: features may count them."""
    labels = opened.dataset.contract.labels
    if table.when is None or table.until is None or not labels:
        return
    y = pd.Series(np.nan, table.X.index) if table.y is None else table.main().y
    last = table.when.iloc[-1]
    lacking = ((table.until <= last) & y.isna()).to_numpy()
    if lacking.any():
        raise DataError(
            f"history: {int(lacking.sum())} rows lack a label that was known by {last}, the "
            f"last row to score; the first is of {table.when.iloc[int(lacking.argmax())]}. "
            f"Fill in {labels[0]}, 0 where nothing was confirmed, or "
            "score fewer days at once"
        )
