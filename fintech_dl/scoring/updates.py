"""Intervals of new rows, updated with the outcomes that the history holds."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl import artefact
from fintech_dl.cards import Forecast, duration
from fintech_dl.evaluation.intervals import ConformalRegressor
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.online import (
    of_main,
    online_ends,
    since_calibration,
    with_forecasts,
)
from fintech_dl.scoring.opened import Opened
from fintech_dl.table import Table

Facts = dict[str, Any]


def interval_model(opened: Opened) -> ConformalRegressor | None:
    """Return the model of an artefact with its graph's forecasts; None without intervals.

    Raises
    ------
    ArtefactError
        The model cannot be loaded.
    """
    forecast = opened.pipeline.forecast
    if forecast is None or forecast.intervals is None:
        return None
    whole = artefact.to_model(opened.files, opened.folder)
    model: ConformalRegressor = with_forecasts(
        whole, artefact.scorer(opened.files, opened.folder, whole)
    )
    return model


def intervals_of(
    model: ConformalRegressor, forecast: Forecast, history: str, table: Table, at: NDArray[np.intp]
) -> tuple[Floats, Floats, Facts | None]:
    """Return both ends of new rows and, where the card has them updated, what was learnt.

    Updated they are those of the run: of what was known by the date of each row. Outcomes known
    since the calibration are taken from the table, whose earlier rows are the history.

    Parameters
    ----------
    model : ConformalRegressor
    forecast : cards.Forecast
        With intervals.
    history : str
        How far features look back, for a message.
    table : Table
        Past and new rows.
    at : int array
        Positions of the new ones.

    Returns
    -------
    low, high : float64 arrays
    learnt : dict or None
        ``calibrated_to``, ``outcomes`` learnt since, ``updated_to`` (when the latest of them was
        known) and ``complete``: whether the history holds all that the run would have learnt.

    Warns
    -----
    UserWarning
        The history begins too late for intervals to be those of the run.
    """
    if forecast.intervals is None or not forecast.intervals.updated or not len(at):
        return *of_main(model.predict_interval(table.X.iloc[at], forecast.coverage)), None
    found = _learnt(model, table, at)
    if not found["complete"]:
        _warn(found, history)
    return *online_ends(model, table, at, forecast.coverage), found


def _learnt(model: ConformalRegressor, table: Table, at: NDArray[np.intp]) -> Facts:
    assert table.when is not None
    assert table.until is not None
    assert table.y is not None
    later = since_calibration(model, table)
    until = table.until.iloc[later]
    labelled = pd.DataFrame(table.y).iloc[later].notna().all(axis=1)
    is_known = (until <= table.when.iloc[at[-1]]) & labelled
    last = None if model.last_ is None else pd.Timestamp(model.last_[0])
    return {
        "calibrated_to": None if last is None else str(last),
        "outcomes": int(is_known.sum()),
        "updated_to": str(until[is_known].max()) if is_known.any() else None,
        "complete": last is not None and bool(table.when.iloc[0] <= last),
    }


def _warn(found: Facts, history: str) -> None:
    last, n, need = found["calibrated_to"], found["outcomes"], ""
    held = f"only the latest {n}" if n else "none, so that they stay as they were calibrated"
    if last is not None:
        start = pd.Timestamp(last) - (duration(history) if history else pd.Timedelta(0))
        need = f"; give rows from {start} on for the intervals that the run would give"
    warnings.warn(
        f"intervals were calibrated up to {last}, and of the outcomes since then --history holds "
        f"{held}{need}",
        stacklevel=4,
    )
