"""Score the shards of a plan: read, divided by the contract, scored, counted, written, committed.

A shard is scored the same whoever does it, and as often as it is tried: nothing here knows of
workers or of other shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fintech_dl.errors import DataError, FintechError, not_written
from fintech_dl.estimators.arrays import as_arrays
from fintech_dl.evaluation.alerts import decide
from fintech_dl.scoring import counts
from fintech_dl.scoring.batches import Batch, Divided, Typed, check_types, divide, stream
from fintech_dl.scoring.commits import (
    PARTS,
    QUARANTINE,
    REASONS,
    Commit,
    Made,
    made,
    part_path,
    write_commit,
)
from fintech_dl.scoring.opening import Engine as Engine
from fintech_dl.scoring.opening import open_engine as open_engine
from fintech_dl.scoring.parts import (
    FILE,
    GROUP_NO,
    ROW,
    arrow,
    bounds,
    set_aside,
    texts,
    unite,
    where_columns,
    where_fields,
    writing,
)
from fintech_dl.scoring.plan import Piece
from fintech_dl.scoring.store import attempt

HIDDEN = ("target", "when", "weight")  # of a card's table: a column each that is no feature
LISTS = ("drop", "protected")  # the same, several columns each
NONE_AGAIN = np.zeros(0, dtype=np.int64)


class Rows(NamedTuple):
    """Clean rows of a batch on their way to their scores.

    Attributes
    ----------
    features : dict or DataFrame
    matrix : float32 array or None
        The features as the graph takes them, where it takes them as they are.
    columns : mapping
        All other columns that are written or decided by, by name.
    where : list of pyarrow.Array
        As ``parts.where_columns``.
    """

    features: Any
    matrix: NDArray[np.float32] | None
    columns: Any
    where: list[Any]


@dataclass
class Sums:
    """What a shard has come to so far."""

    rows: int = 0
    scored: int = 0
    alerts: int = 0
    told: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    counts: Any = 0
    ids: list[tuple[Any, Any]] = field(default_factory=list)
    aside: list[Any] = field(default_factory=list)
    lines: list[Any] = field(default_factory=list)


def score_shard(engine: Engine, k: int) -> Commit:
    """Score a shard: write its files, and commit them unless another process was first.

    Parameters
    ----------
    engine : Engine
    k : int
        Its number.

    Returns
    -------
    Commit
        The one that holds.

    Raises
    ------
    PlanError
        A source is not what the plan was made of; nothing is committed.
    DataError
        A source is broken, a column is of another type than its contract says, or rows cannot be
        scored.
    DiskFullError, OutputError
        The folder cannot be written.
    """
    plan, sums, trial = engine.plan, Sums(), attempt()
    part, quarantine, reasons = (
        part_path(engine.run, folder, k, trial) for folder in (PARTS, QUARANTINE, REASONS)
    )
    schema = pa.schema([*where_fields(), *engine.fields])
    try:
        with writing(part, schema, "part") as add:
            for piece in plan.shards[k]:
                for rows in _clean(engine, piece, sums):
                    columns = _score(engine, rows, sums)
                    add(pa.Table.from_arrays([*rows.where, *columns], schema=schema))
        commit = Commit(
            key=plan.key,
            shard=k,
            part=made(part),
            quarantine=_write(quarantine, sums.aside),
            reasons=_write(reasons, sums.lines),
            rows_in=sums.rows,
            scored=sums.scored,
            quarantined=sums.rows - sums.scored,
            quarantine_reasons=sums.reasons,
            quarantine_examples=sums.examples,
            alerts=sums.alerts if schema.names[-1] == "alert" else None,
            told=sums.told if engine.tell is not None else None,
            ids=_ids(sums.ids),
            counts=_counted(engine, sums.counts),
        )
        return write_commit(engine.run, commit)
    except OSError as error:
        if isinstance(error, FintechError):
            raise
        advice = "free some room, or choose another folder"
        raise not_written(str(engine.run), error, advice) from error


def _write(path: Path, tables: list[Any]) -> Made | None:
    if not tables:
        return None
    table = unite(tables)
    with writing(path, table.schema) as add:
        add(table)
    return made(path)


def _counted(engine: Engine, found: Any) -> dict[str, Any]:
    if engine.compiled is None:
        return {}
    return counts.to_record(engine.compiled, found + counts.no_counts(engine.compiled))


def _ids(found: list[tuple[Any, Any]]) -> dict[str, Any] | None:
    if not found:
        return None
    return {"min": min(low for low, _ in found), "max": max(high for _, high in found)}


def _clean(engine: Engine, piece: Piece, sums: Sums) -> Iterator[Rows]:
    """Yield the clean rows of a piece, batch by batch; book those that are set aside."""
    source, card = engine.plan.sources[piece.source], engine.opened.dataset
    path = engine.run / source.path
    if engine.plan.stage == "features":
        for batch in stream(path, source, piece, None):
            sums.rows += len(batch.table)
            yield _carried(batch)
        return
    name, typed = texts([source.name]), Typed()
    for batch in stream(path, source, piece, card):
        n = len(batch.table)
        sums.rows += n
        divided, features, matrix = _divided(engine, piece.source, batch, typed)
        rows = np.arange(batch.first_row, batch.first_row + n, dtype=np.int64)
        groups = batch.row_groups
        if len(at := divided.aside):
            where = where_columns(name, groups[at], rows[at])
            taken = batch.table.replace_schema_metadata(None).take(pa.array(at))
            sums.aside.append(set_aside(taken, where, divided.codes))
            for code, count in divided.reasons.items():
                sums.reasons[code] = sums.reasons.get(code, 0) + count
            sums.examples = {**divided.examples, **sums.examples}
        if divided.kept is not None:
            rows, groups = rows[divided.kept], groups[divided.kept]
        if len(rows):
            where = where_columns(name, groups, rows)
            yield Rows(features, matrix, divided.columns, where)
    check_types(typed, source, piece, card)


def _divided(
    engine: Engine, place: int, batch: Batch, typed: Typed
) -> tuple[Divided, Any, NDArray[np.float32] | None]:
    """Return a batch divided, with the features of its clean rows, as the graph takes them."""
    source, again = engine.plan.sources[place], engine.repeated.get(place, NONE_AGAIN)
    light = engine.light if engine.tell is None else None

    def division(plainly: bool) -> tuple[Divided, Any]:
        found = divide(
            batch,
            source,
            engine.opened.dataset,
            engine.plan.as_of,
            again,
            typed,
            plainly=plainly,
            numbers=engine.numbers,
        )
        return found, features_of(engine, found.columns)

    divided, features = division(plainly=light is not None)
    if light is None:
        return divided, features, None
    try:
        plain = features if isinstance(features, dict) else as_arrays(features)
        return divided, features, light.encode(plain)
    except ValueError:  # numbers that float32 cannot hold: looked for row by row
        divided, features = division(plainly=False)
    try:
        return divided, features, light.encode(as_arrays(features))
    except ValueError as error:
        last = batch.first_row + len(batch.table) - 1
        raise _not_scored(source.name, batch.first_row, last, error) from error


def features_of(engine: Engine, columns: Any) -> Any:
    """Return the columns that are features, as ``features.rows.as_they_are`` takes them."""
    table = engine.opened.pipeline.table
    hidden = {table.get(role) for role in HIDDEN}.union(*(table.get(key, []) for key in LISTS))
    if isinstance(columns, dict):
        return {name: values for name, values in columns.items() if name not in hidden}
    return columns[[name for name in columns if name not in hidden]]


def _not_scored(file: str, first: int, last: int, error: Exception) -> DataError:
    return DataError(
        f"{file}: rows {first} to {last} cannot be scored: {error}; the contract lets pass what "
        "the model cannot take: tighten the rule of the column in the dataset card"
    )


def _carried(batch: Batch) -> Rows:
    """Return the rows of a snapshot: features, and the columns that were carried beside them."""
    from fintech_dl.scoring.snapshot import CARRIED, unpack

    frame = unpack(batch.table)
    own = [name for name in frame.columns if name.startswith(CARRIED)]
    columns = {name.removeprefix(CARRIED): frame[name] for name in own}
    names = columns[FILE].cat  # the snapshot holds codes
    files = pa.array(names.categories.astype(str), pa.string())
    where = [
        pa.DictionaryArray.from_arrays(pa.array(names.codes.to_numpy(), pa.int32()), files),
        arrow(columns[GROUP_NO].to_numpy(), pa.int32()),
        arrow(columns[ROW].to_numpy(), pa.int64()),
    ]
    return Rows(frame.drop(columns=own), None, columns, where)


def _score(engine: Engine, rows: Rows, sums: Sums) -> list[Any]:
    """Return the columns of the scores as Arrow arrays; book what the rows come to."""
    found = _scores(engine, rows)
    score = found if found.ndim == 1 else found[:, 0]
    columns: dict[str, Any] = {}
    for i, name in enumerate(name for name in engine.names if name.startswith("score")):
        columns[name] = found if found.ndim == 1 else np.ascontiguousarray(found[:, i])
    decision = engine.opened.pipeline.decision
    if decision is not None and engine.names[-1] == "alert":
        amount = np.asarray(rows.columns[decision.amount]) if decision.amount else None
        columns["alert"] = decide(decision, score, amount)
        sums.alerts += int(np.count_nonzero(columns["alert"]))
    sums.scored += len(score)
    if engine.compiled is not None:
        is_frame = not isinstance(rows.features, dict)
        features = counts.from_frame(rows.features) if is_frame else rows.features
        sums.counts += counts.count(engine.compiled, features, found)
    if engine.tell is not None:
        _tell(engine, rows, score, columns["alert"], sums)
    written = [
        arrow(columns[one.name] if one.name in columns else rows.columns[one.name], one.type)
        for one in engine.fields
    ]
    key = engine.opened.dataset.contract.key
    ends = bounds(written[engine.names.index(key)]) if key else None
    sums.ids += [] if ends is None else [ends]
    return written


def _scores(engine: Engine, rows: Rows) -> NDArray[np.float64]:
    if rows.matrix is not None and engine.light is not None:
        return engine.light.scores(rows.matrix)
    try:
        return np.asarray(engine.score_frame(rows.features))
    except ValueError as error:
        if isinstance(error, FintechError):
            raise
        file, first = (rows.where[i][0].as_py() for i in (0, 2))
        raise _not_scored(file, first, rows.where[2][-1].as_py(), error) from error


def _tell(
    engine: Engine, rows: Rows, score: NDArray[Any], alert: NDArray[np.bool_], sums: Sums
) -> None:
    """Take down why rows are declined."""
    import pandas as pd

    if engine.tell is None or not alert.any():
        return
    key = engine.opened.dataset.contract.key
    named = {key: np.asarray(rows.columns[key])} if key else {}
    features = rows.features.reset_index(drop=True)
    lines = engine.tell(features, pd.DataFrame({**named, "score": score, "alert": alert}))
    lines = lines if key else lines.drop(columns="row")
    at = pa.array(np.flatnonzero(alert))
    where = [rows.where[0].take(at).cast(pa.string()), *(one.take(at) for one in rows.where[1:])]
    told = pa.Table.from_pandas(lines, preserve_index=False).replace_schema_metadata(None)
    columns = [*where, *told.columns]
    sums.lines.append(pa.table(columns, names=[FILE, GROUP_NO, ROW, *told.column_names]))
    sums.told += len(lines)
