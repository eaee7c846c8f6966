"""The highest scores of each day over all shards: the rule ``capacity``, found while streaming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fintech_dl.errors import DataError
from fintech_dl.evaluation.alerts import day_of
from fintech_dl.scoring.commits import PARTS, Commit
from fintech_dl.scoring.parts import open_parquet
from fintech_dl.scoring.plan import Plan

WHEN = "time"  # of a plan's facts: the column of the parts that says a row's day


def find_cuts(
    run: Path, plan: Plan, commits: list[Commit], per_day: int
) -> dict[str, dict[str, Any]]:
    """Return, of each day, how many rows raise an alert, and the last of them.

    The order is that of the score, highest first; of equal scores, the earlier file and row.

    Parameters
    ----------
    run : Path
    plan : Plan
    commits : list of Commit
    per_day : int
        Alerts of a day.

    Returns
    -------
    dict of str to dict
        By day: ``alerts``, and the ``score``, ``file`` and ``row`` of the last one.

    Raises
    ------
    DataError
        The parts have no time.
    """
    names = plan.files()
    best: dict[Any, tuple[NDArray[Any], ...]] = {}
    for commit in commits:
        with open_parquet(run / PARTS / commit.part.name) as file:
            when = time_column(file.schema_arrow, plan)
            for batch in file.iter_batches(columns=[when, "score", "source_file", "source_row"]):
                _take(best, batch, days_of(batch, when), names, per_day)
    return {
        str(np.datetime_as_string(day, "D")): {
            "alerts": len(scores),
            "score": float(scores[-1]),
            "file": names[files[-1]],
            "row": int(rows[-1]),
        }
        for day, (scores, files, rows) in sorted(best.items())
    }


def _take(
    best: dict[Any, tuple[NDArray[Any], ...]],
    batch: pa.RecordBatch,
    days: NDArray[Any],
    names: list[str],
    per_day: int,
) -> None:
    """Keep the highest rows of each day: score, file and row, in the order of alerts."""
    columns = (
        batch.column("score").to_numpy(zero_copy_only=False),
        positions(batch, names),
        batch.column("source_row").to_numpy(zero_copy_only=False),
    )
    for day in np.unique(days):
        at = days == day
        mine = tuple(column[at] for column in columns)
        if day in best:
            mine = tuple(map(np.concatenate, zip(best[day], mine, strict=True)))
        order = np.lexsort((mine[2], mine[1], -mine[0]))[:per_day]
        best[day] = tuple(column[order] for column in mine)


def with_alerts(
    batch: pa.RecordBatch, cuts: dict[str, dict[str, Any]], names: list[str], when: str
) -> pa.RecordBatch:
    """Return the rows with a column ``alert``, told by the last alert of each day.

    Parameters
    ----------
    batch : RecordBatch
        With the column of the time, ``score``, ``source_file`` and ``source_row``.
    cuts : dict
        As `find_cuts`.
    names : list of str
        The files, in the order of the plan.
    when : str
        Name of the column of the time.
    """
    days = days_of(batch, when)
    score = batch.column("score").to_numpy(zero_copy_only=False)
    file = positions(batch, names)
    row = batch.column("source_row").to_numpy(zero_copy_only=False)
    alert = np.zeros(len(days), dtype=bool)
    place = {name: position for position, name in enumerate(names)}
    for day in np.unique(days):
        cut = cuts[str(np.datetime_as_string(day, "D"))]
        last = place[cut["file"]]
        tied = (file < last) | ((file == last) & (row <= cut["row"]))
        alert |= (days == day) & ((score > cut["score"]) | ((score == cut["score"]) & tied))
    return batch.append_column("alert", pa.array(alert))


def time_column(schema: pa.Schema, plan: Plan) -> str:
    """Return the column of the parts that says when a row is decided.

    Raises
    ------
    DataError
        There is none.
    """
    name = str(plan.facts.get(WHEN) or "")
    if name not in schema.names:
        raise DataError(
            'decision.rule = "capacity" needs the time of each row, and its dataset card names '
            'none: add contract.time, or use rule = "threshold"'
        )
    return name


def days_of(batch: pa.RecordBatch, when: str) -> NDArray[Any]:
    """Return each row's calendar day on its own wall clock; numbers are seconds since 1970."""
    column = batch.column(when)
    if pa.types.is_timestamp(column.type) and column.type.tz:
        column = pc.local_timestamp(column)
    if pa.types.is_temporal(column.type):
        return np.asarray(day_of(column.to_numpy(zero_copy_only=False)))
    seconds = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.floor(seconds / 86_400).astype(np.int64).astype("datetime64[D]")


def positions(batch: pa.RecordBatch, names: list[str]) -> NDArray[np.int64]:
    """Return each row's file as its position among the plan's."""
    column = batch.column("source_file")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    place = {name: position for position, name in enumerate(names)}
    of_code = np.array([place[name] for name in column.dictionary.to_pylist()], dtype=np.int64)
    return of_code[column.indices.to_numpy(zero_copy_only=False)]
